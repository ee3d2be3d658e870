//! One thread's way in: where decisions are made.
//!
//! A gate keeps the newest settled table that it has seen, so that a decision on known keys touches nothing shared but
//! those keys' slots: hash, find, compare-and-swap ([`crate::charge`]). Everything else, a key never seen, a table on the
//! move, a block, an overflow, is [`Gate::slowly`].

use std::cell::Cell;
use std::sync::Arc;

use crate::bucket::{Bucket, Charge, Word};
use crate::engine::Relief;
use crate::lease::AWAITS_LEASE;
use crate::meter::Meter;
use crate::migration::{Place, locate};
use crate::operation::{Operation, blocked, charged, peeked};
use crate::placing::{Placing, Target};
use crate::policy::keyed::{Generation, Policy};
use crate::slot::{Meta, Slot};
use crate::table::Table;
use crate::{Decision, Engine, Key, Limit, Nanos, Outcome, Request, Ruling, Subject};

/// One thread's way into an engine.
#[derive(Debug)]
pub struct Gate {
    pub(crate) engine: Arc<Engine>,
    pub(crate) table: Arc<Table>,
    /// Where `table` is being moved to, once this gate has noticed.
    next: Option<Arc<Table>>,
    pub(crate) wants_upkeep: bool,
    /// The number of the answer that the last decision awaits.
    pub(crate) awaited: Cell<u64>,
}

/// The policy by which a decision was to be made is not in force any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stale;

/// What was done, and to the bucket of which key: that of the target, or the one that keys past the cap share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) decision: Decision,
    pub(crate) key: Key,
}

impl Gate {
    pub(crate) fn new(engine: Arc<Engine>, table: Arc<Table>) -> Self {
        Self { engine, table, next: None, wants_upkeep: false, awaited: Cell::new(0) }
    }

    /// The engine behind it.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Has something been left to do that [`Engine::upkeep`] does off the event loop?
    #[inline]
    #[must_use]
    pub fn wants_upkeep(&self) -> bool {
        self.wants_upkeep
    }

    /// As [`Gate::wants_upkeep`]; clears the answer.
    pub fn take_wants_upkeep(&mut self) -> bool {
        std::mem::take(&mut self.wants_upkeep)
    }

    /// Leaves something to do: to this engine, or to one that is compared with it.
    pub fn want_upkeep(&mut self) {
        self.wants_upkeep = true;
    }

    /// The policy that the next decision is made by, as far as this gate has seen.
    #[inline]
    #[must_use]
    pub fn policy(&self) -> &Arc<Policy> {
        &self.next.as_ref().unwrap_or(&self.table).policy
    }

    /// What tells that policy from others; looks for a newer one first.
    #[inline]
    pub fn generation(&mut self, now: Nanos) -> Generation {
        if self.table.known_to_be_forwarded() {
            self.catch_up(now);
        }
        self.policy().generation()
    }

    /// Decides by the tenant's quota alone, where the policy has nothing else: the quick way of most requests.
    #[inline]
    pub fn consume_plainly(
        &mut self,
        subject: Subject,
        name: &[u8],
        cost: u64,
        now: Nanos,
    ) -> Option<Decision> {
        let key = self.engine.hasher.key(subject, name);
        self.quickly(key, cost, now)
    }

    /// The same the slow way; `None` where the policy in force has rules or lists.
    pub fn consume_plainly_anyhow(
        &mut self,
        subject: Subject,
        name: &[u8],
        cost: u64,
        now: Nanos,
    ) -> Option<Decision> {
        let mut ruling = Ruling::default();
        loop {
            self.catch_up(now);
            let policy = self.policy();
            if !policy.is_plain() {
                return None;
            }
            let request = Request { generation: Some(policy.generation()), ..Request::of(subject, name) };
            if self.decide(&request, cost, now, &mut ruling) {
                return Some(*ruling.decision());
            }
        }
    }

    /// Admits a request of which only the subject is known, and charges it `cost` tokens; or refuses it and charges nothing.
    /// It is over at once: slots that it took come back.
    #[inline]
    pub fn consume(&mut self, subject: Subject, name: &[u8], cost: u64, now: Nanos) -> Decision {
        match self.consume_plainly(subject, name, cost, now) {
            Some(decision) => decision,
            None => self.consume_as_request(subject, name, cost, now),
        }
    }

    #[cold]
    fn consume_as_request(&mut self, subject: Subject, name: &[u8], cost: u64, now: Nanos) -> Decision {
        let mut ruling = Ruling::default();
        self.decide(&Request::of(subject, name), cost, now, &mut ruling);
        for charge in ruling.charges().filter(|charge| charge.slot) {
            self.give_back(charge, now, now);
        }
        *ruling.decision()
    }

    /// What [`Gate::consume`] would answer, without charging it or remembering the key.
    pub fn peek(&mut self, subject: Subject, name: &[u8], cost: u64, now: Nanos) -> Decision {
        let mut ruling = Ruling::default();
        self.examine(&Request::of(subject, name), cost, now, &mut ruling);
        *ruling.decision()
    }

    #[inline]
    fn quickly(&self, key: Key, cost: u64, now: Nanos) -> Option<Decision> {
        if self.table.known_to_be_forwarded() {
            return self.quickly_in_next(key, cost, now);
        }
        known(&self.table, self.table.find(key)?, cost, now)
    }

    /// While a table moves. A bucket in the next one that has been written there is the key's only one: the word that it
    /// was copied from is frozen, or there was none, and none will come.
    fn quickly_in_next(&self, key: Key, cost: u64, now: Nanos) -> Option<Decision> {
        let next = self.next.as_deref()?;
        if self.table.is_settled() || next.known_to_be_forwarded() {
            return None;
        }
        let slot = next.find(key)?;
        if slot.bucket().read()? == Word::FRESH {
            return None;
        }
        known(next, slot, cost, now)
    }

    /// Does something to a bucket, wherever it is, as long as `policy` is in force.
    #[inline(never)]
    pub(crate) fn slowly(
        &mut self,
        target: &Target<'_>,
        operation: Operation,
        now: Nanos,
        policy: &Arc<Policy>,
    ) -> Result<Done, Stale> {
        let key = target.key;
        let done = |decision| Ok(Done { decision, key });
        let stale = |table: &Table| !Arc::ptr_eq(policy, &table.policy);
        loop {
            self.catch_up(now);
            let table = match locate(&self.table, key, now) {
                Place::Here(table, _) | Place::Absent(table) if stale(&table) => return Err(Stale),
                Place::Here(table, index) => {
                    if let Some(decision) = self.operate(&table, index, target, operation, now) {
                        return done(decision);
                    }
                    continue;
                }
                Place::Absent(table) => table,
            };
            let moment = table.moment(now);
            let Some(Placing { kind, owner }) = self.placing(&table, target) else {
                return done(Decision::never(Outcome::Unknown));
            };
            let meter = match table.limit_of(Meta::new(kind)) {
                Some(Limit::Metered(meter)) => Some(meter),
                Some(Limit::Unlimited) => None,
                Some(Limit::Nothing) | None => return done(Decision::never(Outcome::Denied)),
            };
            let fresh = |cost| meter.map_or(Decision::unlimited(), |meter| peeked(meter, 0, moment, cost));
            if let Some(limit) = meter.and_then(Meter::shared)
                && matches!(operation, Operation::Give(_) | Operation::Reset)
            {
                self.give_shared(target, limit, operation, now);
                return done(fresh(0));
            }
            match operation {
                Operation::Peek(cost) => return done(self.peeked_fresh(key, meter, cost, (moment, now))),
                // A lease needs a place.
                Operation::Probe(cost) if meter.is_none_or(|meter| meter.shared().is_none()) => {
                    return done(fresh(cost));
                }
                Operation::Give(_) | Operation::Reset => return done(fresh(0)),
                // Without a limit there is nothing to remember; but of a tenant with a row there is one place to say so.
                Operation::Consume(_) | Operation::Probe(_) | Operation::Take(_)
                    if meter.is_none() && owner.is_some() =>
                {
                    return done(fresh(0));
                }
                Operation::Consume(_) | Operation::Probe(_) | Operation::Take(_) | Operation::Block(_) => {}
            }
            match self.engine.relieve(&table, now) {
                Relief::Moving => continue,
                Relief::Upkeep => self.wants_upkeep = true,
                Relief::NotNeeded => {}
            }
            // A new key pays for its place in a table that is still being filled from the one before.
            if let Some(next) = &self.next {
                self.table.settle_group(next, now);
            }
            // What the service itself says of a key is remembered, cap or no cap.
            let written =
                match owner.filter(|_| matches!(operation, Operation::Consume(_) | Operation::Probe(_))) {
                    Some(owner) => self.engine.admit_owned(&table, owner, key, kind),
                    None => Engine::admit_kept(&table, key, owner, kind),
                };
            // A table that was forwarded under our feet takes no keys: on to the next. Otherwise there is no room.
            if written.is_none() && table.next().is_none() {
                return self.overflow(owner.unwrap_or(key), target, operation, now, policy);
            }
        }
    }

    /// Does it to the bucket in a slot of the newest table; `None` if that has moved on meanwhile.
    pub(crate) fn operate(
        &self,
        table: &Table,
        index: usize,
        target: &Target<'_>,
        operation: Operation,
        now: Nanos,
    ) -> Option<Decision> {
        let slot = table.slots.get(index)?;
        let meta = slot.meta().or_else(|| self.describe(table, slot, target))?;
        let meter = match table.limit_of(meta) {
            Some(Limit::Metered(meter)) => Some(meter),
            Some(Limit::Unlimited) => None,
            Some(Limit::Nothing) | None => return Some(Decision::never(Outcome::Denied)),
        };
        let (key, moment, bucket) = (target.key, table.moment(now), slot.bucket());
        let told =
            |state, cost| meter.map_or(Decision::unlimited(), |meter| peeked(meter, state, moment, cost));
        let adjusted = |change: &dyn Fn(&crate::meter::Meter, u64) -> u64| match meter {
            Some(meter) => bucket.adjust(|state| change(meter, state)),
            None => bucket.read().map(Word::state),
        };
        let state = match operation {
            Operation::Probe(cost) => loop {
                let word = bucket.read()?;
                if let Some(left) = word.blocked().then(|| self.engine.block_left(key, now)).flatten() {
                    return Some(blocked(meter, moment, left));
                }
                let Some(meter) = meter else { return Some(Decision::unlimited()) };
                let decision = peeked(meter, word.state(), moment, cost);
                match meter.shared().filter(|_| decision.outcome == Outcome::Pending) {
                    None => return Some(table.told(slot, Some(meter), decision, moment)),
                    Some(limit) => {
                        let wanted = (word.state(), cost);
                        if let Some(decision) = self.want(target, meter, limit, wanted, moment, now) {
                            return Some(decision);
                        }
                    }
                }
            },
            Operation::Consume(cost) => loop {
                let charge = match meter {
                    Some(meter) => bucket.charge(meter, moment, cost),
                    None if bucket.read()?.blocked() => Charge::Blocked,
                    None => return Some(Decision::unlimited()),
                };
                match (charge, meter) {
                    (Charge::Blocked, _) => match self.engine.block_left(key, now) {
                        Some(left) => return Some(blocked(meter, moment, left)),
                        None => self.unflag(bucket, key, now)?,
                    },
                    (Charge::Refused(state, AWAITS_LEASE), Some(meter)) => {
                        let limit = meter.shared()?;
                        if let Some(decision) = self.want(target, meter, limit, (state, cost), moment, now) {
                            return Some(decision);
                        }
                    }
                    (charge, meter) => {
                        let decision = charged(charge, meter?, moment)?;
                        return Some(table.told(slot, meter, decision, moment));
                    }
                }
            },
            Operation::Peek(cost) => {
                let word = bucket.read()?;
                if let Some(left) = word.blocked().then(|| self.engine.block_left(key, now)).flatten() {
                    return Some(blocked(meter, moment, left));
                }
                if let Some((meter, limit)) = meter.and_then(|meter| Some((meter, meter.shared()?))) {
                    return Some(self.peeked_shared(key, meter, limit, (word.state(), cost), (moment, now)));
                }
                return Some(told(word.state(), cost));
            }
            Operation::Give(_) | Operation::Take(_) | Operation::Reset
                if let Some(meter) = meter.filter(|meter| meter.shared().is_some()) =>
            {
                if matches!(operation, Operation::Reset) {
                    self.engine.blocks.lift(key);
                }
                self.adjust_shared(bucket, target, meter, operation, (moment, now))?
            }
            Operation::Give(tokens) => adjusted(&|meter, state| meter.give(state, moment, tokens))?,
            Operation::Take(tokens) => adjusted(&|meter, state| meter.take(state, moment, tokens))?,
            Operation::Reset => {
                self.engine.blocks.lift(key);
                adjusted(&|meter, state| meter.refilled(state, moment))?
            }
            Operation::Block(time) => {
                // The list first: who sees the flag finds the block.
                self.engine.blocks.set(key, now + time);
                bucket.flag(true)?;
                if let Some(meter) = meter.filter(|meter| meter.shared().is_some()) {
                    self.adjust_shared(bucket, target, meter, operation, (moment, now))?;
                }
                return Some(blocked(meter, moment, time));
            }
        };
        Some(table.told(slot, meter, told(state, 0), moment))
    }

    /// Takes the flag of a block that is over down; and puts it up again if another block has come in between.
    fn unflag(&self, bucket: Bucket<'_>, key: Key, now: Nanos) -> Option<()> {
        bucket.flag(false)?;
        if self.engine.block_left(key, now).is_some() { bucket.flag(true) } else { Some(()) }
    }

    /// Notices that the table is on the move, and goes over to the next once it is settled.
    pub(crate) fn catch_up(&mut self, now: Nanos) {
        while let Some(next) = self.table.next() {
            self.wants_upkeep = true;
            if !self.table.is_settled() {
                self.next = Some(next);
                return;
            }
            self.engine.promote(&self.table, now);
            let settled = std::mem::replace(&mut self.table, next);
            self.engine.retire(settled);
            self.next = None;
        }
        if self.table.is_due_for_renewal(now) {
            // After weeks without a request its time stands still, so this one does not leave it to the background.
            if self.table.is_out_of_time(now) && self.engine.renew(&self.table, now) {
                return self.catch_up(now);
            }
            self.engine.ask_for_renewal();
            self.wants_upkeep = true;
        }
    }
}

/// A decision on a key that is known, in the slot that it has, where the policy is a plain one.
#[inline]
fn known(table: &Table, slot: &Slot, cost: u64, now: Nanos) -> Option<Decision> {
    if table.is_due_for_renewal(now) || !table.policy.is_plain() {
        return None;
    }
    match table.limit_of(slot.meta()?)? {
        Limit::Metered(meter) => {
            let moment = table.moment(now);
            match slot.bucket().charge(meter, moment, cost) {
                Charge::Refused(_, AWAITS_LEASE) => None,
                charge => {
                    let decision = charged(charge, meter, moment)?;
                    Some(table.told(slot, Some(meter), decision, moment))
                }
            }
        }
        Limit::Unlimited => (!slot.bucket().read()?.blocked()).then(Decision::unlimited),
        Limit::Nothing => None,
    }
}
