//! Instances and a backend, in simulated time: what happens, in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tollgate_core::lease::Fleet;
use tollgate_core::lease::Settings;
use tollgate_core::lease::fleet::Call;
use tollgate_core::policy::Compiled;
use tollgate_core::{Capacity, Engine, Epoch, Gate, KeyHasher, Nanos};

use crate::account::Account;
use crate::agenda::{Agenda, Event};
use crate::bound::{self, Admitted};
use crate::flights::Flights;
use crate::held::Held;
use crate::limits::Limits;
use crate::names::Names;
use crate::network::Sent;
use crate::random::Random;
use crate::seeds::Run;
use crate::setup::Setup;
use crate::trace::Trace;
use crate::traffic::{Traffic, Waiting};
use tollgate_redis_model::Model;

/// How often an instance says that it lives: so long it may take until it is told that the backend has forgotten it.
const BEAT: Nanos = Nanos::from_secs(1);
/// The world's beginning, in nanoseconds since 1970.
const START: u64 = 1_700_000_000_000_000_000;

pub(crate) struct Instance {
    pub(crate) engine: Arc<Engine>,
    pub(crate) gate: Gate,
    /// That of the thread that talks to the backend.
    pub(crate) background: Gate,
    /// Its monotonic clock began so long before the world did.
    pub(crate) skew: Nanos,
    pub(crate) waiting: Vec<Waiting>,
    /// Until then its background gets no time.
    pub(crate) stands_still: Nanos,
}

impl Instance {
    pub(crate) fn fleet(&self) -> &Fleet {
        self.engine.fleet().unwrap()
    }
}

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) random: Random,
    pub(crate) now: Nanos,
    agenda: Agenda,
    pub(crate) backend: Model,
    /// What the replica holds.
    replica: Model,
    /// Tokens leased since then; and those of which a replica that was promoted had not heard.
    pub(crate) leased_since: u64,
    pub(crate) unheard: u64,
    /// So long is the backend's clock behind the world's.
    pub(crate) behind: Nanos,
    pub(crate) up: bool,
    policy: Compiled,
    pub(crate) names: &'static Names,
    pub(crate) instances: BTreeMap<u64, Instance>,
    pub(crate) born: u64,
    pub(crate) traffic: Traffic,
    /// Batches that an instance awaits an answer to, by tag.
    pub(crate) sent: BTreeMap<(u64, u8), Sent>,
    /// Instances and tags under which they have had an answer.
    pub(crate) heard: BTreeSet<(u64, u8)>,
    pub(crate) admitted: Vec<Admitted>,
    /// Tokens that were asked for, by requests that were admitted or not.
    pub(crate) asked: u64,
    pub(crate) account: Account,
    pub(crate) held: Held,
    pub(crate) flights: Flights,
    pub(crate) trace: Trace,
    pub(crate) loud: bool,
}

impl World {
    pub(crate) fn new(run: Run, setup: Setup) -> Self {
        let policy = match setup.in_flight {
            Some(in_flight) => Limits::in_flight(in_flight.most),
            None => setup.limits.policy(setup.rule.as_ref()),
        };
        if run.loud {
            println!("{setup:?}");
        }
        let mut world = Self {
            random: Random::new(run.seed),
            now: Nanos::ZERO,
            agenda: Agenda::default(),
            backend: Model::default(),
            replica: Model::default(),
            leased_since: 0,
            unheard: 0,
            behind: Nanos::ZERO,
            up: true,
            policy,
            names: Names::all(),
            instances: BTreeMap::new(),
            born: 0,
            traffic: Traffic::default(),
            sent: BTreeMap::new(),
            heard: BTreeSet::new(),
            admitted: Vec::new(),
            asked: 0,
            account: Account::default(),
            held: Held::default(),
            flights: Flights::default(),
            trace: Trace::default(),
            loud: run.loud,
            setup,
        };
        for _ in 0..world.setup.instances {
            world.start();
        }
        let Setup { crashes, wipes, failovers, outages, clock_set_back, sweeps, stalls, .. } = world.setup;
        for (happens, event) in [
            (crashes, Event::Crash),
            (wipes, Event::Wipe),
            (failovers, Event::Copied),
            (outages, Event::Outage(true)),
            (clock_set_back, Event::SetBack),
            (sweeps, Event::Sweep),
            (stalls, Event::Stall),
        ] {
            if happens {
                world.sometime(event);
            }
        }
        world
    }

    /// A world that has run.
    pub(crate) fn ran(run: Run, setup: Setup) -> Self {
        let mut world = Self::new(run, setup);
        world.run();
        world
    }

    /// Traffic as it comes, until the time is over and all is given back; gives a number that stands for all that happened.
    pub(crate) fn run(&mut self) -> u64 {
        self.after(Nanos::ZERO, Event::Act);
        self.run_until(self.setup.time);
        self.end();
        self.trace.finish()
    }

    pub(crate) fn run_until(&mut self, end: Nanos) {
        while let Some((at, event)) = self.agenda.next(end) {
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// Asserts the bound of each limit; `more` tokens are allowed on top.
    pub(crate) fn check_bound(&self, more: f64) {
        for limits in std::iter::once(&self.setup.limits).chain(&self.setup.rule) {
            bound::check(limits, self.setup.time_to_live, more, &self.admitted);
        }
    }

    pub(crate) fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.loud {
            println!("{:.6} s: {what}", self.now.get() as f64 / 1e9);
        }
    }

    pub(crate) fn after(&mut self, time: Nanos, event: Event) {
        self.agenda.expect(self.now + time, event);
    }

    fn sometime(&mut self, event: Event) {
        let time = Nanos::from_millis(500) + Nanos::new(self.random.below(self.setup.time.get()));
        self.after(time, event);
    }

    pub(crate) fn start(&mut self) {
        self.born += 1;
        let id = self.born;
        let skew = Nanos::from_secs(self.random.below(1000));
        let wall_skew = Nanos::from_millis(self.random.below(5000));
        let settings = Settings {
            instance: id,
            interval: self.setup.interval,
            time_to_live: self.setup.time_to_live,
            credit: self.setup.credit,
            on_failure: self.setup.on_failure,
        };
        let epoch = Epoch { monotonic: self.now + skew, wall: Nanos::new(START) + self.now + wall_skew };
        let capacity = Capacity { max_keys: 10_000, key_share: 1.0 };
        let hasher = KeyHasher::with_secret(id, 7);
        let engine = Engine::shared(hasher, self.policy.clone(), capacity, epoch, settings).unwrap();
        let engine = Arc::new(engine);
        let (gate, background) = (engine.gate(), engine.gate());
        let instance =
            Instance { engine, gate, background, skew, waiting: Vec::new(), stands_still: Nanos::ZERO };
        self.instances.insert(id, instance);
        let count = u32::try_from(self.instances.len()).unwrap();
        for instance in self.instances.values() {
            instance.fleet().set_instances(count);
            if !self.up {
                self.names.tags().for_each(|tag| instance.fleet().went_down(tag));
            }
        }
        let first = Nanos::new(self.random.below(self.setup.interval.get()));
        self.after(first, Event::Tick(id));
    }

    /// Nanoseconds since 1970.
    pub(crate) fn wall(&self) -> u64 {
        START + self.now.get()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.instances.keys().copied().collect()
    }

    fn happen(&mut self, event: Event) {
        if matches!(event, Event::Crash | Event::Wipe | Event::Failover | Event::Outage(_) | Event::Sweep) {
            self.tell(format_args!("{event:?}"));
        }
        self.trace.add(&[self.now.get()]);
        match event {
            // All is to calm down.
            Event::Crash
            | Event::Wipe
            | Event::Copied
            | Event::Failover
            | Event::Outage(true)
            | Event::Stall
                if self.traffic.over => {}
            Event::Act => self.act(),
            Event::Request(act) => self.request(act),
            Event::Impatient(id, number) => self.lose_patience(id, number),
            Event::Lands(number) => self.land(number),
            Event::Tick(id) => {
                self.send(id, Call::Tick);
                if self.instances.contains_key(&id) {
                    self.after(self.setup.interval, Event::Tick(id));
                }
            }
            Event::Arrives(id, batch) => self.arrive(id, &batch),
            Event::Answers(id, tag, sequence, reply) => self.answer(id, tag, sequence, reply.as_ref()),
            Event::TimesOut(id, tag, sequence) => self.time_out(id, tag, sequence),
            Event::Crash => self.crash(),
            // Whoever has seen nothing of the backend cannot tell what it has lost.
            Event::Wipe | Event::Failover if !self.all_have_seen() => {
                self.after(Nanos::from_millis(50), event);
            }
            Event::Wipe => {
                self.wipe();
                self.sometime(Event::Wipe);
            }
            Event::Missed(id) => {
                if let Some(instance) = self.instances.get(&id) {
                    self.names.tags().for_each(|tag| instance.fleet().verify(tag));
                }
            }
            Event::Copied => {
                (self.replica, self.leased_since) = (self.backend.clone(), 0);
                let lag = Nanos::new(self.random.below(Nanos::from_secs(1).get()));
                self.after(lag, Event::Failover);
            }
            Event::Failover => {
                self.backend = self.replica.clone();
                self.unheard += self.leased_since;
                self.miss();
                self.sometime(Event::Copied);
            }
            Event::Outage(begins) => self.turn(begins),
            Event::SetBack => {
                self.behind = self.behind + Nanos::new(self.random.below(Nanos::from_secs(5).get()));
                self.sometime(Event::SetBack);
            }
            Event::Stall => {
                let ids = self.ids();
                let id = self.random.of(&ids);
                let time = self.random.below(2 * self.setup.time_to_live.get());
                self.instances.get_mut(&id).unwrap().stands_still = self.now + Nanos::new(time);
                self.sometime(Event::Stall);
            }
            Event::Sweep => {
                let now = self.now;
                for instance in self.instances.values() {
                    instance.engine.sweep(now + instance.skew);
                    instance.engine.upkeep(now + instance.skew);
                }
                self.sometime(Event::Sweep);
            }
        }
    }

    fn crash(&mut self) {
        let ids = self.ids();
        let id = self.random.of(&ids);
        self.crash_one(id);
        self.sometime(Event::Crash);
    }

    /// All instances die, and as many start: under another setup.
    pub(crate) fn restart(&mut self) {
        for id in self.ids() {
            self.crash_one(id);
        }
    }

    /// An instance dies, and another one starts.
    pub(crate) fn crash_one(&mut self, id: u64) {
        self.instances.remove(&id);
        self.flights.crash(id);
        self.sent.retain(|(sender, _), _| *sender != id);
        self.start();
    }

    /// Has every instance had an answer under every tag?
    fn all_have_seen(&self) -> bool {
        let heard = |id| self.names.tags().all(|tag| self.heard.contains(&(id, tag)));
        self.instances.keys().all(|&id| heard(id))
    }

    pub(crate) fn wipe(&mut self) {
        self.backend.wipe();
        self.miss();
    }

    /// Instances find out before long that the backend has lost something.
    pub(crate) fn miss(&mut self) {
        for id in self.ids() {
            let beat = Nanos::new(self.random.below(BEAT.get()));
            self.after(beat, Event::Missed(id));
        }
    }

    fn turn(&mut self, begins: bool) {
        self.turn_all(!begins);
        if begins {
            let time = Nanos::new(self.random.below(Nanos::from_secs(4).get()));
            self.after(time, Event::Outage(false));
        } else {
            self.sometime(Event::Outage(true));
        }
    }

    pub(crate) fn turn_all(&mut self, up: bool) {
        self.up = up;
        for id in self.ids() {
            for tag in self.names.tags() {
                let fleet = self.instances[&id].fleet();
                if up { fleet.came_up(tag) } else { fleet.went_down(tag) }
            }
            self.hear(id);
        }
    }
}
