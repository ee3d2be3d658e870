//! One environment's handle on the engine of a namespace.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Float64Array, Utf16String};
use napi_derive::napi;
use tollgate_core::{Capacity, Decision, Engine, Nanos, Subject};

use crate::amend::{Amend, Replace};
use crate::answer::{CLOSED, INVALID_COST, tokens};
use crate::channel::{Channel, Sessions};
use crate::draft::{PolicyDraft, rows};
use crate::error::{Result, closed, config};
use crate::namespace;

/// What the engine holds at the moment.
#[napi(object)]
pub struct GateStats {
    pub keys: f64,
    pub slots: f64,
    pub bytes: f64,
    pub overflowed: f64,
    pub revision: f64,
    pub tenants: f64,
    pub limits: f64,
    pub policy_hash: String,
}

#[napi]
pub struct Gate {
    sessions: Rc<RefCell<Sessions>>,
    id: usize,
}

fn subject(anonymous: bool) -> Subject {
    if anonymous { Subject::Anonymous } else { Subject::Tenant }
}

#[napi]
impl Gate {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        channel: &Channel,
        namespace: String,
        draft: &mut PolicyDraft,
        max_keys: u32,
        key_share: f64,
        refreshes: bool,
    ) -> Result<Self> {
        if !(key_share > 0.0 && key_share <= 1.0) {
            return Err(config(format!("keyShare: {key_share}; accepted is above 0, at most 1")));
        }
        let mut sessions = channel.sessions.borrow_mut();
        let capacity = Capacity { max_keys, key_share };
        let engine =
            namespace::enter(&namespace, draft.finish()?, capacity, refreshes, sessions.answer.now())?;
        let id = sessions.enter(engine.gate());
        Ok(Self { sessions: Rc::clone(&channel.sessions), id })
    }

    /// Its number among the limiters of its environment.
    #[napi(getter)]
    pub fn id(&self) -> f64 {
        self.id as f64
    }

    #[napi(catch_unwind)]
    pub fn peek(&self, env: Env, name: Utf16String, anonymous: bool) -> i32 {
        let Some(cost) = self.sessions.borrow().answer.cost() else { return INVALID_COST };
        self.decide(env, &name, |gate, name, now| gate.peek(subject(anonymous), name, cost, now))
    }

    #[napi(catch_unwind)]
    pub fn reward(&self, env: Env, name: Utf16String, anonymous: bool, amount: f64) -> i32 {
        let Some(amount) = tokens(amount) else { return INVALID_COST };
        self.decide(env, &name, |gate, name, now| gate.reward(subject(anonymous), name, amount, now))
    }

    #[napi(catch_unwind)]
    pub fn penalize(&self, env: Env, name: Utf16String, anonymous: bool, amount: f64) -> i32 {
        let Some(amount) = tokens(amount) else { return INVALID_COST };
        self.decide(env, &name, |gate, name, now| gate.penalize(subject(anonymous), name, amount, now))
    }

    #[napi(catch_unwind)]
    pub fn block(&self, env: Env, name: Utf16String, anonymous: bool, duration_ms: f64) -> i32 {
        let Some(millis) = tokens(duration_ms) else { return INVALID_COST };
        let time = Nanos::from_millis(millis);
        self.decide(env, &name, |gate, name, now| gate.block(subject(anonymous), name, time, now))
    }

    #[napi(catch_unwind)]
    pub fn reset(&self, env: Env, name: Utf16String, anonymous: bool) -> i32 {
        self.decide(env, &name, |gate, name, now| gate.reset(subject(anonymous), name, now))
    }

    /// Gives tenants limits of their own, and takes others' away; resolves, once that is in force, to which of those had
    /// one. Columns as in [`PolicyDraft::add_tenants`].
    #[napi(catch_unwind, ts_return_type = "Promise<boolean[]>")]
    pub fn amend(
        &self,
        names: Vec<String>,
        quotas: Float64Array,
        bursts: Float64Array,
        windows_ms: Float64Array,
        removed: Vec<String>,
    ) -> Result<AsyncTask<Amend>> {
        let rows = rows(names, &quotas, &bursts, &windows_ms)?;
        let now = self.sessions.borrow().answer.now();
        Ok(AsyncTask::new(Amend { engine: self.engine()?, rows, removed, now }))
    }

    /// Replaces the policy; resolves, once it is in force, to whether it is another one.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean>")]
    pub fn replace(&self, draft: &mut PolicyDraft) -> Result<AsyncTask<Replace>> {
        let now = self.sessions.borrow().answer.now();
        Ok(AsyncTask::new(Replace { engine: self.engine()?, policy: Some(draft.finish()?), now }))
    }

    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<GateStats> {
        let engine = self.engine()?;
        let (stats, policy) = (engine.stats(), engine.policy());
        Ok(GateStats {
            keys: stats.keys as f64,
            slots: stats.slots as f64,
            bytes: stats.bytes as f64,
            overflowed: stats.overflowed as f64,
            revision: stats.revision as f64,
            tenants: policy.tenants() as f64,
            limits: policy.limits() as f64,
            policy_hash: policy.hash().to_owned(),
        })
    }

    /// Sweeps the table, in the background: buckets that are full again are dropped.
    #[napi(catch_unwind)]
    pub fn sweep(&self, env: Env) -> Result<()> {
        self.engine()?.ask_for_renewal();
        if let Some((session, answer)) = self.sessions.borrow_mut().get(self.id) {
            session.start_upkeep(env.raw(), answer);
        }
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        if let Some((session, _)) = self.sessions.borrow_mut().get(self.id) {
            session.close();
        }
    }

    fn engine(&self) -> Result<Arc<Engine>> {
        let mut sessions = self.sessions.borrow_mut();
        let gate = sessions.get(self.id).and_then(|(session, _)| session.gate());
        gate.map(|gate| Arc::clone(gate.engine())).ok_or_else(closed)
    }

    fn decide(
        &self,
        env: Env,
        name: &[u16],
        decide: impl FnOnce(&mut tollgate_core::Gate, &[u8], Nanos) -> Decision,
    ) -> i32 {
        let name = String::from_utf16(name).ok();
        let mut sessions = self.sessions.borrow_mut();
        let Some((session, answer)) = sessions.get(self.id) else { return CLOSED };
        let outcome = session.decide(answer, name.as_deref().map(str::as_bytes), decide);
        session.keep_up(env.raw(), answer);
        outcome
    }
}

/// A limiter that nobody can reach any more is as good as closed.
impl Drop for Gate {
    fn drop(&mut self) {
        // Collected in the middle of a call, if ever, it is left to the end of the environment.
        if let Ok(mut sessions) = self.sessions.try_borrow_mut()
            && let Some((session, _)) = sessions.get(self.id)
        {
            session.close();
        }
    }
}
