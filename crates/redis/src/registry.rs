//! Which instances live: each says so every now and then, and is taken for dead when it has not for a while.
//!
//! Time is the backend's own, so no clock of an instance matters.

use std::time::Duration;

use redis::{Value, from_redis_value};

use crate::script::{self, Call};
use crate::{Connection, Failure};

/// What a backend says to an instance that lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// How many live, with this one.
    pub instances: u32,
    /// Did it know this one to live?
    pub known: bool,
}

/// The instances of a fleet, as a backend has them.
#[derive(Debug, Clone)]
pub struct Registry {
    connection: Connection,
}

impl Registry {
    /// By a connection, and in its namespace.
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Says that an instance lives, and will say so again within `time_to_live`, which counts in milliseconds; tells how many
    /// live, with this one.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should.
    pub async fn beat(&self, instance: u64, time_to_live: Duration) -> Result<u32, Failure> {
        Ok(self.renew(instance, time_to_live).await?.instances)
    }

    /// The same, and whether the backend had forgotten it.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should.
    pub async fn renew(&self, instance: u64, time_to_live: Duration) -> Result<Beat, Failure> {
        let call = Call {
            keys: vec![self.connection.namespace().instances()],
            arguments: vec![
                instance.to_string().into_bytes(),
                time_to_live.as_millis().max(1).to_string().into_bytes(),
            ],
        };
        let reply = self.connection.run(&script::BEAT, call).await?;
        let (instances, new): (u32, bool) =
            from_redis_value(reply).map_err(|error| Failure::Protocol(error.to_string()))?;
        Ok(Beat { instances, known: !new })
    }

    /// An instance ends: it is not counted any more.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should.
    pub async fn leave(&self, instance: u64) -> Result<(), Failure> {
        let key = self.connection.namespace().instances();
        let mut command = redis::cmd("ZREM");
        command.arg(&key).arg(instance);
        number(self.connection.send(&command, &key).await?).map(|_| ())
    }
}

fn number(reply: Value) -> Result<u32, Failure> {
    from_redis_value(reply).map_err(|error| Failure::Protocol(error.to_string()))
}
