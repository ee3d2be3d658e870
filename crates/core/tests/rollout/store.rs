//! The store: one record, replaced by compare-and-swap under the newest fencing token, and reports that end.

use std::collections::BTreeMap;
use std::sync::Arc;

use tollgate_core::rollout::{Micros, Record, Report};

use crate::agenda::Write;

/// How long a report lives.
pub(crate) const REPORT: Micros = Micros::from_secs(3);
/// How long the lock lives, unless it is renewed.
pub(crate) const LOCK: Micros = Micros::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) holder: u64,
    pub(crate) fence: u64,
    ends: Micros,
}

#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) now: Micros,
    pub(crate) version: u64,
    pub(crate) record: Arc<Record>,
    pub(crate) lock: Option<Lock>,
    pub(crate) reports: Vec<Report>,
}

pub(crate) struct Store {
    version: u64,
    pub(crate) record: Arc<Record>,
    lock: Option<Lock>,
    fence: u64,
    reports: BTreeMap<u64, (Report, Micros)>,
}

impl Store {
    pub(crate) fn new(record: Record) -> Self {
        Self { version: 1, record: Arc::new(record), lock: None, fence: 0, reports: BTreeMap::new() }
    }

    pub(crate) fn snapshot(&mut self, now: Micros) -> Snapshot {
        self.reports.retain(|_, (_, ends)| now < *ends);
        Snapshot {
            now,
            version: self.version,
            record: Arc::clone(&self.record),
            lock: self.lock.filter(|lock| now < lock.ends),
            reports: self.reports.values().map(|(report, _)| report.clone()).collect(),
        }
    }

    pub(crate) fn report(&mut self, report: Report, now: Micros) {
        self.reports.insert(report.instance, (report, now + REPORT));
    }

    pub(crate) fn retire(&mut self, instance: u64) {
        self.reports.remove(&instance);
    }

    pub(crate) fn acquire(&mut self, holder: u64, now: Micros) -> Option<u64> {
        let fence = match self.lock.filter(|lock| now < lock.ends) {
            Some(lock) if lock.holder != holder => return None,
            Some(lock) => lock.fence,
            None => self.fence + 1,
        };
        self.fence = fence;
        self.lock = Some(Lock { holder, fence, ends: now + LOCK });
        Some(fence)
    }

    pub(crate) fn release(&mut self, fence: u64) {
        self.lock = self.lock.filter(|lock| lock.fence != fence);
    }

    /// Replaces the record, if the writer's lock lives and it has seen the last version.
    pub(crate) fn write(&mut self, write: &Write, now: Micros) -> bool {
        let holds = self.lock.is_some_and(|lock| lock.fence == write.fence && now < lock.ends);
        if !holds || self.version != write.version {
            return false;
        }
        self.version += 1;
        self.record = Arc::clone(&write.record);
        true
    }

    /// The newest fencing token.
    pub(crate) fn newest(&self) -> u64 {
        self.fence
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }
}
