//! A meter: what counts the tokens of a limit, by one of four algorithms.
//!
//! A meter is arithmetic over a *state*, one number below 2^62 that a bucket keeps. 0 is a bucket that was never written; a
//! state that a meter gives is never 0. 1 says the same as 0 to every meter: nothing is spent.

use crate::gcra::Ticks;
use crate::lease::exchange::SharedLimit;
use crate::lease::{Leased, Permits};
use crate::moment::Moment;
use crate::time::Epoch;
use crate::{Concurrency, FixedWindow, Gcra, Nanos, Outcome, SlidingWindow, Window};

/// Written, and nothing is spent.
const FRESH: u64 = 1;

/// A limit that is counted, ready for arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meter {
    /// A bucket that is refilled all the time.
    TokenBucket(Gcra),
    /// A count that begins anew with each window.
    FixedWindow(FixedWindow),
    /// Two windows, of which the earlier one fades.
    SlidingWindow(SlidingWindow),
    /// At most so many at once.
    Concurrency(Concurrency),
    /// Tokens of a bucket that the fleet shares.
    Leased(Leased),
    /// At most so many at once in the fleet.
    Permits(Permits),
}

/// See [`Meter::level`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) quota: u64,
    pub(crate) window: Nanos,
    pub(crate) capacity: u64,
    pub(crate) remaining: u64,
    pub(crate) reset: Nanos,
}

impl Meter {
    /// Tokens granted per window; how many may be in flight.
    #[inline]
    #[must_use]
    pub const fn quota(&self) -> u64 {
        match self {
            Self::TokenBucket(gcra) => gcra.quota(),
            Self::FixedWindow(fixed) => fixed.quota(),
            Self::SlidingWindow(sliding) => sliding.quota(),
            Self::Concurrency(concurrency) => concurrency.most(),
            Self::Leased(leased) => leased.limit().quota,
            Self::Permits(permits) => permits.limit().quota,
        }
    }

    /// Tokens on top of the quota; 0 for concurrency.
    #[inline]
    #[must_use]
    pub const fn burst(&self) -> u64 {
        self.capacity() - self.quota()
    }

    /// `quota + burst`.
    #[inline]
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        match self {
            Self::TokenBucket(gcra) => gcra.capacity(),
            Self::FixedWindow(fixed) => fixed.capacity(),
            Self::SlidingWindow(sliding) => sliding.capacity(),
            Self::Concurrency(concurrency) => concurrency.most(),
            Self::Leased(leased) => leased.limit().capacity,
            Self::Permits(permits) => permits.limit().capacity,
        }
    }

    /// The window, as declared; concurrency has none.
    #[inline]
    #[must_use]
    pub const fn window(&self) -> Option<Window> {
        match self {
            Self::TokenBucket(gcra) => Some(Window::Span(gcra.window())),
            Self::FixedWindow(fixed) => Some(fixed.window()),
            Self::SlidingWindow(sliding) => Some(sliding.window()),
            Self::Concurrency(_) | Self::Permits(_) => None,
            Self::Leased(leased) => Some(leased.limit().window),
        }
    }

    /// How long the window is that holds an instant; zero for concurrency.
    #[inline]
    pub(crate) fn window_length(&self, now: Moment) -> Nanos {
        match self.window() {
            Some(Window::Span(span)) => span,
            Some(window) => window.length(now.wall()),
            None => Nanos::ZERO,
        }
    }

    /// The state after admitting `cost` at `now`; or how long until it would be admitted if nothing else happens, `None`
    /// for never. For concurrency, where nobody knows, that is a hint of one second.
    #[inline]
    pub(crate) fn admit(&self, state: u64, now: Moment, cost: u64) -> Result<u64, Option<Nanos>> {
        match self {
            Self::TokenBucket(gcra) => gcra.admit_state(state, now, cost),
            Self::FixedWindow(fixed) => fixed.admit(state, now, cost),
            Self::SlidingWindow(sliding) => sliding.admit(state, now, cost),
            Self::Concurrency(concurrency) => concurrency.admit(state, cost),
            Self::Leased(leased) => leased.admit(state, now, cost),
            Self::Permits(permits) => permits.admit(state, now, cost),
        }
    }

    /// The state after taking `cost` whether it is there or not, into a debt of one capacity at most.
    #[inline]
    pub(crate) fn take(&self, state: u64, now: Moment, cost: u64) -> u64 {
        match self {
            Self::TokenBucket(gcra) => written(gcra.take(Ticks(state), gcra.instant(now.since), cost)),
            Self::FixedWindow(fixed) => fixed.take(state, now, cost),
            Self::SlidingWindow(sliding) => sliding.take(state, now, cost),
            Self::Concurrency(concurrency) => concurrency.take(state, cost),
            Self::Leased(_) => Leased::without(state, now, cost),
            Self::Permits(_) => Permits::take(state, cost),
        }
    }

    /// The state after giving `cost` at `now`: never more than a full bucket.
    #[inline]
    pub(crate) fn give(&self, state: u64, now: Moment, cost: u64) -> u64 {
        match self {
            Self::TokenBucket(gcra) => written(gcra.give(Ticks(state), gcra.instant(now.since), cost)),
            Self::FixedWindow(fixed) => fixed.give(state, now, cost),
            Self::SlidingWindow(sliding) => sliding.give(state, now, cost),
            Self::Concurrency(concurrency) => concurrency.give(state, cost),
            // What comes back, comes back to the shared bucket.
            Self::Leased(_) => state,
            Self::Permits(_) => Permits::give(state, cost),
        }
    }

    /// The state after giving back at `now` what was charged at another instant: nothing that has been forgotten since,
    /// because it was charged in a window that is over.
    #[inline]
    pub(crate) fn give_back(&self, state: u64, now: Moment, charged_at: Moment, cost: u64) -> u64 {
        match self {
            Self::TokenBucket(_) | Self::Concurrency(_) | Self::Leased(_) | Self::Permits(_) => {
                self.give(state, now, cost)
            }
            Self::FixedWindow(fixed) => fixed.give_back(state, now, charged_at, cost),
            Self::SlidingWindow(sliding) => sliding.give_back(state, now, charged_at, cost),
        }
    }

    /// Whole tokens left.
    #[inline]
    pub(crate) fn remaining(&self, state: u64, now: Moment) -> u64 {
        match self {
            Self::TokenBucket(gcra) => gcra.remaining(Ticks(state), gcra.instant(now.since)),
            Self::FixedWindow(fixed) => fixed.remaining(state, now),
            Self::SlidingWindow(sliding) => sliding.remaining(state, now),
            Self::Concurrency(concurrency) => concurrency.remaining(state),
            Self::Leased(_) => Leased::held(state, now),
            Self::Permits(_) => Permits::spare(state, now),
        }
    }

    /// Until nothing is spent; zero for concurrency, where nobody knows.
    #[inline]
    pub(crate) fn until_full(&self, state: u64, now: Moment) -> Nanos {
        match self {
            Self::TokenBucket(gcra) => gcra.until_full(Ticks(state), gcra.instant(now.since)),
            Self::FixedWindow(fixed) => fixed.until_full(state, now),
            Self::SlidingWindow(sliding) => sliding.until_full(state, now),
            Self::Concurrency(_) | Self::Permits(_) => Nanos::ZERO,
            Self::Leased(leased) => leased.until_full(state, now),
        }
    }

    /// What a decision tells of a state: the quota, the window, the capacity, what remains, and until when it is full.
    #[inline]
    pub(crate) fn level(&self, state: u64, now: Moment) -> Level {
        if let Self::TokenBucket(gcra) = self {
            let instant = gcra.instant(now.since);
            return Level {
                quota: gcra.quota(),
                window: gcra.window(),
                capacity: gcra.capacity(),
                remaining: gcra.remaining(Ticks(state), instant),
                reset: gcra.until_full(Ticks(state), instant),
            };
        }
        Level {
            quota: self.quota(),
            window: self.window_length(now),
            capacity: self.capacity(),
            remaining: self.remaining(state, now),
            reset: self.until_full(state, now),
        }
    }

    /// Would dropping this state change any decision? One with nothing spent is as good as none.
    #[inline]
    pub(crate) fn is_live(&self, state: u64, now: Moment) -> bool {
        match self {
            Self::TokenBucket(gcra) => Ticks(state) > gcra.instant(now.since),
            Self::FixedWindow(fixed) => fixed.is_live(state, now),
            Self::SlidingWindow(sliding) => sliding.is_live(state, now),
            Self::Concurrency(concurrency) => concurrency.spent(state) > 0,
            Self::Leased(_) => Leased::is_live(state, now),
            Self::Permits(_) => Permits::is_live(state, now),
        }
    }

    /// Whole tokens spent, with the debt, rounded up: at most twice the capacity. For concurrency, who holds.
    pub(crate) fn spent(&self, state: u64, now: Moment) -> u64 {
        match self {
            Self::TokenBucket(gcra) => gcra.spent(Ticks(state), gcra.instant(now.since)),
            Self::FixedWindow(fixed) => fixed.spent(state, now),
            Self::SlidingWindow(sliding) => sliding.spent(state, now),
            Self::Concurrency(concurrency) => concurrency.spent(state),
            // What is spent, the shared bucket knows.
            Self::Leased(_) => 0,
            Self::Permits(_) => Permits::in_flight(state),
        }
    }

    /// A state with so many tokens spent at `now`, at most twice the capacity. For concurrency, with so many holders.
    pub(crate) fn with_spent(&self, now: Moment, spent: u64) -> u64 {
        match self {
            // From a full bucket; a debt of one capacity is as far as it goes.
            Self::TokenBucket(gcra) => {
                let now = gcra.instant(now.since);
                written(gcra.take(now, now, spent))
            }
            Self::FixedWindow(fixed) => fixed.with_spent(now, spent),
            Self::SlidingWindow(sliding) => sliding.with_spent(now, spent),
            Self::Concurrency(_) => Concurrency::with_spent(spent),
            Self::Permits(_) => Permits::take(FRESH, spent),
            Self::Leased(_) => FRESH,
        }
    }

    /// The state under another limit with as many tokens spent at `now`; a bucket that is emptier than empty there is
    /// empty, and a debt stays one. Who holds a slot holds it under another limit on concurrency; between that and tokens
    /// nothing carries over.
    pub(crate) fn carried(&self, state: u64, now: Moment, to: &Self) -> u64 {
        if state == 0 {
            return 0;
        }
        match (self, to) {
            (Self::TokenBucket(from), Self::TokenBucket(to)) => {
                let (here, there) = (from.instant(now.since), to.instant(now.since));
                written(from.carried(Ticks(state), here, to, there))
            }
            (Self::Concurrency(from), Self::Concurrency(_)) => Concurrency::with_spent(from.spent(state)),
            (Self::Leased(_), Self::Leased(to)) => Leased::carried(state, to),
            (Self::Permits(from), Self::Permits(to)) => from.carried(state, to),
            (Self::Concurrency(_) | Self::Leased(_) | Self::Permits(_), _)
            | (_, Self::Concurrency(_) | Self::Leased(_) | Self::Permits(_)) => FRESH,
            (Self::FixedWindow(from), Self::FixedWindow(same)) if from.window() == same.window() => {
                same.continued(from, state, now, self.spent_under(state, now, to))
            }
            (Self::SlidingWindow(from), Self::SlidingWindow(same)) if from.window() == same.window() => {
                same.continued(from, state, now, self.spent_under(state, now, to))
            }
            _ => to.with_spent(now, self.spent_under(state, now, to)),
        }
    }

    /// What is spent, as far as there is room for it under another limit, and the debt, as far as one goes there.
    fn spent_under(&self, state: u64, now: Moment, to: &Self) -> u64 {
        let spent = self.spent(state, now);
        let debt = spent.saturating_sub(self.capacity());
        (spent - debt).min(to.capacity()) + debt.min(to.capacity())
    }

    /// The same state in a table that counts from another epoch, not before this one's.
    pub(crate) fn rebased(&self, state: u64, from: Epoch, to: Epoch) -> u64 {
        if state == 0 {
            return 0;
        }
        match self {
            Self::TokenBucket(gcra) => {
                written(gcra.rebased(Ticks(state), to.monotonic.since(from.monotonic)))
            }
            Self::FixedWindow(fixed) => fixed.rebased(state, from.wall, to.wall),
            Self::SlidingWindow(sliding) => sliding.rebased(state, from.wall, to.wall),
            Self::Concurrency(_) => state,
            Self::Leased(_) => written(Ticks(Leased::rebased(state, from, to))),
            Self::Permits(_) => written(Ticks(Permits::rebased(state, from, to))),
        }
    }

    /// The state of a bucket that is filled by hand: nothing is spent. Who holds a slot goes on holding it.
    pub(crate) fn refilled(&self, state: u64, now: Moment) -> u64 {
        match self {
            Self::Concurrency(_) => state.max(FRESH),
            Self::Leased(_) => Leased::reset(state),
            Self::Permits(_) => Permits::reset(state),
            Self::TokenBucket(_) | Self::FixedWindow(_) | Self::SlidingWindow(_) => self.with_spent(now, 0),
        }
    }

    /// The limit that a fleet shares, where one does.
    #[inline]
    pub(crate) const fn shared(&self) -> Option<&SharedLimit> {
        match self {
            Self::Leased(leased) => Some(leased.limit()),
            Self::Permits(permits) => Some(permits.limit()),
            _ => None,
        }
    }

    /// What it refuses with.
    #[inline]
    pub(crate) const fn refuses_by(&self) -> Outcome {
        if self.counts_requests_in_flight() { Outcome::Concurrency } else { Outcome::Quota }
    }

    /// Is it a limit on concurrency, whose slots come back when requests end?
    #[inline]
    #[must_use]
    pub const fn counts_requests_in_flight(&self) -> bool {
        matches!(self, Self::Concurrency(_) | Self::Permits(_))
    }
}

impl Gcra {
    /// [`Meter::admit`].
    #[inline]
    pub(crate) fn admit_state(&self, state: u64, now: Moment, cost: u64) -> Result<u64, Option<Nanos>> {
        match self.admit(Ticks(state), self.instant(now.since), cost) {
            Ok(tat) => Ok(written(tat)),
            Err(wait) => Err(wait.map(|wait| self.span(wait))),
        }
    }
}

/// A TAT as a state.
#[inline]
fn written(tat: Ticks) -> u64 {
    tat.0.max(FRESH)
}

#[cfg(test)]
mod tests;
