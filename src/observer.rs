//! What is asked of a fleet's rollouts, by a limiter of it, or by somebody who looks on and decides on nothing.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use serde::Serialize;
use serde_json::{Value, json};
use tollgate_core::rollout::{Process, Role, Wish as Asked};
use tollgate_redis::control::{Control, Refused, Store};
use tollgate_redis::deployment::{Deployment, Member, NotDone, Seen};
use tollgate_redis::inspect::Inspection;
use tollgate_redis::{Backend, Connection};

use crate::amendment::Amendment;
use crate::compiled::CompiledPolicy;
use crate::deploying::{NoPolicies, Wish, stored};
use crate::error::{Result, config, internal};
use crate::promised::promised;
use crate::sharing::{Sharing, runtime};

/// An instance that has made no amendment in this time takes no part in the fleet.
const LONGEST_AMENDMENT: Duration = Duration::from_secs(10);

/// Proposes a policy.
pub fn propose<'env>(
    env: &'env Env,
    deployment: &Deployment,
    policy: &CompiledPolicy,
    options: &str,
) -> Result<Object<'env>> {
    let wish = Wish::read(options)?;
    let (compiled, definition) = (policy.compiled(), policy.definition());
    let stored = stored(&compiled, definition);
    begun(env, deployment.apply(wish.of(compiled.image.image_hash()), stored))
}

/// Goes back to a revision, or to the last good one; or cancels what is under way.
pub fn roll_back<'env>(
    env: &'env Env,
    deployment: &Deployment,
    to: f64,
    options: &str,
) -> Result<Object<'env>> {
    let Wish { settings, proposer, .. } = Wish::read(options)?;
    let to = if to < 0.0 { None } else { crate::answer::tokens(to) };
    begun(env, deployment.roll_back(to, settings, proposer))
}

/// Asks something of the rollout that is under way.
pub fn ask<'env>(env: &'env Env, deployment: &Deployment, what: &str, by: String) -> Result<Object<'env>> {
    let what = match what {
        "confirm" => Asked::Confirm,
        "cancel" => Asked::Cancel,
        other => return Err(config(format!("what: {other:?}; accepted is 'confirm' or 'cancel'"))),
    };
    begun(env, deployment.ask(what, by))
}

fn begun(
    env: &Env,
    begun: impl Future<Output = std::result::Result<tollgate_core::rollout::ExecutionId, NotDone>>
    + Send
    + 'static,
) -> Result<Object<'_>> {
    promised(env, async move { begun.await.map(|id| id.to_string()).map_err(|error| error.to_string()) })
}

/// What is known of the fleet, in JSON.
pub fn known(deployment: &Deployment) -> Result<String> {
    let seen = deployment.seen();
    let Seen { record, reports, log, failure, .. } = &**seen.borrow();
    text(&json!({ "record": record, "reports": reports, "log": log, "failure": failure }))
}

/// Amends the fleet's policy; resolves once this instance has made the amendment, too: others hear of it at the same time.
pub fn amend<'env>(
    env: &'env Env,
    deployment: &Deployment,
    store: impl Fn() -> Option<Store> + Send + Sync + 'static,
    amendment: &Amendment,
    by: &str,
) -> Result<Object<'env>> {
    let (bytes, entry) = (amendment.bytes()?, amendment.entry(by)?);
    let mut seen = deployment.seen();
    promised(env, async move {
        let unknown = || "the fleet's state is not at hand: the first backend is not connected".to_owned();
        let made = async {
            loop {
                let revision = {
                    let known = seen.wait_for(|seen| seen.record.is_some()).await.map_err(|_| unknown())?;
                    known.record.as_ref().map_or(0, |record| record.active.number)
                };
                let store = store().ok_or_else(unknown)?;
                let number = match store.amend(revision, &bytes, std::slice::from_ref(&entry)).await {
                    Ok(number) => number,
                    // A rollout has ended this moment: the amendment is made upon what came of it, once that is known here.
                    Err(Refused::RevisionChanged { revision: active }) => {
                        let is_known = |seen: &Arc<Seen>| {
                            seen.record.as_ref().is_some_and(|record| record.active.number >= active)
                        };
                        seen.wait_for(is_known).await.map_err(|_| unknown())?;
                        continue;
                    }
                    Err(refused) => return Err(refused.to_string()),
                };
                let is_made = |seen: &Arc<Seen>| seen.amended.is_some_and(|made| made >= (revision, number));
                seen.wait_for(is_made).await.map_err(|_| unknown())?;
                return Ok(String::new());
            }
        };
        tokio::time::timeout(LONGEST_AMENDMENT, made).await.unwrap_or_else(|_| Err(unknown()))
    })
}

/// The newest entries of the audit trail, in JSON, and whether the trail is whole.
pub fn audited(env: &Env, store: Option<Store>, count: u32) -> Result<Object<'_>> {
    promised(env, async move {
        let store = store.ok_or("the first backend is not connected")?;
        let trail = store.audit(count, None).await.map_err(|error| error.to_string())?;
        let broken = trail.verify().err().map(|broken| broken.to_string());
        let entries: Vec<Value> = trail
            .entries
            .iter()
            .map(|entry| {
                let said = serde_json::from_slice::<Value>(&entry.bytes);
                json!({ "number": entry.number, "at": entry.at, "said": said.ok() })
            })
            .collect();
        Ok(json!({ "entries": entries, "intact": broken.is_none(), "broken": broken }).to_string())
    })
}

/// What each backend was found to be, in JSON.
pub fn inspected(env: &Env, backends: Vec<Backend>) -> Result<Object<'_>> {
    promised(env, async move {
        let mut found = Vec::with_capacity(backends.len());
        for backend in backends {
            let url = backend.to_string();
            found.push(match backend.connect().await {
                Ok(connection) => json!({ "url": url, "inspection": Inspection::of(&connection).await }),
                Err(failure) => json!({ "url": url, "error": failure.to_string() }),
            });
        }
        Ok(Value::Array(found).to_string())
    })
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(internal)
}

/// One who takes part in a fleet's rollouts without deciding on requests.
#[napi]
pub struct FleetObserver {
    backends: Vec<Backend>,
    connection: Arc<ArcSwapOption<Connection>>,
    deployment: Deployment,
}

#[napi]
impl FleetObserver {
    #[napi(constructor, catch_unwind)]
    pub fn new(namespace: String, sharing: String, process: String) -> Result<Self> {
        let Sharing { backends, .. } = Sharing::read(&sharing, &namespace)?;
        let process: Process = serde_json::from_str(&process).map_err(config)?;
        let connection: Arc<ArcSwapOption<Connection>> = Arc::default();
        let connected = Arc::clone(&connection);
        // Below 2^53, which scripts count in.
        let instance = RandomState::new().hash_one(1_u8) >> 11;
        let member = Member { instance, role: Role::Observer, process, declared: None };
        let store = move || Some(Store::Redis(Control::new((*connected.load_full()?).clone())));
        let deployment = Deployment::start(&runtime()?, member, store, Arc::new(NoPolicies));
        Ok(Self { backends, connection, deployment })
    }

    /// Connects to the first backend; resolves once what the fleet has agreed on was read.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn connect<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let first = self.backends.first().cloned().ok_or_else(|| config("backends: none"))?;
        let connection = Arc::clone(&self.connection);
        let mut seen = self.deployment.seen();
        promised(env, async move {
            let connected = first.connect().await.map_err(|failure| format!("{first}: {failure}"))?;
            let description = connected.description().clone();
            connection.store(Some(Arc::new(connected)));
            let read = seen.wait_for(|seen| seen.failure.is_none() && (seen.record.is_some() || seen.looked));
            let patience = tollgate_redis::deployment::ALIVE;
            // A fleet that has agreed on nothing yet is one, too.
            let _ = tokio::time::timeout(patience, read).await;
            serde_json::to_string(&description.kind).map_err(|error| error.to_string())
        })
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn propose<'env>(
        &self,
        env: &'env Env,
        policy: &CompiledPolicy,
        options: String,
    ) -> Result<Object<'env>> {
        propose(env, &self.deployment, policy, &options)
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn roll_back<'env>(&self, env: &'env Env, to: f64, options: String) -> Result<Object<'env>> {
        roll_back(env, &self.deployment, to, &options)
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn ask_rollout<'env>(&self, env: &'env Env, what: String, by: String) -> Result<Object<'env>> {
        ask(env, &self.deployment, &what, by)
    }

    #[napi(catch_unwind)]
    pub fn fleet(&self) -> Result<String> {
        known(&self.deployment)
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn audit<'env>(&self, env: &'env Env, count: u32) -> Result<Object<'env>> {
        let connection = self.connection.load_full();
        let store = connection.map(|connection| Store::Redis(Control::new((*connection).clone())));
        audited(env, store, count)
    }

    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn inspect<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        inspected(env, self.backends.clone())
    }

    /// Leaves the fleet; resolves once that is known there, or within a second.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn close<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let left = self.deployment.leave();
        promised(env, async move {
            left.await;
            Ok(String::new())
        })
    }
}
