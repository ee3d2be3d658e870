//! A simulated backend: what the scripts do, in the plainest words.

use std::collections::BTreeMap;

use tollgate_core::lease::exchange::{Ask, Batch, BucketName, Grant, Life, Reply, SETTLING, SharedLimit};
use tollgate_core::{Algorithm, Nanos, Window};

/// A shared bucket. Of windows, `spent` is what was used in the present one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    spent: f64,
    /// Used in the window before.
    before: f64,
    /// Microseconds.
    at: u64,
    /// Microseconds; 0 if it is not blocked.
    blocked_until: u64,
}

impl Bucket {
    fn fresh(now: u64) -> Self {
        Self { spent: 0.0, before: 0.0, at: now, blocked_until: 0 }
    }
}

#[derive(Debug, Clone, Default)]
struct Tag {
    life: Option<Life>,
    settles: u64,
    last: u64,
    replies: BTreeMap<u64, (u64, Reply)>,
    buckets: BTreeMap<BucketName, Bucket>,
}

/// A backend, by tag. A copy of it is a replica: to put it back is what a failover does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backend {
    tags: BTreeMap<u8, Tag>,
}

/// A batch has come after a later one.
#[derive(Debug)]
pub(crate) struct Superseded;

impl Backend {
    /// Everything is lost.
    pub(crate) fn wipe(&mut self) {
        self.tags.clear();
    }

    /// Executes a batch at a time in microseconds; a life that begins has this id.
    pub(crate) fn execute(&mut self, batch: &Batch, time: u64, id: u64) -> Result<Reply, Superseded> {
        let tag = self.tags.entry(batch.tag).or_default();
        match tag.replies.get(&batch.instance) {
            Some((sequence, reply)) if *sequence == batch.sequence => return Ok(reply.clone()),
            Some((sequence, _)) if *sequence > batch.sequence => return Err(Superseded),
            _ => {}
        }
        let now = time.max(tag.last);
        let forgot = batch.seen.is_some_and(|seen| !tag.life.is_some_and(|life| life.continues(&seen)));
        let life = match tag.life {
            // One that fell back is over: everybody has to tell what is known.
            Some(life) if !(forgot && batch.seen.is_some_and(|seen| seen.id == life.id)) => life,
            _ => {
                tag.settles = 0;
                Life { id, count: 0 }
            }
        };
        // It may have begun with one who had seen nothing, and so had nothing to tell.
        if forgot && tag.settles == 0 {
            tag.settles = now + SETTLING.get() / 1000;
        }
        let life = Life { count: life.count + 1, ..life };
        (tag.life, tag.last) = (Some(life), now);
        let settling = tag.settles.saturating_sub(now);
        let grants = batch
            .asks
            .iter()
            .map(|ask| {
                let bucket = tag.buckets.entry(ask.name).or_insert(Bucket::fresh(now));
                execute(bucket, ask, forgot, settling > 0, batch.instances, now)
            })
            .collect();
        let reply = Reply { life, now, settling: Nanos::new(settling * 1000), grants };
        tag.replies.insert(batch.instance, (batch.sequence, reply.clone()));
        Ok(reply)
    }
}

fn execute(bucket: &mut Bucket, ask: &Ask, forgot: bool, settling: bool, instances: u32, now: u64) -> Grant {
    let limit = &ask.limit;
    let windowed = limit.algorithm != Algorithm::TokenBucket;
    advance(bucket, limit, now);
    if let Some(floor) = ask.floor.filter(|floor| forgot && (!windowed || floor.ends > Nanos::ZERO)) {
        bucket.spent += (floor.spent - total(bucket, limit, now)).max(0.0);
    }
    if ask.reset {
        *bucket = Bucket::fresh(now);
    }
    if let Some(time) = ask.block {
        bucket.blocked_until = if time == Nanos::ZERO { 0 } else { now + time.get() / 1000 };
    }
    give_back(bucket, limit, ask.unspent as f64, ask.leased_at, now);
    give(bucket, limit, ask.credit as f64, now);
    let capacity = limit.capacity as f64;
    bucket.spent += (ask.debit as f64).min((2.0 * capacity - total(bucket, limit, now)).max(0.0));
    let blocked = bucket.blocked_until.saturating_sub(now);
    let room = (capacity - total(bucket, limit, now) + 1e-9).floor().max(0.0) as u64;
    let fair = room / (2 * u64::from(instances));
    let tokens = if settling || blocked > 0 { 0 } else { ask.wanted.min(room).min(ask.waiting.max(fair)) };
    bucket.spent += tokens as f64;
    let spent = total(bucket, limit, now);
    let left = window_end(limit, now).map(|end| end - now);
    let wait = match left {
        _ if capacity - spent + 1e-9 >= 1.0 => 0,
        Some(left) => left,
        None => (((spent - capacity + 1.0) / rate(limit)).ceil() as u64).max(1),
    };
    Grant {
        tokens,
        spent,
        wait: Nanos::new(wait * 1000),
        ends: left.map(|left| Nanos::new(left * 1000)),
        blocked: Nanos::new(blocked * 1000),
    }
}

/// Tokens in a microsecond.
fn rate(limit: &SharedLimit) -> f64 {
    limit.quota as f64 / (limit.window.shortest().get() as f64 / 1000.0)
}

fn window_end(limit: &SharedLimit, now: u64) -> Option<u64> {
    (limit.algorithm != Algorithm::TokenBucket).then(|| limit.window.end(Nanos::new(now * 1000)).get() / 1000)
}

fn index(window: Window, micros: u64) -> u64 {
    window.index(Nanos::new(micros * 1000))
}

fn advance(bucket: &mut Bucket, limit: &SharedLimit, now: u64) {
    let passed = now - bucket.at.min(now);
    match limit.algorithm {
        Algorithm::TokenBucket => bucket.spent = (bucket.spent - rate(limit) * passed as f64).max(0.0),
        Algorithm::FixedWindow => {
            let windows = index(limit.window, now) - index(limit.window, bucket.at);
            for _ in 0..windows.min(4) {
                bucket.spent = (bucket.spent - limit.capacity as f64).max(0.0);
            }
        }
        _ => match index(limit.window, now) - index(limit.window, bucket.at) {
            0 => {}
            1 => (bucket.before, bucket.spent) = (bucket.spent, 0.0),
            _ => (bucket.before, bucket.spent) = (0.0, 0.0),
        },
    }
    bucket.at = now;
}

/// All that is spent.
fn total(bucket: &Bucket, limit: &SharedLimit, now: u64) -> f64 {
    let sliding = limit.algorithm == Algorithm::SlidingWindow;
    bucket.spent + if sliding { bucket.before * weight(limit, now) } else { 0.0 }
}

/// What the window before still weighs: as much as is left of the present one.
fn weight(limit: &SharedLimit, now: u64) -> f64 {
    let left = window_end(limit, now).map_or(0, |end| end - now);
    left as f64 / (limit.window.length(Nanos::new(now * 1000)).get() as f64 / 1000.0)
}

/// Gives tokens, from the present window first: never more than a full bucket.
fn give(bucket: &mut Bucket, limit: &SharedLimit, tokens: f64, now: u64) {
    let beyond = (tokens - bucket.spent).max(0.0);
    bucket.spent = (bucket.spent - tokens).max(0.0);
    if limit.algorithm == Algorithm::SlidingWindow {
        bucket.before = (bucket.before - beyond / weight(limit, now)).max(0.0);
    }
}

/// Gives leased tokens back, less what has been refilled since.
fn give_back(bucket: &mut Bucket, limit: &SharedLimit, tokens: f64, leased_at: u64, now: u64) {
    let then = index(limit.window, leased_at);
    match limit.algorithm {
        Algorithm::TokenBucket => {
            let refilled = rate(limit) * now.saturating_sub(leased_at) as f64;
            bucket.spent = (bucket.spent - (tokens - refilled).max(0.0)).max(0.0);
        }
        _ if then == index(limit.window, now) => bucket.spent = (bucket.spent - tokens).max(0.0),
        Algorithm::SlidingWindow if then + 1 == index(limit.window, now) => {
            bucket.before = (bucket.before - tokens).max(0.0);
        }
        _ => {}
    }
}
