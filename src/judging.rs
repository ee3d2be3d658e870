//! One limiter's part in the comparison that is under way in its namespace, and what JavaScript has been told to give for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate_core::comparison::{Comparison, Judge, Wants};
use tollgate_core::{Engine, Gate, Nanos, Policy, Request, Ruling};

use crate::namespace::Compared;
use crate::tickets::{Settlement, Tickets};

/// Numbers of comparisons lie above those of policies in what JavaScript has read: both together are below 2^53.
const POLICIES: u32 = 32;

/// While a comparison is under way, no number of one is that of a time of quiet.
const NEVER: u64 = u64::MAX;

/// One limiter's part in the comparison that is under way.
pub struct Judging {
    /// The number of the comparison that JavaScript has read of last, if that was none; otherwise [`NEVER`].
    quiet: u64,
    /// The number of comparisons in the namespace: a decision that finds the quiet one does nothing else.
    numbers: Arc<AtomicU64>,
    /// Apart from what every decision looks at.
    part: Option<Box<Part>>,
}

/// Where one is under way.
struct Part {
    number: u64,
    judge: Judge,
    /// What the other policy has charged for requests that have a ticket here, under its number.
    tickets: Tickets,
}

impl Judging {
    pub fn new(numbers: Arc<AtomicU64>) -> Self {
        // Whatever is under way, JavaScript has not read of it.
        Self { quiet: 0, numbers, part: None }
    }

    /// Is nothing compared, as JavaScript has read?
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.numbers.load(Ordering::Relaxed) == self.quiet
    }

    /// Has JavaScript read of the comparison that is under way?
    pub fn is_read(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.number == self.numbers.load(Ordering::Relaxed))
    }

    /// What JavaScript has read, if it has read this policy, and of the comparison that is under way now.
    #[inline]
    pub fn reading(&self, generation: u64) -> u64 {
        self.numbers.load(Ordering::Relaxed) << POLICIES | generation
    }

    /// Looks at what is under way; gives what JavaScript is to give of a request, and what it then has read.
    pub fn read(&mut self, compared: &Compared, live: &Policy) -> (Wants, u64) {
        let (number, comparison) = compared.read();
        match (comparison, &mut self.part) {
            (Some(_), Some(part)) if part.number == number => part.judge.turn_to(live),
            (comparison, _) => {
                let judge = comparison.map(|comparison| Judge::new(comparison, live));
                self.part = judge.map(|judge| Box::new(Part { number, judge, tickets: Tickets::default() }));
            }
        }
        self.quiet = if self.part.is_some() { NEVER } else { number };
        let wants = self.part.as_ref().map_or_else(|| Wants::of(live), |part| part.judge.wants().clone());
        (wants, number << POLICIES | live.generation().get())
    }

    /// The number of the comparison that JavaScript has read of; 0 for none.
    pub fn number(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.number)
    }

    /// The number by which a request asks for a rule of either policy.
    pub fn rule_asked(&self, live: &Policy, name: &str) -> Option<u16> {
        match &self.part {
            None => live.image().rule_named(name),
            Some(part) => part.judge.rule_asked(live, name),
        }
    }

    /// Is something compared, as JavaScript has read?
    #[inline]
    pub fn takes_part(&self) -> bool {
        self.part.is_some()
    }

    /// Judges a request that has been decided on; gives whether the other policy has charged something that may come back.
    #[cold]
    pub fn judge(
        &mut self,
        gate: &mut Gate,
        ruling: &Ruling,
        request: &Request<'_>,
        cost: u64,
        now: Nanos,
    ) -> bool {
        let Some(part) = &mut self.part else { return false };
        let comparison = Arc::clone(part.judge.comparison());
        let judged = guarded(&comparison, || {
            // What they hold is free.
            part.tickets.drop_expired(part.judge.gate(), now);
            part.judge.judge((gate.engine(), gate.policy(), ruling), request, cost, now);
            part.judge.charges().next().is_some()
        });
        if part.judge.gate().wants_upkeep() {
            gate.want_upkeep();
        }
        judged.unwrap_or_default()
    }

    /// Keeps what was charged for the request that was judged last, to be given back with a ticket.
    pub fn keep(&mut self, ticket: u64, request: &Request<'_>, now: Nanos) {
        let Some(part) = &mut self.part else { return };
        let charges: Box<[_]> = part.judge.charges().collect();
        if !charges.is_empty() {
            part.tickets.issue_as(ticket, request.subject, request.name, charges, now);
        }
    }

    /// Settles what goes with a ticket.
    pub fn settle(&mut self, ticket: u64, settlement: &Settlement, now: Nanos) {
        let Some(part) = &mut self.part else { return };
        let comparison = Arc::clone(part.judge.comparison());
        guarded(&comparison, || {
            if let (false, Some(name)) = (matches!(settlement, Settlement::Ended), part.tickets.name(ticket))
            {
                comparison.forgive(name);
            }
            part.tickets.settle(part.judge.gate(), ticket, settlement, now);
        });
    }

    pub fn expire(&mut self, ticket: u64, at: Nanos) {
        if let Some(part) = &mut self.part {
            part.tickets.expire(ticket, at);
        }
    }

    /// Does to the other policy's buckets what the service has done to those of the policy that decides.
    pub fn follow(
        &mut self,
        live: &Policy,
        request: &Request<'_>,
        act: impl FnOnce(&mut Gate, &Request<'_>),
    ) {
        let Some(part) = &mut self.part else { return };
        let comparison = Arc::clone(part.judge.comparison());
        guarded(&comparison, || part.judge.follow(live, request, act));
    }

    /// A request has ended that was decided while the comparison of this number was under way. What has been replaced since does
    /// not count it any more.
    pub fn ended(&self, number: u64, server_error: bool, limiter_error: bool) {
        if let Some(part) = self.part.as_ref().filter(|part| part.number == number) {
            let comparison = part.judge.comparison();
            comparison.ended(comparison.live(), server_error, limiter_error);
        }
    }

    /// The engine of the other policy, if decisions have left something to do there.
    pub fn take_wants_upkeep(&mut self) -> Option<Arc<Engine>> {
        let gate = self.part.as_mut()?.judge.gate();
        gate.take_wants_upkeep().then(|| Arc::clone(gate.engine()))
    }

    /// Takes no part any more.
    pub fn close(&mut self) {
        self.part = None;
    }
}

/// A panic while a request is judged is none of that request's business: it counts against the policy that is not in force.
fn guarded<T>(comparison: &Comparison, judge: impl FnOnce() -> T) -> Option<T> {
    let judged = catch_unwind(AssertUnwindSafe(judge));
    if judged.is_err() {
        comparison.failed();
    }
    judged.ok()
}
