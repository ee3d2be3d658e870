//! What is found of servers that are not well.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::time::Duration;

use tollgate_redis::inspect::{Inspection, Level};
use tollgate_redis::{Backend, Connection, Kind, Role};

mod asks;
mod masters;
mod server;

use asks::{connect, settings};
use masters::Cluster;
use server::Server;

/// Long enough for any server that answers, and short enough to wait for one that does not.
const SHORT: Duration = Duration::from_secs(1);

async fn connect_briefly(address: &str) -> Connection {
    let settings = tollgate_redis::Settings { connect_timeout: SHORT, ..settings(SHORT) };
    Backend::parse(address, settings).unwrap().connect().await.unwrap()
}

/// What is said, but for how fast servers are, which depends on the machine.
fn said(inspection: &Inspection) -> Vec<(Level, String)> {
    let findings = inspection.findings.iter().filter(|finding| !finding.text.contains("an answer took"));
    findings.map(|finding| (finding.level, finding.to_string())).collect()
}

fn has(inspection: &Inspection, level: Level, part: &str) {
    assert!(said(inspection).iter().any(|(is, text)| *is == level && text.contains(part)), "{inspection:#?}");
}

#[tokio::test]
async fn a_server_that_is_well_is_described() {
    let server = Server::start();
    server.cli(&["SET", "some", "key"]);
    let inspection = Inspection::of(&connect(&server.address()).await).await;
    assert_eq!(said(&inspection), []);
    assert_eq!((inspection.kind, inspection.nodes.len()), (Kind::Standalone, 1));
    let node = &inspection.nodes[0];
    assert_eq!(
        (node.address.clone(), node.reachable, node.role),
        (server.address(), true, Some(Role::Master))
    );
    assert_eq!((node.keys, node.max_memory), (Some(1), Some(0)));
    assert_eq!(node.eviction_policy.as_deref(), Some("noeviction"));
    assert!(node.round_trip_ms.unwrap() > 0.0 && node.used_memory.unwrap() > 0);
    assert!(server.cli(&["INFO", "server"]).contains(node.version.as_deref().unwrap()));
    // It is the same machine's clock.
    assert!(node.clock_ahead_ms.unwrap().abs() < 1000.0);
    let json = serde_json::to_value(&inspection).unwrap();
    assert_eq!((&json["kind"], &json["nodes"][0]["role"]), (&"standalone".into(), &"master".into()));
}

#[tokio::test]
async fn a_policy_that_evicts_is_found() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    has(&Inspection::of(&connection).await, Level::Info, "volatile-lru");
    server.cli(&["CONFIG", "SET", "maxmemory", "1gb"]);
    has(&Inspection::of(&connection).await, Level::Warning, "evicts buckets:");
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    let inspection = Inspection::of(&connection).await;
    has(&inspection, Level::Fault, "evicts buckets and the active policy");
    assert_eq!(inspection.worst(), Some(Level::Fault));
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    assert_eq!(said(&Inspection::of(&connection).await), []);
}

#[tokio::test]
async fn a_server_that_may_not_be_asked_is_reachable() {
    let server = Server::start();
    let rules = ["ACL", "SETUSER", "app", "on", ">secret", "~tollgate:*", "+@all", "-info", "-time"];
    assert_eq!(server.cli(&rules), "OK");
    let connection = connect(&format!("redis://app:secret@{}", server.address())).await;
    let inspection = Inspection::of(&connection).await;
    has(&inspection, Level::Info, "may not be asked for TIME, INFO");
    assert!(inspection.nodes[0].reachable);
    assert_eq!((inspection.worst(), inspection.nodes[0].keys), (Some(Level::Info), None));
}

#[tokio::test]
async fn a_server_that_stands_still_or_died_is_found_in_time() {
    let mut server = Server::start();
    let connection = connect_briefly(&server.address()).await;
    server.stop();
    let inspection = Inspection::of(&connection).await;
    has(&inspection, Level::Fault, "it does not answer");
    assert!(!inspection.nodes[0].reachable);
    server.go_on();
    server.kill();
    has(&Inspection::of(&connection).await, Level::Fault, "it does not answer");
}

#[tokio::test]
async fn a_replica_that_falls_behind_is_found() {
    let server = Server::start();
    let port = server.port.to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    replica.wait_for("INFO replication", "master_link_status:up");
    server.wait_for("INFO replication", "state=online");
    let connection = connect(&server.address()).await;
    let inspection = Inspection::of(&connection).await;
    assert_eq!(said(&inspection), []);
    assert_eq!(inspection.nodes[0].replicas[0].address, replica.address());
    replica.stop();
    server.cli(&["EVAL", "redis.call('SET', KEYS[1], string.rep('x', 4000000))", "1", "much"]);
    let inspection = Inspection::of(&connection).await;
    has(&inspection, Level::Warning, "bytes behind");
    assert!(inspection.nodes[0].replicas[0].lag_bytes.unwrap() > 3_000_000);
    assert!(inspection.nodes[0].replicas[0].lag_seconds.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_described_with_all_its_servers() {
    let cluster = Cluster::start();
    let replicas: Vec<Server> = (0..3).map(|of| cluster.add_replica_beside(of, 3 + of)).collect();
    for master in &cluster.masters {
        master.wait_for("INFO replication", "state=online");
    }
    let connection = connect(&cluster.masters[1].address()).await;
    let inspection = Inspection::of(&connection).await;
    assert_eq!(said(&inspection), []);
    assert_eq!((inspection.kind, inspection.nodes.len()), (Kind::Cluster, 6));
    for replica in &replicas {
        let node = inspection.nodes.iter().find(|node| node.address == replica.address()).unwrap();
        assert_eq!((node.reachable, node.role), (true, Some(Role::Replica)));
    }
    let slots = inspection.slots.unwrap();
    assert_eq!((slots.covered, slots.masters, slots.failing, slots.doubtful), (16_384, 3, 0, 0));
    assert_eq!((slots.missing, slots.imbalance), (Vec::new(), None));

    // All keys are in one slot.
    let fill = "for i = 1, 2000 do redis.call('SET', '{a}' .. i, 'x') end";
    assert_eq!(cluster.masters[2].cli(&["EVAL", fill, "1", "{a}"]), "");
    let inspection = Inspection::of(&connection).await;
    has(&inspection, Level::Warning, "a master has 3.0 times the average");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_nobody_has_are_found_and_masters_that_nobody_follows() {
    let cluster = Cluster::start();
    let connection = connect(&cluster.masters[0].address()).await;
    for master in &cluster.masters {
        for slot in ["100", "7000"] {
            assert_eq!(master.cli(&["CLUSTER", "DELSLOTS", slot]), "OK");
        }
    }
    let inspection = Inspection::of(&connection).await;
    has(&inspection, Level::Fault, "nobody has 2 of 16384 slots: 100, 7000");
    assert_eq!(inspection.slots.as_ref().unwrap().missing, [(100, 100), (7000, 7000)]);
    for master in &cluster.masters {
        has(&inspection, Level::Warning, &format!("{}: it has no replica", master.address()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_a_cluster_that_stand_still_are_found_and_keep_nothing_back() {
    let cluster = Cluster::start();
    let replica = cluster.add_replica(2);
    let connection = connect_briefly(&cluster.masters[0].address()).await;
    replica.stop();
    cluster.masters[1].stop();
    let inspection = Inspection::of(&connection).await;
    has(&inspection, Level::Fault, &format!("{}: it does not answer", cluster.masters[1].address()));
    has(&inspection, Level::Warning, &format!("{}: it does not answer", replica.address()));
    let text = format!("{}: it has no replica", cluster.masters[2].address());
    has(&inspection, Level::Warning, &text);
    let node = inspection.nodes.iter().find(|node| node.address == cluster.masters[1].address()).unwrap();
    assert_eq!((node.reachable, node.role), (false, Some(Role::Master)));
    assert_eq!(inspection.nodes.iter().filter(|node| node.reachable).count(), 2);
    replica.go_on();
    cluster.masters[1].go_on();
}
