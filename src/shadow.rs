//! The engine of the policy that is judged beside the one that decides: by itself in a process by itself, and where buckets are a
//! fleet's, with shared buckets of its own, so that both policies see all requests of a tenant.

use std::sync::Arc;

use tollgate_core::Engine;
use tollgate_core::comparison::{Comparison, Side};
use tollgate_core::lease::{OnFailure, Settings};
use tollgate_core::policy::Compiled;
use tollgate_redis::Driver;
use tollgate_redis::deployment::Comparing;

use crate::error::{Result, internal};
use crate::namespace::hasher;
use crate::sharing::{Sharing, runtime};

/// A comparison, and what leases tokens for it.
pub struct Shadow {
    pub comparison: Comparison,
    /// Ends when it is dropped: what it holds is given back.
    pub driver: Option<Driver>,
}

impl Shadow {
    /// Of the policy that does not decide, beside the engine of the one that does, in a namespace that is shared by these options, if it
    /// is.
    pub fn new(
        comparing: &Comparing,
        other: Compiled,
        live: &Engine,
        namespace: &str,
        sharing: Option<&str>,
    ) -> Result<Self> {
        let capacity = live.capacity();
        let now = crate::clock::epoch(crate::clock::now(), false);
        let (engine, driver) = match sharing {
            None => (Arc::new(Engine::new(hasher(), other, capacity, now).map_err(internal)?), None),
            Some(options) => {
                // Neither the two policies of a rollout nor those of two rollouts have buckets in common.
                let (revision, policy) = (comparing.round.revision, comparing.other);
                let sharing = Sharing::read(options, &format!("{namespace}/judged/{revision}/{policy}"))?;
                // What is admitted by a share says nothing of the policy: it is not judged, but debited.
                let settings = Settings { on_failure: OnFailure::Deny, credit: 0, ..sharing.settings };
                let engine = Engine::shared(hasher(), other, capacity, now, settings);
                let engine = Arc::new(engine.map_err(internal)?);
                if let (Some(judged), Some(fleet)) = (engine.fleet(), live.fleet()) {
                    // Else whoever is at its limit would have a fresh burst under the one policy, and none under the other.
                    judged.inherit(fleet, now.monotonic);
                }
                let clock = crate::clock::now;
                let driver = Driver::start(&runtime()?, Arc::clone(&engine), sharing.backends, clock, |_| ());
                (engine, driver)
            }
        };
        let side = if comparing.by_candidate { Side::Candidate } else { Side::Old };
        let comparison = Comparison::new(engine, comparing.round, comparing.began, side);
        Ok(Self { comparison, driver })
    }
}
