use proptest::prelude::*;

use super::*;
use crate::gcra::LATEST;

/// 2026-02-27T00:00:00Z: two days before a month ends.
const EPOCH: u64 = 1_772_150_400_000_000_000;
const MINUTE: u64 = 60_000_000_000;

fn minutes(quota: u64, burst: u64) -> FixedWindow {
    FixedWindow::new(quota, burst, Window::Span(Nanos::new(MINUTE))).unwrap()
}

fn at(wall: u64) -> Moment {
    Moment::at(wall, EPOCH)
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Consume(u64),
    Take(u64),
    Give(u64),
}

/// A fixed window as one would explain it: everything that ever happened, gone through from the start.
#[derive(Debug)]
struct Naive {
    capacity: u64,
    window: Window,
    happened: Vec<(u64, Event)>,
}

impl Naive {
    fn used(&self, wall: u64) -> u64 {
        let index = |wall| self.window.index(Nanos::new(wall));
        let (mut used, mut window) = (0_u64, index(EPOCH));
        let pass = |used: &mut u64, window: &mut u64, to: u64| {
            while *window < to {
                *used = used.saturating_sub(self.capacity);
                *window += 1;
            }
        };
        for &(wall, event) in &self.happened {
            pass(&mut used, &mut window, index(wall));
            match event {
                Event::Consume(cost) => used += cost,
                Event::Take(cost) => used = (used + cost).min(2 * self.capacity),
                Event::Give(cost) => used = used.saturating_sub(cost),
            }
        }
        pass(&mut used, &mut window, index(wall));
        used
    }
}

fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let event = prop_oneof![
        6 => (0..8_u64).prop_map(Event::Consume),
        1 => (0..40_u64).prop_map(Event::Take),
        1 => (0..8_u64).prop_map(Event::Give),
    ];
    prop::collection::vec((0..1000_u64, event), 1..80)
}

fn windows() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Month),
        (1..5000_u64).prop_map(|nanos| Window::Span(Nanos::new(nanos))),
        Just(Window::Span(Nanos::new(MINUTE))),
    ]
}

proptest! {
    #[test]
    fn it_decides_as_the_definition_does(
        quota in 1..10_u64, burst in 0..10_u64, window in windows(), events in events(),
    ) {
        let quota = quota.min(window.shortest().get());
        let fixed = FixedWindow::new(quota, burst, window).unwrap();
        let mut naive = Naive { capacity: quota + burst, window, happened: Vec::new() };
        // So that some tens of windows pass, or three months.
        let scale = match window {
            Window::Month => 2_000_000_000_000,
            Window::Span(span) => span.get().div_ceil(500),
        };
        let (mut state, mut wall) = (0, EPOCH);
        for (gap, event) in events {
            wall = (wall + gap * scale).min(EPOCH + LATEST.get() - 1);
            let now = at(wall);
            let used = naive.used(wall);
            prop_assert_eq!(fixed.spent(state, now), used);
            prop_assert_eq!(fixed.remaining(state, now), naive.capacity.saturating_sub(used));
            match event {
                Event::Consume(cost) => match fixed.admit(state, now, cost) {
                    Ok(new) => {
                        prop_assert!(used + cost <= naive.capacity);
                        state = new;
                        naive.happened.push((wall, event));
                    }
                    Err(None) => prop_assert!(cost > naive.capacity),
                    Err(Some(wait)) => {
                        prop_assert!(used + cost > naive.capacity);
                        prop_assert!(naive.used(wall + wait.get()) + cost <= naive.capacity);
                        prop_assert!(naive.used(wall + wait.get() - 1) + cost > naive.capacity);
                    }
                },
                Event::Take(cost) => {
                    state = fixed.take(state, now, cost);
                    naive.happened.push((wall, event));
                }
                Event::Give(cost) => {
                    state = fixed.give(state, now, cost);
                    naive.happened.push((wall, event));
                }
            }
            let full = wall + fixed.until_full(state, now).get();
            prop_assert_eq!(naive.used(full), 0);
            prop_assert!(full == wall || naive.used(full - 1) > 0);
            prop_assert_eq!(fixed.is_live(state, now), full > wall);
        }
    }
}

#[test]
fn a_window_grants_quota_and_burst_and_no_more() {
    let fixed = minutes(100, 20);
    let state = fixed.admit(0, at(EPOCH), 120).unwrap();
    assert_eq!(fixed.remaining(state, at(EPOCH)), 0);
    assert_eq!(fixed.admit(state, at(EPOCH + 1), 1), Err(Some(Nanos::new(MINUTE - 1))));
    assert_eq!(fixed.admit(state, at(EPOCH + MINUTE - 1), 1), Err(Some(Nanos::new(1))));
    assert!(fixed.admit(state, at(EPOCH + MINUTE), 120).is_ok());
    assert_eq!(fixed.admit(0, at(EPOCH), 121), Err(None));
}

#[test]
fn a_month_begins_anew_on_its_first_day() {
    let fixed = FixedWindow::new(1000, 0, Window::Month).unwrap();
    let day = 1440 * MINUTE;
    let state = fixed.admit(0, at(EPOCH), 1000).unwrap();
    assert_eq!(fixed.admit(state, at(EPOCH + day), 1), Err(Some(Nanos::new(day))));
    assert_eq!(fixed.remaining(state, at(EPOCH + 2 * day)), 1000);
}

#[test]
fn each_window_that_passes_forgives_one_capacity() {
    let fixed = minutes(10, 0);
    let state = fixed.take(0, at(EPOCH), 1_000_000);
    assert_eq!(fixed.spent(state, at(EPOCH)), 20);
    assert_eq!(fixed.spent(state, at(EPOCH + MINUTE)), 10);
    assert_eq!(fixed.admit(state, at(EPOCH), 1), Err(Some(Nanos::new(2 * MINUTE))));
    assert_eq!(fixed.until_full(state, at(EPOCH)), Nanos::new(2 * MINUTE));
    assert!(!fixed.is_live(state, at(EPOCH + 2 * MINUTE)));
}

#[test]
fn what_was_charged_in_a_window_that_is_over_is_not_given_back() {
    let fixed = minutes(10, 0);
    let (first, second) = (at(EPOCH), at(EPOCH + MINUTE));
    let state = fixed.admit(0, first, 6).unwrap();
    assert_eq!(fixed.remaining(fixed.give_back(state, at(EPOCH + 1), first, 4), first), 8);
    let state = fixed.admit(state, second, 6).unwrap();
    assert_eq!(fixed.remaining(fixed.give_back(state, second, first, 4), second), 4);
    // The same instant, as the table before counted it.
    let counted_before = Moment::at(EPOCH + MINUTE, EPOCH - 12_345);
    assert_eq!(fixed.remaining(fixed.give_back(state, second, counted_before, 4), second), 8);
}

#[test]
fn a_clock_that_is_set_back_begins_no_window_anew() {
    let fixed = minutes(10, 0);
    let (earlier, later) = (at(EPOCH), at(EPOCH + 3 * MINUTE));
    let state = fixed.admit(0, later, 10).unwrap();
    assert_eq!(fixed.admit(state, earlier, 1), Err(Some(Nanos::new(4 * MINUTE))));
    assert!(fixed.is_live(fixed.give(state, later, 10), earlier));
    assert_eq!(fixed.admit(state, later, 1), Err(Some(Nanos::new(MINUTE))));
}

#[test]
fn the_shortest_windows_are_told_apart_for_as_long_as_a_table_lives() {
    for nanos in [1, 3, 1000, 1_000_000, MINUTE, LATEST.get(), u64::MAX] {
        let window = Window::Span(Nanos::new(nanos));
        let Err(LimitError::TooLarge { most, .. }) = FixedWindow::new(1, u64::MAX, window) else { panic!() };
        let fixed = FixedWindow::new(1, most - 1, window).unwrap();
        // An epoch in the midst of a window, so that the numbers reach as far as they can.
        let epoch = (EPOCH / nanos) * nanos + nanos / 2;
        let now = Moment { since: LATEST, epoch: Nanos::new(epoch) };
        let state = fixed.take(0, now, u64::MAX);
        assert!(state < (1 << 62) - 1, "all ones are no state");
        assert_eq!(fixed.spent(state, now), 2 * most);
        assert_eq!(fixed.numbering.read(state).unwrap().0, fixed.numbering.present(now));
    }
}

#[test]
fn limits_that_cannot_be_counted_are_refused_with_the_most_that_can() {
    let milli = Window::Span(Nanos::from_millis(1));
    let most = (1 << 29) - 1;
    assert!(FixedWindow::new(1, most - 1, milli).is_ok());
    assert_eq!(FixedWindow::new(1, most, milli), Err(LimitError::TooLarge { capacity: most + 1, most }));
    assert_eq!(
        FixedWindow::new(1_000_001, 0, milli),
        Err(LimitError::TooFast { quota: 1_000_001, window_nanos: 1_000_000 })
    );
    assert_eq!(FixedWindow::new(1, 0, Window::Span(Nanos::ZERO)), Err(LimitError::NoWindow));
    assert_eq!(FixedWindow::new(0, 5, milli), Err(LimitError::NoQuota));
    let most = (1 << 59) - 1;
    assert!(FixedWindow::new(1, most - 1, Window::Month).is_ok());
    assert_eq!(
        FixedWindow::new(1, most, Window::Month),
        Err(LimitError::TooLarge { capacity: 1 << 59, most })
    );
}
