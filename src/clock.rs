//! The clock: monotonic, from the start of the process.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use tollgate_core::{Epoch, Nanos};

static START: OnceLock<Instant> = OnceLock::new();

/// Now, by the system's monotonic clock. 2^64 nanoseconds last 584 years.
pub fn now() -> Nanos {
    let since = START.get_or_init(Instant::now).elapsed();
    Nanos::new(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// An instant that JavaScript gave, in milliseconds of a clock of its own; NaN stands for [`now`]. Whole milliseconds are
/// exact: as nanoseconds since 1970, a number that large is rounded to 256 of them, and falls short of where a window begins.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and that is meant"
)]
pub fn at(millis: f64) -> Nanos {
    if millis.is_nan() {
        return now();
    }
    let whole = millis as u64;
    let rest = (millis - whole as f64) * 1e6;
    Nanos::new(whole.saturating_mul(1_000_000).saturating_add(rest as u64))
}

/// An instant on both clocks. A clock that JavaScript gives is the wall clock too: its milliseconds count from the Unix
/// epoch, as far as windows are aligned to that.
pub fn epoch(now: Nanos, given: bool) -> Epoch {
    if given {
        return Epoch { monotonic: now, wall: now };
    }
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Epoch { monotonic: now, wall: Nanos::new(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX)) }
}
