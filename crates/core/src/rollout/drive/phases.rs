//! Each phase of a rollout, in their order: what it waits for, and what comes next.

use std::collections::BTreeSet;

use super::Driving;
use crate::rollout::audit::Event;
use crate::rollout::{Finding, Micros, Phase, Reason, Rollout, Strategy, Verdict, checks, members};

/// An instance that joins while others are waited for has its own time, but nobody waits longer for it than so many times as long.
const LONGEST: u64 = 3;

/// So many instances are named in a reason: the record keeps it.
const MOST_NAMED: usize = 16;
/// So many characters of what an instance says are kept there.
const LONGEST_WHY: usize = 200;

/// What becomes of a rollout.
pub(in crate::rollout) enum Move {
    /// Nothing, until an instant or the next report.
    Wait(Micros),
    /// It goes on.
    Enter(Box<Rollout>, Event),
    /// The candidate is active; these instances do not say that they decide by it.
    Lock { behind: Vec<u64> },
    /// The old policy stays; these instances do not say that they decide by it.
    End { reason: Reason, behind: Vec<u64> },
}

/// Instances that have not acknowledged the record.
struct Pending {
    /// Those whose time is over.
    overdue: Vec<u64>,
    /// When that of the first of the others is.
    until: Option<Micros>,
}

impl Driving<'_> {
    pub(super) fn next(&self) -> Move {
        match &self.rollout.phase {
            Phase::Staging { since } => self.staging(*since),
            Phase::Switching { step, since } => self.switching(*step, *since),
            Phase::Agreed { at } => self.agreed(*at),
            Phase::Validating { step, since } => self.validating(*step, *since),
            Phase::Promoting { since } => self.promoting(*since),
            Phase::RollingBack { since, reason } => self.rolling_back(*since, reason),
        }
    }

    fn staging(&self, since: Micros) -> Move {
        if let Some(made) = self.fault().or_else(|| self.await_all(since, |_| true)) {
            return made;
        }
        match self.rollout.strategy {
            Strategy::Rolling(_) => self.switch_from(0),
            Strategy::Simultaneous => self.agree(self.now + self.rollout.settings.lead),
        }
    }

    fn switching(&self, step: usize, since: Micros) -> Move {
        if let Some(made) = self.fault() {
            return made;
        }
        if self.is_deserted(step) {
            return self.switch_from(step);
        }
        let made = self.await_all(since, |instance| self.rollout.takes_in(step, instance));
        made.unwrap_or_else(|| self.validate(step))
    }

    fn agreed(&self, at: Micros) -> Move {
        if let Some(made) = self.fault() {
            return made;
        }
        if self.now < at {
            return Move::Wait(at);
        }
        self.await_all(at, |_| true).unwrap_or_else(|| self.validate(0))
    }

    fn validate(&self, step: usize) -> Move {
        if !self.rollout.validates {
            return self.switch_from(step + 1);
        }
        self.enter(Phase::Validating { step, since: self.now }, Event::Validating { step })
    }

    fn validating(&self, step: usize, since: Micros) -> Move {
        if let Some(made) = self.fault() {
            return made;
        }
        if self.is_deserted(step) {
            return self.switch_from(step);
        }
        let findings = self.findings();
        let settings = &self.rollout.settings;
        let deadline = since + settings.deadline;
        let window = self.watched(step).map(|began| since.max(began) + settings.window);
        let is_enough = checks::verdict(&findings) == Verdict::Passed || self.rollout.confirmed.is_some();
        match window {
            Some(window) if is_enough && window <= self.now => self.switch_from(step + 1),
            _ if deadline <= self.now => self.give_up(findings),
            Some(window) if self.now < window => Move::Wait(window.min(deadline)),
            _ => Move::Wait(deadline),
        }
    }

    fn give_up(&self, mut findings: Vec<Finding>) -> Move {
        findings.retain(|finding| finding.verdict == Verdict::Inconclusive);
        self.roll_back(Reason::Inconclusive { findings })
    }

    fn promoting(&self, since: Micros) -> Move {
        let Pending { overdue: behind, until } = self.pending(since, |_| true);
        until.map_or(Move::Lock { behind }, Move::Wait)
    }

    fn rolling_back(&self, since: Micros, reason: &Reason) -> Move {
        let Pending { overdue: behind, until } = self.pending(since, |_| true);
        until.map_or_else(|| Move::End { reason: reason.clone(), behind }, Move::Wait)
    }

    /// The first of the steps from this one on that takes in an instance more; a step that does not would be the same again.
    fn switch_from(&self, step: usize) -> Move {
        let live = self.instances();
        let rollout = self.rollout;
        for step in step..rollout.strategy.steps() {
            let fraction = rollout.strategy.fraction(step);
            let members = members(rollout.execution_id, &live, &rollout.members, fraction);
            if !members.is_subset(&rollout.members) {
                return self.switch(step, members);
            }
        }
        let findings = self.findings();
        self.enter(Phase::Promoting { since: self.now }, Event::Promoting { findings })
    }

    fn switch(&self, step: usize, members: BTreeSet<u64>) -> Move {
        let phase = Phase::Switching { step, since: self.now };
        let instances = members.iter().copied().collect();
        let rollout = Rollout { phase, members, ..self.rollout.clone() };
        Move::Enter(Box::new(rollout), Event::Switching { step, instances })
    }

    fn agree(&self, at: Micros) -> Move {
        self.enter(Phase::Agreed { at }, Event::Agreed { on: at })
    }

    pub(super) fn roll_back(&self, reason: Reason) -> Move {
        let phase = Phase::RollingBack { since: self.now, reason: reason.clone() };
        self.enter(phase, Event::RollingBack { reason })
    }

    fn enter(&self, phase: Phase, event: Event) -> Move {
        Move::Enter(Box::new(Rollout { phase, ..self.rollout.clone() }), event)
    }

    /// Something for which there is no need to wait any longer.
    fn fault(&self) -> Option<Move> {
        let candidate = self.rollout.candidate;
        let refuses = self.live.iter().find_map(|report| {
            let fault = report.refuses.as_ref().filter(|fault| fault.revision == candidate)?;
            let why = fault.why.chars().take(LONGEST_WHY).collect();
            Some(Reason::ImageRefused { instance: report.instance, why })
        });
        let fails = || {
            let mut findings = self.findings().into_iter();
            let finding = findings.find(|finding| finding.verdict == Verdict::Failed)?;
            self.rollout.validates.then_some(Reason::CheckFailed { finding })
        };
        refuses.or_else(fails).map(|reason| self.roll_back(reason))
    }

    /// Are all dead whom a step has taken in? There is nothing to be learnt from them any more.
    fn is_deserted(&self, step: usize) -> bool {
        !self.live.is_empty() && !self.live.iter().any(|report| self.rollout.takes_in(step, report.instance))
    }

    /// Waits until all of these have acknowledged the record, and there is one at least.
    fn await_all(&self, since: Micros, concerned: impl Fn(u64) -> bool) -> Option<Move> {
        if self.live.is_empty() {
            let due = since + self.rollout.settings.patience;
            return Some(if self.now < due { Move::Wait(due) } else { self.roll_back(Reason::NoInstance) });
        }
        let Pending { mut overdue, until } = self.pending(since, concerned);
        if !overdue.is_empty() {
            overdue.truncate(MOST_NAMED);
            return Some(self.roll_back(Reason::NotAcknowledged { instances: overdue }));
        }
        until.map(Move::Wait)
    }

    fn pending(&self, since: Micros, concerned: impl Fn(u64) -> bool) -> Pending {
        let patience = self.rollout.settings.patience;
        let mut pending = Pending { overdue: Vec::new(), until: None };
        for report in self.live.iter().filter(|report| concerned(report.instance)) {
            if report.acknowledges(self.record, self.now) {
                continue;
            }
            let due = (report.joined.max(since) + patience).min(since + patience.times(LONGEST));
            if due <= self.now {
                pending.overdue.push(report.instance);
            } else {
                pending.until = Some(pending.until.map_or(due, |until| until.min(due)));
            }
        }
        pending
    }
}
