//! What the table promises whatever happens to it: growth, sweeps, caps, blocks, threads.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;
use tollgate_core::{Capacity, Engine, Gate, Grant, Nanos, Outcome, Subject};

mod policies;

use policies::{MINUTE, bucket, compiled, draft, refusing, roomy, row, spec, start, tenant};

fn tokens(quota: u64) -> Grant {
    bucket(quota, 0, MINUTE)
}

/// `quota` a minute for everybody, and for `named` tenants limits of their own.
fn engine(quota: u64, capacity: Capacity, named: &[(String, Grant)]) -> Arc<Engine> {
    start(compiled(&spec(quota), named.iter().map(|(name, grant)| (name.as_str(), *grant))), capacity)
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("tenant-{index}")).collect()
}

fn take(gate: &mut Gate, name: &str, now: Nanos) -> Outcome {
    gate.consume(Subject::Tenant, name.as_bytes(), 1, now).outcome
}

fn left(gate: &mut Gate, name: &str, now: Nanos) -> u64 {
    gate.peek(Subject::Tenant, name.as_bytes(), 0, now).remaining
}

#[test]
fn a_table_that_grows_forgets_nothing() {
    let engine = engine(5, roomy(), &[]);
    let mut gate = engine.gate();
    let names = names(100_000);
    for name in &names {
        assert_eq!(take(&mut gate, name, Nanos::ZERO), Outcome::Ok);
    }
    for name in &names {
        assert_eq!(left(&mut gate, name, Nanos::ZERO), 4, "{name}");
    }
    engine.upkeep(Nanos::ZERO);
    let stats = engine.stats();
    // The pool's owner has a slot too.
    assert_eq!(stats.keys, 100_001);
    assert!(stats.slots <= 262_144, "{stats:?}");
    assert_eq!(stats.overflowed, 0);
}

#[test]
fn a_sweep_drops_full_buckets_and_no_others() {
    let engine = engine(5, roomy(), &[]);
    let mut gate = engine.gate();
    let names = names(120_000);
    let (early, late) = names.split_at(119_000);
    for name in early {
        take(&mut gate, name, Nanos::ZERO);
    }
    for name in late {
        take(&mut gate, name, MINUTE);
    }
    let before = engine.stats();
    engine.upkeep(MINUTE);
    engine.sweep(MINUTE);
    engine.upkeep(MINUTE);
    let after = engine.stats();
    assert_eq!(after.keys, 1_001);
    assert!(after.slots < before.slots, "a table that is nearly empty shrinks: {after:?}");
    for name in late {
        assert_eq!(left(&mut gate, name, MINUTE), 4);
    }
    for name in early {
        assert_eq!(left(&mut gate, name, MINUTE), 5);
    }
}

#[test]
fn idle_keys_make_room_for_new_ones_without_growth() {
    let engine = engine(5, roomy(), &[]);
    let mut gate = engine.gate();
    let mut now = Nanos::ZERO;
    for index in 0..200_000 {
        // A bucket is full again 12 seconds after its one request: about 600 are in use at a time.
        now = now + Nanos::from_millis(20);
        assert_eq!(take(&mut gate, &format!("passer-by-{index}"), now), Outcome::Ok);
    }
    assert!(engine.stats().slots <= 65_536, "{:?}", engine.stats());
}

#[test]
fn past_the_cap_new_keys_share_one_strict_bucket() {
    let engine = engine(5, Capacity { max_keys: 1024, key_share: 1.0 }, &[]);
    let mut gate = engine.gate();
    let outcomes: Vec<_> = names(5_000).iter().map(|name| take(&mut gate, name, Nanos::ZERO)).collect();
    let refused = outcomes.iter().filter(|&&outcome| outcome == Outcome::Overflow).count();
    let admitted = outcomes.iter().filter(|&&outcome| outcome == Outcome::Ok).count();
    let own = 5_000 - usize::try_from(engine.stats().overflowed).unwrap();
    assert!((1_000..=1_024).contains(&own), "{own} have buckets of their own");
    assert_eq!(admitted, own + 5, "the others share the five tokens of one bucket");
    assert_eq!(admitted + refused, 5_000);
    // Who was there before the flood is not evicted by it.
    assert_eq!(left(&mut gate, "tenant-7", Nanos::ZERO), 4);
    // And once the flood is over, a newcomer has a bucket again.
    let later = Nanos::from_secs(120);
    assert_eq!(take(&mut gate, "newcomer", later), Outcome::Ok);
    engine.upkeep(later);
    let overflowed = engine.stats().overflowed;
    assert_eq!(take(&mut gate, "another newcomer", later), Outcome::Ok);
    assert_eq!(left(&mut gate, "another newcomer", later), 4);
    assert_eq!(engine.stats().overflowed, overflowed);
}

#[test]
fn a_flood_of_one_pool_leaves_the_other_pool_and_named_tenants_alone() {
    let named: Vec<_> = names(2_000).into_iter().map(|name| (name, tokens(3))).collect();
    let engine = engine(5, Capacity { max_keys: 4096, key_share: 0.25 }, &named);
    let mut gate = engine.gate();
    for index in 0..50_000 {
        gate.consume(
            Subject::Anonymous,
            format!("10.0.{}.{}", index / 256, index % 256).as_bytes(),
            1,
            Nanos::ZERO,
        );
    }
    let overflowed = engine.stats().overflowed;
    assert_eq!(overflowed, 50_000 - 1_024, "anonymous clients hold their share of the keys");
    for (name, _) in &named {
        assert_eq!(take(&mut gate, name, Nanos::ZERO), Outcome::Ok);
        assert_eq!(left(&mut gate, name, Nanos::ZERO), 2);
    }
    for index in 0..1_000 {
        let name = format!("unknown-{index}");
        assert_eq!(take(&mut gate, &name, Nanos::ZERO), Outcome::Ok);
        assert_eq!(left(&mut gate, &name, Nanos::ZERO), 4);
    }
    assert_eq!(engine.stats().overflowed, overflowed);
}

#[test]
fn subjects_of_one_name_have_buckets_of_their_own() {
    let engine = engine(1, roomy(), &[]);
    let mut gate = engine.gate();
    assert!(gate.consume(Subject::Tenant, b"10.0.0.1", 1, Nanos::ZERO).allowed());
    assert!(gate.consume(Subject::Anonymous, b"10.0.0.1", 1, Nanos::ZERO).allowed());
    assert!(!gate.consume(Subject::Anonymous, b"10.0.0.1", 1, Nanos::ZERO).allowed());
}

#[test]
fn a_block_refuses_until_it_is_over_and_survives_a_move() {
    let engine = engine(60, roomy(), &[]);
    let mut gate = engine.gate();
    for _ in 0..60 {
        assert_eq!(take(&mut gate, "acme", Nanos::ZERO), Outcome::Ok);
    }
    let blocked = gate.block(&tenant("acme"), Nanos::from_secs(30), Nanos::ZERO).unwrap();
    assert_eq!((blocked.outcome, blocked.retry), (Outcome::Blocked, Some(Nanos::from_secs(30))));
    engine.sweep(Nanos::from_secs(10));
    engine.upkeep(Nanos::from_secs(10));
    let refused = gate.consume(Subject::Tenant, b"acme", 1, Nanos::from_secs(10));
    assert_eq!((refused.outcome, refused.retry), (Outcome::Blocked, Some(Nanos::from_secs(20))));
    assert_eq!(gate.peek(Subject::Tenant, b"acme", 1, Nanos::from_secs(29)).outcome, Outcome::Blocked);
    // Refilling went on meanwhile.
    let after = gate.consume(Subject::Tenant, b"acme", 1, Nanos::from_secs(30));
    assert_eq!((after.outcome, after.remaining), (Outcome::Ok, 29));
}

#[test]
fn a_tenant_without_a_limit_can_be_blocked() {
    let engine = engine(1, roomy(), &[("free".to_owned(), Grant::Unlimited)]);
    let mut gate = engine.gate();
    assert_eq!(take(&mut gate, "free", Nanos::ZERO), Outcome::Unlimited);
    let blocked = gate.block(&tenant("free"), MINUTE, Nanos::ZERO).unwrap();
    assert_eq!((blocked.outcome, blocked.retry), (Outcome::Blocked, Some(MINUTE)));
    assert_eq!(take(&mut gate, "free", Nanos::from_secs(59)), Outcome::Blocked);
    assert_eq!(take(&mut gate, "free", MINUTE), Outcome::Unlimited);
    gate.block(&tenant("free"), MINUTE, MINUTE).unwrap();
    gate.reset(&tenant("free"), MINUTE).unwrap();
    assert_eq!(take(&mut gate, "free", MINUTE), Outcome::Unlimited);
}

#[test]
fn a_reset_lifts_a_block_and_fills_the_bucket() {
    let engine = engine(3, roomy(), &[]);
    let mut gate = engine.gate();
    take(&mut gate, "acme", Nanos::ZERO);
    gate.block(&tenant("acme"), MINUTE, Nanos::ZERO).unwrap();
    gate.reset(&tenant("acme"), Nanos::ZERO).unwrap();
    assert_eq!(take(&mut gate, "acme", Nanos::ZERO), Outcome::Ok);
    assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 2);
}

#[test]
fn a_debt_is_one_capacity_at_most() {
    let engine = engine(60, roomy(), &[]);
    let mut gate = engine.gate();
    let decision = gate.penalize(&tenant("acme"), 1_000, Nanos::ZERO).unwrap();
    assert_eq!((decision.remaining, decision.reset), (0, Nanos::from_secs(120)));
}

#[test]
fn peeking_remembers_nothing() {
    let engine = engine(5, roomy(), &[]);
    let mut gate = engine.gate();
    for name in names(1_000) {
        assert_eq!(left(&mut gate, &name, Nanos::ZERO), 5);
    }
    assert_eq!(engine.stats().keys, 0);
}

#[test]
fn a_policy_can_refuse_who_it_does_not_name() {
    let rows = [("acme", tokens(7)), ("free", Grant::Unlimited), ("gone", tokens(0))];
    let mut gate = start(compiled(&refusing(spec(5)), rows), roomy()).gate();
    assert_eq!(take(&mut gate, "acme", Nanos::ZERO), Outcome::Ok);
    assert_eq!(take(&mut gate, "free", Nanos::ZERO), Outcome::Unlimited);
    assert_eq!(take(&mut gate, "gone", Nanos::ZERO), Outcome::Denied);
    assert_eq!(take(&mut gate, "who", Nanos::ZERO), Outcome::Unknown);
    assert!(gate.consume(Subject::Anonymous, b"10.0.0.1", 1, Nanos::ZERO).allowed());
}

#[test]
fn equal_policies_have_equal_hashes_in_any_order() {
    let hash =
        |rows: &[(&'static str, Grant)]| compiled(&spec(5), rows.iter().copied()).image.hash().to_owned();
    let (a, b, c) = (("a", tokens(1)), ("b", tokens(2)), ("a", tokens(2)));
    assert_eq!(hash(&[a, b]), hash(&[b, a]));
    assert_ne!(hash(&[a, b]), hash(&[c, b]));
    assert_ne!(hash(&[a]), hash(&[a, b]));
}

#[test]
fn a_tenant_named_twice_or_badly_is_refused() {
    let mut named = draft(&spec(5), [("acme", tokens(1))]);
    assert!(named.tenant("", row(tokens(1))).is_err());
    assert!(named.tenant(&"x".repeat(257), row(tokens(1))).is_err());
    assert!(named.tenant(&"x".repeat(256), row(tokens(1))).is_ok());
    named.tenant("acme", row(tokens(1))).unwrap();
    assert!(named.compile().is_err());
}

/// Many threads, a growing table and sweeps in between, at one instant: every key admits its quota, to the token.
#[test]
fn threads_admit_exactly_the_quota_while_tables_move() {
    const KEYS: usize = 4_000;
    const QUOTA: u64 = 10;
    let engine = engine(QUOTA, roomy(), &[]);
    let (names, admitted) = (names(KEYS), (0..KEYS).map(|_| AtomicU64::new(0)).collect::<Vec<_>>());
    let running = AtomicBool::new(true);
    thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while running.load(Ordering::Relaxed) {
                engine.sweep(Nanos::ZERO);
                engine.upkeep(Nanos::ZERO);
            }
        });
        let spenders: Vec<_> = (0..4)
            .map(|start| {
                let (names, admitted, mut gate) = (&names, &admitted, engine.gate());
                scope.spawn(move || {
                    for round in 0..5 {
                        for step in 0..KEYS {
                            // Every thread in an order of its own, so that all keys are new to several at once.
                            let index = (step * [1, 3, 7, 9][start] + round) % KEYS;
                            if take(&mut gate, &names[index], Nanos::ZERO) == Outcome::Ok {
                                admitted[index].fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                })
            })
            .collect();
        for spender in spenders {
            spender.join().unwrap();
        }
        running.store(false, Ordering::Relaxed);
        sweeper.join().unwrap();
    });
    assert_eq!(engine.stats().overflowed, 0);
    for (name, admitted) in names.iter().zip(&admitted) {
        assert_eq!(admitted.load(Ordering::Relaxed), QUOTA, "{name}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Spend(u16, u64),
    Wait(u64),
    Sweep,
    Upkeep,
    /// From now on, another thread's gate, which may be behind.
    Other,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => (0..3_000_u16, 0..6_u64).prop_map(|(key, cost)| Step::Spend(key, cost)),
        4 => (0..20_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
        1 => Just(Step::Upkeep),
        2 => Just(Step::Other),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a map of levels, in milliseconds of refill: 5 tokens of 12,000 ms each.
    #[test]
    fn sweeping_and_growing_never_change_a_decision(steps in prop::collection::vec(step(), 1..6_000)) {
        let engine = engine(5, roomy(), &[]);
        let mut gates = [engine.gate(), engine.gate()];
        let (mut using, mut now) = (0, 0_u64);
        let mut full_at: HashMap<u16, u64> = HashMap::new();
        for step in steps {
            let at = Nanos::from_millis(now);
            match step {
                Step::Spend(key, cost) => {
                    let level = full_at.entry(key).or_default();
                    let charged = (*level).max(now) + cost * 12_000;
                    let allowed = charged - now <= 60_000;
                    if allowed {
                        *level = charged;
                    }
                    let decision = gates[using].consume(Subject::Tenant, &key.to_be_bytes(), cost, at);
                    prop_assert_eq!(decision.allowed(), allowed, "key {} at {} ms", key, now);
                    prop_assert_eq!(decision.remaining, (60_000 - level.saturating_sub(now)) / 12_000);
                }
                Step::Wait(millis) => now += millis,
                Step::Sweep => engine.sweep(at),
                Step::Upkeep => engine.upkeep(at),
                Step::Other => using = 1 - using,
            }
        }
    }
}
