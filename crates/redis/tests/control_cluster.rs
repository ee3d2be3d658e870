//! What a fleet agrees on, as a Cluster keeps it: in one slot, which moves, and whose master dies.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tollgate_redis::Failure;
use tollgate_redis::control::{Control, Fence, Hint, Refused, Write, Written};

mod asks;
mod masters;
mod server;

use asks::{PATIENCE, connect};
use masters::Cluster;
use server::Server;

const HOUR: Duration = Duration::from_hours(1);
const RECORD: &str = "tollgate:{test:fleet}:record";

fn write(fence: Fence, version: u64, record: &str) -> Write {
    let audit = vec![format!("{record} was written").into_bytes()];
    Write { fence, version, revision: 1, record: record.as_bytes().to_vec(), audit }
}

/// Three masters, each with a replica, and which of them has the slot.
fn with_replicas() -> (Cluster, Vec<Server>, usize) {
    let cluster = Cluster::start();
    let replicas = (0..3).map(|of| cluster.add_replica_beside(of, 3 + of)).collect();
    let slot: usize = cluster.masters[0].cli(&["CLUSTER", "KEYSLOT", RECORD]).parse().unwrap();
    let owner = slot * 3 / 16_384;
    cluster.masters[owner].wait_for("INFO replication", "state=online");
    (cluster, replicas, owner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_is_in_one_slot_and_every_server_passes_hints_on() {
    let (cluster, replicas, owner) = with_replicas();
    let control = Control::new(connect(&cluster.masters[0].address()).await);
    let mut listeners = Vec::new();
    // Each listens to a server that it takes by chance.
    for _ in 0..20 {
        listeners.push(control.hints().await.unwrap());
    }
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    let image = vec![7; 1_000_000];
    control.put_image(&[1; 32], &image).await.unwrap();
    let written = control.write(&write(fence, 0, "one")).await.unwrap();
    for hints in &mut listeners {
        assert_eq!(hints.next().await, Some(Hint::Record(1)));
    }
    assert_eq!(control.amend(1, b"more", &[b"amended".to_vec()]).await, Ok(1));
    for hints in &mut listeners {
        assert_eq!(hints.next().await, Some(Hint::Amendment(1)));
    }
    assert_eq!(control.confirm(written, 1, PATIENCE).await.unwrap().replicas, 1);
    assert_ne!(replicas[owner].cli(&["DBSIZE"]), "0");
    control.report(1, b"here", HOUR).await.unwrap();
    assert!(control.image(&[1; 32]).await.unwrap().unwrap() == image);
    let snapshot = control.read().await.unwrap();
    assert_eq!((snapshot.version, snapshot.amended, snapshot.reports.len()), (1, 1, 1));
    let trail = control.audit(9, None).await.unwrap();
    assert_eq!((trail.verify(), trail.entries.len()), (Ok(()), 2));
    for (index, master) in cluster.masters.iter().enumerate() {
        assert_eq!(master.cli(&["DBSIZE"]) == "0", index != owner);
    }
    assert_eq!(control.forget_images(fence, &[]).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_takes_all_of_it_along() {
    let cluster = Cluster::start();
    let control = Control::new(connect(&cluster.masters[0].address()).await);
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    control.write(&write(fence, 0, "one")).await.unwrap();
    let moving = cluster.begin_to_move(RECORD);
    // Half of it is here and half of it there, and then there, where a key that does not exist may be on its way: it is refused
    // for the moment, and nothing is half done.
    for most in [1, 100] {
        cluster.move_keys(&moving, most);
        match control.write(&write(fence, 1, "two")).await {
            Ok(written) => assert_eq!(written, Written { version: 2, fence }),
            Err(refused) => {
                assert!(matches!(refused, Refused::Failed(Failure::ClusterDown(_))), "{refused:?}");
            }
        }
    }
    cluster.end_move(&moving);
    assert_eq!(control.write(&write(fence, 1, "two")).await, Ok(Written { version: 2, fence }));
    let written = control.write(&write(fence, 2, "three")).await.unwrap();
    assert_eq!(control.confirm(written, 0, PATIENCE).await.unwrap().replicas, 0);
    let trail = control.audit(9, None).await.unwrap();
    assert_eq!((trail.verify(), trail.entries.len()), (Ok(()), 3));
}

/// The master of the slot dies, and its replica takes over.
fn fail_over(cluster: &mut Cluster, replicas: &[Server], owner: usize) {
    cluster.masters[owner].kill();
    assert_eq!(replicas[owner].cli(&["CLUSTER", "FAILOVER", "TAKEOVER"]), "OK");
}

/// The newest token, when the Cluster serves the slot again.
async fn acquired(control: &Control, instance: u64) -> Fence {
    let started = Instant::now();
    loop {
        if let Ok(fence) = control.acquire(instance, HOUR).await {
            return fence.unwrap();
        }
        assert!(started.elapsed() < PATIENCE * 2, "nobody serves the slot");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_outlives_the_master_and_so_does_the_lock() {
    let (mut cluster, replicas, owner) = with_replicas();
    let control = Control::new(connect(&cluster.masters[(owner + 1) % 3].address()).await);
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    let written = control.write(&write(fence, 0, "one")).await.unwrap();
    assert_eq!(control.confirm(written, 1, PATIENCE).await.unwrap().replicas, 1);
    fail_over(&mut cluster, &replicas, owner);
    assert_eq!(acquired(&control, 1).await, fence);
    // Its reply was lost with the master.
    assert_eq!(control.write(&write(fence, 0, "one")).await, Ok(written));
    assert_eq!(control.acquire(2, HOUR).await, Ok(None));
    assert_eq!(control.write(&write(fence, 1, "two")).await, Ok(Written { version: 2, fence }));
    assert_eq!(control.audit(9, None).await.unwrap().verify(), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_held_a_lock_that_was_lost_with_its_master_writes_nothing() {
    let (mut cluster, replicas, owner) = with_replicas();
    let control = Control::new(connect(&cluster.masters[(owner + 1) % 3].address()).await);
    let first = control.acquire(1, HOUR).await.unwrap().unwrap();
    let written = control.write(&write(first, 0, "one")).await.unwrap();
    assert!(control.release(1, first).await.unwrap());
    assert_eq!(control.confirm(written, 1, PATIENCE).await.unwrap().replicas, 1);
    // What comes now, the replica never has: it stands still, and nothing is on its way to it.
    replicas[owner].stop();
    assert_eq!(cluster.masters[owner].cli(&["CLIENT", "KILL", "TYPE", "replica"]), "1");
    let lost = control.acquire(2, HOUR).await.unwrap().unwrap();
    let written = control.write(&write(lost, 1, "lost")).await.unwrap();
    let confirmed = control.confirm(written, 1, Duration::from_millis(100)).await.unwrap();
    assert_eq!(confirmed.replicas, 0);
    cluster.masters[owner].kill();
    replicas[owner].go_on();
    replicas[owner].wait_for("PING", "PONG");
    assert_eq!(replicas[owner].cli(&["CLUSTER", "FAILOVER", "TAKEOVER"]), "OK");
    let newest = acquired(&control, 3).await;
    assert!(newest > lost);
    for version in [1, 2] {
        let refused = control.write(&write(lost, version, "late")).await;
        assert_eq!(refused, Err(Refused::StaleFence { newest }));
    }
    assert_eq!(control.confirm(written, 0, PATIENCE).await, Err(Refused::VersionChanged { version: 1 }));
    let written = control.write(&write(newest, 1, "two")).await.unwrap();
    assert_eq!(written.version, 2);
    assert_eq!(control.audit(9, None).await.unwrap().verify(), Ok(()));
}
