//! The typed array in which JavaScript leaves numbers for a call, and a call leaves its decision. No object is
//! created for a decision here, and no number crosses the boundary as a handle.

use napi::bindgen_prelude::Float64Array;
use tollgate_core::{Applied, Decision, Gate, Nanos, Outcome, Ruling};

use crate::clock;
use crate::error::{Error, config};

/// Outcomes that only this side of the boundary knows.
pub const INVALID_TENANT: i32 = -1;
pub const INVALID_COST: i32 = -2;
pub const CLOSED: i32 = -3;
/// The policy is not the one that JavaScript has read: it looks again at what a decision needs of a request.
pub const STALE: i32 = -4;
/// A limit on concurrency has no tokens to give or take.
pub const NO_TOKENS: i32 = -5;

/// No lease is held yet.
const PENDING: i32 = 9;

/// 2^53 - 1: the largest integer that a JavaScript number holds exactly.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Numbers in the ledger for each limit that applied: the rule (-1 for the tenant's quota), the code of the outcome (and 100, if
/// it is a shadow rule), and then quota, capacity, remaining, reset, retry and window as below.
const EACH: usize = 8;
/// The answer's length, in numbers.
const LENGTH: usize = 19;

/// | index | direction | meaning                                                              |
/// |-------|-----------|----------------------------------------------------------------------|
/// | 0     | in        | the cost, in tokens                                                  |
/// | 1     | in        | the time, in milliseconds; NaN for the system's monotonic clock      |
/// | 2     | out       | the quota of the limit that decided; Infinity if there is none       |
/// | 3     | out       | tokens in a full bucket; Infinity if there is no limit               |
/// | 4     | out       | whole tokens left                                                    |
/// | 5     | out       | milliseconds until the bucket is full                                |
/// | 6     | out       | milliseconds until it would be admitted; Infinity if never           |
/// | 7     | out       | what the hot call came to: an outcome, or why it decided nothing     |
/// | 8     | in        | the number of the limiter that a hot call is for                     |
/// | 9     | out       | the window of the limit that decided, in milliseconds                |
/// | 10    | in        | the generation of the policy that JavaScript has read                |
/// | 11    | in        | the code of the request's method                                     |
/// | 12    | in        | flags: see [`Asked`]                                                 |
/// | 13    | in        | the rule that is charged whether it matches or not; -1 for none      |
/// | 14    | out       | how many limits applied                                              |
/// | 15    | out       | the ticket by which what was charged is given back; 0 for none       |
/// | 16    | out       | which of those that applied decided; -1 for none                     |
/// | 17    | in        | where in the ledger the limits that applied are left, [`EACH`] numbers each |
/// | 18    | out       | the number of the answer that a pending decision awaits              |
pub struct Answer {
    numbers: Float64Array,
    /// Where many decisions leave what each limit said, one after another, so that JavaScript need not copy it.
    ledger: Float64Array,
}

impl TryFrom<Float64Array> for Answer {
    type Error = Error;

    fn try_from(array: Float64Array) -> Result<Self, Error> {
        if array.len() == LENGTH {
            Ok(Self { numbers: array, ledger: Float64Array::new(Vec::new()) })
        } else {
            Err(config(format!("answer: {} numbers; accepted are {LENGTH}", array.len())))
        }
    }
}

impl Answer {
    fn read(&self, index: usize) -> f64 {
        self.numbers.get(index).copied().unwrap_or(f64::NAN)
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

    /// Does JavaScript give the time?
    pub fn gives_time(&self) -> bool {
        !self.read(1).is_nan()
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

    /// Leaves the number of the answer that a decision awaits, if it is a pending one; gives its outcome.
    #[inline]
    pub fn leave_awaited(&mut self, outcome: i32, gate: &Gate) -> i32 {
        if outcome == PENDING
            && let [.., awaited] = self.numbers()
        {
            *awaited = number(gate.awaited());
        }
        outcome
    }

    /// Takes another ledger, because the last one is full.
    pub fn set_ledger(&mut self, ledger: Float64Array) {
        self.ledger = ledger;
    }

    #[inline]
    fn numbers(&mut self) -> &mut [f64] {
        // SAFETY: the array was made for this by ts/native.ts, over a buffer of its own that it hands to nobody else; it
        // is read and written on this thread alone, and no JavaScript runs while this slice lives.
        #[expect(unsafe_code, reason = "a typed array's memory is JavaScript's")]
        unsafe {
            self.numbers.as_mut()
        }
    }

    /// The ledger, from where the call wants it written.
    #[inline]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    fn ledger(&mut self) -> &mut [f64] {
        let at = self.read(17) as usize;
        // SAFETY: as the answer's numbers: made by ts/ledger.ts over a buffer of its own. JavaScript reads what earlier calls have
        // left, and writes nothing; this slice begins where they end, and no JavaScript runs while it lives.
        #[expect(unsafe_code, reason = "a typed array's memory is JavaScript's")]
        let ledger = unsafe { self.ledger.as_mut() };
        ledger.get_mut(at..).unwrap_or_default()
    }

    /// What a call asks for, in its flags.
    #[inline]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    pub fn asked(&self) -> Asked {
        Asked(self.read(12) as u32)
    }

    /// The generation that JavaScript has read.
    #[inline]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    pub fn generation(&self) -> u64 {
        self.read(10) as u64
    }

    /// The code of the request's method.
    #[inline]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    pub fn method(&self) -> u8 {
        self.read(11) as u8
    }

    /// The rule that is charged whether it matches or not.
    #[inline]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    pub fn rule(&self) -> Option<u16> {
        let rule = self.read(13);
        (0.0..f64::from(u16::MAX)).contains(&rule).then_some(rule as u16)
    }

    /// Leaves a decision that one limit made, or none; gives the code of its outcome.
    #[inline]
    pub fn leave(&mut self, decision: &Decision) -> i32 {
        let numbers = Numbers::of(decision);
        let array = self.numbers();
        if let [_, _, quota, capacity, remaining, reset, retry, _, _, window, ..] = array {
            *quota = numbers.quota;
            *capacity = numbers.capacity;
            *remaining = numbers.remaining;
            *reset = numbers.reset;
            *retry = numbers.retry;
            *window = numbers.window;
        }
        code(decision.outcome)
    }

    /// Leaves a ruling, and the ticket for what it charged; gives the code of the whole request's outcome.
    #[inline]
    pub fn leave_ruling(&mut self, ruling: &Ruling, ticket: f64) -> i32 {
        let outcome = self.leave(ruling.decision());
        let (mut count, mut decisive) = (0, -1.0);
        let limits = ruling.applied().iter().filter(|each| each.decision.outcome != Outcome::Unlimited);
        for (applied, place) in limits.zip(self.ledger().chunks_exact_mut(EACH)) {
            if ruling.decisive().is_some_and(|decisive| std::ptr::eq(decisive, applied)) {
                decisive = f64::from(count);
            }
            write(applied, place);
            count += 1;
        }
        if let [.., left_count, left_ticket, left_decisive, _, _] = self.numbers() {
            *left_count = f64::from(count);
            *left_ticket = ticket;
            *left_decisive = decisive;
        }
        outcome
    }
}

/// What a call asks for besides a decision.
#[derive(Debug, Clone, Copy)]
pub struct Asked(u32);

impl Asked {
    /// The name is that of a client without a tenant.
    pub fn anonymous(self) -> bool {
        self.0 & 1 != 0
    }

    /// The tenant's quota, and what matches, was charged before: the named rule alone.
    pub fn rule_alone(self) -> bool {
        self.0 & 2 != 0
    }

    /// It asks for the last time: no lease is waited for any more.
    pub fn last_word(self) -> bool {
        self.0 & 8 != 0
    }

    /// A ticket for all that is charged, and not for slots alone.
    pub fn ticket(self) -> bool {
        self.0 & 4 != 0
    }
}

fn code(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Ok => 0,
        Outcome::Quota => 1,
        Outcome::Blocked => 2,
        Outcome::Denied => 3,
        Outcome::Overflow => 4,
        Outcome::Unlimited => 5,
        Outcome::Unknown => 6,
        Outcome::Concurrency => 7,
        Outcome::Refused => 8,
        Outcome::Pending => PENDING,
        Outcome::Backend => 10,
    }
}

#[inline]
fn write(applied: &Applied, place: &mut [f64]) {
    let numbers = Numbers::of(&applied.decision);
    if let [rule, outcome, quota, capacity, remaining, reset, retry, window] = place {
        *rule = applied.rule.map_or(-1.0, f64::from);
        *outcome = f64::from(code(applied.decision.outcome) + if applied.shadow { 100 } else { 0 });
        *quota = numbers.quota;
        *capacity = numbers.capacity;
        *remaining = numbers.remaining;
        *reset = numbers.reset;
        *retry = numbers.retry;
        *window = numbers.window;
    }
}

/// A decision in JavaScript's numbers.
struct Numbers {
    quota: f64,
    capacity: f64,
    remaining: f64,
    reset: f64,
    retry: f64,
    window: f64,
}

impl Numbers {
    #[inline]
    fn of(decision: &Decision) -> Self {
        let unlimited = decision.outcome == Outcome::Unlimited;
        Self {
            quota: if decision.quota == u64::MAX { f64::INFINITY } else { number(decision.quota) },
            capacity: if unlimited { f64::INFINITY } else { number(decision.capacity) },
            remaining: if unlimited { f64::INFINITY } else { number(decision.remaining) },
            reset: number(decision.reset.as_millis_ceil()),
            retry: decision.retry.map_or(f64::INFINITY, |wait| number(wait.as_millis_ceil())),
            window: number(decision.window.as_millis_ceil()),
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
