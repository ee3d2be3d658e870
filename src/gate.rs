//! One environment's handle on the engine of a namespace.

use std::cell::RefCell;
use std::rc::Rc;

use napi::bindgen_prelude::{Float64Array, FromNapiValue, JsObjectValue, Object, Unknown, Utf16String};
use napi::{Env, sys};
use napi_derive::napi;
use tollgate_core::{Capacity, Decision, Limit, Nanos, Subject};

use crate::answer::{Answer, INVALID_COST, INVALID_TENANT, tokens};
use crate::draft::PolicyDraft;
use crate::error::{Result, closed, config, internal};
use crate::session::Session;
use crate::{hot, namespace};

/// A limit as it was declared. Without a limit, the quota is Infinity; with a limit that admits nothing, 0.
#[napi(object)]
pub struct LimitRow {
    pub quota: f64,
    pub burst: f64,
    pub window_ms: f64,
}

/// What the engine holds at the moment.
#[napi(object)]
pub struct GateStats {
    pub keys: f64,
    pub slots: f64,
    pub bytes: f64,
    pub overflowed: f64,
    pub tenants: f64,
    pub limits: f64,
    pub policy_hash: String,
}

#[napi]
pub struct Gate {
    session: Rc<RefCell<Session>>,
}

fn subject(anonymous: bool) -> Subject {
    if anonymous { Subject::Anonymous } else { Subject::Tenant }
}

#[napi]
impl Gate {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        namespace: String,
        draft: &mut PolicyDraft,
        max_keys: u32,
        key_share: f64,
        answer: Float64Array,
    ) -> Result<Self> {
        let answer = Answer::try_from(answer)?;
        if !(key_share > 0.0 && key_share <= 1.0) {
            return Err(config(format!("keyShare: {key_share}; accepted is above 0, at most 1")));
        }
        let engine =
            namespace::enter(&namespace, draft.finish()?, Capacity { max_keys, key_share }, answer.now())?;
        Ok(Self { session: Rc::new(RefCell::new(Session::new(engine.gate(), answer))) })
    }

    /// The functions on the path of a request.
    #[napi(
        catch_unwind,
        ts_return_type = "{ consume(tenant: string): void; consumeAnonymous(key: string): void }"
    )]
    pub fn hot(&self, env: Env) -> Result<Object<'_>> {
        let mut functions = Object::new(&env).map_err(internal)?;
        let mut set = |name: &str, function: sys::napi_value| {
            // SAFETY: the value was made in this environment, in this call's scope.
            #[expect(unsafe_code, reason = "a raw function becomes a value")]
            let function = unsafe { Unknown::from_napi_value(env.raw(), function) }.map_err(internal)?;
            functions.set_named_property(name, function).map_err(internal)
        };
        set("consume", hot::consume(env.raw(), &self.session)?)?;
        set("consumeAnonymous", hot::consume_anonymous(env.raw(), &self.session)?)?;
        Ok(functions)
    }

    #[napi(catch_unwind)]
    pub fn peek(&self, env: Env, name: Utf16String, anonymous: bool) -> i32 {
        let Some(cost) = self.session.borrow().answer.cost() else { return INVALID_COST };
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

    /// A limit, by the index that a decision gave.
    #[napi(catch_unwind)]
    pub fn limit_at(&self, index: u32) -> Result<LimitRow> {
        let session = self.session.borrow();
        let policy = session.gate().ok_or_else(closed)?.engine().policy();
        let limit =
            policy.limit(index).ok_or_else(|| config(format!("limit {index}: there is no such limit")))?;
        Ok(match limit {
            Limit::Unlimited => LimitRow { quota: f64::INFINITY, burst: 0.0, window_ms: 0.0 },
            Limit::Nothing => LimitRow { quota: 0.0, burst: 0.0, window_ms: 0.0 },
            Limit::TokenBucket(gcra) => LimitRow {
                quota: gcra.quota() as f64,
                burst: gcra.burst() as f64,
                window_ms: gcra.window().as_millis_ceil() as f64,
            },
        })
    }

    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<GateStats> {
        let session = self.session.borrow();
        let engine = session.gate().ok_or_else(closed)?.engine();
        let (stats, policy) = (engine.stats(), engine.policy());
        Ok(GateStats {
            keys: stats.keys as f64,
            slots: stats.slots as f64,
            bytes: stats.bytes as f64,
            overflowed: stats.overflowed as f64,
            tenants: policy.tenants() as f64,
            limits: policy.limits() as f64,
            policy_hash: policy.hash().to_owned(),
        })
    }

    /// Sweeps the table, in the background: buckets that are full again are dropped.
    #[napi(catch_unwind)]
    pub fn sweep(&self, env: Env) -> Result<()> {
        let mut session = self.session.borrow_mut();
        session.gate().ok_or_else(closed)?.engine().ask_for_renewal();
        session.start_upkeep(env.raw());
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.session.borrow_mut().close();
    }

    fn decide(
        &self,
        env: Env,
        name: &[u16],
        decide: impl FnOnce(&mut tollgate_core::Gate, &[u8], Nanos) -> Decision,
    ) -> i32 {
        let Ok(name) = String::from_utf16(name) else { return INVALID_TENANT };
        let mut session = self.session.borrow_mut();
        let outcome = session.decide(name.as_bytes(), |gate, now| decide(gate, name.as_bytes(), now));
        session.keep_up(env.raw());
        outcome
    }
}
