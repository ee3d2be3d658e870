//! An instance: it reports, reads, follows, and drives where nobody else does.

use std::sync::Arc;

use tollgate_core::rollout::propose::Change;
use tollgate_core::rollout::{
    Ask, Follower, Micros, Process, Proposal, Record, Refused, Report, Revision, Role, Step, Tallies, View,
    drive, propose, rollback,
};

use crate::agenda::{Request, Write};
use crate::setup::settings;
use crate::store::{REPORT, Snapshot};

/// What somebody wants of an instance.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Apply(Proposal),
    GoBack(Option<u64>),
}

pub(crate) struct Instance {
    pub(crate) id: u64,
    joined: Micros,
    pub(crate) follower: Follower,
    pub(crate) tallies: Option<Tallies>,
    pub(crate) asks: Option<Ask>,
    pub(crate) wanted: Option<Wanted>,
    /// Its token, as far as it knows.
    pub(crate) fence: Option<u64>,
    /// Until then the store has a report of it, for sure.
    registered: Micros,
    /// Since when it has been registered without a break.
    since: Micros,
    /// Has it read since then?
    has_read: bool,
    /// Has it done what it has read? Then it belongs to the fleet.
    has_followed: bool,
    /// Until then it does nothing.
    pub(crate) stands_still: Micros,
}

impl Instance {
    pub(crate) fn new(id: u64, now: Micros) -> Self {
        Self {
            id,
            joined: now,
            follower: Follower::new(id),
            tallies: None,
            asks: None,
            wanted: None,
            fence: None,
            registered: Micros::ZERO,
            since: now,
            has_read: false,
            has_followed: false,
            stands_still: Micros::ZERO,
        }
    }

    /// Does it belong to the fleet, or has it lost touch with the store?
    pub(crate) fn belongs(&self, now: Micros) -> bool {
        self.has_followed && now < self.registered
    }

    pub(crate) fn report(&self) -> Report {
        Report {
            instance: self.id,
            role: Role::Instance,
            joined: self.joined,
            follows: self.follower.follows(),
            enforces: self.follower.enforces(),
            holds: self.follower.held().to_vec(),
            refuses: self.follower.refuses().cloned(),
            tallies: self.tallies.clone(),
            asks: self.asks.clone(),
            process: Process::default(),
        }
    }

    /// A report that was sent at an instant has arrived.
    pub(crate) fn reported(&mut self, sent: Micros, now: Micros) {
        if self.registered <= now {
            (self.since, self.has_read, self.has_followed) = (now, false, false);
        }
        self.registered = self.registered.max(sent + REPORT);
    }

    /// May it read? Before it is registered somebody may change what it reads without waiting for it.
    pub(crate) fn may_read(&self, now: Micros) -> bool {
        now < self.registered
    }

    /// What was asked for at an instant has been read; `true` if it is of use.
    pub(crate) fn read(&mut self, record: &Record, asked: Micros, now: Micros) -> bool {
        if asked < self.since || !self.may_read(now) {
            return false;
        }
        // What it has read already is not copied again: that would take most of the time of a run.
        let is_known = record.edition == self.follower.follows();
        let is_news = is_known || self.follower.read(record.clone());
        self.has_read |= is_news;
        is_news
    }

    /// Decides by what it is told, if it can; gives it if that is another revision.
    pub(crate) fn follow(&mut self, now: Micros) -> Option<Revision> {
        let changed = self.follower.enforce(now);
        let target = self.follower.target().map(|target| target.at(now));
        self.has_followed |= self.has_read && target.is_some() && target == self.follower.enforces();
        changed
    }

    /// What it does as somebody who drives or wants to: what it has read says whether it may. With an old token it goes on, too, as if
    /// it had slept since it read.
    pub(crate) fn act(&mut self, snapshot: &Snapshot, reckless: bool) -> Vec<Request> {
        let record = &snapshot.record;
        if record.rollout.is_none() && self.wanted.is_none() {
            return self.fence.take().map(Request::Release).into_iter().collect();
        }
        let mine = snapshot.lock.is_some_and(|lock| lock.holder == self.id && Some(lock.fence) == self.fence);
        let mut requests = Vec::new();
        if mine || reckless && self.fence.is_some() {
            requests.extend(self.change(snapshot).map(Request::Write));
        }
        let is_free = snapshot.lock.is_none_or(|lock| lock.holder == self.id);
        if is_free {
            requests.push(Request::Acquire);
        }
        requests
    }

    fn change(&mut self, snapshot: &Snapshot) -> Option<Write> {
        let fence = self.fence?;
        let view = View { record: &snapshot.record, reports: &snapshot.reports, now: snapshot.now, fence };
        let (record, entries) = match self.wish(&view) {
            Some(change) => change,
            None => match drive(&view) {
                Step::Write(record, entries) => (*record, entries),
                Step::Wait(until) => {
                    assert!(until > snapshot.now, "who waits, waits for something");
                    return None;
                }
                Step::Nothing => return None,
            },
        };
        let live = snapshot.reports.iter().map(|report| report.instance).collect();
        Some(Write { fence, version: snapshot.version, record: Arc::new(record), entries, live })
    }

    /// What is wanted of it, if that may be; while another rollout is under way it keeps it in mind.
    fn wish(&mut self, view: &View<'_>) -> Option<Change> {
        let wanted = self.wanted.take()?;
        let by = format!("instance {}", self.id);
        let change = match wanted.clone() {
            Wanted::Apply(proposal) => propose(view, proposal),
            Wanted::GoBack(to) => rollback(view, to, settings(), by),
        };
        if let Err(Refused::UnderWay { .. }) = change {
            self.wanted = Some(wanted);
        }
        change.ok()
    }
}
