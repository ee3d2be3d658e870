//! The driver's lock.

use std::time::Duration;

use redis::from_redis_value;

use super::scripts::{ACQUIRE, RELEASE, RENEW};
use super::{Control, Fence, Part, micros, number, unexpected};
use crate::Failure;
use crate::script::{Call, Script};

impl Control {
    /// Takes the lock for so long, under a token above all before it; `None` while another instance holds it. Who holds it already
    /// keeps it, under the same token.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should: the lock may have been taken.
    pub async fn acquire(&self, instance: u64, time_to_live: Duration) -> Result<Option<Fence>, Failure> {
        let keys = self.keys([Part::Lock]);
        let arguments = vec![number(instance), number(micros(time_to_live))];
        let reply = self.connection.run(&ACQUIRE, Call { keys, arguments }).await?;
        let fence: Option<u64> = from_redis_value(reply).map_err(unexpected)?;
        Ok(fence.map(Fence))
    }

    /// Has the lock last for so long from now; `false` if it has ended, or is somebody else's.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should: it may have been renewed.
    pub async fn renew(&self, instance: u64, fence: Fence, time_to_live: Duration) -> Result<bool, Failure> {
        let arguments = vec![number(instance), number(fence.0), number(micros(time_to_live))];
        self.change(&RENEW, arguments).await
    }

    /// Ends the lock; `false` if it had ended, or is somebody else's.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should: it may have been ended.
    pub async fn release(&self, instance: u64, fence: Fence) -> Result<bool, Failure> {
        self.change(&RELEASE, vec![number(instance), number(fence.0)]).await
    }

    async fn change(&self, script: &Script, arguments: Vec<Vec<u8>>) -> Result<bool, Failure> {
        let reply = self.connection.run(script, Call { keys: self.keys([Part::Lock]), arguments }).await?;
        from_redis_value(reply).map_err(unexpected)
    }
}
