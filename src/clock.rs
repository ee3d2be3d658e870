//! The clock: monotonic, from the start of the process.

use std::sync::OnceLock;
use std::time::Instant;

use tollgate_core::Nanos;

static START: OnceLock<Instant> = OnceLock::new();

/// Now, by the system's monotonic clock. 2^64 nanoseconds last 584 years.
pub fn now() -> Nanos {
    let since = START.get_or_init(Instant::now).elapsed();
    Nanos::new(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// An instant that JavaScript gave, in milliseconds of a clock of its own; NaN stands for [`now`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and that is meant"
)]
pub fn at(millis: f64) -> Nanos {
    if millis.is_nan() { now() } else { Nanos::new((millis * 1e6) as u64) }
}
