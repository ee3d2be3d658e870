//! The script does what the model does: whatever is asked, by whomever, and however the clock goes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis::Connection;
use tollgate_core::lease::exchange::{
    Ask, Batch, BucketName, Floor, Grant, Life, MOST_PERMITS, Reply, SharedLimit,
};
use tollgate_core::{Algorithm, Nanos, Window};
use tollgate_redis::{Namespace, wire};
use tollgate_redis_model::Model;

mod asks;
mod server;

use server::Server;

/// 2024-02-28T23:00:00Z in microseconds: an hour before a leap day, a day and an hour before a month ends.
const START: u64 = 1_709_161_200_000_000;
const SECOND: u64 = 1_000_000;
const TIME_TO_LIVE: Nanos = Nanos::from_millis(1500);

#[derive(Debug, Clone)]
enum Step {
    /// In microseconds.
    Passes(u64),
    /// The server's clock is set back.
    GoesBack(u64),
    Asks {
        instance: u64,
        instances: u32,
        seen: Seen,
        asks: Vec<Ask>,
    },
    /// Of this instance, the last batch comes again, or one that is older by this.
    Repeats {
        instance: u64,
        older: u64,
    },
    Wipe,
}

/// Which life an instance says it saw last.
#[derive(Debug, Clone, Copy)]
enum Seen {
    None,
    Last,
    /// A state that has been lost since: the count went farther.
    Farther,
    Another,
}

fn limit() -> impl Strategy<Value = SharedLimit> {
    let algorithm = prop_oneof![
        Just(Algorithm::TokenBucket),
        Just(Algorithm::FixedWindow),
        Just(Algorithm::SlidingWindow),
        Just(Algorithm::Concurrency)
    ];
    let quota = prop_oneof![1..4_u64, 1..200_u64, 1..1_000_000_u64];
    let window = prop_oneof![
        1 => Just(Window::Span(Nanos::new(1_500))),
        2 => Just(Window::Span(Nanos::from_millis(7))),
        3 => Just(Window::Span(Nanos::from_secs(1))),
        3 => Just(Window::Span(Nanos::from_secs(60))),
        1 => Just(Window::Span(Nanos::from_secs(86_400))),
        1 => Just(Window::Month),
    ];
    (algorithm, quota, prop_oneof![Just(0), 0..100_u64], window).prop_map(
        |(algorithm, quota, burst, window)| match algorithm {
            Algorithm::Concurrency => SharedLimit::concurrency((quota + burst).min(MOST_PERMITS)),
            _ => SharedLimit { algorithm, quota, capacity: quota + burst, window },
        },
    )
}

/// Times that windows and leases are of, in microseconds.
fn time() -> BoxedStrategy<u64> {
    prop_oneof![0..10_u64, 0..10_000_u64, 0..SECOND * 3 / 2, 0..90 * SECOND].boxed()
}

fn ask(limits: Vec<SharedLimit>) -> impl Strategy<Value = Ask> {
    let rarely = |strategy: BoxedStrategy<u64>| prop_oneof![2 => Just(0_u64), 1 => strategy];
    let tokens = || prop_oneof![0..5_u64, 0..300_u64, 0..2_000_000_u64].boxed();
    let floor = (0.0..500.0_f64, prop_oneof![Just(0), 1..1_000_000_000_u64])
        .prop_map(|(spent, ends)| Floor { spent, ends: Nanos::new(ends) });
    let block = prop_oneof![Just(0), Just(1), 1..5_000_000_000_u64].prop_map(Nanos::new);
    (
        (0..2_u8, proptest::sample::select(limits), proptest::option::of(floor)),
        (proptest::bool::weighted(0.05), proptest::option::weighted(0.1, block)),
        (rarely(tokens()), time(), rarely(tokens()), rarely(tokens()), rarely(tokens()), tokens(), tokens()),
    )
        .prop_map(
            |((name, limit, floor), (reset, block), (unspent, age, credit, debit, held, wanted, waiting))| {
                let name = BucketName([name; 16]);
                // The age of a lease, until the clock is known.
                let leased_at = age;
                Ask {
                    name,
                    limit,
                    floor,
                    reset,
                    block,
                    unspent,
                    leased_at,
                    credit,
                    debit,
                    held,
                    wanted,
                    waiting,
                }
            },
        )
}

fn step(limits: Vec<SharedLimit>) -> impl Strategy<Value = Step> {
    let seen = prop_oneof![
        1 => Just(Seen::None),
        20 => Just(Seen::Last),
        1 => Just(Seen::Farther),
        1 => Just(Seen::Another)
    ];
    let asks = proptest::collection::vec(ask(limits), 0..4);
    let passes = prop_oneof![
        6 => time(),
        1 => 0..3 * 86_400 * SECOND,
        1 => 0..100 * 86_400 * SECOND
    ];
    prop_oneof![
        6 => passes.prop_map(Step::Passes),
        1 => (0..100 * SECOND).prop_map(Step::GoesBack),
        16 => (0..3_u64, 1..6_u32, seen, asks)
            .prop_map(|(instance, instances, seen, asks)| Step::Asks { instance, instances, seen, asks }),
        2 => (0..3_u64, 0..2_u64).prop_map(|(instance, older)| Step::Repeats { instance, older }),
        1 => Just(Step::Wipe),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(limit(), 1..4)
        .prop_flat_map(|limits| proptest::collection::vec(step(limits), 1..40))
}

/// A server whose scripts go by a clock of ours, and the model of it.
struct Twins {
    connection: Connection,
    script: String,
    model: Model,
    clock: u64,
    lives: u64,
    last: BTreeMap<u64, Batch>,
    seen: BTreeMap<u64, Life>,
    /// When each instance had a reply that was not a repeat.
    replied: BTreeMap<u64, u64>,
}

impl Twins {
    fn new(server: &Server) -> Self {
        let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
        let source = include_str!("../scripts/exchange.lua");
        assert_eq!(source.matches("redis.call('TIME')").count(), 1);
        Self {
            connection: client.get_connection().unwrap(),
            script: source.replace("redis.call('TIME')", "{ ARGV[3], ARGV[4] }"),
            model: Model::new(),
            clock: START,
            lives: 0,
            last: BTreeMap::new(),
            seen: BTreeMap::new(),
            replied: BTreeMap::new(),
        }
    }

    fn begin(&mut self) {
        self.wipe();
        (self.clock, self.lives) = (START, 0);
        self.last.clear();
        self.seen.clear();
    }

    fn wipe(&mut self) {
        redis::cmd("FLUSHDB").exec(&mut self.connection).unwrap();
        self.replied.clear();
        self.model.wipe();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Passes(time) => self.clock += time,
            Step::GoesBack(time) => self.clock -= time,
            Step::Wipe => self.wipe(),
            Step::Repeats { instance, older } => {
                let Some(mut batch) = self.last.get(&instance).cloned() else { return };
                batch.sequence -= older.min(batch.sequence - 1);
                self.execute(&batch);
            }
            Step::Asks { instance, instances, seen, mut asks } => {
                for ask in &mut asks {
                    ask.leased_at = self.clock - ask.leased_at;
                }
                let last = self.seen.get(&instance).copied();
                let seen = match seen {
                    Seen::None => None,
                    Seen::Last => last,
                    Seen::Farther => last.map(|life| Life { count: life.count + 3, ..life }),
                    Seen::Another => Some(Life { id: 1 << 52, count: 1 }),
                };
                let sequence = self.last.get(&instance).map_or(1, |batch| batch.sequence + 1);
                let batch =
                    Batch { tag: 7, instance, sequence, instances, time_to_live: TIME_TO_LIVE, seen, asks };
                if let Some(reply) = self.execute(&batch) {
                    self.seen.insert(instance, reply.life);
                }
                self.last.insert(instance, batch);
            }
        }
    }

    /// Has both execute it, and compares what they say; gives the reply, unless a later batch came before it.
    fn execute(&mut self, batch: &Batch) -> Option<Reply> {
        self.lives += 1;
        let call = wire::Call::new(&Namespace::new("twins"), batch, self.lives);
        // What the server keeps for a minute it keeps by its own clock, which does not go along.
        let replied = self.replied.get(&batch.instance).copied();
        let is_repeat = replied.is_some_and(|at| self.clock < at + 60 * SECOND)
            && self.last.get(&batch.instance).is_some_and(|last| last.sequence >= batch.sequence);
        if !is_repeat {
            redis::cmd("DEL").arg(&call.keys[1]).exec(&mut self.connection).unwrap();
            self.replied.insert(batch.instance, self.clock);
        }
        let replied: Result<Vec<u8>, _> = redis::cmd("EVAL")
            .arg(&self.script)
            .arg(call.keys.len())
            .arg(&call.keys)
            .arg(call.batch)
            .arg(call.asks)
            .arg(self.clock / SECOND)
            .arg(self.clock % SECOND)
            .query(&mut self.connection);
        let expected = self.model.execute(batch, self.clock, self.lives);
        match (replied, expected) {
            (Ok(bytes), Ok(expected)) => {
                let reply = wire::read(&bytes, batch.asks.len()).unwrap();
                compare(&reply, &expected, batch);
                Some(reply)
            }
            (Err(error), Err(_)) if error.code() == Some("SUPERSEDED") => None,
            (replied, expected) => panic!("{replied:?} instead of {expected:?}"),
        }
    }
}

fn compare(reply: &Reply, expected: &Reply, batch: &Batch) {
    assert_eq!(
        (reply.life, reply.now, reply.settling, reply.grants.len()),
        (expected.life, expected.now, expected.settling, expected.grants.len()),
        "{batch:#?}"
    );
    for (grant, expected) in reply.grants.iter().zip(&expected.grants) {
        let exactly = |grant: &Grant| (grant.tokens, grant.ends, grant.blocked);
        let close = (grant.spent - expected.spent).abs() < 1e-6
            // A fraction of a token that is off by a rounding may be a microsecond.
            && grant.wait.get().abs_diff(expected.wait.get()) <= 1_000;
        assert!(
            exactly(grant) == exactly(expected) && close,
            "{grant:#?} instead of {expected:#?} of {batch:#?}"
        );
    }
}

#[test]
fn the_script_does_what_the_model_does() {
    let server = Server::start();
    let mut twins = Twins::new(&server);
    let configuration = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let twins = std::cell::RefCell::new(&mut twins);
    TestRunner::new(configuration)
        .run(&steps(), |steps| {
            let mut twins = twins.borrow_mut();
            twins.begin();
            for step in steps {
                twins.take(step);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_limit_gives_way_to_every_other() {
    let server = Server::start();
    let mut twins = Twins::new(&server);
    let algorithms = [Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow];
    let windows = [Window::Span(Nanos::from_secs(1)), Window::Span(Nanos::from_secs(60)), Window::Month];
    let limits: Vec<SharedLimit> = algorithms
        .into_iter()
        .flat_map(|algorithm| windows.map(|window| (algorithm, window)))
        .flat_map(|(algorithm, window)| {
            [10, 100].map(|quota| SharedLimit { algorithm, quota, capacity: quota, window })
        })
        .collect();
    for (&one, &other) in limits.iter().flat_map(|one| limits.iter().map(move |other| (one, other))) {
        twins.begin();
        // In and out of windows of a second and of a minute.
        let passing = [400_000, 700_000, 900_000, 45 * SECOND, 61 * SECOND];
        for (limit, passes) in [one, other, one, other, other].into_iter().zip(passing) {
            let wanted = limit.capacity * 2 / 3;
            let ask = Ask { limit, debit: 1, ..asks::ask(asks::bucket(7), wanted) };
            twins.take(Step::Asks { instance: 1, instances: 1, seen: Seen::Last, asks: vec![ask] });
            twins.take(Step::Passes(passes));
        }
    }
}
