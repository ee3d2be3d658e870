//! A fleet comes from one policy to another: real background tasks, on a real server.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tollgate_core::policy::ImageHash;
use tollgate_core::rollout::log::Outcome;
use tollgate_core::rollout::{
    Judged, Micros, Process, Proposal, Refused, Role, Settings, Steps, Strategy, Tallies, Wish,
};
use tollgate_redis::control::{Control, Store, Twin};
use tollgate_redis::deployment::{Comparing, Deployment, Member, NotDone, Policies};

mod asks;
mod server;

use asks::{PATIENCE, connect};
use server::Server;

const OLD: ImageHash = ImageHash([1; 32]);
const NEW: ImageHash = ImageHash([2; 32]);

/// Policies that are nothing but their hashes; traffic is whatever a test says.
#[derive(Default)]
struct Plain {
    in_force: Mutex<Vec<ImageHash>>,
    held: Mutex<BTreeSet<ImageHash>>,
    amended: Mutex<Vec<Vec<u8>>>,
    comparing: Mutex<Option<Comparing>>,
    /// Requests, and those of them that are now denied, as soon as something is compared.
    traffic: Mutex<(u64, u64)>,
}

impl Policies for Plain {
    fn hold(&self, hash: ImageHash, stored: &[u8]) -> Result<(), String> {
        if stored != hash.0 {
            return Err("it was altered".to_owned());
        }
        self.held.lock().insert(hash);
        Ok(())
    }

    fn enforce(&self, hash: ImageHash) -> Result<(), String> {
        self.in_force.lock().push(hash);
        Ok(())
    }

    fn are_alike(&self, one: ImageHash, other: ImageHash) -> bool {
        one == other
    }

    fn amend(&self, amendments: &[Vec<u8>]) -> Result<(), String> {
        self.amended.lock().extend_from_slice(amendments);
        Ok(())
    }

    fn compare(&self, comparing: Option<Comparing>) {
        *self.comparing.lock() = comparing;
    }

    fn tallies(&self) -> Option<Tallies> {
        let Comparing { round, began, .. } = (*self.comparing.lock())?;
        let (requests, now_denied) = *self.traffic.lock();
        let mut tallies = Tallies::new(round, began);
        tallies.judged = Judged { requests, conforming: requests, now_denied, ..Judged::default() };
        (tallies.by_candidate.requests, tallies.by_old.requests) = (requests, requests);
        Some(tallies)
    }

    fn stored(&self, hash: ImageHash) -> Option<Vec<u8>> {
        self.held.lock().contains(&hash).then(|| hash.0.to_vec())
    }

    fn keep(&self, hashes: &[ImageHash]) {
        self.held.lock().retain(|hash| hashes.contains(hash));
    }
}

struct Instance {
    deployment: Deployment,
    policies: Arc<Plain>,
}

fn proposal(hash: ImageHash) -> Proposal {
    let settings = Settings {
        window: Micros::from_millis(800),
        deadline: Micros::from_millis(2_000),
        min_samples: 50,
        patience: Micros::from_secs(4),
        lead: Micros::from_millis(1_000),
        ..Settings::default()
    };
    let strategy = Strategy::Rolling(Steps::new(vec![0.3, 1.0]).unwrap());
    Proposal { hash, strategy, settings, proposer: "a test".to_owned(), forced: false }
}

impl Instance {
    fn start(number: u64, declared: ImageHash, store: Store) -> Self {
        let held = Mutex::new(BTreeSet::from([declared]));
        let policies = Arc::new(Plain { held, traffic: Mutex::new((1_000, 0)), ..Plain::default() });
        let process = Process { host: "here".to_owned(), pid: number.to_string(), ..Process::default() };
        let member =
            Member { instance: number, process, role: Role::Instance, declared: Some(proposal(declared)) };
        let known = Arc::clone(&policies);
        let deployment = Deployment::start(&Handle::current(), member, move || Some(store.clone()), known);
        Self { deployment, policies }
    }

    fn revision(&self) -> Option<(u64, ImageHash)> {
        let seen = self.deployment.seen();
        let seen = seen.borrow();
        let active = seen.record.as_ref().filter(|record| record.rollout.is_none())?.active;
        Some((active.number, active.hash))
    }

    async fn outcome(&self) -> Outcome {
        let mut seen = self.deployment.seen();
        let ended = seen.wait_for(|seen| {
            let over = seen.record.as_ref().is_some_and(|record| record.rollout.is_none());
            over && seen.log.as_ref().is_some_and(|log| log.outcome.is_some())
        });
        let seen = tokio::time::timeout(Duration::from_secs(30), ended).await.unwrap().unwrap();
        seen.log.clone().unwrap().outcome.unwrap()
    }
}

async fn redis(server: &Server) -> Store {
    Store::Redis(Control::new(connect(&server.address()).await))
}

async fn fleet(server: &Server, size: u64) -> Vec<Instance> {
    let mut instances = Vec::new();
    for number in 1..=size {
        instances.push(Instance::start(number, OLD, redis(server).await));
    }
    until(|| instances.iter().all(|instance| instance.revision() == Some((1, OLD)))).await;
    instances
}

async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 3, wait).await.unwrap();
}

fn stored(hash: ImageHash) -> Vec<u8> {
    hash.0.to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_passes_is_locked_at_all_and_swapped_to_once() {
    let server = Server::start();
    let instances = fleet(&server, 3).await;
    let id = instances[1].deployment.apply(proposal(NEW), stored(NEW)).await.unwrap();
    assert!(id.to_string().starts_with("infra_rl_20"));
    for instance in &instances {
        assert!(matches!(instance.outcome().await, Outcome::Locked { revision } if revision.number == 2));
        until(|| instance.revision() == Some((2, NEW))).await;
        assert_eq!(*instance.policies.in_force.lock(), [NEW]);
        assert_eq!(*instance.policies.comparing.lock(), None);
    }
    let trail = redis(&server).await.audit(100, None).await.unwrap();
    assert_eq!(trail.verify(), Ok(()));
    let again = instances[0].deployment.apply(proposal(NEW), stored(NEW)).await;
    assert!(matches!(again, Err(NotDone::Refused(Refused::AlreadyActive(_)))), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_cuts_traffic_is_rolled_back_and_not_proposed_again_by_itself() {
    let server = Server::start();
    let instances = fleet(&server, 3).await;
    for instance in &instances {
        *instance.policies.traffic.lock() = (1_000, 200);
    }
    instances[0].deployment.apply(proposal(NEW), stored(NEW)).await.unwrap();
    for instance in &instances {
        let Outcome::RolledBack { reason, .. } = instance.outcome().await else { panic!("it was locked") };
        assert!(reason.starts_with("decision_flips is 0.2000 (at most 0.05)"), "{reason}");
        until(|| instance.revision() == Some((1, OLD))).await;
    }
    // At most the canary has decided by it, and does no more.
    let touched: Vec<_> =
        instances.iter().map(|instance| instance.policies.in_force.lock().clone()).collect();
    assert_eq!(touched.iter().filter(|swaps| **swaps == [NEW, OLD]).count(), 1, "{touched:?}");
    assert_eq!(touched.iter().filter(|swaps| swaps.is_empty()).count(), 2, "{touched:?}");
    let again = instances[2].deployment.apply(proposal(NEW), stored(NEW)).await;
    assert!(matches!(again, Err(NotDone::Refused(Refused::RolledBackBefore { .. }))), "{again:?}");
    // Whoever starts with it joins the others.
    let late = Instance::start(9, NEW, redis(&server).await);
    until(|| late.revision() == Some((1, OLD))).await;
    until(|| *late.policies.in_force.lock() == [OLD]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_traffic_nothing_is_locked_unless_somebody_says_so() {
    let server = Server::start();
    let instances = fleet(&server, 2).await;
    for instance in &instances {
        *instance.policies.traffic.lock() = (0, 0);
    }
    instances[0].deployment.apply(proposal(NEW), stored(NEW)).await.unwrap();
    let Outcome::RolledBack { reason, .. } = instances[1].outcome().await else { panic!("it was locked") };
    assert_eq!(reason, "there was too little traffic to judge by");
    let forced = Proposal { forced: true, strategy: Strategy::Simultaneous, ..proposal(NEW) };
    instances[0].deployment.apply(forced, stored(NEW)).await.unwrap();
    until(|| instances[1].deployment.seen().borrow().record.as_ref().unwrap().rollout.is_some()).await;
    until(|| instances.iter().all(|instance| instance.policies.comparing.lock().is_some())).await;
    let validating = || {
        let seen = instances[1].deployment.seen();
        let record = seen.borrow().record.clone().unwrap();
        record.rollout.is_some_and(|rollout| rollout.is_validating())
    };
    until(validating).await;
    instances[1].deployment.ask(Wish::Confirm, "a person".to_owned()).await.unwrap();
    until(|| instances.iter().all(|instance| instance.revision().is_some_and(|(_, hash)| hash == NEW))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_driver_is_gone_another_one_ends_what_it_began() {
    let server = Server::start();
    let mut instances = fleet(&server, 3).await;
    instances[0].deployment.apply(proposal(NEW), stored(NEW)).await.unwrap();
    // As a process that is killed: it says nothing any more.
    drop(instances.remove(0));
    for instance in &instances {
        instance.outcome().await;
    }
    until(|| instances.iter().all(|instance| instance.revision() == instances[0].revision())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_was_altered_is_refused_and_the_old_policy_stays() {
    let server = Server::start();
    let instances = fleet(&server, 2).await;
    instances[0].deployment.apply(proposal(NEW), b"something else".to_vec()).await.unwrap();
    let Outcome::RolledBack { reason, .. } = instances[1].outcome().await else { panic!("it was locked") };
    assert!(reason.ends_with("does not take the image: it was altered"), "{reason}");
    assert!(instances.iter().all(|instance| instance.policies.in_force.lock().is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_back_at_once_and_whoever_has_the_old_policy_joins() {
    let server = Server::start();
    let instances = fleet(&server, 2).await;
    instances[0].deployment.apply(proposal(NEW), stored(NEW)).await.unwrap();
    instances[0].outcome().await;
    let late = Instance::start(9, OLD, redis(&server).await);
    until(|| late.revision() == Some((2, NEW)) && *late.policies.in_force.lock() == [NEW]).await;
    let back = instances[1].deployment.roll_back(None, proposal(OLD).settings, "a person".to_owned());
    back.await.unwrap();
    until(|| instances.iter().chain([&late]).all(|instance| instance.revision() == Some((3, OLD)))).await;
    let back = instances[1].deployment.roll_back(Some(17), proposal(OLD).settings, "a person".to_owned());
    let refused = back.await;
    assert!(
        matches!(refused, Err(NotDone::Refused(Refused::RevisionGone { number: 17, .. }))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_back_alone_with_another_policy_decides_by_it() {
    let server = Server::start();
    let instances = fleet(&server, 2).await;
    for instance in &instances {
        instance.deployment.leave().await;
    }
    drop(instances);
    let alone = Instance::start(7, NEW, redis(&server).await);
    until(|| alone.revision() == Some((2, NEW))).await;
    // A second one with a third policy brings that by a rollout.
    let third = ImageHash([3; 32]);
    let other = Instance::start(8, third, redis(&server).await);
    until(|| alone.revision() == Some((3, third)) && other.revision() == Some((3, third))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_by_itself_goes_the_same_way() {
    let twin = Store::InProcess(Arc::new(Twin::new()));
    let alone = Instance::start(1, OLD, twin);
    until(|| alone.revision() == Some((1, OLD))).await;
    alone.deployment.apply(proposal(NEW), stored(NEW)).await.unwrap();
    assert!(matches!(alone.outcome().await, Outcome::Locked { .. }));
    until(|| alone.revision() == Some((2, NEW))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amendments_come_to_all_in_their_order_and_end_with_the_revision() {
    let server = Server::start();
    let instances = fleet(&server, 3).await;
    let store = redis(&server).await;
    for number in 1..=600_u16 {
        store.amend(1, &number.to_be_bytes(), &[]).await.unwrap();
    }
    let all: Vec<Vec<u8>> = (1..=600_u16).map(|number| number.to_be_bytes().to_vec()).collect();
    for instance in &instances {
        until(|| *instance.policies.amended.lock() == all).await;
    }
    // Whoever comes later makes them, too.
    let late = Instance::start(9, OLD, redis(&server).await);
    until(|| *late.policies.amended.lock() == all).await;
    instances[0].deployment.apply(proposal(NEW), stored(NEW)).await.unwrap();
    until(|| late.revision() == Some((2, NEW))).await;
    until(|| late.deployment.seen().borrow().amended == Some((2, 0))).await;
    store.amend(2, b"more", &[]).await.unwrap();
    until(|| late.policies.amended.lock().last() == Some(&b"more".to_vec())).await;
}

#[tokio::test]
async fn without_a_store_what_is_wanted_is_refused_at_once() {
    let policies = Arc::new(Plain::default());
    let member = Member {
        instance: 1,
        process: Process::default(),
        role: Role::Instance,
        declared: Some(proposal(OLD)),
    };
    let deployment = Deployment::start(&Handle::current(), member, || None, policies);
    let refused = deployment.apply(proposal(NEW), stored(NEW)).await;
    assert!(matches!(refused, Err(NotDone::Unavailable(_))), "{refused:?}");
}
