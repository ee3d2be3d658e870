//! What one server is asked, and what it is found to be.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisResult, Value, from_redis_value};
use serde::Serialize;

use super::info::Info;
use crate::address::Host;
use crate::opener::Opener;
use crate::{Failure, Role};

/// A server, looked over. What it did not tell is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedNode {
    /// `NAME:PORT`.
    pub address: String,
    /// Does it answer?
    pub reachable: bool,
    /// Does it take writes?
    pub role: Option<Role>,
    /// Such as `7.0.15`.
    pub version: Option<String>,
    /// How long one answer took, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// By how much its clock is ahead of ours, in milliseconds, give or take half a round trip.
    pub clock_ahead_ms: Option<f64>,
    /// Bytes that it uses.
    pub used_memory: Option<u64>,
    /// Bytes that it may use; 0 for as many as there are.
    pub max_memory: Option<u64>,
    /// Its `maxmemory-policy`.
    pub eviction_policy: Option<String>,
    /// Keys that it has, in all databases.
    pub keys: Option<u64>,
    /// Who follows it, by its own account.
    pub replicas: Vec<Follower>,
}

/// A replica, as its master sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Follower {
    /// `ADDRESS:PORT`.
    pub address: String,
    /// `online`, or what it is being fed with.
    pub state: String,
    /// Bytes that it has not said to have.
    pub lag_bytes: Option<u64>,
    /// Seconds since it said so last.
    pub lag_seconds: Option<u64>,
}

/// One server's answers.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) address: String,
    pub(super) answers: Result<Answers, Failure>,
}

#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) round_trip: Duration,
    /// In milliseconds, if it told the time.
    pub(super) clock_ahead: Option<f64>,
    pub(super) info: Info,
    /// CLUSTER INFO and CLUSTER NODES.
    pub(super) cluster: Info,
    pub(super) members: Option<String>,
    /// What we may not ask.
    pub(super) denied: Vec<&'static str>,
}

impl Visit {
    pub(super) async fn of_host(host: &Host, opener: &Opener) -> Self {
        match opener.client(host) {
            Ok(client) => Self::of(host.to_string(), &client, opener, true).await,
            Err(error) => Self { address: host.to_string(), answers: Err(error.into()) },
        }
    }

    pub(super) async fn of(address: String, client: &Client, opener: &Opener, is_member: bool) -> Self {
        let answers = async {
            let mut connection = opener.open_client(client).await?;
            ask(&mut connection, is_member).await
        };
        Self { address, answers: answers.await.map_err(Failure::from) }
    }

    /// As it is named.
    pub(super) fn host(&self) -> &str {
        &self.address
    }

    /// Whether it takes writes, by its own account.
    pub(super) fn role(&self) -> Option<Role> {
        match self.answers.as_ref().ok()?.info.text("role")? {
            "master" => Some(Role::Master),
            _ => Some(Role::Replica),
        }
    }

    /// A server of this role, by the account of others.
    pub(super) fn node(self, role: Option<Role>) -> InspectedNode {
        let role = self.role().or(role);
        let reachable = self.answers.is_ok();
        let told = self.answers.ok();
        let info = told.as_ref().map(|answers| answers.info.clone()).unwrap_or_default();
        InspectedNode {
            address: self.address,
            reachable,
            role,
            version: info.text("redis_version").map(str::to_owned),
            round_trip_ms: told.as_ref().map(|answers| answers.round_trip.as_secs_f64() * 1000.0),
            clock_ahead_ms: told.as_ref().and_then(|answers| answers.clock_ahead),
            used_memory: info.number("used_memory"),
            max_memory: info.number("maxmemory"),
            eviction_policy: info.text("maxmemory_policy").map(str::to_owned),
            keys: info.keys(),
            replicas: info.followers(),
        }
    }
}

async fn ask(connection: &mut MultiplexedConnection, is_member: bool) -> RedisResult<Answers> {
    let mut answers = Answers::default();
    let (began, ours) = (Instant::now(), SystemTime::now());
    let time = connection.send_packed_command(&redis::cmd("TIME")).await?;
    answers.round_trip = began.elapsed();
    let time = answers.take("TIME", time).and_then(|time| from_redis_value::<(u64, u64)>(time).ok());
    let ours = ours.duration_since(UNIX_EPOCH).unwrap_or_default() + answers.round_trip / 2;
    answers.clock_ahead = time.map(|(seconds, micros)| {
        let theirs = Duration::from_secs(seconds) + Duration::from_micros(micros);
        (theirs.as_secs_f64() - ours.as_secs_f64()) * 1000.0
    });

    let mut commands = redis::pipe();
    commands.cmd("INFO");
    if is_member {
        commands.cmd("CLUSTER").arg("INFO");
        commands.cmd("CLUSTER").arg("NODES");
    }
    let count = commands.len();
    let mut replies = connection.send_packed_commands(&commands, 0, count).await?.into_iter();
    let mut text = |name| {
        let reply = answers.take(name, replies.next()?)?;
        from_redis_value::<String>(reply).ok()
    };
    let info = text("INFO");
    let (cluster, members) =
        if is_member { (text("CLUSTER INFO"), text("CLUSTER NODES")) } else { (None, None) };
    answers.info = info.as_deref().map(Info::read).unwrap_or_default();
    answers.cluster = cluster.as_deref().map(Info::read).unwrap_or_default();
    answers.members = members;
    Ok(answers)
}

impl Answers {
    /// What a server that is there refuses to say is no failure of it.
    fn take(&mut self, name: &'static str, reply: Value) -> Option<Value> {
        let reply = reply.extract_error();
        if reply.is_err() {
            self.denied.push(name);
        }
        reply.ok()
    }
}
