//! What of a limit is spent, counted as its description says.

use std::collections::BTreeMap;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// What a limit grants. Times are in nanoseconds, windows in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Counts {
    Unlimited,
    Nothing,
    Bucket { quota: u64, burst: u64, window_ms: u64 },
    Fixed { quota: u64, burst: u64, window_ms: u64 },
    Sliding { quota: u64, burst: u64, window_ms: u64 },
    Held(u64),
}

/// What was charged for one key of a limit.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    /// In a token bucket, in parts of a token: as many as there are nanoseconds in the window.
    parts: u128,
    /// Until when it was refilled.
    refilled: u64,
    /// By the number of the window.
    windows: BTreeMap<u64, u64>,
    held: u64,
}

impl Counts {
    fn window(&self) -> u64 {
        match *self {
            Self::Bucket { window_ms, .. }
            | Self::Fixed { window_ms, .. }
            | Self::Sliding { window_ms, .. } => window_ms * NANOS_PER_MILLI,
            _ => 1,
        }
    }

    fn capacity(&self) -> u64 {
        match *self {
            Self::Bucket { quota, burst, .. }
            | Self::Fixed { quota, burst, .. }
            | Self::Sliding { quota, burst, .. } => quota + burst,
            Self::Held(most) => most,
            Self::Nothing => 0,
            Self::Unlimited => u64::MAX,
        }
    }

    /// Parts of a token that are missing.
    fn parts(&self, spent: &Spent, now: u64) -> u128 {
        let Self::Bucket { quota, .. } = *self else { return 0 };
        spent.parts.saturating_sub(u128::from(now - spent.refilled) * u128::from(quota))
    }

    /// Tokens that are missing, rounded up.
    fn used(&self, spent: &Spent, now: u64) -> u64 {
        let counted = |window: u64| spent.windows.get(&window).copied().unwrap_or(0);
        let length = self.window();
        let present = now / length;
        match self {
            Self::Bucket { .. } => u64::try_from(self.parts(spent, now).div_ceil(length.into())).unwrap(),
            Self::Fixed { .. } => counted(present),
            Self::Sliding { .. } => {
                let before = present.checked_sub(1).map_or(0, counted);
                let left = u128::from(length - now % length);
                let weight = (u128::from(before) * left).div_ceil(length.into());
                counted(present) + u64::try_from(weight).unwrap()
            }
            Self::Held(_) => spent.held,
            Self::Nothing | Self::Unlimited => 0,
        }
    }

    /// Whole tokens left.
    pub(crate) fn remaining(&self, spent: &Spent, now: u64) -> u64 {
        self.capacity() - self.used(spent, now)
    }

    fn admits(&self, spent: &Spent, cost: u64, now: u64) -> bool {
        match self {
            // To the part of a token.
            Self::Bucket { .. } => {
                let parts = self.parts(spent, now) + u128::from(cost) * u128::from(self.window());
                parts <= u128::from(self.capacity()) * u128::from(self.window())
            }
            Self::Nothing => false,
            _ => self.used(spent, now).saturating_add(cost) <= self.capacity(),
        }
    }

    /// How long until `cost` is admitted; `None` for never. In time what is used only falls, and two windows later nothing
    /// is, so the instant is found by halving.
    pub(crate) fn wait(&self, spent: &Spent, cost: u64, now: u64) -> Option<u64> {
        if self.admits(spent, cost, now) {
            return Some(0);
        }
        if cost > self.capacity() || *self == Self::Nothing {
            return None;
        }
        if let Self::Held(_) = self {
            return Some(1_000 * NANOS_PER_MILLI);
        }
        let full = self.window()
            * if let Self::Bucket { quota, burst, .. } = self { 1 + burst.div_ceil(*quota) } else { 2 };
        let (mut refused, mut admitted) = (0, full);
        while admitted - refused > 1 {
            let middle = refused.midpoint(admitted);
            if self.admits(spent, cost, now + middle) {
                admitted = middle;
            } else {
                refused = middle;
            }
        }
        Some(admitted)
    }

    pub(crate) fn charge(&self, spent: &mut Spent, cost: u64, now: u64) {
        let length = self.window();
        spent.parts = self.parts(spent, now) + u128::from(cost) * u128::from(length);
        spent.refilled = now;
        *spent.windows.entry(now / length).or_default() += cost;
        spent.held += cost;
    }

    pub(crate) fn give_back(&self, spent: &mut Spent, cost: u64, charged: u64, now: u64) {
        let length = self.window();
        spent.parts = self.parts(spent, now).saturating_sub(u128::from(cost) * u128::from(length));
        spent.refilled = now;
        *spent.windows.get_mut(&(charged / length)).unwrap() -= cost;
        spent.held -= cost;
    }
}
