//! Is what was written still there, and on replicas, too?

use std::time::Duration;

use redis::{Value, from_redis_value};

use super::{Confirmed, Control, Part, Refused, Written, unexpected};
use crate::Failure;
use crate::opener::Opener;

/// How long what is written for it is kept, in milliseconds.
const KEPT: u64 = 60_000;

/// The longest that replicas are waited for.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

impl Control {
    /// Waits until so many replicas have what was written, or the time is over, and looks whether it is still there. Fewer replicas
    /// are no error: the caller decides what is enough.
    ///
    /// # Errors
    /// When another record is there, or the backend does not answer.
    pub async fn confirm(
        &self,
        written: Written,
        replicas: u32,
        time: Duration,
    ) -> Result<Confirmed, Refused> {
        let link = self.connection.link();
        let (record, confirmation) = (self.key(Part::Record), self.key(Part::Confirmation));
        let time = time.min(LONGEST_WAIT);
        // A connection of its own: WAIT keeps all others of one waiting, and counts what was written by its own. As replicas follow in
        // order, whoever has this write has those before it.
        let opener = link.opener();
        let opener = Opener { response_timeout: opener.response_timeout + time, ..opener.clone() };
        let client = link.master(&record).await.map_err(Failure::from)?;
        let mut connection = opener.open_client(&client).await.map_err(Failure::from)?;
        let mut commands = redis::pipe();
        commands.cmd("SET").arg(&confirmation).arg(written.version).arg("PX").arg(KEPT);
        // No time at all would mean for ever.
        commands.cmd("WAIT").arg(replicas).arg(time.as_millis().max(1));
        commands.cmd("HMGET").arg(&record).arg("version").arg("fence");
        let replies = connection.send_packed_commands(&commands, 0, 3).await.map_err(Failure::from)?;
        let replies: Result<Vec<Value>, _> = replies.into_iter().map(Value::extract_error).collect();
        let replies = Value::Array(replies.map_err(Failure::from)?);
        let (_, replicas, (version, fence)): (Value, u32, (Option<u64>, Option<u64>)) =
            from_redis_value(replies).map_err(unexpected)?;
        if (version, fence) != (Some(written.version), Some(written.fence.0)) {
            return Err(Refused::VersionChanged { version: version.unwrap_or(0) });
        }
        Ok(Confirmed { replicas })
    }
}
