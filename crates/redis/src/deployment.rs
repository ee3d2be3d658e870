//! The background of a process's part in the rollouts of its fleet.
//!
//! What is agreed on, what that means and what comes next is decided in `tollgate_core::rollout`; where it is kept, in
//! [`crate::control`]. Here is what brings the two together: who reports, reads, fetches images, decides by them, and drives where
//! nobody else does.
//!
//! Reading order:
//! 1. [`Policies`]: what a process can do with policies.
//! 2. `membership`, `clock`: what an instance knows of its own standing, and of the store's time.
//! 3. `agent`: one turn after another: report, read, follow, drive.
//! 4. `driving`: what whoever holds the lock writes, and what others are told.

mod agent;
mod clock;
mod driving;
mod fleet;
mod membership;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tollgate_core::policy::ImageHash;
use tollgate_core::rollout::{
    ExecutionId, ExecutionLog, Micros, Process, Proposal, Record, RecordError, Refused, Report, Role, Round,
    Settings, Tallies, Wish,
};

use crate::Failure;
use crate::control::Store;

/// For how long a report counts as a sign of life.
pub const ALIVE: Duration = Duration::from_secs(3);

/// What a process can do with policies. Any of it may take long: it is called where that holds nobody up.
pub trait Policies: Send + Sync + 'static {
    /// Verifies what was stored of a policy, and keeps it at hand.
    ///
    /// # Errors
    /// Why it is not taken, in words.
    fn hold(&self, hash: ImageHash, stored: &[u8]) -> Result<(), String>;

    /// Decides by a policy that is at hand, for every decision that begins after this returns.
    ///
    /// # Errors
    /// Why not, in words.
    fn enforce(&self, hash: ImageHash) -> Result<(), String>;

    /// Are two policies at hand the same but for tenants that this process loads by itself? Then each of its instances has those that it
    /// has loaded, and none of them is anything new.
    fn are_alike(&self, one: ImageHash, other: ImageHash) -> bool;

    /// Makes amendments upon the policy in force, in their order.
    ///
    /// # Errors
    /// Why not, in words. Then none of them is made.
    fn amend(&self, amendments: &[Vec<u8>]) -> Result<(), String>;

    /// Judges the same requests by another policy from now on, or by none.
    fn compare(&self, comparing: Option<Comparing>);

    /// What came of that so far.
    fn tallies(&self) -> Option<Tallies>;

    /// A policy that is at hand, as it is stored.
    fn stored(&self, hash: ImageHash) -> Option<Vec<u8>>;

    /// Lets go of all policies but these.
    fn keep(&self, hashes: &[ImageHash]);
}

/// What is compared with the policy in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparing {
    /// The other policy.
    pub other: ImageHash,
    /// Is the candidate in force here, and the old policy the other one?
    pub by_candidate: bool,
    /// In which round.
    pub round: Round,
    /// Since when, by the store's clock.
    pub began: Micros,
}

/// Who takes part.
pub struct Member {
    /// Its number; the one that it leases by.
    pub instance: u64,
    /// Where it runs, and as what.
    pub process: Process,
    /// Does it decide on requests, or look on?
    pub role: Role,
    /// What it decides by to begin with, which is at hand; and how that comes into force where it is new to the fleet. Whoever looks on
    /// has none.
    pub declared: Option<Proposal>,
}

/// What somebody wants.
#[derive(Debug)]
pub(crate) enum Wanted {
    Apply {
        proposal: Proposal,
        stored: Vec<u8>,
    },
    /// At once, because nobody else lives.
    Adopt {
        proposal: Proposal,
        stored: Vec<u8>,
    },
    GoBack {
        to: Option<u64>,
        settings: Settings,
        by: String,
    },
    /// Of the rollout that is under way.
    Ask {
        what: Wish,
        by: String,
    },
}

/// Why what somebody wants does not come about.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The fleet's state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store does not keep it.
    #[error(transparent)]
    Store(#[from] crate::control::Refused),
    /// The first backend does not answer.
    #[error("the fleet's state is not at hand: {0}")]
    Unavailable(#[from] Failure),
    /// What it holds is not understood.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An amendment that others have made cannot be made here.
    #[error("an amendment of the policy is not made here: {0}")]
    Amendment(String),
    /// The process ends.
    #[error("the limiter is closed")]
    Ended,
}

pub(crate) struct Command {
    pub(crate) wanted: Wanted,
    pub(crate) reply: oneshot::Sender<Result<ExecutionId, NotDone>>,
}

/// What is known of the fleet.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What it has agreed on; nothing before it was read.
    pub record: Option<Record>,
    /// Of each instance that lives.
    pub reports: Vec<Report>,
    /// The rollout that is under way, or the last one that this instance has seen.
    pub log: Option<ExecutionLog>,
    /// How many amendments upon the active revision this instance has made: of which, and how many.
    pub amended: Option<(u64, u64)>,
    /// Has the store been read?
    pub looked: bool,
    /// Why it takes no part at present.
    pub failure: Option<String>,
}

/// A process's part in the rollouts of its fleet, until it is dropped.
pub struct Deployment {
    commands: mpsc::UnboundedSender<Command>,
    seen: watch::Receiver<Arc<Seen>>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Deployment {
    /// Starts it. The store is asked for anew each time, because a connection to it may be another one.
    pub fn start(
        runtime: &Handle,
        member: Member,
        store: impl Fn() -> Option<Store> + Send + Sync + 'static,
        policies: Arc<impl Policies>,
    ) -> Self {
        let (commands, wanted) = mpsc::unbounded_channel();
        let (tell, seen) = watch::channel(Arc::default());
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let agent = agent::Agent::new(member, Box::new(store), policies, tell);
        let task = runtime.spawn(async move {
            agent.run(wanted, stopped).await;
            let _ = end.send(true);
        });
        Self { commands, seen, stop, ended, task }
    }

    /// Proposes a policy, of which this is stored; resolves once the rollout has begun.
    pub fn apply(
        &self,
        proposal: Proposal,
        stored: Vec<u8>,
    ) -> impl Future<Output = Result<ExecutionId, NotDone>> + use<> {
        self.want(Wanted::Apply { proposal, stored })
    }

    /// Ends the rollout that is under way, or goes back to an earlier revision.
    pub fn roll_back(
        &self,
        to: Option<u64>,
        settings: Settings,
        by: String,
    ) -> impl Future<Output = Result<ExecutionId, NotDone>> + use<> {
        self.want(Wanted::GoBack { to, settings, by })
    }

    /// Asks something of whoever drives the rollout that is under way.
    pub fn ask(&self, what: Wish, by: String) -> impl Future<Output = Result<ExecutionId, NotDone>> + use<> {
        self.want(Wanted::Ask { what, by })
    }

    fn want(&self, wanted: Wanted) -> impl Future<Output = Result<ExecutionId, NotDone>> + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(Command { wanted, reply });
        async move {
            sent.map_err(|_| NotDone::Ended)?;
            answer.await.unwrap_or(Err(NotDone::Ended))
        }
    }

    /// What is known of the fleet, and when that changes.
    #[must_use]
    pub fn seen(&self) -> watch::Receiver<Arc<Seen>> {
        self.seen.clone()
    }

    /// Leaves the fleet; resolves once that is known there, or within a second.
    pub fn leave(&self) -> impl Future<Output = ()> + Send + use<> {
        let _ = self.stop.send(true);
        let mut ended = self.ended.clone();
        async move {
            let _ = tokio::time::timeout(Duration::from_secs(1), ended.wait_for(|ended| *ended)).await;
        }
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.task.abort();
    }
}
