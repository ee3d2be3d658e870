//! Records and reports for tests.

use super::{
    Micros, Phase, Process, Proposal, Record, Report, Revision, Role, Settings, Step, Strategy, View, drive,
    follow, propose,
};
use crate::policy::ImageHash;

pub(super) const NOW: Micros = Micros::from_secs(1_768_470_137);

pub(super) fn hash(number: u8) -> ImageHash {
    ImageHash([number; 32])
}

/// That of a fleet whose only policy has been 1.
pub(super) fn record() -> Record {
    Record::found(hash(1), [], NOW)
}

/// What an instance says that does all that it has to.
pub(super) fn obedient(instance: u64, record: &Record, now: Micros) -> Report {
    let target = follow(record, instance);
    let named = [Some(target.enforce), target.hold, target.compare_with, target.swap.map(|swap| swap.to)];
    Report {
        instance,
        role: Role::Instance,
        joined: NOW,
        follows: record.edition,
        enforces: Some(target.at(now)),
        holds: named.iter().flatten().map(|revision| revision.hash).collect(),
        refuses: None,
        tallies: None,
        asks: None,
        process: Process::default(),
    }
}

pub(super) fn obedients(count: u64, record: &Record, now: Micros) -> Vec<Report> {
    (1..=count).map(|instance| obedient(instance, record, now)).collect()
}

pub(super) fn view<'a>(record: &'a Record, reports: &'a [Report], now: Micros) -> View<'a> {
    View { record, reports, now, fence: 1 }
}

pub(super) fn proposal(number: u8) -> Proposal {
    let (strategy, settings) = (Strategy::default(), Settings::default());
    Proposal { hash: hash(number), strategy, settings, proposer: "somebody".to_owned(), forced: false }
}

/// A fleet of two that is told to go to a policy.
pub(super) fn proposed(record: &Record, number: u8) -> Record {
    let reports = obedients(2, record, NOW);
    propose(&view(record, &reports, NOW), Proposal { forced: true, ..proposal(number) }).unwrap().0
}

/// What the driver of a fleet that does all it has to comes to next; it waits where it has to.
pub(super) fn next(record: &Record, reports: &[Report], now: &mut Micros) -> Record {
    loop {
        match drive(&view(record, reports, *now)) {
            Step::Write(record, _) => return *record,
            Step::Wait(until) => *now = until,
            Step::Nothing => panic!("no rollout is under way"),
        }
    }
}

/// After a rollout that nobody judges: policy `number` is active.
pub(super) fn locked(record: &Record, number: u8) -> Record {
    let mut record = proposed(record, number);
    record.rollout.as_mut().unwrap().phase = Phase::Promoting { since: NOW };
    record.lock();
    record
}

/// After a rollout that was cancelled.
pub(super) fn rolled_back(record: &Record, number: u8) -> Record {
    let mut record = proposed(record, number);
    record.give_up(super::Reason::Cancelled { by: "somebody".to_owned() });
    record
}

pub(super) fn revision(number: u64, of: u8) -> Revision {
    Revision { number, hash: hash(of) }
}
