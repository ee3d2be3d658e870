//! What is to be asked of the backends now, put together by tag.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::{Dormant, Fleet, SHARDS, Shard};
use crate::lease::Standing;
use crate::lease::exchange::{Ask, Batch, MOST_ASKS};
use crate::lease::record::Record;
use crate::{Gate, Key, Nanos};

/// Why it is asked what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Something is urgent.
    Urgent,
    /// Another interval has passed.
    Tick,
    /// This is the last time: all leases are given back.
    Close,
}

/// Asks that are being put together.
struct Asks {
    call: Call,
    by_tag: BTreeMap<u8, TagAsks>,
}

/// Those of one tag.
struct TagAsks {
    /// Is a batch under way, so that another has to wait?
    busy: bool,
    keys: Vec<Key>,
    asks: Vec<Ask>,
    /// Is there something that could not be asked for lack of room?
    left: bool,
}

impl TagAsks {
    /// Does whatever else is to be asked have to wait?
    fn is_full(&self) -> bool {
        self.busy || self.asks.len() >= MOST_ASKS
    }
}

impl Fleet {
    /// Batches that are to be sent now. They stay under way until [`Fleet::answered`], [`Fleet::failed`] or [`Fleet::gave_up`].
    pub fn due(&self, gate: &mut Gate, now: Nanos, call: Call) -> Vec<Batch> {
        gate.catch_up(now);
        let mut asks = Asks { call, by_tag: BTreeMap::new() };
        if call == Call::Urgent {
            let urgent = std::mem::take(&mut *self.urgent.lock());
            for key in urgent {
                if let Some(record) = self.shard(key).lock().awake.get_mut(&key)
                    && !self.ask(record, key, gate, now, &mut asks)
                {
                    self.urgent.lock().push(key);
                }
            }
        } else {
            // All are asked, but those that have to wait for an answer to their tag's last batch, or for room in the next.
            let mut urgent = std::mem::take(&mut *self.urgent.lock());
            for shard in &self.shards {
                self.ask_all(&mut shard.lock(), gate, now, &mut asks);
            }
            urgent.retain(|&key| {
                let shard = self.shard(key).lock();
                let record = shard.awake.get(&key);
                record.and_then(|record| asks.by_tag.get(&record.name().tag())).is_some_and(TagAsks::is_full)
            });
            self.urgent.lock().append(&mut urgent);
            self.sweep_dormant(now);
            for tag in 0..=u8::MAX {
                if !asks.by_tag.contains_key(&tag) && self.tag(tag).lock().has_more_to_say() {
                    asks.by_tag.insert(tag, self.tag_asks(tag));
                }
            }
        }
        asks.by_tag.into_iter().filter_map(|(tag, asks)| self.batch(tag, asks, call, now)).collect()
    }

    fn tag_asks(&self, tag: u8) -> TagAsks {
        let tag = self.tag(tag).lock();
        TagAsks { busy: tag.is_busy(), keys: Vec::new(), asks: Vec::new(), left: false }
    }

    fn ask_all(&self, shard: &mut Shard, gate: &mut Gate, now: Nanos, asks: &mut Asks) {
        let Shard { awake, dormant } = shard;
        awake.retain(|&key, record| {
            self.ask(record, key, gate, now, asks);
            if !record.is_idle(&self.settings, now) {
                return true;
            }
            if let Some(known) = record.knowledge(now) {
                dormant.insert(key, Dormant { name: record.name(), limit: *record.limit(), known });
            }
            false
        });
    }

    /// Asks for one bucket; `false` if that has to wait for an answer to the tag's last batch.
    fn ask(&self, record: &mut Record, key: Key, gate: &mut Gate, now: Nanos, asks: &mut Asks) -> bool {
        let tag = record.name().tag();
        let closing = asks.call == Call::Close;
        let of_tag = asks.by_tag.entry(tag).or_insert_with(|| self.tag_asks(tag));
        let full = of_tag.is_full();
        let standing = if full { Standing::Down } else { self.standing(record, now) };
        let mut hand = gate.hand(key, record.limit().counts_requests_in_flight(), now);
        if let Some(ask) = record.ask(&mut hand, standing, closing, &self.settings, now) {
            of_tag.keys.push(key);
            of_tag.asks.push(ask);
        }
        of_tag.left |= record.is_to_tell();
        !full
    }

    /// The batch of a tag that is to be sent now, if any.
    fn batch(&self, number: u8, asks: TagAsks, call: Call, now: Nanos) -> Option<Batch> {
        let mut tag = self.tag(number).lock();
        if tag.is_down() {
            return None;
        }
        if tag.is_busy() {
            return tag.send_again();
        }
        if call == Call::Tick && tag.is_telling() && asks.asks.is_empty() && !asks.left {
            tag.told();
        }
        if asks.asks.is_empty() && !tag.verifies(now) {
            return None;
        }
        let batch = Batch {
            tag: number,
            instance: self.settings.instance,
            sequence: 0,
            instances: self.instances(),
            time_to_live: self.settings.time_to_live,
            seen: None,
            asks: asks.asks,
        };
        Some(tag.send(batch, asks.keys, now))
    }

    fn sweep_dormant(&self, now: Nanos) {
        let next = self.swept.fetch_add(1, Ordering::Relaxed);
        let shard = usize::try_from(next).unwrap_or_default() % SHARDS;
        let mut shard = self.shards[shard].lock();
        shard.dormant.retain(|_, dormant| dormant.known.spent(&dormant.limit, now) > 0.0);
    }
}
