//! What is going to happen, and when.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use tollgate_core::Nanos;
use tollgate_core::lease::exchange::{Batch, Reply};

#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Traffic is of another kind from now on.
    Act,
    /// A request, if the act of this number is still on.
    Request(u64),
    /// A request of an instance has waited long enough, by its number.
    Impatient(u64, u64),
    /// A request that was in flight has ended, by its number.
    Lands(u64),
    Tick(u64),
    Arrives(u64, Arc<Batch>),
    Answers(u64, u8, u64, Option<Reply>),
    TimesOut(u64, u8, u64),
    Crash,
    Wipe,
    /// An instance finds that it is not registered any more.
    Missed(u64),
    /// The replica has heard of all that was executed until now.
    Copied,
    Failover,
    Outage(bool),
    SetBack,
    Sweep,
    Stall,
}

/// Of several at one time, the one that was expected first.
struct Expected {
    at: Nanos,
    number: u64,
    event: Event,
}

impl PartialEq for Expected {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Expected {}

impl PartialOrd for Expected {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Expected {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
pub(crate) struct Agenda {
    events: BinaryHeap<Reverse<Expected>>,
    number: u64,
}

impl Agenda {
    pub(crate) fn expect(&mut self, at: Nanos, event: Event) {
        self.number += 1;
        self.events.push(Reverse(Expected { at, number: self.number, event }));
    }

    /// What happens next, unless it is after `end`.
    pub(crate) fn next(&mut self, end: Nanos) -> Option<(Nanos, Event)> {
        if self.events.peek()?.0.at > end {
            return None;
        }
        self.events.pop().map(|Reverse(expected)| (expected.at, expected.event))
    }
}
