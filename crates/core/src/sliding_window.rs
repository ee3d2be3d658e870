//! Sliding windows: two aligned windows, of which the earlier one weighs as much as is left of the later one.
//!
//! With `previous` and `current` tokens counted in two windows, and a part `r` of the current one left, `used = previous x
//! r + current`, rounded up. A request is admitted if that is at most `C = quota + burst` with it.
//!
//! **The bound.** An aligned window admits at most `C`, since `current <= used <= C`. Any time `t` admits at most
//! `C x (1 + t / window)`: let it touch the windows 0 to `n`, a part `p > 0` of the first and a part `f` of the last, so
//! `t / window = p + n - 1 + f`. Windows 0 to `n - 2` admit `C` each at most. Let window `n - 1` admit `x <= C`; at the last
//! admission `1 - f` of window `n` is left, so that one admits at most `C - x (1 - f)`, and both at most `C + x f <= C (1 + f)`.
//! The sum is at most `C (n + f) = C (1 + t / window - p)`. For `n = 0` it is `C`. Rounding up only admits less.
//!
//! What is taken beyond `C` is a debt, and weighs less and less once its window is over, as everything does.
//! The state is the window's number ([`crate::numbering`]) and both counts, at most `2 C` each.

use crate::moment::Moment;
use crate::numbering::Numbering;
use crate::{LimitError, Nanos, Window};

/// A sliding window's limit, ready for arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingWindow {
    numbering: Numbering,
    length: Nanos,
    quota: u64,
    capacity: u64,
}

/// What a state says at an instant.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The present window, or a later one that was counted in before a clock was set back.
    number: u64,
    previous: u64,
    current: u64,
    /// What is left of the window: at most its length, at least a nanosecond.
    left: Nanos,
    /// Until the window ends: more than its length if it is a later one.
    until_end: Nanos,
}

impl SlidingWindow {
    /// # Errors
    /// A calendar window, a window or quota of zero, more than 10^9 tokens a second, or more tokens than fit twice beside
    /// the number of the window: 16,383 in a millisecond, 524,287 in a second, 4 x 10^6 in a minute, 10^8 in a day.
    pub fn new(quota: u64, burst: u64, window: Window) -> Result<Self, LimitError> {
        let Window::Span(length) = window else { return Err(LimitError::CalendarWindow) };
        let capacity = LimitError::check_window(quota, burst, window)?;
        let numbering = Numbering::new(window);
        let most = ((1 << (numbering.count_bits() / 2)) - 1) / 2;
        if capacity > most {
            return Err(LimitError::TooLarge { capacity, most });
        }
        Ok(Self { numbering, length, quota, capacity })
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
        let reading = self.read(state, now);
        // At most 3 C: no overflow.
        if self.used(&reading) + cost <= self.capacity {
            return Ok(self.write(reading.number, reading.previous, reading.current + cost));
        }
        Err(Some(self.wait(&reading, cost)))
    }

    /// The state after taking `cost` whether it is there or not, into a debt of one capacity at most.
    pub(crate) fn take(&self, state: u64, now: Moment, cost: u64) -> u64 {
        let reading = self.read(state, now);
        self.arranged(&reading, self.used(&reading).saturating_add(cost))
    }

    /// The state after giving `cost`, from the current window first: never more than a full bucket.
    pub(crate) fn give(&self, state: u64, now: Moment, cost: u64) -> u64 {
        let reading = self.read(state, now);
        self.arranged(&reading, self.used(&reading).saturating_sub(cost))
    }

    /// The state after giving back `cost` that was charged at another instant, to the window that it was charged in:
    /// nothing, if that has no weight any more.
    pub(crate) fn give_back(&self, state: u64, now: Moment, charged_at: Moment, cost: u64) -> u64 {
        let Reading { number, mut previous, mut current, .. } = self.read(state, now);
        let window = self.window();
        let index = window.index(now.epoch).saturating_add(number);
        match index.checked_sub(window.index(charged_at.wall())) {
            Some(0) => current = current.saturating_sub(cost),
            Some(1) => previous = previous.saturating_sub(cost),
            _ => {}
        }
        self.write(number, previous, current)
    }

    /// Tokens left.
    #[inline]
    pub(crate) fn remaining(&self, state: u64, now: Moment) -> u64 {
        self.capacity.saturating_sub(self.spent(state, now))
    }

    /// Until nothing is spent.
    #[inline]
    pub(crate) fn until_full(&self, state: u64, now: Moment) -> Nanos {
        let reading = self.read(state, now);
        match (reading.previous, reading.current) {
            (0, 0) => Nanos::ZERO,
            (_, 0) => reading.until_end,
            _ => reading.until_end + self.length,
        }
    }

    /// Would dropping this state change any decision?
    pub(crate) fn is_live(&self, state: u64, now: Moment) -> bool {
        let reading = self.read(state, now);
        self.used(&reading) > 0 || reading.number > self.numbering.present(now)
    }

    /// Tokens spent, with the debt: at most twice the capacity.
    #[inline]
    pub(crate) fn spent(&self, state: u64, now: Moment) -> u64 {
        self.used(&self.read(state, now))
    }

    /// A state with as many tokens spent in the present window.
    pub(crate) fn with_spent(&self, now: Moment, spent: u64) -> u64 {
        self.write(self.numbering.present(now), 0, spent.min(2 * self.capacity))
    }

    /// A state with as many tokens spent, in the windows that `state` speaks of under a limit `from` with equal windows.
    pub(crate) fn continued(&self, from: &Self, state: u64, now: Moment, spent: u64) -> u64 {
        self.arranged(&from.read(state, now), spent)
    }

    /// The same state, counted from another epoch.
    pub(crate) fn rebased(&self, state: u64, from: Nanos, to: Nanos) -> u64 {
        let Some((number, counts)) = self.numbering.read(state) else { return state };
        let (number, passed) = self.numbering.rebased(number, from, to);
        let (previous, current) = self.aged(counts, passed);
        self.write(number, previous, current)
    }

    #[inline]
    fn read(&self, state: u64, now: Moment) -> Reading {
        let present = self.numbering.present(now);
        let (number, (previous, current)) = match self.numbering.read(state) {
            Some((number, counts)) => {
                (present.max(number), self.aged(counts, present.saturating_sub(number)))
            }
            None => (present, (0, 0)),
        };
        let until_end = self.numbering.start(number.saturating_add(1), now.epoch).since(now.wall());
        let left = until_end.clamp(Nanos::new(1), self.length);
        Reading { number, previous, current, left, until_end }
    }

    #[inline]
    fn write(&self, number: u64, previous: u64, current: u64) -> u64 {
        self.numbering.write(number, (previous << self.count_bits()) | current)
    }

    /// Both counts, when so many windows have passed.
    #[inline]
    fn aged(&self, counts: u64, passed: u64) -> (u64, u64) {
        let (previous, current) = (counts >> self.count_bits(), counts & ((1 << self.count_bits()) - 1));
        match passed {
            0 => (previous, current),
            1 => (current, 0),
            _ => (0, 0),
        }
    }

    const fn count_bits(&self) -> u32 {
        self.numbering.count_bits() / 2
    }

    #[inline]
    fn used(&self, reading: &Reading) -> u64 {
        // More than 2 C only where a clock was set back, and the previous window weighs more again.
        (self.weight(reading.previous, reading.left) + reading.current).min(2 * self.capacity)
    }

    /// `count x left / length`, rounded up: a part of a token is spent.
    #[inline]
    fn weight(&self, count: u64, left: Nanos) -> u64 {
        match count.checked_mul(left.get()) {
            Some(product) => product.div_ceil(self.length.get()),
            // At most `count`, because `left` is at most the length.
            None => u64::try_from(wide_product(count, left.get()).div_ceil(self.length.get().into()))
                .unwrap_or(count),
        }
    }

    /// `tokens x length / divisor`, rounded down: with so much left a count of `divisor` weighs `tokens` at most, and with
    /// `divisor` left a count of so many does.
    fn affordable(&self, tokens: u64, divisor: u64) -> u64 {
        wide_product(tokens, self.length.get())
            .checked_div(divisor.into())
            .and_then(|quotient| u64::try_from(quotient).ok())
            .unwrap_or(u64::MAX)
    }

    /// The windows of a reading with so many tokens spent: those that are too many are missing from the current one
    /// first, and then from the one before.
    fn arranged(&self, reading: &Reading, spent: u64) -> u64 {
        let spent = spent.min(2 * self.capacity);
        let Reading { number, previous, left, .. } = *reading;
        let previous = previous.min(self.affordable(spent, left.get())).min(2 * self.capacity);
        self.write(number, previous, spent.saturating_sub(self.weight(previous, left)))
    }

    /// Until a cost is admitted that is refused now, and is at most the capacity.
    fn wait(&self, reading: &Reading, cost: u64) -> Nanos {
        let Reading { previous, current, until_end, .. } = *reading;
        // With how much left of which window do the tokens in the window before weigh little enough?
        if let Some(room) = self.capacity.checked_sub(current + cost) {
            return until_end.since(Nanos::new(self.affordable(room, previous)));
        }
        let left = self.affordable(self.capacity - cost, current);
        (until_end + self.length).since(Nanos::new(left))
    }
}

fn wide_product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

#[cfg(test)]
mod tests;
