//! Whatever the network, the crashes and the clocks do, the fleet admits no more than its bound: instances as they are, against a
//! simulated backend, in simulated time. `TOLLGATE_SEEDS=10000` tries more seeds; `TOLLGATE_SEED=17` shows one run.
//!
//! Four things watch a run from outside. What they tell of a fault:
//!
//! | watches       | asserts                                                     | sees, for example                            |
//! |---------------|-------------------------------------------------------------|----------------------------------------------|
//! | [`bound`]     | what any time admits                                        | a backend that forgets, a lease given twice  |
//! | [`account`]   | every token that is spent was leased or debited, and once   | a debit that is dropped, a batch done twice  |
//! | [`held`]      | no token is spent after its lease                           | a deadline that is too late, or not heeded   |
//! | [`flights`]   | how many requests are in flight at once                     | permits that two hold, or that nobody does   |
//!
//! What each test is for:
//!
//! | test                                | what is done                                | what may go wrong                             |
//! |-------------------------------------|---------------------------------------------|-----------------------------------------------|
//! | `a_fleet_admits_…`                  | loss, crashes, stalls, sweeps, clocks       | leases that live too long, or come back twice |
//! | `no_window_…`, `a_window_…`         | the same while windows end                  | leases that outlive their window              |
//! | `a_backend_that_is_emptied_…`       | it loses all                                | floors, settling, batches that come too late  |
//! | `a_replica_…`                       | it falls back to what a replica has heard   | the same                                      |
//! | `what_a_sleeper_knows_…`            | the only one who knows is asleep then       | what sleeps is not told                       |
//! | `what_is_admitted_without_…`        | outages, and answers that come too late     | shares taken twice, debits lost               |
//! | `credit_…`                          | tokens are spent ahead of answers           | credit given twice, debits lost               |
//! | `what_the_service_…`, [`service`]   | penalties, rewards, blocks, resets          | done twice, or not everywhere                 |
//! | `a_request_is_charged_…`            | two buckets, under one tag or two           | a part of a charge that stays                 |
//! | [`flights`]                         | requests that take their time, and all that | permits that two hold, or that nobody does    |
//! | [`adversary`]                       | who leases knows how the backend counts     | the backend's arithmetic of what comes back   |
//! | `a_quiet_network_…`, `what_is_sc…`  | no harm                                     | tokens that nobody can use                    |

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that fails, fails; and its numbers are small"
)]

use tollgate_core::lease::OnFailure;
use tollgate_core::lease::fleet::Call;
use tollgate_core::{Algorithm, Nanos};

mod account;
mod adversary;
mod agenda;
mod bound;
mod flights;
mod held;
mod limits;
mod names;
mod network;
#[path = "../policies/mod.rs"]
mod policies;
mod random;
mod seeds;
mod service;
mod setup;
mod threads;
mod told;
mod trace;
mod traffic;
mod world;

use limits::Limits;
use random::Random;
use seeds::{Run, each_seed};
use setup::Setup;
use world::World;

#[test]
fn a_fleet_admits_no_more_than_its_bound_whatever_the_network_does() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits::slow(random);
        let setup = Setup {
            given_up: random.below(2) * random.below(30),
            crashes: random.chance(50),
            clock_set_back: random.chance(20),
            sweeps: random.chance(30),
            stalls: random.chance(30),
            ..Setup::lossy(random, limits)
        };
        let world = World::ran(run, setup);
        world.check_bound(0.0);
        world.account.check_nothing_is_owed();
    });
}

#[test]
fn no_window_admits_more_than_its_quota() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits::windowed(random, Algorithm::FixedWindow);
        let (crashes, stalls) = (random.chance(50), random.chance(30));
        let setup = Setup { crashes, stalls, ..Setup::lossy(random, limits) };
        let world = World::ran(run, setup);
        world.check_bound(0.0);
        world.account.check_nothing_is_owed();
    });
}

#[test]
fn a_window_that_slides_admits_what_it_would_in_one_process() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits::windowed(random, Algorithm::SlidingWindow);
        let (crashes, stalls) = (random.chance(50), random.chance(30));
        let setup = Setup { crashes, stalls, ..Setup::lossy(random, limits) };
        let world = World::ran(run, setup);
        world.check_bound(0.0);
        world.account.check_nothing_is_owed();
    });
}

#[test]
fn a_seed_replays_a_run() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits::slow(random);
        let setup = Setup { crashes: true, sweeps: true, wipes: true, ..Setup::lossy(random, limits) };
        let once = || World::new(run, setup.clone()).run();
        assert_eq!(once(), once());
    });
}

#[test]
fn a_backend_that_is_emptied_is_told_what_was_spent() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = match random.below(4) {
            0 => Limits::windowed(random, Algorithm::FixedWindow),
            1 => Limits::windowed(random, Algorithm::SlidingWindow),
            _ => Limits::slow(random),
        };
        // Only a network that lets everybody tell what they know while the backend settles makes this bound.
        let setup = Setup { wipes: true, doubled: random.below(50), ..Setup::calm(random, limits) };
        let world = World::ran(run, setup);
        world.check_bound(0.0);
    });
}

/// What each admits alone adds up to another capacity at most, and a token each, for parts of one.
#[test]
fn what_is_admitted_without_a_backend_is_debited_afterwards() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits::slow(random);
        let loses = random.chance(50);
        let setup = if loses { Setup::lossy(random, limits) } else { Setup::calm(random, limits) };
        let setup = Setup { outages: true, on_failure: OnFailure::Local, ..setup };
        let world = World::ran(run, setup);
        // Behind a network that loses and delays, what is admitted alone goes by what was spent a while ago.
        if !loses {
            world.check_bound(limits.capacity() + world.setup.instances as f64);
        }
        world.account.check_is_even();
    });
}

#[test]
fn credit_is_admitted_once_for_each_instance() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits::slow(random);
        let credit = random.within(1..=3);
        let setup = Setup { credit, ..Setup::lossy(random, limits) };
        // Beyond a debt of one capacity, debits are forgiven.
        let burst = setup.instances * credit;
        let setup = Setup { limits: Limits { burst, ..limits }, ..setup };
        let world = World::ran(run, setup);
        let more = world.setup.instances * world.setup.credit;
        world.check_bound(more as f64);
        world.account.check_is_even();
    });
}

#[test]
fn what_the_service_takes_and_gives_counts_once() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits::slow(random);
        let setup = Setup { adjustments: true, ..Setup::lossy(random, limits) };
        let world = World::ran(run, setup);
        world.account.check_is_even();
    });
}

#[test]
fn a_request_is_charged_to_its_rule_and_its_quota_or_to_neither() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let (limits, rule) = (Limits::slow(random), Limits::slow(random));
        let setup = Setup { rule: Some(rule), ..Setup::lossy(random, limits) };
        let world = World::ran(run, setup);
        world.check_bound(0.0);
        world.account.check_is_even();
    });
}

#[test]
fn a_replica_gives_again_no_more_than_it_had_not_heard_of() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits::slow(random);
        let setup = Setup { failovers: true, doubled: random.below(50), ..Setup::calm(random, limits) };
        let world = World::ran(run, setup);
        world.check_bound(world.unheard as f64);
    });
}

/// One instance has spent all and sleeps: what it knows is told, too, when the backend has lost it, and another instance, which
/// never asked, gets nothing.
#[test]
fn what_a_sleeper_knows_is_told_when_the_backend_has_lost_it() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits { window: Nanos::from_secs(36_000), ..Limits::slow(random) };
        let mut world = World::new(run, Setup { instances: 2, doubled: 20, ..Setup::calm(random, limits) });
        let all = limits.quota + limits.burst;
        let time_to_live = world.setup.time_to_live;
        let mut now = Nanos::from_secs(1);
        world.run_until(now);
        for wait in [0, 1, time_to_live.get() * 2] {
            now = now + Nanos::new(wait + random.below(time_to_live.get()));
            world.flood(1, 0, all);
            world.run_until(now);
        }
        now = now + Nanos::new(time_to_live.get() * 2);
        world.run_until(now);
        world.wipe();
        for _ in 0..4 {
            now = now + Nanos::from_millis(100 + random.below(3000));
            world.run_until(now);
            world.flood(2, 0, all);
        }
        world.run_until(now + Nanos::from_secs(1));
        world.check_bound(0.0);
    });
}

/// The seeds that are for finding faults find them only if what is asked for is more than there is.
#[test]
fn most_runs_ask_for_all_that_there_is() {
    let asks_for_all = |seed: &u64| {
        let random = &mut Random::new(*seed);
        let limits = Limits::slow(random);
        let setup = Setup::lossy(random, limits);
        let world = World::ran(Run { seed: *seed, loud: false }, setup);
        let admitted: u64 = world.admitted.iter().map(|admitted| admitted.cost).sum();
        let most = limits.capacity() + limits.rate() * world.now.get() as f64;
        admitted as f64 > 0.9 * most
    };
    let reached = (0..200).filter(asks_for_all).count();
    assert!(reached > 120, "{reached} of 200");
}

/// A fleet that is asked for more than it has admits nearly all of it.
#[test]
fn a_quiet_network_lets_a_fleet_use_its_quota() {
    let window = Nanos::from_secs(1);
    let limits = Limits { algorithm: Algorithm::TokenBucket, quota: 1000, burst: 100, window };
    let random = &mut Random::new(1);
    let time = Nanos::from_secs(10);
    let setup =
        Setup { instances: 4, tenants: 1, interval: Nanos::from_millis(100), ..Setup::calm(random, limits) };
    let mut world = World::new(Run { seed: 1, loud: false }, setup);
    while world.now < time {
        world.run_until(world.now + Nanos::new(100_000));
        let id = random.within(1..=4);
        world.ask_and_wait(id, 0, 1);
        world.send(id, Call::Urgent);
    }
    let admitted: u64 = world.admitted.iter().map(|admitted| admitted.cost).sum();
    let most = limits.capacity() + limits.rate() * time.get() as f64;
    assert!(admitted as f64 >= 0.97 * most, "{admitted} of {most}, asked for {}", world.asked);
    world.check_bound(0.0);
}

/// Sixteen instances, five requests a minute: five are admitted, wherever they come.
#[test]
fn what_is_scarce_is_all_handed_out() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let window = Nanos::from_secs(60_000);
        let limits = Limits { algorithm: Algorithm::TokenBucket, quota: 5, burst: 0, window };
        let mut world = World::new(run, Setup { instances: 16, tenants: 1, ..Setup::calm(random, limits) });
        for _ in 0..100 {
            world.run_until(world.now + Nanos::from_millis(random.within(1..=50)));
            let id = random.within(1..=16);
            world.ask_and_wait(id, 0, 1);
            world.send(id, Call::Urgent);
        }
        assert_eq!(world.admitted.len(), 5);
    });
}
