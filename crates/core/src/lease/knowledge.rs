//! What an instance knows of a shared bucket: what was spent of it when it was asked last.

use super::exchange::{Floor, Grant, SharedLimit};
use crate::{Algorithm, Nanos};

/// At an instant of the monotonic clock, so much was spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Knowledge {
    spent: f64,
    at: Nanos,
    /// When the window ends that it was spent in.
    ends: Option<Nanos>,
}

impl Knowledge {
    /// What an answer says that was asked for at an instant.
    pub(crate) fn of(grant: &Grant, asked: Nanos) -> Self {
        Self { spent: grant.spent, at: asked, ends: grant.ends.map(|left| asked + left) }
    }

    /// What of it is spent still, with debts.
    pub(crate) fn spent(&self, limit: &SharedLimit, now: Nanos) -> f64 {
        match self.ends {
            Some(ends) if now >= ends => self.spent * faded(limit, now.since(ends)),
            Some(_) => self.spent,
            None => (self.spent - refilled(limit, now.since(self.at))).max(0.0),
        }
    }

    /// What the backend is to be told, should it have forgotten.
    pub(crate) fn floor(&self, limit: &SharedLimit, now: Nanos) -> Option<Floor> {
        let spent = self.spent(limit, now);
        let ends = |ends| if now < ends { ends } else { ends + limit.window.shortest() };
        let left = self.ends.map_or(Nanos::ZERO, |known| ends(known).since(now));
        (spent > 0.0).then_some(Floor { spent, ends: left })
    }

    /// When the window ends that it speaks of.
    pub(crate) fn ends(&self) -> Option<Nanos> {
        self.ends
    }
}

/// How much of what was spent in a window weighs still when it has been over for a time.
#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn faded(limit: &SharedLimit, time: Nanos) -> f64 {
    match limit.algorithm {
        Algorithm::SlidingWindow => (1.0 - time.get() as f64 / limit.window.shortest().get() as f64).max(0.0),
        _ => 0.0,
    }
}

/// Tokens that a token bucket is refilled with in a time; windows are not refilled.
#[expect(clippy::cast_precision_loss, reason = "a share of a quota needs no more than 53 bits")]
pub(crate) fn refilled(limit: &SharedLimit, time: Nanos) -> f64 {
    match limit.algorithm {
        Algorithm::TokenBucket => {
            limit.quota as f64 * (time.get() as f64 / limit.window.shortest().get() as f64)
        }
        _ => 0.0,
    }
}

/// Whole tokens that are left, where so many are spent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no more than the capacity")]
#[expect(clippy::cast_precision_loss, reason = "which is less than 2^31")]
pub(crate) fn left(limit: &SharedLimit, spent: f64) -> u64 {
    (limit.capacity as f64 - spent).max(0.0) as u64
}
