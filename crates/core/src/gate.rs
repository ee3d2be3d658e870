//! One thread's way in: where decisions are made.
//!
//! A gate keeps the newest settled table that it has seen, so that a decision on a known key touches nothing shared
//! but that key's slot: hash, find, compare-and-swap. Everything else, a key never seen, a table on the move, a
//! block, an overflow, is [`Gate::slowly`].

use std::sync::Arc;

use crate::bucket::{Charge, Word};
use crate::engine::Relief;
use crate::gcra::Ticks;
use crate::migration::{Place, locate};
use crate::operation::{Operation, blocked, charged, known, peeked};
use crate::policy::Standing;
use crate::slot::{Meta, Slot};
use crate::sync::Ordering;
use crate::table::{REBASE_AFTER, Table};
use crate::{Decision, Engine, Key, Limit, Nanos, Outcome, Subject};

/// One thread's way into an engine.
#[derive(Debug)]
pub struct Gate {
    engine: Arc<Engine>,
    table: Arc<Table>,
    /// Where `table` is being moved to, once this gate has noticed.
    next: Option<Arc<Table>>,
    wants_upkeep: bool,
}

impl Gate {
    pub(crate) fn new(engine: Arc<Engine>, table: Arc<Table>) -> Self {
        Self { engine, table, next: None, wants_upkeep: false }
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

    /// Admits a request of `cost` tokens at `now` and charges it, or refuses it and charges nothing.
    #[inline]
    pub fn consume(&mut self, subject: Subject, name: &[u8], cost: u64, now: Nanos) -> Decision {
        let key = self.engine.hasher.key(subject, name);
        match self.quickly(key, cost, now) {
            Some(decision) => decision,
            None => self.slowly(subject, key, Operation::Consume(cost), now),
        }
    }

    /// What [`Gate::consume`] would answer, without charging it or remembering the key.
    pub fn peek(&mut self, subject: Subject, name: &[u8], cost: u64, now: Nanos) -> Decision {
        self.slowly(subject, self.engine.hasher.key(subject, name), Operation::Peek(cost), now)
    }

    /// Gives tokens back; a bucket never holds more than its capacity.
    pub fn reward(&mut self, subject: Subject, name: &[u8], tokens: u64, now: Nanos) -> Decision {
        self.slowly(subject, self.engine.hasher.key(subject, name), Operation::Give(tokens), now)
    }

    /// Takes tokens whether they are there or not, into a debt of one capacity at most.
    pub fn penalize(&mut self, subject: Subject, name: &[u8], tokens: u64, now: Nanos) -> Decision {
        self.slowly(subject, self.engine.hasher.key(subject, name), Operation::Take(tokens), now)
    }

    /// Refuses everything for a time, which replaces the time of an earlier block. Refilling goes on meanwhile.
    pub fn block(&mut self, subject: Subject, name: &[u8], time: Nanos, now: Nanos) -> Decision {
        self.slowly(subject, self.engine.hasher.key(subject, name), Operation::Block(time), now)
    }

    /// Fills the bucket and lifts any block.
    pub fn reset(&mut self, subject: Subject, name: &[u8], now: Nanos) -> Decision {
        self.slowly(subject, self.engine.hasher.key(subject, name), Operation::Reset, now)
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

    #[inline(never)]
    fn slowly(&mut self, subject: Subject, key: Key, operation: Operation, now: Nanos) -> Decision {
        loop {
            self.catch_up(now);
            let table = match locate(&self.table, key, now) {
                Place::Here(table, index) => {
                    if let Some(decision) = self.operate(&table, index, subject, key, operation, now) {
                        return decision;
                    }
                    continue;
                }
                Place::Absent(table) => table,
            };
            let (limit, named) = match table.policy.standing(subject, key) {
                Standing::Named(limit) => (limit, true),
                Standing::Pooled(limit) => (limit, false),
                Standing::Refused => return Decision::never(Outcome::Unknown),
            };
            let gcra = match table.policy.limit(limit) {
                Some(Limit::TokenBucket(gcra)) => *gcra,
                Some(Limit::Unlimited) => return self.unlimited(key, operation, now),
                Some(Limit::Nothing) | None => return Decision::never(Outcome::Denied),
            };
            match operation {
                Operation::Peek(cost) => return peeked(&gcra, Ticks(0), Ticks(0), cost),
                Operation::Give(_) | Operation::Reset => return peeked(&gcra, Ticks(0), Ticks(0), 0),
                Operation::Consume(_) | Operation::Take(_) | Operation::Block(_) => {}
            }
            // What the service itself says of a key is remembered, cap or no cap.
            let kept = named || !matches!(operation, Operation::Consume(_));
            match self.engine.relieve(&table, now) {
                Relief::Moving => continue,
                Relief::Upkeep => self.wants_upkeep = true,
                Relief::NotNeeded => {}
            }
            // A new key pays for its place in a table that is still being filled from the one before.
            if let Some(next) = &self.next {
                self.table.settle_group(next, now);
            }
            let written = if kept {
                Engine::admit_named(&table, key, limit)
            } else {
                self.engine.admit_pooled(&table, self.pool(subject), key, limit)
            };
            // A table that was forwarded under our feet takes no keys: on to the next. Otherwise there is no room.
            if written.is_none() && table.next().is_none() {
                let owner = if named { key } else { self.pool(subject) };
                return self.overflow(owner, limit, operation, now);
            }
        }
    }

    /// Without a limit there is no bucket, and so no flag to say that there is a block: the list itself is asked.
    fn unlimited(&self, key: Key, operation: Operation, now: Nanos) -> Decision {
        match operation {
            Operation::Block(time) => self.engine.blocks.set(key, now + time),
            Operation::Reset => self.engine.blocks.lift(key),
            Operation::Consume(_) | Operation::Peek(_) | Operation::Give(_) | Operation::Take(_) => {}
        }
        match self.engine.block_left(key, now) {
            Some(left) => Decision {
                reset: left,
                retry: Some(left),
                quota: u64::MAX,
                ..Decision::never(Outcome::Blocked)
            },
            None => Decision::unlimited(),
        }
    }

    fn pool(&self, subject: Subject) -> Key {
        match subject {
            Subject::Tenant => self.engine.pool_unknown,
            Subject::Anonymous => self.engine.pool_anonymous,
        }
    }

    /// The bucket that the keys of one owner past the cap share.
    #[cold]
    fn overflow(&mut self, owner: Key, limit: u32, operation: Operation, now: Nanos) -> Decision {
        self.engine.overflowed.fetch_add(1, Ordering::Relaxed);
        let shared = self.engine.hasher.overflow(owner, limit);
        loop {
            self.catch_up(now);
            let (table, index) = match locate(&self.table, shared, now) {
                Place::Here(table, index) => (table, index),
                Place::Absent(table) => match Engine::admit_named(&table, shared, limit) {
                    Some(index) => (table, index),
                    // Not a slot is left, not even the ones set aside: strict.
                    None if table.next().is_none() => return Decision::never(Outcome::Overflow),
                    None => continue,
                },
            };
            self.wants_upkeep |= self.engine.relieve_at_cap(&table, now) == Relief::Upkeep;
            if let Some(mut decision) = self.operate(&table, index, Subject::Tenant, shared, operation, now) {
                if decision.outcome == Outcome::Quota {
                    decision.outcome = Outcome::Overflow;
                }
                return decision;
            }
        }
    }

    /// Does it to the bucket in a slot of the newest table; `None` if that has moved on meanwhile.
    fn operate(
        &self,
        table: &Table,
        index: usize,
        subject: Subject,
        key: Key,
        operation: Operation,
        now: Nanos,
    ) -> Option<Decision> {
        let slot = table.slots.get(index)?;
        let meta = slot.meta().or_else(|| self.describe(table, slot, subject, key))?;
        let Some(gcra) = table.limit_of(meta) else {
            return Some(Decision::never(Outcome::Denied));
        };
        let instant = gcra.instant(table.instant(now));
        let bucket = slot.bucket();
        let tat = match operation {
            Operation::Consume(cost) => loop {
                match bucket.charge(gcra, instant, cost) {
                    Charge::Blocked => match self.engine.block_left(key, now) {
                        Some(left) => return Some(blocked(gcra, left)),
                        None => bucket.flag(false)?,
                    },
                    charge => return charged(charge, gcra, instant),
                }
            },
            Operation::Peek(cost) => {
                let word = bucket.read()?;
                if let Some(left) = word.blocked().then(|| self.engine.block_left(key, now)).flatten() {
                    return Some(blocked(gcra, left));
                }
                return Some(peeked(gcra, word.tat(), instant, cost));
            }
            Operation::Give(tokens) => bucket.adjust(|tat| gcra.give(tat, instant, tokens))?,
            Operation::Take(tokens) => bucket.adjust(|tat| gcra.take(tat, instant, tokens))?,
            Operation::Reset => {
                self.engine.blocks.lift(key);
                bucket.adjust(|_| instant)?
            }
            Operation::Block(time) => {
                // The list first: who sees the flag finds the block.
                self.engine.blocks.set(key, now + time);
                bucket.flag(true)?;
                return Some(blocked(gcra, time));
            }
        };
        Some(peeked(gcra, tat, instant, 0))
    }

    /// Says of a slot what the policy says of its key, for a writer that was suspended before it did.
    #[cold]
    fn describe(&self, table: &Table, slot: &Slot, subject: Subject, key: Key) -> Option<Meta> {
        Some(slot.describe(match table.policy.standing(subject, key) {
            Standing::Named(limit) => Meta::owner(limit),
            Standing::Pooled(limit) => Meta::owned(limit, table.claim_owner(self.pool(subject))?),
            Standing::Refused => return None,
        }))
    }

    /// Notices that the table is on the move, and goes over to the next once it is settled.
    fn catch_up(&mut self, now: Nanos) {
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
        if self.table.instant(now) > REBASE_AFTER {
            self.engine.ask_for_renewal();
            self.wants_upkeep = true;
        }
    }
}
