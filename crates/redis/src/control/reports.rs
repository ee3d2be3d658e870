//! What each instance reports.

use std::time::Duration;

use redis::from_redis_value;

use super::scripts::{REPORT, RETIRE};
use super::{Control, Glance, Part, micros, number, unexpected};
use crate::Failure;
use crate::script::Call;

impl Control {
    /// Keeps an instance's report for so long, in place of the one before, and tells whether there is something to read.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should: the report may have been kept.
    pub async fn report(
        &self,
        instance: u64,
        report: &[u8],
        time_to_live: Duration,
    ) -> Result<Glance, Failure> {
        let keys = self.keys([Part::Record, Part::Amendments, Part::Reports, Part::Reporting]);
        let arguments = vec![number(instance), report.to_vec(), number(micros(time_to_live))];
        let reply = self.connection.run(&REPORT, Call { keys, arguments }).await?;
        let (now_micros, version, revision, amended) = from_redis_value(reply).map_err(unexpected)?;
        Ok(Glance { now_micros, version, revision, amended })
    }

    /// Drops the report of an instance that ends.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should: the report may have been dropped.
    pub async fn retire(&self, instance: u64) -> Result<(), Failure> {
        let keys = self.keys([Part::Reports, Part::Reporting]);
        self.connection.run(&RETIRE, Call { keys, arguments: vec![number(instance)] }).await?;
        Ok(())
    }
}
