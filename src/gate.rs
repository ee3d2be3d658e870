//! One environment's handle on the engine of a namespace.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, Float64Array, Utf16String};
use napi_derive::napi;
use tollgate_core::adjust::NotDone;
use tollgate_core::policy::Part;
use tollgate_core::{Capacity, Decision, Engine, Nanos, Request};

use crate::amend::{Amend, Replace};
use crate::answer::{CLOSED, INVALID_COST, tokens};
use crate::channel::{Channel, Sessions};
use crate::columns::Columns;
use crate::compiled::CompiledPolicy;
use crate::error::{self, closed, config};
use crate::namespace::{self, InForce};
use crate::tickets::Settlement;

mod comparing;
mod fleet;

/// What the engine holds at the moment.
#[napi(object)]
pub struct GateStats {
    pub keys: f64,
    pub slots: f64,
    pub bytes: f64,
    pub overflowed: f64,
    pub revision: f64,
    pub tenants: f64,
    pub rules: f64,
    pub limits: f64,
    pub image_bytes: f64,
    pub optimization_level: f64,
    pub policy_hash: String,
}

/// What a decision by the policy in force needs of a request.
#[napi(object)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of a request")]
pub struct GateNeeds {
    /// What tells this policy from every other.
    pub generation: f64,
    /// Does the tenant alone decide?
    pub plain: bool,
    pub path: bool,
    pub method: bool,
    /// For the lists, or for rules that are kept per address.
    pub address: bool,
    pub user: bool,
    /// Names of keys that rules are kept per, in the order in which they are to be given.
    pub keys: Vec<String>,
    /// Names of rules, by number.
    pub rules: Vec<String>,
    /// Is a rule kept per tenant, and nothing more? By number.
    pub per_tenant: Vec<bool>,
    /// The number of the comparison with another policy that is under way, whose needs are among these; 0 while there is none.
    pub comparison: f64,
    /// Does the policy in force by itself need the user?
    pub own_user: bool,
    /// How many of the keys it needs by itself: the first ones.
    pub own_keys: u32,
}

#[napi]
pub struct Gate {
    sessions: Rc<RefCell<Sessions>>,
    id: usize,
    in_force: Arc<InForce>,
}

/// What a slower call says of a request: its name, its path, its address and the values that rules are kept per.
type Said = Vec<Option<Utf16String>>;

#[napi]
impl Gate {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        channel: &Channel,
        namespace: String,
        policy: &CompiledPolicy,
        max_keys: u32,
        key_share: f64,
        refreshes: bool,
        sharing: Option<String>,
    ) -> error::Result<Self> {
        if !(key_share > 0.0 && key_share <= 1.0) {
            return Err(config(format!("keyShare: {key_share}; accepted is above 0, at most 1")));
        }
        let mut sessions = channel.sessions.borrow_mut();
        let capacity = Capacity { max_keys, key_share };
        let given_clock = sessions.answer.gives_time();
        let now = crate::clock::epoch(sessions.answer.now(), given_clock);
        let space = namespace::enter(&namespace, policy, capacity, refreshes, sharing, now)?;
        let in_force = Arc::clone(&space.in_force);
        let id = sessions.enter(space, given_clock);
        Ok(Self { sessions: Rc::clone(&channel.sessions), id, in_force })
    }

    /// Its number among the limiters of its environment.
    #[napi(getter)]
    pub fn id(&self) -> f64 {
        self.id as f64
    }

    #[napi(catch_unwind)]
    pub fn needs(&self) -> error::Result<GateNeeds> {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.answer.now();
        let (session, _) = sessions.get(self.id).ok_or_else(closed)?;
        let (wants, reading, policy) = session.read(now).ok_or_else(closed)?;
        let image = policy.image();
        Ok(GateNeeds {
            generation: reading as f64,
            plain: !wants.more,
            path: wants.path,
            method: wants.method,
            address: wants.address,
            user: wants.user,
            keys: wants.keys.iter().map(ToString::to_string).collect(),
            comparison: session.judging().number() as f64,
            own_user: image.needs().user,
            own_keys: u32::try_from(image.key_names().len()).unwrap_or(u32::MAX),
            rules: image.rules().iter().map(|rule| rule.name.to_string()).collect(),
            per_tenant: image.rules().iter().map(|rule| *rule.per == [Part::Tenant]).collect(),
        })
    }

    /// The number of a rule, in the policy that [`Gate::needs`] speaks of; -1 for a name that none has.
    #[napi(catch_unwind)]
    pub fn rule_named(&self, name: String) -> error::Result<f64> {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.answer.now();
        let session = sessions.get(self.id).map(|(session, _)| session);
        let gate = session.and_then(|session| session.gate_mut()).ok_or_else(closed)?;
        // Whoever counts on an older policy finds that it is stale when it decides.
        gate.generation(now);
        Ok(gate.policy().image().rule_named(&name).map_or(-1.0, f64::from))
    }

    /// The names of the tiers of the policy in force, in the order in which tenants' rows number them.
    #[napi(catch_unwind)]
    pub fn tiers(&self) -> error::Result<Vec<String>> {
        let policy = self.engine()?.policy();
        Ok(policy.image().tiers().iter().map(|tier| tier.name.to_string()).collect())
    }

    #[napi(catch_unwind)]
    pub fn examine(&self, env: Env, request: Said) -> i32 {
        self.with_arguments(env, &request, |sessions, id| {
            let (session, answer, arguments) = sessions.session(id)?;
            Some(session.examine(answer, arguments))
        })
    }

    #[napi(catch_unwind)]
    pub fn reward(&self, env: Env, request: Said, amount: f64) -> i32 {
        let Some(amount) = tokens(amount) else { return INVALID_COST };
        self.adjust(env, &request, |gate, request, now| gate.reward(request, amount, now))
    }

    #[napi(catch_unwind)]
    pub fn penalize(&self, env: Env, request: Said, amount: f64) -> i32 {
        let Some(amount) = tokens(amount) else { return INVALID_COST };
        self.adjust(env, &request, |gate, request, now| gate.penalize(request, amount, now))
    }

    #[napi(catch_unwind)]
    pub fn block(&self, env: Env, request: Said, duration_ms: f64) -> i32 {
        let Some(millis) = tokens(duration_ms) else { return INVALID_COST };
        let time = Nanos::from_millis(millis);
        self.adjust(env, &request, |gate, request, now| gate.block(request, time, now))
    }

    #[napi(catch_unwind)]
    pub fn reset(&self, env: Env, request: Said) -> i32 {
        self.adjust(env, &request, tollgate_core::Gate::reset)
    }

    /// The request has ended: slots come back, costs stay.
    #[napi(catch_unwind)]
    pub fn end(&self, env: Env, ticket: f64) -> bool {
        self.settle(env, ticket, &Settlement::Ended)
    }

    /// As if it had not been: everything comes back.
    #[napi(catch_unwind)]
    pub fn cancel(&self, env: Env, ticket: f64) -> bool {
        self.settle(env, ticket, &Settlement::Cancelled)
    }

    /// It cost so much, whatever was charged; `false` if the ticket was handed in before, or has expired.
    #[napi(catch_unwind)]
    pub fn settle_at(&self, env: Env, ticket: f64, actual: f64) -> error::Result<bool> {
        let actual = tokens(actual).ok_or_else(|| config(format!("actual: {actual}")))?;
        Ok(self.settle(env, ticket, &Settlement::Actual(actual)))
    }

    /// The response has ended: slots come back, and costs wait to be ended or cancelled.
    #[napi(catch_unwind)]
    pub fn release(&self, env: Env, ticket: f64) {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.answer.now();
        if let (Some(ticket), Some((session, answer))) = (tokens(ticket), sessions.get(self.id)) {
            session.release(ticket, now);
            session.keep_up(env.raw(), answer);
        }
    }

    /// Ends some of the tickets that have expired; gives whether there are tickets left that will.
    #[napi(catch_unwind)]
    pub fn drop_expired(&self) -> bool {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.answer.now();
        sessions.get(self.id).is_some_and(|(session, _)| session.drop_expired(now))
    }

    /// Lets a ticket expire after a time: then what was charged stays charged.
    #[napi(catch_unwind)]
    pub fn expire(&self, ticket: f64, after_ms: f64) {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.answer.now();
        if let (Some(ticket), Some(after)) = (tokens(ticket), tokens(after_ms))
            && let Some((session, _)) = sessions.get(self.id)
        {
            session.expire(ticket, now + Nanos::from_millis(after));
        }
    }

    /// In words: what the policy makes of a request, and why.
    #[napi(catch_unwind)]
    pub fn explain(&self, env: Env, request: Said) -> String {
        let mut text = None;
        self.with_arguments(env, &request, |sessions, id| {
            let (session, answer, arguments) = sessions.session(id)?;
            text = session.explain(answer, arguments);
            Some(0)
        });
        // Of a policy that was replaced this moment there is nothing to say.
        text.unwrap_or_default()
    }

    /// Gives tenants limits of their own, and takes others' away; resolves, once that is in force, to which of those had
    /// one.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean[]>")]
    pub fn amend(
        &self,
        names: Vec<String>,
        quotas: Float64Array,
        bursts: Float64Array,
        windows_ms: Float64Array,
        kinds: Float64Array,
        removed: Vec<String>,
    ) -> error::Result<AsyncTask<Amend>> {
        let columns = Columns::new(&quotas, &bursts, &windows_ms, &kinds);
        let rows = columns.rows(names)?;
        let now = self.sessions.borrow().answer.now();
        Ok(AsyncTask::new(Amend { engine: self.engine()?, rows, removed, now }))
    }

    /// What the policy in force says, but for its tenants, in the JSON that it was given in.
    #[napi(catch_unwind)]
    pub fn spec(&self) -> String {
        self.in_force.spec().to_string()
    }

    /// Replaces the policy; resolves, once it is in force, to whether it is another one. One that has only loaded its
    /// tenants anew, for `refreshes`, does not replace one that says something else: that came in between.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean>")]
    pub fn replace(&self, policy: &CompiledPolicy, refreshes: bool) -> error::Result<AsyncTask<Replace>> {
        let now = self.sessions.borrow().answer.now();
        Ok(AsyncTask::new(Replace {
            engine: self.engine()?,
            in_force: Arc::clone(&self.in_force),
            policy: Some((policy.compiled(), policy.definition().clone())),
            refreshes,
            now,
        }))
    }

    #[napi(catch_unwind)]
    pub fn stats(&self) -> error::Result<GateStats> {
        let engine = self.engine()?;
        let (stats, policy) = (engine.stats(), engine.policy());
        let (image, report) = (policy.image(), &policy.compiled().report);
        Ok(GateStats {
            keys: stats.keys as f64,
            slots: stats.slots as f64,
            bytes: stats.bytes as f64,
            overflowed: stats.overflowed as f64,
            revision: stats.revision as f64,
            tenants: image.tenants() as f64,
            rules: image.rules().len() as f64,
            limits: image.limits() as f64,
            image_bytes: image.bytes().len() as f64,
            optimization_level: f64::from(report.level),
            policy_hash: image.hash().to_owned(),
        })
    }

    /// Sweeps the table, in the background: buckets that are full again are dropped.
    #[napi(catch_unwind)]
    pub fn sweep(&self, env: Env) -> error::Result<()> {
        self.engine()?.ask_for_renewal();
        if let Some((session, answer)) = self.sessions.borrow_mut().get(self.id) {
            session.start_upkeep(env.raw(), answer);
        }
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn close(&self, env: Env) {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.answer.now();
        if let Some((session, _)) = sessions.get(self.id) {
            session.close(Some(env.raw()), now);
        }
    }

    pub(super) fn engine(&self) -> error::Result<Arc<Engine>> {
        let mut sessions = self.sessions.borrow_mut();
        let gate = sessions.get(self.id).and_then(|(session, _)| session.gate());
        gate.map(|gate| Arc::clone(gate.engine())).ok_or_else(closed)
    }

    fn adjust(
        &self,
        env: Env,
        request: &Said,
        adjust: impl Fn(&mut tollgate_core::Gate, &Request<'_>, Nanos) -> Result<Decision, NotDone>,
    ) -> i32 {
        self.with_arguments(env, request, |sessions, id| {
            let (session, answer, arguments) = sessions.session(id)?;
            Some(session.adjust(answer, arguments, adjust))
        })
    }

    /// Reads a request into the arguments, does something about it, and starts what upkeep that leaves.
    fn with_arguments(
        &self,
        env: Env,
        request: &Said,
        act: impl FnOnce(&mut Sessions, usize) -> Option<i32>,
    ) -> i32 {
        let mut sessions = self.sessions.borrow_mut();
        sessions.arguments.read(request.iter().map(Option::as_deref));
        let outcome = act(&mut sessions, self.id).unwrap_or(CLOSED);
        if let Some((session, answer)) = sessions.get(self.id) {
            session.keep_up(env.raw(), answer);
        }
        outcome
    }

    fn settle(&self, env: Env, ticket: f64, settlement: &Settlement) -> bool {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.answer.now();
        let (Some(ticket), Some((session, answer))) = (tokens(ticket), sessions.get(self.id)) else {
            return false;
        };
        let settled = session.settle(ticket, settlement, now);
        session.keep_up(env.raw(), answer);
        settled
    }
}

/// A limiter that nobody can reach any more is as good as closed.
impl Drop for Gate {
    fn drop(&mut self) {
        // Collected in the middle of a call, if ever, it is left to the end of the environment.
        if let Ok(mut sessions) = self.sessions.try_borrow_mut()
            && let Some((session, _)) = sessions.get(self.id)
        {
            session.close(None, crate::clock::now());
        }
    }
}
