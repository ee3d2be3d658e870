//! What a limit grants.

use thiserror::Error;

use crate::{Concurrency, FixedWindow, Gcra, Meter, SlidingWindow, Window};

/// How tokens are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// A bucket of `quota + burst`, refilled at `quota` per window all the time.
    #[default]
    TokenBucket,
    /// `quota + burst` per window, aligned to the Unix epoch or to a calendar month.
    FixedWindow,
    /// Two windows, of which the earlier one fades.
    SlidingWindow,
    /// At most so many at once.
    Concurrency,
}

/// A limit as it was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    /// No limit.
    Unlimited,
    /// `quota` per `window`, and `burst` on top.
    Tokens {
        /// How they are counted; by [`Algorithm::Concurrency`], `quota` at once, and the rest means nothing.
        algorithm: Algorithm,
        /// Tokens granted per window.
        quota: u64,
        /// Tokens on top of the quota.
        burst: u64,
        /// The time in which the quota is granted.
        window: Window,
    },
    /// At most so many in flight.
    Concurrency {
        /// How many.
        most: u64,
    },
}

impl Grant {
    /// The limit, ready to be enforced; a quota of 0 admits nothing, whatever its burst.
    ///
    /// # Errors
    /// See [`LimitError`].
    pub fn limit(self) -> Result<Limit, LimitError> {
        let meter = match self {
            Self::Unlimited => return Ok(Limit::Unlimited),
            Self::Tokens { quota: 0, .. } | Self::Concurrency { most: 0 } => return Ok(Limit::Nothing),
            Self::Tokens { algorithm: Algorithm::TokenBucket, quota, burst, window } => match window {
                Window::Span(window) => Meter::TokenBucket(Gcra::new(quota, burst, window)?),
                Window::Month => return Err(LimitError::CalendarWindow),
            },
            Self::Tokens { algorithm: Algorithm::FixedWindow, quota, burst, window } => {
                Meter::FixedWindow(FixedWindow::new(quota, burst, window)?)
            }
            Self::Tokens { algorithm: Algorithm::SlidingWindow, quota, burst, window } => {
                Meter::SlidingWindow(SlidingWindow::new(quota, burst, window)?)
            }
            Self::Tokens { algorithm: Algorithm::Concurrency, quota: most, .. }
            | Self::Concurrency { most } => Meter::Concurrency(Concurrency::new(most)?),
        };
        Ok(Limit::Metered(meter))
    }
}

/// What a tenant is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Admits nothing: a quota of 0.
    Nothing,
    /// Admits what a meter lets through.
    Metered(Meter),
    /// Admits everything, and keeps no bucket.
    Unlimited,
}

impl Limit {
    /// What it counts by; `None` for [`Limit::Nothing`] and [`Limit::Unlimited`].
    #[inline]
    #[must_use]
    pub fn meter(&self) -> Option<&Meter> {
        match self {
            Self::Metered(meter) => Some(meter),
            Self::Nothing | Self::Unlimited => None,
        }
    }
}

/// Why a limit cannot be enforced as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LimitError {
    /// The window is zero.
    #[error("the window is zero; accepted is 1 nanosecond or more")]
    NoWindow,
    /// More than 10^9 tokens a second.
    #[error("{quota} per {window_nanos} ns is more than 1,000,000,000 a second")]
    TooFast {
        /// The quota given, in tokens.
        quota: u64,
        /// The window given, in nanoseconds.
        window_nanos: u64,
    },
    /// An empty bucket would take more than 2^60 ns (36.5 years) to fill.
    #[error("an empty bucket of {capacity} tokens would take more than 36 years to fill")]
    TooSlow {
        /// `quota + burst`, in tokens.
        capacity: u64,
    },
    /// A quota of zero, which admits nothing and needs no meter.
    #[error("the quota is zero; accepted is 1 token or more")]
    NoQuota,
    /// More tokens than a bucket's state has bits for.
    #[error(
        "{capacity} tokens are more than this algorithm counts in such a window; accepted are {most} at most"
    )]
    TooLarge {
        /// `quota + burst`, in tokens.
        capacity: u64,
        /// The largest that is accepted, in tokens.
        most: u64,
    },
    /// A calendar month, for an algorithm that is not aligned to one.
    #[error("a calendar month goes with fixed windows only; accepted is a span of time")]
    CalendarWindow,
}

impl LimitError {
    /// What is asked of every quota in windows; gives the capacity, `quota + burst`.
    pub(crate) fn check_window(quota: u64, burst: u64, window: Window) -> Result<u64, Self> {
        let window_nanos = window.shortest().get();
        if window_nanos == 0 {
            return Err(Self::NoWindow);
        }
        if quota == 0 {
            return Err(Self::NoQuota);
        }
        if quota > window_nanos {
            return Err(Self::TooFast { quota, window_nanos });
        }
        Ok(quota.saturating_add(burst))
    }
}
