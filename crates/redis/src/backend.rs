//! A backend: told by its address, and asked what it is when it is connected to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::Client;
use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};

use crate::address::{Address, Asked, Host};
use crate::cluster::Cluster;
use crate::description::{Hello, Node};
use crate::link::{Link, Single};
use crate::opener::{Opener, at_once};
use crate::{AddressError, Connection, Description, Failure, Kind, Namespace};

/// How to speak to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What separates fleets that share a backend.
    pub namespace: Namespace,
    /// How long connecting to a server may take.
    pub connect_timeout: Duration,
    /// How long an answer may take, with everything that is tried again for it.
    pub response_timeout: Duration,
}

impl Settings {
    /// Connections within a second, answers within half of one.
    #[must_use]
    pub fn new(namespace: Namespace) -> Self {
        Self {
            namespace,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_millis(500),
        }
    }
}

/// A Redis or Valkey: one server, a Cluster, or one that Sentinels watch.
#[derive(Debug, Clone)]
pub struct Backend {
    opener: Opener,
    namespace: Namespace,
}

/// As it may be shown to anybody: without credentials.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.opener.address.fmt(f)
    }
}

impl Backend {
    /// By a URL, or the name of a host. Nothing is connected to.
    ///
    /// # Errors
    /// What is wrong with it, and what is accepted.
    pub fn parse(address: &str, settings: Settings) -> Result<Self, AddressError> {
        let Settings { namespace, connect_timeout, response_timeout } = settings;
        let address = Address::parse(address)?;
        Ok(Self { opener: Opener { address, connect_timeout, response_timeout }, namespace })
    }

    /// Connects, and asks what it is.
    ///
    /// # Errors
    /// When it cannot be reached in time, does not let us in, or is a Sentinel that was not declared as one.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        match &self.opener.address.asked {
            Asked::Server(host) => self.connect_to(host).await,
            Asked::Sentinels(hosts, master) => self.connect_by(hosts, master).await,
        }
    }

    async fn connect_to(&self, host: &Host) -> Result<Connection, Failure> {
        let client = self.opener.client(host)?;
        let mut connection = self.opener.open_client(&client).await?;
        let hello = Hello::of(&mut connection).await?;
        match hello.mode.as_str() {
            "cluster" => {
                let cluster = Cluster::open(self.opener.clone(), host).await?;
                let nodes = cluster.topology().await.nodes();
                Ok(self.connection(Link::Cluster(Arc::new(cluster)), Kind::Cluster, hello, nodes))
            }
            "sentinel" => Err(Failure::Protocol(format!(
                "{host} is a Sentinel; accepted is redis+sentinel://{host}/MASTER"
            ))),
            _ => {
                let nodes = vec![Node { address: host.to_string(), role: hello.role }];
                Ok(self.connection(self.single(client, connection), Kind::Standalone, hello, nodes))
            }
        }
    }

    /// Asks one Sentinel after the other, until one knows a master that can be connected to.
    async fn connect_by(&self, sentinels: &[Host], master: &str) -> Result<Connection, Failure> {
        let mut failure = Failure::Unreachable("no Sentinel was named".to_owned());
        for sentinel in sentinels {
            match self.connect_by_one(sentinel, master).await {
                Ok(connection) => return Ok(connection),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn connect_by_one(&self, sentinel: &Host, master: &str) -> Result<Connection, Failure> {
        let Opener { address, .. } = &self.opener;
        let login = address.login();
        let sentinel = [address.of(sentinel)];
        let mut builder = SentinelClientBuilder::new(sentinel, master, SentinelServerType::Master)?
            .set_client_to_redis_tcp_settings(at_once())
            .set_client_to_redis_db(login.db());
        if let Some(user) = login.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = login.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        let mut sentinels = builder.build()?;
        let client = self.opener.in_time(sentinels.async_get_client()).await?;
        let mut connection = self.opener.open_client(&client).await?;
        let hello = Hello::of(&mut connection).await?;
        let address = client.get_connection_info().addr().to_string();
        let nodes = vec![Node { address, role: hello.role }];
        Ok(self.connection(self.single(client, connection), Kind::Sentinel, hello, nodes))
    }

    fn single(&self, client: Client, connection: MultiplexedConnection) -> Link {
        Link::Single(Arc::new(Single { opener: self.opener.clone(), client, connection }))
    }

    fn connection(&self, link: Link, kind: Kind, hello: Hello, nodes: Vec<Node>) -> Connection {
        let Hello { server, version, .. } = hello;
        Connection::new(link, self.namespace.clone(), Description { kind, server, version, nodes })
    }
}
