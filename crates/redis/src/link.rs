//! What carries commands: a connection to one server, or those to a Cluster's. Commands that are sent at once travel in one
//! pipeline per server.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value};

use crate::cluster::Cluster;

/// A connection that many tasks send commands by at once. None sends a command again of which a server may have executed it.
#[derive(Clone)]
pub(crate) enum Link {
    /// To one server.
    Single(MultiplexedConnection),
    /// To all servers of a Cluster.
    Cluster(Arc<Cluster>),
}

impl Link {
    /// Sends a command about keys of one slot, of which this is one.
    pub(crate) async fn send(&self, command: &Cmd, key: &str) -> RedisResult<Value> {
        match self {
            Self::Single(connection) => {
                connection.clone().send_packed_command(command).await?.extract_error()
            }
            Self::Cluster(cluster) => cluster.send(command, key).await,
        }
    }

    /// Sends a command to every server that has one of the keys. What comes of it shows later.
    pub(crate) async fn send_to_each(&self, command: &Cmd, keys: impl Iterator<Item = &str>) {
        match self {
            Self::Single(connection) => {
                let _ = connection.clone().send_packed_command(command).await;
            }
            Self::Cluster(cluster) => cluster.send_to_each(command, keys).await,
        }
    }

    /// Finds out where keys are now, if they may have moved.
    pub(crate) async fn learn(&self) {
        if let Self::Cluster(cluster) = self {
            cluster.learn().await;
        }
    }
}
