//! A Cluster: which server has which slot, and a connection to each.
//!
//! redis-rs has such a connection, too. It is not used because it makes all servers wait for the one that is gone: in version 1.8,
//! after a master died, no command to any other was answered any more. Here servers have nothing to do with each other, and a
//! command is sent again only where a server says that it has not executed it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, select_ok};
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::{Mutex, RwLock};
use tokio::time::Instant;

use crate::address::Host;
use crate::member::Member;
use crate::opener::Opener;
use crate::topology::{Topology, slot};

/// How many servers a command may be sent on to: one that knows of a move that others do not, and the one where the slot is going.
const REDIRECTIONS: usize = 3;

/// It is not asked more often who has what.
const PAUSE: Duration = Duration::from_millis(200);

/// The servers of a Cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    opener: Opener,
    /// Which was declared: its name may lead to others one day.
    first: Host,
    known: RwLock<Known>,
    /// Has something been seen that does not agree with what is known?
    outdated: AtomicBool,
    /// When it was asked last who has what.
    asked: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Known {
    topology: Topology,
    members: BTreeMap<Host, Arc<Member>>,
}

impl Cluster {
    /// As a server of it says.
    pub(crate) async fn open(opener: Opener, host: &Host) -> RedisResult<Self> {
        let member = Arc::new(Member::new(host.clone()));
        let topology = Topology::told(&member, &opener).await?;
        let known = Known { topology, members: BTreeMap::from([(host.clone(), member)]) };
        Ok(Self {
            opener,
            first: host.clone(),
            known: RwLock::new(known),
            outdated: AtomicBool::new(false),
            asked: Mutex::new(None),
        })
    }

    pub(crate) fn opener(&self) -> &Opener {
        &self.opener
    }

    pub(crate) async fn topology(&self) -> Topology {
        self.known.read().await.topology.clone()
    }

    /// Sends a command to the server that has the slot of its keys, of which this is one.
    pub(crate) async fn send(&self, command: &Cmd, key: &str) -> RedisResult<Value> {
        let Some(mut host) = self.known.read().await.topology.master(slot(key)).cloned() else {
            self.outdated.store(true, Ordering::Relaxed);
            return Err(RedisError::from((ErrorKind::ClusterConnectionNotFound, "no server has the slot")));
        };
        let mut asking = false;
        for _ in 0..REDIRECTIONS {
            let reply = self.send_to(&host, command, asking).await;
            let Err(error) = &reply else { return reply };
            let Some(next) = error.redirect_node().and_then(|(address, _)| Host::redirected(address, &host))
            else {
                return reply;
            };
            asking = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
            host = next;
        }
        self.send_to(&host, command, asking).await
    }

    async fn send_to(&self, host: &Host, command: &Cmd, asking: bool) -> RedisResult<Value> {
        let reply = self.member(host).await.send(&self.opener, command, asking).await;
        if reply.as_ref().is_err_and(disagrees) {
            self.outdated.store(true, Ordering::Relaxed);
        }
        reply
    }

    /// Sends a command to each server that has the slot of one of the keys.
    pub(crate) async fn send_to_each(&self, command: &Cmd, keys: impl Iterator<Item = &str>) {
        let hosts: BTreeSet<Host> = {
            let known = self.known.read().await;
            keys.filter_map(|key| known.topology.master(slot(key)).cloned()).collect()
        };
        join_all(hosts.iter().map(|host| self.send_to(host, command, false))).await;
    }

    async fn member(&self, host: &Host) -> Arc<Member> {
        if let Some(member) = self.known.read().await.members.get(host) {
            return Arc::clone(member);
        }
        let mut known = self.known.write().await;
        Arc::clone(known.members.entry(host.clone()).or_insert_with(|| Arc::new(Member::new(host.clone()))))
    }

    /// Asks all servers at once who has what, if something has been seen that does not agree with what is known, and believes
    /// the first that answers.
    pub(crate) async fn learn(&self) {
        // Whoever comes while somebody asks goes on with what is known.
        let Ok(mut asked) = self.asked.try_lock() else { return };
        if !self.outdated.load(Ordering::Relaxed) || asked.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *asked = Some(Instant::now());
        self.outdated.store(false, Ordering::Relaxed);
        let members: Vec<Arc<Member>> = self.known.read().await.members.values().cloned().collect();
        let told = members.iter().map(|member| Box::pin(Topology::told(member, &self.opener)));
        match select_ok(told).await {
            Ok((topology, _)) => {
                let mut known = self.known.write().await;
                let hosts = topology.hosts();
                if !hosts.is_empty() {
                    known.members.retain(|host, _| hosts.contains(host) || *host == self.first);
                    known.topology = topology;
                }
            }
            Err(_) => self.outdated.store(true, Ordering::Relaxed),
        }
    }
}

/// Does an error say that something is not where it was, or will not be before long?
fn disagrees(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::Moved
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
        ),
        kind => kind == ErrorKind::Io,
    }
}
