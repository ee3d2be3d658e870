//! What a limit grants.

use thiserror::Error;

use crate::{Gcra, Nanos};

/// What a tenant is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Admits nothing: a quota of 0.
    Nothing,
    /// A token bucket.
    TokenBucket(Gcra),
    /// Admits everything, and keeps no bucket.
    Unlimited,
}

impl Limit {
    /// A token bucket of `quota + burst` tokens, refilled at `quota` per `window`; a quota of 0 admits nothing,
    /// whatever its burst.
    ///
    /// # Errors
    /// See [`LimitError`].
    pub fn token_bucket(quota: u64, burst: u64, window: Nanos) -> Result<Self, LimitError> {
        if quota == 0 {
            return Ok(Self::Nothing);
        }
        Gcra::new(quota, burst, window).map(Self::TokenBucket)
    }

    /// `quota`, `burst` and `window` as declared; `None` for [`Limit::Nothing`] and [`Limit::Unlimited`].
    #[must_use]
    pub fn gcra(&self) -> Option<&Gcra> {
        match self {
            Self::TokenBucket(gcra) => Some(gcra),
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
}
