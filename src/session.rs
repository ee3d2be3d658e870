//! One limiter in one environment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use napi::{Env, Task, sys};
use tollgate_core::adjust::NotDone;
use tollgate_core::comparison::Wants;
use tollgate_core::path::Method;
use tollgate_core::{Charged, Decision, Gate, Nanos, Outcome, Policy, Request, Ruling, Scope, Subject};

use crate::answer::{Answer, CLOSED, INVALID_COST, INVALID_TENANT, NO_TOKENS, STALE};
use crate::arguments::Arguments;
use crate::clock;
use crate::judging::Judging;
use crate::namespace::Space;
use crate::sharing::Shared;
use crate::tickets::{Settlement, Tickets};
use crate::upkeep::Upkeep;

/// The longest name, in bytes of UTF-8.
pub const LONGEST_NAME: usize = tollgate_core::policy::LONGEST_NAME;

/// When a request is to be tried again for which there was no ticket.
const TRY_AGAIN: Nanos = Nanos::from_secs(1);

/// A limiter that is closed ends so many tickets by itself: some tens of microseconds' worth.
const ENDED_AT_ONCE: usize = 100;

/// How many limiters there have been in the process.
static NUMBERS: AtomicUsize = AtomicUsize::new(0);

/// One limiter in one environment. On that environment's thread alone.
pub struct Session {
    gate: Option<Gate>,
    /// The namespace, as long as the gate is open.
    space: Option<Arc<Space>>,
    ruling: Ruling,
    tickets: Tickets,
    /// Does JavaScript give the time? Then that is the wall clock too.
    given_clock: bool,
    /// The time of the last decision by rules.
    last_seen: Nanos,
    upkeep: Arc<AtomicBool>,
    judging: Judging,
    /// Is it about to close?
    leaves: bool,
    number: usize,
}

impl Session {
    pub fn new(space: Arc<Space>, given_clock: bool) -> Self {
        let gate = Some(space.engine.gate());
        let (ruling, tickets, upkeep) = (Ruling::default(), Tickets::default(), Arc::default());
        let judging = Judging::new(space.compared.numbers());
        let space = Some(space);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let last_seen = Nanos::ZERO;
        Self { gate, space, ruling, tickets, given_clock, last_seen, upkeep, judging, leaves: false, number }
    }

    /// How its namespace is shared, if it is.
    pub fn shared(&self) -> Option<&Shared> {
        self.space.as_ref()?.shared.as_ref()
    }

    /// Its number in the process.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Is about to close; gives whether all limiters of its namespace are.
    pub fn leave(&mut self) -> bool {
        let Some(space) = &self.space else { return false };
        if !std::mem::replace(&mut self.leaves, true) {
            space.leaving.fetch_add(1, Ordering::AcqRel);
        }
        space.leaving.load(Ordering::Acquire) >= Arc::strong_count(space)
    }

    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    pub fn gate_mut(&mut self) -> Option<&mut Gate> {
        self.gate.as_mut()
    }

    /// What a decision needs of a request, and what JavaScript has read once it knows that; with the policy in force.
    pub fn read(&mut self, now: Nanos) -> Option<(Wants, u64, Arc<Policy>)> {
        let (gate, space) = (self.gate.as_mut()?, self.space.as_ref()?);
        gate.generation(now);
        let policy = Arc::clone(gate.policy());
        let (wants, reading) = self.judging.read(&space.compared, &policy);
        Some((wants, reading, policy))
    }

    pub fn space(&self) -> Option<&Arc<Space>> {
        self.space.as_ref()
    }

    pub fn judging(&self) -> &Judging {
        &self.judging
    }

    /// Who is gone holds no slots. Many are given back on libuv's pool, where there still is an environment for that.
    pub fn close(&mut self, env: Option<sys::napi_env>, now: Nanos) {
        let Some(mut gate) = self.gate.take() else { return };
        self.judging.close();
        if let Some(space) = self.space.take() {
            if let Some(shared) = &space.shared {
                shared.forget(self.number);
            }
            if self.leaves {
                space.leaving.fetch_sub(1, Ordering::AcqRel);
            }
        }
        let tickets = std::mem::take(&mut self.tickets);
        match env {
            Some(env) if tickets.len() > ENDED_AT_ONCE => {
                // It cannot be queued while the environment ends; then its threads' slots go with the process.
                let _ = Env::from_raw(env).spawn(Ending { gate, tickets, now });
            }
            _ => tickets.end_all(&mut gate, now),
        }
    }

    /// Decides by the tenant's quota alone, with the cost and time left in the answer. Without a `name`, JavaScript gave
    /// none that can be one.
    #[inline]
    pub fn consume(&mut self, answer: &mut Answer, subject: Subject, name: Option<&[u8]>) -> i32 {
        let Some(gate) = self.gate.as_mut() else { return CLOSED };
        let Some(cost) = answer.cost() else { return INVALID_COST };
        let Some(name) = acceptable(name) else { return INVALID_TENANT };
        let now = answer.now();
        if !self.judging.is_quiet() {
            return self.consume_compared(answer, (subject, name), cost, now);
        }
        match gate.consume_plainly(subject, name, cost, now) {
            Some(decision) => answer.leave(&decision),
            None => gate.consume_plainly_anyhow(subject, name, cost, now).map_or(STALE, |decision| {
                let outcome = answer.leave(&decision);
                answer.leave_awaited(outcome, gate)
            }),
        }
    }

    /// As [`Session::consume`], while another policy judges the same requests.
    #[cold]
    #[inline(never)]
    fn consume_compared(
        &mut self,
        answer: &mut Answer,
        (subject, name): (Subject, &[u8]),
        cost: u64,
        now: Nanos,
    ) -> i32 {
        let Self { gate, judging, ruling, .. } = self;
        let Some(gate) = gate else { return CLOSED };
        let generation = gate.generation(now);
        if !judging.is_read() || !gate.policy().is_plain() {
            return STALE;
        }
        let request = Request { generation: Some(generation), ..Request::of(subject, name) };
        if !gate.decide(&request, cost, now, ruling) {
            return STALE;
        }
        judging.judge(gate, ruling, &request, cost, now);
        let outcome = answer.leave(ruling.decision());
        answer.leave_awaited(outcome, gate)
    }

    /// Decides on a request, with what is left in the answer.
    pub fn decide(&mut self, answer: &mut Answer, arguments: &Arguments) -> i32 {
        let Some(cost) = answer.cost() else { return INVALID_COST };
        self.with_request(answer, arguments, |session, answer, request, now| {
            let Some(gate) = &mut session.gate else { return CLOSED };
            if !gate.decide(request, cost, now, &mut session.ruling) {
                return STALE;
            }
            let asked = answer.asked();
            let charged_there = session.judging.takes_part()
                && session.judging.judge(gate, &session.ruling, request, cost, now);
            let wanted = |charge: &Charged| charge.slot || asked.ticket();
            let charges: Box<[Charged]> = session.ruling.charges().filter(wanted).collect();
            // What the other policy has charged comes back by the same ticket.
            let ticket = if charges.is_empty()
                && !(charged_there && asked.ticket() && session.ruling.decision().allowed())
            {
                0.0
            } else if let Some(ticket) = session.tickets.issue(request.subject, request.name, charges, now) {
                if asked.ticket() {
                    session.judging.keep(ticket, request, now);
                }
                ticket as f64
            } else {
                // Nobody could hand them in: so nothing is charged.
                for charge in session.ruling.charges() {
                    gate.give_back(charge, now, now);
                }
                session
                    .ruling
                    .refuse(Decision { retry: Some(TRY_AGAIN), ..Decision::never(Outcome::Overflow) });
                0.0
            };
            let outcome = answer.leave_ruling(&session.ruling, ticket);
            answer.leave_awaited(outcome, gate)
        })
    }

    /// What [`Session::decide`] would come to.
    pub fn examine(&mut self, answer: &mut Answer, arguments: &Arguments) -> i32 {
        let Some(cost) = answer.cost() else { return INVALID_COST };
        self.with_request(answer, arguments, |session, answer, request, now| {
            let Some(gate) = &mut session.gate else { return CLOSED };
            if !gate.examine(request, cost, now, &mut session.ruling) {
                return STALE;
            }
            answer.leave_ruling(&session.ruling, 0.0)
        })
    }

    /// Does something to the bucket of the request's rule, or of its tenant, and leaves what that has then.
    pub fn adjust(
        &mut self,
        answer: &mut Answer,
        arguments: &Arguments,
        adjust: impl Fn(&mut Gate, &Request<'_>, Nanos) -> Result<Decision, NotDone>,
    ) -> i32 {
        self.with_request(answer, arguments, |session, answer, request, now| {
            let Some(gate) = &mut session.gate else { return CLOSED };
            match adjust(gate, request, now) {
                Ok(decision) => {
                    // Where the other policy has no such bucket, there is nothing to do.
                    session.judging.follow(gate.policy(), request, |gate, request| {
                        let _ = adjust(gate, request, now);
                    });
                    answer.leave(&decision)
                }
                Err(NotDone::OtherPolicy) => STALE,
                Err(NotDone::NoTokens) => NO_TOKENS,
            }
        })
    }

    /// In words: what the policy makes of a request, and why.
    pub fn explain(&mut self, answer: &mut Answer, arguments: &Arguments) -> Option<String> {
        let cost = answer.cost()?;
        if self.examine(answer, arguments) < 0 {
            return None;
        }
        let policy = self.gate.as_ref()?.policy();
        let (image, ruling) = (policy.image(), &self.ruling);
        // The entry of a rule, or that of the tenant: the only one that is not a rule's.
        let left = |entry: u32| {
            let rule = image.entry(entry).and_then(|entry| entry.rule);
            let applied = ruling.applied().iter().find(|applied| applied.rule == rule);
            applied.map(|applied| applied.decision.remaining)
        };
        let tenant = arguments.name().filter(|_| !answer.asked().anonymous()).map(String::from_utf8_lossy);
        let target = arguments.target().map(String::from_utf8_lossy);
        let request = tollgate_core::policy::explain::Request {
            tenant: tenant.as_deref(),
            method: Method::names().nth(usize::from(answer.method())).unwrap_or_default(),
            path: target.as_deref().unwrap_or_default(),
            address: arguments.address(),
            cost,
        };
        Some(image.explain(&request, left))
    }

    /// Makes the request of what JavaScript gave, if it has read the policy that decides.
    fn with_request(
        &mut self,
        answer: &mut Answer,
        arguments: &Arguments,
        decide: impl FnOnce(&mut Self, &mut Answer, &Request<'_>, Nanos) -> i32,
    ) -> i32 {
        let Some(gate) = &mut self.gate else { return CLOSED };
        let Some(name) = acceptable(arguments.name()) else { return INVALID_TENANT };
        let (asked, now) = (answer.asked(), answer.now());
        let generation = gate.generation(now);
        if self.judging.reading(generation.get()) != answer.generation() {
            return STALE;
        }
        self.last_seen = now;
        // What they hold is free, for whoever looks.
        self.tickets.drop_expired(gate, now);
        let mut values = ArrayVec::new();
        arguments.values(&mut values);
        let request = Request {
            subject: if asked.anonymous() { Subject::Anonymous } else { Subject::Tenant },
            name,
            method: Method::from_code(answer.method()),
            target: arguments.target(),
            address: arguments.address(),
            values: &values,
            rule: answer.rule(),
            scope: if asked.rule_alone() { Scope::RuleAlone } else { Scope::Everything },
            last_word: asked.last_word(),
            generation: Some(generation),
        };
        decide(self, answer, &request, now)
    }

    /// Hands a ticket in; `false` if there is none of that number any more.
    pub fn settle(&mut self, ticket: u64, settlement: &Settlement, now: Nanos) -> bool {
        let Some(gate) = &mut self.gate else { return false };
        self.judging.settle(ticket, settlement, now);
        self.tickets.settle(gate, ticket, settlement, now)
    }

    /// Slots come back; what was charged waits to be ended or cancelled.
    pub fn release(&mut self, ticket: u64, now: Nanos) {
        if let Some(gate) = &mut self.gate {
            self.tickets.release(gate, ticket, now);
        }
    }

    pub fn expire(&mut self, ticket: u64, at: Nanos) {
        self.judging.expire(ticket, at);
        self.tickets.expire(ticket, at);
    }

    /// Ends some of the tickets that have expired; gives whether there are tickets left that will.
    pub fn drop_expired(&mut self, now: Nanos) -> bool {
        if let Some(gate) = &mut self.gate {
            self.tickets.drop_expired(gate, now);
        }
        self.tickets.are_expiring()
    }

    /// Starts [`Upkeep`] on libuv's pool if decisions have left something for it, and none is running.
    #[inline]
    pub fn keep_up(&mut self, env: sys::napi_env, answer: &Answer) {
        if self.gate.as_ref().is_some_and(Gate::wants_upkeep) {
            self.start_upkeep(env, answer);
        }
    }

    #[cold]
    pub fn start_upkeep(&mut self, env: sys::napi_env, answer: &Answer) {
        let Some(gate) = &mut self.gate else { return };
        // While one runs, the wish stays: what was left since may be more than that one sees.
        if !self.upkeep.swap(true, Ordering::AcqRel) {
            gate.take_wants_upkeep();
            let upkeep = Upkeep {
                engine: Arc::clone(gate.engine()),
                other: self.judging.take_wants_upkeep(),
                now: clock::epoch(answer.now(), self.given_clock),
                running: Arc::clone(&self.upkeep),
            };
            // It cannot be queued while the environment ends; then there is nothing to keep up.
            let _ = Env::from_raw(env).spawn(upkeep);
        }
    }
}

/// An environment that ends without closing its limiters holds no slots either.
impl Drop for Session {
    fn drop(&mut self) {
        // With a clock of its own, the time that it gave last: no other means anything to its buckets.
        self.close(None, if self.given_clock { self.last_seen } else { clock::now() });
    }
}

/// The rest of a limiter that was closed while many of its tickets were open.
struct Ending {
    gate: Gate,
    tickets: Tickets,
    now: Nanos,
}

impl Task for Ending {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<()> {
        let tickets = std::mem::take(&mut self.tickets);
        // A panic must not cross into libuv.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            tickets.end_all(&mut self.gate, self.now);
        }));
        Ok(())
    }

    fn resolve(&mut self, _env: Env, (): ()) -> napi::Result<()> {
        Ok(())
    }
}

/// A name that can be a tenant's.
#[inline]
fn acceptable(name: Option<&[u8]>) -> Option<&[u8]> {
    name.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME)
}
