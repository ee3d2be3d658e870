//! The audit trail: numbered entries, each chained to the one before, so that whoever removes, alters or moves one leaves a trace.
//!
//! It does not keep out who can write the whole trail anew: they can chain it, too. The last chain, kept elsewhere, shows that.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// What an entry adds to all before it.
pub type Chain = [u8; 32];

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From 1.
    pub number: u64,
    /// When, by the store's clock, which never goes back here: microseconds since the Unix epoch.
    pub at: u64,
    /// What was to be told.
    pub bytes: Vec<u8>,
    /// The chain of the entry before; zeros before the first.
    pub before: Chain,
    /// See [`chained`].
    pub chain: Chain,
}

impl Entry {
    pub(crate) fn after(number: u64, before: Chain, at: u64, bytes: &[u8]) -> Self {
        let number = number + 1;
        Self { number, at, bytes: bytes.to_vec(), before, chain: chained(&before, number, at, bytes) }
    }
}

/// SHA-256 of the chain before, the entry's number and time (64 bits each, little-endian), and its bytes.
#[must_use]
pub fn chained(before: &Chain, number: u64, at: u64, bytes: &[u8]) -> Chain {
    let hash = Sha256::new().chain_update(before).chain_update(number.to_le_bytes());
    hash.chain_update(at.to_le_bytes()).chain_update(bytes).finalize().into()
}

/// Entries in a row, the oldest first, and where the whole trail ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    /// The entries that were asked for.
    pub entries: Vec<Entry>,
    /// The number of the trail's last entry; 0 where there is none.
    pub last: u64,
    /// Its chain.
    pub chain: Chain,
    /// Are these the last ones?
    pub is_end: bool,
}

/// How a trail is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Broken {
    /// An entry is not what was chained.
    #[error("entry {number} was altered")]
    Edited {
        /// Which.
        number: u64,
    },
    /// Entries are missing between two.
    #[error("entries are missing between {after} and {before}")]
    Gap {
        /// The last one before the gap.
        after: u64,
        /// The first one after it.
        before: u64,
    },
    /// An entry comes after one that it should come before.
    #[error("entry {number} is out of order")]
    Reordered {
        /// Which.
        number: u64,
    },
    /// An entry goes on from another one than that before it.
    #[error("entry {number} does not go on from the one before it")]
    Forked {
        /// Which.
        number: u64,
    },
    /// The last entries are missing.
    #[error("entries are missing after {after}: the last one is {last}")]
    Cut {
        /// The last one that is there, or 0.
        after: u64,
        /// The last one that was written.
        last: u64,
    },
}

impl Trail {
    /// Are the entries as they were written, and, where they are the last ones, is none missing after them? That those before
    /// them are gone is no fault: only so many are kept.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(&self) -> Result<(), Broken> {
        verify(&self.entries)?;
        let (number, chain) = self.entries.last().map_or((0, [0; 32]), |entry| (entry.number, entry.chain));
        match self.is_end {
            true if number < self.last => Err(Broken::Cut { after: number, last: self.last }),
            true if (number, chain) != (self.last, self.chain) => Err(Broken::Forked { number }),
            _ => Ok(()),
        }
    }
}

/// Are entries as they were written, with none missing between them? The oldest comes first.
///
/// # Errors
/// The first fault.
pub fn verify(entries: &[Entry]) -> Result<(), Broken> {
    let mut last: Option<&Entry> = None;
    for entry in entries {
        let Entry { number, at, ref bytes, before, chain } = *entry;
        if chain != chained(&before, number, at, bytes) {
            return Err(Broken::Edited { number });
        }
        if let Some(last) = last {
            if number <= last.number {
                return Err(Broken::Reordered { number });
            }
            if number > last.number + 1 {
                return Err(Broken::Gap { after: last.number, before: number });
            }
            if before != last.chain {
                return Err(Broken::Forked { number });
            }
        } else if number == 1 && before != [0; 32] {
            return Err(Broken::Forked { number });
        }
        last = Some(entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
