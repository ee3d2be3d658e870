//! Time, as a fleet's store counts it.

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// Microseconds: a span, or an instant of the store's clock since the Unix epoch. Sums saturate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(u64);

impl Micros {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From microseconds.
    #[must_use]
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// From milliseconds, saturating.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// From seconds, saturating.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// As microseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// The span from `earlier` to `self`; zero if `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// So many times as long.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// An instant as a date and a time of day in UTC; instants that no calendar has are its beginning.
    pub(crate) fn date(self) -> OffsetDateTime {
        i64::try_from(self.0 / 1_000_000)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// An instant as RFC 3339 has it, in UTC and to the second: `2026-01-15T09:42:17Z`.
    #[must_use]
    pub fn timestamp(self) -> String {
        let date = self.date();
        let (year, month, day) = date.to_calendar_date();
        let (hour, minute, second) = date.to_hms();
        format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
    }
}

impl Add for Micros {
    type Output = Self;

    fn add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// As a span: `60s`, or `1500ms` where it is no whole number of seconds.
impl fmt::Display for Micros {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1_000_000) {
            return write!(out, "{}s", self.0 / 1_000_000);
        }
        write!(out, "{}ms", self.as_millis())
    }
}
