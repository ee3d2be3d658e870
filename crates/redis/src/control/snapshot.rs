//! What is read from a store, and what is written to it.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

/// A fencing token: whoever takes the lock has a higher one than everybody before (Kleppmann, *How to do distributed locking*, 2016).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fence(pub u64);

/// Who drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// The instance that holds it.
    pub holder: u64,
    /// Its token.
    pub fence: Fence,
    /// How long that lasts, unless it is renewed.
    pub expires_in: Duration,
}

/// All that a fleet has agreed on, at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The store's clock: microseconds since the Unix epoch.
    pub now_micros: u64,
    /// How often the record has been replaced; 0 where there is none.
    pub version: u64,
    /// The revision that the record says is active, and that amendments are upon.
    pub revision: u64,
    /// The record.
    pub record: Option<Vec<u8>>,
    /// How many amendments there are upon the revision.
    pub amended: u64,
    /// Who drives, if somebody does.
    pub lock: Option<Lock>,
    /// Of each instance that lives, by its number.
    pub reports: Vec<(u64, Vec<u8>)>,
}

/// What an instance that reports is told: enough to know whether there is something to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// The store's clock: microseconds since the Unix epoch.
    pub now_micros: u64,
    /// As in [`Snapshot`].
    pub version: u64,
    /// As in [`Snapshot`].
    pub revision: u64,
    /// As in [`Snapshot`].
    pub amended: u64,
}

/// A record that is to take the place of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The writer's token.
    pub fence: Fence,
    /// The version that it has seen.
    pub version: u64,
    /// The revision that the record says is active. Amendments upon another one are dropped.
    pub revision: u64,
    /// The record.
    pub record: Vec<u8>,
    /// What the audit trail is to say of it.
    pub audit: Vec<Vec<u8>>,
}

impl Write {
    /// What tells a repeat from another write.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.revision.to_le_bytes());
        for part in std::iter::once(&self.record).chain(&self.audit) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// A record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Its version.
    pub version: u64,
    /// Who wrote it.
    pub fence: Fence,
}

/// What was written is still there, and so many replicas have it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmed {
    /// May be fewer than were asked for: then time ran out.
    pub replicas: u32,
}

/// Amendments, in the order in which they were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendments {
    /// The revision that they are upon.
    pub revision: u64,
    /// How many there are upon it.
    pub amended: u64,
    /// Those that were asked for, each with its number.
    pub entries: Vec<(u64, Vec<u8>)>,
}
