//! What a backend is, by its own account.

use std::collections::HashMap;
use std::fmt;

use redis::aio::MultiplexedConnection;
use redis::{Value, from_redis_value};
use serde::Serialize;

use crate::Failure;

/// How a backend is made up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One server.
    Standalone,
    /// Servers that share the slots out among themselves.
    Cluster,
    /// One server that Sentinels watch, and replace when it dies.
    Sentinel,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standalone => "standalone",
            Self::Cluster => "cluster",
            Self::Sentinel => "sentinel",
        })
    }
}

/// Does a server take writes?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It does.
    Master,
    /// It follows one that does.
    Replica,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// `NAME:PORT`, as other servers know it.
    pub address: String,
    /// Whether it took writes when it was asked.
    pub role: Role,
}

/// What a backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// How it is made up.
    pub kind: Kind,
    /// `redis` or `valkey`.
    pub server: String,
    /// Such as `7.0.15`.
    pub version: String,
    /// All that are known.
    pub nodes: Vec<Node>,
}

/// What a server says of itself in reply to HELLO, which every user may ask, of Redis since version 6.
#[derive(Debug)]
pub(crate) struct Hello {
    pub(crate) mode: String,
    pub(crate) server: String,
    pub(crate) version: String,
    pub(crate) role: Role,
}

impl Hello {
    pub(crate) async fn of(connection: &mut MultiplexedConnection) -> Result<Self, Failure> {
        let reply = connection.send_packed_command(&redis::cmd("HELLO")).await?.extract_error()?;
        let fields: HashMap<String, Value> = from_redis_value(reply).map_err(unexpected)?;
        let text = |name: &str| match fields.get(name) {
            Some(value) => from_redis_value::<String>(value.clone()).map_err(unexpected),
            None => Err(Failure::Protocol(format!("HELLO does not tell `{name}`"))),
        };
        // A Sentinel has none.
        let role = if fields.contains_key("role") && text("role")? != "master" {
            Role::Replica
        } else {
            Role::Master
        };
        Ok(Self { mode: text("mode")?, server: text("server")?, version: text("version")?, role })
    }
}

fn unexpected(error: impl fmt::Display) -> Failure {
    Failure::Protocol(error.to_string())
}
