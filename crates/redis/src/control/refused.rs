//! Why a store does not do what it is asked.

use thiserror::Error;

use super::Fence;
use crate::Failure;

/// Why a store did not do what it was asked. Unless it [failed](Self::Failed), nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// Somebody else has taken the lock since, or the store has lost what it knew.
    #[error("the lock is somebody else's: its fencing token is {}", newest.0)]
    StaleFence {
        /// The newest token.
        newest: Fence,
    },
    /// The lock has ended, and nobody has taken it since.
    #[error("the lock has ended, and was not renewed in time")]
    Expired,
    /// The record was replaced since it was read.
    #[error("the record was replaced meanwhile: its version is {version}")]
    VersionChanged {
        /// The present one.
        version: u64,
    },
    /// The revision that was to be amended is not the active one.
    #[error("another revision is active: {revision}")]
    RevisionChanged {
        /// The present one.
        revision: u64,
    },
    /// There are as many amendments upon the revision as there may be: a rollout takes them in.
    #[error("the revision has been amended {most} times, which is the most")]
    Full {
        /// How many there may be.
        most: u64,
    },
    /// The image is larger than any may be.
    #[error("the image has {bytes} bytes, and may have {most}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What it may be.
        most: usize,
    },
    /// So many wrote to the audit trail at once that there was no getting in.
    #[error("too many write to the audit trail at once")]
    Contended,
    /// The backend failed. Whether it did it is not known, unless the failure says so.
    #[error(transparent)]
    Failed(#[from] Failure),
}
