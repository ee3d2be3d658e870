//! The window in which a quota is granted.

use ::time::{Date, Month, UtcDateTime};

use crate::Nanos;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_DAY: u64 = 86_400 * NANOS_PER_SECOND;
const MONTHS_PER_YEAR: u64 = 12;

/// A window as it was declared. Windows are aligned to the Unix epoch, so a calendar day in UTC is a span of 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// A span of time; one of zero counts as a nanosecond.
    Span(Nanos),
    /// A calendar month in UTC.
    Month,
}

impl Window {
    /// The number of the window that holds an instant. `wall` is in nanoseconds since the Unix epoch, here and below.
    #[inline]
    #[must_use]
    pub fn index(self, wall: Nanos) -> u64 {
        match self {
            Self::Span(span) => wall.get() / span.get().max(1),
            Self::Month => month_index(wall),
        }
    }

    /// When the window of this number begins, which is when the one before ends; saturating.
    #[inline]
    #[must_use]
    pub fn start(self, index: u64) -> Nanos {
        match self {
            Self::Span(span) => Nanos::new(index.saturating_mul(span.get().max(1))),
            Self::Month => month_start(index),
        }
    }

    /// When the window that holds an instant ends.
    #[must_use]
    pub fn end(self, wall: Nanos) -> Nanos {
        self.start(self.index(wall).saturating_add(1))
    }

    /// How long the window is that holds an instant.
    #[must_use]
    pub fn length(self, wall: Nanos) -> Nanos {
        match self {
            Self::Span(span) => span,
            Self::Month => self.end(wall).since(self.start(self.index(wall))),
        }
    }

    /// How long the shortest of such windows is.
    #[must_use]
    pub const fn shortest(self) -> Nanos {
        match self {
            Self::Span(span) => span,
            Self::Month => Nanos::new(28 * NANOS_PER_DAY),
        }
    }
}

/// Months since the beginning of the year 0.
fn month_index(wall: Nanos) -> u64 {
    // 2^64 nanoseconds end in 2554, and the calendar in 9999: neither conversion fails.
    let seconds = i64::try_from(wall.get() / NANOS_PER_SECOND).unwrap_or(i64::MAX);
    let date = UtcDateTime::from_unix_timestamp(seconds).unwrap_or(UtcDateTime::MAX);
    u64::try_from(date.year()).unwrap_or(0) * MONTHS_PER_YEAR + u64::from(u8::from(date.month())) - 1
}

/// Saturates at either end of what nanoseconds since the Unix epoch can say.
fn month_start(index: u64) -> Nanos {
    let year = i32::try_from(index / MONTHS_PER_YEAR).unwrap_or(i32::MAX);
    let month = Month::January.nth_next(u8::try_from(index % MONTHS_PER_YEAR).unwrap_or(0));
    let Ok(first) = Date::from_calendar_date(year, month, 1) else { return Nanos::new(u64::MAX) };
    let days = first.to_julian_day() - UtcDateTime::UNIX_EPOCH.date().to_julian_day();
    Nanos::new(u64::try_from(days).unwrap_or(0).saturating_mul(NANOS_PER_DAY))
}

#[cfg(test)]
mod tests;
