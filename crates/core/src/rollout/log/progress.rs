//! What the record, the reports and the audit trail say of a rollout, brought into its log.

use super::{Details, ExecutionLog, Outcome, StageName, Status};
use crate::rollout::audit::{Entry, Event};
use crate::rollout::drive::Driving;
use crate::rollout::{Micros, Phase, Reason, Rollout, View};

impl ExecutionLog {
    /// Brings the stages up to date in which the fleet has a part. It can be looked at as often as one likes.
    pub fn observe(&mut self, view: &View<'_>) {
        let rollout = view.record.rollout.as_ref();
        let Some(rollout) = rollout.filter(|rollout| rollout.execution_id == self.execution_id) else {
            return;
        };
        let elapsed = self.observed.replace(view.now).map_or(Micros::ZERO, |before| view.now.since(before));
        let injects = matches!(
            rollout.phase,
            Phase::Staging { .. } | Phase::Switching { .. } | Phase::Agreed { .. } | Phase::Promoting { .. }
        );
        self.count(view, rollout);
        match &rollout.phase {
            Phase::RollingBack { reason, .. } => self.fail(reason),
            Phase::Promoting { .. } => {
                self.set(StageName::PolicyInjection, Status::Running);
                let judged = if rollout.validates { Status::Passed } else { Status::Skipped };
                self.set(StageName::TrafficValidation, judged);
            }
            _ if injects => self.set(StageName::PolicyInjection, Status::Running),
            _ => self.set(StageName::TrafficValidation, Status::Running),
        }
        let running = if injects { StageName::PolicyInjection } else { StageName::TrafficValidation };
        if !rollout.is_rolling_back()
            && let Some(stage) = self.stage_mut(running)
        {
            stage.duration_ms += elapsed.as_millis();
        }
        self.estimated_completion =
            (!rollout.is_rolling_back()).then(|| (view.now + rollout.left(view.now)).timestamp());
    }

    /// Takes in what the audit trail says of its end.
    pub fn conclude(&mut self, entry: &Entry) {
        if entry.execution_id != self.execution_id {
            return;
        }
        let outcome = match &entry.event {
            Event::Locked { revision, .. } => {
                self.set(StageName::PolicyInjection, Status::Passed);
                if self.status(StageName::TrafficValidation) != Some(Status::Skipped) {
                    self.set(StageName::TrafficValidation, Status::Passed);
                }
                Outcome::Locked { revision: *revision }
            }
            Event::RolledBack { to, reason, .. } => {
                self.fail(reason);
                Outcome::RolledBack { revision: *to, reason: reason.to_string(), check: reason.check() }
            }
            _ => return,
        };
        self.outcome = Some(outcome);
        self.estimated_completion = Some(entry.at.timestamp());
    }

    fn count(&mut self, view: &View<'_>, rollout: &Rollout) {
        let driving = Driving::new(view, rollout);
        let (updated, pending) = driving.updated();
        if let Some(stage) = self.stage_mut(StageName::PolicyInjection) {
            stage.details = Details::Injection { instances_updated: updated, instances_pending: pending };
        }
        let findings = driving.findings();
        if let Some(stage) = self.stage_mut(StageName::TrafficValidation)
            && let Details::Validation { threshold_checks, .. } = &mut stage.details
            && !findings.is_empty()
        {
            *threshold_checks = findings;
        }
    }

    /// The stage that is to blame has failed; what comes after it is not come to.
    fn fail(&mut self, reason: &Reason) {
        let (name, status) = match reason {
            Reason::CheckFailed { .. } => (StageName::TrafficValidation, Status::Failed),
            Reason::Inconclusive { .. } => (StageName::TrafficValidation, Status::Inconclusive),
            // Nobody is to blame but the one who was at it.
            Reason::DriverLost | Reason::Cancelled { .. } | Reason::NoInstance
                if self.status(StageName::TrafficValidation) == Some(Status::Running) =>
            {
                (StageName::TrafficValidation, Status::Failed)
            }
            _ => (StageName::PolicyInjection, Status::Failed),
        };
        self.set(name, status);
        for stage in &mut self.stages {
            match stage.status {
                Status::Running if stage.stage < name => stage.status = Status::Passed,
                Status::Pending | Status::Running => stage.status = Status::Skipped,
                _ => {}
            }
        }
    }

    fn status(&mut self, name: StageName) -> Option<Status> {
        self.stage_mut(name).map(|stage| stage.status)
    }

    fn set(&mut self, name: StageName, status: Status) {
        if let Some(stage) = self.stage_mut(name) {
            stage.status = status;
        }
    }
}

impl Rollout {
    /// How long it still takes, if all goes well: what is left of the windows, of which each further step has one.
    fn left(&self, now: Micros) -> Micros {
        let Self { settings, strategy, .. } = self;
        let steps = |done: usize| strategy.steps().saturating_sub(done) as u64;
        if !self.validates {
            return Micros::ZERO;
        }
        match self.phase {
            Phase::Staging { .. } => settings.window.times(steps(0)),
            Phase::Switching { step, .. } => settings.window.times(steps(step)),
            Phase::Agreed { at } => at.since(now) + settings.window,
            Phase::Validating { step, since } => {
                (since + settings.window).since(now) + settings.window.times(steps(step + 1))
            }
            Phase::Promoting { .. } | Phase::RollingBack { .. } => Micros::ZERO,
        }
    }
}
