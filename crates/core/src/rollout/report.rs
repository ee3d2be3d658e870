//! What each instance says of itself, every now and then. One that has not for a while is taken for dead.

use serde::{Deserialize, Serialize};

use super::{ExecutionId, Micros, Record, Revision, Tallies, follow};
use crate::policy::ImageHash;

/// What an instance says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Who this is.
    pub instance: u64,
    /// What it is to the fleet.
    pub role: Role,
    /// Since when it lives, by the store's clock.
    pub joined: Micros,
    /// The edition of the record that it has read last; 0 before the first.
    pub follows: u64,
    /// What it decides by; nothing, while it is not in service.
    pub enforces: Option<Revision>,
    /// The images that it holds, verified.
    pub holds: Vec<ImageHash>,
    /// The revision whose image it does not take.
    pub refuses: Option<ImageFault>,
    /// What came of the comparison that is under way.
    pub tallies: Option<Tallies>,
    /// What somebody asks of whoever drives the rollout.
    pub asks: Option<Ask>,
    /// Where it runs, and as what.
    #[serde(flatten)]
    pub process: Process,
}

/// What a process is to a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It decides on requests.
    Instance,
    /// It looks on, as a command line does: nobody waits for it.
    Observer,
}

/// An image that an instance does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFault {
    /// Of which revision.
    pub revision: Revision,
    /// Why.
    pub why: String,
}

/// What somebody asks of whoever drives a rollout. It goes with a report, for nobody but the driver may write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Of which rollout.
    pub execution_id: ExecutionId,
    /// What.
    pub what: Wish,
    /// Who.
    pub by: String,
}

/// What can be asked of a rollout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Take too little traffic for enough.
    Confirm,
    /// Roll back.
    Cancel,
}

/// Where an instance runs, and as what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Process {
    /// The name of the machine.
    pub host: String,
    /// The process's number there.
    pub pid: String,
    /// Of Node.
    pub node_version: String,
    /// Of this package.
    pub package_version: String,
}

impl Report {
    /// Does it do all that this record asks of it, or does it at an instant that is still to come? What it has said upon an earlier
    /// record is no answer, for it may be old.
    #[must_use]
    pub fn acknowledges(&self, record: &Record, now: Micros) -> bool {
        let target = follow(record, self.instance);
        self.follows >= record.edition
            && self.enforces == Some(target.at(now))
            && target.hold.is_none_or(|revision| self.holds.contains(&revision.hash))
    }
}
