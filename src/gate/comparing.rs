//! What concerns a comparison of two policies.

use std::sync::Arc;

use napi_derive::napi;
use tollgate_core::Engine;
use tollgate_core::comparison::{Comparison, Side};
use tollgate_core::rollout::{Micros, Round};

use super::Gate;
use crate::answer::tokens;
use crate::compiled::CompiledPolicy;
use crate::error::{self, closed, config, internal};
use crate::namespace;

#[napi]
impl Gate {
    /// The number by which a request asks for a rule; -1 for a name that none has. While two policies are compared, a rule that only
    /// the other one has is asked for, too, by a number past those of the policy that [`Gate::needs`] speaks of.
    #[napi(catch_unwind)]
    pub fn rule_asked(&self, name: String) -> error::Result<f64> {
        self.with_session(|session| {
            let policy = session.gate().ok_or_else(closed)?.policy();
            Ok(session.judging().rule_asked(policy, &name).map_or(-1.0, f64::from))
        })
    }

    /// Judges the same requests by another policy, too, in an engine of its own in this process, for a step of the rollout of a
    /// revision; or ends that, without a policy. `candidate_decides`: is the policy in force the candidate?
    #[napi(catch_unwind)]
    pub fn compare(
        &self,
        policy: Option<&CompiledPolicy>,
        revision: f64,
        step: f64,
        candidate_decides: bool,
    ) -> error::Result<()> {
        let (now, given_clock) = {
            let sessions = self.sessions.borrow();
            (sessions.answer.now(), sessions.answer.gives_time())
        };
        let epoch = crate::clock::epoch(now, given_clock);
        let number = |given: f64, name: &str| tokens(given).ok_or_else(|| config(format!("{name}: {given}")));
        let (revision, step) = (number(revision, "revision")?, number(step, "step")?);
        let round = Round { revision, step: usize::try_from(step).unwrap_or(usize::MAX) };
        self.with_session(|session| {
            let space = session.space().ok_or_else(closed)?;
            let begin = |policy: &CompiledPolicy| -> error::Result<Comparison> {
                let capacity = space.engine.capacity();
                let engine = Engine::new(namespace::hasher(), policy.compiled(), capacity, epoch);
                let live = if candidate_decides { Side::Candidate } else { Side::Old };
                let began = Micros::new(epoch.wall.get() / 1_000);
                Ok(Comparison::new(Arc::new(engine.map_err(internal)?), round, began, live))
            };
            space.compare(policy.map(begin).transpose()?);
            Ok(())
        })
    }

    /// What the comparison that is under way has counted, in JSON; none while there is none.
    #[napi(catch_unwind)]
    pub fn tallies(&self) -> error::Result<Option<String>> {
        self.with_session(|session| {
            let tallies = session.space().ok_or_else(closed)?.tallies();
            tallies.map(|tallies| serde_json::to_string(&tallies).map_err(internal)).transpose()
        })
    }

    /// A request has ended that was decided while the comparison of this number was under way: was it answered with 5xx, has the
    /// limiter itself failed on it?
    #[napi(catch_unwind)]
    pub fn ended(&self, comparison: f64, server_error: bool, limiter_error: bool) {
        let mut sessions = self.sessions.borrow_mut();
        if let (Some(number), Some((session, _))) = (tokens(comparison), sessions.get(self.id)) {
            session.judging().ended(number, server_error, limiter_error);
        }
    }
}
