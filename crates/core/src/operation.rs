//! What is done to a bucket, and the decisions that come of it.

use crate::bucket::Charge;
use crate::lease::AWAITS_LEASE;
use crate::meter::{Level, Meter};
use crate::moment::Moment;
use crate::{Decision, Nanos, Outcome};

/// What is done to a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    Consume(u64),
    /// Would it be admitted? Asks for a lease, if that takes one.
    Probe(u64),
    Peek(u64),
    Give(u64),
    Take(u64),
    Block(Nanos),
    Reset,
}

/// What whoever may not wait for a lease is told to wait.
const LEASE_TAKES: Nanos = Nanos::from_millis(10);

#[inline]
pub(crate) fn charged(charge: Charge, meter: &Meter, now: Moment) -> Option<Decision> {
    let (state, admitted) = match charge {
        Charge::Admitted(state) => (state, Ok(())),
        Charge::Refused(state, wait) => (state, Err(wait)),
        Charge::Blocked | Charge::Elsewhere => return None,
    };
    Some(told(meter, state, now, admitted))
}

/// The state of a bucket, and whether it would admit `cost`.
pub(crate) fn peeked(meter: &Meter, state: u64, now: Moment, cost: u64) -> Decision {
    told(meter, state, now, meter.admit(state, now, cost).map(|_| ()))
}

/// A decision, with what is to be said of a bucket in this state: admitted, or refused and how long that will last.
#[inline]
pub(crate) fn told(meter: &Meter, state: u64, now: Moment, admitted: Result<(), Option<Nanos>>) -> Decision {
    let (outcome, retry) = match admitted {
        Ok(()) => (Outcome::Ok, Some(Nanos::ZERO)),
        Err(AWAITS_LEASE) => (Outcome::Pending, Some(LEASE_TAKES)),
        Err(wait) => (meter.refuses_by(), wait),
    };
    let Level { quota, window, capacity, remaining, reset } = meter.level(state, now);
    Decision { outcome, quota, window, capacity, remaining, reset, retry }
}

pub(crate) fn blocked(meter: Option<&Meter>, now: Moment, left: Nanos) -> Decision {
    Decision {
        outcome: Outcome::Blocked,
        quota: meter.map_or(u64::MAX, Meter::quota),
        window: meter.map_or(Nanos::ZERO, |meter| meter.window_length(now)),
        capacity: meter.map_or(0, Meter::capacity),
        remaining: 0,
        reset: left,
        retry: Some(left),
    }
}
