//! How far the move of a table has come: which groups of slots have been settled.
//!
//! Helpers take groups in order. Once all are taken, those that are not complete are taken again: their first helper may
//! have been suspended, and settling twice does no harm. So a move ends however long a thread sleeps.

use std::ops::Range;

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Slots to a group: what one decision settles that has to look past the first table. A next table has room for the
/// keys that as many decisions as there are groups write meanwhile.
#[cfg(not(loom))]
const GROUP: usize = 16;
#[cfg(loom)]
const GROUP: usize = 1;

/// Some slots, to be settled by who took them.
#[derive(Debug)]
pub(crate) struct Group(usize);

impl Group {
    pub(crate) fn slots(&self) -> Range<usize> {
        self.0 * GROUP..(self.0 + 1) * GROUP
    }
}

/// How many words of bits one call looks through: a microsecond's worth.
const WORDS_PER_CALL: usize = 1024;

#[derive(Debug)]
pub(crate) struct Progress {
    groups: usize,
    /// The next group that nobody has taken.
    cursor: AtomicUsize,
    /// A bit for each group that is complete. They are set and never cleared.
    bits: Box<[AtomicU64]>,
    /// How many of the words at the front have been seen with all their bits. Anybody may raise it.
    full_words: AtomicUsize,
}

impl Progress {
    pub(crate) fn new(slots: usize) -> Self {
        let groups = slots.div_ceil(GROUP);
        Self {
            groups,
            cursor: AtomicUsize::new(0),
            bits: (0..groups.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            full_words: AtomicUsize::new(0),
        }
    }

    /// A group to settle; `None` if this call came upon none.
    pub(crate) fn take(&self) -> Option<Group> {
        if self.cursor.load(Ordering::Relaxed) < self.groups {
            let group = self.cursor.fetch_add(1, Ordering::Relaxed);
            if group < self.groups {
                return Some(Group(group));
            }
        }
        self.first_incomplete()
    }

    /// Every slot of the group has been settled.
    pub(crate) fn complete(&self, group: &Group) {
        if let Some(bits) = self.bits.get(group.0 / 64) {
            // Release, with the Acquire of whoever reads the bits: who sees the group complete sees its slots settled.
            bits.fetch_or(1 << (group.0 % 64), Ordering::AcqRel);
        }
        if self.cursor.load(Ordering::Relaxed) >= self.groups {
            self.first_incomplete();
        }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.full_words.load(Ordering::Acquire) == self.bits.len()
    }

    fn first_incomplete(&self) -> Option<Group> {
        for _ in 0..WORDS_PER_CALL {
            let word = self.full_words.load(Ordering::Acquire);
            let missing = !self.bits.get(word)?.load(Ordering::Acquire) & self.mask(word);
            if missing != 0 {
                return Some(Group(word * 64 + missing.trailing_zeros() as usize));
            }
            // AcqRel: who sees the count sees what whoever counted saw.
            self.full_words.fetch_max(word + 1, Ordering::AcqRel);
        }
        None
    }

    /// The bits that stand for groups.
    fn mask(&self, word: usize) -> u64 {
        match self.groups - word * 64 {
            0..64 => (1 << (self.groups % 64)) - 1,
            _ => u64::MAX,
        }
    }
}
