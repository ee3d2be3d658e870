//! What is going to happen, and when; and what instances and the store say to each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tollgate_core::rollout::audit::Entry;
use tollgate_core::rollout::{Micros, Record, Report, Revision};

use crate::store::Snapshot;

/// What an instance asks of the store.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Report(Box<Report>),
    Read,
    Acquire,
    Release(u64),
    Write(Write),
}

/// A record that is to take the place of another.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) fence: u64,
    pub(crate) version: u64,
    pub(crate) record: Arc<Record>,
    pub(crate) entries: Vec<Entry>,
    /// Who lived, as far as the writer knew.
    pub(crate) live: BTreeSet<u64>,
}

/// What the store answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// It has the report.
    Reported,
    Snapshot(Snapshot),
    /// The lock is the asker's, under this token; or somebody else's.
    Acquired(Option<u64>),
    /// Done or not, there is something new to read.
    Written,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// An instance does what it does every now and then.
    Beat(u64),
    /// A request that was sent at an instant comes to the store.
    Arrives(u64, Micros, Request),
    /// A reply to a request that was sent at an instant comes to an instance.
    Answers(u64, Micros, Reply),
    /// An image comes to an instance.
    Image(u64, Revision),
    /// An instance swaps policies at the instant that was agreed upon.
    Swap(u64),
    /// Somebody wants something.
    Wish,
    Crash,
    Stall,
    Join,
    Leave,
}

/// What happens at one time happens in the order in which it was expected.
#[derive(Default)]
pub(crate) struct Agenda {
    events: BTreeMap<(Micros, u64), Event>,
    number: u64,
}

impl Agenda {
    pub(crate) fn expect(&mut self, at: Micros, event: Event) {
        self.number += 1;
        self.events.insert((at, self.number), event);
    }

    /// What happens next, unless it is after `end`.
    pub(crate) fn next(&mut self, end: Micros) -> Option<(Micros, Event)> {
        let first = self.events.first_entry()?;
        (first.key().0 <= end).then(|| first.remove_entry()).map(|((at, _), event)| (at, event))
    }
}
