//! Whoever takes the lock over after a driver is gone.

use super::audit::Event;
use super::{Micros, Phase, Reason, Record, Step};

/// Makes a rollout one's own. What was not decided is rolled back; but live traffic is looked at for what is left of the window, and
/// what somebody or the traffic has decided is finished: everybody has as much time for it as at first.
#[must_use]
pub fn succeed(record: &Record, fence: u64, now: Micros) -> Step {
    let mut next = record.next(now);
    let Some(rollout) = &mut next.rollout else { return Step::Nothing };
    rollout.driver = fence;
    let mut entries = vec![rollout.entry(now, fence, Event::TakenOver)];
    let is_decided = !rollout.validates;
    match &mut rollout.phase {
        Phase::Staging { since } | Phase::Switching { since, .. } if is_decided => *since = now,
        Phase::Agreed { at } if is_decided && now < *at => {}
        // Who has swapped already is not to go back.
        Phase::Agreed { .. } if is_decided => rollout.phase = Phase::Switching { step: 0, since: now },
        Phase::Staging { .. } | Phase::Switching { .. } | Phase::Agreed { .. } => {
            let reason = Reason::DriverLost;
            rollout.phase = Phase::RollingBack { since: now, reason: reason.clone() };
            entries.push(rollout.entry(now, fence, Event::RollingBack { reason }));
        }
        Phase::Validating { .. } => {}
        Phase::Promoting { since } | Phase::RollingBack { since, .. } => *since = now,
    }
    Step::Write(Box::new(next), entries)
}
