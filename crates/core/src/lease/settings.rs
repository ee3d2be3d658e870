//! How leases are handled.

use crate::Nanos;

/// What decides on requests whose backend is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Each instance enforces the limit divided by the number of instances.
    #[default]
    Local,
    /// Everything is admitted.
    Allow,
    /// Nothing is admitted.
    Deny,
}

/// What is admitted by a share when intervals are longer than half of this may be leased by others, too.
const LONGEST_PAUSE: Nanos = Nanos::from_millis(500);

/// How leases are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Who this is; at random, below 2^53.
    pub instance: u64,
    /// How often leases are renewed, and demand is measured.
    pub interval: Nanos,
    /// How long a lease lives, from when it was asked for.
    pub time_to_live: Nanos,
    /// Tokens that may be spent ahead of the first answer; 0 to wait for it.
    pub credit: u64,
    /// What decides when the backend is gone.
    pub on_failure: OnFailure,
}

impl Settings {
    /// Leases that end within this time are given back: the next look at them may come too late.
    pub(crate) fn margin(&self) -> Nanos {
        Nanos::new(self.interval.get().saturating_mul(3) / 2)
    }

    /// So long before leases begin again the shares end that instances live on until then: what was admitted by them is told within
    /// an interval.
    pub(crate) fn pause(&self) -> Nanos {
        (self.interval + self.interval).min(LONGEST_PAUSE)
    }
}
