//! A policy that changes under load: what was spent stays spent, and nothing refills.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;
use tollgate_core::adjust::NotDone;
use tollgate_core::policy::Draft;
use tollgate_core::{Capacity, Engine, Gate, Grant, Nanos, Outcome, Request, Ruling, Subject};

mod policies;

use policies::{MINUTE, bucket, compiled, parsed, refusing, row, spec, start, tenant};

fn tokens(quota: u64, burst: u64) -> Grant {
    bucket(quota, burst, MINUTE)
}

/// 60 a minute for everybody.
fn engine() -> Arc<Engine> {
    start(compiled(&spec(60), []), Capacity { max_keys: 100_000, key_share: 1.0 })
}

fn upsert(engine: &Engine, name: &str, grant: Grant, now: Nanos) {
    engine.amend(|draft| draft.upsert(name, row(grant)), now).unwrap().unwrap();
}

/// Was it named?
fn remove(engine: &Engine, name: &str, now: Nanos) -> bool {
    let mut named = false;
    let change = |draft: &mut Draft| {
        named = draft.remove(name);
        Ok::<(), ()>(())
    };
    engine.amend(change, now).unwrap().unwrap();
    named
}

fn take(gate: &mut Gate, name: &str, cost: u64, now: Nanos) -> Outcome {
    gate.consume(Subject::Tenant, name.as_bytes(), cost, now).outcome
}

fn left(gate: &mut Gate, name: &str, now: Nanos) -> u64 {
    gate.peek(Subject::Tenant, name.as_bytes(), 0, now).remaining
}

#[test]
fn a_raised_quota_adds_exactly_the_difference() {
    let engine = engine();
    let mut gate = engine.gate();
    take(&mut gate, "acme", 47, Nanos::ZERO);
    upsert(&engine, "acme", tokens(100, 7), Nanos::ZERO);
    assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 60);
    assert_eq!(left(&mut gate, "globex", Nanos::ZERO), 60);
    upsert(&engine, "acme", tokens(1000, 7), Nanos::ZERO);
    assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 960);
}

#[test]
fn a_lowered_quota_stops_at_empty() {
    let engine = engine();
    let mut gate = engine.gate();
    take(&mut gate, "acme", 47, Nanos::ZERO);
    upsert(&engine, "acme", tokens(50, 0), Nanos::ZERO);
    assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 3);
    upsert(&engine, "acme", tokens(20, 0), Nanos::ZERO);
    assert_eq!(take(&mut gate, "acme", 1, Nanos::ZERO), Outcome::Quota);
    // Empty, not in debt: the first token is there after its three seconds.
    assert_eq!(take(&mut gate, "acme", 1, Nanos::from_secs(3)), Outcome::Ok);
}

#[test]
fn under_another_window_what_is_spent_comes_back_at_the_new_rate() {
    let engine = engine();
    let mut gate = engine.gate();
    take(&mut gate, "acme", 30, Nanos::ZERO);
    let hourly = bucket(60, 0, Nanos::from_secs(3600));
    upsert(&engine, "acme", hourly, Nanos::from_secs(10));
    assert_eq!(left(&mut gate, "acme", Nanos::from_secs(10)), 40);
    assert_eq!(left(&mut gate, "acme", Nanos::from_secs(70)), 41);
}

#[test]
fn a_debt_stays_a_debt() {
    let engine = engine();
    let mut gate = engine.gate();
    gate.penalize(&tenant("acme"), 90, Nanos::ZERO).unwrap();
    upsert(&engine, "acme", tokens(120, 0), Nanos::ZERO);
    // 60 spent of 120, and 30 owed besides.
    assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 30);
}

#[test]
fn a_tenant_that_is_named_or_removed_keeps_what_it_spent() {
    let engine = engine();
    let mut gate = engine.gate();
    take(&mut gate, "acme", 10, Nanos::ZERO);
    upsert(&engine, "acme", tokens(30, 0), Nanos::ZERO);
    assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 20);
    assert!(remove(&engine, "acme", Nanos::ZERO));
    assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 50);
    assert!(!remove(&engine, "acme", Nanos::ZERO));
}

#[test]
fn a_tenant_that_is_removed_is_refused_where_the_policy_refuses_whom_it_does_not_name() {
    let policy = compiled(&refusing(spec(60)), [("acme", tokens(30, 0))]);
    let engine = start(policy, Capacity { max_keys: 1024, key_share: 1.0 });
    let mut gate = engine.gate();
    assert_eq!(take(&mut gate, "acme", 1, Nanos::ZERO), Outcome::Ok);
    assert!(gate.consume(Subject::Anonymous, b"10.0.0.1", 7, Nanos::ZERO).allowed());
    assert!(remove(&engine, "acme", Nanos::ZERO));
    assert_eq!(take(&mut gate, "acme", 1, Nanos::ZERO), Outcome::Unknown);
    assert_eq!(gate.peek(Subject::Anonymous, b"10.0.0.1", 0, Nanos::ZERO).remaining, 53);
}

#[test]
fn other_limits_than_tokens_apply_at_once() {
    let engine = engine();
    let mut gate = engine.gate();
    take(&mut gate, "acme", 60, Nanos::ZERO);
    upsert(&engine, "acme", Grant::Unlimited, Nanos::ZERO);
    assert_eq!(take(&mut gate, "acme", 1, Nanos::ZERO), Outcome::Unlimited);
    upsert(&engine, "acme", tokens(0, 0), Nanos::ZERO);
    assert_eq!(take(&mut gate, "acme", 1, Nanos::ZERO), Outcome::Denied);
}

#[test]
fn a_block_outlives_a_change() {
    let engine = engine();
    let mut gate = engine.gate();
    gate.block(&tenant("acme"), MINUTE, Nanos::ZERO).unwrap();
    upsert(&engine, "acme", tokens(30, 0), Nanos::ZERO);
    assert_eq!(take(&mut gate, "acme", 1, Nanos::from_secs(59)), Outcome::Blocked);
    upsert(&engine, "acme", Grant::Unlimited, Nanos::from_secs(59));
    assert_eq!(take(&mut gate, "acme", 1, Nanos::from_secs(59)), Outcome::Blocked);
    assert_eq!(take(&mut gate, "acme", 1, MINUTE), Outcome::Unlimited);
}

#[test]
fn a_policy_can_be_replaced_whole_and_by_its_like_is_left_alone() {
    let engine = engine();
    let mut gate = engine.gate();
    take(&mut gate, "acme", 10, Nanos::ZERO);
    let policy = || compiled(&spec(60), [("acme", tokens(100, 0))]);
    assert!(engine.replace(policy(), Nanos::ZERO).unwrap());
    assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 90);
    assert!(!engine.replace(policy(), Nanos::ZERO).unwrap());
    assert_eq!(engine.stats().revision, 2);
}

#[test]
fn a_change_that_is_refused_changes_nothing() {
    let engine = engine();
    let before = engine.policy().image().hash().to_owned();
    let bad = engine.amend(
        |draft| {
            draft.upsert("acme", row(tokens(5, 0)))?;
            draft.upsert("", row(tokens(5, 0)))
        },
        Nanos::ZERO,
    );
    assert!(bad.unwrap().is_err());
    assert_eq!(engine.policy().image().hash(), before);
    assert_eq!(left(&mut engine.gate(), "acme", Nanos::ZERO), 60);
}

#[test]
fn a_policy_that_was_changed_back_is_the_same_policy() {
    let engine = engine();
    let before = engine.policy().image().hash().to_owned();
    upsert(&engine, "acme", tokens(5, 0), Nanos::ZERO);
    let once = engine.policy().image().hash().to_owned();
    upsert(&engine, "acme", tokens(6, 0), Nanos::ZERO);
    assert_ne!(engine.policy().image().hash(), once);
    upsert(&engine, "acme", tokens(5, 0), Nanos::ZERO);
    assert_eq!(engine.policy().image().hash(), once);
    assert!(remove(&engine, "acme", Nanos::ZERO));
    assert_eq!(engine.policy().image().hash(), before);
}

#[test]
fn a_request_that_was_put_together_for_another_policy_is_not_decided() {
    let engine = engine();
    let mut gate = engine.gate();
    let mut ruling = Ruling::default();
    let request = Request { generation: Some(gate.generation(Nanos::ZERO)), ..tenant("acme") };
    assert!(gate.decide(&request, 10, Nanos::ZERO, &mut ruling));
    upsert(&engine, "acme", tokens(30, 0), Nanos::ZERO);
    for mut gate in [gate, engine.gate()] {
        assert!(!gate.decide(&request, 10, Nanos::ZERO, &mut ruling));
        assert!(!gate.examine(&request, 10, Nanos::ZERO, &mut ruling));
        assert_eq!(gate.penalize(&request, 10, Nanos::ZERO), Err(NotDone::OtherPolicy));
        assert_eq!((ruling.applied().len(), ruling.charges().count()), (0, 0));
        assert_eq!(left(&mut gate, "acme", Nanos::ZERO), 20);
    }
}

#[test]
fn a_subject_alone_is_decided_on_where_the_policy_goes_by_nothing_else() {
    let engine = engine();
    let mut gate = engine.gate();
    let mut consume = || gate.consume_plainly_anyhow(Subject::Tenant, b"acme", 1, Nanos::ZERO);
    assert_eq!(consume().unwrap().remaining, 59);
    let default = r#"{ "quota": 60, "windowMs": 60000, "algorithm": "token-bucket" }"#;
    let rules = r#"[{ "name": "search", "match": { "path": ["/search"] }, "concurrency": 1 }]"#;
    let spec = parsed(&format!(r#"{{ "default": {default}, "rules": {rules} }}"#));
    assert!(engine.replace(compiled(&spec, []), Nanos::ZERO).unwrap());
    assert_eq!(consume(), None);
}

/// Threads spend at one instant while the quota is raised under them: in the end, the last quota is admitted, to the token.
#[test]
fn threads_admit_exactly_the_last_quota_while_it_is_raised() {
    const TENANTS: usize = 200;
    let engine = engine();
    let names: Vec<String> = (0..TENANTS).map(|index| format!("tenant-{index}")).collect();
    let admitted: Vec<AtomicU64> = names.iter().map(|_| AtomicU64::new(0)).collect();
    let spend = |gate: &mut Gate| {
        for (name, admitted) in names.iter().zip(&admitted) {
            if take(gate, name, 1, Nanos::ZERO) == Outcome::Ok {
                admitted.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut gate = engine.gate();
                for _ in 0..100 {
                    spend(&mut gate);
                }
            });
        }
        scope.spawn(|| {
            for quota in (70..=120).step_by(10) {
                let all = |draft: &mut Draft| {
                    names.iter().try_for_each(|name| draft.upsert(name, row(tokens(quota, 0))))
                };
                engine.amend(all, Nanos::ZERO).unwrap().unwrap();
            }
        });
    });
    let mut gate = engine.gate();
    for _ in 0..120 {
        spend(&mut gate);
    }
    for (name, admitted) in names.iter().zip(&admitted) {
        assert_eq!(admitted.load(Ordering::Relaxed), 120, "{name}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Spend(u8, u64),
    Wait(u64),
    Upsert(u8, usize),
    Remove(u8),
    Sweep,
    Other,
}

/// Quotas a minute whose tokens take whole nanoseconds: 60, 30, 120, 500.
const GRANTS: [(u64, u64); 4] = [(60, 0), (30, 15), (120, 0), (500, 20)];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..20_u8, 0..40_u64).prop_map(|(tenant, cost)| Step::Spend(tenant, cost)),
        4 => (0..8_000_u64).prop_map(Step::Wait),
        3 => (0..20_u8, 0..GRANTS.len()).prop_map(|(tenant, grant)| Step::Upsert(tenant, grant)),
        1 => (0..20_u8).prop_map(Step::Remove),
        1 => Just(Step::Sweep),
        1 => Just(Step::Other),
    ]
}

/// A tenant as one would count it: tokens spent, in billionths, under a quota and burst.
#[derive(Debug, Clone, Copy)]
struct Tenant {
    grant: (u64, u64),
    spent: u128,
    at: u64,
}

impl Tenant {
    const TOKEN: u128 = 60_000_000_000;

    fn until(&mut self, millis: u64) {
        let refilled = u128::from(millis - self.at) * 1_000_000 * u128::from(self.grant.0);
        self.spent = self.spent.saturating_sub(refilled);
        self.at = millis;
    }

    fn capacity(&self) -> u128 {
        u128::from(self.grant.0 + self.grant.1) * Self::TOKEN
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_never_give_or_take_a_token(steps in prop::collection::vec(step(), 1..400)) {
        let engine = engine();
        let mut gates = [engine.gate(), engine.gate()];
        let (mut using, mut now) = (0, 0_u64);
        let mut tenants: HashMap<u8, Tenant> = HashMap::new();
        let mut named = std::collections::HashSet::new();
        for step in steps {
            let at = Nanos::from_millis(now);
            match step {
                Step::Wait(millis) => now += millis,
                Step::Sweep => engine.sweep(at),
                Step::Other => using = 1 - using,
                Step::Upsert(name, grant) => {
                    let tenant = tenants.entry(name).or_insert(Tenant { grant: GRANTS[0], spent: 0, at: now });
                    tenant.until(now);
                    tenant.grant = GRANTS[grant];
                    tenant.spent = tenant.spent.min(tenant.capacity());
                    named.insert(name);
                    let (quota, burst) = GRANTS[grant];
                    upsert(&engine, &name.to_string(), tokens(quota, burst), at);
                }
                Step::Remove(name) => {
                    let removed = remove(&engine, &name.to_string(), at);
                    prop_assert_eq!(removed, named.remove(&name));
                    if removed && let Some(tenant) = tenants.get_mut(&name) {
                        tenant.until(now);
                        tenant.grant = GRANTS[0];
                        tenant.spent = tenant.spent.min(tenant.capacity());
                    }
                }
                Step::Spend(name, cost) => {
                    let tenant = tenants.entry(name).or_insert(Tenant { grant: GRANTS[0], spent: 0, at: now });
                    tenant.until(now);
                    let spent = tenant.spent + u128::from(cost) * Tenant::TOKEN;
                    let allowed = spent <= tenant.capacity();
                    let decision = gates[using].consume(Subject::Tenant, name.to_string().as_bytes(), cost, at);
                    // A carried amount is rounded up by less than a nanosecond's refill. Within that, either is right.
                    let edge = (tenant.capacity().abs_diff(spent)) < 40 * u128::from(tenant.grant.0);
                    prop_assert!(decision.allowed() == allowed || edge, "{:?} at {} ms: {:?}", tenant, now, decision);
                    if decision.allowed() {
                        tenant.spent = spent;
                    }
                    let remaining = tenant.capacity().saturating_sub(tenant.spent);
                    let near = remaining.saturating_sub(40 * u128::from(tenant.grant.0)) / Tenant::TOKEN;
                    let told = u128::from(decision.remaining);
                    prop_assert!((near..=remaining / Tenant::TOKEN).contains(&told), "{:?}: {:?}", tenant, decision);
                }
            }
        }
    }
}
