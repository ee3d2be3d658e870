//! What a ruling says of a policy.

use crate::{Outcome, Ruling};

/// What a ruling says of the policy that it was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The policy admits the request.
    Admits,
    /// It does not.
    Denies,
    /// Nothing but limits on concurrency denies it.
    LacksSlots,
    /// It was denied for what is no policy's doing.
    Silent,
}

impl Verdict {
    /// What a ruling says. One limit of the policy that denies is enough, whatever else there is.
    #[must_use]
    pub fn of(ruling: &Ruling) -> Self {
        if ruling.applied().is_empty() {
            return Self::of_outcome(ruling.decision().outcome);
        }
        let enforced = ruling.applied().iter().filter(|applied| !applied.shadow);
        let verdicts = enforced.map(|applied| Self::of_outcome(applied.decision.outcome));
        verdicts.max_by_key(|verdict| verdict.weight()).unwrap_or(Self::Admits)
    }

    fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok | Outcome::Unlimited => Self::Admits,
            Outcome::Quota | Outcome::Denied | Outcome::Unknown | Outcome::Refused => Self::Denies,
            Outcome::Concurrency => Self::LacksSlots,
            Outcome::Blocked | Outcome::Overflow | Outcome::Pending | Outcome::Backend => Self::Silent,
        }
    }

    const fn weight(self) -> u8 {
        match self {
            Self::Admits => 0,
            Self::LacksSlots => 1,
            Self::Silent => 2,
            Self::Denies => 3,
        }
    }
}
