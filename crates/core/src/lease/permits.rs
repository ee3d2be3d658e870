//! The slots of a limit on concurrency that an instance may fill without asking.
//!
//! The state is how many requests may be in flight here, how many are, and until when they may begin. So taking a slot is one
//! compare-and-swap, as in a process by itself, and so is giving it back.
//!
//! | bits     | meaning                                                                                       |
//! |----------|-----------------------------------------------------------------------------------------------|
//! | 35 to 61 | the deadline, in units of 2^24 ns (17 ms) since the table's epoch, rounded down               |
//! | 32 to 34 | the mark: how much of the permits was used at most since the record looked; or that no more    |
//! |          | are to be had before the deadline                                                             |
//! | 16 to 31 | requests in flight, which stay so whatever the deadline says                                  |
//! | 0 to 15  | permits, which end at the deadline                                                            |
//!
//! A state of 1, which is what a bucket begins with, holds a permit that ended with the epoch: none.
//!
//! The mark is there because a record looks once in an interval, and requests may come and go between two looks. Of `p`
//! permits, a mark of 6 says that more than `p / 2` were used at once, 5 that no more than that were, 4 that no more
//! than `p / 4`, and so on; 0 that none was taken.

use super::AWAITS_LEASE;
use super::exchange::{MOST_PERMITS, SharedLimit};
use crate::concurrency::RETRY_HINT;
use crate::gcra::LATEST;
use crate::moment::Moment;
use crate::time::Epoch;
use crate::{Algorithm, Nanos};

const IN_FLIGHT: u32 = 16;
const MARK: u32 = 32;
const DEADLINE: u32 = 35;
/// Of a deadline: 2^24 ns, as a number of bits.
const UNIT: u32 = 24;
/// More than half of the permits were used at once.
const HIGH: u64 = 6;
/// No more permits are to be had.
const FULL: u64 = 7;

/// A limit on requests in flight across a fleet, of which permits are leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permits(SharedLimit);

/// What a state says, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) permits: u64,
    pub(crate) in_flight: u64,
    /// Are the permits over? Then they may not be used, whatever a later deadline says.
    pub(crate) lapsed: bool,
    /// The most requests that may have been in flight at once since a state was written by [`Held::state`].
    pub(crate) most: u64,
}

impl Permits {
    /// `None` if more may be in flight than [`MOST_PERMITS`], or none, or if it counts tokens.
    #[must_use]
    pub fn new(limit: SharedLimit) -> Option<Self> {
        let counts = limit.algorithm == Algorithm::Concurrency;
        (counts && (1..=MOST_PERMITS).contains(&limit.capacity)).then_some(Self(limit))
    }

    /// The limit on the shared bucket.
    #[inline]
    #[must_use]
    pub const fn limit(&self) -> &SharedLimit {
        &self.0
    }

    /// The state with `cost` more in flight; or a hint of how long there is no room, [`AWAITS_LEASE`], or `None` for never.
    #[inline]
    pub(crate) fn admit(&self, state: u64, now: Moment, cost: u64) -> Result<u64, Option<Nanos>> {
        if cost == 0 {
            return Ok(state);
        }
        if cost > self.0.capacity {
            return Err(None);
        }
        if is_over(state, now) {
            return Err(AWAITS_LEASE);
        }
        let (permits, in_flight, mark) = (permits(state), in_flight(state) + cost, mark(state));
        if in_flight > permits {
            return Err(if mark == FULL { Some(RETRY_HINT) } else { AWAITS_LEASE });
        }
        let mark = mark.max(mark_of(permits, in_flight));
        let rest = state & !(u64::MAX << IN_FLIGHT & !(u64::MAX << DEADLINE));
        Ok(rest | in_flight << IN_FLIGHT | mark << MARK)
    }

    /// The state with `cost` more in flight, be there room or not.
    pub(crate) fn take(state: u64, cost: u64) -> u64 {
        with_in_flight(state, in_flight(state).saturating_add(cost).min(MOST_PERMITS))
    }

    /// The state with `cost` less in flight, whatever the deadline says.
    #[inline]
    pub(crate) fn give(state: u64, cost: u64) -> u64 {
        with_in_flight(state, in_flight(state).saturating_sub(cost))
    }

    /// How many may begin without asking.
    #[inline]
    pub(crate) fn spare(state: u64, now: Moment) -> u64 {
        if is_over(state, now) { 0 } else { permits(state).saturating_sub(in_flight(state)) }
    }

    /// How many are in flight.
    #[inline]
    pub(crate) fn in_flight(state: u64) -> u64 {
        in_flight(state)
    }

    /// Does it say anything that is still true? What is in flight is, until it is given back.
    pub(crate) fn is_live(state: u64, now: Moment) -> bool {
        in_flight(state) > 0 || permits(state) > 0 && !is_over(state, now)
    }

    /// The same state in a table that counts from another epoch.
    pub(crate) fn rebased(state: u64, from: Epoch, to: Epoch) -> u64 {
        // Rounded to the next unit down: permits never last longer.
        let units = to.monotonic.since(from.monotonic).get().div_ceil(1 << UNIT);
        let deadline = (state >> DEADLINE).saturating_sub(units);
        deadline << DEADLINE | state & !(u64::MAX << DEADLINE)
    }

    /// The same under another limit: who is in flight stays so. Under a lower one, permits that are not used are asked for again,
    /// for others may have theirs still.
    pub(crate) fn carried(&self, state: u64, to: &Self) -> u64 {
        let in_flight = in_flight(state);
        let permits =
            if to.0.capacity < self.0.capacity { permits(state).min(in_flight) } else { permits(state) };
        let mark = if mark(state) == FULL { 0 } else { mark(state) };
        (state >> DEADLINE << DEADLINE | mark << MARK | in_flight << IN_FLIGHT | permits).max(1)
    }

    /// The state of a bucket that a block has been lifted from by hand: whether there are more permits is not known any more.
    pub(crate) fn reset(state: u64) -> u64 {
        if mark(state) == FULL { (state & !(FULL << MARK)).max(1) } else { state.max(1) }
    }
}

impl Held {
    /// At an instant of the clock that an epoch is told by.
    pub(crate) fn of(state: u64, now: Nanos, epoch: Epoch) -> Self {
        let (permits, in_flight) = (permits(state), in_flight(state));
        let used = match mark(state) {
            0 => 0,
            // It is full because a request found no permit left.
            FULL => permits,
            mark => permits >> (HIGH - mark),
        };
        let lapsed = is_over(state, Moment::new(now, epoch));
        Self { permits, in_flight, lapsed, most: used.max(in_flight) }
    }

    /// What counts for this instance: what may be in flight here.
    pub(crate) fn counts(&self) -> u64 {
        if self.lapsed { self.in_flight } else { self.permits.max(self.in_flight) }
    }

    /// A state with so many permits until a deadline, beside what is in flight; `full`: no more are to be had. Use is counted anew.
    pub(crate) fn state(&self, permits: u64, deadline: Nanos, full: bool, epoch: Epoch) -> u64 {
        // As a table's moments count, and less than 2^27 units.
        let since = (deadline.since(epoch.monotonic) + Nanos::new(1)).min(Nanos::new(LATEST.get() - 1));
        let permits = permits.min(MOST_PERMITS);
        let mark = if full { FULL } else { mark_of(permits, self.in_flight) };
        (since.get() >> UNIT) << DEADLINE | mark << MARK | self.in_flight << IN_FLIGHT | permits
    }
}

#[inline]
fn permits(state: u64) -> u64 {
    state & MOST_PERMITS
}

#[inline]
fn in_flight(state: u64) -> u64 {
    state >> IN_FLIGHT & MOST_PERMITS
}

#[inline]
fn mark(state: u64) -> u64 {
    state >> MARK & FULL
}

/// How much of the permits so many in flight use; 0 for none.
#[inline]
fn mark_of(permits: u64, in_flight: u64) -> u64 {
    if in_flight == 0 {
        return 0;
    }
    let halvings = (1..HIGH).take_while(|halvings| permits >> halvings >= in_flight).count() as u64;
    HIGH - halvings
}

fn with_in_flight(state: u64, in_flight: u64) -> u64 {
    (state & !(MOST_PERMITS << IN_FLIGHT) | in_flight << IN_FLIGHT).max(1)
}

#[inline]
fn is_over(state: u64, now: Moment) -> bool {
    (state >> DEADLINE) << UNIT <= now.since.min(LATEST).get()
}

#[cfg(test)]
mod tests;
