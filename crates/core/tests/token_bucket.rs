//! The bucket against a naive model: a level of tokens, refilled by rational arithmetic in wide integers.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use proptest::prelude::*;
use tollgate_core::{Capacity, Gate, Gcra, Nanos, Outcome, Subject};

mod policies;

use policies::{bucket, compiled, spec, start, tenant};

const YEAR: u64 = 365 * 86_400 * 1_000_000_000;
const CAPACITY: Capacity = Capacity { max_keys: 1024, key_share: 1.0 };

/// A token bucket as one would explain it. Tokens are counted in `1 / window` parts, so nothing is rounded.
#[derive(Debug)]
struct Naive {
    quota: i128,
    capacity: i128,
    window: i128,
    level: i128,
    at: u64,
}

impl Naive {
    fn new(quota: u64, burst: u64, window: u64) -> Self {
        let (quota, capacity, window) = (i128::from(quota), i128::from(quota + burst), i128::from(window));
        Self { quota, capacity, window, level: capacity * window, at: 0 }
    }

    fn refill(&mut self, now: u64) {
        self.level = (self.level + i128::from(now - self.at) * self.quota).min(self.capacity * self.window);
        self.at = now;
    }

    fn consume(&mut self, cost: u64) -> bool {
        let cost = i128::from(cost) * self.window;
        let admitted = cost <= self.level;
        if admitted {
            self.level -= cost;
        }
        admitted
    }

    fn give(&mut self, tokens: u64) {
        self.level = (self.level + i128::from(tokens) * self.window).min(self.capacity * self.window);
    }

    fn take(&mut self, tokens: u64) {
        self.level = (self.level - i128::from(tokens) * self.window).max(-self.capacity * self.window);
    }

    fn remaining(&self) -> u64 {
        u64::try_from(self.level.max(0) / self.window).unwrap()
    }

    /// Nanoseconds until a cost that was refused is admitted, if it ever is.
    fn retry(&self, cost: u64) -> Option<u64> {
        let cost = i128::from(cost);
        (cost <= self.capacity).then(|| {
            u64::try_from(((cost * self.window - self.level).max(0) + self.quota - 1) / self.quota).unwrap()
        })
    }
}

fn gate(quota: u64, burst: u64, window: u64) -> Gate {
    start(compiled(&spec(1), [("acme", bucket(quota, burst, Nanos::new(window)))]), CAPACITY).gate()
}

#[derive(Debug, Clone)]
enum Step {
    /// Let a part of the window pass, in 1/1000, up to ten windows.
    Wait(u64),
    /// Let this many nanoseconds pass.
    Tick(u64),
    /// Consume this part of the capacity, in 1/1000, and a few more.
    Consume(u64, u64),
    Give(u64),
    Take(u64),
    Peek(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..10_000_u64).prop_map(Step::Wait),
        2 => (0..5_000_u64).prop_map(Step::Tick),
        5 => (0..1_100_u64, 0..4_u64).prop_map(|(part, more)| Step::Consume(part, more)),
        4 => (0..4_u64).prop_map(|few| Step::Consume(0, few)),
        1 => (0..2_000_u64).prop_map(Step::Give),
        1 => (0..3_000_u64).prop_map(Step::Take),
        1 => (0..1_100_u64).prop_map(Step::Peek),
    ]
}

/// Limits whose emission interval is a whole number of ticks: there the model must agree to the nanosecond.
fn exact_limit() -> impl Strategy<Value = (u64, u64, u64)> {
    let windows = prop_oneof![
        Just(1_000_000_u64),
        Just(1_000_000_000),
        Just(60_000_000_000),
        Just(3_600_000_000_000),
        Just(86_400_000_000_000),
        Just(YEAR),
        1..=YEAR,
    ];
    let quotas = prop_oneof![1..=512_u64, Just(1_000), Just(60_000), Just(1_000_000), Just(86_400_000)];
    (quotas, windows, 0..5_000_u64)
        .prop_map(|(quota, window, burst)| {
            let quota = quota.min(window);
            let ticks = quota / gcd(quota, window);
            let quota = if ticks > 512 { quota.min(512) } else { quota };
            (quota, burst.min(quota * 29), window)
        })
        .prop_filter("ticks as fine as the rate needs fit", |&(quota, burst, window)| {
            let ticks = u128::from(quota / gcd(quota, window));
            let fill = u128::from(quota + burst) * u128::from(window) / u128::from(quota)
                + u128::from(quota + burst);
            ticks <= 512 && ticks * (fill + 1) <= 1 << 60
        })
}

/// Any limit that is accepted, from one a year to 10^9 a second.
fn any_limit() -> impl Strategy<Value = (u64, u64, u64)> {
    (1..=YEAR, 0.0..1.0_f64, 0..1_000_u64).prop_map(|(window, log, burst)| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a spread of magnitudes"
        )]
        let quota = ((window as f64).powf(log) as u64).clamp(1, window);
        (quota, burst.min(quota * 30), window)
    })
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_are_those_of_the_model((quota, burst, window) in exact_limit(), steps in prop::collection::vec(step(), 1..60)) {
        let (mut gate, mut model, mut now) = (gate(quota, burst, window), Naive::new(quota, burst, window), 0_u64);
        let part = |part: u64| u64::try_from(u128::from(quota + burst) * u128::from(part) / 1000).unwrap();
        for step in steps {
            match step {
                Step::Wait(part) => now += u64::try_from(u128::from(window) * u128::from(part) / 1000).unwrap(),
                Step::Tick(nanos) => now += nanos,
                _ => {}
            }
            // Tables count 26 days; longer schedules are another test's.
            if now > 1 << 49 { break }
            model.refill(now);
            let at = Nanos::new(now);
            let decision = match step {
                Step::Wait(_) | Step::Tick(_) => continue,
                Step::Consume(thousandths, more) => {
                    let cost = part(thousandths) + more;
                    let before = model.retry(cost);
                    let decision = gate.consume(Subject::Tenant, b"acme", cost, at);
                    prop_assert_eq!(decision.allowed(), model.consume(cost), "cost {} at {}", cost, now);
                    let retry = if decision.allowed() { Some(0) } else { before };
                    prop_assert_eq!(decision.retry.map(Nanos::get), retry);
                    decision
                }
                Step::Peek(thousandths) => {
                    let cost = part(thousandths);
                    let decision = gate.peek(Subject::Tenant, b"acme", cost, at);
                    prop_assert_eq!(decision.allowed(), i128::from(cost) * model.window <= model.level);
                    decision
                }
                Step::Give(thousandths) => {
                    model.give(part(thousandths));
                    gate.reward(&tenant("acme"), part(thousandths), at).unwrap()
                }
                Step::Take(thousandths) => {
                    model.take(part(thousandths));
                    gate.penalize(&tenant("acme"), part(thousandths), at).unwrap()
                }
            };
            prop_assert_eq!(decision.capacity, quota + burst);
            prop_assert_eq!(decision.remaining, model.remaining());
            let missing = model.capacity * model.window - model.level;
            prop_assert_eq!(i128::from(decision.reset.get()), (missing + model.quota - 1) / model.quota);
        }
    }

    /// Where a tick had to be rounded: never above the declared rate, and below it by at most 1 in 512 T.
    #[test]
    fn any_rate_is_enforced_from_below((quota, burst, window) in any_limit(), waits in prop::collection::vec(0..3_000_u64, 1..40)) {
        prop_assume!(Gcra::new(quota, burst, Nanos::new(window)).is_ok());
        let (mut gate, mut model) = (gate(quota, burst, window), Naive::new(quota, burst, window));
        let (mut now, mut admitted) = (0_u64, 0_u128);
        for wait in waits {
            now += u64::try_from(u128::from(window) * u128::from(wait) / 1000).unwrap();
            if now > 1 << 49 { break }
            model.refill(now);
            // Drain: as much as it says it has, then no more.
            let has = gate.peek(Subject::Tenant, b"acme", 0, Nanos::new(now)).remaining;
            prop_assert!(has <= model.remaining(), "{} in a bucket that should hold {}", has, model.remaining());
            // What it is behind by stays in the model, and so is measured by all that came since the beginning.
            let due = admitted + u128::from(model.remaining());
            let slack = 1 + due / 500;
            prop_assert!(admitted + u128::from(has) + slack >= due, "{} in a bucket that should hold {}", has, model.remaining());
            let first = gate.consume(Subject::Tenant, b"acme", has, Nanos::new(now));
            prop_assert!(first.allowed());
            prop_assert_eq!(gate.consume(Subject::Tenant, b"acme", 1, Nanos::new(now)).outcome, Outcome::Quota);
            prop_assert!(model.consume(has));
            admitted += u128::from(has);
            let bound = u128::from(quota + burst) + u128::from(quota) * u128::from(now) / u128::from(window);
            prop_assert!(admitted <= bound, "{} admitted, the bound is {}", admitted, bound);
        }
    }

    #[test]
    fn a_limit_is_accepted_or_refused_and_never_overflows(quota: u64, burst: u64, window: u64, cost: u64, now: u64) {
        if Gcra::new(quota, burst, Nanos::new(window)).is_ok() {
            let mut gate = gate(quota, burst, window);
            for at in [now, now.saturating_add(1), u64::MAX] {
                gate.consume(Subject::Tenant, b"acme", cost, Nanos::new(at));
                gate.penalize(&tenant("acme"), cost, Nanos::new(at)).unwrap();
                gate.reward(&tenant("acme"), cost, Nanos::new(at)).unwrap();
                gate.peek(Subject::Tenant, b"acme", cost, Nanos::new(at));
            }
        }
    }
}

#[test]
fn one_a_year_and_a_thousand_million_a_second_are_both_kept() {
    let mut yearly = gate(1, 0, YEAR);
    assert!(yearly.consume(Subject::Tenant, b"acme", 1, Nanos::ZERO).allowed());
    let refused = yearly.consume(Subject::Tenant, b"acme", 1, Nanos::new(1));
    assert_eq!(refused.retry, Some(Nanos::new(YEAR - 1)));

    let mut fastest = gate(1_000_000_000, 0, 1_000_000_000);
    let now = Nanos::from_secs(5);
    assert!(fastest.consume(Subject::Tenant, b"acme", 1_000_000_000, now).allowed());
    assert!(!fastest.consume(Subject::Tenant, b"acme", 1, now).allowed());
    assert!(fastest.consume(Subject::Tenant, b"acme", 1, now + Nanos::new(1)).allowed());
}

#[test]
fn a_bucket_keeps_its_debt_when_its_table_is_rebased() {
    let mut gate = gate(1, 0, YEAR);
    assert!(gate.consume(Subject::Tenant, b"acme", 1, Nanos::ZERO).allowed());
    // Every table counts from its own epoch, and a new one takes over about every 13 days.
    let fortnight = 14 * 86_400 * 1_000_000_000;
    for fortnights in 1..=26 {
        let now = Nanos::new(fortnights * fortnight);
        let refused = gate.consume(Subject::Tenant, b"acme", 1, now);
        assert_eq!(refused.retry, Some(Nanos::new(YEAR - now.get())), "after {fortnights} fortnights");
        if gate.take_wants_upkeep() {
            gate.engine().upkeep(now);
        }
    }
    assert!(gate.consume(Subject::Tenant, b"acme", 1, Nanos::new(YEAR)).allowed());
}
