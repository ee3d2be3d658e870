//! A backend, looked over before a rollout: every server of it, what it is up to, and what is wrong with it.
//!
//! Each server is asked by a connection of its own, all at once, and none is waited for longer than the connection's times allow:
//! one that stands still is told of, and keeps nothing back.
//!
//! Reading order: [`Inspection`], `visit` (what a server is asked), `info` (how it answers), `slots` (a Cluster's), `judge` (what is
//! wrong).

mod info;
mod judge;
mod slots;
mod visit;

use std::fmt;

use futures_util::future::join_all;
use serde::Serialize;

pub use slots::Slots;
pub use visit::{Follower, InspectedNode};

use crate::address::Host;
use crate::link::Link;
use crate::{Connection, Kind};
use slots::Membership;
use visit::Visit;

/// What a backend was found to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// How it is made up.
    pub kind: Kind,
    /// Its servers.
    pub nodes: Vec<InspectedNode>,
    /// How a Cluster's slots are served, if a server of it has told.
    pub slots: Option<Slots>,
    /// What there is to say, the worst first.
    pub findings: Vec<Finding>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// It may go wrong.
    Warning,
    /// It is wrong.
    Fault,
}

/// Something that there is to say of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// The server, as `NAME:PORT`, if it is about one.
    pub node: Option<String>,
    /// What is the matter.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{node}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl Inspection {
    /// Looks a backend over. It takes as long as connecting to a server and two answers of it may take, or twice that where a Cluster
    /// has servers that the connection does not know.
    pub async fn of(connection: &Connection) -> Self {
        let kind = connection.description().kind;
        let (visits, membership) = match connection.link() {
            Link::Single(single) => {
                let address = connection.description().nodes.first().map(|node| node.address.clone());
                let visit = Visit::of(address.unwrap_or_default(), &single.client, &single.opener, false);
                (vec![visit.await], None)
            }
            Link::Cluster(cluster) => {
                let visit = |host: Host| async move { Visit::of_host(&host, cluster.opener()).await };
                let mut visits = join_all(cluster.topology().await.hosts().into_iter().map(visit)).await;
                let membership = Membership::told(&visits);
                if let Some(membership) = &membership {
                    // Who has left the Cluster is no part of it, and who is in it is looked at, whether it is well or not.
                    visits.retain(|visit| membership.member(visit.host()).is_some());
                    let missing = membership.unvisited(&visits);
                    visits.extend(join_all(missing.into_iter().map(visit)).await);
                }
                (visits, membership)
            }
        };
        let (slots, findings) = judge::all(kind, &visits, membership.as_ref());
        let nodes = visits
            .into_iter()
            .map(|visit| {
                let role = membership.as_ref().and_then(|all| Some(all.member(visit.host())?.role));
                visit.node(role)
            })
            .collect();
        Self { kind, nodes, slots, findings }
    }

    /// How bad the worst finding is, if there is one.
    #[must_use]
    pub fn worst(&self) -> Option<Level> {
        self.findings.iter().map(|finding| finding.level).max()
    }
}
