//! What was charged and is given back: to the bucket that was charged, and to no other, whatever has happened since.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::sync::Arc;

use tollgate_core::{Algorithm, Charged, Engine, Gate, Grant, Nanos, Ruling, Window};

mod policies;

use policies::{MINUTE, bucket, compiled, roomy, spec, start, tenant};

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
