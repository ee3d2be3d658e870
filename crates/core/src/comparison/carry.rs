//! Where the other policy's buckets begin: with as many tokens spent as in those of the policy that decides.
//!
//! A bucket that begins full beside one that has been spent from would admit what the other denies, one capacity of it; and a
//! tenant that is always at its limit would seem to be cut. So a bucket that the other engine does not have, because it has not
//! been charged there or was full and swept, begins as it would if the policy were replaced at this instant. Shared buckets are kept elsewhere, and begin as they are there.

use crate::migration::{Place, locate};
use crate::policy::keyed::{Policy, Standing};
use crate::{Applied, Charged, Gate, Key, Meter, Nanos, Outcome, Request, Ruling, Subject};

impl Gate {
    fn has_bucket(&self, key: Key, now: Nanos) -> bool {
        matches!(locate(&self.table, key, now), Place::Here(..))
    }

    /// Debits from buckets that are not here yet what has been spent of the live ones before this request.
    pub(super) fn carry(&mut self, live: &Ruling, request: &Request<'_>, now: Nanos) {
        if self.policy().is_shared() {
            return;
        }
        for applied in live.applied() {
            let Some(spent) = spent_before(applied, live.decision().allowed()) else { continue };
            if self.has_bucket(applied.charge.key, now) {
                continue;
            }
            let policy = self.policy();
            let (origin, meter) = match applied.charge.origin {
                None => (None, own_meter(policy, request)),
                Some(origin) => match policy.rule_under(origin.rule) {
                    Some((rule, keyed)) => {
                        let meter = policy.entry(rule.entry).and_then(|entry| entry.limit.meter());
                        (Some(keyed.origin()), meter)
                    }
                    None => continue,
                },
            };
            let Some(meter) = meter.filter(|meter| !meter.counts_requests_in_flight()) else { continue };
            let spent = spent.min(meter.capacity());
            let charge = Charged { origin, ..applied.charge };
            self.debit(charge, request.subject, request.name, spent, now);
        }
    }
}

/// What had been spent of a bucket before it was charged, if it was anything.
fn spent_before(applied: &Applied, admitted: bool) -> Option<u64> {
    let decision = &applied.decision;
    let charged = match decision.outcome {
        Outcome::Ok if admitted => applied.charge.cost,
        Outcome::Ok | Outcome::Quota => 0,
        _ => return None,
    };
    let spent = decision.capacity.saturating_sub(decision.remaining).saturating_sub(charged);
    (spent > 0 && !applied.charge.slot).then_some(spent)
}

/// What a policy counts the own quota of a request's subject by.
pub(super) fn own_meter<'a>(policy: &'a Policy, request: &Request<'_>) -> Option<&'a Meter> {
    let entry = match request.subject {
        Subject::Anonymous => Policy::DEFAULT,
        Subject::Tenant => match policy.standing(request.name) {
            Standing::Named { entry, .. } => entry,
            Standing::Unnamed { .. } => Policy::DEFAULT,
            Standing::Refused => return None,
        },
    };
    policy.entry(entry)?.limit.meter()
}
