//! A bucket: one atomic word.
//!
//! The word holds a state in the low 62 bits, which its [`Meter`] reads, and two flags:
//!
//! | word                  | meaning                                                                        |
//! |-----------------------|--------------------------------------------------------------------------------|
//! | 0                     | never written: a full bucket                                                   |
//! | state (1 to 2^62 - 1) | what the meter made of it                                                      |
//! | `BLOCKED` + state     | the same, and the engine's list of blocks has to be asked                      |
//! | `FROZEN` + any        | being copied to the next table: immutable but for becoming `MOVED`             |
//! | `MOVED` (all ones)    | its bucket, if it still has one, is in the next table                          |
//!
//! A word never goes back to 0, so "copy it there if nobody did" is one compare-and-swap from 0. All changes are
//! compare-and-swaps from a word that was not frozen, so none is lost to a move: it happened before the freeze and
//! was copied, or it fails and is retried in the next table.

use crate::Nanos;
use crate::gcra::LARGEST_TAT;
use crate::meter::Meter;
use crate::moment::Moment;
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

    /// What a meter reads; 0 for a bucket that was never written.
    #[inline]
    pub(crate) fn state(self) -> u64 {
        self.0 & !(FROZEN | BLOCKED)
    }

    #[inline]
    pub(crate) fn with_state(self, state: u64) -> Self {
        Self((self.0 & BLOCKED) | state.max(1))
    }

    pub(crate) fn blocked(self) -> bool {
        self.0 & BLOCKED != 0
    }

    pub(crate) fn with_block(self, blocked: bool) -> Self {
        let state = self.state().max(1);
        Self(if blocked { state | BLOCKED } else { state })
    }

    /// This word, no longer frozen, with another state.
    pub(crate) fn moved(self, state: u64) -> Self {
        Self(self.0 & !FROZEN).with_state(state)
    }
}

/// What a charge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charge {
    /// Admitted; the state after it.
    Admitted(u64),
    /// Refused; the state as it stands, and how long until it would be admitted, if ever.
    Refused(u64, Option<Nanos>),
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
    pub(crate) fn charge(self, meter: &Meter, now: Moment, cost: u64) -> Charge {
        // The quick way is a loop of its own for each of the two kinds, not one that asks which it is.
        match meter {
            Meter::TokenBucket(gcra) => self.charge_by(|state| gcra.admit_state(state, now, cost)),
            meter => self.charge_by(|state| meter.admit(state, now, cost)),
        }
    }

    #[inline]
    fn charge_by(self, admit: impl Fn(u64) -> Result<u64, Option<Nanos>>) -> Charge {
        let mut current = self.read();
        loop {
            let Some(word) = current else { return Charge::Elsewhere };
            if word.blocked() {
                return Charge::Blocked;
            }
            match admit(word.state()) {
                Err(wait) => return Charge::Refused(word.state(), wait),
                Ok(state) => match self.replace(word, word.with_state(state)) {
                    Ok(()) => return Charge::Admitted(state),
                    Err(found) => current = found,
                },
            }
        }
    }

    /// Sets the state to `change` of it, block or no block; `None` if the bucket is elsewhere.
    pub(crate) fn adjust(self, change: impl Fn(u64) -> u64) -> Option<u64> {
        let mut current = self.read();
        loop {
            let word = current?;
            let state = change(word.state());
            match self.replace(word, word.with_state(state)) {
                Ok(()) => return Some(state),
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
