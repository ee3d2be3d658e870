//! A bucket: one atomic word.
//!
//! The word holds a TAT in the low 62 bits and two flags:
//!
//! | word                  | meaning                                                                        |
//! |-----------------------|--------------------------------------------------------------------------------|
//! | 0                     | never written: a full bucket                                                   |
//! | TAT (1 to 2^62 - 1)   | full at that tick                                                              |
//! | `BLOCKED` + TAT       | the same, and the engine's list of blocks has to be asked                      |
//! | `FROZEN` + any        | being copied to the next table: immutable but for becoming `MOVED`             |
//! | `MOVED` (all ones)    | its bucket, if it still has one, is in the next table                          |
//!
//! A word never goes back to 0, so "copy it there if nobody did" is one compare-and-swap from 0. All changes are
//! compare-and-swaps from a word that was not frozen, so none is lost to a move: it happened before the freeze and
//! was copied, or it fails and is retried in the next table.

use crate::Gcra;
use crate::gcra::{LARGEST_TAT, Ticks};
use crate::sync::{AtomicU64, Ordering};

const FROZEN: u64 = 1 << 63;
const BLOCKED: u64 = 1 << 62;
const MOVED: u64 = u64::MAX;

const _: () = assert!(LARGEST_TAT < BLOCKED - 1, "a TAT fits below the flags, and all ones is no TAT");

/// The word's value, read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    /// Never written.
    pub(crate) const FRESH: Self = Self(0);

    pub(crate) fn tat(self) -> Ticks {
        Ticks(self.0 & !(FROZEN | BLOCKED))
    }

    fn with_tat(self, tat: Ticks) -> Self {
        Self((self.0 & BLOCKED) | tat.0.max(1))
    }

    pub(crate) fn blocked(self) -> bool {
        self.0 & BLOCKED != 0
    }

    pub(crate) fn with_block(self, blocked: bool) -> Self {
        let tat = self.tat().0.max(1);
        Self(if blocked { tat | BLOCKED } else { tat })
    }

    /// This word, no longer frozen, with another TAT.
    pub(crate) fn moved(self, tat: Ticks) -> Self {
        Self(self.0 & !FROZEN).with_tat(tat)
    }
}

/// What a charge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charge {
    /// Admitted; the TAT after it.
    Admitted(Ticks),
    /// Refused; the TAT as it stands, and how long until it would be admitted, if ever.
    Refused(Ticks, Option<Ticks>),
    /// There may be a block: ask.
    Blocked,
    /// The bucket is on its way to the next table.
    Elsewhere,
}

/// What a freeze came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frozen {
    /// The word is to be copied to the next table.
    Carry(Word),
    /// There was nothing to copy, and it is `MOVED` by this call.
    Dropped,
    /// It was `MOVED` before.
    Gone,
}

/// A view of the word that knows how to change it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket<'a>(pub(crate) &'a AtomicU64);

impl Bucket<'_> {
    /// The word, or `None` if it is frozen or moved.
    #[inline]
    pub(crate) fn read(self) -> Option<Word> {
        // Acquire: pairs with the Release of whoever wrote the word; only the word itself is read by it.
        let word = self.0.load(Ordering::Acquire);
        (word & FROZEN == 0).then_some(Word(word))
    }

    /// Replaces `current`, or gives the word that stands there instead.
    #[inline]
    pub(crate) fn replace(self, current: Word, new: Word) -> Result<(), Option<Word>> {
        // AcqRel: the word is all there is to see, so this orders nothing but the words of this bucket.
        match self.0.compare_exchange_weak(current.0, new.0, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(found) => Err((found & FROZEN == 0).then_some(Word(found))),
        }
    }

    /// Admits `cost` at `now` and charges it, or refuses and charges nothing.
    #[inline]
    pub(crate) fn charge(self, gcra: &Gcra, now: Ticks, cost: u64) -> Charge {
        let mut current = self.read();
        loop {
            let Some(word) = current else { return Charge::Elsewhere };
            if word.blocked() {
                return Charge::Blocked;
            }
            match gcra.admit(word.tat(), now, cost) {
                Err(wait) => return Charge::Refused(word.tat(), wait),
                Ok(tat) => match self.replace(word, word.with_tat(tat)) {
                    Ok(()) => return Charge::Admitted(tat),
                    Err(found) => current = found,
                },
            }
        }
    }

    /// Sets the TAT to `change` of it, block or no block; `None` if the bucket is elsewhere.
    pub(crate) fn adjust(self, change: impl Fn(Ticks) -> Ticks) -> Option<Ticks> {
        let mut current = self.read();
        loop {
            let word = current?;
            let tat = change(word.tat());
            match self.replace(word, word.with_tat(tat)) {
                Ok(()) => return Some(tat),
                Err(found) => current = found,
            }
        }
    }

    /// Raises or lowers the flag that has the list of blocks asked; `None` if the bucket is elsewhere.
    pub(crate) fn flag(self, blocked: bool) -> Option<()> {
        let mut current = self.read();
        loop {
            let word = current?;
            match self.replace(word, word.with_block(blocked)) {
                Ok(()) => return Some(()),
                Err(found) => current = found,
            }
        }
    }

    /// First half of a move: nothing changes the word any more. `keep` says whether a word is worth copying.
    pub(crate) fn freeze(self, keep: impl Fn(Word) -> bool) -> Frozen {
        let mut current = self.0.load(Ordering::Acquire);
        loop {
            if current == MOVED {
                return Frozen::Gone;
            }
            if current & FROZEN != 0 {
                return Frozen::Carry(Word(current & !FROZEN));
            }
            let kept = current != 0 && keep(Word(current));
            let next = if kept { current | FROZEN } else { MOVED };
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) if kept => return Frozen::Carry(Word(current)),
                Ok(_) => return Frozen::Dropped,
                Err(found) => current = found,
            }
        }
    }

    /// The copy, into the next table: only the first of several helpers writes.
    pub(crate) fn arrive(self, word: Word) {
        // A failure means that another helper copied the same frozen word; it may have been charged since.
        let _ = self.0.compare_exchange(Word::FRESH.0, word.0, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Last half of a move; `true` for the first of several helpers. Release: who reads `MOVED` sees the copy in the
    /// next table.
    pub(crate) fn depart(self) -> bool {
        self.0.swap(MOVED, Ordering::AcqRel) != MOVED
    }
}
