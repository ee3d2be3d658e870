//! How much of a bucket an instance spends in an interval.

use crate::Nanos;

/// How often one bucket may be asked for in an interval: who runs dry once more waits for the next.
const MOST_ASKS: u8 = 8;

/// Tokens spent in the present interval and in the one before.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    began: Nanos,
    present: u64,
    before: u64,
    asks: u8,
}

impl Demand {
    /// Goes on to the interval that holds `now`.
    pub(crate) fn advance(&mut self, now: Nanos, interval: Nanos) {
        let passed = now.since(self.began);
        if passed < interval {
            return;
        }
        let next = self.began + interval;
        self.before = if now.since(next) < interval { self.present } else { 0 };
        (self.present, self.asks) = (0, 0);
        self.began = if self.before == 0 { now } else { next };
    }

    pub(crate) fn spend(&mut self, tokens: u64) {
        self.present = self.present.saturating_add(tokens);
    }

    /// Tokens in an interval, as far as is known.
    pub(crate) fn of_an_interval(&self) -> u64 {
        self.present.max(self.before)
    }

    /// Has it been asked so often in this interval that it has to wait for the next?
    pub(crate) fn is_paced(&self) -> bool {
        self.asks >= MOST_ASKS
    }

    pub(crate) fn ask(&mut self) {
        self.asks = self.asks.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
