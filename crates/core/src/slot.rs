//! A place in the table: a key, the limit it has, and its bucket.
//!
//! A slot belongs to one key for the life of its table. That is what makes a compare-and-swap on the bucket safe
//! without tags or epochs: no word can come back as somebody else's.

#[cfg(not(loom))]
use bytemuck::Zeroable;

use crate::Key;
use crate::bucket::Bucket;
use crate::sync::{AtomicU64, Ordering};

/// In `hi` or `lo`: no key will be written here any more. Nor is it half of any key.
const CLOSED: u64 = u64::MAX;

/// 32 bytes, two to a cache line.
#[cfg_attr(not(loom), derive(Zeroable))]
#[repr(C, align(32))]
#[derive(Debug)]
pub(crate) struct Slot {
    hi: AtomicU64,
    lo: AtomicU64,
    word: AtomicU64,
    meta: AtomicU64,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 32);

/// Does a slot hold a key?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    This,
    Other,
    Nothing,
    Closed,
}

impl Slot {
    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self { hi: zero(), lo: zero(), word: zero(), meta: zero() }
    }

    pub(crate) fn bucket(&self) -> Bucket<'_> {
        Bucket(&self.word)
    }

    #[inline]
    pub(crate) fn holds(&self, key: Key) -> Holds {
        let hi = self.hi.load(Ordering::Acquire);
        if hi == key.hi {
            match self.lo.load(Ordering::Acquire) {
                lo if lo == key.lo => Holds::This,
                // Half written: by someone with this key, or with another that shares half of it.
                0 => Holds::Nothing,
                CLOSED => Holds::Closed,
                _ => Holds::Other,
            }
        } else if hi == 0 {
            Holds::Nothing
        } else if hi == CLOSED {
            Holds::Closed
        } else {
            Holds::Other
        }
    }

    /// Writes `key` here if nothing stands here. `Ok(true)`: it stands here now and this call put it there.
    /// `Ok(false)`: it stands here, put by another. `Err`: something else stands here.
    ///
    /// Both halves go from 0 to their value once. Who finds `hi` written and `lo` not may write `lo`, so nobody waits
    /// for a writer that was suspended between the two.
    pub(crate) fn claim(&self, key: Key) -> Result<bool, Holds> {
        if let Err(found) = self.hi.compare_exchange(0, key.hi, Ordering::AcqRel, Ordering::Acquire)
            && found != key.hi
        {
            return Err(if found == CLOSED { Holds::Closed } else { Holds::Other });
        }
        match self.lo.compare_exchange(0, key.lo, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(true),
            Err(found) if found == key.lo => Ok(false),
            Err(CLOSED) => Err(Holds::Closed),
            Err(_) => Err(Holds::Other),
        }
    }

    /// Makes sure that no key is written here any more; gives the key that was first, if one was.
    pub(crate) fn close(&self) -> Option<Key> {
        let hi = match self.hi.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(CLOSED) => return None,
            Err(hi) => hi,
        };
        match self.lo.compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(CLOSED) => None,
            Err(lo) => Some(Key { hi, lo }),
        }
    }

    /// The key here, if one is wholly written.
    pub(crate) fn key(&self) -> Option<Key> {
        let (hi, lo) = (self.hi.load(Ordering::Acquire), self.lo.load(Ordering::Acquire));
        (hi != 0 && hi != CLOSED && lo != 0 && lo != CLOSED).then_some(Key { hi, lo })
    }

    #[inline]
    pub(crate) fn meta(&self) -> Option<Meta> {
        let meta = self.meta.load(Ordering::Acquire);
        (meta & Meta::SET != 0).then_some(Meta(meta))
    }

    /// Sets what is known of the key; the first to say so is right, and all say the same.
    pub(crate) fn describe(&self, meta: Meta) -> Meta {
        match self.meta.compare_exchange(0, meta.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => meta,
            Err(found) => Meta(found),
        }
    }

    /// Counts one more key of this owner, unless it has `most` already.
    pub(crate) fn count_key(&self, most: u32) -> bool {
        self.meta
            .try_update(Ordering::AcqRel, Ordering::Acquire, |meta| {
                (Meta(meta).low() < most).then_some(meta + 1)
            })
            .is_ok()
    }

    /// Takes a [`Slot::count_key`] back.
    pub(crate) fn uncount_key(&self) {
        self.meta.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is known of a slot's key. High half: flags and the index of its limit. Low half: for an owner, how many keys
/// it has; for any other key, the index of its owner's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta(u64);

impl Meta {
    const SET: u64 = 1 << 63;
    const OWNER: u64 = 1 << 62;
    const LIMIT: u64 = (1 << 24) - 1;

    /// Of a key that owns others, or nothing but itself.
    pub(crate) fn owner(limit: u32) -> Self {
        Self(Self::SET | Self::OWNER | (u64::from(limit) & Self::LIMIT) << 32)
    }

    /// Of a key that counts against the share of the owner in slot `owner`.
    pub(crate) fn owned(limit: u32, owner: u32) -> Self {
        Self(Self::SET | (u64::from(limit) & Self::LIMIT) << 32 | u64::from(owner))
    }

    #[inline]
    pub(crate) fn limit(self) -> u32 {
        (self.0 >> 32 & Self::LIMIT) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    fn low(self) -> u32 {
        self.0 as u32
    }

    /// The index of the owner's slot, for a key that has one.
    pub(crate) fn owner_slot(self) -> Option<u32> {
        (self.0 & Self::OWNER == 0).then(|| self.low())
    }
}
