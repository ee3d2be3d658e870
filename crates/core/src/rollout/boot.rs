//! What an instance does that starts with a policy of its own.

use super::{Reason, Record, Revision};
use crate::policy::ImageHash;

/// What an instance does that starts with a policy of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Boot {
    /// Its policy is in force.
    Active,
    /// Its policy has been replaced, or is being rolled out: it joins the others.
    Join(Revision),
    /// Its policy is new to the fleet: it joins the others and proposes it, once no other rollout is under way.
    Propose,
    /// Its policy was rolled back: it joins the others, and says why.
    JoinRefused {
        /// What is in force.
        active: Revision,
        /// Why its own is not.
        reason: Reason,
    },
}

/// What an instance does that starts with a policy of its own.
#[must_use]
pub fn boot(record: &Record, declared: ImageHash) -> Boot {
    let active = record.active;
    if active.hash == declared {
        return Boot::Active;
    }
    let is_candidate = record.rollout.as_ref().is_some_and(|rollout| rollout.candidate.hash == declared);
    if is_candidate {
        return Boot::Join(active);
    }
    if let Some(refusal) = record.refusal(declared) {
        return Boot::JoinRefused { active, reason: refusal.reason.clone() };
    }
    if record.earlier.iter().any(|revision| revision.hash == declared) {
        return Boot::Join(active);
    }
    Boot::Propose
}

#[cfg(test)]
mod tests;
