//! What an instance admits while the backend is gone: the limit, divided by the number of instances.
//!
//! It begins with this instance's part of what was left when the backend was asked last, so that a bucket that was empty stays
//! empty. Parts of a token add up until they are one: five a minute for sixteen instances is a token in three minutes each.

use super::exchange::SharedLimit;
use super::knowledge::{Knowledge, refilled};
use crate::{Algorithm, Nanos};

/// This instance's part of a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    level: f64,
    at: Nanos,
    /// When the next window begins; `None` for a token bucket.
    ends: Option<Nanos>,
}

impl Share {
    /// A part of what is left, for all that is known, once a `debit` has been made that is still to be told.
    #[expect(clippy::cast_precision_loss, reason = "a debit is no more than what was admitted")]
    pub(crate) fn of(
        limit: &SharedLimit,
        known: Option<&Knowledge>,
        debit: u64,
        instances: u32,
        (now, wall): (Nanos, Nanos),
    ) -> Self {
        let left = capacity(limit) - known.map_or(0.0, |known| known.spent(limit, now)) - debit as f64;
        let level = (left / f64::from(instances)).max(0.0);
        let ends = known.and_then(Knowledge::ends).filter(|&ends| ends > now);
        let ends = windowed(limit).then(|| ends.unwrap_or_else(|| now + left_of_window(limit, wall)));
        Self { level, at: now, ends }
    }

    /// Takes tokens: `cost` and, if they are there, some more for those who come next. `Err`: how long until there are enough.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a level is no more than 2^31"
    )]
    #[expect(clippy::cast_precision_loss, reason = "nor is a cost")]
    pub(crate) fn take(
        &mut self,
        limit: &SharedLimit,
        cost: u64,
        instances: u32,
        now: Nanos,
        wall: Nanos,
    ) -> Result<u64, Nanos> {
        self.advance(limit, instances, now, wall);
        let whole = (self.level + 1e-9) as u64;
        if whole < cost {
            let missing = cost as f64 - self.level;
            let each = refilled(limit, Nanos::from_secs(1)) / f64::from(instances);
            let refill = || Nanos::new((missing / each * 1e9) as u64).max(Nanos::from_millis(1));
            return Err(self.ends.map_or_else(refill, |ends| ends.since(now)));
        }
        let taken = cost.max(whole / 4);
        self.level -= taken as f64;
        Ok(taken)
    }

    fn advance(&mut self, limit: &SharedLimit, instances: u32, now: Nanos, wall: Nanos) {
        let part = capacity(limit) / f64::from(instances);
        // Parts of less than a token add up to one.
        let most = part.max(1.0);
        match self.ends {
            None => {
                let more = refilled(limit, now.since(self.at)) / f64::from(instances);
                self.level = (self.level + more).min(most);
            }
            Some(ends) if now >= ends => {
                self.level = if part < 1.0 { (self.level + part).min(1.0) } else { part };
                self.ends = Some(now + left_of_window(limit, wall));
            }
            Some(_) => {}
        }
        self.at = now;
    }
}

fn windowed(limit: &SharedLimit) -> bool {
    limit.algorithm != Algorithm::TokenBucket
}

fn left_of_window(limit: &SharedLimit, wall: Nanos) -> Nanos {
    limit.window.end(wall).since(wall)
}

#[expect(clippy::cast_precision_loss, reason = "at most 2^31")]
fn capacity(limit: &SharedLimit) -> f64 {
    limit.capacity as f64
}

#[cfg(test)]
mod tests;
