use proptest::prelude::*;

use super::*;
use crate::Window;

const SECOND: u64 = 1_000_000_000;
const CAPACITY: u64 = 100;

fn limit(capacity: u64) -> Leased {
    let window = Window::Span(Nanos::from_secs(60));
    Leased::new(SharedLimit { algorithm: Algorithm::TokenBucket, quota: 1, capacity, window }).unwrap()
}

/// A table that began to count so long after the clock did.
fn epoch(nanos: u64) -> Epoch {
    Epoch { monotonic: Nanos::new(nanos), wall: Nanos::new(nanos) }
}

#[test]
fn a_bucket_that_was_never_written_holds_nothing() {
    for state in [0, 1] {
        for now in [0, 1, SECOND] {
            let moment = Moment::new(Nanos::new(now), epoch(0));
            assert_eq!(limit(5).admit(state, moment, 1), Err(AWAITS_LEASE));
            assert_eq!(limit(5).admit(state, moment, 0), Ok(state));
            assert_eq!(Leased::held(state, moment), 0);
            assert_eq!(Leased::left_behind(state), 0);
            assert!(!Leased::is_live(state, moment));
        }
    }
}

#[test]
fn more_than_the_shared_bucket_can_hold_is_never_admitted() {
    let state = Leased::holding(9, Nanos::from_secs(9), epoch(0));
    assert_eq!(limit(5).admit(state, Moment::new(Nanos::ZERO, epoch(0)), 6), Err(None));
}

#[test]
fn a_bucket_that_is_known_to_be_empty_refuses_until_it_is_filled_by_hand() {
    let state = Leased::empty(Nanos::from_secs(9), epoch(0));
    let at = |seconds| Moment::new(Nanos::from_secs(seconds), epoch(0));
    let Err(Some(wait)) = limit(5).admit(state, at(4), 1) else { panic!("it is admitted, or never will be") };
    assert!(wait <= Nanos::from_secs(5) && wait + ROUNDING >= Nanos::from_secs(5), "{wait:?}");
    assert_eq!(limit(5).admit(state, at(9), 1), Err(AWAITS_LEASE));
    assert_eq!(limit(5).admit(Leased::reset(state), at(4), 1), Err(AWAITS_LEASE));
}

#[test]
fn tokens_that_are_held_are_kept_under_another_limit_as_far_as_that_goes() {
    let at = Moment::new(Nanos::ZERO, epoch(0));
    let state = Leased::holding(9, Nanos::from_secs(9), epoch(0));
    assert_eq!(Leased::held(Leased::carried(state, &limit(20)), at), 9);
    assert_eq!(Leased::held(Leased::carried(state, &limit(4)), at), 4);
    assert_eq!(Leased::carried(Leased::empty(Nanos::from_secs(9), epoch(0)), &limit(20)), 1);
}

#[derive(Debug, Clone)]
enum Step {
    /// So many tokens, for so long.
    Hold(u64, u64),
    Spend(u64),
    Take(u64),
    Wait(u64),
    /// On to a table that begins now.
    Rebase,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..=CAPACITY, 0..5 * SECOND).prop_map(|(tokens, time)| Step::Hold(tokens, time)),
        6 => (0..10_u64).prop_map(Step::Spend),
        1 => (0..10_u64).prop_map(Step::Take),
        3 => (0..SECOND).prop_map(Step::Wait),
        1 => Just(Step::Rebase),
    ]
}

proptest! {
    #[test]
    fn a_lease_is_never_longer_in_another_table(
        start in 0..1_000_000 * SECOND,
        time in 0..100 * SECOND,
        moves in prop::collection::vec(0..10 * SECOND, 1..10),
    ) {
        let (mut from, ends) = (epoch(start), start + time);
        let mut state = Leased::holding(1, Nanos::new(ends), from);
        for time in moves {
            let now = from.monotonic.get() + time;
            state = Leased::rebased(state, from, epoch(now));
            from = epoch(now);
            let left = left(state, Moment::new(Nanos::new(now), from));
            prop_assert!(left.get() <= ends.saturating_sub(now), "{:?} of {}", left, ends.saturating_sub(now));
        }
    }

    /// Beside a number of tokens and the instant at which they end, which a state may put earlier, and never later.
    #[test]
    fn a_lease_is_spent_until_it_ends(
        start in 0..1_000_000 * SECOND,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let limit = limit(CAPACITY);
        let (mut now, mut from) = (start, epoch(start));
        let (mut state, mut held, mut ends) = (1, 0, now);
        // By so much a state may put the end earlier.
        let mut early = 0;
        for step in steps {
            let moment = Moment::new(Nanos::new(now), from);
            match step {
                Step::Hold(tokens, time) => {
                    (held, ends, early) = (tokens, now + time, ROUNDING.get());
                    state = Leased::holding(held, Nanos::new(ends), from);
                }
                Step::Spend(cost) => match limit.admit(state, moment, cost) {
                    Ok(next) => {
                        prop_assert!(cost == 0 || now < ends && cost <= held, "{} of {} is spent", cost, held);
                        held -= cost;
                        state = next;
                    }
                    Err(wait) => {
                        prop_assert_eq!(wait, AWAITS_LEASE);
                        prop_assert!(cost > held || now + early >= ends, "{} of {} is refused", cost, held);
                    }
                },
                Step::Take(cost) => {
                    let taken = cost.min(Leased::held(state, moment));
                    state = Leased::without(state, moment, cost);
                    held -= taken;
                }
                Step::Wait(time) => now += time,
                Step::Rebase => {
                    let to = epoch(now);
                    state = Leased::rebased(state, from, to);
                    from = to;
                    early += ROUNDING.get();
                }
            }
            let moment = Moment::new(Nanos::new(now), from);
            let seen = Leased::held(state, moment);
            prop_assert!(seen == held && now < ends || seen == 0 && (held == 0 || now + early >= ends));
            prop_assert_eq!(Leased::is_live(state, moment), seen > 0);
        }
    }
}
