//! What a comparison counts: totals in atomics, and tenants in a sharded map of bounded size.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::Side;
use super::watch::{Burst, Isolation};
use crate::rollout::tallies::MOST_TENANTS;
use crate::rollout::{Judged, Micros, Outcomes, Round, Tallies, TenantTally};

/// So many tenants are watched that the policy names, and so many that it does not. Whoever comes past that counts in the totals alone;
/// so made-up names do not keep the tenants of a policy out.
pub(super) const MOST_WATCHED: usize = 2048;

/// One tenant.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    pub(super) judged: Judged,
    /// Of the policy that decides.
    pub(super) isolation: Isolation,
    /// Of the candidate.
    pub(super) burst: Burst,
}

#[derive(Debug, Default)]
struct JudgedAtomics {
    requests: AtomicU64,
    conforming: AtomicU64,
    now_denied: AtomicU64,
    now_admitted: AtomicU64,
    breaches: AtomicU64,
}

#[derive(Debug, Default)]
struct OutcomeAtomics {
    requests: AtomicU64,
    server_errors: AtomicU64,
    limiter_errors: AtomicU64,
}

/// What a comparison counts. All of it only grows, and nobody draws conclusions from one number about another: hence relaxed.
#[derive(Debug)]
pub(super) struct Counts {
    round: Round,
    began: Micros,
    judged: JudgedAtomics,
    by_old: OutcomeAtomics,
    by_candidate: OutcomeAtomics,
    /// The bits of a number that is not negative: those are in the order of the numbers.
    peak_burst: AtomicU64,
    tenants: DashMap<Box<[u8]>, Tenant>,
    /// How many of those are named, and how many are not.
    watched: [AtomicUsize; 2],
}

impl Counts {
    pub(super) fn new(round: Round, began: Micros) -> Self {
        Self {
            round,
            began,
            judged: JudgedAtomics::default(),
            by_old: OutcomeAtomics::default(),
            by_candidate: OutcomeAtomics::default(),
            peak_burst: AtomicU64::new(0),
            tenants: DashMap::new(),
            watched: Default::default(),
        }
    }

    pub(super) fn round(&self) -> Round {
        self.round
    }

    /// Adds to the totals.
    pub(super) fn add(&self, judged: &Judged) {
        let totals = &self.judged;
        for (total, more) in [
            (&totals.requests, judged.requests),
            (&totals.conforming, judged.conforming),
            (&totals.now_denied, judged.now_denied),
            (&totals.now_admitted, judged.now_admitted),
            (&totals.breaches, judged.breaches),
        ] {
            if more > 0 {
                total.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// Adds to a tenant, if there is a place for it.
    pub(super) fn with_tenant(
        &self,
        name: &[u8],
        is_named: impl FnOnce() -> bool,
        add: impl FnOnce(&mut Tenant),
    ) {
        if let Some(mut tenant) = self.tenants.get_mut(name) {
            return add(&mut tenant);
        }
        let is_full = |watched: &AtomicUsize| watched.load(Ordering::Relaxed) >= MOST_WATCHED;
        if self.watched.iter().all(is_full) {
            return;
        }
        let watched = &self.watched[usize::from(is_named())];
        if watched.fetch_add(1, Ordering::Relaxed) >= MOST_WATCHED {
            watched.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        match self.tenants.entry(name.into()) {
            Entry::Vacant(place) => add(&mut place.insert(Tenant::default())),
            Entry::Occupied(mut tenant) => {
                watched.fetch_sub(1, Ordering::Relaxed);
                add(tenant.get_mut());
            }
        }
    }

    pub(super) fn forgive(&self, name: &[u8]) {
        if let Some(mut tenant) = self.tenants.get_mut(name) {
            tenant.isolation.restart();
            tenant.burst.mute();
        }
    }

    pub(super) fn burst(&self, ratio: f64) {
        self.peak_burst.fetch_max(ratio.max(0.0).to_bits(), Ordering::Relaxed);
    }

    pub(super) fn ended(&self, side: Side, server_error: bool, limiter_error: bool) {
        let outcomes = match side {
            Side::Old => &self.by_old,
            Side::Candidate => &self.by_candidate,
        };
        outcomes.requests.fetch_add(1, Ordering::Relaxed);
        outcomes.server_errors.fetch_add(u64::from(server_error), Ordering::Relaxed);
        outcomes.limiter_errors.fetch_add(u64::from(limiter_error), Ordering::Relaxed);
    }

    pub(super) fn tallies(&self) -> Tallies {
        let mut tallies = Tallies {
            judged: self.judged.read(),
            by_candidate: self.by_candidate.read(),
            by_old: self.by_old.read(),
            peak_burst: f64::from_bits(self.peak_burst.load(Ordering::Relaxed)),
            ..Tallies::new(self.round, self.began)
        };
        let tenants = self.tenants.iter().filter(|tenant| tenant.judged != Judged::default());
        let tally = |name: &[u8], judged| TenantTally::of(&String::from_utf8_lossy(name), judged);
        tallies.tenants = tenants.map(|tenant| tally(tenant.key(), tenant.judged)).collect();
        tallies.tenants.sort_unstable_by_key(|tenant| tenant.hash);
        tallies.keep(MOST_TENANTS);
        tallies
    }
}

impl JudgedAtomics {
    fn read(&self) -> Judged {
        Judged {
            requests: self.requests.load(Ordering::Relaxed),
            conforming: self.conforming.load(Ordering::Relaxed),
            now_denied: self.now_denied.load(Ordering::Relaxed),
            now_admitted: self.now_admitted.load(Ordering::Relaxed),
            breaches: self.breaches.load(Ordering::Relaxed),
        }
    }
}

impl OutcomeAtomics {
    fn read(&self) -> Outcomes {
        Outcomes {
            requests: self.requests.load(Ordering::Relaxed),
            server_errors: self.server_errors.load(Ordering::Relaxed),
            limiter_errors: self.limiter_errors.load(Ordering::Relaxed),
        }
    }
}
