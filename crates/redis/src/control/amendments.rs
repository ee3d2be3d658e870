//! Amendments: changes of tenants upon a revision, which need no rollout.

use redis::from_redis_value;

use super::scripts::{AMEND, AMENDMENTS};
use super::{Amendments, Control, MOST_AMENDMENTS, Part, Refused, number, unexpected};
use crate::Failure;
use crate::script::Call;

impl Control {
    /// Appends an amendment upon a revision, says so in the audit trail, and to those who listen; gives its number. It needs no
    /// lock. The same amendment again, after its reply was lost, is another one that says the same.
    ///
    /// # Errors
    /// When the revision is not the active one, or has been amended [`MOST_AMENDMENTS`] times.
    pub async fn amend(&self, revision: u64, amendment: &[u8], audit: &[Vec<u8>]) -> Result<u64, Refused> {
        let keys = self.keys([Part::Record, Part::Amendments, Part::Audit]);
        let arguments = vec![
            number(revision),
            amendment.to_vec(),
            number(MOST_AMENDMENTS),
            self.key(Part::Hints).into_bytes(),
        ];
        self.append(&AMEND, keys, arguments, audit).await
    }

    /// The amendments from a number on, so many at the most, and at least one.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should.
    pub async fn amendments(&self, from: u64, count: u32) -> Result<Amendments, Failure> {
        let from = from.max(1);
        // Places count from 0, and the last one is among them.
        let first = (from - 1).min(MOST_AMENDMENTS);
        let last = first + u64::from(count.max(1)) - 1;
        let keys = self.keys([Part::Record, Part::Amendments]);
        let arguments = vec![number(first), number(last)];
        let reply = self.connection.run(&AMENDMENTS, Call { keys, arguments }).await?;
        let (revision, amended, entries): (u64, u64, Vec<Vec<u8>>) =
            from_redis_value(reply).map_err(unexpected)?;
        Ok(Amendments { revision, amended, entries: (from..).zip(entries).collect() })
    }
}
