//! How a rollout begins, and how somebody ends one. All of it is written by whoever holds the lock.

use std::collections::BTreeSet;

use thiserror::Error;

use super::audit::{Entry, Event};
use super::settings::SettingsError;
use super::{ExecutionId, Phase, Reason, Record, Revision, Role, Rollout, Settings, Strategy, View};
use crate::policy::ImageHash;

/// A policy that somebody wants to be in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// Its image.
    pub hash: ImageHash,
    /// How the fleet is to come to it.
    pub strategy: Strategy,
    /// How long to wait for what.
    pub settings: Settings,
    /// Who wants it.
    pub proposer: String,
    /// In spite of an earlier rollback?
    pub forced: bool,
}

/// Why a record is not changed.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum Refused {
    /// One rollout at a time.
    #[error("the rollout {execution_id} to {candidate} is under way: wait for its end, or cancel it")]
    UnderWay {
        /// Which.
        execution_id: ExecutionId,
        /// To which revision.
        candidate: Revision,
    },
    /// It is in force.
    #[error("this policy is the active one already: {0}")]
    AlreadyActive(Revision),
    /// It was tried.
    #[error("this policy was rolled back: {reason}. Change it, or force it")]
    RolledBackBefore {
        /// Why.
        reason: Reason,
    },
    /// There is nobody to enforce it.
    #[error("no instance of the fleet lives: start one, and try again")]
    NoInstance,
    /// Others would be surprised.
    #[error("other instances live: a policy comes to them by a rollout")]
    OthersLive,
    /// Nobody remembers it.
    #[error("there is no revision {number} to go back to; there are {there:?}")]
    RevisionGone {
        /// The one that was asked for.
        number: u64,
        /// Those that there are.
        there: Vec<u64>,
    },
    /// The fleet has had one policy only.
    #[error("there is no earlier revision to go back to")]
    NothingEarlier,
    /// It is rolled back already.
    #[error("the rollout {0} is being rolled back already")]
    RollingBack(ExecutionId),
    /// There is nothing to confirm.
    #[error("no rollout is being validated")]
    NotValidating,
    /// The settings are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// A record that is to be written, and what the audit trail is to say of it.
pub type Change = (Record, Vec<Entry>);

/// Begins a rollout.
///
/// # Errors
/// While another one is under way, if the policy is the active one or was rolled back and is not forced, without instances, and by
/// settings that are wrong.
pub fn propose(view: &View<'_>, proposal: Proposal) -> Result<Change, Refused> {
    proposal.settings.check()?;
    begin(view, proposal, true)
}

/// Ends the rollout that is under way, or goes back to an earlier revision: to that of this number, or to the last one that was not
/// rolled away from. The policy comes back under a new number, at once everywhere, without being judged.
///
/// # Errors
/// If there is no such revision, or another rollout is under way.
pub fn rollback(view: &View<'_>, to: Option<u64>, settings: Settings, by: String) -> Result<Change, Refused> {
    let record = view.record;
    if let Some(rollout) = record.rollout.as_ref().filter(|rollout| rollout.is_cancelled_by_going_to(to)) {
        return cancel(view, rollout, by);
    }
    check_quiet(view)?;
    settings.check()?;
    let earlier = &record.earlier;
    let target = match to {
        Some(number) if number == record.active.number => {
            return Err(Refused::AlreadyActive(record.active));
        }
        Some(number) => {
            let there = || earlier.iter().map(|revision| revision.number).collect();
            let found = earlier.iter().find(|revision| revision.number == number);
            found.ok_or_else(|| Refused::RevisionGone { number, there: there() })?
        }
        None => {
            let good = |revision: &&Revision| record.refusal(revision.hash).is_none();
            earlier.iter().rev().find(good).ok_or(Refused::NothingEarlier)?
        }
    };
    let (hash, forced) = (target.hash, to.is_some());
    let proposal = Proposal { hash, strategy: Strategy::Simultaneous, settings, proposer: by, forced };
    begin(view, proposal, false)
}

/// Puts a policy in force at once, because whoever brings it is the only instance that lives: there is nobody to be careful of, and
/// no traffic but its own to judge by.
///
/// # Errors
/// While a rollout is under way, if the policy is the active one or was rolled back and is not forced, or if others live.
pub fn adopt(view: &View<'_>, proposal: &Proposal) -> Result<Change, Refused> {
    check_quiet(view)?;
    check_new(view, proposal)?;
    let instances = view.reports.iter().filter(|report| report.role == Role::Instance).count();
    match instances {
        0 => return Err(Refused::NoInstance),
        1 => {}
        _ => return Err(Refused::OthersLive),
    }
    let mut next = view.record.next(view.now);
    let execution_id = ExecutionId::after(next.last_execution, view.now);
    let revision = next.adopt(proposal.hash, execution_id);
    let event = Event::Adopted { revision, by: proposal.proposer.clone() };
    Ok((next, vec![Entry { execution_id, at: view.now, driver: view.fence, event }]))
}

/// Takes too little traffic for enough, in the rollout that is being validated. What fails fails nevertheless.
///
/// # Errors
/// If none is.
pub fn confirm(view: &View<'_>, by: String) -> Result<Change, Refused> {
    let mut next = view.record.next(view.now);
    let rollout = next.rollout.as_mut().filter(|rollout| rollout.is_validating());
    let rollout = rollout.ok_or(Refused::NotValidating)?;
    rollout.confirmed = Some(by.clone());
    let entry = rollout.entry(view.now, view.fence, Event::Confirmed { by });
    Ok((next, vec![entry]))
}

fn check_quiet(view: &View<'_>) -> Result<(), Refused> {
    view.record.rollout.as_ref().map_or(Ok(()), |rollout| {
        let Rollout { execution_id, candidate, .. } = rollout;
        Err(Refused::UnderWay { execution_id: *execution_id, candidate: *candidate })
    })
}

/// Is it another policy, and none that was rolled back?
fn check_new(view: &View<'_>, proposal: &Proposal) -> Result<(), Refused> {
    let active = view.record.active;
    if active.hash == proposal.hash {
        return Err(Refused::AlreadyActive(active));
    }
    match view.record.refusal(proposal.hash) {
        Some(refusal) if !proposal.forced => {
            Err(Refused::RolledBackBefore { reason: refusal.reason.clone() })
        }
        _ => Ok(()),
    }
}

fn begin(view: &View<'_>, proposal: Proposal, validates: bool) -> Result<Change, Refused> {
    check_quiet(view)?;
    let from = view.record.active;
    check_new(view, &proposal)?;
    if !view.reports.iter().any(|report| report.role == Role::Instance) {
        return Err(Refused::NoInstance);
    }
    let mut next = view.record.next(view.now);
    next.numbered += 1;
    let execution_id = ExecutionId::after(next.last_execution, view.now);
    next.last_execution = Some(execution_id);
    let Proposal { hash, strategy, settings, proposer, forced } = proposal;
    let candidate = Revision { number: next.numbered, hash };
    let rollout = Rollout {
        execution_id,
        candidate,
        from,
        strategy,
        phase: Phase::Staging { since: view.now },
        members: BTreeSet::new(),
        settings,
        validates,
        proposer: proposer.clone(),
        forced,
        confirmed: None,
        driver: view.fence,
    };
    let event = Event::Proposed { candidate, from, by: proposer, forced };
    let entry = rollout.entry(view.now, view.fence, event);
    next.rollout = Some(rollout);
    Ok((next, vec![entry]))
}

fn cancel(view: &View<'_>, rollout: &Rollout, by: String) -> Result<Change, Refused> {
    if rollout.is_rolling_back() {
        return Err(Refused::RollingBack(rollout.execution_id));
    }
    let reason = Reason::Cancelled { by };
    let phase = Phase::RollingBack { since: view.now, reason: reason.clone() };
    let rollout = Rollout { phase, driver: view.fence, ..rollout.clone() };
    let entry = rollout.entry(view.now, view.fence, Event::RollingBack { reason });
    let next = Record { rollout: Some(rollout), ..view.record.next(view.now) };
    Ok((next, vec![entry]))
}

#[cfg(test)]
mod tests;
