//! The limit that a run is about.

use tollgate_core::lease::exchange::SharedLimit;
use tollgate_core::policy::Compiled;
use tollgate_core::{Algorithm, Nanos, Window};

use crate::policies;
use crate::random::Random;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) algorithm: Algorithm,
    pub(crate) quota: u64,
    pub(crate) burst: u64,
    pub(crate) window: Nanos,
}

impl Limits {
    /// One that is slow as a rule: what a time to live refills is less than a token then, and hides nothing.
    pub(crate) fn slow(random: &mut Random) -> Self {
        let fast = random.chance(20);
        let seconds = if fast { random.within(1..=10) } else { random.of(&[60, 300, 3600, 20_000]) };
        Self {
            algorithm: Algorithm::TokenBucket,
            // Few, so that some instance soon has the last one.
            quota: if random.chance(70) { random.within(1..=12) } else { random.within(1..=60) },
            burst: random.below(2) * random.below(10),
            window: Nanos::from_secs(seconds),
        }
    }

    /// One whose windows end while a run lasts.
    pub(crate) fn windowed(random: &mut Random, algorithm: Algorithm) -> Self {
        let window = Nanos::from_millis(random.within(500..=6000));
        Self { algorithm, window, ..Self::slow(random) }
    }

    pub(crate) fn shared(&self) -> SharedLimit {
        SharedLimit {
            algorithm: self.algorithm,
            quota: self.quota,
            capacity: self.quota + self.burst,
            window: Window::Span(self.window),
        }
    }

    pub(crate) fn capacity(&self) -> f64 {
        (self.quota + self.burst) as f64
    }

    /// Tokens in a nanosecond.
    pub(crate) fn rate(&self) -> f64 {
        self.quota as f64 / self.window.get() as f64
    }

    /// Everybody's quota, and that of a rule that every request is charged to, too.
    pub(crate) fn policy(&self, rule: Option<&Self>) -> Compiled {
        let rules = rule.map_or(String::new(), |rule| format!(r#"{{ "name": "rule", {} }}"#, rule.json()));
        let json = format!(r#"{{ "default": {{ {} }}, "rules": [{rules}] }}"#, self.json());
        policies::compiled(&policies::parsed(&json), [])
    }

    /// A rule for everybody: at most so many requests in flight.
    pub(crate) fn in_flight(most: u64) -> Compiled {
        let rule = format!(r#"{{ "name": "rule", "concurrency": {most} }}"#);
        let default = r#"{ "quota": "unlimited", "windowMs": 1000, "algorithm": "token-bucket" }"#;
        let json = format!(r#"{{ "default": {default}, "rules": [{rule}] }}"#);
        policies::compiled(&policies::parsed(&json), [])
    }

    fn json(&self) -> String {
        let algorithm = match self.algorithm {
            Algorithm::FixedWindow => "fixed-window",
            Algorithm::SlidingWindow => "sliding-window",
            _ => "token-bucket",
        };
        let Self { quota, burst, window, .. } = self;
        let window = window.get() / 1_000_000;
        format!(r#""quota": {quota}, "burst": {burst}, "windowMs": {window}, "algorithm": "{algorithm}""#)
    }
}
