//! One server of a Cluster: its connection, which is opened when it is needed, and opened again after it broke.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::address::Host;
use crate::opener::Opener;

/// A server that could not be connected to is left alone for so long: who asks meanwhile has the same answer at once.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(crate) struct Member {
    host: Host,
    /// The lock is held while connecting, so that many who ask at once wait for one connection.
    state: Mutex<State>,
}

#[derive(Debug, Clone)]
enum State {
    Untried,
    /// With a number that tells it from those before it.
    Open(MultiplexedConnection, u64),
    Broken(u64),
    Failed(RedisError, Instant, u64),
}

impl Member {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, state: Mutex::new(State::Untried) }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Sends a command; `asking`, where its slot is only on the way to this server.
    pub(crate) async fn send(&self, opener: &Opener, command: &Cmd, asking: bool) -> RedisResult<Value> {
        let (mut connection, number) = self.connection(opener).await?;
        let reply = if asking {
            let mut both = redis::pipe();
            both.cmd("ASKING").ignore().add_command(command.clone());
            let replies = connection.send_packed_commands(&both, 1, 1).await;
            replies.map(|mut replies| replies.pop().unwrap_or(Value::Nil))
        } else {
            connection.send_packed_command(command).await
        };
        if reply.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
            let mut state = self.state.lock().await;
            if matches!(*state, State::Open(_, open) if open == number) {
                *state = State::Broken(number);
            }
        }
        reply.and_then(Value::extract_error)
    }

    async fn connection(&self, opener: &Opener) -> RedisResult<(MultiplexedConnection, u64)> {
        let mut state = self.state.lock().await;
        let last = match &*state {
            State::Open(connection, number) => return Ok((connection.clone(), *number)),
            State::Failed(error, at, _) if at.elapsed() < PAUSE => return Err(error.clone()),
            State::Untried => 0,
            State::Broken(number) | State::Failed(_, _, number) => *number,
        };
        match opener.open(&self.host).await {
            Ok(connection) => {
                *state = State::Open(connection.clone(), last + 1);
                Ok((connection, last + 1))
            }
            Err(error) => {
                *state = State::Failed(error.clone(), Instant::now(), last);
                Err(error)
            }
        }
    }
}
