//! Requests that are in flight for a time: whatever happens, those of instances whose leases live are no more than the limit.
//!
//! A lease that could not be renewed leaves requests in flight that others are not told of; these *strays* go on, for nobody can stop
//! them. A network that does no harm has none.

use std::collections::BTreeMap;

use tollgate_core::lease::OnFailure;
use tollgate_core::lease::exchange::{BucketName, SETTLING};
use tollgate_core::lease::fleet::Call;
use tollgate_core::{Charged, Nanos};

use crate::agenda::Event;
use crate::limits::Limits;
use crate::network::LATEST;
use crate::random::Random;
use crate::seeds::{Run, each_seed};
use crate::setup::Setup;
use crate::world::World;

/// Requests take their time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlight {
    /// At most so many of a tenant at once.
    pub(crate) most: u64,
    /// How long one is at most.
    pub(crate) longest: Nanos,
    /// May more be in flight at times, because instances decide without a backend?
    pub(crate) beyond: bool,
}

#[derive(Debug)]
struct Flight {
    instance: u64,
    name: BucketName,
    charges: Vec<Charged>,
    /// By the instance's clock.
    began: Nanos,
    stray: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Flights {
    number: u64,
    present: BTreeMap<u64, Flight>,
    /// When the lease of an instance ends.
    leases: BTreeMap<(u64, BucketName), Nanos>,
    pub(crate) strays: u64,
}

impl Flights {
    /// A lease lives on. What was in flight when the one before had ended is stray.
    pub(crate) fn renew(&mut self, instance: u64, name: BucketName, ends: Nanos, now: Nanos) {
        let before = self.leases.insert((instance, name), ends).unwrap_or_default();
        if before < now {
            for flight in self.of(instance, name).filter(|flight| !flight.stray) {
                flight.stray = true;
            }
            self.strays = self.present.values().filter(|flight| flight.stray).count() as u64;
        }
    }

    fn of(&mut self, instance: u64, name: BucketName) -> impl Iterator<Item = &mut Flight> {
        self.present.values_mut().filter(move |flight| (flight.instance, flight.name) == (instance, name))
    }

    pub(crate) fn crash(&mut self, instance: u64) {
        self.present.retain(|_, flight| flight.instance != instance);
        self.leases.retain(|(of, _), _| *of != instance);
    }

    fn lease(&self, instance: u64, name: BucketName) -> Nanos {
        self.leases.get(&(instance, name)).copied().unwrap_or_default()
    }

    /// How many are in flight under living leases.
    fn covered(&self, name: BucketName, now: Nanos) -> usize {
        let flights = self.present.values().filter(|flight| flight.name == name && !flight.stray);
        flights.filter(|flight| self.lease(flight.instance, name) >= now).count()
    }

    fn all(&self, name: BucketName) -> usize {
        self.present.values().filter(|flight| flight.name == name).count()
    }

    fn at(&self, instance: u64) -> usize {
        self.present.values().filter(|flight| flight.instance == instance).count()
    }
}

impl World {
    /// A request is admitted, and ends after a while.
    pub(crate) fn take_off(&mut self, instance: u64, tenant: usize, charges: Vec<Charged>) {
        let InFlight { most, longest, beyond } = self.setup.in_flight.unwrap();
        let (name, now) = (self.names.in_flight(tenant), self.now);
        let began = now + self.instances[&instance].skew;
        assert_eq!(charges.len(), 1, "a slot, and nothing else");
        let number = self.flights.number;
        self.flights.number += 1;
        self.flights.present.insert(number, Flight { instance, name, charges, began, stray: false });
        // Most are short, some are very long.
        let longest = longest.get() >> self.random.below(8);
        let time = Nanos::new(1 + self.random.below(longest));
        self.after(time, Event::Lands(number));
        if !beyond {
            let lease = self.flights.lease(instance, name);
            assert!(lease >= now, "{instance} admits at {now:?} by a lease that ended at {lease:?}");
            let flying = self.flights.covered(name, now);
            let most = most + self.unheard;
            assert!(flying as u64 <= most, "at {now:?} {flying} of {most} are in flight: {:?}", self.flights);
        }
    }

    pub(crate) fn land(&mut self, number: u64) {
        let Some(flight) = self.flights.present.remove(&number) else { return };
        self.tell(format_args!("one ends at {}", flight.instance));
        let now = self.now;
        let instance = self.instances.get_mut(&flight.instance).unwrap();
        for charge in flight.charges {
            instance.gate.give_back(charge, flight.began, now + instance.skew);
        }
    }

    fn land_all(&mut self) {
        for number in self.flights.present.keys().copied().collect::<Vec<_>>() {
            self.land(number);
        }
    }

    /// For a time, instances are asked again and again.
    fn ask_often(&mut self, ids: &[u64], time: Nanos) {
        let end = self.now + time;
        while self.now < end {
            let pause = Nanos::from_millis(self.random.within(5..=30));
            self.run_until((self.now + pause).min(end));
            for &id in ids {
                self.ask_and_wait(id, 0, 1);
                self.send(id, Call::Urgent);
            }
        }
    }

    fn flying(&self) -> u64 {
        self.flights.all(self.names.in_flight(0)) as u64
    }

    fn intervals(&self, count: u64) -> Nanos {
        Nanos::new(count * self.setup.interval.get())
    }
}

fn in_flight(random: &mut Random) -> InFlight {
    let most = if random.chance(70) { random.within(1..=8) } else { random.within(1..=30) };
    InFlight { most, longest: Nanos::from_millis(random.of(&[50, 500, 5000])), beyond: false }
}

/// As many are asked for at once as may be in flight, and some more.
fn limits(in_flight: &InFlight, random: &mut Random) -> Limits {
    Limits { quota: in_flight.most, burst: random.below(5), ..Limits::slow(random) }
}

fn calm(random: &mut Random) -> Setup {
    let in_flight = in_flight(random);
    let limits = limits(&in_flight, random);
    Setup { in_flight: Some(in_flight), ..Setup::calm(random, limits) }
}

fn lossy(random: &mut Random) -> Setup {
    let in_flight = in_flight(random);
    let limits = limits(&in_flight, random);
    Setup { in_flight: Some(in_flight), ..Setup::lossy(random, limits) }
}

/// One whose requests never end by themselves.
fn endless(run: Run, random: &mut Random, most: u64, instances: u64) -> World {
    let longest = Nanos::from_secs(1 << 30);
    let in_flight = InFlight { most, longest, beyond: false };
    let limits = limits(&in_flight, random);
    let setup = Setup { in_flight: Some(in_flight), instances, doubled: 20, ..Setup::calm(random, limits) };
    World::new(run, setup)
}

/// When all has calmed down, every permit can be had by anybody: none was lost on the way.
fn check_that_none_is_lost(world: &mut World) {
    world.traffic.over = true;
    let most = world.setup.in_flight.unwrap().most;
    let in_flight = Some(InFlight { most, longest: Nanos::from_secs(1 << 30), beyond: true });
    world.setup = Setup { in_flight, lost: 0, doubled: 0, slow: 0, given_up: 0, ..world.setup.clone() };
    // Those who had seen no more than a replica that was promoted learn of the life that others began there.
    world.miss();
    // The last messages have come by then, and whoever waited has been answered.
    let quiet = LATEST + world.setup.time_to_live + world.setup.time_to_live;
    for time in [quiet, quiet] {
        world.land_all();
        world.run_until(world.now + time);
    }
    assert_eq!(world.flying(), 0);
    let ids = world.ids();
    let id = world.random.of(&ids);
    let time = world.intervals(6 + world.setup.in_flight.unwrap().most);
    world.ask_often(&[id], time);
    assert_eq!(world.flying(), most, "that {id} can have");
}

#[test]
fn no_more_are_in_flight_than_may_be() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let setup = Setup {
            crashes: random.chance(50),
            sweeps: random.chance(30),
            doubled: random.below(50),
            clock_set_back: random.chance(20),
            ..calm(random)
        };
        let set_back = setup.clock_set_back;
        let mut world = World::ran(run, setup);
        assert_eq!(world.flights.strays, 0);
        // What the dead held lives on for as long as the backend's clock stands still.
        if !set_back {
            check_that_none_is_lost(&mut world);
        }
    });
}

#[test]
fn none_but_strays_are_beyond_the_limit_whatever_the_network_does() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let setup = Setup {
            given_up: random.below(2) * random.below(30),
            crashes: random.chance(30),
            sweeps: random.chance(30),
            stalls: random.chance(30),
            ..lossy(random)
        };
        check_that_none_is_lost(&mut World::ran(run, setup));
    });
}

#[test]
fn a_backend_that_is_emptied_is_told_who_is_in_flight() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let setup = Setup { wipes: true, ..calm(random) };
        check_that_none_is_lost(&mut World::ran(run, setup));
    });
}

/// It may grant again what it had not heard of, to those who have not seen more.
#[test]
fn a_replica_is_told_who_is_in_flight() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let setup = Setup { failovers: true, ..calm(random) };
        check_that_none_is_lost(&mut World::ran(run, setup));
    });
}

/// What each admits alone goes beyond the limit until it has ended; then all is as before.
#[test]
fn after_an_outage_no_permit_is_lost() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let loses = random.chance(50);
        let setup = if loses { lossy(random) } else { calm(random) };
        let in_flight = setup.in_flight.map(|in_flight| InFlight { beyond: true, ..in_flight });
        let on_failure = random.of(&[OnFailure::Local, OnFailure::Local, OnFailure::Allow]);
        let mut world = World::new(run, Setup { outages: true, in_flight, on_failure, ..setup });
        world.run();
        world.turn_all(true);
        check_that_none_is_lost(&mut world);
    });
}

#[test]
fn a_seed_replays_a_run_with_requests_in_flight() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let setup = Setup { crashes: true, sweeps: true, stalls: true, ..lossy(random) };
        let once = || World::new(run, setup.clone()).run();
        assert_eq!(once(), once());
    });
}

/// All are in flight, and one instance dies: what it held is had by others when its lease is over, and no sooner.
#[test]
fn permits_of_an_instance_that_dies_come_back_within_its_lease() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let (most, instances) = (random.within(1..=12), random.within(2..=5));
        let mut world = endless(run, random, most, instances);
        let ids = world.ids();
        let fill = world.intervals(6 + most);
        world.ask_often(&ids, fill);
        assert_eq!(world.flying(), most, "all can be had");
        let dies = *ids.iter().max_by_key(|&&id| world.flights.at(id)).unwrap();
        let had = world.flights.at(dies) as u64;
        world.crash_one(dies);
        let ids = world.ids();
        let (lease, few) = (world.setup.time_to_live, world.intervals(4));
        world.ask_often(&ids, Nanos::new(lease.get() / 2 - few.get() / 4));
        assert_eq!(world.flying(), most - had, "nobody knows that it is dead");
        world.ask_often(&ids, Nanos::new(lease.get() / 2 + few.get() + few.get() / 4));
        assert_eq!(world.flying(), most, "what it held has come back");
    });
}

/// One instance had all of them, and nobody is in flight there any more.
#[test]
fn permits_that_nobody_uses_are_had_by_others_within_a_few_intervals() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let most = random.within(1..=12);
        let mut world = endless(run, random, most, 2);
        let fill = world.intervals(6 + most);
        world.ask_often(&[1], fill);
        assert_eq!(world.flying(), most, "one can have all");
        if random.chance(50) {
            let some = world.intervals(random.below(20));
            world.ask_often(&[2], some);
        }
        world.land_all();
        let few = world.intervals(6);
        world.ask_often(&[2], few);
        assert_eq!(world.flying(), most, "the other one has all");
    });
}

/// Each has its share, or some; then nobody may have any more before there is room.
#[test]
fn who_is_in_flight_without_a_backend_counts_when_it_is_back() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let (most, instances) = (random.within(1..=12), random.within(2..=5));
        let mut world = endless(run, random, most, instances);
        let in_flight = world.setup.in_flight.map(|in_flight| InFlight { beyond: true, ..in_flight });
        world.setup = Setup { in_flight, on_failure: OnFailure::Local, ..world.setup.clone() };
        world.restart();
        let (ids, few) = (world.ids(), world.intervals(6 + most));
        let seen = Nanos::from_secs(1);
        world.run_until(seen);
        world.turn_all(false);
        world.ask_often(&ids, few);
        let alone = world.flying();
        assert_eq!(alone, instances * (most / instances).max(1));
        world.turn_all(true);
        world.ask_often(&ids, SETTLING + few);
        assert_eq!(world.flying(), alone.max(most));
    });
}

/// One instance has all of them, and reaches nobody for longer than its lease, so that the other one has all of them, too.
#[test]
fn who_went_on_when_its_lease_was_over_counts_when_it_is_back() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let most = random.within(1..=12);
        let mut world = endless(run, random, most, 2);
        let fill = world.intervals(6 + most);
        world.ask_often(&[1], fill);
        let lease = world.setup.time_to_live;
        world.instances.get_mut(&1).unwrap().stands_still = world.now + lease + lease;
        world.run_until(world.now + lease + lease);
        world.instances.get_mut(&1).unwrap().stands_still = world.now + fill;
        world.ask_often(&[2], fill);
        assert_eq!([world.flights.at(1), world.flights.at(2)], [most as usize; 2]);
        world.ask_often(&[1, 2], fill);
        for number in world.flights.present.keys().copied().collect::<Vec<_>>() {
            if world.flights.present[&number].instance == 2 {
                world.land(number);
            }
        }
        world.ask_often(&[1, 2], fill);
        assert_eq!([world.flights.at(1), world.flights.at(2)], [most as usize, 0], "all are taken");
    });
}

/// One instance uses all of them all the time; another one comes, and has as many before long.
#[test]
fn who_comes_later_gets_an_equal_share() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let most = random.within(2..=12);
        let mut world = endless(run, random, most, 2);
        let fill = world.intervals(6 + most);
        world.ask_often(&[1], fill);
        let (mut sums, mut turns) = ([0; 2], 0);
        for turn in 0..200 {
            // The oldest ends, and another one takes its place.
            let oldest = world.flights.present.keys().next().copied();
            if let Some(number) = oldest {
                world.land(number);
            }
            world.ask_often(&[1, 2], Nanos::from_millis(30));
            if turn >= 100 {
                turns += 1;
                sums[0] += world.flights.at(1);
                sums[1] += world.flights.at(2);
            }
        }
        let means = sums.map(|sum| sum as f64 / f64::from(turns));
        let fair = (most / 2) as f64;
        assert!(means.iter().all(|mean| *mean >= fair * 0.6), "{means:?} of {most}");
        assert!(means[0] + means[1] >= 0.8 * most as f64, "{means:?} of {most} are used");
    });
}
