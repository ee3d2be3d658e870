//! The record: read with all that goes with it, and replaced by whoever holds the lock.

use std::time::Duration;

use redis::{Value, from_redis_value};

use super::scripts::{READ, WRITE};
use super::{Control, Fence, Lock, Part, Refused, Snapshot, Write, Written, number, unexpected};
use crate::Failure;
use crate::script::Call;

impl Control {
    /// All that a fleet has agreed on, at one instant.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should.
    pub async fn read(&self) -> Result<Snapshot, Failure> {
        let keys = self.keys([Part::Record, Part::Lock, Part::Amendments, Part::Reports, Part::Reporting]);
        snapshot(self.connection.run(&READ, Call { keys, arguments: Vec::new() }).await?)
    }

    /// Replaces the record, says so in the audit trail, and to those who listen. The same write again, after its reply was lost,
    /// has the same answer and does nothing, as long as no other came after it.
    ///
    /// # Errors
    /// Unless the writer's lock lives, and it has seen the last version.
    pub async fn write(&self, write: &Write) -> Result<Written, Refused> {
        let keys = self.keys([Part::Record, Part::Lock, Part::Amendments, Part::Audit]);
        let arguments = vec![
            number(write.fence.0),
            number(write.version),
            write.digest().to_vec(),
            number(write.revision),
            write.record.clone(),
            self.key(Part::Hints).into_bytes(),
        ];
        let version = self.append(&WRITE, keys, arguments, &write.audit).await?;
        Ok(Written { version, fence: write.fence })
    }
}

fn snapshot(reply: Value) -> Result<Snapshot, Failure> {
    type Reply = (u64, u64, u64, Option<Vec<u8>>, u64, Option<u64>, u64, u64, Vec<u64>, Vec<Vec<u8>>);
    let (now_micros, version, revision, record, amended, holder, fence, expires_in, instances, reports): Reply =
        from_redis_value(reply).map_err(unexpected)?;
    let mut reports: Vec<(u64, Vec<u8>)> = instances.into_iter().zip(reports).collect();
    reports.sort_unstable_by_key(|&(instance, _)| instance);
    let lock = holder.map(|holder| Lock {
        holder,
        fence: Fence(fence),
        expires_in: Duration::from_micros(expires_in),
    });
    Ok(Snapshot { now_micros, version, revision, record, amended, lock, reports })
}
