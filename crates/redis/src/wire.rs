//! A batch as `scripts/exchange.lua` reads it, and its reply as Rust does: doubles, little-endian.
//!
//! Whole numbers are exact up to 2^53, which microseconds since the Unix epoch reach in the year 2255.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "what is more than 2^53 is too much in any case, and casts saturate"
)]

use std::time::Duration;

use thiserror::Error;
use tollgate_core::lease::exchange::{Ask, Batch, Grant, Life, Reply, SETTLING, SharedLimit};
use tollgate_core::{Algorithm, Nanos, Window};

use crate::Namespace;

/// In place of a number that is not there.
const NONE: f64 = -1.0;
/// In place of the length of a window that is a calendar month.
const MONTH: f64 = -1.0;
const DOUBLE: usize = size_of::<f64>();
/// Doubles before the grants of a reply, and in each of them.
const HEAD: usize = 4;
const GRANT: usize = 5;

/// What the script is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The keys that it may touch, all in one slot.
    pub keys: Vec<String>,
    /// The batch itself.
    pub batch: Vec<u8>,
    /// Its asks.
    pub asks: Vec<u8>,
}

impl Call {
    /// A batch, written down. A life that begins with it has this id, which is random and below 2^53.
    #[must_use]
    pub fn new(namespace: &Namespace, batch: &Batch, new_life_id: u64) -> Self {
        let mut keys = Vec::with_capacity(batch.asks.len() + 2);
        keys.push(namespace.life(batch.tag));
        keys.push(namespace.reply(batch.tag, batch.instance));
        keys.extend(batch.asks.iter().map(|ask| namespace.bucket(batch.tag, ask.name)));
        let head = [
            batch.sequence as f64,
            f64::from(batch.instances),
            batch.seen.map_or(NONE, |seen| seen.id as f64),
            batch.seen.map_or(0.0, |seen| seen.count as f64),
            new_life_id as f64,
            micros_up(SETTLING),
            batch.instance as f64,
            micros_up(batch.time_to_live),
        ];
        Self {
            keys,
            batch: bytes(&head),
            asks: batch.asks.iter().flat_map(|ask| bytes(&numbers(ask))).collect(),
        }
    }
}

fn numbers(ask: &Ask) -> [f64; 15] {
    [
        match ask.limit.algorithm {
            Algorithm::TokenBucket => 0.0,
            Algorithm::FixedWindow => 1.0,
            Algorithm::SlidingWindow => 2.0,
            Algorithm::Concurrency => 3.0,
        },
        window(&ask.limit),
        ask.limit.quota as f64,
        ask.limit.capacity as f64,
        ask.floor.map_or(NONE, |floor| floor.spent),
        ask.floor.map_or(0.0, |floor| micros_up(floor.ends)),
        f64::from(u8::from(ask.reset)),
        ask.block.map_or(NONE, micros_up),
        ask.unspent as f64,
        ask.leased_at as f64,
        ask.credit as f64,
        ask.debit as f64,
        ask.held as f64,
        ask.wanted as f64,
        ask.waiting as f64,
    ]
}

/// A token bucket is refilled by the exact time; windows are whole microseconds, which is what a backend's clock counts.
fn window(limit: &SharedLimit) -> f64 {
    match (limit.algorithm, limit.window) {
        (Algorithm::FixedWindow | Algorithm::SlidingWindow, Window::Month) => MONTH,
        (Algorithm::FixedWindow | Algorithm::SlidingWindow, Window::Span(span)) => micros_up(span).max(1.0),
        _ => limit.window.shortest().get().max(1) as f64 / 1000.0,
    }
}

/// Whole microseconds, rounded up.
fn micros_up(time: Nanos) -> f64 {
    time.get().div_ceil(1000) as f64
}

fn bytes(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// For how long a life is kept that nobody asks for, in the script, too.
pub(crate) const LIFE_KEPT: Duration = Duration::from_hours(31 * 24);

/// The state of a tag besides its buckets, as the script keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) life: Life,
    /// When it has settled, and when the last batch was executed, in microseconds.
    pub(crate) settles: u64,
    pub(crate) last: u64,
}

impl State {
    /// One that begins without anything to settle.
    pub(crate) fn begun(id: u64) -> Self {
        Self { life: Life { id, count: 0 }, settles: 0, last: 0 }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self { life: Life { id, count }, settles, last } = *self;
        bytes(&[id as f64, count as f64, settles as f64, last as f64])
    }

    /// `None` if these are no such bytes.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (&[id, count, settles, last], []) = bytes.as_chunks::<DOUBLE>() else { return None };
        let [id, count, settles, last] =
            [id, count, settles, last].map(|double| f64::from_le_bytes(double) as u64);
        Some(Self { life: Life { id, count }, settles, last })
    }
}

/// What came back is no reply to the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a reply to {asks} asks came back as {bytes} bytes, or with a number that is none")]
pub struct NoReply {
    /// How many asks it should answer.
    pub asks: usize,
    /// How long it is.
    pub bytes: usize,
}

/// Reads the reply to a batch of so many asks.
///
/// # Errors
/// See [`NoReply`].
pub fn read(bytes: &[u8], asks: usize) -> Result<Reply, NoReply> {
    let no_reply = NoReply { asks, bytes: bytes.len() };
    let (doubles, rest) = bytes.as_chunks::<DOUBLE>();
    let numbers: Vec<f64> = doubles.iter().map(|&double| f64::from_le_bytes(double)).collect();
    let (Some(([id, count, now, settling], grants)), []) = (numbers.split_first_chunk::<HEAD>(), rest) else {
        return Err(no_reply);
    };
    let (grants, []) = grants.as_chunks::<GRANT>() else { return Err(no_reply) };
    if grants.len() != asks || !numbers.iter().all(|number| number.is_finite()) {
        return Err(no_reply);
    }
    Ok(Reply {
        life: Life { id: *id as u64, count: *count as u64 },
        now: *now as u64,
        settling: nanos(*settling),
        grants: grants.iter().map(grant).collect(),
    })
}

fn grant(&[tokens, spent, wait, ends, blocked]: &[f64; GRANT]) -> Grant {
    Grant {
        tokens: tokens as u64,
        spent,
        wait: nanos(wait),
        ends: (ends >= 0.0).then(|| nanos(ends)),
        blocked: nanos(blocked),
    }
}

fn nanos(micros: f64) -> Nanos {
    Nanos::new((micros as u64).saturating_mul(1000))
}
