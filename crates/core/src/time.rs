//! Time, as this crate is given it.

use std::ops::Add;

/// Nanoseconds: a span, or an instant since an epoch that the caller keeps (the start of the process).
///
/// 2^64 nanoseconds are 584 years; sums saturate there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(u64);

impl Nanos {
    /// No time at all, and the epoch.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    #[must_use]
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds, saturating.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds, saturating.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// As nanoseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As whole milliseconds, rounded up, so that who waits this long has waited long enough.
    #[must_use]
    pub const fn as_millis_ceil(self) -> u64 {
        self.0.div_ceil(1_000_000)
    }

    /// The span from `earlier` to `self`; zero if `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

/// An instant on both clocks: where a table's count of time begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Epoch {
    /// By the monotonic clock.
    pub monotonic: Nanos,
    /// By the wall clock, since the Unix epoch; windows that are aligned to it are counted by this.
    pub wall: Nanos,
}
