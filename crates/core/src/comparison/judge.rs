//! One thread's part in a comparison: where requests are judged.

use std::sync::Arc;

use super::carry::own_meter;
use super::translation::{Translation, Wants, rule_asked};
use super::verdict::Verdict;
use super::{Comparison, Side};
use crate::policy::keyed::{Policy, Standing};
use crate::rollout::Judged;
use crate::{Applied, Charged, Engine, Gate, Nanos, Outcome, Request, Ruling, Subject};

/// How often it is tried to charge a request under a policy that changes meanwhile.
const TRIES: usize = 3;

/// One thread's part in a comparison.
#[derive(Debug)]
pub struct Judge {
    comparison: Arc<Comparison>,
    gate: Gate,
    ruling: Ruling,
    /// What whoever puts requests together has been told to give.
    wants: Wants,
    translation: Option<Translation>,
}

impl Judge {
    /// Of requests that are put together for the policy that decides, and give what [`Judge::wants`] says.
    #[must_use]
    pub fn new(comparison: Arc<Comparison>, live: &Policy) -> Self {
        let gate = comparison.other.gate();
        let wants = Wants::of(live).and(&Wants::of(gate.policy()));
        Self { comparison, gate, ruling: Ruling::default(), wants, translation: None }
    }

    /// From now on requests are put together for this policy.
    pub fn turn_to(&mut self, live: &Policy) {
        self.wants = Wants::of(live).and(&Wants::of(self.gate.policy()));
        self.translation = None;
    }

    /// The comparison that it is a part of.
    #[must_use]
    pub fn comparison(&self) -> &Arc<Comparison> {
        &self.comparison
    }

    /// The way into the engine of the policy that is not in force.
    pub fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }

    /// What both policies need of a request.
    #[must_use]
    pub fn wants(&self) -> &Wants {
        &self.wants
    }

    /// The number by which a request asks for a rule of either policy.
    #[must_use]
    pub fn rule_asked(&self, live: &Policy, name: &str) -> Option<u16> {
        rule_asked(live, self.gate.policy(), name)
    }

    /// Charges a request under the other policy, and counts what both say. The engine, the policy and the ruling are those of the
    /// gate that has decided on it.
    pub fn judge(
        &mut self,
        (live, policy, ruling): (&Engine, &Policy, &Ruling),
        request: &Request<'_>,
        cost: u64,
        now: Nanos,
    ) {
        self.ruling.clear();
        if !self.decide(policy, ruling, request, cost, now) {
            return;
        }
        // Slots that there were too few of are taken as there.
        let (live_admits, other) = (Verdict::of(ruling) == Verdict::Admits, Verdict::of(&self.ruling));
        if other != Verdict::Silent {
            let judged = self.comparison.judged(live_admits, other != Verdict::Denies);
            self.count(judged, (live, policy, ruling), request, now);
        } else if live_admits {
            self.debit(request, now);
        }
    }

    /// Debits what the other policy would have charged, for want of a lease or of a backend: what is admitted meanwhile is spent, though
    /// nobody knows whether it would have been admitted.
    fn debit(&mut self, request: &Request<'_>, now: Nanos) {
        let Self { gate, ruling, .. } = self;
        for Applied { charge, .. } in ruling.applied().iter().filter(|applied| !applied.charge.slot) {
            gate.debit(*charge, request.subject, request.name, charge.cost, now);
        }
    }

    /// What the other policy has charged for the last request: it may have to be given back, as what was charged by the policy that
    /// decides is.
    pub fn charges(&self) -> impl Iterator<Item = Charged> {
        self.ruling.charges().filter(|charge| !charge.slot)
    }

    /// Charges it under the other policy; `false` if it was not decided there, because there is nothing to compare with, or because
    /// that policy is changing.
    fn decide(
        &mut self,
        policy: &Policy,
        live: &Ruling,
        request: &Request<'_>,
        cost: u64,
        now: Nanos,
    ) -> bool {
        if matches!(Verdict::of(live), Verdict::Silent | Verdict::LacksSlots) {
            return false;
        }
        for _ in 0..TRIES {
            let Self { gate, ruling, wants, translation, .. } = self;
            gate.generation(now);
            if !translation.as_ref().is_some_and(|known| known.is_between(policy, gate.policy())) {
                *translation = Some(Translation::new(policy, gate.policy(), &wants.keys));
            }
            let Some(translation) = translation else { return false };
            let decided = translation.told(request, |request| {
                gate.carry(live, request, now);
                gate.decide(request, cost, now, ruling)
            });
            if decided {
                // Nobody follows until when they would be held.
                for slot in ruling.charges().filter(|charge| charge.slot) {
                    gate.give_back(slot, now, now);
                }
                return true;
            }
        }
        false
    }

    /// Does to the other policy's buckets what the service does to those of the policy that decides.
    pub fn follow(
        &mut self,
        policy: &Policy,
        request: &Request<'_>,
        act: impl FnOnce(&mut Gate, &Request<'_>),
    ) {
        let Self { gate, wants, comparison, .. } = self;
        comparison.forgive(request.name);
        let translation = Translation::new(policy, gate.policy(), &wants.keys);
        translation.told(request, |request| act(gate, request));
    }

    fn count(
        &self,
        mut judged: Judged,
        (live, policy, ruling): (&Engine, &Policy, &Ruling),
        request: &Request<'_>,
        now: Nanos,
    ) {
        let Self { comparison, gate, .. } = self;
        // Clients without a tenant have no name to be told of.
        if request.subject == Subject::Tenant {
            let is_named = |policy: &Policy| matches!(policy.standing(request.name), Standing::Named { .. });
            let is_named = || is_named(policy) || is_named(gate.policy());
            comparison.counts.with_tenant(request.name, is_named, |tenant| {
                if let Some(Applied { decision, charge, .. }) = own(ruling) {
                    let meter = || own_meter(policy, request);
                    let breach = tenant.isolation.admit(decision, (charge.cost, now), live, meter);
                    judged.breaches = u64::from(breach);
                }
                let (engine, policy, ruling) = match comparison.live {
                    Side::Candidate => (live, policy, ruling),
                    Side::Old => (&**gate.engine(), &**gate.policy(), &self.ruling),
                };
                if let Some(Applied { decision, charge, .. }) = own(ruling) {
                    let meter = || own_meter(policy, request);
                    let ratio = tenant.burst.admit(decision, (charge.cost, now), engine, meter);
                    comparison.counts.burst(ratio.unwrap_or_default());
                }
                tenant.judged = tenant.judged.plus(&judged);
            });
        }
        comparison.counts.add(&judged);
    }
}

/// What was charged to the tenant's own quota, where the request was admitted.
fn own(ruling: &Ruling) -> Option<&Applied> {
    let own = ruling.applied().iter().find(|applied| applied.rule.is_none())?;
    (ruling.decision().allowed() && own.decision.outcome == Outcome::Ok).then_some(own)
}
