//! The generic cell rate algorithm, in integers.
//!
//! A token bucket of capacity `C = quota + burst`, refilled at `quota / window`, is kept as one number: the
//! *theoretical arrival time* (TAT) at which it will be full again (ITU-T I.371, annex A; virtual scheduling). A
//! request of `cost` tokens moves the TAT by `cost` emission intervals `T = window / quota`, and is admitted if the
//! TAT then lies at most `C x T` ahead of now.
//!
//! `T` is seldom a whole number of nanoseconds (7 a minute), so time is counted in *ticks*, whose length each limit
//! chooses: `n` to the nanosecond, `1 <= n <= 512`. With `n = quota / gcd(quota, window)`, `T` is whole and the rate
//! exact. Where that would need more than 512, or more than fits a slow limit's 64 bits, `T` is rounded up by less than
//! a tick: the rate enforced is never above the one declared, and below it by at most `1 / (512 T)`, `T` in
//! nanoseconds: 0.2 % at 10^9 a second, two in a million at 10^6.

use crate::{LimitError, Nanos};

/// An instant or span in a limit's own ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticks(pub(crate) u64);

/// Ticks to the nanosecond, at most.
const FINEST: u64 = 512;

/// The longest time to fill an empty bucket, in ticks.
const LONGEST_FILL: u64 = 1 << 60;

/// Instants above this (26 days) count as this. Tables are rebased long before.
pub(crate) const LATEST: Nanos = Nanos::new(1 << 51);

/// The largest TAT that arithmetic here can yield: `LATEST` in the finest ticks, plus a full bucket and a full debt.
pub(crate) const LARGEST_TAT: u64 = LATEST.get() * FINEST + 2 * LONGEST_FILL;

/// A token bucket's limit, ready for arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gcra {
    ticks_per_nano: u64,
    /// T: ticks to refill one token.
    emission: u64,
    /// C x T: ticks to fill an empty bucket.
    fill: u64,
    capacity: u64,
    quota: u64,
    window: Nanos,
}

impl Gcra {
    /// # Errors
    /// A window of zero, more than 10^9 tokens a second, or a bucket that takes over 36 years to fill. A quota of
    /// zero fills never, and is refused as too slow.
    pub fn new(quota: u64, burst: u64, window: Nanos) -> Result<Self, LimitError> {
        let window_nanos = window.get();
        let capacity = quota.saturating_add(burst);
        if window_nanos == 0 {
            return Err(LimitError::NoWindow);
        }
        if u128::from(quota) > u128::from(window_nanos) {
            return Err(LimitError::TooFast { quota, window_nanos });
        }
        if quota == 0 {
            return Err(LimitError::TooSlow { capacity });
        }
        let fill_nanos = (u128::from(capacity) * u128::from(window_nanos)).div_ceil(u128::from(quota));
        let longest = u128::from(LONGEST_FILL);
        if fill_nanos > longest {
            return Err(LimitError::TooSlow { capacity });
        }
        let exact = quota / gcd(quota, window_nanos);
        // One less than fits: rounding T up lengthens the fill by less than one tick per token, and T >= 1 tick.
        let affordable =
            u64::try_from(longest / (fill_nanos + u128::from(capacity))).unwrap_or(FINEST).clamp(1, FINEST);
        let ticks_per_nano = exact.min(affordable);
        let emission = (u128::from(window_nanos) * u128::from(ticks_per_nano)).div_ceil(u128::from(quota));
        match (u64::try_from(emission), u64::try_from(emission * u128::from(capacity))) {
            (Ok(emission), Ok(fill)) if fill <= LONGEST_FILL => {
                Ok(Self { ticks_per_nano, emission, fill, capacity, quota, window })
            }
            _ => Err(LimitError::TooSlow { capacity }),
        }
    }

    /// Tokens granted per window.
    #[must_use]
    pub const fn quota(&self) -> u64 {
        self.quota
    }

    /// Tokens on top of the quota that a full bucket holds.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.capacity - self.quota
    }

    /// The time in which the quota is refilled.
    #[must_use]
    pub const fn window(&self) -> Nanos {
        self.window
    }

    /// `quota + burst`: the tokens in a full bucket.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// An instant in this limit's ticks.
    #[inline]
    pub(crate) fn instant(&self, since_epoch: Nanos) -> Ticks {
        Ticks(since_epoch.min(LATEST).get() * self.ticks_per_nano)
    }

    /// A span of ticks in time, rounded up.
    #[inline]
    pub(crate) fn span(&self, ticks: Ticks) -> Nanos {
        if self.ticks_per_nano == 1 {
            Nanos::new(ticks.0)
        } else {
            Nanos::new(ticks.0.div_ceil(self.ticks_per_nano))
        }
    }

    /// The TAT after admitting `cost` at `now`, or how long after `now` that would be admitted.
    ///
    /// A `cost` above the capacity is never admitted: `Err(None)`.
    #[inline]
    pub(crate) fn admit(&self, tat: Ticks, now: Ticks, cost: u64) -> Result<Ticks, Option<Ticks>> {
        if cost > self.capacity {
            return Err(None);
        }
        // cost * emission <= fill <= LONGEST_FILL, and tat <= LARGEST_TAT: no overflow.
        let charged = tat.max(now).0 + cost * self.emission;
        let ahead = charged - now.0;
        if ahead <= self.fill { Ok(Ticks(charged)) } else { Err(Some(Ticks(ahead - self.fill))) }
    }

    /// The TAT after taking `cost` tokens at `now` whether they are there or not, into a debt of one capacity at most.
    pub(crate) fn take(&self, tat: Ticks, now: Ticks, cost: u64) -> Ticks {
        let charged = tat.max(now).0 + cost.min(2 * self.capacity) * self.emission;
        Ticks(charged.min(now.0 + 2 * self.fill))
    }

    /// The TAT after giving `cost` tokens back at `now`: never more than a full bucket.
    pub(crate) fn give(&self, tat: Ticks, now: Ticks, cost: u64) -> Ticks {
        Ticks(tat.0.saturating_sub(cost.saturating_mul(self.emission)).max(now.0))
    }

    /// The TAT under another limit with as many tokens spent; a bucket that is emptier than empty there is empty, and a
    /// debt stays one. `now` and `there` are the same instant, in the ticks of either.
    pub(crate) fn carried(&self, tat: Ticks, now: Ticks, to: &Self, there: Ticks) -> Ticks {
        let ahead = tat.0.saturating_sub(now.0);
        let spent = ahead.min(self.fill);
        let scaled = |ticks: u64| {
            // Rounded up by less than a tick: nobody gains by a change.
            let ticks = (u128::from(ticks) * u128::from(to.emission)).div_ceil(u128::from(self.emission));
            u64::try_from(ticks).unwrap_or(u64::MAX).min(to.fill)
        };
        Ticks(there.0 + scaled(spent) + scaled((ahead - spent).min(self.fill)))
    }

    /// Whole tokens left.
    #[inline]
    pub(crate) fn remaining(&self, tat: Ticks, now: Ticks) -> u64 {
        let ahead = tat.0.saturating_sub(now.0);
        self.fill.saturating_sub(ahead) / self.emission
    }

    /// Whole tokens spent, with the debt, rounded up.
    pub(crate) fn spent(&self, tat: Ticks, now: Ticks) -> u64 {
        tat.0.saturating_sub(now.0).div_ceil(self.emission)
    }

    /// The TAT in a count of time that begins so much later.
    pub(crate) fn rebased(&self, tat: Ticks, later: Nanos) -> Ticks {
        Ticks(tat.0.saturating_sub(later.get().saturating_mul(self.ticks_per_nano)))
    }

    /// Until the bucket is full.
    #[inline]
    pub(crate) fn until_full(&self, tat: Ticks, now: Ticks) -> Nanos {
        self.span(Ticks(tat.0.saturating_sub(now.0)))
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
