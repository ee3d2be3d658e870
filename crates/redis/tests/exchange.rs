//! What batches come to on one server.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::time::Duration;

use tollgate_core::Nanos;
use tollgate_core::lease::exchange::{Ask, Batch, Floor, SETTLING};
use tollgate_redis::{Failure, Kind, Namespace, Registry, Role};

mod asks;
mod server;

use asks::{PATIENCE, after, ask, backend, batch, bucket, connect, exchange, leased, settings};
use server::Server;

#[tokio::test]
async fn a_server_tells_what_it_is() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    let description = connection.description();
    assert_eq!((description.kind, description.server.as_str()), (Kind::Standalone, "redis"));
    assert!(server.cli(&["INFO", "server"]).contains(&format!("redis_version:{}", description.version)));
    assert_eq!(description.nodes.len(), 1);
    assert_eq!(
        (description.nodes[0].address.clone(), description.nodes[0].role),
        (server.address(), Role::Master)
    );
}

#[tokio::test]
async fn batches_of_all_tags_are_answered_in_order() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    let batches: Vec<Batch> = (0..=255).map(|tag| batch(tag, 1, u64::from(tag % 100) + 1)).collect();
    let answers = connection.exchange(batches.clone()).await;
    assert_eq!(answers.len(), batches.len());
    for ((answered, reply), batch) in answers.into_iter().zip(batches) {
        assert_eq!(reply.unwrap().grants[0].tokens, batch.asks[0].wanted);
        assert_eq!(answered, batch);
    }
}

#[tokio::test]
async fn asks_of_one_batch_are_answered_in_order() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    let asks: Vec<Ask> = (0..128).map(|number| ask(bucket(number), u64::from(number % 50))).collect();
    let wanted: Vec<u64> = asks.iter().map(|ask| ask.wanted).collect();
    let reply = exchange(&connection, Batch { asks, ..batch(0, 1, 0) }).await.unwrap();
    assert_eq!(reply.grants.iter().map(|grant| grant.tokens).collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn a_repeat_has_the_same_reply_and_changes_nothing() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    let reply = exchange(&connection, batch(7, 1, 60)).await;
    assert_eq!(exchange(&connection, batch(7, 1, 60)).await, reply);
    assert_eq!(leased(&connection, batch(7, 2, 60)).await, 40);
}

#[tokio::test]
async fn a_batch_that_comes_after_a_later_one_is_not_executed() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    assert_eq!(leased(&connection, batch(7, 2, 60)).await, 60);
    assert_eq!(exchange(&connection, batch(7, 1, 40)).await, Err(Failure::Superseded));
    assert_eq!(leased(&connection, batch(7, 3, 60)).await, 40);
}

#[tokio::test]
async fn scripts_that_are_flushed_are_loaded_again_and_nothing_is_executed_twice() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    for sequence in 1..=10 {
        let batches = (0..20).map(|tag| batch(tag, sequence, 10)).collect();
        for (batch, reply) in connection.exchange(batches).await {
            let reply = reply.unwrap();
            assert_eq!((reply.grants[0].tokens, reply.life.count), (10, sequence), "{batch:?}");
        }
        assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
    }
    assert_eq!(leased(&connection, batch(0, 11, 10)).await, 0);
}

#[tokio::test]
async fn a_state_that_is_lost_is_another_life_which_heeds_floors_and_settles() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    let before = exchange(&connection, batch(7, 1, 60)).await.unwrap();
    assert_eq!(server.cli(&["FLUSHALL"]), "OK");
    let floor = Some(Floor { spent: 60.0, ends: Nanos::ZERO });
    let asks = vec![Ask { floor, ..ask(bucket(7), 10) }];
    let reply = exchange(&connection, after(before.life, Batch { asks, ..batch(7, 2, 0) })).await.unwrap();
    assert_ne!(reply.life.id, before.life.id);
    assert_eq!((reply.settling, reply.grants[0].tokens), (SETTLING, 0));
    assert!((reply.grants[0].spent - 60.0).abs() < 1.0);
    // An instance that has seen nothing waits for what is left of that.
    let other = exchange(&connection, Batch { instance: 2, ..batch(7, 1, 10) }).await.unwrap();
    let passed = Nanos::new((other.now - reply.now) * 1000);
    assert_eq!(other.settling, SETTLING.since(passed));
    assert_eq!(other.grants[0].tokens == 0, other.settling > Nanos::ZERO);
}

#[tokio::test]
async fn a_life_that_nobody_has_seen_another_of_does_not_settle() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    let reply = exchange(&connection, batch(7, 1, 60)).await.unwrap();
    assert_eq!((reply.settling, reply.grants[0].tokens), (Nanos::ZERO, 60));
}

#[tokio::test]
async fn to_look_at_all_tags_takes_no_script_and_begins_their_lives() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    let looks = || (0..=255).map(|tag| Batch { asks: Vec::new(), ..batch(tag, 1, 0) }).collect::<Vec<_>>();
    let mut lives = Vec::new();
    for (_, reply) in connection.exchange(looks()).await {
        let reply = reply.unwrap();
        assert_eq!((reply.settling, reply.grants.len()), (Nanos::ZERO, 0));
        lives.push(reply.life);
    }
    assert!(!server.cli(&["INFO", "commandstats"]).contains("eval"));
    // Another instance sees the same ones, and they go on.
    for ((_, reply), seen) in connection.exchange(looks()).await.into_iter().zip(&lives) {
        assert_eq!(reply.unwrap().life, *seen);
    }
    let reply = exchange(&connection, after(lives[7], batch(7, 2, 60))).await.unwrap();
    assert_eq!((reply.settling, reply.grants[0].tokens), (Nanos::ZERO, 60));
    assert_eq!((reply.life.id, reply.life.count), (lives[7].id, 1));
}

#[tokio::test]
async fn whoever_looks_and_misses_a_state_has_it_settle() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    let before = exchange(&connection, batch(7, 1, 60)).await.unwrap();
    assert_eq!(server.cli(&["FLUSHALL"]), "OK");
    // Somebody who has seen nothing comes first.
    let newcomer = Batch { instance: 2, ..batch(7, 1, 1) };
    assert_eq!(exchange(&connection, newcomer).await.unwrap().settling, Nanos::ZERO);
    let look = after(before.life, Batch { asks: Vec::new(), ..batch(7, 2, 0) });
    assert_eq!(exchange(&connection, look).await.unwrap().settling, SETTLING);
    let look = Batch { instance: 3, asks: Vec::new(), ..batch(7, 1, 0) };
    assert!(exchange(&connection, look).await.unwrap().settling > Nanos::ZERO);
}

#[tokio::test]
async fn what_means_nothing_any_more_is_not_kept() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    leased(&connection, batch(7, 1, 60)).await;
    let keys = || {
        let mut keys: Vec<String> = server.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
        keys.sort();
        keys
    };
    let bucket_key = "tollgate:{test:b7}:BwcHBwcHBwcHBwcHBwcHBw";
    assert_eq!(keys(), [bucket_key, "tollgate:{test:b7}:i:1", "tollgate:{test:b7}:life"]);
    let lives = |key: &str| server.cli(&["PTTL", key]).parse::<u64>().unwrap();
    // Sixty of a hundred a day.
    assert!((51_000_000..=51_842_000).contains(&lives(bucket_key)), "{}", lives(bucket_key));
    assert!((1..=60_000).contains(&lives("tollgate:{test:b7}:i:1")));
    assert!(lives("tollgate:{test:b7}:life") > 30 * 86_400_000);
    let asks = vec![Ask { reset: true, ..ask(bucket(7), 0) }];
    exchange(&connection, Batch { asks, ..batch(7, 2, 0) }).await.unwrap();
    assert!(!keys().contains(&bucket_key.to_owned()));
    let asks = vec![Ask { block: Some(Nanos::from_secs(50)), ..ask(bucket(7), 0) }];
    exchange(&connection, Batch { asks, ..batch(7, 3, 0) }).await.unwrap();
    assert!((40_000..=51_000).contains(&lives(bucket_key)));
}

#[tokio::test]
async fn namespaces_and_databases_are_apart() {
    let server = Server::start();
    let one = connect(&server.address()).await;
    let two = connect(&format!("redis://{}/2", server.address())).await;
    let mut other = settings(PATIENCE);
    other.namespace = Namespace::new("test:b7}:");
    let three = tollgate_redis::Backend::parse(&server.address(), other).unwrap().connect().await.unwrap();
    for connection in [one, two, three] {
        assert_eq!(leased(&connection, batch(7, 1, 70)).await, 70);
    }
}

#[tokio::test]
async fn instances_live_as_long_as_they_say_so() {
    let server = Server::start();
    let registry = Registry::new(connect(&server.address()).await);
    let (long, short) = (Duration::from_mins(1), Duration::from_millis(1));
    assert_eq!(registry.beat(1, long).await, Ok(1));
    assert_eq!(registry.beat(2, long).await, Ok(2));
    assert_eq!(registry.beat(2, long).await, Ok(2));
    let lives = server.cli(&["PTTL", "tollgate:{test:fleet}:instances"]).parse::<u64>().unwrap();
    assert!((50_000..=60_000).contains(&lives), "{lives}");
    registry.leave(2).await.unwrap();
    assert_eq!(registry.beat(1, long).await, Ok(1));
    registry.beat(3, short).await.unwrap();
    // Until its millisecond is over.
    while registry.beat(1, long).await != Ok(1) {}
}

#[tokio::test]
async fn sentinels_tell_where_the_master_is() {
    let master = Server::start();
    let sentinel = Server::sentinel(&master);
    let address = format!("redis+sentinel://127.0.0.1:1,{}/main", sentinel.address());
    let connection = connect(&address).await;
    assert_eq!(connection.description().kind, Kind::Sentinel);
    assert_eq!(connection.description().nodes[0].address, master.address());
    assert_eq!(leased(&connection, batch(7, 1, 60)).await, 60);

    let Err(Failure::Protocol(message)) = backend(&sentinel.address()).connect().await else {
        panic!("a Sentinel is taken for a server")
    };
    let address = sentinel.address();
    assert_eq!(message, format!("{address} is a Sentinel; accepted is redis+sentinel://{address}/MASTER"));
}
