//! How buckets move to the next table.
//!
//! A slot is *settled* when nobody will change a bucket in it any more and what it held is in the next table:
//!
//! 1. An empty slot is closed, so no key is written there later. A key that is not here is therefore not here for
//!    good once a search for it has met a closed slot, and may be written in the next table.
//! 2. A bucket is frozen; if it is worth keeping, its key is claimed in the next table and the frozen word written
//!    there by a compare-and-swap from 0; then the old word becomes `MOVED`.
//!
//! Every step may be repeated by any number of helpers and suspended anywhere; a group of slots that a suspended helper
//! has taken is settled again by whoever is done with the rest, so nobody waits for anybody. Nobody decides on a key in
//! the next table before the key is settled here, because a search begins here and settles what it finds. And the next
//! table is not itself forwarded before this one is settled whole, so a late helper finds its copy already made.

use std::sync::Arc;

use crate::bucket::{Frozen, Word};
use crate::gcra::Ticks;
use crate::policy::Standing;
use crate::slot::{Meta, Slot};
use crate::sync::Ordering;
use crate::table::{Search, Table};
use crate::{Key, Nanos, Policy, Subject};

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
    /// Settles one group of slots that is not known to be settled.
    pub(crate) fn settle_group(&self, next: &Self, now: Nanos) {
        let Some(group) = self.progress.take() else { return };
        for index in group.slots() {
            self.settle(index, next, now);
        }
        self.progress.complete(&group);
    }

    /// Settles one slot.
    fn settle(&self, index: usize, next: &Self, now: Nanos) {
        let Some(slot) = self.slots.get(index) else { return };
        let Some(key) = slot.close() else { return };
        // Under another policy a bucket counts from the instant of the change, however late it is settled.
        let judged = if self.changes_policy(next) { next.epoch } else { now };
        let emptied = match slot.bucket().freeze(|word| self.is_live(slot, word, judged)) {
            Frozen::Carry(word) => {
                self.carry(slot, key, word, next);
                slot.bucket().depart()
            }
            Frozen::Dropped => true,
            Frozen::Gone => false,
        };
        if emptied {
            // A key that was written after the next table was made is not expected there; hence saturating.
            let _ = next
                .expected
                .try_update(Ordering::AcqRel, Ordering::Acquire, |keys| Some(keys.saturating_sub(1)));
        }
    }

    fn changes_policy(&self, next: &Self) -> bool {
        !Arc::ptr_eq(&self.policy, &next.policy)
    }

    /// Copies a frozen bucket. The next table has room for every key of this one, by its size.
    fn carry(&self, slot: &Slot, key: Key, word: Word, next: &Self) {
        let Some(meta) = slot.meta() else { return };
        let Some(gcra) = self.limit_of(meta) else { return };
        let pool = meta.owner_slot().and_then(|owner| self.slots.get(owner as usize)).and_then(Slot::key);
        let Some((limit, pool)) = self.standing_in(next, key, meta, pool) else { return };
        let owner = pool.and_then(|pool| next.claim_owner(pool));
        let meta = owner.map_or(Meta::owner(limit), |owner| Meta::owned(limit, owner));
        // Without a bucket under the next policy, there is nothing to remember.
        let Some(to) = next.limit_of(meta) else { return };
        let Ok(Some((index, written))) = next.claim(key) else { return };
        let Some(arrival) = next.slots.get(index) else { return };
        arrival.describe(meta);
        if written && let Some(owner) = owner.and_then(|owner| next.slots.get(owner as usize)) {
            owner.count_key(u32::MAX);
        }
        // First to the next table's count of time, then to its limit, at the instant where that count begins.
        let start = next.instant(next.epoch);
        let shift = next.epoch.since(self.epoch).get().saturating_mul(gcra.instant(Nanos::new(1)).0);
        let mut tat = Ticks(word.tat().0.saturating_sub(shift));
        if self.changes_policy(next) {
            tat = gcra.carried(tat, gcra.instant(start), to, to.instant(start));
        }
        arrival.bucket().arrive(word.moved(tat));
    }

    /// The limit of a key in the next table, and the pool that it counts against; `None` if it has no meaning there.
    fn standing_in(
        &self,
        next: &Self,
        key: Key,
        meta: Meta,
        pool: Option<Key>,
    ) -> Option<(u32, Option<Key>)> {
        if !self.changes_policy(next) {
            return Some((meta.limit(), pool));
        }
        if pool == Some(self.policy.pool(Subject::Anonymous)) {
            return Some((Policy::DEFAULT, pool));
        }
        if key == self.policy.overflow(Subject::Anonymous) {
            return Some((Policy::DEFAULT, None));
        }
        match next.policy.standing(Subject::Tenant, key) {
            Standing::Named(limit) => Some((limit, None)),
            Standing::Refused => None,
            Standing::Pooled(limit) if self.policy.named(key).is_some() => {
                Some((limit, Some(next.policy.pool(Subject::Tenant))))
            }
            // A tenant that was not named before either, or the bucket that such tenants share. What shares the bucket
            // of another limit is called otherwise there.
            Standing::Pooled(limit) => (meta.limit() == Policy::DEFAULT).then_some((limit, pool)),
        }
    }

    /// The slot of a key that owns others, written now if it was not there.
    pub(crate) fn claim_owner(&self, key: Key) -> Option<u32> {
        let (index, _) = self.claim(key).ok()??;
        self.slots.get(index)?.describe(Meta::owner(Policy::DEFAULT));
        u32::try_from(index).ok()
    }
}
