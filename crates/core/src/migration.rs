//! How buckets move to the next table.
//!
//! A slot is *settled* when nobody will change a bucket in it any more and what it held is in the next table:
//!
//! 1. An empty slot is closed, so no key is written there later. A key that is not here is therefore not here for
//!    good once a search for it has met a closed slot, and may be written in the next table.
//! 2. A bucket is frozen; if it is worth keeping, its key is claimed in the next table and the frozen word written
//!    there by a compare-and-swap from 0; then the old word becomes `MOVED`.
//!
//! Every step may be repeated by any number of helpers and suspended anywhere. Nobody decides on a key in the next
//! table before the key is settled here, because a search begins here and settles what it finds. And the next table
//! is not itself forwarded before this one is settled whole, so a late helper finds its copy already made.

use std::sync::Arc;

use crate::bucket::Word;
use crate::gcra::Ticks;
use crate::slot::{Meta, Slot};
use crate::sync::Ordering;
use crate::table::{Search, Table};
use crate::{Key, Nanos, Policy};

/// Where a key is now, or would be written.
#[derive(Debug)]
pub(crate) enum Place {
    /// In this slot of the newest table.
    Here(Arc<Table>, usize),
    /// Nowhere; the newest table is where it would be.
    Absent(Arc<Table>),
}

/// Follows a key from `table` to where it is now, settling it on the way.
pub(crate) fn locate(table: &Arc<Table>, key: Key, now: Nanos) -> Place {
    let mut table = Arc::clone(table);
    loop {
        match table.search(key) {
            Search::Found(index) => {
                let readable = table.slots.get(index).is_some_and(|slot| slot.bucket().read().is_some());
                if readable && !table.forwarded() {
                    return Place::Here(table, index);
                }
                let Some(next) = table.next() else { return Place::Here(table, index) };
                table.settle(index, &next, now);
                table = next;
            }
            Search::Vacant(index) => {
                let Some(next) = table.next() else { return Place::Absent(table) };
                // Another key may be written first; then the search goes on from the start.
                table.settle(index, &next, now);
            }
            Search::Closed => {
                let Some(next) = table.next() else { return Place::Absent(table) };
                table = next;
            }
        }
    }
}

impl Table {
    /// Settles up to `budget` slots; `true` if that, or others, has settled the last one.
    pub(crate) fn settle_some(&self, next: &Self, budget: usize, now: Nanos) -> bool {
        let size = self.slots.len();
        if self.cursor.load(Ordering::Relaxed) >= size {
            return self.is_settled();
        }
        let from = self.cursor.fetch_add(budget, Ordering::AcqRel);
        let to = from.saturating_add(budget).min(size);
        let mut keys = 0;
        for index in from..to {
            keys += usize::from(self.settle(index, next, now));
        }
        // Only keys that were counted when the next table was made are counted off; late ones saturate.
        let _ = next.expected.try_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(keys)));
        let done = to.saturating_sub(from);
        // AcqRel: who sees the sum complete sees every slot of every range settled.
        done > 0 && self.settled.fetch_add(done, Ordering::AcqRel) + done == size
    }

    /// Settles one slot; `true` if it held a key.
    fn settle(&self, index: usize, next: &Self, now: Nanos) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        let Some(key) = slot.close() else { return false };
        if let Some(word) = slot.bucket().freeze(|word| self.is_live(slot, word, now)) {
            self.carry(slot, key, word, next);
            slot.bucket().depart();
        }
        true
    }

    /// Copies a frozen bucket. The next table has room for every key of this one, by its size.
    fn carry(&self, slot: &Slot, key: Key, word: Word, next: &Self) {
        let Some(meta) = slot.meta() else { return };
        let Some(gcra) = self.limit_of(meta) else { return };
        let owner = meta
            .owner_slot()
            .and_then(|owner| self.slots.get(owner as usize))
            .and_then(Slot::key)
            .and_then(|owner| next.claim_owner(owner));
        let Ok(Some((index, written))) = next.claim(key) else { return };
        let Some(arrival) = next.slots.get(index) else { return };
        arrival.describe(match owner {
            Some(owner) => Meta::owned(meta.limit(), owner),
            None => Meta::owner(meta.limit()),
        });
        if written && let Some(owner) = owner.and_then(|owner| next.slots.get(owner as usize)) {
            owner.count_key(u32::MAX);
        }
        let shift = next.epoch.since(self.epoch).get().saturating_mul(gcra.instant(Nanos::new(1)).0);
        arrival.bucket().arrive(word.rebased(Ticks(shift)));
    }

    /// The slot of a key that owns others, written now if it was not there.
    pub(crate) fn claim_owner(&self, key: Key) -> Option<u32> {
        let (index, _) = self.claim(key).ok()??;
        self.slots.get(index)?.describe(Meta::owner(Policy::DEFAULT));
        u32::try_from(index).ok()
    }
}
