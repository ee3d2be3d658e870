//! The store in a backend and the one in the process do the same, whatever is asked of them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tollgate_redis::control::{Control, Fence, Hint, ImageHash, Refused, Store, Twin, Write, Written};

mod asks;
mod server;

use asks::connect;
use server::Server;

/// Microseconds since the Unix epoch; the backend's clock is another one.
const START: u64 = 1_709_161_200_000_000;
const MINUTE: u64 = 60_000_000;

/// Lives are whole minutes, and what passes is half a minute more: so it is no matter how long a run takes.
#[derive(Debug, Clone)]
enum Step {
    Passes {
        minutes: u64,
    },
    Acquire {
        instance: u64,
        minutes: u64,
    },
    Renew {
        instance: u64,
        fence: usize,
        minutes: u64,
    },
    Release {
        instance: u64,
        fence: usize,
    },
    /// By the token that was given so many turns ago, and a version that is so much behind.
    Write {
        fence: usize,
        behind: u64,
        revision: u64,
        record: u8,
        entries: u8,
    },
    Repeat,
    Confirm,
    Report {
        instance: u64,
        report: u8,
        minutes: u64,
    },
    Retire {
        instance: u64,
    },
    Put {
        image: u8,
        size: usize,
    },
    Forget {
        fence: usize,
        keep: u8,
    },
    Amend {
        revision: u64,
        amendment: u8,
        entries: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let instance = || 0..3_u64;
    let fence = || prop_oneof![6 => Just(0_usize), 1 => 1..3_usize];
    let minutes = || 1..6_u64;
    let behind = prop_oneof![8 => Just(0_u64), 1 => 1..3_u64];
    prop_oneof![
        2 => (0..4_u64).prop_map(|minutes| Step::Passes { minutes }),
        4 => (instance(), minutes()).prop_map(|(instance, minutes)| Step::Acquire { instance, minutes }),
        1 => (instance(), fence(), minutes())
            .prop_map(|(instance, fence, minutes)| Step::Renew { instance, fence, minutes }),
        1 => (instance(), fence()).prop_map(|(instance, fence)| Step::Release { instance, fence }),
        6 => (fence(), behind, 0..3_u64, any::<u8>(), 0..3_u8).prop_map(
            |(fence, behind, revision, record, entries)| Step::Write { fence, behind, revision, record, entries }
        ),
        2 => Just(Step::Repeat),
        1 => Just(Step::Confirm),
        3 => (instance(), any::<u8>(), minutes())
            .prop_map(|(instance, report, minutes)| Step::Report { instance, report, minutes }),
        1 => instance().prop_map(|instance| Step::Retire { instance }),
        1 => (0..3_u8, 0..300_000_usize).prop_map(|(image, size)| Step::Put { image, size }),
        1 => (fence(), 0..4_u8).prop_map(|(fence, keep)| Step::Forget { fence, keep }),
        4 => (0..3_u64, any::<u8>(), 0..3_u8)
            .prop_map(|(revision, amendment, entries)| Step::Amend { revision, amendment, entries }),
    ]
}

struct Pair {
    control: Control,
    twin: Twin,
    clock: u64,
    /// Tokens are of each store's own clock, so they are known by their turn: those of the backend by those of the twin.
    tokens: BTreeMap<Fence, Fence>,
    last: Option<(Write, Write)>,
    written: Option<(Written, Written)>,
}

fn entries(count: u8, of: u8) -> Vec<Vec<u8>> {
    (0..count).map(|number| vec![of, number]).collect()
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_micros(minutes * MINUTE)
}

fn hash(image: u8) -> ImageHash {
    [image; 32]
}

impl Pair {
    /// The tokens that were given so many turns ago.
    fn token(&self, turns: usize) -> (Fence, Fence) {
        let token = self.tokens.iter().rev().nth(turns);
        token.map_or((Fence(1), Fence(1)), |(&twin, &control)| (control, twin))
    }

    /// Both are refused alike.
    fn compare<T>(&self, control: Result<T, Refused>, twin: Result<T, Refused>) -> Option<(T, T)> {
        match (control, twin) {
            (Ok(control), Ok(twin)) => return Some((control, twin)),
            (Err(Refused::StaleFence { newest }), Err(Refused::StaleFence { newest: expected })) => {
                let expected = self.tokens.get(&expected).copied().unwrap_or_default();
                assert_eq!(newest, expected);
            }
            (Err(control), Err(twin)) => assert_eq!(control, twin),
            (Ok(_), Err(refused)) => panic!("only the twin refuses: {refused}"),
            (Err(refused), Ok(_)) => panic!("only the backend refuses: {refused}"),
        }
        None
    }

    fn expect<T: std::fmt::Debug + PartialEq>(&self, control: Result<T, Refused>, twin: Result<T, Refused>) {
        if let Some((control, twin)) = self.compare(control, twin) {
            assert_eq!(control, twin);
        }
    }

    async fn take(&mut self, server: &mut redis::Connection, step: Step) {
        let now = self.clock;
        match step {
            Step::Passes { minutes } => {
                let time = minutes * MINUTE + MINUTE / 2;
                self.clock += time;
                pass(server, time);
            }
            Step::Acquire { instance, minutes: lives } => {
                let control = self.control.acquire(instance, minutes(lives)).await.unwrap();
                let twin = self.twin.acquire(instance, minutes(lives), now);
                assert_eq!(control.is_some(), twin.is_some());
                if let (Some(control), Some(twin)) = (control, twin) {
                    let newest = self.tokens.iter().next_back().map(|(&twin, &control)| (control, twin));
                    assert!(newest.is_none_or(
                        |newest| newest == (control, twin) || newest.0 < control && newest.1 < twin
                    ));
                    self.tokens.insert(twin, control);
                }
            }
            Step::Renew { instance, fence, minutes: lives } => {
                let (control, twin) = self.token(fence);
                let control = self.control.renew(instance, control, minutes(lives)).await.unwrap();
                assert_eq!(control, self.twin.renew(instance, twin, minutes(lives), now));
            }
            Step::Release { instance, fence } => {
                let (control, twin) = self.token(fence);
                let control = self.control.release(instance, control).await.unwrap();
                assert_eq!(control, self.twin.release(instance, twin, now));
            }
            Step::Write { fence, behind, revision, record, entries: count } => {
                let (fence, of_twin) = self.token(fence);
                let version = self.twin.read(now).version.saturating_sub(behind);
                let audit = entries(count, record);
                let write = Write { fence, version, revision, record: vec![record], audit };
                self.write(write.clone(), Write { fence: of_twin, ..write }).await;
            }
            Step::Repeat => {
                if let Some((control, twin)) = self.last.clone() {
                    self.write(control, twin).await;
                }
            }
            Step::Confirm => {
                if let Some((control, twin)) = self.written {
                    let control = self.control.confirm(control, 0, Duration::from_secs(1)).await;
                    self.expect(control, self.twin.confirm(twin));
                }
            }
            Step::Report { instance, report, minutes: lives } => {
                let glance = self.control.report(instance, &[report], minutes(lives)).await.unwrap();
                let mut expected = self.twin.report(instance, &[report], minutes(lives), now);
                expected.now_micros = glance.now_micros;
                assert_eq!(glance, expected);
            }
            Step::Retire { instance } => {
                self.control.retire(instance).await.unwrap();
                self.twin.retire(instance);
            }
            Step::Put { image, size } => {
                let bytes = vec![image; size];
                let control = self.control.put_image(&hash(image), &bytes).await;
                self.expect(control, self.twin.put_image(&hash(image), &bytes));
            }
            Step::Forget { fence, keep } => {
                let (control, twin) = self.token(fence);
                let keep: Vec<ImageHash> = (0..keep).map(hash).collect();
                let control = self.control.forget_images(control, &keep).await;
                self.expect(control, self.twin.forget_images(twin, &keep, now));
            }
            Step::Amend { revision, amendment, entries: count } => {
                let audit = entries(count, amendment);
                let control = self.control.amend(revision, &[amendment], &audit).await;
                self.expect(control, self.twin.amend(revision, &[amendment], &audit, now));
            }
        }
        self.look().await;
    }

    async fn write(&mut self, control: Write, twin: Write) {
        let done = self.control.write(&control).await;
        if let Some(written) = self.compare(done, self.twin.write(&twin, self.clock)) {
            assert_eq!(written.0.version, written.1.version);
            self.written = Some(written);
        }
        self.last = Some((control, twin));
    }

    /// All that can be read is the same.
    async fn look(&self) {
        let snapshot = self.control.read().await.unwrap();
        let mut expected = self.twin.read(self.clock);
        expected.now_micros = snapshot.now_micros;
        if let (Some(lock), Some(expected)) = (snapshot.lock, &mut expected.lock) {
            // The backend's clock goes on.
            let passed = expected.expires_in.checked_sub(lock.expires_in);
            assert!(passed.is_some_and(|passed| passed < minutes(1) / 2));
            assert_eq!(Some(&lock.fence), self.tokens.get(&expected.fence));
            *expected = lock;
        }
        assert_eq!(snapshot, expected);
        let amendments = self.control.amendments(2, 3).await.unwrap();
        assert_eq!(amendments, self.twin.amendments(2, 3));
        for before in [None, Some(5)] {
            let (trail, expected) =
                (self.control.audit(7, before).await.unwrap(), self.twin.audit(7, before));
            assert_eq!((trail.verify(), expected.verify()), (Ok(()), Ok(())));
            assert_eq!((trail.last, trail.is_end), (expected.last, expected.is_end));
            let told = |trail: tollgate_redis::control::Trail| {
                trail.entries.into_iter().map(|entry| (entry.number, entry.bytes)).collect::<Vec<_>>()
            };
            assert_eq!(told(trail), told(expected));
        }
        for image in 0..3 {
            assert!(self.control.image(&hash(image)).await.unwrap() == self.twin.image(&hash(image)));
        }
    }
}

/// So much time passes for what is in the backend: all that ends, ends so much earlier.
fn pass(server: &mut redis::Connection, time: u64) {
    let script = "local ends = redis.call('HGET', KEYS[1], 'ends') \
                  if ends then redis.call('HSET', KEYS[1], 'ends', string.format('%.0f', ends - ARGV[1])) end \
                  for _, instance in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do \
                    redis.call('ZINCRBY', KEYS[2], -ARGV[1], instance) \
                  end";
    let part = |part: &str| format!("tollgate:{{test:fleet}}:{part}");
    let mut command = redis::cmd("EVAL");
    command.arg(script).arg(2).arg(part("lock")).arg(part("reporting")).arg(time);
    command.exec(server).unwrap();
}

#[test]
fn the_store_in_a_backend_does_what_the_one_in_the_process_does() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let control = Control::new(runtime.block_on(connect(&server.address())));
    let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
    let connection = std::cell::RefCell::new(client.get_connection().unwrap());
    let configuration = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(configuration)
        .run(&proptest::collection::vec(step(), 1..60), |steps| {
            let connection = &mut *connection.borrow_mut();
            redis::cmd("FLUSHDB").exec(connection).unwrap();
            let (control, twin) = (control.clone(), Twin::new());
            let mut pair =
                Pair { control, twin, clock: START, tokens: BTreeMap::new(), last: None, written: None };
            for step in steps {
                runtime.block_on(pair.take(connection, step));
            }
            Ok(())
        })
        .unwrap();
}

/// What a caller does who does not know where the store is.
async fn drive(store: Store) {
    let mut hints = store.hints().await.unwrap();
    let fence = store.acquire(1, minutes(1)).await.unwrap().unwrap();
    assert!(store.renew(1, fence, minutes(1)).await.unwrap());
    store.put_image(&hash(1), b"image").await.unwrap();
    let audit = vec![b"written".to_vec()];
    let write = Write { fence, version: 0, revision: 1, record: b"record".to_vec(), audit };
    let written = store.write(&write).await.unwrap();
    store.confirm(written, 0, minutes(1)).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Record(1)));
    assert_eq!(store.amend(1, b"amendment", &[b"amended".to_vec()]).await, Ok(1));
    assert_eq!(hints.next().await, Some(Hint::Amendment(1)));
    assert_eq!(store.report(1, b"report", minutes(1)).await.unwrap().amended, 1);
    let snapshot = store.read().await.unwrap();
    assert_eq!((snapshot.version, snapshot.lock.unwrap().fence, snapshot.reports.len()), (1, fence, 1));
    store.retire(1).await.unwrap();
    assert_eq!(store.image(&hash(1)).await.unwrap().unwrap(), b"image");
    assert_eq!(store.forget_images(fence, &[]).await, Ok(1));
    assert_eq!(store.amendments(1, 9).await.unwrap().entries, [(1, b"amendment".to_vec())]);
    let trail = store.audit(9, None).await.unwrap();
    assert_eq!((trail.verify(), trail.entries.len()), (Ok(()), 2));
    assert!(store.release(1, fence).await.unwrap());
}

#[tokio::test]
async fn who_uses_a_store_need_not_know_where_it_is() {
    let server = Server::start();
    drive(Store::Redis(Control::new(connect(&server.address()).await))).await;
    drive(Store::InProcess(Twin::new().into())).await;
}

#[tokio::test]
async fn a_listener_that_is_far_behind_is_told_to_read_everything() {
    let twin = Twin::new();
    let mut hints = twin.hints();
    for number in 1..=100 {
        assert_eq!(twin.amend(0, b"", &[], START), Ok(number));
    }
    assert_eq!(hints.next().await, Some(Hint::Anything));
    drop(twin);
    assert_eq!(hints.by_ref().count().await, 64);
}
