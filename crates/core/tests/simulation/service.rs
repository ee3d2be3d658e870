//! What the service does to a bucket at one instance holds at all of them.

use tollgate_core::lease::fleet::Call;
use tollgate_core::{Algorithm, Nanos, Outcome, Request, Subject};

use crate::limits::Limits;
use crate::names::{TENANTS, Whose};
use crate::network::WAY;
use crate::random::Random;
use crate::seeds::{Run, each_seed};
use crate::setup::Setup;
use crate::world::World;

/// A fleet whose network does no harm, and in which every instance is asked for the tenant all the time.
struct Steady {
    world: World,
    /// What each request came to: when, where.
    decided: Vec<(Nanos, u64, Outcome)>,
}

impl Steady {
    fn new(run: Run, random: &mut Random, limits: Limits) -> Self {
        let setup = Setup { instances: random.within(2..=4), doubled: 20, ..Setup::calm(random, limits) };
        Self { world: World::new(run, setup), decided: Vec::new() }
    }

    fn go_on(&mut self, time: Nanos) {
        let end = self.world.now + time;
        while self.world.now < end {
            let pause = Nanos::from_millis(self.world.random.within(10..=60));
            self.world.run_until(self.world.now + pause);
            for id in self.world.ids() {
                let outcome = self.world.ask(id, 0, 1, false);
                self.world.send(id, Call::Urgent);
                self.decided.push((self.world.now, id, outcome));
            }
        }
    }

    /// The service does something at an instance.
    fn act(&mut self, id: u64, act: impl FnOnce(&mut tollgate_core::Gate, &Request<'_>, Nanos)) {
        let now = self.world.now;
        let instance = self.world.instances.get_mut(&id).unwrap();
        let request = Request::of(Subject::Tenant, TENANTS[0].as_bytes());
        act(&mut instance.gate, &request, now + instance.skew);
        self.world.send(id, Call::Urgent);
    }

    fn block(&mut self, id: u64, time: Nanos) {
        self.act(id, |gate, request, now| {
            gate.block(request, time, now).unwrap();
        });
    }

    fn reset(&mut self, id: u64) {
        self.act(id, |gate, request, now| {
            gate.reset(request, now).unwrap();
        });
    }

    /// By when everybody has heard of something that happens now. Who holds tokens for longer, or is refused, asks once in a time
    /// to live.
    fn heard(&self) -> Nanos {
        let Setup { interval, time_to_live, .. } = self.world.setup;
        self.world.now + time_to_live + Nanos::new(2 * (interval.get() + 2 * WAY.get()))
    }

    /// Who has admitted a request after an instant, and no later than another.
    fn admitted(&self, from: Nanos, to: Nanos) -> impl Iterator<Item = u64> {
        let within = self.decided.iter().filter(move |(at, ..)| from < *at && *at <= to);
        within.filter(|(.., outcome)| *outcome == Outcome::Ok).map(|(_, id, _)| *id)
    }
}

/// More than is asked for.
fn ample(random: &mut Random) -> Limits {
    let window = Nanos::from_secs(random.within(1..=10));
    Limits {
        algorithm: Algorithm::TokenBucket,
        quota: 90 * (window.get() / 1_000_000_000),
        burst: 90,
        window,
    }
}

#[test]
fn a_block_by_one_instance_holds_at_all_within_a_time_to_live() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = ample(random);
        let mut steady = Steady::new(run, random, limits);
        steady.go_on(Nanos::from_millis(random.within(500..=1500)));
        let time = Nanos::from_millis(random.within(4500..=6000));
        let (began, heard) = (steady.world.now, steady.heard());
        steady.block(1, time);
        steady.go_on(time + Nanos::from_secs(1));
        assert!(steady.admitted(began, began + time).all(|id| id != 1), "the one that blocks");
        assert_eq!(steady.admitted(heard, began + time).next(), None, "the others");
        let over = began + time + Nanos::from_millis(100);
        assert!(steady.admitted(over, steady.world.now).next().is_some(), "a block ends");
    });
}

#[test]
fn a_block_that_is_lifted_by_one_instance_is_lifted_at_all() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = ample(random);
        let mut steady = Steady::new(run, random, limits);
        steady.go_on(Nanos::from_millis(random.within(500..=1500)));
        steady.block(1, Nanos::from_secs(1000));
        steady.go_on(Nanos::from_millis(random.within(600..=2000)));
        let lifts = steady.world.ids()[usize::try_from(random.below(2)).unwrap()];
        if random.chance(50) {
            steady.reset(lifts);
        } else {
            steady.block(lifts, Nanos::ZERO);
        }
        let heard = steady.heard();
        steady.go_on(steady.world.setup.time_to_live + Nanos::from_secs(2));
        for id in steady.world.ids() {
            let admits = steady.admitted(heard, steady.world.now).any(|admits| admits == id);
            assert!(admits, "{id} goes on refusing");
        }
    });
}

#[test]
fn a_reset_by_one_instance_fills_the_bucket_of_all_once() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits { window: Nanos::from_secs(360_000), ..Limits::slow(random) };
        let all = usize::try_from(limits.quota + limits.burst).unwrap();
        let mut steady = Steady::new(run, random, limits);
        steady.go_on(Nanos::from_secs(4));
        let reset = steady.world.now;
        assert_eq!(steady.admitted(Nanos::ZERO, reset).count(), all);
        steady.reset(1);
        steady.go_on(Nanos::from_secs(6));
        assert_eq!(steady.admitted(reset, steady.world.now).count(), all, "of what a reset fills");
    });
}

#[test]
fn a_penalty_at_one_instance_is_felt_at_all() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits { window: Nanos::from_secs(360_000), ..Limits::slow(random) };
        let all = limits.quota + limits.burst;
        let penalty = random.within(1..=all);
        let mut steady = Steady::new(run, random, limits);
        steady.go_on(Nanos::from_millis(100));
        steady.act(1, |gate, request, now| {
            gate.penalize(request, penalty, now).unwrap();
        });
        // By then the backend has heard of it; what has been leased before may still be spent.
        steady.world.run_until(steady.world.now + WAY + WAY);
        let leased = steady.world.account.leased(steady.world.names.of(Whose { tenant: 0, rule: false }));
        steady.go_on(Nanos::from_secs(6));
        let admitted = steady.admitted(Nanos::ZERO, steady.world.now).count() as u64;
        let most = leased.max(all - penalty);
        assert!(admitted <= most, "{admitted} of {all} less {penalty}, {leased} leased before");
    });
}
