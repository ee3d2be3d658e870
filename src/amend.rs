//! Changes of a policy, made on libuv's pool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use napi::{Env, Task};
use tollgate_core::engine::AmendError;
use tollgate_core::policy::{Compiled, Declared, Draft};
use tollgate_core::{Engine, Nanos};

use crate::compiled::Definition;
use crate::namespace::InForce;

/// One [`Engine::amend`].
pub struct Amend {
    pub engine: Arc<Engine>,
    pub rows: Vec<(String, Declared)>,
    pub removed: Vec<String>,
    pub now: Nanos,
}

impl Amend {
    /// Which of the removed had a limit of their own.
    fn remove(&self, draft: &mut Draft) -> Vec<bool> {
        self.removed.iter().map(|name| draft.remove(name)).collect()
    }
}

impl Task for Amend {
    type Output = Vec<bool>;
    type JsValue = Vec<bool>;

    fn compute(&mut self) -> napi::Result<Vec<bool>> {
        let mut gone = Vec::new();
        unwound(|| {
            self.engine.amend(
                |draft| {
                    gone = self.remove(draft);
                    self.rows.iter().try_for_each(|(name, declared)| draft.upsert(name, *declared))
                },
                self.now,
            )
        })?
        .map_err(|fault| napi::Error::from_reason(fault.to_string()))?;
        Ok(gone)
    }

    fn resolve(&mut self, _env: Env, gone: Vec<bool>) -> napi::Result<Vec<bool>> {
        Ok(gone)
    }
}

/// One [`Engine::replace`].
pub struct Replace {
    pub engine: Arc<Engine>,
    pub in_force: Arc<InForce>,
    pub policy: Option<(Compiled, Definition)>,
    /// Does it change tenants only, and is void if another policy has come in between?
    pub refreshes: bool,
    pub now: Nanos,
}

impl Task for Replace {
    type Output = bool;
    type JsValue = bool;

    fn compute(&mut self) -> napi::Result<bool> {
        let Some((policy, definition)) = self.policy.take() else { return Ok(false) };
        let replace = || unwound(|| self.engine.replace(policy, self.now));
        Ok(self.in_force.replace(definition, self.refreshes, replace)?.unwrap_or(false))
    }

    fn resolve(&mut self, _env: Env, changed: bool) -> napi::Result<bool> {
        Ok(changed)
    }
}

/// A panic must not cross into libuv. A policy is swapped whole or not at all.
fn unwound<T>(change: impl FnOnce() -> Result<T, AmendError>) -> napi::Result<T> {
    catch_unwind(AssertUnwindSafe(change))
        .map_err(|_panic| napi::Error::from_reason("a change of the policy panicked; please report this"))?
        .map_err(|error| napi::Error::from_reason(error.to_string()))
}
