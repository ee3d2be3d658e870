//! What `exchange.lua` does, in plain Rust: the naive twin that it is tested against, and a Redis for simulations.
//!
//! It forgets what Redis forgets for good (a wipe, a copy that is put back), but not what Redis lets expire because it means
//! nothing any more: a bucket that is full again is the same here as one that was never there.

mod bucket;
mod slots;

use std::collections::BTreeMap;

use tollgate_core::Nanos;
use tollgate_core::lease::exchange::{Ask, Batch, BucketName, Grant, Life, Reply, SETTLING};

use bucket::Bucket;
use slots::Slots;

/// A state that was told, when so much has passed since, in microseconds, is told anew by whoever misses another one: all move again.
const TOLD: u64 = 3 * SETTLING.get() / 1000;

/// For how long a reply is kept, in microseconds: nobody repeats a batch for longer.
const REPLY_KEPT: u64 = 60_000_000;

/// The batch comes after a later one of the same instance under the same tag, and has not been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a later batch of this instance has been executed")]
pub struct Superseded;

#[derive(Debug, Clone)]
struct Kept {
    sequence: u64,
    reply: Reply,
    /// Microseconds.
    until: u64,
}

/// What a name stands for: one that comes to stand for the other begins anew.
#[derive(Debug, Clone)]
enum Shared {
    Tokens(Bucket),
    Slots(Slots),
}

/// What the asks of a batch have in common.
#[derive(Debug)]
struct Circumstances {
    /// Microseconds since the Unix epoch.
    now: u64,
    /// Is the state that the asker saw last lost, so that its floors are heeded?
    lost: bool,
    settling: bool,
    instances: u32,
    /// Who asks.
    instance: u64,
    /// How long what they hold of requests in flight counts, in microseconds.
    time_to_live: u64,
}

#[derive(Debug, Clone, Default)]
struct Tag {
    life: Option<Life>,
    /// Until then nothing is leased, in microseconds.
    settles: u64,
    /// When the last batch was executed, in microseconds: the clock does not go back behind that.
    last: u64,
    replies: BTreeMap<u64, Kept>,
    buckets: BTreeMap<BucketName, Shared>,
}

/// A Redis. A copy of it is a replica: to put it back is what a failover does.
#[derive(Debug, Clone, Default)]
pub struct Model {
    tags: BTreeMap<u8, Tag>,
}

impl Model {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All is lost.
    pub fn wipe(&mut self) {
        self.tags.clear();
    }

    /// Executes a batch at a time in microseconds since the Unix epoch; a life that begins has this id.
    ///
    /// # Errors
    /// See [`Superseded`].
    pub fn execute(&mut self, batch: &Batch, now_micros: u64, new_life_id: u64) -> Result<Reply, Superseded> {
        let tag = self.tags.entry(batch.tag).or_default();
        match tag.replies.get(&batch.instance).filter(|kept| now_micros < kept.until) {
            Some(kept) if kept.sequence == batch.sequence => return Ok(kept.reply.clone()),
            Some(kept) if kept.sequence > batch.sequence => return Err(Superseded),
            _ => {}
        }
        let reply = tag.execute(batch, now_micros, new_life_id);
        let kept = Kept { sequence: batch.sequence, reply: reply.clone(), until: now_micros + REPLY_KEPT };
        tag.replies.insert(batch.instance, kept);
        Ok(reply)
    }
}

impl Tag {
    fn execute(&mut self, batch: &Batch, time: u64, new_life_id: u64) -> Reply {
        let now = time.max(self.last);
        let lost = match (self.life, batch.seen) {
            (present, Some(seen)) => !present.is_some_and(|present| present.continues(&seen)),
            (_, None) => false,
        };
        let life = match self.life {
            // A life that fell back, because a replica was promoted, is over: all have to tell what they know.
            Some(life) if !(lost && batch.seen.is_some_and(|seen| seen.id == life.id)) => life,
            _ => {
                self.settles = 0;
                Life { id: new_life_id, count: 0 }
            }
        };
        // Whoever misses another state is among the first to tell of it, unless the others have just done so.
        if lost && (self.settles == 0 || now >= self.settles + TOLD) {
            self.settles = now + SETTLING.get() / 1000;
        }
        let life = Life { count: life.count + 1, ..life };
        (self.life, self.last) = (Some(life), now);
        let settling = self.settles.saturating_sub(now);
        let circumstances = Circumstances {
            now,
            lost,
            settling: settling > 0,
            instances: batch.instances,
            instance: batch.instance,
            time_to_live: batch.time_to_live.get().div_ceil(1000),
        };
        let grants =
            batch.asks.iter().map(|ask| self.bucket(ask, now).execute(ask, &circumstances)).collect();
        Reply { life, now, settling: Nanos::new(settling * 1000), grants }
    }

    fn bucket(&mut self, ask: &Ask, now: u64) -> &mut Shared {
        let slots = ask.limit.counts_requests_in_flight();
        let fresh = || {
            if slots {
                Shared::Slots(Slots::default())
            } else {
                Shared::Tokens(Bucket::fresh(ask.limit, now))
            }
        };
        let bucket = self.buckets.entry(ask.name).or_insert_with(fresh);
        if matches!(bucket, Shared::Slots(_)) != slots {
            *bucket = fresh();
        }
        bucket
    }
}

impl Shared {
    fn execute(&mut self, ask: &Ask, circumstances: &Circumstances) -> Grant {
        match self {
            Self::Tokens(bucket) => bucket.execute(ask, circumstances),
            Self::Slots(slots) => slots.execute(ask, circumstances),
        }
    }
}

#[cfg(test)]
mod tests;
