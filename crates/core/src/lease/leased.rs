//! The tokens that an instance holds of a shared bucket.
//!
//! The state is how many, and until when: 31 bits each, but for one that says that there are none to be had. So spending them
//! is the same compare-and-swap as charging a bucket of one's own, and needs nobody else.
//!
//! | bits     | meaning                                                                                  |
//! |----------|------------------------------------------------------------------------------------------|
//! | 32 to 61 | the deadline, in units of 2^21 ns (2.1 ms) since the table's epoch, rounded down         |
//! | 31       | until then the shared bucket is known to be empty                                        |
//! | 0 to 30  | tokens, which end at the deadline                                                        |
//!
//! A state of 1, which is what a bucket begins with, holds a token that ended with the epoch: none.

use super::exchange::{MOST_TOKENS, SharedLimit};
use crate::gcra::LATEST;
use crate::moment::Moment;
use crate::time::Epoch;
use crate::{Algorithm, Nanos};

/// What [`Leased::admit`] refuses with where a lease may help: there is no wait to be told yet.
pub(crate) const AWAITS_LEASE: Option<Nanos> = Some(Nanos::ZERO);

/// So much sooner than it was set a deadline may be, since it is rounded down: what ends within this time has ended already.
pub(crate) const ROUNDING: Nanos = Nanos::new(1 << UNIT);

const EMPTY: u64 = 1 << 31;
/// Of an instant beside tokens: 2^21 ns, as a number of bits.
pub(crate) const UNIT: u32 = 21;
const DEADLINE: u32 = 32;

/// A limit on a shared bucket, of which tokens are leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leased(SharedLimit);

impl Leased {
    /// `None` if the bucket would hold more tokens than [`MOST_TOKENS`], or none, or if it has slots instead.
    #[must_use]
    pub fn new(limit: SharedLimit) -> Option<Self> {
        let counts = limit.algorithm != Algorithm::Concurrency;
        (counts && limit.quota >= 1 && (limit.quota..=MOST_TOKENS).contains(&limit.capacity))
            .then_some(Self(limit))
    }

    /// The limit on the shared bucket.
    #[inline]
    #[must_use]
    pub const fn limit(&self) -> &SharedLimit {
        &self.0
    }

    /// The state without `cost` tokens; or until when there are none, [`AWAITS_LEASE`], or `None` for never.
    #[inline]
    pub(crate) fn admit(&self, state: u64, now: Moment, cost: u64) -> Result<u64, Option<Nanos>> {
        if cost == 0 {
            return Ok(state);
        }
        if cost > self.0.capacity {
            return Err(None);
        }
        let left = left(state, now);
        if left == Nanos::ZERO {
            return Err(AWAITS_LEASE);
        }
        if tokens(state) >= cost {
            return Ok(state - cost);
        }
        Err(if state & EMPTY == 0 { AWAITS_LEASE } else { Some(left) })
    }

    /// The state without `cost` tokens, or with none.
    pub(crate) fn without(state: u64, now: Moment, cost: u64) -> u64 {
        state.max(1) - Self::held(state, now).min(cost)
    }

    /// The state once the shared bucket has been filled by hand: what was known of it is not so any more.
    pub(crate) fn reset(state: u64) -> u64 {
        if state & EMPTY == 0 { state.max(1) } else { 1 }
    }

    /// Until the bucket is full, for all that is known here; for a window, until its end.
    pub(crate) fn until_full(&self, state: u64, now: Moment) -> Nanos {
        let SharedLimit { algorithm, capacity, window, .. } = self.0;
        if algorithm != Algorithm::TokenBucket {
            return window.end(now.wall()).since(now.wall());
        }
        self.0.refill_time(capacity - Self::held(state, now).min(capacity))
    }

    /// Tokens that can be spent.
    #[inline]
    pub(crate) fn held(state: u64, now: Moment) -> u64 {
        if left(state, now) == Nanos::ZERO { 0 } else { tokens(state) }
    }

    /// Tokens that are there, be it too late to spend them.
    pub(crate) fn left_behind(state: u64) -> u64 {
        if state <= 1 { 0 } else { tokens(state) }
    }

    /// So many tokens until a deadline.
    pub(crate) fn holding(tokens: u64, deadline: Nanos, epoch: Epoch) -> u64 {
        unit_of(deadline, epoch) << DEADLINE | tokens.min(MOST_TOKENS)
    }

    /// None, and none to be had until an instant.
    pub(crate) fn empty(until: Nanos, epoch: Epoch) -> u64 {
        unit_of(until, epoch) << DEADLINE | EMPTY
    }

    /// Does it say anything that is still true?
    pub(crate) fn is_live(state: u64, now: Moment) -> bool {
        state & EMPTY == 0 && tokens(state) > 0 && left(state, now) > Nanos::ZERO
    }

    /// The same state in a table that counts from another epoch.
    pub(crate) fn rebased(state: u64, from: Epoch, to: Epoch) -> u64 {
        // Rounded to the next unit down: a lease never becomes longer.
        let units = to.monotonic.since(from.monotonic).get().div_ceil(1 << UNIT);
        let deadline = (state >> DEADLINE).saturating_sub(units);
        deadline << DEADLINE | state & ((1 << DEADLINE) - 1)
    }

    /// The same under another limit: tokens that have been leased are what they are, and whether there are more is not known.
    pub(crate) fn carried(state: u64, to: &Self) -> u64 {
        if state & EMPTY != 0 {
            return 1;
        }
        state & !MOST_TOKENS | tokens(state).min(to.0.capacity)
    }
}

fn tokens(state: u64) -> u64 {
    state & MOST_TOKENS
}

/// How long until the deadline; zero if it is over.
#[inline]
fn left(state: u64, now: Moment) -> Nanos {
    Nanos::new((state >> DEADLINE) << UNIT).since(now.since.min(LATEST))
}

fn unit_of(instant: Nanos, epoch: Epoch) -> u64 {
    // As a table's moments count, and less than 2^30.
    let since = instant.since(epoch.monotonic) + Nanos::new(1);
    since.min(Nanos::new(LATEST.get() - 1)).get() >> UNIT
}

#[cfg(test)]
mod tests;
