#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "small numbers, of which doubles are exact"
)]

use tollgate_core::lease::exchange::{
    Ask, Batch, BucketName, Floor, Grant, Life, Reply, SETTLING, SharedLimit,
};
use tollgate_core::{Algorithm, Nanos, Window};

use super::{Model, Superseded};

/// 2024-05-31T23:59:00Z, in microseconds: a minute before a month ends.
const NOW: u64 = 1_717_199_940_000_000;
const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const TIME_TO_LIVE: Nanos = Nanos::from_secs(2);

fn limit(algorithm: Algorithm, quota: u64, burst: u64) -> SharedLimit {
    let window = Window::Span(Nanos::from_secs(60));
    SharedLimit { algorithm, quota, capacity: quota + burst, window }
}

fn ask(limit: SharedLimit, wanted: u64) -> Ask {
    Ask::lease(BucketName([17; 16]), limit, wanted)
}

/// One instance and its Redis.
struct Pair {
    model: Model,
    sequence: u64,
    seen: Option<Life>,
}

impl Pair {
    fn new() -> Self {
        Self { model: Model::new(), sequence: 0, seen: None }
    }

    fn batch(&mut self, ask: Ask) -> Batch {
        self.sequence += 1;
        let Self { sequence, seen, .. } = *self;
        Batch {
            tag: 17,
            instance: 1,
            sequence,
            instances: 1,
            time_to_live: TIME_TO_LIVE,
            seen,
            asks: vec![ask],
        }
    }

    fn reply(&mut self, ask: Ask, now: u64) -> Reply {
        let batch = self.batch(ask);
        let reply = self.model.execute(&batch, now, self.sequence).unwrap();
        self.seen = Some(reply.life);
        reply
    }

    fn grant(&mut self, ask: Ask, now: u64) -> Grant {
        self.reply(ask, now).grants[0]
    }

    /// Whole tokens that are there.
    fn room(&mut self, limit: SharedLimit, now: u64) -> u64 {
        let grant = self.grant(ask(limit, 0), now);
        (limit.capacity as f64 - grant.spent + 1e-9).max(0.0) as u64
    }
}

#[test]
fn a_bucket_is_leased_up_to_its_capacity_and_refilled_at_its_rate() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::TokenBucket, 60, 40));
    assert_eq!(pair.grant(ask(limit, 70), NOW).tokens, 70);
    let empty = pair.grant(ask(limit, 70), NOW);
    assert_eq!((empty.tokens, empty.wait), (30, Nanos::from_secs(1)));
    assert_eq!(pair.grant(ask(limit, 70), NOW + 5 * SECOND).tokens, 5);
}

#[test]
fn what_is_scarce_is_shared_out_but_for_what_is_waited_for() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::TokenBucket, 100, 0));
    let mut batch = pair.batch(Ask { waiting: 0, ..ask(limit, 100) });
    batch.instances = 5;
    assert_eq!(pair.model.execute(&batch, NOW, 1).unwrap().grants[0].tokens, 10);
    let mut batch = pair.batch(Ask { waiting: 30, ..ask(limit, 100) });
    batch.instances = 5;
    assert_eq!(pair.model.execute(&batch, NOW, 1).unwrap().grants[0].tokens, 30);
    let mut batch = pair.batch(Ask { waiting: 0, ..ask(limit, 100) });
    batch.instances = 31;
    let grant = pair.model.execute(&batch, NOW, 1).unwrap().grants[0];
    assert_eq!((grant.tokens, grant.wait), (0, Nanos::ZERO));
}

#[test]
fn leasing_and_returning_does_not_lengthen_a_lease() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::TokenBucket, 60, 0));
    pair.grant(ask(limit, 60), NOW);
    let back = Ask { unspent: 60, leased_at: NOW, ..ask(limit, 0) };
    // Twenty were refilled, so forty of the sixty are still owed.
    assert_eq!(pair.grant(back, NOW + 20 * SECOND).spent, 0.0);
    pair.grant(ask(limit, 60), NOW + 20 * SECOND);
    let back = Ask { unspent: 30, leased_at: NOW + 20 * SECOND, ..ask(limit, 0) };
    assert_eq!(pair.grant(back, NOW + 40 * SECOND).spent, 30.0);
}

#[test]
fn a_fixed_window_takes_back_what_was_leased_in_it_and_nothing_of_the_one_before() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::FixedWindow, 10, 0));
    let grant = pair.grant(ask(limit, 10), NOW + 20 * SECOND);
    assert_eq!((grant.wait, grant.ends), (Nanos::from_secs(40), Some(Nanos::from_secs(40))));
    let back = |leased_at| Ask { unspent: 4, leased_at, ..ask(limit, 0) };
    assert_eq!(pair.grant(back(NOW + 20 * SECOND), NOW + 30 * SECOND).spent, 6.0);
    assert_eq!(pair.grant(ask(limit, 10), NOW + MINUTE).tokens, 10);
    assert_eq!(pair.grant(back(NOW + 20 * SECOND), NOW + MINUTE).spent, 10.0);
}

#[test]
fn each_window_that_passes_forgives_one_capacity_of_a_debt() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::FixedWindow, 10, 0));
    let grant = pair.grant(Ask { debit: 1_000, ..ask(limit, 0) }, NOW);
    assert_eq!((grant.spent, grant.wait), (20.0, Nanos::from_secs(120)));
    assert_eq!(pair.grant(ask(limit, 5), NOW + MINUTE).tokens, 0);
    assert_eq!(pair.grant(ask(limit, 5), NOW + 2 * MINUTE).tokens, 5);
}

#[test]
fn a_calendar_month_ends_with_its_last_day() {
    let mut pair = Pair::new();
    let limit = SharedLimit { window: Window::Month, ..limit(Algorithm::FixedWindow, 10, 0) };
    let grant = pair.grant(ask(limit, 10), NOW);
    assert_eq!((grant.tokens, grant.ends), (10, Some(Nanos::from_secs(60))));
    let grant = pair.grant(ask(limit, 10), NOW + MINUTE);
    assert_eq!((grant.tokens, grant.ends), (10, Some(Nanos::from_secs(30 * 86_400))));
}

#[test]
fn of_a_sliding_window_the_one_before_weighs_as_much_as_is_left() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::SlidingWindow, 100, 0));
    let grant = pair.grant(ask(limit, 100), NOW);
    // 1 % of the next window has to pass before a token is there.
    assert_eq!((grant.tokens, grant.wait), (100, Nanos::from_millis(60_600)));
    assert_eq!(pair.grant(ask(limit, 100), NOW + MINUTE).tokens, 0);
    assert_eq!(pair.grant(ask(limit, 100), NOW + MINUTE + 15 * SECOND).tokens, 25);
    let back = Ask { unspent: 40, leased_at: NOW, ..ask(limit, 0) };
    assert_eq!(pair.grant(back, NOW + MINUTE + 15 * SECOND).spent, 70.0);
    let credit = Ask { credit: 40, ..ask(limit, 0) };
    assert_eq!(pair.grant(credit, NOW + MINUTE + 15 * SECOND).spent, 30.0);
}

#[test]
fn a_raised_quota_adds_exactly_the_difference() {
    for algorithm in [Algorithm::TokenBucket, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let mut pair = Pair::new();
        pair.grant(ask(limit(algorithm, 60, 0), 60), NOW);
        assert_eq!(pair.room(limit(algorithm, 600, 0), NOW), 540, "{algorithm:?}");
    }
}

#[test]
fn time_before_a_quota_was_raised_counts_by_the_one_before() {
    let mut pair = Pair::new();
    pair.grant(ask(limit(Algorithm::TokenBucket, 60, 0), 60), NOW);
    assert_eq!(pair.room(limit(Algorithm::TokenBucket, 600, 0), NOW + 10 * SECOND), 550);
}

#[test]
fn what_is_spent_is_spent_by_another_algorithm_too() {
    for [from, to] in [
        [Algorithm::TokenBucket, Algorithm::FixedWindow],
        [Algorithm::FixedWindow, Algorithm::SlidingWindow],
        [Algorithm::SlidingWindow, Algorithm::TokenBucket],
    ] {
        let mut pair = Pair::new();
        pair.grant(ask(limit(from, 100, 0), 70), NOW);
        assert_eq!(pair.room(limit(to, 100, 0), NOW), 30, "{from:?} to {to:?}");
    }
}

#[test]
fn a_small_limit_forgives_nothing_that_was_spent_under_a_large_one() {
    let (mut pair, large) = (Pair::new(), limit(Algorithm::TokenBucket, 600, 0));
    let small = limit(Algorithm::TokenBucket, 6, 0);
    pair.grant(ask(large, 600), NOW);
    assert_eq!(pair.room(small, NOW), 0);
    assert_eq!(pair.room(large, NOW), 0);
    // 59 s give back 590 of 600 by the large limit; ten are a debt of less than six, so now the small one holds.
    let spent = pair.grant(ask(small, 0), NOW + 59 * SECOND).spent;
    assert!((spent - 10.0).abs() < 1e-6, "{spent}");
    let spent = pair.grant(ask(small, 0), NOW + 69 * SECOND).spent;
    assert!((spent - 9.0).abs() < 1e-6, "{spent}");
}

#[test]
fn a_repeat_is_answered_from_the_record_and_an_older_batch_is_refused() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::TokenBucket, 10, 0));
    let first = pair.batch(ask(limit, 4));
    let reply = pair.model.execute(&first, NOW, 1).unwrap();
    assert_eq!(pair.model.execute(&first, NOW + SECOND, 2), Ok(reply));
    pair.grant(ask(limit, 4), NOW);
    assert_eq!(pair.model.execute(&first, NOW, 3), Err(Superseded));
}

#[test]
fn after_a_loss_floors_are_heeded_and_nothing_is_leased_until_it_is_settled() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::FixedWindow, 10, 0));
    pair.grant(ask(limit, 7), NOW);
    pair.model.wipe();
    let floor = Some(Floor { spent: 7.0, ends: Nanos::from_secs(60) });
    let reply = pair.reply(Ask { floor, ..ask(limit, 10) }, NOW);
    assert_eq!((reply.settling, reply.grants[0].tokens), (SETTLING, 0));
    let reply = pair.reply(ask(limit, 10), NOW + SETTLING.get() / 1000);
    assert_eq!((reply.settling, reply.grants[0].tokens), (Nanos::ZERO, 3));
}

#[test]
fn a_floor_is_not_heeded_while_nothing_was_lost() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::TokenBucket, 10, 0));
    pair.grant(ask(limit, 2), NOW);
    let floor = Some(Floor { spent: 9.0, ends: Nanos::ZERO });
    assert_eq!(pair.grant(Ask { floor, ..ask(limit, 0) }, NOW).spent, 2.0);
}

#[test]
fn a_state_that_fell_back_is_another_life_and_settles() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::TokenBucket, 10, 0));
    let before = pair.reply(ask(limit, 2), NOW).life;
    let replica = pair.model.clone();
    pair.grant(ask(limit, 5), NOW);
    pair.model = replica;
    let floor = Some(Floor { spent: 7.0, ends: Nanos::ZERO });
    let reply = pair.reply(Ask { floor, ..ask(limit, 10) }, NOW);
    assert_ne!(reply.life.id, before.id);
    assert_eq!((reply.settling, reply.grants[0].spent), (SETTLING, 7.0));
}

#[test]
fn the_clock_does_not_go_back_within_a_life() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::TokenBucket, 10, 0));
    pair.grant(ask(limit, 10), NOW);
    assert_eq!(pair.reply(ask(limit, 10), NOW - 30 * SECOND).now, NOW);
    assert_eq!(pair.grant(ask(limit, 10), NOW).tokens, 0);
}

#[test]
fn a_blocked_bucket_leases_nothing_until_the_block_ends_or_is_lifted() {
    let (mut pair, limit) = (Pair::new(), limit(Algorithm::TokenBucket, 10, 0));
    let block = |seconds| Ask { block: Some(Nanos::from_secs(seconds)), ..ask(limit, 1) };
    let grant = pair.grant(block(5), NOW);
    assert_eq!((grant.tokens, grant.blocked), (0, Nanos::from_secs(5)));
    assert_eq!(pair.grant(ask(limit, 1), NOW + 5 * SECOND).tokens, 1);
    pair.grant(block(5), NOW + 5 * SECOND);
    assert_eq!(pair.grant(block(0), NOW + 5 * SECOND).tokens, 1);
    pair.grant(block(5), NOW + 5 * SECOND);
    let reset = pair.grant(Ask { reset: true, ..ask(limit, 10) }, NOW + 5 * SECOND);
    assert_eq!((reset.tokens, reset.blocked), (10, Nanos::ZERO));
}

/// Several instances and their Redis, which count requests in flight.
struct Ring {
    model: Model,
    sequence: u64,
    seen: Option<Life>,
}

impl Ring {
    fn new() -> Self {
        Self { model: Model::new(), sequence: 0, seen: None }
    }

    /// An instance says what it holds, and asks for more, for so many that wait; gives what it may hold, and what is held or lacked.
    fn ask(&mut self, instance: u64, most: u64, [held, waiting]: [u64; 2], now: u64) -> [u64; 2] {
        self.sequence += 1;
        let limit = SharedLimit::concurrency(most);
        let ask = Ask { held, ..ask(limit, waiting) };
        let Self { sequence, seen, .. } = *self;
        let batch = Batch {
            tag: 17,
            instance,
            sequence,
            instances: 2,
            time_to_live: TIME_TO_LIVE,
            seen,
            asks: vec![ask],
        };
        let reply = self.model.execute(&batch, now, sequence).unwrap();
        self.seen = Some(reply.life);
        [reply.grants[0].tokens, reply.grants[0].spent as u64]
    }
}

#[test]
fn permits_are_granted_up_to_the_limit_and_count_for_whoever_says_that_they_are_held() {
    let mut ring = Ring::new();
    assert_eq!(ring.ask(1, 10, [0, 7], NOW), [7, 7]);
    assert_eq!(ring.ask(2, 10, [0, 7], NOW), [3, 10]);
    // Of the seven that the second wanted four are missing, two to an equal share; the first is in flight with seven all the same.
    assert_eq!(ring.ask(1, 10, [7, 0], NOW), [5, 14]);
    assert_eq!(ring.ask(1, 10, [4, 0], NOW), [4, 11]);
    assert_eq!(ring.ask(2, 10, [3, 7], NOW), [6, 10]);
    assert_eq!(ring.ask(1, 10, [0, 0], NOW), [0, 10]);
}

#[test]
fn permits_of_an_instance_that_says_nothing_any_more_come_back_when_its_lease_is_over() {
    let (mut ring, lease) = (Ring::new(), TIME_TO_LIVE.get() / 1000);
    assert_eq!(ring.ask(1, 10, [0, 10], NOW), [10, 10]);
    assert_eq!(ring.ask(2, 10, [0, 1], NOW + lease - 1), [0, 10]);
    assert_eq!(ring.ask(2, 10, [0, 10], NOW + lease), [10, 10]);
    // Whoever was in flight for longer is so, and nobody gets any more.
    assert_eq!(ring.ask(1, 10, [4, 0], NOW + lease), [0, 14]);
    assert_eq!(ring.ask(2, 10, [10, 0], NOW + lease), [6, 14]);
}

#[test]
fn under_a_lower_limit_nobody_fills_a_slot_again_until_there_is_room() {
    let mut ring = Ring::new();
    assert_eq!(ring.ask(1, 10, [0, 6], NOW), [6, 6]);
    assert_eq!(ring.ask(2, 10, [0, 4], NOW), [4, 10]);
    assert_eq!(ring.ask(1, 5, [6, 0], NOW), [1, 10]);
    assert_eq!(ring.ask(1, 5, [2, 0], NOW), [1, 6]);
    assert_eq!(ring.ask(2, 5, [3, 0], NOW), [3, 5]);
}

#[test]
fn after_a_loss_no_permit_is_granted_until_all_have_said_what_they_hold() {
    let mut ring = Ring::new();
    ring.ask(1, 10, [0, 6], NOW);
    ring.model.wipe();
    assert_eq!(ring.ask(2, 10, [0, 10], NOW), [0, 0]);
    assert_eq!(ring.ask(1, 10, [6, 1], NOW), [6, 6]);
    assert_eq!(ring.ask(2, 10, [0, 10], NOW + SETTLING.get() / 1000 - 1), [0, 6]);
    ring.ask(1, 10, [6, 0], NOW + SECOND);
    assert_eq!(ring.ask(2, 10, [0, 4], NOW + SETTLING.get() / 1000), [4, 10]);
}
