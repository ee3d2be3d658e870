//! Instances and a store, in simulated time: what happens, in its order.

use std::collections::BTreeMap;

use tollgate_core::rollout::{Micros, Phase, Record};

use crate::agenda::{Agenda, Event, Request};
use crate::instance::Instance;
use crate::network::LATEST;
use crate::random::Random;
use crate::seeds::Run;
use crate::setup::{Setup, settings};
use crate::store::Store;
use crate::traffic::{Nature, count, image, in_round};
use crate::watch::{self, Watch};

/// The world's beginning.
pub(crate) const START: Micros = Micros::from_secs(1_700_000_000);
/// How often an instance reports and reads.
pub(crate) const BEAT: Micros = Micros::from_millis(500);
/// A driver may sleep for so long.
const LONGEST_STALL: Micros = Micros::from_secs(60);

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) random: Random,
    pub(crate) now: Micros,
    pub(crate) agenda: Agenda,
    pub(crate) store: Store,
    pub(crate) instances: BTreeMap<u64, Instance>,
    born: u64,
    /// How many policies there have been.
    pub(crate) policies: u64,
    pub(crate) watch: Watch,
    /// Faults and wishes are over.
    pub(crate) calm: bool,
    trace: u64,
    loud: bool,
}

impl World {
    pub(crate) fn new(run: Run, setup: Setup) -> Self {
        let mut world = Self {
            random: Random::new(run.seed),
            now: START,
            agenda: Agenda::default(),
            store: Store::new(Record::found(image(0), [], START)),
            instances: BTreeMap::new(),
            born: 0,
            policies: 1,
            watch: Watch::default(),
            calm: false,
            trace: 0,
            loud: run.loud,
            setup,
        };
        world.tell(format_args!("{:?}", world.setup));
        for _ in 0..world.setup.instances {
            world.start();
        }
        let Setup { crashes, stalls, moves, .. } = world.setup;
        for (happens, event) in [
            (crashes, Event::Crash),
            (stalls, Event::Stall),
            (moves, Event::Join),
            (moves, Event::Leave),
            (world.setup.wishes > Micros::ZERO, Event::Wish),
        ] {
            if happens {
                world.sometime(event);
            }
        }
        world
    }

    /// Wishes and faults as they come, then quiet until all is settled; gives a number that stands for all that happened.
    pub(crate) fn run(&mut self) -> u64 {
        self.run_until(START + self.setup.time);
        self.calm_down();
        self.settle();
        self.trace
    }

    pub(crate) fn run_until(&mut self, end: Micros) {
        while let Some((at, event)) = self.agenda.next(end) {
            self.now = at;
            self.happen(event);
            watch::look(&self.store.record, self.instances.values(), self.now);
        }
        self.now = end;
    }

    /// Nothing goes wrong any more; who sleeps wakes up.
    pub(crate) fn calm_down(&mut self) {
        self.tell(format_args!("all is quiet"));
        self.calm = true;
        if self.instances.is_empty() {
            // Whoever comes finishes what those have begun who are gone.
            self.start();
        }
        let now = self.now;
        for instance in self.instances.values_mut() {
            instance.stands_still = instance.stands_still.min(now);
            // Nobody begins anything any more, either.
            instance.wanted = None;
        }
    }

    /// A rollout that is under way ends in time, and 15 seconds later all enforce the same.
    pub(crate) fn settle(&mut self) {
        let longest = Self::longest();
        let end = self.now + longest;
        while self.store.record.rollout.is_some() {
            assert!(self.now < end, "no end after {longest}: {:?}", self.store.record.rollout);
            self.run_until(self.now + BEAT);
        }
        self.run_until(self.now + Micros::from_secs(15));
        self.check_is_one();
    }

    /// What a rollout takes at most, if nothing goes wrong.
    fn longest() -> Micros {
        let settings = settings();
        let step = settings.deadline + settings.patience.times(3);
        step.times(3) + settings.patience.times(9) + settings.lead + LATEST
    }

    pub(crate) fn check_is_one(&self) {
        let active = self.store.record.active;
        for instance in self.instances.values() {
            assert_eq!(instance.follower.enforces(), Some(active), "instance {}", instance.id);
        }
    }

    pub(crate) fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.loud {
            println!("{:.3} s: {what}", self.now.since(START).get() as f64 / 1e6);
        }
    }

    pub(crate) fn after(&mut self, time: Micros, event: Event) {
        self.agenda.expect(self.now + time, event);
    }

    fn sometime(&mut self, event: Event) {
        let most = if matches!(event, Event::Wish) { self.setup.wishes } else { Micros::from_secs(20) };
        let time = Micros::new(self.random.below(most.get()));
        self.after(time, event);
    }

    pub(crate) fn start(&mut self) -> u64 {
        self.born += 1;
        let id = self.born;
        self.instances.insert(id, Instance::new(id, self.now));
        let first = Micros::new(self.random.below(BEAT.get()));
        self.after(first, Event::Beat(id));
        id
    }

    fn happen(&mut self, event: Event) {
        self.trace(&[self.now.get()]);
        match event {
            Event::Beat(id) => self.beat(id),
            Event::Arrives(id, sent, request) => self.arrive(id, sent, request),
            Event::Answers(id, sent, reply) => self.answer(id, sent, reply),
            Event::Image(id, revision) => self.image(id, revision),
            Event::Swap(id) => self.follow(id),
            _ if self.calm => {}
            Event::Wish => {
                self.wish();
                self.sometime(Event::Wish);
            }
            Event::Crash => {
                if let Some(id) = self.anyone() {
                    self.crash(id);
                    self.start();
                }
                self.sometime(Event::Crash);
            }
            Event::Stall => {
                if let Some(id) = self.anyone() {
                    let time = Micros::new(self.random.below(LONGEST_STALL.get()));
                    self.stall(id, time);
                }
                self.sometime(Event::Stall);
            }
            Event::Join => {
                let id = self.start();
                self.tell(format_args!("{id} joins"));
                self.sometime(Event::Join);
            }
            Event::Leave => {
                if let Some(id) = self.anyone() {
                    self.crash(id);
                    self.store.retire(id);
                }
                self.sometime(Event::Leave);
            }
        }
    }

    pub(crate) fn crash(&mut self, id: u64) {
        self.tell(format_args!("{id} is gone"));
        self.instances.remove(&id);
    }

    pub(crate) fn stall(&mut self, id: u64, time: Micros) {
        self.tell(format_args!("{id} sleeps for {time}"));
        let until = self.now + time;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.stands_still = until;
        }
    }

    pub(crate) fn anyone(&mut self) -> Option<u64> {
        let ids: Vec<u64> = self.instances.keys().copied().collect();
        (!ids.is_empty()).then(|| self.random.of(&ids))
    }

    /// Who sleeps does what it was about to do when it wakes up.
    pub(crate) fn sleeps(&mut self, id: u64, event: impl FnOnce() -> Event) -> bool {
        let Some(instance) = self.instances.get(&id) else { return true };
        let wakes = instance.stands_still;
        if wakes > self.now {
            // It may be woken up.
            self.agenda.expect(wakes.min(self.now + BEAT), event());
            return true;
        }
        false
    }

    fn beat(&mut self, id: u64) {
        if self.sleeps(id, || Event::Beat(id)) {
            return;
        }
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let round = instance.follower.round();
        if let (Some(round), Some(tallies)) = (round, in_round(&mut instance.tallies, round, self.now)) {
            let record = &self.store.record;
            let candidate = record.rollout.as_ref().map(|rollout| rollout.candidate);
            if let Some(candidate) = candidate.filter(|candidate| candidate.number == round.revision) {
                let by_candidate = instance.follower.enforces() == Some(candidate);
                count(tallies, Nature::of(candidate.hash), by_candidate, &mut self.random);
            }
        }
        let report = Request::Report(Box::new(instance.report()));
        let may_read = instance.may_read(self.now);
        self.send(id, report);
        if may_read {
            self.send(id, Request::Read);
        }
        self.after(BEAT, Event::Beat(id));
    }

    pub(crate) fn follow(&mut self, id: u64) {
        if self.sleeps(id, || Event::Swap(id)) {
            return;
        }
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let changed = instance.follow(now);
        let swap = instance.follower.target().and_then(|target| target.swap);
        if let Some(revision) = changed {
            self.trace(&[id, revision.number]);
            self.tell(format_args!("{id} enforces {}", revision.number));
        }
        if let Some(swap) = swap
            && swap.at > now
        {
            self.agenda.expect(swap.at, Event::Swap(id));
        }
    }

    pub(crate) fn trace(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.trace = (self.trace.rotate_left(5) ^ number).wrapping_mul(0x517C_C1B7_2722_0A95);
        }
    }

    /// Who drives, as far as it knows.
    pub(crate) fn driver(&self) -> Option<u64> {
        let token = Some(self.store.record.rollout.as_ref()?.driver);
        self.instances.values().find(|instance| instance.fence == token).map(|instance| instance.id)
    }

    /// Goes on until a rollout is in such a phase, or there is none any more.
    pub(crate) fn run_until_phase(&mut self, is_it: impl Fn(&Phase) -> bool) -> bool {
        let end = self.now + Self::longest();
        while self.now < end {
            self.run_until(self.now + Micros::from_millis(10));
            match &self.store.record.rollout {
                Some(rollout) if is_it(&rollout.phase) => return true,
                None if self.watch.locked + self.watch.rolled_back > 0 => return false,
                _ => {}
            }
        }
        false
    }
}
