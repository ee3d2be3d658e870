//! What is left in shared buckets, beside the table: for what decisions tell, not for what they decide.
//!
//! One number for each slot: whole tokens that were left in the shared bucket when it was asked last (31 bits), and when that was
//! (32 bits, in units of 2^21 ns since the table's epoch). It is not carried to the next table: there it is unknown until the next
//! answer, and decisions tell of what this instance holds.

use std::io;

use crate::lease::UNIT;
#[cfg(not(loom))]
use crate::lease::exchange::MOST_TOKENS;
use crate::lease::exchange::SharedLimit;
use crate::moment::Moment;
#[cfg(not(loom))]
use crate::sync::{AtomicU64, Ordering};
use crate::{Algorithm, Decision, Nanos};

#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Views(tollgate_pages::Zeroed<AtomicU64>);

#[cfg(not(loom))]
impl Views {
    /// # Errors
    /// The system has no room for them.
    pub(crate) fn new(slots: usize) -> io::Result<Self> {
        tollgate_pages::Zeroed::new(slots).map(Self)
    }

    /// So many tokens are left at an instant, besides those that are held.
    pub(crate) fn set(&self, index: usize, left: u64, at: Moment) {
        if let Some(view) = self.0.get(index) {
            let at = (at.since.get() >> UNIT).min(u64::from(u32::MAX - 1)) + 1;
            view.store(left.min(MOST_TOKENS) << 32 | at, Ordering::Relaxed);
        }
    }

    fn get(&self, index: usize) -> u64 {
        self.0.get(index).map_or(0, |view| view.load(Ordering::Relaxed))
    }
}

#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Views;

#[cfg(loom)]
impl Views {
    pub(crate) fn new(_slots: usize) -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn set(&self, _index: usize, _left: u64, _at: Moment) {}

    fn get(&self, _index: usize) -> u64 {
        0
    }
}

impl Views {
    /// A decision on a shared bucket that tells what is left of it, and when it will be full, for all that is known.
    #[inline]
    pub(crate) fn told(
        &self,
        index: usize,
        limit: &SharedLimit,
        decision: Decision,
        now: Moment,
    ) -> Decision {
        let view = self.get(index);
        if view == 0 {
            return decision;
        }
        // Less one unit: it was counted from 1.
        let at = Moment { since: Nanos::new(((view & u64::from(u32::MAX)) - 1) << UNIT | 1), ..now };
        let left = match limit.algorithm {
            Algorithm::TokenBucket => {
                let refilled = u128::from(limit.quota) * u128::from(now.since.since(at.since).get());
                let window = u128::from(limit.window.shortest().get());
                let refilled = u64::try_from(refilled / window).unwrap_or(u64::MAX);
                (view >> 32).saturating_add(refilled)
            }
            // When slots come back, nobody knows.
            Algorithm::Concurrency => view >> 32,
            _ if limit.window.index(at.wall()) != limit.window.index(now.wall()) => limit.capacity,
            _ => view >> 32,
        };
        let remaining = decision.remaining.saturating_add(left).min(limit.capacity);
        let reset = match limit.algorithm {
            Algorithm::TokenBucket => limit.refill_time(limit.capacity - remaining),
            _ => decision.reset,
        };
        Decision { remaining, reset, ..decision }
    }
}
