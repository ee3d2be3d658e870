//! What concerns the fleet that a limiter belongs to: its backends, and its rollouts.

#![allow(clippy::too_many_arguments, reason = "columns")]

use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Float64Array, Function, Object};
use napi_derive::napi;
use tollgate_core::policy::Draft;

use super::Gate;
use crate::amendment::Amendment;
use crate::columns::Columns;
use crate::compiled::CompiledPolicy;
use crate::error::{self, closed};
use crate::namespace::Space;
use crate::observer;
use crate::session::Session;
use crate::sharing::{Shared, Wait};

#[napi]
impl Gate {
    /// Resolves once every backend has answered, or has failed to, once.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn connect(&self) -> error::Result<AsyncTask<Wait>> {
        self.with_session(|session| Ok(session.shared().ok_or_else(closed)?.connect()))
    }

    /// Calls a function with what is new at the backends, in JSON, as long as its environment lives.
    #[napi(catch_unwind)]
    pub fn on_news(&self, callback: Function<'_, String, ()>) -> error::Result<()> {
        self.with_session(|session| {
            let number = session.number();
            session.shared().ok_or_else(closed)?.listen(number, &callback)
        })
    }

    /// How each backend is doing, in JSON.
    #[napi(catch_unwind)]
    pub fn backends(&self) -> error::Result<String> {
        self.with_session(|session| session.shared().ok_or_else(closed)?.backends())
    }

    /// How many instances live.
    #[napi(catch_unwind)]
    pub fn instances(&self) -> error::Result<f64> {
        self.with_session(|session| Ok(f64::from(session.shared().ok_or_else(closed)?.instances())))
    }

    /// Proposes a policy to the fleet; resolves to what the rollout is called, once it has begun.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn propose<'env>(
        &self,
        env: &'env Env,
        policy: &CompiledPolicy,
        options: String,
    ) -> error::Result<Object<'env>> {
        self.with_space(|space| observer::propose(env, space.deployment()?, policy, &options))
    }

    /// Goes back to a revision, or to the last good one (-1); or cancels the rollout that is under way.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn roll_back<'env>(&self, env: &'env Env, to: f64, options: String) -> error::Result<Object<'env>> {
        self.with_space(|space| observer::roll_back(env, space.deployment()?, to, &options))
    }

    /// Asks something of the rollout that is under way: `confirm` or `cancel`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn ask_rollout<'env>(&self, env: &'env Env, what: String, by: String) -> error::Result<Object<'env>> {
        self.with_space(|space| observer::ask(env, space.deployment()?, &what, by))
    }

    /// What is known of the fleet and its rollouts, in JSON.
    #[napi(catch_unwind)]
    pub fn fleet(&self) -> error::Result<String> {
        self.with_space(|space| observer::known(space.deployment()?))
    }

    /// As [`Gate::amend`], at all instances of the fleet, by somebody; resolves once it is in force here.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn amend_fleet<'env>(
        &self,
        env: &'env Env,
        names: Vec<String>,
        quotas: Float64Array,
        bursts: Float64Array,
        windows_ms: Float64Array,
        kinds: Float64Array,
        removed: Vec<String>,
        by: String,
    ) -> error::Result<Object<'env>> {
        let columns = Columns::new(&quotas, &bursts, &windows_ms, &kinds);
        let policy = self.engine()?.policy();
        let amendment = Amendment::new(&policy.compiled().image, &names, &columns, &removed)?;
        self.with_space(|space| {
            let shared = space.shared.as_ref().ok_or_else(closed)?;
            observer::amend(env, space.deployment()?, shared.store(), &amendment, &by)
        })
    }

    /// Which of these tenants have limits of their own at present.
    #[napi(catch_unwind)]
    pub fn named(&self, names: Vec<String>) -> error::Result<Vec<bool>> {
        let policy = self.engine()?.policy();
        let draft = Draft::of(&policy.compiled().image);
        Ok(names.iter().map(|name| draft.names(name)).collect())
    }

    /// The newest entries of the audit trail, in JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn audit<'env>(&self, env: &'env Env, count: u32) -> error::Result<Object<'env>> {
        self.with_space(|space| observer::audited(env, space.store(), count))
    }

    /// What each backend was found to be, in JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn inspect<'env>(&self, env: &'env Env) -> error::Result<Object<'env>> {
        self.with_space(|space| {
            let backends = space.shared.as_ref().map(Shared::addresses).unwrap_or_default();
            observer::inspected(env, backends)
        })
    }

    /// Gives leases back, if all limiters that share them leave; resolves when that is done, within a second.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn drain(&self) -> error::Result<AsyncTask<Wait>> {
        self.with_session(|session| {
            if !session.leave() {
                return Ok(Wait::over());
            }
            let space = session.space().ok_or_else(closed)?;
            let shared = space.shared.as_ref().ok_or_else(closed)?;
            let (left, drained) = (space.deployment()?.leave(), shared.drained());
            // What waits for this to end is not to wait for one after the other.
            Ok(Wait::until(async move {
                tokio::join!(left, drained);
            }))
        })
    }

    pub(super) fn with_session<T>(
        &self,
        act: impl FnOnce(&mut Session) -> error::Result<T>,
    ) -> error::Result<T> {
        let mut sessions = self.sessions.borrow_mut();
        let (session, _) = sessions.get(self.id).ok_or_else(closed)?;
        act(session)
    }

    fn with_space<T>(&self, act: impl FnOnce(&Arc<Space>) -> error::Result<T>) -> error::Result<T> {
        self.with_session(|session| act(session.space().ok_or_else(closed)?))
    }
}
