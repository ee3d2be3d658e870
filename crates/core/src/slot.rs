//! A place in the table: a key, the limit it has, and its bucket.
//!
//! A slot belongs to one key for the life of its table. That is what makes a compare-and-swap on the bucket safe
//! without tags or epochs: no word can come back as somebody else's.

#[cfg(not(loom))]
use bytemuck::Zeroable;

use crate::bucket::Bucket;
use crate::sync::{AtomicU64, Ordering};
use crate::{Key, Policy};

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

/// What is known of a slot's key: what it is, and by which entry of its table's policy its bucket is governed.
///
/// | kind      | bits 32 to 55 | bits 0 to 31                                     |
/// |-----------|---------------|--------------------------------------------------|
/// | `OWNER`   |               | how many keys it owns                            |
/// | `NAMED`   | entry         | the tenant's row in the policy                   |
/// | `UNNAMED` | the first 57 bits of the hash of the tenant's name, in bits 0 to 56 ||
/// | `OWNED`   | entry         | the index of its owner's slot                    |
/// | `KEPT`    | entry         |                                                  |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta(u64);

/// [`Meta`], told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of keys that count against its share; it has no bucket itself.
    Owner,
    /// A tenant that the policy names, in this row.
    Named { entry: u32, row: u32 },
    /// A tenant that it does not name: the first bits of its name's hash, to find it in a policy that does.
    Unnamed { prefix: u64 },
    /// A client's address, or a key of a rule, that counts against the owner in this slot.
    Owned { entry: u32, owner: u32 },
    /// A key that is always kept: an overflow bucket, or a rule's bucket of a tenant that the policy names.
    Kept { entry: u32 },
}

impl Meta {
    const SET: u64 = 1 << 63;
    const KIND: u32 = 60;
    const ENTRY: u64 = (1 << 24) - 1;
    /// The bits of a name's hash that fit.
    pub(crate) const PREFIX: u64 = (1 << 57) - 1;

    #[inline]
    pub(crate) fn new(kind: Kind) -> Self {
        let governed = |entry: u32| (u64::from(entry) & Self::ENTRY) << 32;
        let (kind, rest) = match kind {
            Kind::Owner => (0, 0),
            Kind::Named { entry, row } => (1, governed(entry) | u64::from(row)),
            Kind::Unnamed { prefix } => (2, prefix & Self::PREFIX),
            Kind::Owned { entry, owner } => (3, governed(entry) | u64::from(owner)),
            Kind::Kept { entry } => (4, governed(entry)),
        };
        Self(Self::SET | kind << Self::KIND | rest)
    }

    pub(crate) fn kind(self) -> Kind {
        let entry = (self.0 >> 32 & Self::ENTRY) as u32;
        match self.0 >> Self::KIND & 7 {
            0 => Kind::Owner,
            1 => Kind::Named { entry, row: self.low() },
            2 => Kind::Unnamed { prefix: self.0 & Self::PREFIX },
            3 => Kind::Owned { entry, owner: self.low() },
            _ => Kind::Kept { entry },
        }
    }

    /// The entry of the policy that governs the bucket.
    #[inline]
    pub(crate) fn entry(self) -> u32 {
        if self.0 >> Self::KIND & 7 == 2 { Policy::DEFAULT } else { (self.0 >> 32 & Self::ENTRY) as u32 }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    fn low(self) -> u32 {
        self.0 as u32
    }
}
