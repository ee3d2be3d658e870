use super::*;

#[test]
fn as_many_hold_as_may() {
    let limit = Concurrency::new(2).unwrap();
    let one = limit.admit(0, 1).unwrap();
    let two = limit.admit(one, 1).unwrap();
    assert_eq!(limit.remaining(two), 0);
    assert_eq!(limit.admit(two, 1), Err(Some(Nanos::from_secs(1))));
    assert_eq!(limit.admit(limit.give(two, 1), 1), Ok(two));
    assert_eq!(limit.admit(0, 3), Err(None));
}

#[test]
fn a_slot_given_twice_makes_no_room() {
    let limit = Concurrency::new(2).unwrap();
    assert_eq!(limit.remaining(limit.give(limit.give(0, 1), 5)), 2);
}

#[test]
fn holders_above_a_lowered_limit_are_still_counted() {
    let (limit, lowered) = (Concurrency::new(10).unwrap(), Concurrency::new(2).unwrap());
    let state = limit.admit(0, 10).unwrap();
    assert_eq!(lowered.spent(lowered.take(state, 1)), 10);
    let state = lowered.give(state, 8);
    assert_eq!(lowered.remaining(state), 0);
    assert_eq!(lowered.remaining(lowered.give(state, 1)), 1);
}

#[test]
fn between_one_and_two_to_the_31_may_hold() {
    assert_eq!(Concurrency::new(0), Err(LimitError::NoQuota));
    assert_eq!(Concurrency::new(MOST + 1), Err(LimitError::TooLarge { capacity: MOST + 1, most: MOST }));
    let limit = Concurrency::new(MOST).unwrap();
    assert_eq!(limit.remaining(limit.admit(0, MOST).unwrap()), 0);
    assert_eq!(limit.spent(limit.take(limit.take(0, u64::MAX), u64::MAX)), 2 * MOST);
}
