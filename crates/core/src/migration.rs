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
use crate::policy::keyed::{Policy, Standing};
use crate::slot::{Kind, Meta, Slot};
use crate::sync::Ordering;
use crate::table::{Search, Table};
use crate::{Key, Limit, Nanos, Subject};

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
        let judged = if self.changes_policy(next) { next.epoch.monotonic } else { now };
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
        let Some((kind, owner)) = self.standing_in(next, meta) else { return };
        let Some(meta_there) = next.meta(kind, owner) else { return };
        // Where nothing is admitted, there is nothing to remember.
        let to = match next.limit_of(meta_there) {
            Some(Limit::Metered(meter)) => Some(meter),
            // Of a name only the first bits are known here, and that is not enough to lift every limit: the next decision knows it
            // whole. A block is carried over all the same.
            Some(Limit::Unlimited) if matches!(meta.kind(), Kind::Unnamed { .. }) && !word.blocked() => {
                return;
            }
            Some(Limit::Unlimited) => None,
            Some(Limit::Nothing) | None => return,
        };
        let Ok(Some((index, written))) = next.claim(key) else { return };
        let Some(arrival) = next.slots.get(index) else { return };
        arrival.describe(meta_there);
        if written && let Some(owner) = owner.and_then(|owner| next.claim_owner(owner)) {
            next.count_key(owner);
        }
        // First to the next table's count of time, then to its limit, at the instant where that count begins.
        let state = match (self.meter_of(meta), to) {
            (Some(from), Some(to)) => {
                let state = from.rebased(word.state(), self.epoch, next.epoch);
                if self.changes_policy(next) {
                    from.carried(state, next.moment(next.epoch.monotonic), to)
                } else {
                    state
                }
            }
            // All that an unlimited tenant has is a block.
            _ => Word::FRESH.state(),
        };
        arrival.bucket().arrive(word.moved(state));
    }

    /// What the key of a slot is in the next table, and whose share it counts against; `None` if it means nothing there.
    fn standing_in(&self, next: &Self, meta: Meta) -> Option<(Kind, Option<Key>)> {
        let changes = self.changes_policy(next);
        let unknown = self.policy.pool(Subject::Tenant);
        let tenant = |standing| match standing {
            Standing::Named { entry, row } => Some((Kind::Named { entry, row }, None)),
            Standing::Unnamed { prefix } => Some((Kind::Unnamed { prefix }, Some(unknown))),
            Standing::Refused => None,
        };
        match meta.kind() {
            Kind::Owner => None,
            kind @ Kind::Named { .. } if !changes => Some((kind, None)),
            kind @ Kind::Unnamed { .. } if !changes => Some((kind, Some(unknown))),
            Kind::Named { row, .. } => {
                let (name, _) = self.policy.image().row(row)?;
                tenant(next.policy.standing_of_hash(name))
            }
            Kind::Unnamed { prefix } => tenant(next.policy.standing_of_prefix(prefix)),
            Kind::Owned { entry, owner } => {
                let owner = self.slots.get(owner as usize).and_then(Slot::key)?;
                Some((Kind::Owned { entry: self.entry_in(next, entry)?, owner: 0 }, Some(owner)))
            }
            Kind::Kept { entry } => Some((Kind::Kept { entry: self.entry_in(next, entry)? }, None)),
        }
    }

    /// The entry of a bucket that is no tenant's own: the default, or that of a rule. What shares the bucket of a tenant that
    /// is named is called otherwise under another policy.
    fn entry_in(&self, next: &Self, entry: u32) -> Option<u32> {
        if !self.changes_policy(next) || entry == Policy::DEFAULT {
            return Some(entry);
        }
        let (_, keyed) = self.policy.rule(self.policy.entry(entry)?.rule?)?;
        next.policy.rule_under(keyed.key).map(|(rule, _)| rule.entry)
    }

    /// What is known of a key; its owner is written now if it was not there. `None`: the table takes no more keys.
    pub(crate) fn meta(&self, kind: Kind, owner: Option<Key>) -> Option<Meta> {
        Some(Meta::new(match (kind, owner) {
            (Kind::Owned { entry, .. }, Some(owner)) => {
                Kind::Owned { entry, owner: self.claim_owner(owner)? }
            }
            (kind, _) => kind,
        }))
    }

    /// The slot of a key that owns others, written now if it was not there.
    pub(crate) fn claim_owner(&self, key: Key) -> Option<u32> {
        let (index, _) = self.claim(key).ok()??;
        self.slots.get(index)?.describe(Meta::new(Kind::Owner));
        u32::try_from(index).ok()
    }

    /// Counts a key that has come with its owner from the table before.
    fn count_key(&self, owner: u32) {
        if let Some(owner) = self.slots.get(owner as usize) {
            owner.count_key(u32::MAX);
        }
    }
}
