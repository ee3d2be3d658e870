//! One namespace's buckets, shared by every thread of the process: the newest table, the caps, the blocks.

use std::io;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use thiserror::Error;

use crate::blocks::Blocks;
use crate::bucket::Charge;
use crate::capacity::{Capacity, filling_at, with_room_for};
use crate::lease::{Fleet, Settings};
use crate::policy::keyed::{Policy, Unshareable};
use crate::policy::{CompileError, Compiled, Draft};
use crate::slot::Kind;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::table::{SAMPLE, Table};
use crate::time::Epoch;
use crate::{Gate, Key, KeyHasher, Nanos, Subject};

/// A table that fills in less time than this was too small, even if most of its buckets are full again: those keys come
/// back, and a key that is known costs a third of one that was swept.
const SHORT_LIFE: Nanos = Nanos::from_secs(10);

/// A table of up to this many slots (1 MiB) is made by the decision that finds the one before filling.
const INLINE_SLOTS: usize = 1 << 15;

/// At the cap, how long after one look for buckets to sweep the next one follows.
const LOOK_AGAIN: Nanos = Nanos::from_secs(1);

/// Tables wait here for somebody to free them off the event loop; more than this are freed at once.
const MOST_RETIRED: usize = 4;

/// What is done about a table that is getting full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relief {
    /// It is not, or nothing can be done at the moment.
    NotNeeded,
    /// It has a next table now.
    Moving,
    /// [`Engine::upkeep`] is to make one.
    Upkeep,
}

/// Why a policy was not changed.
#[derive(Debug, Error)]
pub enum AmendError {
    /// What it was to be changed to does not compile.
    #[error(transparent)]
    Policy(#[from] CompileError),
    /// The fleet cannot share its buckets.
    #[error(transparent)]
    Unshareable(#[from] Unshareable),
    /// There is no room for the table that it would take.
    #[error("no memory for a table under the new policy: {0}")]
    Memory(#[from] io::Error),
}

/// What an engine holds at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Keys that have a bucket, those included that a sweep would drop.
    pub keys: usize,
    /// Places for keys in the newest table.
    pub slots: usize,
    /// Bytes that the tables take.
    pub bytes: usize,
    /// Decisions that were made by an overflow bucket.
    pub overflowed: u64,
    /// How many policies there have been: 1, and one more for each change.
    pub revision: u64,
}

/// One namespace's buckets.
#[derive(Debug)]
pub struct Engine {
    pub(crate) hasher: KeyHasher,
    pub(crate) blocks: Blocks,
    pub(crate) pool_unknown: Key,
    pub(crate) pool_anonymous: Key,
    capacity: Capacity,
    /// The wall clock when the monotonic one stood at zero, in nanoseconds.
    wall_at_zero: AtomicU64,
    /// Held while the policy is being changed; never to decide.
    changing: Mutex<()>,
    /// How many policies there have been.
    revision: AtomicU64,
    /// The oldest table that is not settled. A table is hung on it and on no other, so at most two hold buckets.
    root: ArcSwap<Table>,
    /// Settled tables that some thread may still hold.
    stale: Mutex<Vec<Weak<Table>>>,
    retired: Mutex<Vec<Arc<Table>>>,
    pub(crate) overflowed: AtomicU64,
    /// Where its buckets are shared.
    fleet: Option<Fleet>,
    /// At the largest size: before this nobody looks for buckets to sweep, in nanoseconds.
    next_look: AtomicU64,
    renewal_due: AtomicBool,
}

impl Engine {
    /// An engine that decides by a policy, whose buckets `hasher` names.
    ///
    /// # Errors
    /// The system has no room for its first table.
    pub fn new(hasher: KeyHasher, compiled: Compiled, capacity: Capacity, now: Epoch) -> io::Result<Self> {
        Self::under(Policy::new(compiled, hasher), None, hasher, capacity, now)
    }

    /// One of several that share their buckets.
    ///
    /// # Errors
    /// The policy cannot be shared, or the system has no room for a table.
    pub fn shared(
        hasher: KeyHasher,
        compiled: Compiled,
        capacity: Capacity,
        now: Epoch,
        settings: Settings,
    ) -> Result<Self, AmendError> {
        let policy = Policy::shared(compiled, hasher)?;
        Ok(Self::under(policy, Some(Fleet::new(settings)), hasher, capacity, now)?)
    }

    /// What it leases, where its buckets are shared.
    #[must_use]
    pub fn fleet(&self) -> Option<&Fleet> {
        self.fleet.as_ref()
    }

    fn under(
        policy: Policy,
        fleet: Option<Fleet>,
        hasher: KeyHasher,
        capacity: Capacity,
        now: Epoch,
    ) -> io::Result<Self> {
        let policy = Arc::new(policy);
        let slots = with_room_for(policy.image().tenants());
        Ok(Self {
            pool_unknown: hasher.pool(Subject::Tenant),
            pool_anonymous: hasher.pool(Subject::Anonymous),
            hasher,
            blocks: Blocks::default(),
            capacity,
            wall_at_zero: AtomicU64::new(now.wall.since(now.monotonic).get()),
            changing: Mutex::default(),
            revision: AtomicU64::new(1),
            root: ArcSwap::from_pointee(Table::new(slots, now, policy, 0)?),
            stale: Mutex::default(),
            retired: Mutex::default(),
            overflowed: AtomicU64::new(0),
            fleet,
            next_look: AtomicU64::new(0),
            renewal_due: AtomicBool::new(false),
        })
    }

    /// Sets the clock that windows are aligned to; tables that are made from now on count by it. One that is set back
    /// stands still there until the time has come again.
    pub fn set_wall_clock(&self, now: Epoch) {
        self.wall_at_zero.store(now.wall.since(now.monotonic).get(), Ordering::Relaxed);
    }

    /// Where a table begins to count that comes after another one.
    fn epoch_after(&self, table: &Table, now: Nanos) -> Epoch {
        // Time does not run backwards between tables, though it may seem to between threads.
        let monotonic = now.max(table.epoch.monotonic);
        let wall = Nanos::new(self.wall_at_zero.load(Ordering::Relaxed)) + monotonic;
        Epoch { monotonic, wall: wall.max(table.epoch.wall) }
    }

    /// A way in, for one thread.
    #[must_use]
    pub fn gate(self: &Arc<Self>) -> Gate {
        Gate::new(Arc::clone(self), self.newest_settled())
    }

    /// The policy that decides.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        let root = self.newest_settled();
        let newest = root.next().unwrap_or(root);
        Arc::clone(&newest.policy)
    }

    /// Changes the policy, for every decision that begins after this returns; one that is being made is made by the old
    /// one or by the new one. Buckets keep what was spent: a larger quota gives exactly the difference, a smaller one
    /// stops at empty, and under another window what is spent comes back at the new rate. Takes as long as
    /// [`Engine::upkeep`], and as long as copying the policy: for a background thread.
    ///
    /// # Errors
    /// What `change` refuses; then nothing has changed. Or the system has no room for a table.
    pub fn amend<E>(
        &self,
        change: impl FnOnce(&mut Draft) -> Result<(), E>,
        now: Nanos,
    ) -> Result<Result<(), E>, AmendError> {
        let _changing = self.changing.lock();
        let mut draft = Draft::of(&self.policy().compiled().image);
        if let Err(refused) = change(&mut draft) {
            return Ok(Err(refused));
        }
        self.switch(draft.compile()?, now)?;
        Ok(Ok(()))
    }

    /// As [`Engine::amend`], to a policy that was made from the start; `false` if it is the one in force.
    ///
    /// # Errors
    /// The system has no room for a table.
    pub fn replace(&self, compiled: Compiled, now: Nanos) -> Result<bool, AmendError> {
        let _changing = self.changing.lock();
        if compiled.image.hash() == self.policy().image().hash() {
            return Ok(false);
        }
        self.switch(compiled, now)?;
        Ok(true)
    }

    fn switch(&self, compiled: Compiled, now: Nanos) -> Result<(), AmendError> {
        let policy = Arc::new(self.policy().succeeded_by(compiled)?);
        loop {
            self.finish_moves(now);
            let root = self.newest_settled();
            let slots = root.slots.len().max(with_room_for(policy.image().tenants()));
            let epoch = self.epoch_after(&root, now);
            let next = Table::new(slots, epoch, Arc::clone(&policy), root.claimed())?;
            // Somebody else may have begun a move meanwhile; then this one comes after it.
            if Arc::ptr_eq(&self.root.load(), &root) && root.forward(Arc::new(next)) {
                break;
            }
        }
        self.finish_moves(now);
        self.revision.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How much it may remember.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// What it holds at the moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let table = self.newest_settled();
        let bytes = |table: &Table| table.slots.len() * size_of::<crate::slot::Slot>();
        let next = table.next();
        let newest = next.as_deref().unwrap_or(&table);
        Stats {
            keys: newest.load(),
            slots: newest.slots.len(),
            bytes: bytes(&table) + next.as_deref().map_or(0, bytes),
            overflowed: self.overflowed.load(Ordering::Relaxed),
            revision: self.revision.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn newest_settled(&self) -> Arc<Table> {
        self.root.load_full()
    }

    /// Starts a migration that is due, finishes one that is under way, and drops tables and blocks that nobody needs. Takes tens of
    /// milliseconds for a million keys, in which decisions go on: for a background thread.
    pub fn upkeep(&self, now: Nanos) {
        let root = self.newest_settled();
        let fills = is_filling(&root) && root.slots.len() < self.max_slots(&root);
        if self.renewal_due.swap(false, Ordering::AcqRel) || fills {
            self.renew(&root, now);
        }
        drop(root);
        self.finish_moves(now);
        let retired = std::mem::take(&mut *self.retired.lock());
        drop(retired);
        self.blocks.forget_past(now);
    }

    fn finish_moves(&self, now: Nanos) {
        loop {
            let table = self.newest_settled();
            let Some(next) = table.next() else { break };
            while !table.is_settled() {
                table.settle_group(&next, now);
            }
            self.promote(&table, now);
        }
    }

    fn max_slots(&self, table: &Table) -> usize {
        self.capacity.slots(table.policy.kept_keys())
    }

    /// Sweeps the table now, whether it is full or not: buckets that are full again are dropped.
    pub fn sweep(&self, now: Nanos) {
        let table = self.newest_settled();
        self.renew(&table, now);
    }

    /// Starts moving `table` to one that counts from now, and has room.
    pub(crate) fn renew(&self, table: &Arc<Table>, now: Nanos) -> bool {
        let size = table.slots.len();
        let crowded =
            || now.since(table.epoch.monotonic) < SHORT_LIFE || table.sample_live(now) >= SAMPLE / 2;
        let grows = is_filling(table) && size < self.max_slots(table) && crowded();
        self.migrate(table, if grows { size * 2 } else { size }, now)
    }

    /// Starts moving `table` to one of `slots` slots. `false` if it, or the one before it, is being moved already, or if
    /// the system has no room: then it fills, and new keys share the overflow bucket.
    fn migrate(&self, table: &Arc<Table>, slots: usize, now: Nanos) -> bool {
        // The root changes only once a table hangs on it, so what is the root here is the root when `forward` succeeds.
        if !Arc::ptr_eq(&self.root.load(), table) || table.next().is_some() {
            return false;
        }
        Table::new(slots, self.epoch_after(table, now), Arc::clone(&table.policy), table.claimed())
            .is_ok_and(|next| table.forward(Arc::new(next)))
    }

    /// Makes the table after a settled one the root.
    pub(crate) fn promote(&self, table: &Arc<Table>, now: Nanos) {
        let Some(next) = table.next().filter(|_| table.is_settled()) else { return };
        if !Arc::ptr_eq(&self.root.compare_and_swap(table, Arc::clone(&next)), table) {
            return;
        }
        // What was expected and never came has been dropped, or was counted twice.
        next.expected.store(0, Ordering::Relaxed);
        let mut stale = self.stale.lock();
        stale.retain(|old| {
            old.upgrade().is_some_and(|old| {
                old.shortcut(Arc::clone(&next));
                true
            })
        });
        stale.push(Arc::downgrade(table));
        drop(stale);
        self.retire(Arc::clone(table));
        let smaller = with_room_for(next.policy.image().tenants().max(2 * next.claimed()));
        if smaller <= next.slots.len() / 4 && now.since(table.epoch.monotonic) >= SHORT_LIFE {
            self.migrate(&next, smaller, now);
        }
    }

    /// Puts a table where it is freed off the event loop.
    pub(crate) fn retire(&self, table: Arc<Table>) {
        let mut retired = self.retired.lock();
        retired.push(table);
        if retired.len() > MOST_RETIRED {
            let _oldest = retired.remove(0);
        }
    }

    /// Sees to it that a table which is getting full has a next one.
    pub(crate) fn relieve(&self, table: &Arc<Table>, now: Nanos) -> Relief {
        if table.next().is_some() || !is_filling(table) {
            return Relief::NotNeeded;
        }
        let size = table.slots.len();
        if size >= self.max_slots(table) {
            self.relieve_at_cap(table, now)
        } else if size > INLINE_SLOTS && table.load() < size / 16 * 13 {
            Relief::Upkeep
        } else if self.renew(table, now) {
            Relief::Moving
        } else {
            Relief::NotNeeded
        }
    }

    /// Has [`Engine::upkeep`] move to a new table, as [`Engine::sweep`] does at once: making a large one takes
    /// milliseconds.
    pub fn ask_for_renewal(&self) {
        self.renewal_due.store(true, Ordering::Release);
    }

    /// A table that may not grow: looks for buckets to sweep, now and then.
    pub(crate) fn relieve_at_cap(&self, table: &Arc<Table>, now: Nanos) -> Relief {
        if table.next().is_some() || now.get() < self.next_look.load(Ordering::Relaxed) {
            return Relief::NotNeeded;
        }
        self.next_look.store((now + LOOK_AGAIN).get(), Ordering::Relaxed);
        if table.sample_live(now) >= SAMPLE / 16 * 15 {
            return Relief::NotNeeded;
        }
        self.ask_for_renewal();
        Relief::Upkeep
    }

    /// Writes a key that counts against its owner's share. `None`: there is no room for it.
    pub(crate) fn admit_owned(&self, table: &Table, owner: Key, key: Key, kind: Kind) -> Option<usize> {
        let most = self.capacity.max_keys as usize + table.policy.kept_keys();
        if table.load() >= most || table.load() >= table.slots.len() / 8 * 7 {
            return None;
        }
        let owner_slot = table.slots.get(table.claim_owner(owner)? as usize)?;
        if !owner_slot.count_key(self.capacity.share()) {
            return None;
        }
        let claimed = table.claim(key).ok().flatten();
        if claimed.is_none_or(|(_, written)| !written) {
            owner_slot.uncount_key();
        }
        let (index, _) = claimed?;
        table.slots.get(index)?.describe(table.meta(kind, Some(owner))?);
        Some(index)
    }

    /// Writes a key whether or not its owner has a share left: that of a tenant whom the policy names, an overflow bucket,
    /// or one that the service itself speaks of.
    pub(crate) fn admit_kept(table: &Table, key: Key, owner: Option<Key>, kind: Kind) -> Option<usize> {
        let meta = table.meta(kind, owner)?;
        let (index, _) = table.claim(key).ok()??;
        table.slots.get(index)?.describe(meta);
        Some(index)
    }

    /// How much longer `key` is blocked.
    pub(crate) fn block_left(&self, key: Key, now: Nanos) -> Option<Nanos> {
        self.blocks.remaining(key, now)
    }
}

fn is_filling(table: &Table) -> bool {
    table.load() >= filling_at(table.slots.len())
}

const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
    shared::<Charge>();
};
