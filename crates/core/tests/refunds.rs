//! What was charged and is given back: to the bucket that was charged, and to no other, whatever has happened since.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::sync::Arc;

use tollgate_core::policy::Compiled;
use tollgate_core::{Algorithm, Charged, Engine, Gate, Grant, Nanos, Ruling, Subject, Window};

mod policies;

use policies::{MINUTE, bucket, compiled, parsed, roomy, spec, start, tenant};

/// What a request of acme was charged, if it was admitted.
fn charged(gate: &mut Gate, cost: u64, now: Nanos) -> Option<Vec<Charged>> {
    let mut ruling = Ruling::default();
    gate.decide(&tenant("acme"), cost, now, &mut ruling);
    ruling.decision().allowed().then(|| ruling.charges().collect())
}

fn give_back(gate: &mut Gate, charges: &[Charged], then: Nanos, now: Nanos) {
    for charge in charges {
        gate.give_back(*charge, then, now);
    }
}

/// A limit for acme, and 60 a minute for everybody else.
fn engine(grant: Grant) -> Arc<Engine> {
    start(compiled(&spec(60), [("acme", grant)]), roomy())
}

fn replace(engine: &Engine, grant: Grant) {
    assert!(engine.replace(compiled(&spec(60), [("acme", grant)]), Nanos::ZERO).unwrap());
}

#[test]
fn what_was_admitted_without_a_limit_is_not_given_back_to_one() {
    let engine = engine(Grant::Unlimited);
    let mut gate = engine.gate();
    let charges = charged(&mut gate, 5, Nanos::ZERO).unwrap();
    replace(&engine, bucket(10, 0, MINUTE));
    assert!(charged(&mut gate, 10, Nanos::ZERO).is_some());
    give_back(&mut gate, &charges, Nanos::ZERO, Nanos::ZERO);
    assert!(charged(&mut gate, 1, Nanos::ZERO).is_none());
}

#[test]
fn what_was_charged_in_a_window_that_is_over_is_not_given_back_to_the_next_by_a_table_made_since() {
    let window = Window::Span(MINUTE);
    let fixed = Grant::Tokens { algorithm: Algorithm::FixedWindow, quota: 10, burst: 0, window };
    let engine = engine(fixed);
    let mut gate = engine.gate();
    let seconds = Nanos::from_secs;
    let charges = charged(&mut gate, 10, seconds(59)).unwrap();
    assert!(charged(&mut gate, 10, seconds(60)).is_some());
    engine.sweep(seconds(61));
    engine.upkeep(seconds(61));
    give_back(&mut gate, &charges, seconds(59), seconds(62));
    assert!(charged(&mut gate, 1, seconds(62)).is_none());
}

/// 60 a minute for everybody, and a rule, if there is one.
fn ruled(rule: Option<&str>) -> Compiled {
    let default = r#"{ "quota": 60, "windowMs": 60000, "algorithm": "token-bucket" }"#;
    let rule = rule.map(|rule| format!(r#"{{ "name": "search", {rule} }}"#)).unwrap_or_default();
    compiled(&parsed(&format!(r#"{{ "default": {default}, "rules": [{rule}] }}"#)), [])
}

const SLOTS: Option<&str> = Some(r#""concurrency": 1"#);
const TOKENS: Option<&str> = Some(r#""quota": 10, "windowMs": 60000"#);

fn change(engine: &Engine, rule: Option<&str>) {
    assert!(engine.replace(ruled(rule), Nanos::ZERO).unwrap());
}

#[test]
fn a_slot_of_a_rule_that_was_away_is_not_given_back_to_those_who_hold_one_since() {
    let engine = start(ruled(SLOTS), roomy());
    let mut gate = engine.gate();
    let before = charged(&mut gate, 1, Nanos::ZERO).unwrap();
    change(&engine, None);
    change(&engine, SLOTS);
    let since = charged(&mut gate, 1, Nanos::ZERO).unwrap();
    give_back(&mut gate, &before, Nanos::ZERO, Nanos::ZERO);
    assert!(charged(&mut gate, 1, Nanos::ZERO).is_none());
    give_back(&mut gate, &since, Nanos::ZERO, Nanos::ZERO);
    assert!(charged(&mut gate, 1, Nanos::ZERO).is_some());
}

#[test]
fn a_slot_is_given_back_under_a_policy_that_still_has_the_rule() {
    let engine = start(ruled(SLOTS), roomy());
    let mut gate = engine.gate();
    let held = charged(&mut gate, 1, Nanos::ZERO).unwrap();
    change(&engine, Some(r#""concurrency": 1, "mode": "shadow""#));
    change(&engine, Some(r#""concurrency": 2"#));
    change(&engine, SLOTS);
    assert!(charged(&mut gate, 1, Nanos::ZERO).is_none());
    give_back(&mut gate, &held, Nanos::ZERO, Nanos::ZERO);
    assert!(charged(&mut gate, 1, Nanos::ZERO).is_some());
}

#[test]
fn a_slot_is_not_given_back_as_a_token_nor_a_token_as_a_slot() {
    for (first, second, most) in [(SLOTS, TOKENS, 10), (TOKENS, SLOTS, 1)] {
        let engine = start(ruled(first), roomy());
        let mut gate = engine.gate();
        let before = charged(&mut gate, 1, Nanos::ZERO).unwrap();
        change(&engine, second);
        for _ in 0..most {
            assert!(charged(&mut gate, 1, Nanos::ZERO).is_some());
        }
        // What is given back of the tenant's own quota is no matter.
        give_back(&mut gate, &before, Nanos::ZERO, Nanos::ZERO);
        assert!(charged(&mut gate, 1, Nanos::ZERO).is_none());
    }
}

#[test]
fn tokens_that_turn_out_more_take_no_slots() {
    let engine = start(ruled(TOKENS), roomy());
    let mut gate = engine.gate();
    let before = charged(&mut gate, 1, Nanos::ZERO).unwrap();
    change(&engine, SLOTS);
    for charge in before {
        gate.debit(charge, Subject::Tenant, b"acme", 7, Nanos::ZERO);
    }
    assert!(charged(&mut gate, 1, Nanos::ZERO).is_some());
}
