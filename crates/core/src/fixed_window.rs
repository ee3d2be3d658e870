//! Fixed windows: a count that begins anew with each window.
//!
//! A window grants `C = quota + burst` tokens, all of them from its beginning on, and no aligned window ever admits more.
//! Any time `t` touches at most `ceil(t / window) + 1` windows, so it admits at most that many times `C`.
//!
//! What is taken beyond `C` is a debt: it goes on into the next window, and each window that passes forgives `C` of it.
//! The state is the window's number ([`crate::numbering`]) and the tokens used, at most `2 C`.

use crate::moment::Moment;
use crate::numbering::Numbering;
use crate::{LimitError, Nanos, Window};

/// A fixed window's limit, ready for arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedWindow {
    numbering: Numbering,
    quota: u64,
    capacity: u64,
}

/// What a state says at an instant.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The present window, or a later one that was counted in before a clock was set back.
    number: u64,
    used: u64,
}

impl FixedWindow {
    /// # Errors
    /// A window or quota of zero, more than 10^9 tokens a second, or more tokens than fit beside the number of the window:
    /// 500 in a nanosecond, 5 x 10^8 in a millisecond, 7 x 10^13 in a minute, 5 x 10^17 in a month.
    pub fn new(quota: u64, burst: u64, window: Window) -> Result<Self, LimitError> {
        let capacity = LimitError::check_window(quota, burst, window)?;
        let numbering = Numbering::new(window);
        let most = ((1 << numbering.count_bits()) - 1) / 2;
        if capacity > most {
            return Err(LimitError::TooLarge { capacity, most });
        }
        Ok(Self { numbering, quota, capacity })
    }

    /// Tokens granted per window.
    #[must_use]
    pub const fn quota(&self) -> u64 {
        self.quota
    }

    /// Tokens on top of the quota that a window grants.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.capacity - self.quota
    }

    /// `quota + burst`: the tokens in a window.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The window, as declared.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.numbering.window()
    }

    /// The state after admitting `cost`, or how long until it would be admitted; `None` is never.
    #[inline]
    pub(crate) fn admit(&self, state: u64, now: Moment, cost: u64) -> Result<u64, Option<Nanos>> {
        if cost > self.capacity {
            return Err(None);
        }
        let Reading { number, used } = self.read(state, now);
        // At most 3 C: no overflow.
        let wanted = used + cost;
        if wanted <= self.capacity {
            return Ok(self.numbering.write(number, wanted));
        }
        Err(Some(self.until_passed(number, (wanted - self.capacity).div_ceil(self.capacity), now)))
    }

    /// The state after taking `cost` whether it is there or not, into a debt of one capacity at most.
    pub(crate) fn take(&self, state: u64, now: Moment, cost: u64) -> u64 {
        let Reading { number, used } = self.read(state, now);
        self.numbering.write(number, used.saturating_add(cost).min(2 * self.capacity))
    }

    /// The state after giving `cost`: never more than a full window.
    pub(crate) fn give(&self, state: u64, now: Moment, cost: u64) -> u64 {
        let Reading { number, used } = self.read(state, now);
        self.numbering.write(number, used.saturating_sub(cost))
    }

    /// The state after giving back `cost` that was charged at another instant: nothing, if that was in another window.
    pub(crate) fn give_back(&self, state: u64, now: Moment, charged_at: Moment, cost: u64) -> u64 {
        let Reading { number, .. } = self.read(state, now);
        let window = self.window();
        let same = window.index(charged_at.wall()) == window.index(now.epoch).saturating_add(number);
        self.give(state, now, if same { cost } else { 0 })
    }

    /// Tokens left.
    #[inline]
    pub(crate) fn remaining(&self, state: u64, now: Moment) -> u64 {
        self.capacity.saturating_sub(self.spent(state, now))
    }

    /// Until nothing is spent.
    #[inline]
    pub(crate) fn until_full(&self, state: u64, now: Moment) -> Nanos {
        let Reading { number, used } = self.read(state, now);
        if used == 0 { Nanos::ZERO } else { self.until_passed(number, used.div_ceil(self.capacity), now) }
    }

    /// Would dropping this state change any decision?
    pub(crate) fn is_live(&self, state: u64, now: Moment) -> bool {
        let Reading { number, used } = self.read(state, now);
        used > 0 || number > self.numbering.present(now)
    }

    /// Tokens spent, with the debt: at most twice the capacity.
    #[inline]
    pub(crate) fn spent(&self, state: u64, now: Moment) -> u64 {
        self.read(state, now).used
    }

    /// A state with as many tokens spent in the present window.
    pub(crate) fn with_spent(&self, now: Moment, spent: u64) -> u64 {
        self.numbering.write(self.numbering.present(now), spent.min(2 * self.capacity))
    }

    /// A state with as many tokens spent, in the window that `state` speaks of under a limit `from` with equal windows.
    pub(crate) fn continued(&self, from: &Self, state: u64, now: Moment, spent: u64) -> u64 {
        self.numbering.write(from.read(state, now).number, spent.min(2 * self.capacity))
    }

    /// The same state, counted from another epoch.
    pub(crate) fn rebased(&self, state: u64, from: Nanos, to: Nanos) -> u64 {
        let Some((number, used)) = self.numbering.read(state) else { return state };
        let (number, passed) = self.numbering.rebased(number, from, to);
        self.numbering.write(number, self.forgiven(used, passed))
    }

    #[inline]
    fn read(&self, state: u64, now: Moment) -> Reading {
        let present = self.numbering.present(now);
        let Some((number, used)) = self.numbering.read(state) else {
            return Reading { number: present, used: 0 };
        };
        let used = self.forgiven(used, present.saturating_sub(number));
        Reading { number: present.max(number), used }
    }

    /// What is still used of a count when so many windows have passed.
    #[inline]
    fn forgiven(&self, used: u64, passed: u64) -> u64 {
        used.saturating_sub(self.capacity.saturating_mul(passed))
    }

    /// Until this window and the next ones, `windows` in all, are over.
    fn until_passed(&self, number: u64, windows: u64, now: Moment) -> Nanos {
        self.numbering.start(number.saturating_add(windows), now.epoch).since(now.wall())
    }
}

#[cfg(test)]
mod tests;
