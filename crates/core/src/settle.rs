//! What was charged, once it is known what it should have been: given back, or debited once more.

use std::sync::Arc;

use crate::gate::Gate;
use crate::lease::name::{Naming, Overflow};
use crate::limits::Party;
use crate::migration::{Place, locate};
use crate::moment::Moment;
use crate::operation::Operation;
use crate::placing::Target;
use crate::policy::keyed::Policy;
use crate::{Charged, Nanos, Request, Subject};

impl Gate {
    /// Takes a charge back that was made at a time. Nothing comes of it where the bucket is gone, or full again, or counts
    /// nothing of that charge: its window is over, or a policy had no such rule meanwhile.
    pub fn give_back(&mut self, charge: Charged, charged: Nanos, now: Nanos) {
        loop {
            self.catch_up(now);
            // Under whatever policy is in force. What is not there is not made, nor described, by this.
            let Place::Here(table, index) = locate(&self.table, charge.key, now) else { return };
            let Some(slot) = table.slots.get(index) else { return };
            let Some(meter) = slot.meta().and_then(|meta| table.meter_of(meta)) else { return };
            if !is_counted(charge, &table.policy) {
                return;
            }
            // Tokens come back to the shared bucket, a slot to the word that it was taken from.
            if meter.shared().is_some() && !meter.counts_requests_in_flight() {
                return self.give_to_fleet(charge.key, charge.cost);
            }
            // It may have been charged in a table before this one.
            let (moment, then) = (table.moment(now), Moment::past(charged, table.epoch));
            let without = |state| meter.give_back(state, moment, then, charge.cost);
            if slot.bucket().adjust(without).is_some() {
                return;
            }
        }
    }

    /// Debits what was charged once more, whether it holds that or not, into a debt of one capacity at most. The subject and
    /// its name are those of the request.
    pub fn debit(&mut self, charge: Charged, subject: Subject, name: &[u8], tokens: u64, now: Nanos) {
        loop {
            self.catch_up(now);
            let policy = Arc::clone(self.policy());
            if !is_counted(charge, &policy) {
                return;
            }
            let party = Party::of(subject, name, &self.engine.hasher, &policy);
            let rule = charge.origin.and_then(|origin| Some((policy.rule_since(origin)?, origin.rule)));
            let request = Request::of(subject, name);
            let rule_alone = rule.map(|(rule, _)| rule);
            let naming =
                Naming { image: policy.image(), request: &request, rule: rule_alone, overflow: Overflow::No };
            let target = Target { key: charge.key, whose: party.whose(rule), naming };
            if self.slowly(&target, Operation::Take(tokens), now, &policy).is_ok() {
                return;
            }
        }
    }
}

/// Can what was charged still be in a bucket, under this policy?
fn is_counted(charge: Charged, policy: &Policy) -> bool {
    charge.origin.is_none_or(|origin| policy.rule_since(origin).is_some())
}

#[cfg(all(test, not(loom)))]
mod tests;
