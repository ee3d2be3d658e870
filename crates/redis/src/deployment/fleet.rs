//! What was read from the store, as it is to be understood.

use tollgate_core::rollout::{Micros, Record, RecordError, Report, View};

use crate::control::{Lock, Snapshot};

/// What the store holds at one instant.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    pub(super) record: Option<Record>,
    pub(super) reports: Vec<Report>,
    pub(super) now: Micros,
    pub(super) version: u64,
    pub(super) lock: Option<Lock>,
}

impl Fleet {
    /// # Errors
    /// A record that is none, or of a later version. Reports that are none are left out: whoever wrote them cannot be understood, and
    /// is not waited for.
    pub(super) fn understood(snapshot: Snapshot) -> Result<Self, RecordError> {
        let Snapshot { now_micros, version, record, lock, reports, .. } = snapshot;
        Ok(Self {
            record: record.as_deref().map(Record::read).transpose()?,
            reports: reports.iter().filter_map(|(_, bytes)| serde_json::from_slice(bytes).ok()).collect(),
            now: Micros::new(now_micros),
            version,
            lock,
        })
    }

    /// As a driver with this token sees it.
    pub(super) fn view<'a>(&'a self, record: &'a Record, fence: u64) -> View<'a> {
        View { record, reports: &self.reports, now: self.now, fence }
    }
}
