//! What the audit trail says of a rollout.

use serde::{Deserialize, Serialize};

use super::{ExecutionId, Finding, Micros, Reason, Revision};

/// One entry of the audit trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Of which rollout.
    pub execution_id: ExecutionId,
    /// When, by the store's clock.
    pub at: Micros,
    /// Who drove it, by fencing token.
    pub driver: u64,
    /// What has happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A rollout has begun.
    Proposed {
        /// To which revision.
        candidate: Revision,
        /// From which one.
        from: Revision,
        /// Who wanted it.
        by: String,
        /// In spite of an earlier rollback?
        forced: bool,
    },
    /// Instances of a step are to decide by the candidate.
    Switching {
        /// Counted from 0.
        step: usize,
        /// Which; empty for all.
        instances: Vec<u64>,
    },
    /// All are to decide by it from an instant on.
    Agreed {
        /// That instant.
        on: Micros,
    },
    /// They do, and live traffic is looked at.
    Validating {
        /// Counted from 0.
        step: usize,
    },
    /// Somebody takes too little traffic for enough.
    Confirmed {
        /// Who.
        by: String,
    },
    /// The candidate is to be the active revision.
    Promoting {
        /// What was found.
        findings: Vec<Finding>,
    },
    /// It is.
    Locked {
        /// Which.
        revision: Revision,
        /// Instances that live and do not say that they decide by it.
        behind: Vec<u64>,
    },
    /// A policy is active at once, because only whoever brought it lives.
    Adopted {
        /// Which.
        revision: Revision,
        /// By whom.
        by: String,
    },
    /// All are to go back.
    RollingBack {
        /// Why.
        reason: Reason,
    },
    /// They have.
    RolledBack {
        /// To which revision.
        to: Revision,
        /// Why.
        reason: Reason,
        /// Instances that live and do not say that they decide by it.
        behind: Vec<u64>,
    },
    /// Whoever drove it is gone, and another one goes on.
    TakenOver,
}
