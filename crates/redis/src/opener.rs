//! How connections to single servers are opened.

use std::future::Future;
use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, RedisResult};
use tokio::time::timeout;
use tollgate_core::lease::exchange::TAGS;

use crate::address::{Address, Host};

/// Opens connections to the servers of one backend.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    pub(crate) address: Address,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
}

impl Opener {
    pub(crate) async fn open(&self, host: &Host) -> RedisResult<MultiplexedConnection> {
        self.open_client(&self.client(host)?).await
    }

    /// How a server is connected to. Nothing is.
    pub(crate) fn client(&self, host: &Host) -> RedisResult<Client> {
        let info = self.address.of(host).into_connection_info()?;
        Client::open(info.set_redis_settings(self.address.login()).set_tcp_settings(at_once()))
    }

    pub(crate) async fn open_client(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let configuration = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
            .set_pipeline_buffer_size(TAGS);
        self.in_time(client.get_multiplexed_async_connection_with_config(&configuration)).await
    }

    /// Names are looked up and passwords are checked in this time, too.
    pub(crate) async fn in_time<T>(&self, opening: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
        timeout(self.connect_timeout, opening)
            .await
            .unwrap_or_else(|_| Err(RedisError::from(io::Error::from(io::ErrorKind::TimedOut))))
    }
}

/// A batch is sent when it is written, not when the one before it has been received.
pub(crate) fn at_once() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}
