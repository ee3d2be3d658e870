//! How many instances live, as a backend tells that may have forgotten them.
//!
//! Whoever finds itself forgotten is among the first to come back: until all others have had the time to, they are counted as before.
//! Otherwise each instance would take the whole limit for its share.

use std::time::{Duration, Instant};

use crate::registry::Beat;

#[derive(Debug, Default)]
pub(crate) struct Census {
    count: u32,
    /// How many there were when the backend was found to have forgotten this one, and when that was.
    forgotten: Option<(u32, Instant)>,
}

impl Census {
    /// A beat has been answered; gives how many live. Whoever is not back after a time is taken for dead.
    pub(crate) fn hear(&mut self, beat: Beat, now: Instant, time_to_return: Duration) -> u32 {
        if !beat.known {
            self.forgotten = Some((self.count, now));
        }
        self.forgotten = self.forgotten.filter(|(_, since)| now < *since + time_to_return);
        self.count = self.forgotten.map_or(0, |(before, _)| before).max(beat.instances);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_were_forgotten_count_until_they_had_the_time_to_come_back() {
        let (mut census, start) = (Census::default(), Instant::now());
        let mut hear = |instances, known, seconds| {
            let now = start + Duration::from_secs(seconds);
            census.hear(Beat { instances, known }, now, Duration::from_secs(3))
        };
        assert_eq!(hear(1, false, 0), 1);
        assert_eq!(hear(4, true, 1), 4);
        assert_eq!(hear(1, false, 10), 4);
        assert_eq!(hear(2, true, 11), 4);
        assert_eq!(hear(5, true, 12), 5);
        assert_eq!(hear(2, true, 13), 2);
    }
}
