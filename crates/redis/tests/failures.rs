//! What is told of a server that does not do what it is asked.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::time::Duration;

use tollgate_core::lease::exchange::Batch;
use tollgate_redis::{Backend, Connection, Failure, Registry, Settings};

mod asks;
mod server;

use asks::{PATIENCE, backend, batch, connect, exchange, leased, settings};
use server::Server;

/// Long enough for any server that answers, and short enough to wait for one that does not.
const SHORT: Duration = Duration::from_secs(1);

async fn connect_briefly(address: &str) -> Connection {
    Backend::parse(address, settings(SHORT)).unwrap().connect().await.unwrap()
}

async fn failure_of_connecting(address: &str) -> Failure {
    backend(address).connect().await.unwrap_err()
}

#[tokio::test]
async fn a_server_that_stands_still_is_a_timeout_and_its_batch_is_executed_once() {
    let server = Server::start();
    let connection = connect_briefly(&server.address()).await;
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
    server.stop();
    let batches = (0..=255).map(|tag| batch(tag, 2, 30)).collect();
    for (_, reply) in connection.exchange(batches).await {
        assert_eq!(reply, Err(Failure::Timeout));
    }
    server.go_on();
    // The server reads what it was sent meanwhile, and then the repeat.
    let connection = connect(&server.address()).await;
    assert_eq!(leased(&connection, batch(7, 2, 30)).await, 30);
    assert_eq!(leased(&connection, batch(7, 3, 100)).await, 40);
}

#[tokio::test]
async fn a_connection_outlives_a_server_that_stood_still() {
    let server = Server::start();
    let connection = connect_briefly(&server.address()).await;
    server.stop();
    assert_eq!(exchange(&connection, batch(7, 1, 30)).await, Err(Failure::Timeout));
    server.go_on();
    server.wait_for("PING", "PONG");
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
    assert_eq!(leased(&connection, batch(7, 2, 100)).await, 70);
}

#[tokio::test]
async fn connecting_to_a_server_that_stands_still_is_a_timeout() {
    let server = Server::start();
    server.stop();
    let settings = Settings { connect_timeout: SHORT, ..settings(SHORT) };
    let backend = Backend::parse(&server.address(), settings).unwrap();
    assert_eq!(backend.connect().await.unwrap_err(), Failure::Timeout);
}

#[tokio::test]
async fn a_server_that_died_is_unreachable_until_it_is_connected_to_again() {
    let mut server = Server::start();
    let connection = connect(&server.address()).await;
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
    server.kill();
    assert!(matches!(exchange(&connection, batch(7, 2, 30)).await, Err(Failure::Unreachable(_))));
    assert!(matches!(failure_of_connecting(&server.address()).await, Failure::Unreachable(_)));
    server.replace();
    assert!(matches!(exchange(&connection, batch(7, 2, 30)).await, Err(Failure::Unreachable(_))));
    let connection = connect(&server.address()).await;
    assert_eq!(leased(&connection, batch(7, 2, 30)).await, 30);
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to_by_rediss() {
    let server = Server::start();
    let settings = Settings { connect_timeout: SHORT, ..settings(SHORT) };
    let backend = Backend::parse(&format!("rediss://{}", server.address()), settings).unwrap();
    let failure = backend.connect().await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_) | Failure::Timeout), "{failure:?}");
}

#[tokio::test]
async fn a_name_that_nobody_has_is_unreachable() {
    let failure = failure_of_connecting("nobody.invalid").await;
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure:?}");
}

#[tokio::test]
async fn a_replica_is_read_only() {
    let master = Server::start();
    let port = master.port.to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    replica.wait_for("INFO replication", "master_link_status:up");
    let connection = connect(&replica.address()).await;
    let failure = exchange(&connection, batch(7, 1, 30)).await.unwrap_err();
    assert!(matches!(failure, Failure::ReadOnly(_)), "{failure:?}");
    let failure = Registry::new(connection).beat(1, PATIENCE).await.unwrap_err();
    assert!(matches!(failure, Failure::ReadOnly(_)), "{failure:?}");
}

#[tokio::test]
async fn a_server_without_memory_executes_nothing() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(exchange(&connection, batch(7, 2, 30)).await, Err(Failure::OutOfMemory));
    assert_eq!(Registry::new(connection.clone()).beat(1, PATIENCE).await, Err(Failure::OutOfMemory));
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(leased(&connection, batch(7, 2, 30)).await, 30);
    assert_eq!(leased(&connection, batch(7, 3, 100)).await, 40);
}

#[tokio::test]
async fn who_has_no_password_or_a_wrong_one_is_not_let_in_and_no_password_is_told() {
    let server = Server::with(&["--requirepass", "right"]);
    let address = server.address();
    for login in ["", ":wrong@", "somebody:right@"] {
        let failure = failure_of_connecting(&format!("redis://{login}{address}")).await;
        assert!(matches!(failure, Failure::NoPermission(_)), "{login}: {failure:?}");
        let told = format!("{failure} {failure:?}");
        assert!(!told.contains(":wrong") && !told.contains(":right"), "{told}");
    }
    let connection = connect(&format!("redis://:right@{address}")).await;
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
}

#[tokio::test]
async fn who_may_not_run_scripts_has_no_permission() {
    let server = Server::start();
    let rules = ["ACL", "SETUSER", "app", "on", ">secret", "~tollgate:*", "+@all", "-@scripting"];
    assert_eq!(server.cli(&rules), "OK");
    let connection = connect(&format!("redis://app:secret@{}", server.address())).await;
    let failure = exchange(&connection, batch(7, 1, 30)).await.unwrap_err();
    assert!(matches!(failure, Failure::NoPermission(_)), "{failure:?}");
}

#[tokio::test]
async fn a_user_who_may_do_no_more_than_needed_may_do_all_of_it() {
    let server = Server::start();
    let commands = "+evalsha +eval +script|load +mget +set +del +time +zadd +zrem +zremrangebyscore +zrevrange +zcard +pexpireat";
    let mut rules = vec!["ACL", "SETUSER", "app", "on", ">secret", "~tollgate:*"];
    rules.extend(commands.split(' '));
    assert_eq!(server.cli(&rules), "OK");
    let connection = connect(&format!("redis://app:secret@{}", server.address())).await;
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
    let look = Batch { asks: Vec::new(), ..batch(8, 1, 0) };
    assert!(exchange(&connection, look).await.is_ok());
    let registry = Registry::new(connection);
    assert_eq!(registry.beat(1, PATIENCE).await, Ok(1));
    registry.leave(1).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_says_so() {
    let server = Server::with(&["--busy-reply-threshold", "1"]);
    let connection = connect(&server.address()).await;
    let address = server.address();
    let busy = std::thread::spawn(move || {
        let client = redis::Client::open(format!("redis://{address}")).unwrap();
        let mut connection = client.get_connection().unwrap();
        let _: Result<(), _> = redis::cmd("EVAL").arg("while true do end").arg(0).query(&mut connection);
    });
    server.wait_for("PING", "BUSY");
    assert_eq!(exchange(&connection, batch(7, 1, 30)).await, Err(Failure::Loading));
    server.cli(&["SCRIPT", "KILL"]);
    busy.join().unwrap();
    server.wait_for("PING", "PONG");
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
}

#[tokio::test]
async fn keys_that_hold_something_else_are_overwritten() {
    let server = Server::start();
    let connection = connect(&server.address()).await;
    server.cli(&["SET", "tollgate:{test:b7}:BwcHBwcHBwcHBwcHBwcHBw", "something"]);
    server.cli(&["SET", "tollgate:{test:b7}:life", "something"]);
    server.cli(&["RPUSH", "tollgate:{test:b7}:i:1", "something"]);
    assert_eq!(leased(&connection, batch(7, 1, 30)).await, 30);
    assert_eq!(leased(&connection, batch(7, 2, 100)).await, 70);
}
