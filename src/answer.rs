//! The typed array in which JavaScript leaves numbers for a call, and a call leaves its decision. No object is
//! created for a decision here, and no number crosses the boundary as a handle.

use napi::bindgen_prelude::Float64Array;
use tollgate_core::{Decision, Nanos, Outcome};

use crate::clock;
use crate::error::{Error, config};

/// Its length, in numbers.
const LENGTH: usize = 10;

/// Outcomes that only this side of the boundary knows.
pub const INVALID_TENANT: i32 = -1;
pub const INVALID_COST: i32 = -2;
pub const CLOSED: i32 = -3;

/// 2^53 - 1: the largest integer that a JavaScript number holds exactly.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// | index | direction | meaning                                                          |
/// |-------|-----------|------------------------------------------------------------------|
/// | 0     | in        | the cost, in tokens                                              |
/// | 1     | in        | the time, in milliseconds; NaN for the system's monotonic clock  |
/// | 2     | out       | the quota of the limit that applied; Infinity if there is none   |
/// | 3     | out       | tokens in a full bucket; Infinity if there is no limit           |
/// | 4     | out       | whole tokens left                                                |
/// | 5     | out       | milliseconds until the bucket is full                            |
/// | 6     | out       | milliseconds until it would be admitted; Infinity if never       |
/// | 7     | out       | what the hot call came to: an outcome, or why it decided nothing |
/// | 8     | in        | the number of the limiter that a hot call is for                 |
/// | 9     | out       | the window of the limit that applied, in milliseconds            |
pub struct Answer(Float64Array);

impl TryFrom<Float64Array> for Answer {
    type Error = Error;

    fn try_from(array: Float64Array) -> Result<Self, Error> {
        if array.len() == LENGTH {
            Ok(Self(array))
        } else {
            Err(config(format!("answer: {} numbers; accepted are {LENGTH}", array.len())))
        }
    }
}

impl Answer {
    fn read(&self, index: usize) -> f64 {
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }

    /// The cost, or `None` if it is not a whole number of tokens.
    #[inline]
    pub fn cost(&self) -> Option<u64> {
        tokens(self.read(0))
    }

    /// The limiter; a number that none has, if it is not a number of a limiter at all.
    #[inline]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    pub fn limiter(&self) -> usize {
        match self.read(8) {
            number if number >= 0.0 => number as usize,
            _ => usize::MAX,
        }
    }

    /// The time.
    #[inline]
    pub fn now(&self) -> Nanos {
        clock::at(self.read(1))
    }

    /// Leaves what the hot call came to. It returns nothing: making a number for JavaScript costs as much as a tenth of
    /// the call.
    #[inline]
    pub fn leave_outcome(&mut self, outcome: i32) {
        if let [_, _, _, _, _, _, _, left, ..] = self.numbers() {
            *left = f64::from(outcome);
        }
    }

    #[inline]
    fn numbers(&mut self) -> &mut [f64] {
        // SAFETY: the array was made for this by ts/native.ts, over a buffer of its own that it hands to nobody else; it
        // is read and written on this thread alone, and no JavaScript runs while this slice lives.
        #[expect(unsafe_code, reason = "a typed array's memory is JavaScript's")]
        unsafe {
            self.0.as_mut()
        }
    }

    /// Leaves a decision; gives the code of its outcome.
    #[inline]
    pub fn leave(&mut self, decision: &Decision) -> i32 {
        let unlimited = decision.outcome == Outcome::Unlimited;
        if let [_, _, quota, capacity, remaining, reset, retry, _, _, window] = self.numbers() {
            *quota = if decision.quota == u64::MAX { f64::INFINITY } else { number(decision.quota) };
            *window = number(decision.window.as_millis_ceil());
            *capacity = if unlimited { f64::INFINITY } else { number(decision.capacity) };
            *remaining = if unlimited { f64::INFINITY } else { number(decision.remaining) };
            *reset = number(decision.reset.as_millis_ceil());
            *retry = decision.retry.map_or(f64::INFINITY, |wait| number(wait.as_millis_ceil()));
        }
        match decision.outcome {
            Outcome::Ok => 0,
            Outcome::Quota => 1,
            Outcome::Blocked => 2,
            Outcome::Denied => 3,
            Outcome::Overflow => 4,
            Outcome::Unlimited => 5,
            Outcome::Unknown => 6,
        }
    }
}

/// Tokens or milliseconds, below 2^63: from a signed integer the conversion is one instruction, and from two unsigned
/// ones at a time it waits for the stores of both.
#[inline]
fn number(count: u64) -> f64 {
    count.cast_signed() as f64
}

/// A number as tokens, or `None` if it is not a whole number from 0 to 2^53 - 1.
#[inline]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
#[expect(clippy::float_cmp, reason = "a whole number is exactly its own truncation")]
pub fn tokens(number: f64) -> Option<u64> {
    ((0.0..=MAX_SAFE_INTEGER).contains(&number) && number.trunc() == number).then_some(number as u64)
}
