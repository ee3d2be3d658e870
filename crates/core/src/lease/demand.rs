//! How much of a bucket an instance spends in an interval.

use crate::Nanos;

/// How often one bucket may be asked for in an interval: who runs dry once more waits for the next.
const MOST_ASKS: u8 = 8;

/// Tokens spent in the present interval and in the two before it.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    began: Nanos,
    spent: [u64; 3],
    /// When it was looked last what has been spent, and when before that.
    looked: Nanos,
    looked_before: Nanos,
    asks: u8,
}

impl Demand {
    /// Goes on to the interval that holds `now`, at which it is looked what has been spent.
    pub(crate) fn advance(&mut self, now: Nanos, interval: Nanos) {
        (self.looked_before, self.looked) = (self.looked.min(now), now);
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
        self.began = self.began + Nanos::new(interval.get() * passed);
    }

    /// Counts tokens that were spent since it was looked before: evenly, for all that is known. A look that comes late is no reason to
    /// take what was spent in a long time for the demand of a short one.
    pub(crate) fn spend(&mut self, tokens: u64, interval: Nanos) {
        let time = self.looked.since(self.looked_before);
        let mut end = self.looked;
        let mut left = tokens;
        for (place, spent) in self.spent.iter_mut().enumerate() {
            let begin = self.began.get().saturating_sub(interval.get().saturating_mul(place as u64));
            let begin = Nanos::new(begin).max(self.looked_before);
            let part = if begin == self.looked_before {
                left
            } else {
                let part =
                    u128::from(tokens) * u128::from(end.since(begin).get()) / u128::from(time.get().max(1));
                left.min(u64::try_from(part).unwrap_or(u64::MAX))
            };
            *spent = spent.saturating_add(part);
            left -= part;
            end = end.min(begin);
        }
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
