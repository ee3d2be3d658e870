//! Whoever dies, sleeps or is late, a fleet comes to one policy, and to none that was not judged: instances and drivers as they are,
//! against a simulated store, in simulated time. `TOLLGATE_SEEDS=10000` tries more seeds of each test; `TOLLGATE_SEED=17` shows one run.
//!
//! [`watch`] looks from outside, at every write and after every event:
//! - No write lands under a stale token, or upon a record that its writer had not seen.
//! - At most two revisions are enforced by those who belong to the fleet; once a candidate is, `from` and the candidate.
//! - While a step is validated only its members enforce the candidate, and they are no more than its share.
//! - Nothing is locked that was not validated for the whole window, or that is not fit; what was rolled back comes back only by force.
//! - Editions and revisions count up, and what is written can be read.
//!
//! Then faults end: a rollout that is under way ends, too, and all enforce the active revision 15 seconds later.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test that fails, fails; and its numbers are small"
)]

use tollgate_core::rollout::{Micros, Phase, Strategy};

mod agenda;
mod instance;
mod network;
#[path = "../simulation/random.rs"]
mod random;
#[path = "../simulation/seeds.rs"]
mod seeds;
mod setup;
mod store;
mod traffic;
mod watch;
mod wishes;
mod world;

use instance::Wanted;
use random::Random;
use seeds::{Run, each_seed};
use setup::{Setup, strategy};
use traffic::{Nature, image};
use wishes::proposal;
use world::World;

#[test]
fn a_fleet_comes_to_one_policy_whatever_happens() {
    each_seed(|run| {
        let setup = Setup::rough(&mut Random::new(run.seed));
        World::new(run, setup).run();
    });
}

#[test]
fn a_seed_replays_a_run() {
    each_seed(|run| {
        let setup = Setup::rough(&mut Random::new(run.seed));
        let once = || World::new(run, setup.clone()).run();
        assert_eq!(once(), once());
    });
}

/// A fleet that has come to rest, and one of it is to apply a policy.
fn applying(run: Run, policy: u64, strategy: Strategy, instances: u64) -> World {
    let setup = Setup { instances, ..Setup::calm(&mut Random::new(run.seed)) };
    let mut world = World::new(run, setup);
    world.run_until(world.now + Micros::from_secs(3));
    world.want(1, Wanted::Apply(proposal(policy, strategy, false)));
    world
}

#[test]
fn a_policy_is_locked_if_it_is_fit_and_nothing_goes_wrong() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let (policy, instances) = (1 + random.below(12), random.within(1..=10));
        let mut world = applying(run, policy, strategy(random), instances);
        world.run_until_phase(|_| false);
        world.calm_down();
        world.settle();
        let is_fit = Nature::of(image(policy)).is_fit();
        assert_eq!((world.watch.locked, world.watch.rolled_back), (u64::from(is_fit), u64::from(!is_fit)));
        assert_eq!(world.store.record.active.hash == image(policy), is_fit);
    });
}

const PHASES: [fn(&Phase) -> bool; 6] = [
    |phase| matches!(phase, Phase::Staging { .. }),
    |phase| matches!(phase, Phase::Switching { .. }),
    |phase| matches!(phase, Phase::Agreed { .. }),
    |phase| matches!(phase, Phase::Validating { .. }),
    |phase| matches!(phase, Phase::Promoting { .. }),
    |phase| matches!(phase, Phase::RollingBack { .. }),
];

/// The driver dies in some phase. What was not decided is rolled back within 15 seconds; what is validated is validated to its end.
#[test]
fn a_fleet_whose_driver_dies_comes_to_one_policy_in_15_seconds() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let (policy, instances) = (random.of(&[1, 2, 2, 2]), random.within(2..=6));
        let mut world = applying(run, policy, strategy(random), instances);
        let phase = PHASES[run.seed as usize % PHASES.len()];
        if !world.run_until_phase(phase) {
            return;
        }
        world.run_until(world.now + Micros::new(random.below(50_000)));
        let Some(driver) = world.driver() else { return };
        let validates = world.store.record.rollout.as_ref().unwrap().is_validating();
        world.crash(driver);
        if !validates {
            world.run_until(world.now + Micros::from_secs(15));
            assert!(world.store.record.rollout.is_none(), "{:?}", world.store.record.rollout);
            world.check_is_one();
        }
        world.calm_down();
        world.settle();
    });
}

/// The driver sleeps for a minute in some phase, and goes on where it was: it may write nothing that the watch would mind.
#[test]
fn a_driver_that_wakes_up_with_an_old_token_changes_nothing() {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let (policy, instances) = (random.of(&[1, 2, 2, 2]), random.within(2..=6));
        let mut world = applying(run, policy, strategy(random), instances);
        world.run_until_phase(PHASES[run.seed as usize % PHASES.len()]);
        let driver = world.driver();
        if let Some(driver) = driver {
            world.stall(driver, Micros::from_secs(60));
        }
        let others = world.instances.keys().copied().find(|&id| Some(id) != driver);
        world.run_until(world.now + Micros::from_secs(40));
        // Another rollout is under way by then.
        world.want(others.unwrap(), Wanted::Apply(proposal(4, strategy(random), false)));
        world.run_until(world.now + Micros::from_secs(25));
        world.calm_down();
        world.settle();
    });
}

/// Of all that may happen to a rollout, the runs see each.
#[test]
fn the_runs_see_every_end() {
    let (mut locked, mut reasons) = (0, std::collections::BTreeMap::new());
    for seed in 0..200 {
        let setup = Setup::rough(&mut Random::new(seed));
        let mut world = World::new(Run { seed, loud: false }, setup);
        world.run();
        locked += world.watch.locked;
        for (reason, count) in world.watch.reasons {
            *reasons.entry(reason).or_insert(0) += count;
        }
    }
    println!("locked: {locked}; rolled back: {reasons:?}");
    assert!(locked > 100, "{locked}");
    let all =
        ["check_failed", "inconclusive", "image_refused", "not_acknowledged", "driver_lost", "cancelled"];
    for reason in all {
        assert!(reasons.get(reason).is_some_and(|&count| count >= 5), "{reason}: {reasons:?}");
    }
}
