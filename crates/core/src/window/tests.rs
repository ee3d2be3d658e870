use super::*;

const FIRST_MONTH: u64 = 1970 * MONTHS_PER_YEAR;

/// The months from January 1970 on, each with its days, by the rule of the Gregorian calendar.
fn calendar() -> impl Iterator<Item = u64> {
    (1970..).flat_map(|year| {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    })
}

#[test]
fn months_are_those_of_the_calendar() {
    let mut start = 0;
    // To the end of 2553: nanoseconds end in the year after.
    for (index, days) in (FIRST_MONTH..2554 * MONTHS_PER_YEAR).zip(calendar()) {
        let end = start + days * NANOS_PER_DAY;
        assert_eq!(Window::Month.start(index), Nanos::new(start));
        for wall in [start, start + 1, end - 1].map(Nanos::new) {
            assert_eq!(Window::Month.index(wall), index);
            assert_eq!(Window::Month.end(wall), Nanos::new(end));
            assert_eq!(Window::Month.length(wall), Nanos::new(days * NANOS_PER_DAY));
        }
        start = end;
    }
}

#[test]
fn a_leap_year_has_a_29th_of_february() {
    // 2024-02-29T12:00:00Z and 2023-02-28T12:00:00Z.
    let leap = Window::Month.length(Nanos::from_secs(1_709_208_000));
    let common = Window::Month.length(Nanos::from_secs(1_677_585_600));
    assert_eq!((leap, common), (Nanos::new(29 * NANOS_PER_DAY), Nanos::new(28 * NANOS_PER_DAY)));
    assert_eq!(Window::Month.shortest(), common);
}

#[test]
fn a_day_begins_at_midnight_in_utc() {
    let day = Window::Span(Nanos::new(NANOS_PER_DAY));
    // 2026-07-04T23:59:59.999999999Z
    let wall = Nanos::new(1_783_209_599_999_999_999);
    assert_eq!(day.end(wall), Nanos::from_secs(1_783_209_600));
    assert_eq!(day.index(wall) + 1, day.index(Nanos::from_secs(1_783_209_600)));
}

#[test]
fn windows_saturate_at_the_end_of_time() {
    let last = Nanos::new(u64::MAX);
    for window in [Window::Month, Window::Span(Nanos::new(7)), Window::Span(Nanos::ZERO), Window::Span(last)]
    {
        assert!(window.start(window.index(last)) <= last);
        assert_eq!(window.end(last), last);
        assert_eq!(window.start(u64::MAX), last);
    }
    assert_eq!(Window::Month.start(0), Nanos::ZERO);
}
