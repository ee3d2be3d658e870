use proptest::prelude::*;

use super::*;
use crate::Window;
use crate::lease::exchange::Grant;

const WALL: u64 = 1_700_000_000;

fn limit(algorithm: Algorithm, capacity: u64, seconds: u64) -> SharedLimit {
    let window = Window::Span(Nanos::from_secs(seconds));
    SharedLimit { algorithm, quota: capacity, capacity, window }
}

/// An instant by both clocks, in milliseconds.
fn at(millis: u64) -> (Nanos, Nanos) {
    (Nanos::from_millis(millis), Nanos::from_secs(WALL) + Nanos::from_millis(millis))
}

fn spent(tokens: f64) -> Knowledge {
    let grant = Grant { tokens: 0, spent: tokens, wait: Nanos::ZERO, ends: None, blocked: Nanos::ZERO };
    Knowledge::of(&grant, Nanos::ZERO)
}

/// Takes one token after the other, until there are none.
fn take_all(share: &mut Share, limit: &SharedLimit, instances: u32, millis: u64) -> u64 {
    let (now, wall) = at(millis);
    let mut taken = 0;
    while let Ok(tokens) = share.take(limit, 1, instances, now, wall) {
        taken += tokens;
    }
    taken
}

#[test]
fn an_instance_begins_with_its_part_of_what_is_left() {
    let limit = limit(Algorithm::TokenBucket, 100, 3600);
    let mut share = Share::of(&limit, Some(&spent(60.0)), 0, 4, at(0));
    assert_eq!(take_all(&mut share, &limit, 4, 0), 10);
    let mut share = Share::of(&limit, None, 0, 4, at(0));
    assert_eq!(take_all(&mut share, &limit, 4, 0), 25);
}

#[test]
fn what_is_still_to_be_debited_is_not_there_to_be_shared() {
    let limit = limit(Algorithm::TokenBucket, 100, 3600);
    let mut share = Share::of(&limit, Some(&spent(60.0)), 20, 4, at(0));
    assert_eq!(take_all(&mut share, &limit, 4, 0), 5);
    let mut share = Share::of(&limit, Some(&spent(160.0)), 20, 4, at(0));
    assert_eq!(take_all(&mut share, &limit, 4, 0), 0);
}

#[test]
fn parts_of_a_token_add_up_to_one() {
    // Five a minute for sixteen: one in 192 seconds.
    let limit = limit(Algorithm::TokenBucket, 5, 60);
    let mut share = Share::of(&limit, Some(&spent(5.0)), 0, 16, at(0));
    let (now, wall) = at(0);
    let wait = share.take(&limit, 1, 16, now, wall).unwrap_err();
    assert!(wait >= Nanos::from_secs(191) && wait <= Nanos::from_secs(193), "{wait:?}");
    assert_eq!(take_all(&mut share, &limit, 16, 191_000), 0);
    assert_eq!(take_all(&mut share, &limit, 16, 193_000), 1);
    assert_eq!(take_all(&mut share, &limit, 16, 10_000_000), 1);
}

#[test]
fn a_window_gives_each_its_part_once() {
    let limit = limit(Algorithm::FixedWindow, 40, 10);
    let mut share = Share::of(&limit, None, 0, 4, at(0));
    assert_eq!(take_all(&mut share, &limit, 4, 0), 10);
    assert_eq!(take_all(&mut share, &limit, 4, 9_999), 0);
    assert_eq!(take_all(&mut share, &limit, 4, 10_000), 10);
    assert_eq!(take_all(&mut share, &limit, 4, 15_000), 0);
}

proptest! {
    /// All of them together admit what the limit would, and a token more each at most.
    #[test]
    fn shares_add_up_to_the_limit(
        capacity in 1..50_u64,
        instances in 1..12_u32,
        seconds in 1..600_u64,
        steps in prop::collection::vec((0..12_usize, 0..5_000_u64, 1..4_u64), 1..200),
    ) {
        let limit = limit(Algorithm::TokenBucket, capacity, seconds);
        let share = Share::of(&limit, None, 0, instances, at(0));
        let mut shares = vec![share; instances as usize];
        let (mut millis, mut taken) = (0, 0);
        for (instance, wait, cost) in steps {
            millis += wait;
            let (now, wall) = at(millis);
            let instance = instance % shares.len();
            taken += shares[instance].take(&limit, cost, instances, now, wall).unwrap_or(0);
        }
        let most = self::capacity(&limit) + refilled(&limit, Nanos::from_millis(millis)) + f64::from(instances);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let taken = taken as f64;
        prop_assert!(taken <= most + 1e-6, "{} of {}", taken, most);
    }
}
