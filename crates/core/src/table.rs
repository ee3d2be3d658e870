//! Where buckets live: open addressing over slots of atomics, linear probing, no deletion.
//!
//! A table never shrinks or grows. When it fills, a *next* table is hung on it, and slots are settled there one by
//! one ([`crate::migration`]), leaving out the buckets that have become full again: growing, sweeping and, with
//! another policy in the next table, changing limits are one mechanism. Nobody waits for it: a decision settles the
//! key that it needs and goes on in the next table.
//!
//! Memory is `32 bytes x slots`, taken from the system as zero pages, so a large table costs what of it is touched.

use std::io;
use std::sync::Arc;

use crate::bucket::Word;
use crate::gcra::LATEST;
use crate::meter::Meter;
use crate::moment::Moment;
use crate::progress::Progress;
use crate::slot::{Holds, Kind, Meta, Slot};
use crate::sync::{AtomicBool, AtomicUsize, Link, Ordering};
use crate::time::Epoch;
use crate::views::Views;
use crate::{Decision, Key, Limit, Nanos, Policy};

/// How many buckets are looked at to guess how many of all are live.
pub(crate) const SAMPLE: usize = 256;

/// A table older than this (13 days) is replaced by one whose epoch is now, so that ticks always fit.
pub(crate) const REBASE_AFTER: Nanos = Nanos::new(1 << 50);

/// Where a search for a key ended.
#[derive(Debug)]
pub(crate) enum Search {
    /// In its slot, at this index.
    Found(usize),
    /// Not here, and it would be written at this index.
    Vacant(usize),
    /// Not here, nor will it be: look in the next table.
    Closed,
}

/// The table can take no more keys.
#[derive(Debug)]
pub(crate) struct Full;

#[cfg(not(loom))]
type Slots = tollgate_pages::Zeroed<Slot>;
#[cfg(loom)]
type Slots = Box<[Slot]>;

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) slots: Slots,
    /// Instants in this table count from here.
    pub(crate) epoch: Epoch,
    pub(crate) policy: Arc<Policy>,
    /// Of shared buckets.
    pub(crate) views: Option<Views>,
    claimed: AtomicUsize,
    /// Keys that may still arrive from the table before.
    pub(crate) expected: AtomicUsize,
    forwarded: AtomicBool,
    next: Link<Table>,
    pub(crate) progress: Progress,
}

impl Table {
    /// `slots` is rounded up to a power of two.
    ///
    /// # Errors
    /// The system has no room for them.
    pub(crate) fn new(slots: usize, epoch: Epoch, policy: Arc<Policy>, expected: usize) -> io::Result<Self> {
        let slots = slots.next_power_of_two();
        #[cfg(not(loom))]
        let slots = Slots::new(slots)?;
        #[cfg(loom)]
        let slots: Slots = (0..slots).map(|_| Slot::new()).collect();
        let views = policy.is_shared().then(|| Views::new(slots.len())).transpose()?;
        Ok(Self {
            views,
            progress: Progress::new(slots.len()),
            slots,
            epoch,
            policy,
            claimed: AtomicUsize::new(0),
            expected: AtomicUsize::new(expected),
            forwarded: AtomicBool::new(false),
            next: Link::empty(),
        })
    }

    /// Has anybody noticed that there is a next table? The cheap question, for who can do without the answer: a bucket
    /// that is still here may be charged here.
    #[inline]
    pub(crate) fn known_to_be_forwarded(&self) -> bool {
        self.forwarded.load(Ordering::Relaxed)
    }

    pub(crate) fn next(&self) -> Option<Arc<Self>> {
        let next = self.next.get();
        // Whoever hung it there may be suspended before saying so.
        if next.is_some() && !self.known_to_be_forwarded() {
            self.forwarded.store(true, Ordering::Relaxed);
        }
        next
    }

    /// Hangs the next table on this one, unless one hangs there: `true` if it was this call's.
    pub(crate) fn forward(&self, next: Arc<Self>) -> bool {
        let hung = self.next.hang(next);
        self.forwarded.store(true, Ordering::Relaxed);
        hung
    }

    /// Hangs the newest table on one that is settled, so that who still holds an old one comes straight there, and
    /// holds nothing in between.
    pub(crate) fn shortcut(&self, newest: Arc<Self>) {
        self.next.replace(newest);
    }

    /// Has every slot been settled in the next table?
    pub(crate) fn is_settled(&self) -> bool {
        self.progress.is_complete()
    }

    /// Keys written here.
    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Relaxed)
    }

    /// Keys written here or still to come from the table before.
    pub(crate) fn load(&self) -> usize {
        self.claimed() + self.expected.load(Ordering::Relaxed)
    }

    /// Time in this table's count.
    #[inline]
    pub(crate) fn moment(&self, now: Nanos) -> Moment {
        Moment::new(now, self.epoch)
    }

    /// Is the table so old that its time will soon not fit?
    #[inline]
    pub(crate) fn is_due_for_renewal(&self, now: Nanos) -> bool {
        now.since(self.epoch.monotonic) > REBASE_AFTER
    }

    /// Is it so old that all later instants are one to it?
    pub(crate) fn is_out_of_time(&self, now: Nanos) -> bool {
        now.since(self.epoch.monotonic) >= LATEST
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked to the table's size")]
    fn home(&self, key: Key) -> usize {
        key.hi as usize & (self.slots.len() - 1)
    }

    /// The slot at `index`, which wraps around.
    #[inline]
    fn at(&self, index: usize) -> (usize, Option<&Slot>) {
        let index = index & (self.slots.len() - 1);
        (index, self.slots.get(index))
    }

    #[inline]
    pub(crate) fn search(&self, key: Key) -> Search {
        let home = self.home(key);
        for step in 0..self.slots.len() {
            let (index, Some(slot)) = self.at(home + step) else { break };
            match slot.holds(key) {
                Holds::This => return Search::Found(index),
                Holds::Nothing => return Search::Vacant(index),
                Holds::Closed => return Search::Closed,
                Holds::Other => {}
            }
        }
        Search::Closed
    }

    /// The slot of a key that is here.
    #[inline]
    pub(crate) fn find(&self, key: Key) -> Option<&Slot> {
        match self.search(key) {
            Search::Found(index) => self.slots.get(index),
            Search::Vacant(_) | Search::Closed => None,
        }
    }

    /// The slot of a key, written now if it was not there. `true`: by this call. `Ok(None)`: look in the next table.
    pub(crate) fn claim(&self, key: Key) -> Result<Option<(usize, bool)>, Full> {
        let home = self.home(key);
        for step in 0..self.slots.len() {
            let (index, Some(slot)) = self.at(home + step) else { break };
            match slot.holds(key) {
                Holds::This => return Ok(Some((index, false))),
                Holds::Closed => return Ok(None),
                Holds::Other => {}
                Holds::Nothing => match slot.claim(key) {
                    Ok(written) => {
                        if written {
                            self.claimed.fetch_add(1, Ordering::Relaxed);
                        }
                        return Ok(Some((index, written)));
                    }
                    Err(Holds::Closed) => return Ok(None),
                    Err(_) => {}
                },
            }
        }
        Err(Full)
    }

    /// The limit of a slot's key; `None` for a key that has none, as an owner.
    #[inline]
    pub(crate) fn limit_of(&self, meta: Meta) -> Option<&Limit> {
        self.policy.entry(meta.entry()).map(|entry| &entry.limit)
    }

    /// A decision on the bucket in a slot, with what is known of what the fleet shares.
    #[inline]
    pub(crate) fn told(
        &self,
        slot: &Slot,
        meter: Option<&Meter>,
        decision: Decision,
        now: Moment,
    ) -> Decision {
        match (meter.and_then(Meter::shared), &self.views) {
            (Some(limit), Some(views)) => {
                // Its index, by where it lies.
                let offset = std::ptr::from_ref(slot).addr() - self.slots.as_ptr().addr();
                views.told(offset / size_of::<Slot>(), limit, decision, now)
            }
            _ => decision,
        }
    }

    /// What the limit of a slot's key counts by, if it is one that counts.
    #[inline]
    pub(crate) fn meter_of(&self, meta: Meta) -> Option<&Meter> {
        self.limit_of(meta).and_then(Limit::meter)
    }

    /// Would dropping this bucket change any decision? A full one is as good as none.
    pub(crate) fn is_live(&self, slot: &Slot, word: Word, now: Nanos) -> bool {
        let Some(meta) = slot.meta().filter(|meta| meta.kind() != Kind::Owner) else { return false };
        let counts =
            || self.meter_of(meta).is_some_and(|meter| meter.is_live(word.state(), self.moment(now)));
        word.blocked() || counts()
    }

    /// How many of [`SAMPLE`] claimed slots, from an arbitrary place on, hold live buckets.
    pub(crate) fn sample_live(&self, now: Nanos) -> usize {
        let from = (now.get().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16) as usize;
        let (mut seen, mut live) = (0, 0);
        for step in 0..self.slots.len().min(4 * SAMPLE) {
            let (_, Some(slot)) = self.at(from + step) else { break };
            if slot.key().is_none() {
                continue;
            }
            seen += 1;
            live += usize::from(slot.bucket().read().is_some_and(|word| self.is_live(slot, word, now)));
            if seen == SAMPLE {
                break;
            }
        }
        (live * SAMPLE).checked_div(seen).unwrap_or(0)
    }
}
