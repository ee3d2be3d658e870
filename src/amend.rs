//! Changes of a policy, made on libuv's pool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use napi::{Env, Task};
use tollgate_core::policy::Grant;
use tollgate_core::{Engine, Nanos, PolicyDraft};

/// One [`Engine::amend`].
pub struct Amend {
    pub engine: Arc<Engine>,
    pub rows: Vec<(String, Grant)>,
    pub removed: Vec<String>,
    pub now: Nanos,
}

impl Amend {
    /// Which of the removed had a limit of their own.
    fn remove(&self, draft: &mut PolicyDraft) -> Vec<bool> {
        self.removed.iter().map(|name| draft.remove(name).is_ok()).collect()
    }
}

impl Task for Amend {
    type Output = Vec<bool>;
    type JsValue = Vec<bool>;

    fn compute(&mut self) -> napi::Result<Vec<bool>> {
        let mut gone = Vec::new();
        // A panic must not cross into libuv. The policy is swapped whole or not at all.
        catch_unwind(AssertUnwindSafe(|| {
            self.engine.amend(
                |draft| {
                    gone = self.remove(draft);
                    self.rows.iter().try_for_each(|(name, grant)| draft.upsert(name, *grant))
                },
                self.now,
            )
        }))
        .map_err(|_panic| napi::Error::from_reason("a change of the policy panicked; please report this"))?
        .map_err(|error| napi::Error::from_reason(error.to_string()))?;
        Ok(gone)
    }

    fn resolve(&mut self, _env: Env, gone: Vec<bool>) -> napi::Result<Vec<bool>> {
        Ok(gone)
    }
}
