//! One shared bucket of tokens.
//!
//! A bucket goes by the limit that it was left with until somebody comes who has another one. What is spent stays spent under the
//! new limit: a quota that is raised adds the difference, and one that is lowered refills nothing.
//! Where more is spent than a debt of one capacity under the new limit, the bucket goes on by the old one until it is not: so what
//! one instance takes under a large limit is not forgiven by another that has a small one already, as in a rollout.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "tokens are below 2^32, times below 2^53 and spans are no more than that"
)]

use tollgate_core::lease::exchange::{Ask, Grant, SharedLimit};
use tollgate_core::{Algorithm, Nanos, Window};

use crate::Circumstances;

/// What sums of fractions may be off by: a token that is there up to this is there.
const ROUNDING: f64 = 1e-9;

#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    limit: SharedLimit,
    /// The instant that `spent` and `before` speak of, in microseconds.
    at: u64,
    /// Tokens; those of the present window, for windows.
    spent: f64,
    /// Tokens used in the window before, for a sliding window.
    before: f64,
    /// Microseconds; 0 if it is not blocked.
    blocked_until: u64,
}

impl Bucket {
    pub(super) fn fresh(limit: SharedLimit, now: u64) -> Self {
        Self { limit, at: now, spent: 0.0, before: 0.0, blocked_until: 0 }
    }

    pub(super) fn execute(&mut self, ask: &Ask, circumstances: &Circumstances) -> Grant {
        let now = circumstances.now;
        let capacity = ask.limit.capacity as f64;
        self.advance(now);
        self.adopt(&ask.limit);
        if let Some(floor) = ask.floor.filter(|floor| {
            circumstances.lost && (floor.ends > Nanos::ZERO || ask.limit.algorithm == Algorithm::TokenBucket)
        }) {
            self.take((floor.spent - self.total()).max(0.0));
        }
        if ask.reset {
            *self = Self::fresh(ask.limit, now);
        }
        if let Some(time) = ask.block {
            self.blocked_until = if time == Nanos::ZERO { 0 } else { now + time.get().div_ceil(1000) };
        }
        self.give_back(ask.unspent as f64, ask.leased_at);
        self.give(ask.credit as f64);
        self.take((ask.debit as f64).min((2.0 * capacity - self.total()).max(0.0)));
        let blocked = self.blocked_until.saturating_sub(now);
        let room = (capacity - self.total() + ROUNDING).floor().max(0.0) as u64;
        let fair = room / (2 * u64::from(circumstances.instances));
        let tokens = if circumstances.settling || blocked > 0 {
            0
        } else {
            ask.wanted.min(room).min(ask.waiting.max(fair))
        };
        self.take(tokens as f64);
        let spent = self.total();
        let wait = if capacity - spent + ROUNDING >= 1.0 { 0 } else { self.until(capacity - 1.0) };
        let ends = (ask.limit.algorithm != Algorithm::TokenBucket)
            .then(|| start(&ask.limit, index(&ask.limit, now) + 1) - now);
        Grant { tokens, spent, wait: nanos(wait), ends: ends.map(nanos), blocked: nanos(blocked) }
    }

    /// Time passes, under the limit that the bucket was left with.
    fn advance(&mut self, now: u64) {
        let now = now.max(self.at);
        let passed = now - self.at;
        let windows = index(&self.limit, now) - index(&self.limit, self.at);
        let Self { spent, before, limit, .. } = *self;
        (self.spent, self.before) = match limit.algorithm {
            Algorithm::FixedWindow => ((spent - windows as f64 * limit.capacity as f64).max(0.0), 0.0),
            Algorithm::SlidingWindow => match windows {
                0 => (spent, before),
                1 => (0.0, spent),
                _ => (0.0, 0.0),
            },
            Algorithm::TokenBucket | Algorithm::Concurrency => {
                ((spent - limit.quota as f64 * passed as f64 / span(&limit)).max(0.0), 0.0)
            }
        };
        self.at = now;
    }

    /// The bucket goes by another limit, if what is spent is a debt of one capacity of it at most.
    fn adopt(&mut self, limit: &SharedLimit) {
        let total = self.total();
        if total > 2.0 * limit.capacity as f64 {
            return;
        }
        if limit.algorithm != self.limit.algorithm || window(limit) != window(&self.limit) {
            (self.spent, self.before) = (total, 0.0);
        }
        self.limit = *limit;
    }

    /// All that is spent.
    fn total(&self) -> f64 {
        if self.limit.algorithm == Algorithm::SlidingWindow {
            return self.spent + self.before * (self.left() / self.length());
        }
        self.spent
    }

    fn take(&mut self, tokens: f64) {
        self.spent += tokens;
    }

    /// Gives tokens, from the present window first: never more than a full bucket.
    fn give(&mut self, tokens: f64) {
        let beyond = (tokens - self.spent).max(0.0);
        self.spent = (self.spent - tokens).max(0.0);
        if self.limit.algorithm == Algorithm::SlidingWindow {
            self.before = (self.before - beyond * (self.length() / self.left())).max(0.0);
        }
    }

    /// Gives leased tokens, as far as they have not been given since in another way.
    ///
    /// A token bucket is refilled all the time, also with what is leased: held + spent would exceed the capacity if tokens that
    /// were held for as long as it takes to refill them came back whole. With what is refilled since taken off, the tokens in
    /// the bucket and the sum of `max(0, held - rate x age)` over all leases stay within the capacity.
    fn give_back(&mut self, tokens: f64, leased_at: u64) {
        let age = self.at.saturating_sub(leased_at);
        let (present, leased) = (index(&self.limit, self.at), index(&self.limit, leased_at));
        match self.limit.algorithm {
            Algorithm::FixedWindow | Algorithm::SlidingWindow if leased == present => {
                self.spent = (self.spent - tokens).max(0.0);
            }
            Algorithm::SlidingWindow if leased + 1 == present => {
                self.before = (self.before - tokens).max(0.0);
            }
            Algorithm::FixedWindow | Algorithm::SlidingWindow => {}
            Algorithm::TokenBucket | Algorithm::Concurrency => {
                let refilled = self.limit.quota as f64 * age as f64 / span(&self.limit);
                self.spent = (self.spent - (tokens - refilled).max(0.0)).max(0.0);
            }
        }
    }

    /// Microseconds until no more than `target` is spent, which is less than what is spent now.
    fn until(&self, target: f64) -> u64 {
        let wait = match self.limit.algorithm {
            Algorithm::FixedWindow => {
                let windows = ((self.spent - target) / self.limit.capacity as f64).ceil().max(1.0);
                let end = start(&self.limit, index(&self.limit, self.at) + windows as u64);
                return end - self.at;
            }
            Algorithm::SlidingWindow if self.spent <= target => {
                self.left() - self.length() * ((target - self.spent) / self.before)
            }
            Algorithm::SlidingWindow => self.left() + self.length() * (1.0 - target / self.spent),
            Algorithm::TokenBucket | Algorithm::Concurrency => {
                (self.spent - target) * span(&self.limit) / self.limit.quota as f64
            }
        };
        wait.ceil().max(1.0) as u64
    }

    /// How long the present window is, in microseconds.
    fn length(&self) -> f64 {
        let present = index(&self.limit, self.at);
        (start(&self.limit, present + 1) - start(&self.limit, present)) as f64
    }

    /// How much of the present window is left, in microseconds.
    fn left(&self) -> f64 {
        (start(&self.limit, index(&self.limit, self.at) + 1) - self.at) as f64
    }
}

/// Microseconds in which the quota of a token bucket is granted, with fractions.
fn span(limit: &SharedLimit) -> f64 {
    limit.window.shortest().get().max(1) as f64 / 1000.0
}

/// The window of a limit in whole microseconds, which is what a backend's clock counts: rounded up, so that none is too short.
fn window(limit: &SharedLimit) -> Window {
    match limit.window {
        Window::Span(span) => Window::Span(nanos(span.get().div_ceil(1000).max(1))),
        Window::Month => Window::Month,
    }
}

/// The number of the window that holds an instant in microseconds.
fn index(limit: &SharedLimit, micros: u64) -> u64 {
    window(limit).index(nanos(micros))
}

/// When a window begins, in microseconds.
fn start(limit: &SharedLimit, index: u64) -> u64 {
    window(limit).start(index).get() / 1000
}

fn nanos(micros: u64) -> Nanos {
    Nanos::new(micros.saturating_mul(1000))
}
