//! All that a fleet has agreed on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{ExecutionId, Micros, Phase, Reason, Revision, Settings, Strategy};
use crate::policy::ImageHash;

/// The only version of the format there has been.
pub const FORMAT: u32 = 1;
/// So many revisions that were active are remembered, the newest.
pub const MOST_EARLIER: usize = 64;
/// So many hashes that were rolled back are remembered, the newest.
pub const MOST_REFUSED: usize = 64;

/// All that a fleet has agreed on. It is replaced whole, by whoever holds the driver's lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the format.
    pub format: u32,
    /// Higher than that of every record before it, also where a store has lost those: the store's time when it was made, unless
    /// that went back. Instances follow no record with a lower one than they have followed.
    pub edition: u64,
    /// What the fleet enforces outside a rollout.
    pub active: Revision,
    /// The highest number that a revision was given, be it one that never became active.
    pub numbered: u64,
    /// What was active earlier, the newest last; no policy is in it twice.
    pub earlier: Vec<Revision>,
    /// What was rolled back, the newest last.
    pub refused: Vec<Refusal>,
    /// The rollout that is under way.
    pub rollout: Option<Rollout>,
    /// What the last rollout is called, be it over or not.
    pub last_execution: Option<ExecutionId>,
}

/// A policy that was rolled back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Its image.
    pub hash: ImageHash,
    /// Why.
    pub reason: Reason,
}

/// Taking a fleet from one revision to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// What it is called.
    pub execution_id: ExecutionId,
    /// To which revision.
    pub candidate: Revision,
    /// From which one.
    pub from: Revision,
    /// How.
    pub strategy: Strategy,
    /// How far it has come.
    pub phase: Phase,
    /// Which instances decide by the candidate, while a step does not take in all.
    pub members: BTreeSet<u64>,
    /// How long it waits for what.
    pub settings: Settings,
    /// Is it judged by live traffic? A return to an earlier revision is not: somebody has decided.
    pub validates: bool,
    /// Who wanted it.
    pub proposer: String,
    /// Was it wanted in spite of an earlier rollback?
    pub forced: bool,
    /// Who takes too little traffic for enough.
    pub confirmed: Option<String>,
    /// The fencing token of whoever drives it.
    pub driver: u64,
}

/// Why bytes are no record.
#[derive(Debug, Error)]
pub enum RecordError {
    /// A later Tollgate wrote it.
    #[error(
        "the fleet's record is of format {found}; this version of Tollgate reads {FORMAT}: update this instance"
    )]
    Format {
        /// The version that it says it is of.
        found: u32,
    },
    /// It is not what this version writes.
    #[error("the fleet's record is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Record {
    /// That of a fleet that has none, whose only policy is active at once.
    ///
    /// A store may have lost the record of a fleet that lives. So whoever founds one reports, waits until all others have had the
    /// time to report, too, and hands in what they say: what is enforced already stays in force.
    #[must_use]
    pub fn found<'a>(
        declared: ImageHash,
        enforced: impl IntoIterator<Item = &'a Revision>,
        now: Micros,
    ) -> Self {
        let active = enforced.into_iter().max().copied();
        let active = active.unwrap_or(Revision { number: 1, hash: declared });
        Self {
            format: FORMAT,
            edition: now.get().max(1),
            active,
            numbered: active.number,
            earlier: Vec::new(),
            refused: Vec::new(),
            rollout: None,
            last_execution: None,
        }
    }

    /// As a store holds it.
    ///
    /// # Errors
    /// Where a number in it is none that JSON has.
    pub fn bytes(&self) -> Result<Vec<u8>, RecordError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// From what a store holds.
    ///
    /// # Errors
    /// Where it is of a later format, or malformed.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format: found } = serde_json::from_slice(bytes)?;
        if found != FORMAT {
            return Err(RecordError::Format { found });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// A later edition of it, to be altered.
    pub(crate) fn next(&self, now: Micros) -> Self {
        Self { edition: now.get().max(self.edition + 1), ..self.clone() }
    }

    /// Was this policy rolled back?
    #[must_use]
    pub fn refusal(&self, hash: ImageHash) -> Option<&Refusal> {
        self.refused.iter().find(|refusal| refusal.hash == hash)
    }

    /// A policy is active without a rollout.
    pub(crate) fn adopt(&mut self, hash: ImageHash, execution_id: ExecutionId) -> Revision {
        self.numbered += 1;
        self.last_execution = Some(execution_id);
        self.activate(Revision { number: self.numbered, hash });
        self.active
    }

    fn activate(&mut self, revision: Revision) {
        let from = std::mem::replace(&mut self.active, revision);
        self.earlier.retain(|earlier| earlier.hash != revision.hash && earlier.hash != from.hash);
        self.earlier.push(from);
        keep_newest(&mut self.earlier, MOST_EARLIER);
        self.refused.retain(|refusal| refusal.hash != revision.hash);
    }

    /// The rollout's end: the candidate is active.
    pub(crate) fn lock(&mut self) {
        let Some(rollout) = self.rollout.take() else { return };
        let from = rollout.from;
        self.activate(rollout.candidate);
        if !rollout.validates {
            self.refuse(Refusal { hash: from.hash, reason: Reason::Cancelled { by: rollout.proposer } });
        }
    }

    /// The rollout's end: nothing has changed. What was active earlier is as good as it was then, though the way back there has failed.
    pub(crate) fn give_up(&mut self, reason: Reason) {
        let Some(rollout) = self.rollout.take() else { return };
        if rollout.validates {
            self.refuse(Refusal { hash: rollout.candidate.hash, reason });
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refused.retain(|other| other.hash != refusal.hash);
        self.refused.push(refusal);
        keep_newest(&mut self.refused, MOST_REFUSED);
    }
}

fn keep_newest<T>(all: &mut Vec<T>, most: usize) {
    all.drain(..all.len().saturating_sub(most));
}

#[cfg(test)]
mod tests;
