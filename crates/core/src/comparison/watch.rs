//! What no limiter may exceed: how much a tenant is admitted over a time, and at once.
//!
//! Both are bounds that hold whatever the order in which threads charge a bucket, and whatever was in it at first. So a limiter that
//! does what it should never exceeds them, and one that lets everybody pass does.

use crate::lease::OnFailure;
use crate::{Algorithm, Decision, Engine, Meter, Nanos};

const SECOND: Nanos = Nanos::from_secs(1);

/// The most that a bucket admits over a time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Allowance {
    at_once: f64,
    per_nano: f64,
}

impl Allowance {
    /// By the algorithm: a token bucket admits `capacity + quota x t / window`; a fixed window, of which a time may touch one
    /// more at either end, `capacity x (2 + t / window)`; a sliding one `capacity x (1 + t / window)`. Of a bucket that a
    /// fleet shares an instance may besides hold leases, `capacity x time to live / window` beyond what the bucket has; and while
    /// the backend is gone it admits a share of its own, which is the limit once more at most. `None` where no bound holds.
    #[expect(clippy::cast_precision_loss, reason = "a bound needs no more than 53 bits")]
    fn of(meter: &Meter, engine: &Engine) -> Option<Self> {
        let (algorithm, window) = match meter {
            Meter::TokenBucket(gcra) => (Algorithm::TokenBucket, gcra.window()),
            Meter::FixedWindow(fixed) => (Algorithm::FixedWindow, fixed.window().shortest()),
            Meter::SlidingWindow(sliding) => (Algorithm::SlidingWindow, sliding.window().shortest()),
            Meter::Concurrency(_) | Meter::Permits(_) => return None,
            Meter::Leased(leased) => (leased.limit().algorithm, leased.limit().window.shortest()),
        };
        let (capacity, window) = (meter.capacity() as f64, window.get().max(1) as f64);
        let alone = match algorithm {
            Algorithm::TokenBucket => Self { at_once: capacity, per_nano: meter.quota() as f64 / window },
            Algorithm::FixedWindow => Self { at_once: 2.0 * capacity, per_nano: capacity / window },
            Algorithm::SlidingWindow => Self { at_once: capacity, per_nano: capacity / window },
            Algorithm::Concurrency => return None,
        };
        let Some(fleet) = engine.fleet() else { return Some(alone) };
        let settings = fleet.settings();
        let leases = capacity * settings.time_to_live.get() as f64 / window;
        (settings.on_failure != OnFailure::Allow)
            .then_some(Self { at_once: 2.0 * alone.at_once + leases, per_nano: 2.0 * alone.per_nano })
    }

    #[expect(clippy::cast_precision_loss, reason = "a bound needs no more than 53 bits")]
    fn over(&self, time: Nanos) -> f64 {
        self.at_once + self.per_nano * time.get() as f64
    }
}

/// The limit that a decision was made by, as far as that tells.
type Told = (u64, u64, Nanos);

fn told(decision: &Decision) -> Told {
    (decision.quota, decision.capacity, decision.window)
}

/// What a tenant has been admitted since an instant.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    by: Option<(Told, Option<Allowance>)>,
    since: Nanos,
    admitted: u64,
}

impl Isolation {
    /// Counts an admission; `true` if it is one too many. Besides the bound there is room for what other threads had admitted
    /// before this one began to count, and tell of afterwards: a second, and one capacity.
    #[expect(clippy::cast_precision_loss, reason = "a bound needs no more than 53 bits")]
    pub(super) fn admit<'a>(
        &mut self,
        decision: &Decision,
        (cost, now): (u64, Nanos),
        engine: &Engine,
        meter: impl FnOnce() -> Option<&'a Meter>,
    ) -> bool {
        let told = told(decision);
        let allowance = match self.by {
            Some((by, allowance)) if by == told => allowance,
            _ => {
                let allowance = meter().and_then(|meter| Allowance::of(meter, engine));
                *self = Self { by: Some((told, allowance)), since: now, admitted: 0 };
                allowance
            }
        };
        self.admitted = self.admitted.saturating_add(cost);
        let most =
            |allowance: Allowance| allowance.over(now.since(self.since) + SECOND) + decision.capacity as f64;
        allowance.is_some_and(|allowance| self.admitted as f64 > most(allowance))
    }

    /// Begins again with the next admission.
    pub(super) fn restart(&mut self) {
        self.by = None;
    }
}

/// What a tenant has been admitted in the present second.
#[derive(Debug, Default)]
pub(super) struct Burst {
    by: Option<(Told, Option<Allowance>)>,
    second: u64,
    admitted: u64,
    /// Tokens have come back in this second, or its limit has changed: nothing is said of it.
    muted: bool,
}

impl Burst {
    /// Counts an admission; gives what has been admitted in its second, over the most that the limit lets through in one. A
    /// second begins where the clock's does. What is told of a second that is over is left out.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
    pub(super) fn admit<'a>(
        &mut self,
        decision: &Decision,
        (cost, now): (u64, Nanos),
        engine: &Engine,
        meter: impl FnOnce() -> Option<&'a Meter>,
    ) -> Option<f64> {
        let (second, told) = (now.get() / SECOND.get(), told(decision));
        if second < self.second {
            return None;
        }
        if second > self.second {
            (self.second, self.admitted, self.muted) = (second, 0, false);
        }
        let allowance = match self.by {
            Some((by, allowance)) if by == told => allowance,
            by => {
                let allowance = meter().and_then(|meter| Allowance::of(meter, engine));
                self.by = Some((told, allowance));
                self.muted |= by.is_some();
                allowance
            }
        };
        self.admitted = self.admitted.saturating_add(cost);
        let allowance = allowance.filter(|_| !self.muted)?;
        Some(self.admitted as f64 / allowance.over(SECOND))
    }

    /// Says nothing of the present second any more.
    pub(super) fn mute(&mut self) {
        self.muted = true;
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
