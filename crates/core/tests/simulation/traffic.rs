//! Who asks for what: in acts, such that whatever is held is spent when it hurts most.
//!
//! A surge makes instances lease; then it is quiet, leases end or nearly so, records fall asleep; and then everything that
//! anybody holds is asked for in one instant, and more.

use tollgate_core::lease::fleet::Call;
use tollgate_core::{Nanos, Outcome, Request, Ruling, Subject};

use crate::agenda::Event;
use crate::bound::Admitted;
use crate::limits::Limits;
use crate::names::{TENANTS, Whose};
use crate::world::World;

/// How long a request waits for a lease.
const PATIENCE: Nanos = Nanos::from_millis(100);

/// What the present act is like.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Its number.
    act: u64,
    /// Of eight parts of the fleet, those that take part, as bits.
    parts: u64,
    /// The tenant; `None` for all.
    tenant: Option<usize>,
    /// The mean time between two requests.
    between: Nanos,
    /// Is there no more of it?
    pub(crate) over: bool,
}

/// A request that waits for a lease.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    number: u64,
    /// What it awaits.
    awaited: u64,
    tenant: usize,
    cost: u64,
}

impl World {
    /// Goes on to the next act.
    pub(crate) fn act(&mut self) {
        if self.traffic.over {
            return;
        }
        let all = self.random.chance(40);
        let everybody = self.random.chance(30);
        self.traffic = Traffic {
            act: self.traffic.act + 1,
            parts: if all { 0xff } else { self.random.below(0x100) },
            tenant: (!everybody).then(|| self.some_tenant()),
            between: Nanos::ZERO,
            over: false,
        };
        let (interval, time_to_live) = (self.setup.interval.get(), self.setup.time_to_live.get());
        let length = match self.random.below(10) {
            // A surge: instances learn that there is demand.
            0..=2 => {
                self.traffic.between = Nanos::new(self.random.within(1_000_000..=20_000_000));
                self.random.below(4 * interval)
            }
            // A trickle.
            3 => {
                self.traffic.between = Nanos::new(self.random.within(20_000_000..=200_000_000));
                self.random.below(time_to_live)
            }
            // Quiet: leases come to their ends, or records fall asleep.
            4 | 5 => self.random.below(time_to_live * 3 / 2),
            6 => self.random.below(time_to_live * 3),
            // Everything at once.
            _ => {
                self.drain();
                self.random.below(interval)
            }
        };
        if self.traffic.between > Nanos::ZERO {
            self.after(Nanos::ZERO, Event::Request(self.traffic.act));
        }
        self.after(Nanos::new(1 + length), Event::Act);
    }

    pub(crate) fn request(&mut self, act: u64) {
        if act != self.traffic.act || self.traffic.over {
            return;
        }
        let pause = Nanos::new(1 + self.random.below(2 * self.traffic.between.get()));
        self.after(pause, Event::Request(act));
        let ids = self.taking_part();
        let id = self.random.of(&ids);
        let tenant = self.traffic.tenant.unwrap_or_else(|| self.some_tenant());
        let cost = self.random.within(1..=self.setup.largest_cost);
        if self.setup.adjustments && self.random.chance(20) {
            return self.adjust(id, tenant);
        }
        self.ask_and_wait(id, tenant, cost);
        self.send(id, Call::Urgent);
    }

    /// Asks for all that there is, everywhere, in this instant: for what is held there, or also for what has to be leased.
    fn drain(&mut self) {
        let tenants = self.traffic.tenant.map_or(0..self.setup.tenants, |tenant| tenant..tenant + 1);
        let waits = self.random.chance(50);
        let Limits { quota, burst, .. } = self.setup.limits;
        for id in self.taking_part() {
            for tenant in tenants.clone() {
                for _ in 0..quota + burst + 2 {
                    let outcome =
                        if waits { self.ask_and_wait(id, tenant, 1) } else { self.ask(id, tenant, 1, false) };
                    if outcome != Outcome::Ok && !(waits && outcome == Outcome::Pending) {
                        break;
                    }
                }
            }
            self.send(id, Call::Urgent);
        }
    }

    /// So many requests in one instant, that wait for leases.
    pub(crate) fn flood(&mut self, id: u64, tenant: usize, requests: u64) {
        for _ in 0..requests {
            self.ask_and_wait(id, tenant, 1);
        }
        self.send(id, Call::Urgent);
    }

    fn taking_part(&self) -> Vec<u64> {
        let ids: Vec<u64> =
            self.instances.keys().copied().filter(|id| self.traffic.parts >> (id % 8) & 1 == 1).collect();
        if ids.is_empty() { self.ids() } else { ids }
    }

    fn some_tenant(&mut self) -> usize {
        usize::try_from(self.random.below(self.setup.tenants as u64)).unwrap()
    }

    /// A request that waits for a lease, if it takes one.
    pub(crate) fn ask_and_wait(&mut self, id: u64, tenant: usize, cost: u64) -> Outcome {
        let outcome = self.ask(id, tenant, cost, false);
        if outcome == Outcome::Pending {
            let number = self.asked;
            let instance = self.instances.get_mut(&id).unwrap();
            let awaited = instance.gate.awaited();
            instance.waiting.push(Waiting { number, awaited, tenant, cost });
            self.after(PATIENCE, Event::Impatient(id, number));
        }
        outcome
    }

    /// A request of a tenant, at an instance.
    pub(crate) fn ask(&mut self, id: u64, tenant: usize, cost: u64, last_word: bool) -> Outcome {
        let (now, at) = (self.now, self.wall());
        let instance = self.instances.get_mut(&id).unwrap();
        let rule = (self.setup.rule.is_some() || self.setup.in_flight.is_some()).then_some(0);
        let name = TENANTS[tenant].as_bytes();
        let request = Request { last_word, rule, ..Request::of(Subject::Tenant, name) };
        let mut ruling = Ruling::default();
        instance.gate.decide(&request, cost, now + instance.skew, &mut ruling);
        let outcome = ruling.decision().outcome;
        self.asked += cost;
        self.trace.add(&[id, tenant as u64, cost, outcome as u64, ruling.decision().remaining]);
        if outcome == Outcome::Ok {
            self.tell(format_args!("{id} admits {cost} of {}", TENANTS[tenant]));
            self.admitted.push(Admitted { at, tenant, cost });
            if self.setup.in_flight.is_some() {
                self.take_off(id, tenant, ruling.charges().collect());
            } else {
                self.charge(id, tenant, cost);
            }
        }
        outcome
    }

    fn charge(&mut self, id: u64, tenant: usize, cost: u64) {
        let quota = self.names.of(Whose { tenant, rule: false });
        self.account.spend(quota, i128::from(cost));
        if self.setup.rule.is_some() {
            self.account.spend(self.names.of(Whose { tenant, rule: true }), i128::from(cost));
        }
        if self.follows_tokens() {
            self.held.spend(id, quota, cost, self.now.get());
        }
    }

    /// What was awaited is there: who has waited for it asks again.
    pub(crate) fn hear(&mut self, id: u64) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let news = instance.fleet().take_news();
        let (answered, waiting): (Vec<_>, Vec<_>) =
            instance.waiting.drain(..).partition(|waiting| news.contains(&waiting.awaited));
        instance.waiting = waiting;
        for waiting in answered {
            if self.ask(id, waiting.tenant, waiting.cost, false) == Outcome::Pending {
                let instance = self.instances.get_mut(&id).unwrap();
                let awaited = instance.gate.awaited();
                instance.waiting.push(Waiting { awaited, ..waiting });
            }
        }
    }

    pub(crate) fn lose_patience(&mut self, id: u64, number: u64) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let Some(place) = instance.waiting.iter().position(|waiting| waiting.number == number) else {
            return;
        };
        let Waiting { tenant, cost, .. } = instance.waiting.remove(place);
        self.ask(id, tenant, cost, true);
        self.send(id, Call::Urgent);
    }

    /// The service takes or gives tokens.
    fn adjust(&mut self, id: u64, tenant: usize) {
        let tokens = self.random.within(1..=5);
        let gives = self.random.chance(40);
        let now = self.now;
        let instance = self.instances.get_mut(&id).unwrap();
        let request = Request::of(Subject::Tenant, TENANTS[tenant].as_bytes());
        let at = now + instance.skew;
        if gives {
            instance.gate.reward(&request, tokens, at).unwrap();
        } else {
            instance.gate.penalize(&request, tokens, at).unwrap();
        }
        let spent = if gives { -i128::from(tokens) } else { i128::from(tokens) };
        self.account.spend(self.names.of(Whose { tenant, rule: false }), spent);
        self.send(id, Call::Urgent);
    }
}
