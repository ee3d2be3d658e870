//! An instant, as the buckets of a table see it.

use crate::Nanos;
use crate::gcra::LATEST;
use crate::time::Epoch;

/// An instant in a table's count, and where that count stands in wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Since the table's epoch, which is 1: a written state is never 0.
    pub(crate) since: Nanos,
    /// The table's epoch in wall time: nanoseconds since the Unix epoch.
    pub(crate) epoch: Nanos,
}

impl Moment {
    /// An instant of the monotonic clock, in the count that begins at `epoch`.
    #[inline]
    pub(crate) fn new(now: Nanos, epoch: Epoch) -> Self {
        Self { since: now.since(epoch.monotonic) + Nanos::new(1), epoch: epoch.wall }
    }

    /// The same for an instant that may lie before `epoch`: then in a count that begins with it.
    pub(crate) fn past(then: Nanos, epoch: Epoch) -> Self {
        let before = epoch.monotonic.since(then);
        Self::new(then, Epoch { monotonic: epoch.monotonic.since(before), wall: epoch.wall.since(before) })
    }

    /// Nanoseconds since the Unix epoch. Instants that no table lives to see count as the last that one does.
    #[inline]
    pub(crate) fn wall(&self) -> Nanos {
        self.epoch + self.since.min(LATEST).since(Nanos::new(1))
    }
}

#[cfg(test)]
impl Moment {
    /// This wall time, in a table of this epoch.
    pub(crate) fn at(wall: u64, epoch: u64) -> Self {
        Self { since: Nanos::new(wall - epoch + 1), epoch: Nanos::new(epoch) }
    }
}
