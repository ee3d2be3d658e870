//! All shared buckets of one engine: what requests want of them, what is asked of the backends, and what those answer.
//!
//! Requests come from any thread and hold a lock for a microsecond; the background asks for [`Fleet::due`] batches, sends them,
//! and brings back what came of each. Nothing here knows how they travel, or reads a clock.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::exchange::{BucketName, Life, Reply, SharedLimit, TAGS};
use super::knowledge::{Knowledge, left};
use super::name::Naming;
use super::record::{Answer, Record};
use super::settings::Settings;
use super::tag::{Standing, Tag};
use super::want::{Hand, Lack, Now, Want};
use crate::key::BuildAlreadyHashed;
use crate::{Gate, Key, Nanos};

mod due;

pub use due::Call;

const SHARDS: usize = 256;

/// A bucket that nothing is held of, and of which there is something to know.
#[derive(Debug, Clone, Copy)]
struct Dormant {
    name: BucketName,
    limit: SharedLimit,
    known: Knowledge,
}

#[derive(Debug, Default)]
struct Shard {
    awake: HashMap<Key, Record, BuildAlreadyHashed>,
    dormant: HashMap<Key, Dormant, BuildAlreadyHashed>,
}

/// All shared buckets of one engine.
pub struct Fleet {
    settings: Settings,
    shards: Box<[Mutex<Shard>]>,
    tags: Box<[Mutex<Tag>]>,
    instances: AtomicU32,
    /// Buckets of which something is to be asked at once.
    urgent: Mutex<Vec<Key>>,
    /// Numbers that have been answered.
    news: Mutex<Vec<u64>>,
    numbers: AtomicU64,
    /// Which shard's dormant records are looked at next.
    swept: AtomicU64,
    on_urgent: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Fleet {
    /// No bucket yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            tags: (0..TAGS).map(|_| Mutex::new(Tag::new())).collect(),
            instances: AtomicU32::new(1),
            urgent: Mutex::default(),
            news: Mutex::default(),
            numbers: AtomicU64::new(0),
            swept: AtomicU64::new(0),
            on_urgent: OnceLock::new(),
        }
    }

    /// Begins where another one of this process stands: as much is spent here as is spent there, for all that is known of that. The
    /// backends are told so as if they had lost it. Before anything is asked for.
    pub fn inherit(&self, other: &Self, now: Nanos) {
        for (shard, other) in self.shards.iter().zip(&other.shards) {
            let (mut shard, other) = (shard.lock(), other.lock());
            let awake = other.awake.iter().filter_map(|(&key, record)| {
                let known = record.knowledge(now)?;
                Some((key, Dormant { name: record.name(), limit: *record.limit(), known }))
            });
            shard.dormant.extend(awake);
            shard.dormant.extend(other.dormant.iter().map(|(&key, dormant)| (key, *dormant)));
        }
        // No state goes on from this one.
        let nobodys = Life { id: other.settings.instance, count: u64::MAX >> 11 };
        self.tags.iter().for_each(|tag| tag.lock().miss(nobodys));
    }

    /// How leases are handled.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is called, from any thread, when something is to be asked at once. The first one stays.
    pub fn set_on_urgent(&self, act: impl Fn() + Send + Sync + 'static) {
        let _ = self.on_urgent.set(Box::new(act));
    }

    /// How many instances live, this one among them.
    pub fn set_instances(&self, instances: u32) {
        self.instances.store(instances.max(1), Ordering::Relaxed);
    }

    /// How many instances live, as far as is known.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.instances.load(Ordering::Relaxed)
    }

    /// A request finds too few tokens.
    pub(crate) fn want(
        &self,
        hand: &mut impl Hand,
        key: Key,
        naming: &Naming<'_>,
        lack: &Lack<'_>,
        (now, wall): (Nanos, Nanos),
    ) -> Want {
        let now = Now { monotonic: now, wall, instances: self.instances() };
        let (want, urgent) = self.with_record(key, naming, lack.limit, now.monotonic, |record| {
            let standing = self.standing(record, now.monotonic);
            let want = record.want(hand, lack, standing, &self.settings, &now);
            (want, standing == Standing::Up && record.is_urgent())
        });
        if urgent {
            self.hurry(key);
        }
        want
    }

    /// Does something about a shared bucket that is to be told at once.
    pub(crate) fn tell(
        &self,
        key: Key,
        naming: &Naming<'_>,
        limit: &SharedLimit,
        now: Nanos,
        what: impl FnOnce(&mut Record),
    ) {
        self.with_record(key, naming, limit, now, what);
        self.hurry(key);
    }

    /// Tokens come back that were spent. Nothing comes of it where the bucket is full again by now.
    pub(crate) fn give_back(&self, key: Key, tokens: u64) {
        if let Some(record) = self.wake(&mut self.shard(key).lock(), key) {
            record.give(tokens);
        }
    }

    /// Whole tokens that are left in the shared bucket, for all that is known.
    pub(crate) fn left(&self, key: Key, limit: &SharedLimit, now: Nanos) -> u64 {
        let shard = self.shard(key).lock();
        if let Some(record) = shard.awake.get(&key).filter(|record| record.is_of(limit)) {
            return record.left(limit, now);
        }
        let known = shard.dormant.get(&key).map(|dormant| dormant.known);
        left(limit, known.map_or(0.0, |known| known.spent(limit, now)))
    }

    fn with_record<T>(
        &self,
        key: Key,
        naming: &Naming<'_>,
        limit: &SharedLimit,
        now: Nanos,
        act: impl FnOnce(&mut Record) -> T,
    ) -> T {
        let mut shard = self.shard(key).lock();
        self.wake(&mut shard, key);
        let make = || Record::new(naming.name(), *limit, self.next_number(), None, now);
        // A rule that counts something else by now has another bucket, and nothing is carried over.
        if shard.awake.get(&key).is_some_and(|record| !record.is_of(limit)) {
            shard.awake.remove(&key);
        }
        act(shard.awake.entry(key).or_insert_with(make))
    }

    /// The record of a bucket, if there is something to know of it.
    fn wake<'a>(&self, shard: &'a mut Shard, key: Key) -> Option<&'a mut Record> {
        if !shard.awake.contains_key(&key)
            && let Some(Dormant { name, limit, known }) = shard.dormant.remove(&key)
        {
            let record = Record::new(name, limit, self.next_number(), Some(known), Nanos::ZERO);
            shard.awake.insert(key, record);
        }
        shard.awake.get_mut(&key)
    }

    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits are as good as any")]
    fn shard(&self, key: Key) -> &Mutex<Shard> {
        // There are SHARDS of them.
        &self.shards[key.lo as usize % SHARDS]
    }

    fn tag(&self, tag: u8) -> &Mutex<Tag> {
        &self.tags[usize::from(tag)]
    }

    fn standing(&self, record: &Record, now: Nanos) -> Standing {
        let (tag, pause) = (self.tag(record.name().tag()).lock(), self.settings.pause());
        if record.limit().counts_requests_in_flight() {
            tag.standing_of_permits(now, pause)
        } else {
            tag.standing(now, pause)
        }
    }

    fn hurry(&self, key: Key) {
        self.urgent.lock().push(key);
        if let Some(act) = self.on_urgent.get() {
            act();
        }
    }

    /// Numbers that have been answered since this was asked last.
    #[must_use]
    pub fn take_news(&self) -> Vec<u64> {
        std::mem::take(&mut *self.news.lock())
    }

    /// A batch has been answered.
    pub fn answered(&self, gate: &mut Gate, tag: u8, sequence: u64, reply: &Reply, now: Nanos) {
        let Some(answered) = self.tag(tag).lock().answer(sequence, reply, now) else { return };
        if answered.forgot {
            self.tell_all(tag);
        }
        let mut numbers = Vec::with_capacity(answered.keys.len());
        let answer = Answer { asked: answered.asked, at: reply.now, settles: answered.settles };
        for ((&key, &name), grant) in answered.keys.iter().zip(&answered.names).zip(&reply.grants) {
            let mut shard = self.shard(key).lock();
            if let Some(record) = shard.awake.get_mut(&key).filter(|record| record.name() == name) {
                let mut hand = gate.hand(key, record.limit().counts_requests_in_flight(), now);
                record.answered(&mut hand, grant, answer, &self.settings, now);
                numbers.push(record.number());
            }
        }
        if answered.settles {
            self.announce_awaited(tag);
        }
        self.news.lock().append(&mut numbers);
    }

    /// No answer has come to a batch: it is sent again, so that it is executed once.
    pub fn failed(&self, tag: u8, sequence: u64) {
        self.tag(tag).lock().fail(sequence);
    }

    /// A batch will not be executed any more, or its reply is not on record any more.
    pub fn gave_up(&self, tag: u8, sequence: u64) {
        let Some((batch, keys)) = self.tag(tag).lock().give_up(sequence) else { return };
        for (key, ask) in keys.iter().zip(&batch.asks) {
            let mut shard = self.shard(*key).lock();
            if let Some(record) = shard.awake.get_mut(key).filter(|record| record.name() == ask.name) {
                record.gave_up(ask);
            }
        }
    }

    /// The backend of a tag does not answer: until it does, requests are decided without it.
    pub fn went_down(&self, tag: u8) {
        let before = self.tag(tag).lock().go_down();
        if before != Standing::Down {
            self.announce_awaited(tag);
        }
    }

    /// The backend of a tag answers again, or another one does.
    pub fn came_up(&self, tag: u8) {
        self.tag(tag).lock().come_up();
    }

    /// Is nothing leased under a tag, because its backend has to be told first what is known here?
    #[must_use]
    pub fn is_settling(&self, tag: u8) -> bool {
        self.tag(tag).lock().is_settling()
    }

    /// The backend of a tag may have lost its state: it is asked, whether there is something to ask or not.
    pub fn verify(&self, tag: u8) {
        self.tag(tag).lock().verifying = true;
    }

    /// Every bucket of a tag is to be told of: what has been lost there is known here.
    fn tell_all(&self, tag: u8) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let of_tag = shard.dormant.iter().filter(|(_, dormant)| dormant.name.tag() == tag);
            let asleep: Vec<Key> = of_tag.map(|(&key, _)| key).collect();
            for key in asleep {
                self.wake(&mut shard, key);
            }
            let of_tag = shard.awake.values_mut().filter(|record| record.name().tag() == tag);
            of_tag.for_each(Record::tell);
        }
    }

    /// Whoever waits for a bucket of a tag will have no answer before long.
    fn announce_awaited(&self, tag: u8) {
        let mut numbers = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let of_tag = shard.awake.values().filter(|record| record.name().tag() == tag);
            numbers.extend(of_tag.filter(|record| record.is_awaited()).map(Record::number));
        }
        self.news.lock().append(&mut numbers);
    }
}
