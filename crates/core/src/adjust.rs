//! What the service itself does to a bucket: the tenant's own, or that of a rule that the request names.

use std::sync::Arc;

use thiserror::Error;

use crate::operation::Operation;
use crate::{Decision, Gate, Nanos, Request, Ruling};

/// Why nothing was done to a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotDone {
    /// The request was put together for another policy than the one in force.
    #[error("the policy has been replaced")]
    OtherPolicy,
    /// A limit on concurrency has slots, which belong to requests, and no tokens to give or take.
    #[error("a limit on concurrency has no tokens")]
    NoTokens,
}

impl Gate {
    /// Gives tokens back; a bucket never holds more than its capacity.
    ///
    /// # Errors
    /// See [`NotDone`], here and below.
    pub fn reward(&mut self, request: &Request<'_>, tokens: u64, now: Nanos) -> Result<Decision, NotDone> {
        self.adjust(request, Operation::Give(tokens), now)
    }

    /// Takes tokens whether they are there or not, into a debt of one capacity at most.
    ///
    /// # Errors
    /// See [`NotDone`].
    pub fn penalize(&mut self, request: &Request<'_>, tokens: u64, now: Nanos) -> Result<Decision, NotDone> {
        self.adjust(request, Operation::Take(tokens), now)
    }

    /// Refuses everything for a time, which replaces the time of an earlier block. Refilling goes on meanwhile.
    ///
    /// # Errors
    /// See [`NotDone`].
    pub fn block(&mut self, request: &Request<'_>, time: Nanos, now: Nanos) -> Result<Decision, NotDone> {
        self.adjust(request, Operation::Block(time), now)
    }

    /// Fills the bucket and lifts any block. Slots of a limit on concurrency stay with those who hold them.
    ///
    /// # Errors
    /// See [`NotDone`].
    pub fn reset(&mut self, request: &Request<'_>, now: Nanos) -> Result<Decision, NotDone> {
        self.adjust(request, Operation::Reset, now)
    }

    /// Does it to the bucket of the rule that the request names, or else to the tenant's.
    fn adjust(
        &mut self,
        request: &Request<'_>,
        operation: Operation,
        now: Nanos,
    ) -> Result<Decision, NotDone> {
        loop {
            self.catch_up(now);
            if self.is_for_another_policy(request) {
                return Err(NotDone::OtherPolicy);
            }
            let policy = Arc::clone(self.policy());
            let mut ruling = Ruling::default();
            let limits = self.limits(&policy, request, &mut ruling);
            let wanted = limits.iter().find(|(limit, _)| limit.rule.map(|ruled| ruled.index) == request.rule);
            let Some((limit, target)) = wanted else { return Ok(*ruling.decision()) };
            let slots = limit.rule.is_some_and(|ruled| ruled.keyed.slots);
            if slots && matches!(operation, Operation::Give(_) | Operation::Take(_)) {
                return Err(NotDone::NoTokens);
            }
            if let Ok(done) = self.slowly(target, operation, now, &policy) {
                return Ok(done.decision);
            }
        }
    }
}
