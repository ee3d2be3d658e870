//! What was decided on a request: one decision for each limit that applied.

use crate::policy::keyed::Origin;
use crate::{Decision, Key, Nanos, Outcome};

/// One limit that applied.
#[derive(Debug, Clone, Copy)]
pub struct Applied {
    /// The rule; `None` for the tenant's quota.
    pub rule: Option<u16>,
    /// Is it only counted, and never denies?
    pub shadow: bool,
    /// What it came to.
    pub decision: Decision,
    /// What it was charged.
    pub charge: Charged,
}

/// What a bucket was charged, to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charged {
    pub(crate) key: Key,
    /// In tokens; for a slot of a limit on concurrency, 1.
    pub cost: u64,
    /// Is it a slot, which comes back when the request ends?
    pub slot: bool,
    /// Does the rule have a cost of its own, whatever the request's turns out to be?
    pub own_cost: bool,
    /// By which rule; `None` for the subject's own quota.
    pub(crate) origin: Option<Origin>,
}

impl Applied {
    /// Was its bucket charged, if nothing denied the request? Without a limit there is nothing to charge.
    pub(crate) fn is_charged(&self) -> bool {
        self.decision.outcome == Outcome::Ok
    }
}

impl Charged {
    /// A part of it.
    #[must_use]
    pub fn of(self, cost: u64) -> Self {
        Self { cost, ..self }
    }
}

/// What was decided on a request. Kept and filled again, so that a decision allocates nothing.
#[derive(Debug)]
pub struct Ruling {
    pub(crate) applied: Vec<Applied>,
    /// The one that stands for all, where none applied or one decided alone.
    pub(crate) alone: Decision,
    decisive: Option<usize>,
}

impl Default for Ruling {
    fn default() -> Self {
        Self { applied: Vec::new(), alone: Decision::unlimited(), decisive: None }
    }
}

impl Ruling {
    /// The limits that applied, the tenant's quota first, then rules in the order of the policy.
    #[must_use]
    pub fn applied(&self) -> &[Applied] {
        &self.applied
    }

    /// The limit that decided: the one that denied, and of several the one that does so longest; or the one with the
    /// fewest tokens left.
    #[must_use]
    pub fn decisive(&self) -> Option<&Applied> {
        self.decisive.and_then(|index| self.applied.get(index))
    }

    /// The decision on the whole request.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        self.decisive().map_or(&self.alone, |applied| &applied.decision)
    }

    /// What was charged, if the request was admitted.
    pub fn charges(&self) -> impl Iterator<Item = Charged> {
        let admitted = self.decision().allowed();
        self.applied
            .iter()
            .filter(move |applied| admitted && applied.is_charged())
            .map(|applied| applied.charge)
    }

    /// Refuses the request instead, without a limit behind it. What was charged is for the caller to give back.
    pub fn refuse(&mut self, decision: Decision) {
        self.decide_alone(decision);
    }

    pub(crate) fn clear(&mut self) {
        self.applied.clear();
        self.alone = Decision::unlimited();
        self.decisive = None;
    }

    /// Does one of the limits deny it?
    pub(crate) fn denies(&self) -> bool {
        self.applied.iter().any(|applied| !applied.shadow && !applied.decision.allowed())
    }

    /// One decision without a limit behind it.
    pub(crate) fn decide_alone(&mut self, decision: Decision) {
        self.clear();
        self.alone = decision;
    }

    /// Finds the limit that decides.
    pub(crate) fn conclude(&mut self) {
        let denied = self.denies();
        let enforced = self.applied.iter().enumerate().filter(|(_, applied)| !applied.shadow);
        self.decisive = if denied {
            enforced
                .filter(|(_, applied)| !applied.decision.allowed())
                .max_by_key(|(index, applied)| (wait(&applied.decision), std::cmp::Reverse(*index)))
                .map(|(index, _)| index)
        } else {
            enforced
                .filter(|(_, applied)| applied.decision.outcome != Outcome::Unlimited)
                .min_by_key(|(index, applied)| (applied.decision.remaining, *index))
                .map(|(index, _)| index)
        };
    }
}

/// Never is the longest wait; and what is pending is no denial yet.
fn wait(decision: &Decision) -> Nanos {
    if decision.outcome == Outcome::Pending {
        return Nanos::ZERO;
    }
    decision.retry.unwrap_or(Nanos::new(u64::MAX))
}
