//! What whoever holds the driver's lock does next.

mod phases;

use std::collections::BTreeSet;

use super::audit::{Entry, Event};
use super::{
    Ask, Finding, Micros, Phase, Reason, Record, Report, Role, Rollout, Round, Tallies, Wish, checks, succeed,
};
use phases::Move;

/// What is known at one instant of the store's clock, to whoever drives.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The record.
    pub record: &'a Record,
    /// Of each instance that lives.
    pub reports: &'a [Report],
    /// The instant.
    pub now: Micros,
    /// The fencing token of whoever drives.
    pub fence: u64,
}

/// What the driver does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Replace the record by this one, if it is still the one that was looked at, and say so in the audit trail.
    Write(Box<Record>, Vec<Entry>),
    /// Look again when a report comes, and at this instant at the latest.
    Wait(Micros),
    /// No rollout is under way.
    Nothing,
}

/// What the driver does next. It may be asked as often as one likes.
#[must_use]
pub fn drive(view: &View<'_>) -> Step {
    let Some(rollout) = &view.record.rollout else { return Step::Nothing };
    if rollout.driver != view.fence {
        return succeed(view.record, view.fence, view.now);
    }
    let driving = Driving::new(view, rollout);
    match driving.asked() {
        Some(made) => driving.make(made),
        None => driving.make(driving.next()),
    }
}

/// A rollout, and what is known of those that it concerns.
pub(super) struct Driving<'a> {
    record: &'a Record,
    rollout: &'a Rollout,
    reports: &'a [Report],
    live: Vec<&'a Report>,
    now: Micros,
    fence: u64,
}

impl<'a> Driving<'a> {
    pub(super) fn new(view: &View<'a>, rollout: &'a Rollout) -> Self {
        let live = view.reports.iter().filter(|report| report.role == Role::Instance).collect();
        Self { record: view.record, rollout, reports: view.reports, live, now: view.now, fence: view.fence }
    }

    /// What somebody wants of this rollout, and has not been done.
    fn asked(&self) -> Option<Move> {
        let of_this = |ask: &&Ask| ask.execution_id == self.rollout.execution_id;
        let asks = || self.reports.iter().filter_map(|report| report.asks.as_ref()).filter(of_this);
        let cancels = || asks().find(|ask| ask.what == Wish::Cancel);
        let confirms = || asks().find(|ask| ask.what == Wish::Confirm);
        if !self.rollout.is_rolling_back()
            && let Some(ask) = cancels()
        {
            return Some(self.roll_back(Reason::Cancelled { by: ask.by.clone() }));
        }
        if self.rollout.is_validating()
            && self.rollout.confirmed.is_none()
            && let Some(ask) = confirms()
        {
            let by = ask.by.clone();
            let rollout = Rollout { confirmed: Some(by.clone()), ..self.rollout.clone() };
            return Some(Move::Enter(Box::new(rollout), Event::Confirmed { by }));
        }
        None
    }

    /// The instances that live.
    fn instances(&self) -> BTreeSet<u64> {
        self.live.iter().map(|report| report.instance).collect()
    }

    /// What the fleet has counted in the present round.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let Some(round) = self.rollout.round() else { return Vec::new() };
        let mut all = Tallies::new(round, self.now);
        for tallies in self.live.iter().filter_map(|report| report.tallies.as_ref()) {
            all.merge(tallies);
        }
        checks::checks(&all, &self.rollout.settings)
    }

    /// Since when some instance that decides by the candidate, and still lives, has counted without a break. What those had counted who
    /// are dead is gone with them, so that time does not count.
    fn watched(&self, step: usize) -> Option<Micros> {
        let members = self.live.iter().filter(|report| self.rollout.takes_in(step, report.instance));
        let tallies = members.filter_map(|report| report.tallies.as_ref());
        tallies
            .filter(|tallies| Some(tallies.round) == self.rollout.round())
            .map(|tallies| tallies.began)
            .min()
    }

    /// How many instances decide by the candidate, and how many of those that live do not.
    pub(super) fn updated(&self) -> (u64, u64) {
        let candidate = Some(self.rollout.candidate);
        let updated = self.live.iter().filter(|report| report.enforces == candidate).count() as u64;
        (updated, self.live.len() as u64 - updated)
    }

    fn make(&self, made: Move) -> Step {
        let mut next = self.record.next(self.now);
        let event = match made {
            Move::Wait(until) => return Step::Wait(until),
            Move::Enter(rollout, event) => {
                next.rollout = Some(*rollout);
                event
            }
            Move::Lock { behind } => {
                next.lock();
                Event::Locked { revision: next.active, behind }
            }
            Move::End { reason, behind } => {
                next.give_up(reason.clone());
                Event::RolledBack { to: next.active, reason, behind }
            }
        };
        Step::Write(Box::new(next), vec![self.rollout.entry(self.now, self.fence, event)])
    }
}

impl Rollout {
    /// What the audit trail says of it.
    pub(super) fn entry(&self, at: Micros, driver: u64, event: Event) -> Entry {
        Entry { execution_id: self.execution_id, at, driver, event }
    }

    /// What is counted together at present, while both policies are compared.
    #[must_use]
    pub fn round(&self) -> Option<Round> {
        let step = match self.phase {
            Phase::Switching { step, .. } | Phase::Validating { step, .. } => step,
            Phase::Agreed { .. } => 0,
            Phase::Staging { .. } | Phase::Promoting { .. } | Phase::RollingBack { .. } => return None,
        };
        Some(Round { revision: self.candidate.number, step })
    }

    /// Does going back there, or to the last good revision, mean to cancel it?
    #[must_use]
    pub fn is_cancelled_by_going_to(&self, revision: Option<u64>) -> bool {
        revision.is_none_or(|number| number == self.from.number)
    }

    /// Is it on the way back?
    #[must_use]
    pub fn is_rolling_back(&self) -> bool {
        matches!(self.phase, Phase::RollingBack { .. })
    }

    /// Is live traffic looked at?
    #[must_use]
    pub fn is_validating(&self) -> bool {
        matches!(self.phase, Phase::Validating { .. })
    }
}

#[cfg(test)]
mod tests;
