//! How much of a bucket an instance spends in an interval.

use crate::Nanos;

/// How often one bucket may be asked for in an interval: who runs dry once more waits for the next.
const MOST_ASKS: u8 = 8;

/// Tokens spent in the present interval and in the two before it.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    began: Nanos,
    spent: [u64; 3],
    asks: u8,
}

impl Demand {
    /// Goes on to the interval that holds `now`.
    pub(crate) fn advance(&mut self, now: Nanos, interval: Nanos) {
        let passed = now.since(self.began).get() / interval.get().max(1);
        if passed == 0 {
            return;
        }
        let [present, before, _] = self.spent;
        self.spent = match passed {
            1 => [0, present, before],
            2 => [0, 0, present],
            _ => [0; 3],
        };
        self.asks = 0;
        let quiet = self.spent == [0; 3];
        self.began = if quiet { now } else { self.began + Nanos::new(interval.get() * passed) };
    }

    pub(crate) fn spend(&mut self, tokens: u64) {
        self.spent[0] = self.spent[0].saturating_add(tokens);
    }

    /// Tokens that were spent in the last two intervals, as far as is known: of the third, as much as is not over yet.
    pub(crate) fn of_two_intervals(&self, now: Nanos, interval: Nanos) -> u64 {
        let [present, before, first] = self.spent;
        let interval = interval.get().max(1);
        let left = interval.saturating_sub(now.since(self.began).get());
        let part = u128::from(first) * u128::from(left) / u128::from(interval);
        present.saturating_add(before).saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
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
