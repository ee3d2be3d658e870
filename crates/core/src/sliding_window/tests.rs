use proptest::prelude::*;

use super::*;
use crate::gcra::LATEST;

/// 2026-02-27T00:00:00Z.
const EPOCH: u64 = 1_772_150_400_000_000_000;
const MINUTE: u64 = 60_000_000_000;

fn sliding(quota: u64, burst: u64, nanos: u64) -> SlidingWindow {
    SlidingWindow::new(quota, burst, Window::Span(Nanos::new(nanos))).unwrap()
}

fn at(wall: u64) -> Moment {
    Moment::at(wall, EPOCH)
}

/// Two weighted windows as one would explain them: what was charged, and when.
#[derive(Debug)]
struct Naive {
    capacity: u64,
    length: u64,
    charged: Vec<(u64, u64)>,
}

impl Naive {
    fn count(&self, index: u64) -> u64 {
        self.charged.iter().filter(|(wall, _)| wall / self.length == index).map(|(_, cost)| cost).sum()
    }

    fn used(&self, wall: u64) -> u64 {
        let index = wall / self.length;
        let left = u128::from((index + 1) * self.length - wall);
        let faded = (u128::from(self.count(index - 1)) * left).div_ceil(u128::from(self.length));
        u64::try_from(faded).unwrap() + self.count(index)
    }

    fn admits(&self, wall: u64, cost: u64) -> bool {
        self.used(wall) + cost <= self.capacity
    }

    fn take(&mut self, wall: u64, cost: u64) {
        let room = (2 * self.capacity).saturating_sub(self.used(wall));
        self.charged.push((wall, cost.min(room)));
    }
}

proptest! {
    #[test]
    fn it_decides_as_the_definition_does(
        quota in 1..10_u64,
        burst in 0..10_u64,
        nanos in prop_oneof![10..5000_u64, Just(MINUTE), Just(1440 * MINUTE), 1..(1_u64 << 52)],
        events in prop::collection::vec((0..1000_u64, 0..12_u64, prop::bool::weighted(0.1)), 1..80),
    ) {
        let quota = quota.min(nanos);
        let limit = sliding(quota, burst.min(15 - quota.min(15)), nanos);
        let mut naive = Naive { capacity: limit.capacity(), length: nanos, charged: Vec::new() };
        let (mut state, mut wall) = (0, EPOCH);
        for (gap, cost, forced) in events {
            wall = (wall + gap * nanos.div_ceil(1500)).min(EPOCH + LATEST.get() - 1);
            let now = at(wall);
            prop_assert_eq!(limit.spent(state, now), naive.used(wall));
            prop_assert_eq!(limit.remaining(state, now), naive.capacity.saturating_sub(naive.used(wall)));
            if forced {
                state = limit.take(state, now, 3 * cost);
                naive.take(wall, 3 * cost);
            } else {
                match limit.admit(state, now, cost) {
                    Ok(new) => {
                        prop_assert!(naive.admits(wall, cost));
                        state = new;
                        naive.charged.push((wall, cost));
                    }
                    Err(None) => prop_assert!(cost > naive.capacity),
                    Err(Some(wait)) => {
                        prop_assert!(!naive.admits(wall, cost));
                        prop_assert!(naive.admits(wall + wait.get(), cost));
                        prop_assert!(!naive.admits(wall + wait.get() - 1, cost));
                    }
                }
            }
            let full = wall + limit.until_full(state, now).get();
            prop_assert_eq!(naive.used(full), 0);
            prop_assert!(full == wall || naive.used(full - 1) > 0);
            prop_assert_eq!(limit.is_live(state, now), full > wall);
        }
    }

    #[test]
    fn no_span_of_time_admits_more_than_the_bound(
        capacity in 1..200_u64,
        nanos in 200..3000_u64,
        events in prop::collection::vec((0..400_u64, 1..100_u64), 1..200),
    ) {
        let limit = sliding(capacity, 0, nanos);
        let (mut state, mut wall) = (0, EPOCH);
        let mut admitted: Vec<(u64, u64)> = Vec::new();
        for (gap, cost) in events {
            wall += gap;
            // Greedy: as much as is let through.
            let cost = cost.min(limit.remaining(state, at(wall)));
            state = limit.admit(state, at(wall), cost).unwrap();
            admitted.push((wall, cost));
        }
        for (first, &(from, _)) in admitted.iter().enumerate() {
            let mut sum = 0;
            for &(to, cost) in admitted.iter().skip(first) {
                sum += cost;
                prop_assert!(sum * nanos <= capacity * (nanos + to - from));
                prop_assert!(sum <= capacity || from / nanos != to / nanos);
            }
        }
    }

    #[test]
    fn what_is_given_is_there_at_once(
        spent in prop::collection::vec((0..MINUTE, 0..40_u64), 1..4), given in 0..100_u64,
    ) {
        let limit = sliding(30, 0, MINUTE);
        let (mut state, mut wall) = (0, EPOCH);
        for (gap, cost) in spent {
            wall += gap;
            state = limit.take(state, at(wall), cost);
        }
        let before = limit.spent(state, at(wall));
        let after = limit.give(state, at(wall), given);
        prop_assert_eq!(limit.spent(after, at(wall)), before.saturating_sub(given));
    }
}

#[test]
fn the_bound_is_reached() {
    // All at the end of one window; then, 30 seconds later, as much as has faded: C x (1 + 30 s / 60 s), and a nanosecond.
    let limit = sliding(100, 0, MINUTE);
    let state = limit.admit(0, at(EPOCH + MINUTE - 1), 100).unwrap();
    let later = at(EPOCH + MINUTE + MINUTE / 2);
    let state = limit.admit(state, later, 50).unwrap();
    assert_eq!(limit.remaining(state, later), 0);
}

#[test]
fn the_window_before_fades_evenly() {
    let limit = sliding(60, 0, MINUTE);
    let state = limit.admit(0, at(EPOCH), 60).unwrap();
    for second in 0..=60 {
        let now = at(EPOCH + MINUTE + second * 1_000_000_000);
        assert_eq!(limit.remaining(state, now), second);
    }
    // A part of a token is spent.
    assert_eq!(limit.remaining(state, at(EPOCH + MINUTE + 1_999_999_999)), 1);
}

#[test]
fn what_was_charged_is_given_back_to_its_window() {
    let limit = sliding(60, 0, MINUTE);
    let (first, second, third) = (at(EPOCH), at(EPOCH + MINUTE + MINUTE / 2), at(EPOCH + 2 * MINUTE));
    let state = limit.admit(0, first, 40).unwrap();
    assert_eq!(limit.remaining(limit.give_back(state, first, first, 30), first), 50);
    // 40 weigh 20 now, and 10 weigh 5.
    assert_eq!(limit.remaining(limit.give_back(state, second, first, 30), second), 55);
    let state = limit.admit(state, second, 40).unwrap();
    assert_eq!(limit.remaining(limit.give_back(state, third, first, 30), third), 20);
    assert_eq!(limit.remaining(limit.give_back(state, third, second, 30), third), 50);
}

#[test]
fn a_clock_that_is_set_back_begins_no_window_anew() {
    let limit = sliding(10, 0, MINUTE);
    let (earlier, later) = (at(EPOCH), at(EPOCH + 3 * MINUTE));
    let state = limit.admit(0, later, 10).unwrap();
    assert_eq!(limit.remaining(state, earlier), 0);
    // To the end of the window that was counted in, and a tenth of the next one.
    assert_eq!(limit.admit(state, earlier, 1), Err(Some(Nanos::new(4 * MINUTE + MINUTE / 10))));
    assert!(limit.is_live(limit.give(state, later, 10), earlier));
}

#[test]
fn the_shortest_windows_are_told_apart_for_as_long_as_a_table_lives() {
    for nanos in [1, 3, 1000, 1_000_000, MINUTE, LATEST.get(), u64::MAX] {
        let window = Window::Span(Nanos::new(nanos));
        let Err(LimitError::TooLarge { most, .. }) = SlidingWindow::new(1, u64::MAX, window) else {
            panic!()
        };
        let limit = SlidingWindow::new(1, most - 1, window).unwrap();
        let epoch = (EPOCH / nanos) * nanos + nanos / 2;
        let now = Moment { since: LATEST, epoch: Nanos::new(epoch) };
        let state = limit.take(0, now, u64::MAX);
        assert!(state < (1 << 62) - 1, "all ones are no state");
        assert_eq!(limit.spent(state, now), 2 * most);
        assert_eq!(limit.numbering.read(state).unwrap().0, limit.numbering.present(now));
    }
}

#[test]
fn limits_that_cannot_be_counted_are_refused_with_the_most_that_can() {
    let most_in = |nanos| {
        let window = Window::Span(Nanos::new(nanos));
        let Err(LimitError::TooLarge { most, .. }) = SlidingWindow::new(1, u64::MAX, window) else {
            panic!()
        };
        assert!(SlidingWindow::new(1, most - 1, window).is_ok());
        assert_eq!(
            SlidingWindow::new(1, most, window),
            Err(LimitError::TooLarge { capacity: most + 1, most })
        );
        most
    };
    assert_eq!(most_in(1_000_000), 16_383);
    assert_eq!(most_in(1_000_000_000), 524_287);
    assert_eq!(most_in(MINUTE), 4_194_303);
    assert_eq!(most_in(60 * MINUTE), 33_554_431);
    assert_eq!(most_in(1440 * MINUTE), 134_217_727);
    assert_eq!(SlidingWindow::new(1, 0, Window::Month), Err(LimitError::CalendarWindow));
    assert_eq!(SlidingWindow::new(0, 5, Window::Span(Nanos::new(1))), Err(LimitError::NoQuota));
}
