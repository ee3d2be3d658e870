use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn limit(most: u64) -> Permits {
    Permits::new(SharedLimit::concurrency(most)).unwrap()
}

/// A table that began to count so long after the clock did.
fn epoch(nanos: u64) -> Epoch {
    Epoch { monotonic: Nanos::new(nanos), wall: Nanos::new(nanos) }
}

fn at(nanos: u64) -> Moment {
    Moment::new(Nanos::new(nanos), epoch(0))
}

fn held(state: u64, nanos: u64) -> Held {
    Held::of(state, Nanos::new(nanos), epoch(0))
}

/// So many permits until the ninth second, and nobody in flight.
fn holding(permits: u64, full: bool) -> u64 {
    held(1, 0).state(permits, Nanos::from_secs(9), full, epoch(0))
}

#[test]
fn a_bucket_that_was_never_written_holds_nothing() {
    for state in [0, 1] {
        for now in [0, 1, SECOND] {
            assert_eq!(limit(5).admit(state, at(now), 1), Err(AWAITS_LEASE));
            assert_eq!(limit(5).admit(state, at(now), 0), Ok(state));
            assert_eq!((Permits::spare(state, at(now)), Permits::in_flight(state)), (0, 0));
            assert_eq!(Permits::give(state, 1), 1);
            assert!(!Permits::is_live(state, at(now)));
        }
    }
}

#[test]
fn as_many_begin_as_there_are_permits_until_they_end() {
    let state = holding(2, false);
    let one = limit(5).admit(state, at(SECOND), 1).unwrap();
    let two = limit(5).admit(one, at(SECOND), 1).unwrap();
    assert_eq!(limit(5).admit(two, at(SECOND), 1), Err(AWAITS_LEASE));
    assert_eq!(limit(5).admit(Permits::give(two, 1), at(8 * SECOND), 1).map(Permits::in_flight), Ok(2));
    assert_eq!(limit(5).admit(Permits::give(two, 1), at(9 * SECOND), 1), Err(AWAITS_LEASE));
    assert_eq!(limit(5).admit(state, at(SECOND), 6), Err(None));
}

#[test]
fn whoever_is_in_flight_is_so_until_it_is_given_back() {
    let state = limit(5).admit(holding(2, false), at(SECOND), 2).unwrap();
    assert!(Permits::is_live(state, at(90 * SECOND)));
    assert_eq!(Permits::in_flight(Permits::give(state, 1)), 1);
    assert!(!Permits::is_live(Permits::give(state, 7), at(90 * SECOND)));
}

#[test]
fn where_all_are_taken_it_says_so_until_the_permits_end() {
    let state = limit(5).admit(holding(1, true), at(SECOND), 1).unwrap();
    assert_eq!(limit(5).admit(state, at(SECOND), 1), Err(Some(RETRY_HINT)));
    assert_eq!(limit(5).admit(Permits::reset(state), at(SECOND), 1), Err(AWAITS_LEASE));
    assert_eq!(limit(5).admit(state, at(9 * SECOND), 1), Err(AWAITS_LEASE));
    // One that comes back is there all the same.
    assert!(limit(5).admit(Permits::give(state, 1), at(SECOND), 1).is_ok());
}

#[test]
fn what_was_used_at_once_is_known_to_the_next_half() {
    let mut state = holding(32, false);
    assert_eq!(held(state, SECOND).most, 0);
    for (in_flight, most) in [(1, 1), (2, 2), (3, 4), (8, 8), (9, 16), (17, 32), (32, 32)] {
        while Permits::in_flight(state) < in_flight {
            state = limit(40).admit(state, at(SECOND), 1).unwrap();
        }
        assert_eq!(held(state, SECOND).most, most, "of {in_flight}");
    }
    let state = Permits::give(state, 31);
    assert_eq!(held(state, SECOND).most, 32);
    let next = held(state, SECOND).state(16, Nanos::from_secs(9), false, epoch(0));
    assert_eq!(held(next, SECOND).most, 1);
}

#[test]
fn a_lower_limit_leaves_those_in_flight_and_no_spare_permits() {
    let state = limit(10).admit(holding(8, false), at(SECOND), 3).unwrap();
    let lower = limit(10).carried(state, &limit(5));
    assert_eq!((Permits::in_flight(lower), Permits::spare(lower, at(SECOND))), (3, 0));
    let higher = limit(10).carried(state, &limit(20));
    assert_eq!((Permits::in_flight(higher), Permits::spare(higher, at(SECOND))), (3, 5));
}

#[test]
fn up_to_two_to_the_sixteenth_less_one_may_be_in_flight() {
    assert!(Permits::new(SharedLimit::concurrency(0)).is_none());
    assert!(Permits::new(SharedLimit::concurrency(MOST_PERMITS + 1)).is_none());
    let state = limit(MOST_PERMITS).admit(holding(u64::MAX, false), at(SECOND), MOST_PERMITS).unwrap();
    assert_eq!(Permits::take(state, 9), state);
    assert_eq!(Permits::in_flight(Permits::give(state, MOST_PERMITS - 1)), 1);
}

proptest! {
    /// In a table that begins to count later, no permit lasts longer, and nearly as long.
    #[test]
    fn a_table_of_another_epoch_says_the_same(
        permits in 0..=MOST_PERMITS,
        in_flight in 0..=MOST_PERMITS,
        later in 0..1_000 * SECOND,
        deadline in 0..1_000 * SECOND,
        now in 0..1_000 * SECOND,
    ) {
        let state = Permits::take(holding(0, false), in_flight);
        let state = held(state, 0).state(permits, Nanos::new(deadline), false, epoch(0));
        let (from, to) = (epoch(0), epoch(later));
        let rebased = Permits::rebased(state, from, to).max(1);
        let now = Nanos::new(now.max(later));
        let (before, after) = (Held::of(state, now, from), Held::of(rebased, now, to));
        if in_flight > 0 || permits > 0 {
            prop_assert_eq!((before.permits, before.in_flight), (after.permits, after.in_flight));
        }
        prop_assert!(after.lapsed || !before.lapsed);
        let unit = Nanos::new(2 << UNIT);
        prop_assert!(!after.lapsed || Held::of(state, now + unit, from).lapsed);
    }
}
