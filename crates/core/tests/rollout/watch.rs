//! Watches a run from outside: what may never be so.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_core::policy::ImageHash;
use tollgate_core::rollout::audit::Event;
use tollgate_core::rollout::{Micros, Phase, Record, Revision, Rollout, Scope};

use crate::agenda::Write;
use crate::instance::Instance;
use crate::setup::settings;
use crate::store::{Snapshot, Store};
use crate::traffic::Nature;

#[derive(Default)]
pub(crate) struct Watch {
    /// The highest token that has written.
    fence: u64,
    /// What was rolled back, and has not been active since.
    refused: BTreeSet<ImageHash>,
    /// Candidates under which the small tenant had too few requests to be judged.
    unseen: BTreeSet<u64>,
    /// How rollouts have ended.
    pub(crate) locked: u64,
    pub(crate) rolled_back: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
}

impl Watch {
    /// A record was replaced: `before` is what was there.
    pub(crate) fn written(
        &mut self,
        before: &Snapshot,
        write: &Write,
        store: &Store,
        instances: &BTreeMap<u64, Instance>,
    ) {
        let lock = before.lock.expect("nobody writes whose lock has ended");
        assert_eq!(write.fence, lock.fence, "nobody writes but the holder of the lock");
        assert_eq!(write.fence, store.newest(), "a stale token has written");
        assert!(write.fence >= self.fence, "an older token has written");
        self.fence = write.fence;
        assert_eq!(write.version, before.version, "a write has landed upon what it had not seen");
        assert_eq!(store.version(), before.version + 1);
        let (old, new) = (&before.record, &write.record);
        assert!(new.edition > old.edition, "editions rise");
        assert_eq!(Record::read(&new.bytes().unwrap()).unwrap(), **new, "what is written can be read");
        match (&old.rollout, &new.rollout) {
            (None, Some(rollout)) => {
                assert_eq!(rollout.from, old.active);
                assert!(rollout.candidate.number > old.numbered, "no number is given twice");
            }
            (Some(old), Some(new)) => {
                assert_eq!(new.candidate, old.candidate, "one rollout at a time");
                went_on(write, old, new);
            }
            (Some(rollout), None) => self.ended(old, new, rollout),
            (None, None) => panic!("nothing was to be written"),
        }
        let live = write.live.iter().filter_map(|id| instances.get(id));
        let fleet: Vec<&Instance> = live.filter(|instance| instance.belongs(before.now)).collect();
        check_acknowledged(write, old, new, &fleet);
        // Who has died since the driver looked may have been the one who had watched.
        if fleet.len() == write.live.len() {
            check_watched(old, new, &fleet);
        }
        if new.rollout.is_some() {
            assert_eq!(new.active, old.active, "outside its end, a rollout leaves the active revision alone");
        }
        for entry in &write.entries {
            if let (Event::Promoting { findings }, Some(rollout)) = (&entry.event, &new.rollout)
                && !findings.iter().any(|finding| is_of_small(&finding.scope))
            {
                self.unseen.insert(rollout.candidate.number);
            }
            if let Event::RollingBack { reason } = &entry.event {
                let name = serde_json::to_value(reason).unwrap()["name"].as_str().unwrap().to_owned();
                *self.reasons.entry(name).or_default() += 1;
            }
        }
    }

    fn ended(&mut self, old: &Record, new: &Record, rollout: &Rollout) {
        let hash = rollout.candidate.hash;
        if new.active == rollout.candidate {
            self.locked += 1;
            assert!(matches!(rollout.phase, Phase::Promoting { .. }), "locked without being decided on");
            assert!(rollout.forced || !self.refused.contains(&hash), "a refused policy is active, unforced");
            let nature = Nature::of(hash);
            let is_excused = match nature {
                Nature::Quiet => rollout.confirmed.is_some(),
                Nature::DeniesOne => self.unseen.contains(&rollout.candidate.number),
                _ => nature.is_fit(),
            };
            assert!(is_excused || !rollout.validates, "{nature:?} is locked");
            self.refused.remove(&hash);
        } else {
            self.rolled_back += 1;
            assert_eq!(new.active, old.active);
            assert!(rollout.is_rolling_back());
            if rollout.validates {
                self.refused.insert(hash);
            }
        }
    }
}

/// Looks at the fleet as it is at an instant.
pub(crate) fn look<'a>(record: &Record, fleet: impl Iterator<Item = &'a Instance>, now: Micros) {
    let mut fleet: Vec<&Instance> = fleet.collect();
    for Instance { id, follower, .. } in &fleet {
        let holds = |revision: Revision| follower.held().contains(&revision.hash);
        assert!(follower.enforces().is_none_or(holds), "{id} decides by an image that it does not hold");
    }
    fleet.retain(|instance| instance.belongs(now));
    let enforced: BTreeSet<Revision> =
        fleet.iter().filter_map(|instance| instance.follower.enforces()).collect();
    assert!(enforced.len() <= 2, "more than two revisions are enforced: {enforced:?}");
    let Some(rollout) = &record.rollout else { return };
    let two = [rollout.from, rollout.candidate];
    match rollout.phase {
        Phase::Staging { .. } => {
            assert!(!enforced.contains(&rollout.candidate), "the candidate is enforced before all hold it");
        }
        Phase::Switching { step, .. } | Phase::Validating { step, .. } => {
            assert!(enforced.iter().all(|revision| two.contains(revision)), "a third: {enforced:?}");
            for instance in fleet {
                let is_in = rollout.takes_in(step, instance.id);
                let its_own = instance.follower.enforces();
                assert!(is_in || its_own != Some(rollout.candidate), "{} is not in step {step}", instance.id);
            }
        }
        Phase::Agreed { at } => {
            assert!(enforced.iter().all(|revision| two.contains(revision)), "a third: {enforced:?}");
            assert!(at <= now || !enforced.contains(&rollout.candidate), "somebody has swapped too early");
        }
        Phase::Promoting { .. } | Phase::RollingBack { .. } => {}
    }
}

/// Who is taken to have acknowledged the old record has really done what it asks.
fn check_acknowledged(write: &Write, old: &Record, new: &Record, fleet: &[&Instance]) {
    let Some(rollout) = &old.rollout else { return };
    let (from, candidate) = (Some(rollout.from), Some(rollout.candidate));
    let behind: BTreeSet<u64> =
        write.entries.iter().flat_map(|entry| behind(&entry.event)).copied().collect();
    let phase = new.rollout.as_ref().map(|rollout| &rollout.phase);
    for instance in fleet.iter().filter(|instance| !behind.contains(&instance.id)) {
        let (id, follower) = (instance.id, &instance.follower);
        match (&rollout.phase, phase) {
            (Phase::Staging { .. }, Some(Phase::Switching { .. } | Phase::Agreed { .. })) => {
                assert_eq!(follower.enforces(), from, "{id} is somewhere else when staging ends");
                assert!(
                    follower.held().contains(&rollout.candidate.hash),
                    "{id} has no image when staging ends"
                );
                assert!(follower.follows() >= old.edition, "{id} has not read when staging ends");
            }
            (Phase::Switching { step, .. }, Some(Phase::Validating { .. }))
                if rollout.takes_in(*step, id) =>
            {
                assert_eq!(follower.enforces(), candidate, "{id} has not switched when a step is validated");
            }
            (Phase::Agreed { .. }, Some(Phase::Validating { .. })) => {
                assert_eq!(follower.enforces(), candidate, "{id} has not swapped when all are validated");
            }
            (_, None) => {
                assert_eq!(follower.enforces(), Some(new.active), "{id} is behind, and nobody says so");
                assert!(follower.follows() >= old.edition, "{id} has not read at the end");
            }
            _ => {}
        }
    }
}

/// A step that has passed was watched for the whole window by one at least who decides by the candidate.
fn check_watched(old: &Record, new: &Record, fleet: &[&Instance]) {
    let (Some(rollout), Some(next)) = (&old.rollout, &new.rollout) else { return };
    let Phase::Validating { step, .. } = rollout.phase else { return };
    let now = match next.phase {
        Phase::Switching { step: to, since } if to != step => since,
        Phase::Promoting { since } => since,
        _ => return,
    };
    let members = fleet.iter().filter(|instance| rollout.takes_in(step, instance.id));
    let tallies = members.filter_map(|instance| instance.tallies.as_ref());
    let mut of_round = tallies.filter(|tallies| Some(tallies.round) == rollout.round());
    let watched = of_round.any(|tallies| now.since(tallies.began) >= settings().window);
    assert!(watched, "nobody who lives has watched for a whole window");
}

fn behind(event: &Event) -> &[u64] {
    match event {
        Event::Locked { behind, .. } | Event::RolledBack { behind, .. } => behind,
        _ => &[],
    }
}

fn is_of_small(scope: &Scope) -> bool {
    matches!(scope, Scope::Tenant { name, .. } if name == "small")
}

/// A rollout has come to another phase, or to another driver.
fn went_on(write: &Write, old: &Rollout, new: &Rollout) {
    let is_whole = |since: Micros, next: Micros| {
        assert!(next.since(since) >= settings().window, "a window was cut short");
    };
    match (&old.phase, &new.phase) {
        (Phase::Validating { step, since }, Phase::Switching { step: to, since: next }) if step != to => {
            is_whole(*since, *next);
        }
        (Phase::Validating { since, .. }, Phase::Promoting { since: next }) => is_whole(*since, *next),
        (Phase::Promoting { .. }, Phase::Promoting { .. }) => {}
        (_, Phase::Promoting { .. }) => assert!(!new.validates, "promoted without being validated"),
        (Phase::RollingBack { .. }, phase) => {
            assert!(matches!(phase, Phase::RollingBack { .. }), "who goes back goes back");
        }
        _ => {}
    }
    if let Phase::Switching { step, .. } = new.phase
        && old.phase != new.phase
    {
        let share = (new.strategy.fraction(step) * write.live.len() as f64 + 1e-9) as usize;
        let stay: BTreeSet<u64> = old.members.intersection(&write.live).copied().collect();
        assert!(new.members.len() <= share.max(1).max(stay.len()), "more than its share is in step {step}");
        assert!(new.members.is_superset(&stay), "who is in an earlier step stays in");
    }
}
