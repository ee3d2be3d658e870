//! What is done to a bucket, and the decisions that come of it.

use crate::bucket::Charge;
use crate::gcra::Ticks;
use crate::slot::Slot;
use crate::table::{REBASE_AFTER, Table};
use crate::{Decision, Gcra, Nanos, Outcome};

/// What is done to a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Consume(u64),
    Peek(u64),
    Give(u64),
    Take(u64),
    Block(Nanos),
    Reset,
}

/// A decision on a key that is known, in the slot that it has.
#[inline]
pub(crate) fn known(table: &Table, slot: &Slot, cost: u64, now: Nanos) -> Option<Decision> {
    let since = table.instant(now);
    if since > REBASE_AFTER {
        return None;
    }
    let meta = slot.meta()?;
    let gcra = table.limit_of(meta)?;
    let instant = gcra.instant(since);
    charged(slot.bucket().charge(gcra, instant, cost), gcra, instant)
}

#[inline]
pub(crate) fn charged(charge: Charge, gcra: &Gcra, now: Ticks) -> Option<Decision> {
    let (outcome, tat, retry) = match charge {
        Charge::Admitted(tat) => (Outcome::Ok, tat, Some(Nanos::ZERO)),
        Charge::Refused(tat, wait) => (Outcome::Quota, tat, wait.map(|wait| gcra.span(wait))),
        Charge::Blocked | Charge::Elsewhere => return None,
    };
    Some(told(outcome, gcra, tat, now, retry))
}

/// The state of a bucket, and whether it would admit `cost`.
pub(crate) fn peeked(gcra: &Gcra, tat: Ticks, now: Ticks, cost: u64) -> Decision {
    let (outcome, retry) = match gcra.admit(tat, now, cost) {
        Ok(_) => (Outcome::Ok, Some(Nanos::ZERO)),
        Err(wait) => (Outcome::Quota, wait.map(|wait| gcra.span(wait))),
    };
    told(outcome, gcra, tat, now, retry)
}

/// A decision, with what is to be said of a bucket that has this TAT.
#[inline]
fn told(outcome: Outcome, gcra: &Gcra, tat: Ticks, now: Ticks, retry: Option<Nanos>) -> Decision {
    Decision {
        outcome,
        quota: gcra.quota(),
        window: gcra.window(),
        capacity: gcra.capacity(),
        remaining: gcra.remaining(tat, now),
        reset: gcra.until_full(tat, now),
        retry,
    }
}

pub(crate) fn blocked(gcra: &Gcra, left: Nanos) -> Decision {
    Decision {
        outcome: Outcome::Blocked,
        quota: gcra.quota(),
        window: gcra.window(),
        capacity: gcra.capacity(),
        remaining: 0,
        reset: left,
        retry: Some(left),
    }
}
