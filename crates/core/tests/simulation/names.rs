//! What the tenants' buckets are called in the backend: found out by asking for each.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tollgate_core::lease::exchange::BucketName;
use tollgate_core::lease::fleet::Call;
use tollgate_core::lease::{OnFailure, Settings};
use tollgate_core::{Algorithm, Capacity, Engine, Epoch, KeyHasher, Nanos, Request, Ruling, Subject};

use crate::limits::Limits;

/// More tenants than a run has.
pub(crate) const TENANTS: [&str; 4] = ["acme", "globex", "initech", "hooli"];

/// A bucket of a tenant: its quota's, or the rule's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Whose {
    pub(crate) tenant: usize,
    pub(crate) rule: bool,
}

pub(crate) struct Names {
    tokens: BTreeMap<Whose, BucketName>,
    /// Of each tenant, where its requests in flight are counted.
    in_flight: Vec<BucketName>,
    /// Which tags are used at all.
    tags: [bool; 256],
}

impl Names {
    /// The same in every run: they depend on names alone.
    pub(crate) fn all() -> &'static Self {
        static ALL: OnceLock<Names> = OnceLock::new();
        ALL.get_or_init(Self::find)
    }

    fn find() -> Self {
        let limits = |quota| Limits {
            algorithm: Algorithm::TokenBucket,
            quota,
            burst: 0,
            window: Nanos::from_secs(60),
        };
        let settings = Settings {
            instance: 1,
            interval: Nanos::from_millis(100),
            time_to_live: Nanos::from_secs(2),
            credit: 0,
            on_failure: OnFailure::Deny,
        };
        let capacity = Capacity { max_keys: 10_000, key_share: 1.0 };
        let mut names = Self { tokens: BTreeMap::new(), in_flight: Vec::new(), tags: [false; 256] };
        for policy in [limits(2).policy(Some(&limits(1))), Limits::in_flight(1)] {
            let hasher = KeyHasher::with_secret(1, 1);
            let engine = Engine::shared(hasher, policy, capacity, Epoch::default(), settings).unwrap();
            names.find_under(&Arc::new(engine));
        }
        assert_eq!(
            names.tokens.len(),
            2 * TENANTS.len(),
            "each has a bucket of its quota and one of the rule"
        );
        names
    }

    fn find_under(&mut self, engine: &Arc<Engine>) {
        let (mut gate, mut ruling) = (engine.gate(), Ruling::default());
        for (tenant, name) in TENANTS.iter().enumerate() {
            let request = Request { rule: Some(0), ..Request::of(Subject::Tenant, name.as_bytes()) };
            gate.decide(&request, 1, Nanos::ZERO, &mut ruling);
            let batches = engine.fleet().unwrap().due(&mut gate, Nanos::ZERO, Call::Urgent);
            for ask in batches.iter().flat_map(|batch| &batch.asks) {
                if ask.limit.counts_requests_in_flight() {
                    self.in_flight.push(ask.name);
                } else {
                    self.tokens.insert(Whose { tenant, rule: ask.limit.quota == 1 }, ask.name);
                }
                self.tags[usize::from(ask.name.tag())] = true;
            }
            for batch in batches {
                engine.fleet().unwrap().gave_up(batch.tag, batch.sequence);
            }
        }
    }

    pub(crate) fn in_flight(&self, tenant: usize) -> BucketName {
        self.in_flight[tenant]
    }

    pub(crate) fn of(&self, whose: Whose) -> BucketName {
        self.tokens[&whose]
    }

    pub(crate) fn uses(&self, tag: u8) -> bool {
        self.tags[usize::from(tag)]
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|&tag| self.uses(tag))
    }
}
