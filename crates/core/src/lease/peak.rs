//! How many requests were in flight at once, at most.

use crate::Nanos;

/// The most in the present interval and in the one before.
#[derive(Debug, Default)]
pub(crate) struct Peak {
    began: Nanos,
    present: u64,
    before: u64,
}

impl Peak {
    /// So many have been in flight at once since the last look. What has been may belong to the interval before; it is kept for one
    /// more then.
    pub(crate) fn see(&mut self, in_flight: u64, now: Nanos, interval: Nanos) {
        let passed = now.since(self.began);
        if passed >= interval {
            self.before = if passed < interval + interval { self.present } else { 0 };
            (self.present, self.began) = (0, now);
        }
        self.present = self.present.max(in_flight);
    }

    pub(crate) fn most(&self) -> u64 {
        self.present.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_forgotten_when_two_intervals_have_passed_without_it() {
        let (mut peak, interval) = (Peak::default(), Nanos::from_millis(100));
        let mut seen = |in_flight, millis| {
            peak.see(in_flight, Nanos::from_millis(millis), interval);
            peak.most()
        };
        assert_eq!(seen(7, 1_000), 7);
        assert_eq!(seen(2, 1_050), 7);
        assert_eq!(seen(2, 1_100), 7);
        assert_eq!(seen(1, 1_200), 2);
        assert_eq!(seen(0, 1_500), 0);
    }
}
