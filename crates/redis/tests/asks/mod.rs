//! Batches as an instance sends them, and what it is connected to.

#![allow(dead_code, clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::time::Duration;

use tollgate_core::lease::exchange::{Ask, Batch, BucketName, Life, Reply, SharedLimit};
use tollgate_core::{Algorithm, Nanos, Window};
use tollgate_redis::{Backend, Connection, Failure, Namespace, Settings};

/// So long that nothing is refilled while a test runs.
const DAY: Window = Window::Span(Nanos::from_secs(86_400));

/// What takes this long does not come; a server of a test that has to do with several is given as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A hundred a day.
pub(crate) const LIMIT: SharedLimit =
    SharedLimit { algorithm: Algorithm::TokenBucket, quota: 100, capacity: 100, window: DAY };

/// How long leases live.
const TIME_TO_LIVE: Nanos = Nanos::from_secs(2);

/// A bucket under a tag.
pub(crate) fn bucket(tag: u8) -> BucketName {
    BucketName([tag; 16])
}

/// Tokens of a bucket, which are waited for.
pub(crate) fn ask(name: BucketName, wanted: u64) -> Ask {
    Ask::lease(name, LIMIT, wanted)
}

/// A batch with one ask.
pub(crate) fn batch(tag: u8, sequence: u64, wanted: u64) -> Batch {
    let asks = vec![ask(bucket(tag), wanted)];
    Batch { tag, instance: 1, sequence, instances: 1, time_to_live: TIME_TO_LIVE, seen: None, asks }
}

pub(crate) fn settings(response_timeout: Duration) -> Settings {
    Settings { response_timeout, connect_timeout: PATIENCE, ..Settings::new(Namespace::new("test")) }
}

pub(crate) fn backend(address: &str) -> Backend {
    Backend::parse(address, settings(PATIENCE)).unwrap()
}

pub(crate) async fn connect(address: &str) -> Connection {
    backend(address).connect().await.unwrap()
}

/// What one batch comes to.
pub(crate) async fn exchange(connection: &Connection, batch: Batch) -> Result<Reply, Failure> {
    connection.exchange(vec![batch]).await.pop().unwrap().1
}

/// Tokens leased, when nothing fails.
pub(crate) async fn leased(connection: &Connection, batch: Batch) -> u64 {
    exchange(connection, batch).await.unwrap().grants[0].tokens
}

/// The same batch from an instance that has seen a life.
pub(crate) fn after(seen: Life, batch: Batch) -> Batch {
    Batch { seen: Some(seen), ..batch }
}
