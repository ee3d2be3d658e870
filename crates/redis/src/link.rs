//! What carries commands: a connection to one server, or those to a Cluster's. Commands that are sent at once travel in one
//! pipeline per server.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, ErrorKind, RedisError, RedisResult, Value};

use crate::cluster::Cluster;
use crate::opener::Opener;
use crate::topology::slot;

/// A connection that many tasks send commands by at once. None sends a command again of which a server may have executed it.
#[derive(Clone)]
pub(crate) enum Link {
    /// To one server.
    Single(Arc<Single>),
    /// To all servers of a Cluster.
    Cluster(Arc<Cluster>),
}

/// One server, and how it is connected to.
pub(crate) struct Single {
    pub(crate) opener: Opener,
    pub(crate) client: Client,
    pub(crate) connection: MultiplexedConnection,
}

impl Link {
    /// Sends a command about keys of one slot, of which this is one.
    pub(crate) async fn send(&self, command: &Cmd, key: &str) -> RedisResult<Value> {
        match self {
            Self::Single(single) => {
                single.connection.clone().send_packed_command(command).await?.extract_error()
            }
            Self::Cluster(cluster) => cluster.send(command, key).await,
        }
    }

    /// Sends a command to every server that has one of the keys. What comes of it shows later.
    pub(crate) async fn send_to_each(&self, command: &Cmd, keys: impl Iterator<Item = &str>) {
        match self {
            Self::Single(single) => {
                let _ = single.connection.clone().send_packed_command(command).await;
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

    /// How connections to its servers are opened.
    pub(crate) fn opener(&self) -> &Opener {
        match self {
            Self::Single(single) => &single.opener,
            Self::Cluster(cluster) => cluster.opener(),
        }
    }

    /// How each of its servers is connected to.
    pub(crate) async fn clients(&self) -> Vec<Client> {
        match self {
            Self::Single(single) => vec![single.client.clone()],
            Self::Cluster(cluster) => {
                let hosts = cluster.topology().await.hosts();
                hosts.iter().filter_map(|host| cluster.opener().client(host).ok()).collect()
            }
        }
    }

    /// How the server that takes writes to a key is connected to.
    pub(crate) async fn master(&self, key: &str) -> RedisResult<Client> {
        match self {
            Self::Single(single) => Ok(single.client.clone()),
            Self::Cluster(cluster) => match cluster.topology().await.master(slot(key)) {
                Some(host) => cluster.opener().client(host),
                None => {
                    Err(RedisError::from((ErrorKind::ClusterConnectionNotFound, "no server has the slot")))
                }
            },
        }
    }
}
