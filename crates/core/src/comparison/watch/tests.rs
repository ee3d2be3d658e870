//! Bounds, against buckets that keep to them and buckets that do not.

#![allow(clippy::unwrap_used, reason = "a test that fails, fails")]

use super::*;
use crate::policy::{Draft, OptimizationLevel, Spec};
use crate::{Capacity, Epoch, FixedWindow, Gcra, KeyHasher, Outcome, SlidingWindow, Window};

fn engine() -> Engine {
    let spec = br#"{ "default": { "quota": 5, "windowMs": 1000, "algorithm": "token-bucket" } }"#;
    let draft = Draft::new(&Spec::parse(spec).unwrap(), OptimizationLevel::default()).unwrap();
    let capacity = Capacity { max_keys: 1024, key_share: 1.0 };
    Engine::new(KeyHasher::with_secret(1, 2), draft.compile().unwrap(), capacity, Epoch::default()).unwrap()
}

fn meters() -> [Meter; 3] {
    let window = Nanos::from_millis(250);
    [
        Meter::TokenBucket(Gcra::new(7, 3, window).unwrap()),
        Meter::FixedWindow(FixedWindow::new(7, 3, Window::Span(window)).unwrap()),
        Meter::SlidingWindow(SlidingWindow::new(7, 3, Window::Span(window)).unwrap()),
    ]
}

fn decision(meter: &Meter) -> Decision {
    Decision {
        quota: meter.quota(),
        capacity: meter.capacity(),
        window: meter.window().unwrap().shortest(),
        ..Decision::never(Outcome::Ok)
    }
}

/// What a bucket admits of a flood for three seconds, from a wall time that is no round number: instants.
fn admitted(meter: &Meter) -> Vec<Nanos> {
    let epoch = Epoch { monotonic: Nanos::ZERO, wall: Nanos::new(1_234_567_891) };
    let mut state = 0;
    let instants = (0..3_000).map(Nanos::from_millis);
    let mut admits = |now: &Nanos| match meter.admit(state, crate::moment::Moment::new(*now, epoch), 1) {
        Ok(next) => {
            state = next;
            true
        }
        Err(_) => false,
    };
    instants.filter(|now| admits(now)).collect()
}

#[test]
fn a_bucket_that_keeps_to_its_limit_is_within_its_bounds_whatever_the_flood() {
    let engine = engine();
    for meter in meters() {
        let (mut isolation, mut burst) = (Isolation::default(), Burst::default());
        let decision = decision(&meter);
        for now in admitted(&meter) {
            assert!(!isolation.admit(&decision, (1, now), &engine, || Some(&meter)), "{meter:?}");
            let ratio = burst.admit(&decision, (1, now), &engine, || Some(&meter)).unwrap();
            assert!(ratio <= 1.0, "{meter:?}: {ratio}");
        }
    }
}

#[test]
fn a_bucket_that_admits_everything_is_above_both() {
    let engine = engine();
    for meter in meters() {
        let (mut isolation, mut burst) = (Isolation::default(), Burst::default());
        let decision = decision(&meter);
        let (mut breaches, mut peak) = (0, 0.0_f64);
        for now in (0..3_000).map(Nanos::from_millis) {
            breaches += u64::from(isolation.admit(&decision, (1, now), &engine, || Some(&meter)));
            peak = peak.max(burst.admit(&decision, (1, now), &engine, || Some(&meter)).unwrap());
        }
        assert!(breaches > 0 && peak > 1.0, "{meter:?}: {breaches}, {peak}");
    }
}

#[test]
fn a_burst_is_what_one_second_of_the_clock_admits_over_what_it_may() {
    let (engine, meter) = (engine(), Meter::TokenBucket(Gcra::new(60, 20, Nanos::from_secs(60)).unwrap()));
    let mut burst = Burst::default();
    let mut admit = |cost, millis| {
        burst.admit(&decision(&meter), (cost, Nanos::from_millis(millis)), &engine, || Some(&meter))
    };
    // A full bucket of 80, and what a second refills.
    assert_eq!(admit(27, 1_000), Some(27.0 / 81.0));
    assert_eq!(admit(27, 1_999), Some(54.0 / 81.0));
    assert_eq!(admit(27, 2_000), Some(27.0 / 81.0));
    assert_eq!(admit(27, 1_999), None, "that second is over");
}

#[test]
fn where_tokens_have_come_back_nothing_is_said_of_that_second_and_the_bound_counts_from_there() {
    let (engine, meter) = (engine(), Meter::TokenBucket(Gcra::new(10, 0, Nanos::from_secs(60)).unwrap()));
    let (mut isolation, mut burst) = (Isolation::default(), Burst::default());
    for round in 0..100 {
        let now = Nanos::from_millis(round);
        assert!(!isolation.admit(&decision(&meter), (10, now), &engine, || Some(&meter)));
        isolation.restart();
        let ratio = burst.admit(&decision(&meter), (10, now), &engine, || Some(&meter));
        assert!(ratio.is_none_or(|ratio| ratio <= 1.0));
        burst.mute();
    }
}
