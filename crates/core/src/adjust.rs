//! What the service itself does to a bucket: the tenant's own, or that of a rule that the request names.

use std::sync::Arc;

use crate::operation::Operation;
use crate::{Decision, Gate, Nanos, Request, Ruling};

impl Gate {
    /// Gives tokens back; a bucket never holds more than its capacity.
    pub fn reward(&mut self, request: &Request<'_>, tokens: u64, now: Nanos) -> Decision {
        self.adjust(request, Operation::Give(tokens), now)
    }

    /// Takes tokens whether they are there or not, into a debt of one capacity at most.
    pub fn penalize(&mut self, request: &Request<'_>, tokens: u64, now: Nanos) -> Decision {
        self.adjust(request, Operation::Take(tokens), now)
    }

    /// Refuses everything for a time, which replaces the time of an earlier block. Refilling goes on meanwhile.
    pub fn block(&mut self, request: &Request<'_>, time: Nanos, now: Nanos) -> Decision {
        self.adjust(request, Operation::Block(time), now)
    }

    /// Fills the bucket and lifts any block. Slots of a limit on concurrency stay with those who hold them.
    pub fn reset(&mut self, request: &Request<'_>, now: Nanos) -> Decision {
        self.adjust(request, Operation::Reset, now)
    }

    /// Does it to the bucket of the rule that the request names, or else to the tenant's.
    fn adjust(&mut self, request: &Request<'_>, operation: Operation, now: Nanos) -> Decision {
        loop {
            self.catch_up(now);
            let policy = Arc::clone(self.policy());
            let mut ruling = Ruling::default();
            let limits = self.limits(&policy, request, &mut ruling);
            let wanted = limits.iter().find(|(limit, _)| limit.rule.map(|ruled| ruled.index) == request.rule);
            let Some((_, target)) = wanted else { return *ruling.decision() };
            if let Ok(done) = self.slowly(target, operation, now, &policy) {
                return done.decision;
            }
        }
    }
}
