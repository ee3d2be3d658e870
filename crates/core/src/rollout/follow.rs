//! What the record means to an instance.

use super::{Micros, Phase, Record, Revision, Rollout};

/// What an instance has to do. It holds the images of all revisions that are named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Which policy it decides by; until the instant of `swap`, where there is one.
    pub enforce: Revision,
    /// Which policy it decides by from an instant on.
    pub swap: Option<Swap>,
    /// Which image it is to hold besides, because it may have to decide by it.
    pub hold: Option<Revision>,
    /// By which other policy it judges the same requests; after a swap, by the one that it has left.
    pub compare_with: Option<Revision>,
}

/// A policy that is decided by from an instant of the store's clock on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swap {
    /// The instant.
    pub at: Micros,
    /// The policy.
    pub to: Revision,
}

impl Target {
    /// Which policy an instance decides by at an instant.
    #[must_use]
    pub fn at(&self, now: Micros) -> Revision {
        match self.swap {
            Some(Swap { at, to }) if at <= now => to,
            _ => self.enforce,
        }
    }

    /// By which other policy it judges the same requests at an instant.
    #[must_use]
    pub fn compared(&self, now: Micros) -> Option<Revision> {
        self.compare_with.map(|other| if self.at(now) == other { self.enforce } else { other })
    }
}

/// What the record means to an instance. It depends on nothing else, so all who have read the same record agree.
#[must_use]
pub fn follow(record: &Record, me: u64) -> Target {
    let quiet = Target { enforce: record.active, swap: None, hold: None, compare_with: None };
    let Some(rollout) = &record.rollout else { return quiet };
    let (from, candidate) = (rollout.from, rollout.candidate);
    let hold = Some(candidate);
    match rollout.phase {
        Phase::Staging { .. } => Target { enforce: from, hold, ..quiet },
        Phase::Agreed { at } => {
            let swap = Some(Swap { at, to: candidate });
            Target { enforce: from, swap, hold, compare_with: Some(candidate) }
        }
        Phase::Switching { step, .. } | Phase::Validating { step, .. } => {
            if rollout.takes_in(step, me) {
                Target { enforce: candidate, compare_with: Some(from), hold, ..quiet }
            } else {
                Target { enforce: from, compare_with: Some(candidate), hold, ..quiet }
            }
        }
        Phase::Promoting { .. } => Target { enforce: candidate, compare_with: Some(from), hold, ..quiet },
        Phase::RollingBack { .. } => Target { enforce: from, ..quiet },
    }
}

impl Rollout {
    /// Does a step take in an instance? One that joins midway is taken in only by a step that takes in all.
    #[must_use]
    pub fn takes_in(&self, step: usize, instance: u64) -> bool {
        self.strategy.fraction(step) >= 1.0 || self.members.contains(&instance)
    }
}
