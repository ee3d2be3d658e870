//! Concurrency: at most so many at once.
//!
//! The state is the number of holders plus 1. It does not change with time: a slot comes back when its holder gives it.

use crate::{LimitError, Nanos};

/// The most holders that can be declared.
const MOST: u64 = 1 << 31;

/// When a slot comes back is unknown; this is how long whoever was refused is told to wait.
pub(crate) const RETRY_HINT: Nanos = Nanos::from_secs(1);

/// A limit on what is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    most: u64,
}

impl Concurrency {
    /// # Errors
    /// No holder, or more than 2^31.
    pub const fn new(most: u64) -> Result<Self, LimitError> {
        match most {
            0 => Err(LimitError::NoQuota),
            1..=MOST => Ok(Self { most }),
            _ => Err(LimitError::TooLarge { capacity: most, most: MOST }),
        }
    }

    /// How many may be in flight.
    #[must_use]
    pub const fn most(&self) -> u64 {
        self.most
    }

    /// The state with `cost` more holders; where there is no room for them, a hint of one second, or `None` if there
    /// never is.
    #[inline]
    pub(crate) fn admit(self, state: u64, cost: u64) -> Result<u64, Option<Nanos>> {
        if cost > self.most {
            return Err(None);
        }
        let holders = self.spent(state) + cost;
        if holders <= self.most { Ok(Self::with_spent(holders)) } else { Err(Some(RETRY_HINT)) }
    }

    /// The state with `cost` more holders whether there is room or not, up to twice as many as may be.
    pub(crate) fn take(self, state: u64, cost: u64) -> u64 {
        let holders = self.spent(state);
        // Under a limit that was lowered there may be more already, and each of them will be given back.
        Self::with_spent(holders.saturating_add(cost).min(2 * self.most).max(holders))
    }

    /// The state with `cost` holders less.
    pub(crate) fn give(self, state: u64, cost: u64) -> u64 {
        Self::with_spent(self.spent(state).saturating_sub(cost))
    }

    /// How many more may hold.
    #[inline]
    pub(crate) fn remaining(self, state: u64) -> u64 {
        self.most.saturating_sub(self.spent(state))
    }

    /// How many hold: more than may, if the limit was lowered meanwhile.
    #[inline]
    #[expect(clippy::unused_self, reason = "as the other meters have it")]
    pub(crate) const fn spent(self, state: u64) -> u64 {
        state.saturating_sub(1)
    }

    /// A state with so many holders. They carry over to another limit whole, because each will be given back.
    pub(crate) fn with_spent(holders: u64) -> u64 {
        // Two capacities at most, so it is far below 2^62 whoever calls.
        holders.min(2 * MOST) + 1
    }
}

#[cfg(test)]
mod tests;
