//! The bounds: what may be admitted in any time, whoever admits it.

use std::collections::BTreeMap;

use tollgate_core::{Algorithm, Nanos};

use crate::limits::Limits;
use crate::names::TENANTS;

/// A request that was admitted: when, in nanoseconds since 1970; whose; at what cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admitted {
    pub(crate) at: u64,
    pub(crate) tenant: usize,
    pub(crate) cost: u64,
}

/// What sums of fractions may be off by.
const ROUNDING: f64 = 1e-6;

/// Asserts that no time has seen more than it may; `more` tokens are allowed on top.
pub(crate) fn check(limits: &Limits, time_to_live: Nanos, more: f64, admitted: &[Admitted]) {
    for (tenant, name) in TENANTS.iter().enumerate() {
        let of_tenant = admitted.iter().filter(|admitted| admitted.tenant == tenant);
        let of_tenant = of_tenant.map(|admitted| (admitted.at, admitted.cost as f64));
        let over = match limits.algorithm {
            Algorithm::TokenBucket => token_bucket(limits, time_to_live, more, of_tenant),
            Algorithm::FixedWindow => fixed_window(limits, more, of_tenant),
            _ => sliding_window(limits, more, of_tenant),
        };
        if let Some((at, level, most)) = over {
            panic!("{name}: at {at} there are {level} of {most}: {limits:?}");
        }
    }
}

/// When, how many, and of how many.
type Over = Option<(u64, f64, f64)>;

/// Any time `t` admits at most `capacity + rate x (t + time to live)`: a bucket that holds that much never overflows.
fn token_bucket(
    limits: &Limits,
    time_to_live: Nanos,
    more: f64,
    admitted: impl Iterator<Item = (u64, f64)>,
) -> Over {
    let most = limits.capacity() + limits.rate() * time_to_live.get() as f64 + more;
    let (mut level, mut then) = (0.0_f64, 0);
    for (at, cost) in admitted {
        level = (level - limits.rate() * (at - then) as f64).max(0.0) + cost;
        then = at;
        if level > most + ROUNDING {
            return Some((at, level, most));
        }
    }
    None
}

/// A window admits no more than its quota and burst: what is leased in it ends with it.
fn fixed_window(limits: &Limits, more: f64, admitted: impl Iterator<Item = (u64, f64)>) -> Over {
    let most = limits.capacity() + more;
    let mut used = BTreeMap::<u64, f64>::new();
    for (at, cost) in admitted {
        let used = used.entry(at / limits.window.get()).or_default();
        *used += cost;
        if *used > most + ROUNDING {
            return Some((at, *used, most));
        }
    }
    None
}

/// Whenever one is admitted, what the present window has admitted, and the one before as far as it still weighs, are within the
/// capacity: as in a process alone, for what is leased in a window is debited in it, ends with it, and weighs no more when
/// it is spent than when it was leased. So any time `t` admits at most `capacity x (1 + t / window)`.
fn sliding_window(limits: &Limits, more: f64, admitted: impl Iterator<Item = (u64, f64)>) -> Over {
    let (most, length) = (limits.capacity() + more, limits.window.get());
    let mut used = BTreeMap::<u64, f64>::new();
    for (at, cost) in admitted {
        let index = at / length;
        let before = used.get(&(index - 1)).copied().unwrap_or(0.0);
        let left = (length - at % length) as f64 / length as f64;
        let present = used.entry(index).or_default();
        *present += cost;
        let level = *present + before * left;
        if level > most + ROUNDING {
            return Some((at, level, most));
        }
    }
    None
}
