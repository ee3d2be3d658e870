//! What batches come to on a Cluster.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use tollgate_core::lease::exchange::Batch;
use tollgate_redis::{Failure, Kind, Registry, Role};

mod asks;
mod masters;
mod server;

use asks::{PATIENCE, batch, connect, leased};
use masters::Cluster;

fn all(sequence: u64, wanted: u64) -> Vec<Batch> {
    (0..=255).map(|tag| batch(tag, sequence, wanted)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_known_by_any_of_its_servers_and_serves_all_tags() {
    let cluster = Cluster::start();
    let connection = connect(&cluster.masters[1].address()).await;
    let description = connection.description();
    assert_eq!((description.kind, description.nodes.len()), (Kind::Cluster, 3));
    for master in &cluster.masters {
        let node = description.nodes.iter().find(|node| node.address == master.address());
        assert_eq!(node.map(|node| node.role), Some(Role::Master));
    }
    for (batch, reply) in connection.exchange(all(1, 30)).await {
        assert_eq!(reply.unwrap().grants[0].tokens, 30, "{batch:?}");
    }
    for master in &cluster.masters {
        assert_eq!(master.cli(&["SCRIPT", "FLUSH"]), "OK");
        assert_ne!(master.cli(&["DBSIZE"]), "0");
    }
    for (batch, reply) in connection.exchange(all(2, 100)).await {
        assert_eq!(reply.unwrap().grants[0].tokens, 70, "{batch:?}");
    }
    let registry = Registry::new(connection);
    assert_eq!((registry.beat(1, PATIENCE).await, registry.beat(2, PATIENCE).await), (Ok(1), Ok(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_followed_to_where_it_moves_and_while_it_does() {
    let cluster = Cluster::start();
    let connection = connect(&cluster.masters[0].address()).await;
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
    let moving = cluster.begin_to_move("tollgate:{test:b7}:life");
    // Half of its keys are here, half of them there, until all are there.
    cluster.move_keys(&moving, 1);
    let reply = connection.exchange(vec![batch(7, 2, 30)]).await.remove(0).1;
    assert!(
        reply.as_ref().is_ok_and(|reply| reply.grants[0].tokens == 30)
            || matches!(reply, Err(Failure::ClusterDown(_) | Failure::Timeout)),
        "{reply:?}"
    );
    cluster.move_keys(&moving, 100);
    assert_eq!(leased(&connection, batch(7, 2, 30)).await, 30);
    cluster.end_move(&moving);
    assert_eq!(leased(&connection, batch(7, 3, 100)).await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_master_died_its_tags_fail_and_others_go_on() {
    let mut cluster = Cluster::start();
    let connection = connect(&cluster.masters[0].address()).await;
    cluster.masters[2].kill();
    for sequence in 1..=3 {
        let (mut served, mut failed) = (0, 0);
        for (_, reply) in connection.exchange(all(sequence, 10)).await {
            match reply {
                Ok(reply) => {
                    served += 1;
                    assert_eq!(reply.grants[0].tokens, 10);
                }
                Err(Failure::Unreachable(_)) => failed += 1,
                Err(failure) => panic!("{failure:?}"),
            }
        }
        // A third of the tags, more or less.
        assert!((140..=200).contains(&served) && served + failed == 256, "{served} and {failed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_that_stands_still_does_not_answer_keeps_nothing_back() {
    let cluster = Cluster::start();
    let connection = connect(&cluster.masters[0].address()).await;
    assert!(connection.exchange(all(1, 10)).await.iter().all(|(_, reply)| reply.is_ok()));
    cluster.masters[2].stop();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let batches = all(2, 10);
    let exchange = connection.exchange_each(&batches, |_, reply| tell.send(reply.is_ok()).unwrap());
    let watch = async {
        // Two thirds, more or less, are answered while one of three stands still.
        for _ in 0..140 {
            assert_eq!(told.recv().await, Some(true));
        }
        cluster.masters[2].go_on();
        for _ in 140..256 {
            assert_eq!(told.recv().await, Some(true));
        }
    };
    tokio::join!(exchange, watch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_is_found() {
    let mut cluster = Cluster::start();
    let replica = cluster.add_replica(2);
    let connection = connect(&cluster.masters[0].address()).await;
    assert!(connection.exchange(all(1, 30)).await.iter().all(|(_, reply)| reply.is_ok()));
    // Until the replica has all of it.
    assert!(cluster.masters[2].cli(&["WAIT", "1", "10000"]).starts_with('1'));
    cluster.masters[2].kill();
    assert_eq!(replica.cli(&["CLUSTER", "FAILOVER", "TAKEOVER"]), "OK");
    let mut batches = all(2, 100);
    while !batches.is_empty() {
        let answers = connection.exchange(batches).await;
        batches = Vec::new();
        for (batch, reply) in answers {
            match reply {
                Ok(reply) => assert_eq!(reply.grants[0].tokens, 70, "{batch:?}"),
                Err(_) => batches.push(batch),
            }
        }
    }
}
