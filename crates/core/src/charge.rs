//! All limits of a request or none: who is refused by one is charged by none.
//!
//! The quick way reads the buckets of all limits, works out what each would become, and only if all admit puts the new
//! words there, one compare-and-swap each. Where another thread was faster, that bucket is charged as it now stands; if it
//! refuses, what was charged before it is given back. So no thread ever waits, and never more is admitted than each limit
//! allows; a request may be refused, for an instant, by what another thread is about to give back.

use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::bucket::{Charge, Word};
use crate::gate::{Gate, Stale};
use crate::lease::AWAITS_LEASE;
use crate::lease::name::{Naming, Overflow};
use crate::limits::{Limited, Party, each_limit, listed, standing, without_limits};
use crate::meter::Meter;
use crate::moment::Moment;
use crate::operation::{Operation, told};
use crate::placing::Target;
use crate::policy::keyed::Policy;
use crate::ruling::{Applied, Ruling};
use crate::slot::Slot;
use crate::table::Table;
use crate::{KeyHasher, Limit, Nanos, Request};

/// Limits that the quick way takes: a tenant's quota, and rules. Requests with more take the slow way.
const QUICK: usize = 16;

impl Gate {
    /// Admits a request and charges every limit that applies, or refuses it and charges none. The cost is in tokens; a
    /// rule may have one of its own. `false`: nothing was decided, because the request was put together for another policy
    /// than the one in force.
    pub fn decide(&mut self, request: &Request<'_>, cost: u64, now: Nanos, ruling: &mut Ruling) -> bool {
        ruling.clear();
        let (charged, refused) = match quickly(&self.table, &self.engine.hasher, request, cost, now, ruling) {
            Quick::Decided => {
                ruling.conclude();
                return true;
            }
            Quick::Slow { charged } => (charged, false),
            Quick::Refused { charged } => (charged, true),
        };
        for applied in ruling.applied.iter().take(charged).filter(|applied| applied.is_charged()) {
            self.give_back(applied.charge, now, now);
        }
        let decided = refused || self.decide_slowly(request, cost, now, ruling);
        ruling.conclude();
        decided
    }

    /// What [`Gate::decide`] would answer, without charging anything.
    pub fn examine(&mut self, request: &Request<'_>, cost: u64, now: Nanos, ruling: &mut Ruling) -> bool {
        while self.examine_under(request, cost, Operation::Peek, now, ruling).is_err() {
            if self.is_for_another_policy(request) {
                ruling.clear();
                return false;
            }
        }
        ruling.conclude();
        true
    }

    /// Was the request put together for another policy than the newest that this gate has seen?
    pub(crate) fn is_for_another_policy(&self, request: &Request<'_>) -> bool {
        request.generation.is_some_and(|generation| generation != self.policy().generation())
    }

    #[cold]
    fn decide_slowly(&mut self, request: &Request<'_>, cost: u64, now: Nanos, ruling: &mut Ruling) -> bool {
        loop {
            if let Ok(policy) = self.examine_under(request, cost, Operation::Probe, now, ruling)
                && self.charge_all(&policy, request, cost, now, ruling).is_ok()
            {
                return true;
            }
            if self.is_for_another_policy(request) {
                ruling.clear();
                return false;
            }
        }
    }

    /// Looks at every limit that applies; gives the policy by which.
    fn examine_under(
        &mut self,
        request: &Request<'_>,
        cost: u64,
        look: impl Fn(u64) -> Operation,
        now: Nanos,
        ruling: &mut Ruling,
    ) -> Result<Arc<Policy>, Stale> {
        ruling.clear();
        self.catch_up(now);
        if self.is_for_another_policy(request) {
            return Err(Stale);
        }
        let policy = Arc::clone(self.policy());
        for (limit, target) in self.limits(&policy, request, ruling) {
            let cost = limit.cost(cost);
            let done = self.slowly(&target, look(cost), now, &policy)?;
            ruling.applied.push(limit.applied(done.decision, done.key, cost));
        }
        Ok(policy)
    }

    /// Charges what [`Gate::examine_under`] found, unless something denies it.
    fn charge_all(
        &mut self,
        policy: &Arc<Policy>,
        request: &Request<'_>,
        cost: u64,
        now: Nanos,
        ruling: &mut Ruling,
    ) -> Result<(), Stale> {
        if ruling.denies() || ruling.applied.is_empty() {
            return Ok(());
        }
        let limits = self.limits(policy, request, &mut Ruling::default());
        for (index, (limit, target)) in limits.iter().enumerate() {
            let cost = limit.cost(cost);
            let done = self.slowly(target, Operation::Consume(cost), now, policy);
            let refused = done.is_ok_and(|done| !limit.is_shadow() && !done.decision.allowed());
            if let Ok(done) = done
                && let Some(applied) = ruling.applied.get_mut(index)
            {
                *applied = limit.applied(done.decision, done.key, cost);
            }
            if done.is_err() || refused {
                for applied in ruling.applied.iter().take(index).filter(|applied| applied.is_charged()) {
                    self.give_back(applied.charge, now, now);
                }
                done?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// The limits that apply, and their buckets; none, and the ruling is made, where the policy decides without one.
    pub(crate) fn limits<'a>(
        &self,
        policy: &'a Policy,
        request: &'a Request<'a>,
        ruling: &mut Ruling,
    ) -> Vec<(Limited<'a>, Target<'a>)> {
        let mut limits = Vec::new();
        let hasher = &self.engine.hasher;
        if let Some(entry) = standing(policy, request, ruling) {
            let party = Party::of(request.subject, request.name, hasher, policy);
            each_limit(policy, hasher, request, party.key, entry, |limit| {
                let whose = party.whose(limit.rule.map(|ruled| (ruled.rule, ruled.keyed.key)));
                let rule = limit.rule.map(|ruled| ruled.rule);
                let naming = Naming { image: policy.image(), request, rule, overflow: Overflow::No };
                limits.push((limit, Target { key: limit.key, whose, naming }));
            });
        }
        limits
    }
}

/// A limit that is about to be charged: its bucket as it was read, and as it would be.
struct Prepared<'a> {
    limit: Limited<'a>,
    slot: &'a Slot,
    meter: &'a Meter,
    word: Word,
    cost: u64,
    /// The state after it, or how long it is refused.
    admitted: Result<u64, Option<Nanos>>,
}

impl<'a> Prepared<'a> {
    #[inline]
    fn prepare(table: &'a Table, limit: Limited<'a>, moment: Moment, cost: u64) -> Preparation<'a> {
        let Some(slot) = table.find(limit.key) else { return Preparation::NotSimple };
        let word = slot.bucket().read().filter(|word| !word.blocked());
        match (slot.meta().and_then(|meta| table.limit_of(meta)), word) {
            (Some(Limit::Metered(meter)), Some(word)) => {
                let cost = limit.cost(cost);
                let admitted = meter.admit(word.state(), moment, cost);
                if admitted == Err(AWAITS_LEASE) {
                    return Preparation::NotSimple;
                }
                Preparation::Ready(Self { limit, slot, meter, word, cost, admitted })
            }
            (Some(Limit::Unlimited), Some(_)) => Preparation::Needless,
            _ => Preparation::NotSimple,
        }
    }

    /// Charges it; `false` if the bucket is on the move, or blocked.
    #[inline]
    fn charge(&mut self, moment: Moment) -> bool {
        let Ok(state) = self.admitted else { return true };
        if self.slot.bucket().replace(self.word, self.word.with_state(state)).is_ok() {
            return true;
        }
        match self.slot.bucket().charge(self.meter, moment, self.cost) {
            Charge::Admitted(state) => self.admitted = Ok(state),
            // Where a lease is wanted, too, that is the slow way.
            Charge::Refused(_, AWAITS_LEASE) | Charge::Blocked | Charge::Elsewhere => return false,
            Charge::Refused(state, wait) => {
                self.word = self.word.with_state(state);
                self.admitted = Err(wait);
            }
        }
        true
    }

    fn denies(&self) -> bool {
        self.admitted.is_err() && !self.limit.is_shadow()
    }

    /// What it came to; `charged`: the bucket is as it was admitted, and not as it was read.
    #[inline]
    fn applied(&self, table: &Table, moment: Moment, charged: bool) -> Applied {
        let state = match self.admitted {
            Ok(state) if charged => state,
            Ok(_) | Err(_) => self.word.state(),
        };
        let decision = told(self.meter, state, moment, self.admitted.map(|_| ()));
        let decision = table.told(self.slot, Some(self.meter), decision, moment);
        self.limit.applied(decision, self.limit.key, self.cost)
    }
}

/// What came of looking at a limit.
enum Preparation<'a> {
    Ready(Prepared<'a>),
    /// There is nothing to charge.
    Needless,
    /// Its bucket is not there yet, or is on the move, or blocked.
    NotSimple,
}

/// What came of the quick way.
pub(crate) enum Quick {
    Decided,
    /// It has to be done the slow way. The first so many of the ruling have been charged, and are to be given back.
    Slow {
        charged: usize,
    },
    /// It is refused, by a bucket that another thread has charged meanwhile; the same goes for the first so many.
    Refused {
        charged: usize,
    },
}

#[inline]
pub(crate) fn quickly<'a>(
    table: &'a Table,
    hasher: &KeyHasher,
    request: &Request<'_>,
    cost: u64,
    now: Nanos,
    ruling: &mut Ruling,
) -> Quick {
    const SLOW: Quick = Quick::Slow { charged: 0 };
    if table.known_to_be_forwarded() || table.is_due_for_renewal(now) {
        return SLOW;
    }
    let policy = &*table.policy;
    if request.generation.is_some_and(|generation| generation != policy.generation()) {
        return SLOW;
    }
    if let Some(decision) = listed(policy, request) {
        ruling.decide_alone(decision);
        return Quick::Decided;
    }
    let key = hasher.key(request.subject, request.name);
    let known = table.find(key).and_then(Slot::meta).and_then(|meta| policy.entry(meta.entry()));
    // Who has neither a row nor a limit has no bucket, either.
    let Some(entry) = known.or_else(|| policy.unlimited_default()) else { return SLOW };
    if let Some(decision) = without_limits(entry.verdict) {
        ruling.decide_alone(decision);
        return Quick::Decided;
    }
    let moment = table.moment(now);
    let mut limits = ArrayVec::<Prepared<'a>, QUICK>::new();
    let mut simple = true;
    each_limit(policy, hasher, request, key, entry, |limit| {
        if known.is_none() && limit.rule.is_none() {
            return;
        }
        match Prepared::prepare(table, limit, moment, cost) {
            Preparation::Ready(prepared) => simple &= limits.try_push(prepared).is_ok(),
            Preparation::Needless => {}
            Preparation::NotSimple => simple = false,
        }
    });
    if !simple {
        return SLOW;
    }
    if limits.iter().any(Prepared::denies) {
        ruling.applied.extend(limits.iter().map(|limit| limit.applied(table, moment, false)));
        return Quick::Decided;
    }
    for index in 0..limits.len() {
        let Some(limit) = limits.get_mut(index) else { break };
        let charged = limit.charge(moment);
        if charged && !limit.denies() {
            continue;
        }
        ruling.applied.extend(limits.iter().map(|limit| limit.applied(table, moment, false)));
        return if charged { Quick::Refused { charged: index } } else { Quick::Slow { charged: index } };
    }
    ruling.applied.extend(limits.iter().map(|limit| limit.applied(table, moment, true)));
    Quick::Decided
}
