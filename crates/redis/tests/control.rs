//! What a fleet agrees on, as one server keeps it.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use tollgate_redis::Failure;
use tollgate_redis::control::{
    Broken, Control, Entry, Fence, Hint, MOST_IMAGE, Refused, Snapshot, Write, Written, verify,
};

mod asks;
mod server;

use asks::{PATIENCE, connect};
use server::Server;

const HOUR: Duration = Duration::from_hours(1);

async fn control(server: &Server) -> Control {
    Control::new(connect(&server.address()).await)
}

fn key(part: &str) -> String {
    format!("tollgate:{{test:fleet}}:{part}")
}

/// The lock's time is over, whoever holds it.
fn expire(server: &Server) {
    assert_eq!(server.cli(&["HSET", &key("lock"), "ends", "1"]), "0");
}

fn write(fence: Fence, version: u64, record: &str) -> Write {
    let audit = vec![format!("{record} was written").into_bytes()];
    Write { fence, version, revision: 1, record: record.as_bytes().to_vec(), audit }
}

async fn audited(control: &Control) -> Vec<String> {
    let trail = control.audit(1000, None).await.unwrap();
    assert_eq!(trail.verify(), Ok(()));
    trail.entries.iter().map(|entry| String::from_utf8(entry.bytes.clone()).unwrap()).collect()
}

#[tokio::test]
async fn a_fleet_that_has_agreed_on_nothing_has_no_record() {
    let server = Server::start();
    let control = control(&server).await;
    let snapshot = control.read().await.unwrap();
    assert!(snapshot.now_micros > 1_700_000_000_000_000);
    let nothing = Snapshot {
        now_micros: snapshot.now_micros,
        version: 0,
        revision: 0,
        record: None,
        amended: 0,
        lock: None,
        reports: Vec::new(),
    };
    assert_eq!(snapshot, nothing);
    assert_eq!(server.cli(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn one_instance_holds_the_lock_and_keeps_its_token_as_long_as_it_does() {
    let server = Server::start();
    let control = control(&server).await;
    let fence = control.acquire(u64::MAX, HOUR).await.unwrap().unwrap();
    assert_eq!(control.acquire(2, HOUR).await, Ok(None));
    assert_eq!(control.acquire(u64::MAX, HOUR).await, Ok(Some(fence)));
    assert_eq!(control.renew(u64::MAX, fence, HOUR * 2).await, Ok(true));
    assert_eq!(control.renew(2, fence, HOUR).await, Ok(false));
    assert_eq!(control.renew(u64::MAX, Fence(fence.0 - 1), HOUR).await, Ok(false));
    assert_eq!(control.release(2, fence).await, Ok(false));
    let lock = control.read().await.unwrap().lock.unwrap();
    assert_eq!((lock.holder, lock.fence), (u64::MAX, fence));
    assert!(lock.expires_in > HOUR && lock.expires_in <= HOUR * 2);
    assert_eq!(control.release(u64::MAX, fence).await, Ok(true));
    assert_eq!(control.read().await.unwrap().lock, None);
    assert_eq!(control.renew(u64::MAX, fence, HOUR).await, Ok(false));
    assert!(control.acquire(2, HOUR).await.unwrap().unwrap() > fence);
}

#[tokio::test]
async fn tokens_only_grow_whatever_becomes_of_the_lock() {
    let server = Server::start();
    let control = control(&server).await;
    let mut last = Fence(0);
    for turn in 0..40 {
        let fence = control.acquire(turn % 3, HOUR).await.unwrap().unwrap();
        assert!(fence > last, "{turn}");
        last = fence;
        match turn % 4 {
            0 => assert!(control.release(turn % 3, fence).await.unwrap()),
            1 => expire(&server),
            // The same instance, whose lock has ended, has another one.
            2 => {
                expire(&server);
                let fence = control.acquire(turn % 3, HOUR).await.unwrap().unwrap();
                assert!(fence > last);
                last = fence;
                expire(&server);
            }
            _ => assert_eq!(server.cli(&["FLUSHALL"]), "OK"),
        }
    }
    // A clock that was behind gives no lower ones.
    let ahead = last.0 + 1_000_000_000_000;
    server.cli(&["HSET", &key("lock"), "fence", &ahead.to_string()]);
    assert_eq!(control.acquire(9, HOUR).await.unwrap().unwrap(), Fence(ahead + 1));
}

#[tokio::test]
async fn a_lock_ends_by_itself_and_by_a_clock_that_is_set_back_too() {
    let server = Server::start();
    let control = control(&server).await;
    let first = control.acquire(1, Duration::from_millis(1)).await.unwrap().unwrap();
    // Until its millisecond is over.
    let second = loop {
        if let Some(fence) = control.acquire(2, HOUR).await.unwrap() {
            break fence;
        }
    };
    assert!(second > first);
    assert_eq!(control.acquire(3, HOUR).await, Ok(None));
    // As if it had been taken by a clock that was a year ahead.
    let ends = control.read().await.unwrap().now_micros + 31_536_000_000_000;
    server.cli(&["HSET", &key("lock"), "ends", &ends.to_string()]);
    assert!(control.acquire(3, HOUR).await.unwrap().unwrap() > second);
}

#[tokio::test]
async fn whoever_holds_the_lock_and_has_seen_the_last_version_replaces_the_record() {
    let server = Server::start();
    let control = control(&server).await;
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    assert_eq!(control.write(&write(fence, 0, "one")).await, Ok(Written { version: 1, fence }));
    assert_eq!(control.write(&write(fence, 1, "two")).await, Ok(Written { version: 2, fence }));
    let snapshot = control.read().await.unwrap();
    assert_eq!((snapshot.version, snapshot.revision), (2, 1));
    assert_eq!(snapshot.record.as_deref(), Some(&b"two"[..]));
    assert_eq!(audited(&control).await, ["one was written", "two was written"]);
}

#[tokio::test]
async fn who_has_not_seen_the_last_version_writes_nothing() {
    let server = Server::start();
    let control = control(&server).await;
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    control.write(&write(fence, 0, "one")).await.unwrap();
    for version in [0, 2, 3] {
        let refused = control.write(&write(fence, version, "two")).await;
        assert_eq!(refused, Err(Refused::VersionChanged { version: 1 }));
    }
    assert_eq!(control.read().await.unwrap().record.as_deref(), Some(&b"one"[..]));
    assert_eq!(audited(&control).await, ["one was written"]);
}

#[tokio::test]
async fn a_holder_that_was_paused_writes_nothing() {
    let server = Server::start();
    let control = control(&server).await;
    let paused = control.acquire(1, HOUR).await.unwrap().unwrap();
    control.write(&write(paused, 0, "one")).await.unwrap();
    expire(&server);
    assert_eq!(control.write(&write(paused, 1, "late")).await, Err(Refused::Expired));
    assert_eq!(control.forget_images(paused, &[]).await, Err(Refused::Expired));
    assert_eq!(control.renew(1, paused, HOUR).await, Ok(false));
    let newest = control.acquire(2, HOUR).await.unwrap().unwrap();
    let stale = Refused::StaleFence { newest };
    assert_eq!(control.write(&write(paused, 1, "late")).await, Err(stale.clone()));
    assert_eq!(control.forget_images(paused, &[]).await, Err(stale));
    assert!(control.release(2, newest).await.unwrap());
    assert_eq!(control.write(&write(paused, 1, "late")).await, Err(Refused::StaleFence { newest }));
    assert_eq!(control.write(&write(newest, 1, "late")).await, Err(Refused::Expired));
    assert_eq!(audited(&control).await, ["one was written"]);
}

#[tokio::test]
async fn a_token_of_a_state_that_was_lost_is_good_for_nothing() {
    let server = Server::start();
    let control = control(&server).await;
    let lost = control.acquire(1, HOUR).await.unwrap().unwrap();
    server.cli(&["FLUSHALL"]);
    let newest = Fence(0);
    assert_eq!(control.write(&write(lost, 0, "late")).await, Err(Refused::StaleFence { newest }));
    let newest = control.acquire(2, HOUR).await.unwrap().unwrap();
    assert_eq!(control.write(&write(lost, 0, "late")).await, Err(Refused::StaleFence { newest }));
}

#[tokio::test]
async fn a_write_whose_reply_was_lost_is_written_once() {
    let server = Server::start();
    let control = control(&server).await;
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    let first = write(fence, 0, "one");
    let written = control.write(&first).await.unwrap();
    assert_eq!(control.write(&first).await, Ok(written));
    // It was written, though its writer's lock has ended since.
    expire(&server);
    assert_eq!(control.write(&first).await, Ok(written));
    assert_eq!(audited(&control).await, ["one was written"]);
    // Another write is no repeat: neither by its record, nor by what it says of it.
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    control.write(&write(fence, 1, "two")).await.unwrap();
    let changed = Err(Refused::VersionChanged { version: 2 });
    assert_eq!(control.write(&write(fence, 1, "other")).await, changed);
    let other = Write { audit: Vec::new(), ..write(fence, 1, "two") };
    assert_eq!(control.write(&other).await, changed);
    assert_eq!(control.write(&Write { revision: 2, ..write(fence, 1, "two") }).await, changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_write_at_once_one_wins() {
    let server = Server::start();
    let (one, two) = join(control(&server), control(&server)).await;
    let fence = one.acquire(1, HOUR).await.unwrap().unwrap();
    for version in 0..50 {
        let (left, right) = (write(fence, version, "left"), write(fence, version, "right"));
        let (left, right) = join(one.write(&left), two.write(&right)).await;
        let (winner, loser) = if left.is_ok() { (left, right) } else { (right, left) };
        let version = version + 1;
        assert_eq!(winner, Ok(Written { version, fence }));
        assert_eq!(loser, Err(Refused::VersionChanged { version }));
    }
    assert_eq!(audited(&one).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_the_lock_at_once_one_has_it() {
    let server = Server::start();
    let control = control(&server).await;
    let tokens = join_all((0..50).map(|instance| control.acquire(instance, HOUR))).await;
    assert_eq!(tokens.iter().filter(|token| token.as_ref().unwrap().is_some()).count(), 1);
}

#[tokio::test]
async fn reports_are_of_those_who_live() {
    let server = Server::start();
    let control = control(&server).await;
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    control.write(&write(fence, 0, "one")).await.unwrap();
    control.amend(1, b"more", &[]).await.unwrap();
    let glance = control.report(u64::MAX, b"biggest", HOUR).await.unwrap();
    assert_eq!((glance.version, glance.revision, glance.amended), (1, 1, 1));
    control.report(2, b"\0binary\xFF", HOUR).await.unwrap();
    control.report(2, b"anew", HOUR).await.unwrap();
    control.report(3, b"short", Duration::from_millis(1)).await.unwrap();
    let expected = vec![(2, b"anew".to_vec()), (u64::MAX, b"biggest".to_vec())];
    // Until its millisecond is over.
    while control.read().await.unwrap().reports != expected {}
    // Whoever reports next drops what is left of the dead.
    control.report(2, b"anew", HOUR).await.unwrap();
    assert_eq!(server.cli(&["HLEN", &key("reports")]), "2");
    let lives: u64 = server.cli(&["PTTL", &key("reports")]).parse().unwrap();
    assert!((3_500_000..=3_600_002).contains(&lives), "{lives}");
    control.retire(2).await.unwrap();
    assert_eq!(control.read().await.unwrap().reports, expected[1..]);
}

#[tokio::test]
async fn reports_of_thousands_are_read() {
    let server = Server::start();
    let control = control(&server).await;
    for first in (0..3000).step_by(100) {
        join_all((first..first + 100).map(|instance| control.report(instance, b"here", HOUR))).await;
    }
    let reports = control.read().await.unwrap().reports;
    assert_eq!(reports, (0..3000).map(|instance| (instance, b"here".to_vec())).collect::<Vec<_>>());
}

#[tokio::test]
async fn amendments_come_in_order_and_go_with_their_revision() {
    let server = Server::start();
    let control = control(&server).await;
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    control.write(&write(fence, 0, "one")).await.unwrap();
    for number in 1..=5_u8 {
        let audit = vec![format!("amended {number}").into_bytes()];
        assert_eq!(control.amend(1, &[number], &audit).await, Ok(u64::from(number)));
    }
    let amendments = control.amendments(2, 3).await.unwrap();
    assert_eq!((amendments.revision, amendments.amended), (1, 5));
    assert_eq!(amendments.entries, [(2, vec![2]), (3, vec![3]), (4, vec![4])]);
    assert_eq!(control.amendments(6, 3).await.unwrap().entries, []);
    assert_eq!(control.amendments(u64::MAX, u32::MAX).await.unwrap().entries, []);
    assert_eq!(control.amendments(0, 0).await.unwrap().entries, [(1, vec![1])]);
    assert_eq!(control.read().await.unwrap().amended, 5);

    let refused = control.amend(2, b"early", &[b"early".to_vec()]).await;
    assert_eq!(refused, Err(Refused::RevisionChanged { revision: 1 }));
    // A record of the same revision leaves them.
    control.write(&write(fence, 1, "two")).await.unwrap();
    assert_eq!(control.read().await.unwrap().amended, 5);
    control.write(&Write { revision: 2, ..write(fence, 2, "three") }).await.unwrap();
    let refused = control.amend(1, b"late", &[b"late".to_vec()]).await;
    assert_eq!(refused, Err(Refused::RevisionChanged { revision: 2 }));
    assert_eq!(control.amend(2, b"anew", &[]).await, Ok(1));
    assert_eq!(control.amendments(1, 9).await.unwrap().entries, [(1, b"anew".to_vec())]);
    let expected = [
        "one was written",
        "amended 1",
        "amended 2",
        "amended 3",
        "amended 4",
        "amended 5",
        "two was written",
        "three was written",
    ];
    assert_eq!(audited(&control).await, expected);
}

#[tokio::test]
async fn there_are_only_so_many_amendments() {
    let server = Server::start();
    let control = control(&server).await;
    let fill = "for i = 1, 99999 do redis.call('RPUSH', KEYS[1], i) end";
    server.cli(&["EVAL", fill, "1", &key("amendments")]);
    assert_eq!(control.amend(0, b"last", &[]).await, Ok(100_000));
    assert_eq!(control.amend(0, b"more", &[]).await, Err(Refused::Full { most: 100_000 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_amend_at_once_all_do_and_the_trail_does_not_fork() {
    let server = Server::start();
    let control = control(&server).await;
    let all = (0..16_u8).map(|writer| {
        let control = control.clone();
        async move {
            for number in 0..5_u8 {
                let audit = vec![vec![writer, number], vec![writer, number, 2]];
                control.amend(0, &[writer, number], &audit).await.unwrap();
            }
        }
    });
    join_all(all).await;
    let trail = control.audit(1000, None).await.unwrap();
    assert_eq!((trail.verify(), trail.entries.len(), trail.last), (Ok(()), 160, 160));
    // Each is told of in the order in which it was made.
    let told: Vec<&[u8]> = trail.entries.iter().step_by(2).map(|entry| entry.bytes.as_slice()).collect();
    let made = control.amendments(1, 1000).await.unwrap().entries;
    assert_eq!(told, made.iter().map(|(_, bytes)| bytes.as_slice()).collect::<Vec<_>>());
}

async fn with_trail(server: &Server) -> Control {
    let control = control(server).await;
    let entries: Vec<Vec<u8>> = (1..=6).map(|number| format!("entry {number}").into_bytes()).collect();
    control.amend(0, b"", &entries).await.unwrap();
    control
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap()
}

/// As somebody does who may write to the backend.
fn put_entry(server: &Server, entry: &Entry, number: u64) {
    let script = "local unhex = function(text) return (text:gsub('..', function(byte) return \
                  string.char(tonumber(byte, 16)) end)) end \
                  redis.call('XADD', KEYS[1], ARGV[1], 'at', ARGV[2], 'before', unhex(ARGV[3]), 'bytes', ARGV[4], 'chain', unhex(ARGV[5]))";
    let hex =
        |bytes: &[u8]| bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect::<String>();
    let id = format!("{number}-0");
    let bytes = String::from_utf8(entry.bytes.clone()).unwrap();
    let (at, before, chain) = (entry.at.to_string(), hex(&entry.before), hex(&entry.chain));
    let answer = server.cli(&["EVAL", script, "1", &key("audit"), &id, &at, &before, &bytes, &chain]);
    assert_eq!(answer, "");
}

#[tokio::test]
async fn a_trail_is_read_from_its_end_backwards() {
    let server = Server::start();
    let control = with_trail(&server).await;
    let trail = control.audit(2, None).await.unwrap();
    assert_eq!(trail.entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), [5, 6]);
    let before = control.audit(3, Some(5)).await.unwrap();
    assert_eq!(before.entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!((trail.verify(), before.verify()), (Ok(()), Ok(())));
    let both: Vec<_> = before.entries.into_iter().chain(trail.entries).collect();
    assert_eq!(verify(&both), Ok(()));
    assert_eq!(control.audit(3, Some(1)).await.unwrap().entries, []);
    assert_eq!(control.audit(3, Some(0)).await.unwrap().entries, []);
    let now = control.read().await.unwrap().now_micros;
    assert!(both.iter().all(|entry| entry.at <= now && entry.at > now - 60_000_000));
}

#[tokio::test]
async fn an_entry_that_is_deleted_by_hand_is_missed() {
    let server = Server::start();
    let control = with_trail(&server).await;
    assert_eq!(server.cli(&["XDEL", &key("audit"), "3-0"]), "1");
    let broken = control.audit(9, None).await.unwrap().verify();
    assert_eq!(broken, Err(Broken::Gap { after: 2, before: 4 }));
    // The last one is, too, and what is written after it goes on as if it were there.
    assert_eq!(server.cli(&["XDEL", &key("audit"), "6-0"]), "1");
    let trail = control.audit(2, None).await.unwrap();
    assert_eq!(trail.verify(), Err(Broken::Cut { after: 5, last: 6 }));
    control.amend(0, b"", &[b"entry 7".to_vec()]).await.unwrap();
    let trail = control.audit(2, None).await.unwrap();
    assert_eq!(trail.verify(), Err(Broken::Gap { after: 5, before: 7 }));
}

#[tokio::test]
async fn an_entry_that_is_edited_or_swapped_by_hand_shows() {
    let server = Server::start();
    let control = with_trail(&server).await;
    let entries = control.audit(9, None).await.unwrap().entries;
    let replace = |written: &[(u64, usize)]| {
        server.cli(&["DEL", &key("audit")]);
        for &(number, index) in written {
            put_entry(&server, &entries[index], number);
        }
    };
    replace(&[(1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5)]);
    assert_eq!(control.audit(9, None).await.unwrap().verify(), Ok(()));
    replace(&[(1, 0), (2, 2), (3, 1), (4, 3), (5, 4), (6, 5)]);
    let broken = control.audit(9, None).await.unwrap().verify();
    assert_eq!(broken, Err(Broken::Edited { number: 2 }));
    server.cli(&["DEL", &key("audit")]);
    for entry in &entries {
        let mut entry = entry.clone();
        if entry.number == 4 {
            entry.bytes = b"entry X".to_vec();
        }
        put_entry(&server, &entry, entry.number);
    }
    let broken = control.audit(9, None).await.unwrap().verify();
    assert_eq!(broken, Err(Broken::Edited { number: 4 }));
}

#[tokio::test]
async fn a_trail_goes_on_where_only_it_is_left() {
    let server = Server::start();
    let control = with_trail(&server).await;
    assert_eq!(server.cli(&["DEL", &key("record")]), "1");
    control.amend(0, b"", &[b"entry 7".to_vec()]).await.unwrap();
    let trail = control.audit(9, None).await.unwrap();
    assert_eq!((trail.verify(), trail.entries.len()), (Ok(()), 7));
}

#[tokio::test]
async fn a_trail_keeps_the_newest_and_says_from_where() {
    let server = Server::start();
    let control = with_trail(&server).await;
    server.cli(&["XTRIM", &key("audit"), "MAXLEN", "2"]);
    let trail = control.audit(9, None).await.unwrap();
    assert_eq!((trail.verify(), trail.entries[0].number), (Ok(()), 5));
    assert_ne!(trail.entries[0].before, [0; 32]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_come_back_whole_up_to_64_mebibytes() {
    let server = Server::start();
    let control = control(&server).await;
    assert_eq!(control.image(&[1; 32]).await, Ok(None));
    for (name, size) in (1..).zip([0, 1, 262_143, 262_144, 262_145, 1_000_000, MOST_IMAGE]) {
        let bytes: Vec<u8> = (0..251).cycle().take(size).collect();
        assert_eq!(control.put_image(&[name; 32], &bytes).await, Ok(()));
        assert!(control.image(&[name; 32]).await.unwrap().unwrap() == bytes, "{size}");
    }
    let refused = control.put_image(&[8; 32], &vec![0; MOST_IMAGE + 1]).await;
    assert_eq!(refused, Err(Refused::TooLarge { bytes: MOST_IMAGE + 1, most: MOST_IMAGE }));
    assert_eq!(control.image(&[8; 32]).await, Ok(None));
}

/// Where the image of this hash is kept.
fn image_of_ones() -> String {
    key("image:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE")
}

#[tokio::test]
async fn an_image_that_is_not_whole_is_not_there_until_it_is_mended() {
    let server = Server::start();
    let control = control(&server).await;
    let bytes = vec![7; 600_000];
    control.put_image(&[1; 32], &bytes).await.unwrap();
    assert_eq!(server.cli(&["PTTL", &image_of_ones()]), "-1");
    assert_eq!(server.cli(&["HSET", &image_of_ones(), "1", "short"]), "0");
    assert_eq!(control.image(&[1; 32]).await, Ok(None));
    control.put_image(&[1; 32], &bytes).await.unwrap();
    assert_eq!(control.image(&[1; 32]).await.as_ref(), Ok(&Some(bytes.clone())));
    server.cli(&["DEL", &image_of_ones()]);
    assert_eq!(control.image(&[1; 32]).await, Ok(None));
    control.put_image(&[1; 32], &bytes).await.unwrap();
    // A size that no image has is not made room for.
    let name = image_of_ones();
    let name = name.rsplit(':').next().unwrap();
    for size in ["99999999999999", "-1", "much"] {
        server.cli(&["HSET", &key("images"), name, size]);
        assert_eq!(control.image(&[1; 32]).await, Ok(None));
    }
}

#[tokio::test]
async fn what_was_put_of_an_image_by_a_writer_that_died_is_not_there_and_not_kept() {
    let server = Server::start();
    // A writer that gets no farther than the chunks.
    let rules = ["ACL", "SETUSER", "app", "on", ">secret", "~tollgate:*", "+@all", "-hstrlen"];
    assert_eq!(server.cli(&rules), "OK");
    let writer = Control::new(connect(&format!("redis://app:secret@{}", server.address())).await);
    assert!(writer.put_image(&[1; 32], &vec![7; 600_000]).await.is_err());
    assert_eq!(writer.image(&[1; 32]).await, Ok(None));
    assert_eq!(server.cli(&["HLEN", &image_of_ones()]), "3");
    let lives: u64 = server.cli(&["PTTL", &image_of_ones()]).parse().unwrap();
    assert!((1..=600_000).contains(&lives));
}

#[tokio::test]
async fn images_are_forgotten_by_who_holds_the_lock() {
    let server = Server::start();
    let control = control(&server).await;
    for name in 1..=4 {
        control.put_image(&[name; 32], &[name; 10]).await.unwrap();
    }
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    assert_eq!(control.forget_images(fence, &[[2; 32], [3; 32], [9; 32]]).await, Ok(2));
    assert_eq!(control.forget_images(fence, &[[2; 32], [3; 32], [9; 32]]).await, Ok(0));
    for (name, expected) in [(1, None), (2, Some(vec![2; 10])), (3, Some(vec![3; 10])), (4, None)] {
        assert_eq!(control.image(&[name; 32]).await, Ok(expected));
    }
    assert_eq!(server.cli(&["KEYS", "*image:*"]).lines().count(), 2);
}

#[tokio::test]
async fn hints_tell_of_what_was_written_and_end_with_their_connection() {
    let mut server = Server::start();
    let control = control(&server).await;
    let mut hints = control.hints().await.unwrap();
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    control.write(&write(fence, 0, "one")).await.unwrap();
    control.write(&write(fence, 0, "one")).await.unwrap();
    control.write(&write(fence, 0, "refused")).await.unwrap_err();
    control.amend(1, b"more", &[]).await.unwrap();
    server.cli(&["PUBLISH", &key("hints"), "of a later version"]);
    assert_eq!(hints.next().await, Some(Hint::Record(1)));
    assert_eq!(hints.next().await, Some(Hint::Amendment(1)));
    assert_eq!(hints.next().await, Some(Hint::Anything));
    server.kill();
    assert_eq!(hints.next().await, None);
    assert!(matches!(control.hints().await, Err(Failure::Unreachable(_))));
}

#[tokio::test]
async fn hints_of_a_server_that_stands_still_end() {
    let server = Server::start();
    let settings = asks::settings(Duration::from_millis(500));
    let backend = tollgate_redis::Backend::parse(&server.address(), settings).unwrap();
    let control = Control::new(backend.connect().await.unwrap());
    let mut hints = control.hints().await.unwrap();
    server.stop();
    assert_eq!(hints.next().await, None);
}

#[tokio::test]
async fn what_is_written_is_confirmed_by_replicas_and_missed_when_it_is_gone() {
    let server = Server::start();
    let port = server.port.to_string();
    let replica = Server::with(&["--replicaof", "127.0.0.1", &port]);
    replica.wait_for("INFO replication", "master_link_status:up");
    server.wait_for("INFO replication", "state=online");
    let control = control(&server).await;
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    let written = control.write(&write(fence, 0, "one")).await.unwrap();
    assert_eq!(control.confirm(written, 1, PATIENCE).await.unwrap().replicas, 1);
    assert_eq!(replica.cli(&["HGET", &key("record"), "record"]), "one");
    replica.stop();
    let two = control.write(&write(fence, 1, "two")).await.unwrap();
    let confirmed = control.confirm(two, 1, Duration::from_millis(100)).await.unwrap();
    assert_eq!(confirmed.replicas, 0);
    assert_eq!(control.confirm(written, 0, PATIENCE).await, Err(Refused::VersionChanged { version: 2 }));
    server.cli(&["FLUSHALL"]);
    assert_eq!(control.confirm(two, 0, PATIENCE).await, Err(Refused::VersionChanged { version: 0 }));
}

#[tokio::test]
async fn a_user_who_may_do_no_more_than_needed_may_do_all_of_it() {
    let server = Server::start();
    let commands = "+evalsha +eval +script|load +time +hget +hset +hdel +hmget +hkeys +hexists +hstrlen +del +unlink +set \
                    +zadd +zrem +zrangebyscore +zrevrange +pexpire +pexpireat +persist +llen +lrange +rpush +xadd \
                    +xrevrange +publish +subscribe +ping +wait";
    let mut rules = vec!["ACL", "SETUSER", "app", "on", ">secret", "~tollgate:*", "&tollgate:*"];
    rules.extend(commands.split_whitespace());
    assert_eq!(server.cli(&rules), "OK");
    let control = Control::new(connect(&format!("redis://app:secret@{}", server.address())).await);
    let mut hints = control.hints().await.unwrap();
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    let written = control.write(&write(fence, 0, "one")).await.unwrap();
    assert_eq!(hints.next().await, Some(Hint::Record(1)));
    control.confirm(written, 0, PATIENCE).await.unwrap();
    control.amend(1, b"more", &[b"amended".to_vec()]).await.unwrap();
    control.report(1, b"here", HOUR).await.unwrap();
    control.put_image(&[1; 32], b"image").await.unwrap();
    assert_eq!(control.image(&[1; 32]).await.unwrap().unwrap(), b"image");
    assert_eq!(control.forget_images(fence, &[]).await, Ok(1));
    assert_eq!(control.read().await.unwrap().reports.len(), 1);
    assert_eq!(audited(&control).await.len(), 2);
    assert!(control.renew(1, fence, HOUR).await.unwrap() && control.release(1, fence).await.unwrap());
    // Who may not publish writes all the same.
    assert_eq!(server.cli(&["ACL", "SETUSER", "app", "resetchannels"]), "OK");
    assert_eq!(control.amend(1, b"more", &[]).await, Ok(2));
}

#[tokio::test]
async fn a_server_without_memory_changes_nothing() {
    let server = Server::start();
    let control = control(&server).await;
    let fence = control.acquire(1, HOUR).await.unwrap().unwrap();
    control.write(&write(fence, 0, "one")).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = Err(Refused::Failed(Failure::OutOfMemory));
    assert_eq!(control.write(&write(fence, 1, "two")).await, full);
    assert_eq!(control.amend(1, b"more", &[b"more".to_vec()]).await.map(|_| ()), full.map(|_| ()));
    assert_eq!(control.read().await.unwrap().version, 1);
    assert_eq!(audited(&control).await, ["one was written"]);
}
