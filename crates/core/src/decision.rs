//! What was decided.

use crate::Nanos;

/// Allow or deny, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Admitted and charged.
    Ok,
    /// The bucket does not hold the cost.
    Quota,
    /// Blocked until a time.
    Blocked,
    /// The limit admits nothing.
    Denied,
    /// The table is at its cap, and the bucket that the keys past it share does not hold the cost.
    Overflow,
    /// Admitted: there is no limit.
    Unlimited,
    /// The policy does not name the tenant, and refuses those.
    Unknown,
    /// As many requests are in flight as may be.
    Concurrency,
    /// The deny list names the tenant, or the client's address.
    Refused,
    /// No tokens are leased yet: they have been asked for.
    Pending,
    /// The backend is gone, and without it nothing is admitted.
    Backend,
}

/// An answer, with what a response wants to say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Allow or deny, and why.
    pub outcome: Outcome,
    /// The limit that applied: tokens granted per window; `u64::MAX` without a limit.
    pub quota: u64,
    /// The time in which the quota is refilled; zero where nothing is.
    pub window: Nanos,
    /// Tokens in a full bucket: `quota + burst`.
    pub capacity: u64,
    /// Whole tokens left after this decision.
    pub remaining: u64,
    /// Until the bucket is full.
    pub reset: Nanos,
    /// Until the same request would be admitted, all else unchanged: zero if it was, `None` if never.
    pub retry: Option<Nanos>,
}

impl Decision {
    /// Was it admitted?
    #[must_use]
    pub const fn allowed(&self) -> bool {
        matches!(self.outcome, Outcome::Ok | Outcome::Unlimited)
    }

    pub(crate) const fn unlimited() -> Self {
        Self {
            outcome: Outcome::Unlimited,
            quota: u64::MAX,
            window: Nanos::ZERO,
            capacity: u64::MAX,
            remaining: u64::MAX,
            reset: Nanos::ZERO,
            retry: Some(Nanos::ZERO),
        }
    }

    /// Refused for good, whatever the limit.
    #[must_use]
    pub const fn never(outcome: Outcome) -> Self {
        Self {
            outcome,
            quota: 0,
            window: Nanos::ZERO,
            capacity: 0,
            remaining: 0,
            reset: Nanos::ZERO,
            retry: None,
        }
    }
}
