use proptest::prelude::*;

use super::*;
use crate::gcra::LATEST;
use crate::limit::Grant;
use crate::{Algorithm, Limit};

/// 2026-02-27T00:00:00Z.
const EPOCH: u64 = 1_772_150_400_000_000_000;
const MINUTE: Nanos = Nanos::from_secs(60);

fn meter(algorithm: Algorithm, quota: u64, burst: u64, window: Window) -> Meter {
    match (Grant::Tokens { algorithm, quota, burst, window }).limit() {
        Ok(Limit::Metered(meter)) => meter,
        other => panic!("{other:?}"),
    }
}

/// Both clocks at the same.
fn both(nanos: u64) -> Epoch {
    Epoch { monotonic: Nanos::new(nanos), wall: Nanos::new(nanos) }
}

fn windows() -> impl Strategy<Value = Window> {
    let span = |nanos| Window::Span(Nanos::new(nanos));
    prop_oneof![
        Just(span(1_000_000)),
        Just(span(MINUTE.get())),
        Just(span(86_400_000_000_000)),
        (1000..1_u64 << 52).prop_map(span),
    ]
}

fn token_meters() -> impl Strategy<Value = Meter> {
    let tokens = (1..1000_u64, 0..100_u64);
    prop_oneof![
        (tokens.clone(), windows()).prop_map(|((q, b), window)| meter(Algorithm::TokenBucket, q, b, window)),
        (tokens.clone(), windows()).prop_map(|((q, b), window)| meter(Algorithm::FixedWindow, q, b, window)),
        tokens.clone().prop_map(|(q, b)| meter(Algorithm::FixedWindow, q, b, Window::Month)),
        (tokens, windows()).prop_map(|((q, b), window)| meter(Algorithm::SlidingWindow, q, b, window)),
    ]
}

fn meters() -> impl Strategy<Value = Meter> {
    let concurrency = (1..1000_u64).prop_map(|most| Meter::Concurrency(Concurrency::new(most).unwrap()));
    prop_oneof![4 => token_meters(), 1 => concurrency]
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Admit(u64),
    Take(u64),
    Give(u64),
    GiveBack(u64),
    Rebase,
}

/// A gap, as a power of two of nanoseconds and a fraction, and what is done after it.
fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        6 => (0..400_u64).prop_map(Step::Admit),
        1 => prop_oneof![0..3000_u64, any::<u64>()].prop_map(Step::Take),
        1 => prop_oneof![0..400_u64, any::<u64>()].prop_map(Step::Give),
        1 => (0..400_u64).prop_map(Step::GiveBack),
        2 => Just(Step::Rebase),
    ];
    let gap = (0..48_u32, any::<u64>()).prop_map(|(power, part)| (1 << power) | (part & ((1 << power) - 1)));
    prop::collection::vec((gap, step), 1..60)
}

proptest! {
    #[test]
    fn counting_from_another_epoch_changes_nothing(meter in meters(), steps in steps()) {
        let (mut state, mut renewed, mut epoch) = (0, 0, EPOCH);
        let (mut wall, mut before) = (EPOCH, EPOCH);
        for (gap, step) in steps {
            wall = (wall + gap).min(EPOCH + LATEST.get() - 1);
            let (now, there) = (Moment::at(wall, EPOCH), Moment::at(wall, epoch));
            match step {
                Step::Admit(cost) => {
                    let (here, there) = (meter.admit(state, now, cost), meter.admit(renewed, there, cost));
                    prop_assert_eq!(here.err(), there.err());
                    (state, renewed) = (here.unwrap_or(state), there.unwrap_or(renewed));
                }
                Step::Take(cost) => {
                    (state, renewed) = (meter.take(state, now, cost), meter.take(renewed, there, cost));
                }
                Step::Give(cost) => {
                    (state, renewed) = (meter.give(state, now, cost), meter.give(renewed, there, cost));
                }
                Step::GiveBack(cost) => {
                    // Charged when the last step was, which may be before the table was made.
                    let charged = Moment::at(before, EPOCH);
                    state = meter.give_back(state, now, charged, cost);
                    renewed = meter.give_back(renewed, there, charged, cost);
                }
                Step::Rebase => {
                    renewed = meter.rebased(renewed, both(epoch), both(wall));
                    epoch = wall;
                }
            }
            before = wall;
            for state in [state, renewed] {
                prop_assert!(state < (1 << 62) - 1);
            }
            let there = Moment::at(wall, epoch);
            prop_assert_eq!(meter.spent(state, now), meter.spent(renewed, there));
            prop_assert_eq!(meter.remaining(state, now), meter.remaining(renewed, there));
            prop_assert_eq!(meter.until_full(state, now), meter.until_full(renewed, there));
            prop_assert_eq!(meter.is_live(state, now), meter.is_live(renewed, there));
            prop_assert!(meter.spent(state, now) <= 2 * meter.capacity());
        }
    }

    #[test]
    fn another_limit_finds_as_much_spent(
        from in token_meters(),
        to in token_meters(),
        charges in prop::collection::vec((0..200_000_000_000_u64, 1..500_u64), 1..8),
        later in 0..200_000_000_000_u64,
    ) {
        let (mut state, mut wall) = (0, EPOCH + 123_456_789);
        for (gap, cost) in charges {
            wall += gap;
            state = from.admit(state, Moment::at(wall, EPOCH), cost).unwrap_or(state);
        }
        let now = Moment::at(wall + later, EPOCH);
        let spent = from.spent(state, now);
        let carried = from.carried(state, now, &to);
        // Raised: exactly the difference. Lowered: it stops at empty.
        prop_assert_eq!(to.remaining(carried, now), to.capacity().saturating_sub(spent));
        prop_assert_eq!(to.spent(carried, now), spent.min(to.capacity()));
    }

    #[test]
    fn a_debt_stays_one(from in token_meters(), to in token_meters(), debt in 1..2000_u64) {
        let now = Moment::at(EPOCH + 123_456_789, EPOCH);
        let state = from.take(0, now, from.capacity() + debt);
        let carried = from.carried(state, now, &to);
        let owed = debt.min(from.capacity()).min(to.capacity());
        prop_assert_eq!(to.spent(carried, now), from.capacity().min(to.capacity()) + owed);
    }

    #[test]
    fn a_state_is_restored_from_what_is_spent(meter in meters(), spent in 0..3000_u64, since in 1..LATEST.get()) {
        let now = Moment { since: Nanos::new(since), epoch: Nanos::new(EPOCH) };
        let state = meter.with_spent(now, spent);
        let most = if matches!(meter, Meter::Concurrency(_)) { spent } else { 2 * meter.capacity() };
        prop_assert_eq!(meter.spent(state, now), spent.min(most));
        prop_assert!(state > 0 && state < (1 << 62) - 1);
    }

    #[test]
    fn nothing_overflows_whatever_the_state_and_the_instant(
        meter in meters(),
        to in meters(),
        state in 0..(1_u64 << 62),
        since in any::<u64>(),
        epoch in any::<u64>(),
        charged_at in any::<(u64, u64)>(),
        cost in any::<u64>(),
    ) {
        let now = Moment { since: Nanos::new(since), epoch: Nanos::new(epoch) };
        let charged_at = Moment { since: Nanos::new(charged_at.0), epoch: Nanos::new(charged_at.1) };
        let _ = meter.admit(state, now, cost);
        let _ = meter.admit(state, now, cost % (meter.capacity() + 1));
        let _ = (meter.remaining(state, now), meter.until_full(state, now), meter.is_live(state, now));
        let _ = (meter.give_back(state, now, charged_at, cost), meter.window_length(now));
        for state in [
            meter.take(state, now, cost),
            meter.give(state, now, cost),
            meter.with_spent(now, cost),
            meter.carried(state, now, &to),
            meter.rebased(state, both(now.epoch.get()), both(charged_at.epoch.get())),
        ] {
            prop_assert!(state < 1 << 62);
        }
    }
}

fn one_of_each() -> [Meter; 5] {
    [
        meter(Algorithm::TokenBucket, 100, 20, Window::Span(MINUTE)),
        meter(Algorithm::FixedWindow, 100, 20, Window::Span(MINUTE)),
        meter(Algorithm::FixedWindow, 100, 20, Window::Month),
        meter(Algorithm::SlidingWindow, 100, 20, Window::Span(MINUTE)),
        meter(Algorithm::Concurrency, 120, 0, Window::Span(MINUTE)),
    ]
}

#[test]
fn neither_0_nor_1_has_anything_spent() {
    let now = Moment::at(EPOCH, EPOCH);
    for meter in one_of_each() {
        for state in [0, FRESH] {
            assert!(!meter.is_live(state, now), "{meter:?}");
            assert_eq!(meter.remaining(state, now), 120);
            assert_eq!(meter.until_full(state, now), Nanos::ZERO);
            assert!(meter.admit(state, now, 120).is_ok());
        }
        assert_eq!(meter.rebased(0, both(now.epoch.get()), both(EPOCH + 1)), 0);
        assert_eq!(meter.carried(0, now, &meter), 0);
        assert!(meter.admit(0, now, 0).unwrap() > 0);
        assert!(meter.give(0, now, 5) > 0);
    }
}

#[test]
fn a_meter_tells_what_was_declared() {
    for meter in one_of_each() {
        assert_eq!(meter.capacity(), 120);
        assert_eq!(meter.quota() + meter.burst(), 120);
    }
    let now = Moment::at(EPOCH, EPOCH);
    let windows = one_of_each().map(|meter| (meter.window(), meter.window_length(now)));
    let minute = (Some(Window::Span(MINUTE)), MINUTE);
    // February 2026 has 28 days.
    let month = (Some(Window::Month), Nanos::from_secs(28 * 86_400));
    assert_eq!(windows, [minute, minute, month, minute, (None, Nanos::ZERO)]);
}

#[test]
fn a_raised_quota_keeps_both_of_its_windows() {
    let from = meter(Algorithm::SlidingWindow, 100, 0, Window::Span(MINUTE));
    let to = meter(Algorithm::SlidingWindow, 1000, 0, Window::Span(MINUTE));
    let (first, second) = (Moment::at(EPOCH, EPOCH), Moment::at(EPOCH + 90_000_000_000, EPOCH));
    let state = from.admit(0, first, 80).unwrap();
    let state = from.admit(state, second, 40).unwrap();
    let carried = from.carried(state, second, &to);
    for seconds in 90..200 {
        let now = Moment::at(EPOCH + seconds * 1_000_000_000, EPOCH);
        assert_eq!(to.spent(carried, now), from.spent(state, now));
    }
}

#[test]
fn a_lowered_quota_keeps_the_window_that_a_later_clock_counted_in() {
    let from = meter(Algorithm::FixedWindow, 100, 0, Window::Span(MINUTE));
    let to = meter(Algorithm::FixedWindow, 50, 0, Window::Span(MINUTE));
    let (now, later) = (Moment::at(EPOCH, EPOCH), Moment::at(EPOCH + 120_000_000_000, EPOCH));
    let carried = from.carried(from.admit(0, later, 100).unwrap(), now, &to);
    assert_eq!(to.remaining(carried, later), 0);
}

#[test]
fn who_holds_a_slot_holds_it_under_another_limit() {
    let now = Moment::at(EPOCH, EPOCH);
    let [bucket, .., concurrency] = one_of_each();
    let lowered = meter(Algorithm::Concurrency, 2, 0, Window::Span(MINUTE));
    let state = concurrency.admit(0, now, 10).unwrap();
    let carried = concurrency.carried(state, now, &lowered);
    assert_eq!(lowered.spent(carried, now), 10);
    assert_eq!(lowered.remaining(lowered.give(carried, now, 9), now), 1);
    // Slots are no tokens, and tokens are no slots.
    assert_eq!(concurrency.carried(state, now, &bucket), FRESH);
    assert_eq!(bucket.carried(bucket.take(0, now, 7), now, &concurrency), FRESH);
}

#[test]
fn ten_to_the_ninth_a_second_is_counted_to_the_token_for_as_long_as_a_table_lives() {
    let second = Window::Span(Nanos::from_secs(1));
    let meter = meter(Algorithm::FixedWindow, 1_000_000_000, 0, second);
    for since in [1, LATEST.get() / 2, LATEST.get()] {
        let now = Moment { since: Nanos::new(since), epoch: Nanos::new(EPOCH) };
        let state = meter.admit(0, now, 999_999_999).unwrap();
        assert_eq!(meter.remaining(state, now), 1);
    }
}
