//! What a fleet agrees on, and where it is kept: one record, replaced whole by whoever holds the driver's lock; beside it a report of
//! each instance, amendments of tenants, images of policies, and an audit trail.
//!
//! Nothing here knows what records, reports, amendments and entries say: they are bytes. All of it lies in one slot of the first
//! backend ([`Control`]), or in the process where there is none ([`Twin`]); [`Store`] is either. Both do the same, and a property test
//! holds them together.
//!
//! Reading order:
//! 1. [`Snapshot`], [`Write`], [`Refused`]: what is read, what is asked for, and why it is not done.
//! 2. [`Trail`]: the audit trail, and how it shows that something is missing or was altered.
//! 3. [`Twin`]: all of it in plain Rust.
//! 4. [`Control`]: the same by scripts (`scripts/control/`), in the order in which a driver comes to it: `lock`, `images`, `record`,
//!    `confirmation`; then `reports`, `amendments`, `audit`, `hints`.

mod amendments;
mod audit;
mod confirmation;
mod hints;
mod images;
mod lock;
mod record;
mod refused;
mod reports;
mod scripts;
mod snapshot;
mod store;
mod trail;
mod twin;

use crate::{Connection, Failure};

pub use hints::{Hint, Hints};
pub use refused::Refused;
pub use snapshot::{Amendments, Confirmed, Fence, Glance, Lock, Snapshot, Write, Written};
pub use store::Store;
pub use trail::{Broken, Chain, Entry, Trail, chained, verify};
pub use twin::Twin;

/// What identifies an image: the SHA-256 of what is in it.
pub type ImageHash = [u8; 32];

/// The most bytes that an image may have.
pub const MOST_IMAGE: usize = 64 << 20;
/// The most amendments that there may be upon a revision.
pub const MOST_AMENDMENTS: u64 = 100_000;
/// About how many entries of the audit trail are kept, the newest.
pub const AUDIT_KEPT: usize = 100_000;

/// The control plane's store in a backend.
#[derive(Debug, Clone)]
pub struct Control {
    connection: Connection,
}

impl Control {
    /// By a connection, and in its namespace.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    fn key(&self, part: Part) -> String {
        self.connection.namespace().control(part.name())
    }

    fn keys<const COUNT: usize>(&self, parts: [Part; COUNT]) -> Vec<String> {
        parts.iter().map(|&part| self.key(part)).collect()
    }
}

/// What is kept under one key.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The record, and what goes with it.
    Record,
    Lock,
    Amendments,
    Reports,
    /// Who has one, by when each is taken for dead.
    Reporting,
    Audit,
    /// Which images are whole, and their sizes.
    Images,
    /// What is written to see whether replicas follow.
    Confirmation,
    /// The channel.
    Hints,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Lock => "lock",
            Self::Amendments => "amendments",
            Self::Reports => "reports",
            Self::Reporting => "reporting",
            Self::Audit => "audit",
            Self::Images => "images",
            Self::Confirmation => "confirmation",
            Self::Hints => "hints",
        }
    }
}

fn number(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Microseconds, at least one.
fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).clamp(1, LONGEST)
}

/// Ten years in microseconds: longer means nothing, and sums of instants stay exact in a script.
const LONGEST: u64 = 315_360_000_000_000;

pub(crate) fn unexpected(error: impl std::fmt::Display) -> Failure {
    Failure::Protocol(error.to_string())
}
