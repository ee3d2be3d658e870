//! What a fleet calls its policies.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::policy::ImageHash;

/// A policy that a fleet enforces, or is to enforce. No number is given twice, though the same policy may come back under another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// Counted from 1.
    pub number: u64,
    /// Its image.
    pub hash: ImageHash,
}

impl fmt::Display for Revision {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "revision {}", self.number)
    }
}
