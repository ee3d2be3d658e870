//! One instance of a fleet and its backend: requests in flight through changes of policy, sweeps, and by many threads at once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tollgate_core::lease::fleet::Call;
use tollgate_core::lease::{OnFailure, Settings};
use tollgate_core::policy::Compiled;
use tollgate_core::{
    Capacity, Charged, Engine, Epoch, Gate, KeyHasher, Nanos, Outcome, Request, Ruling, Subject,
};
use tollgate_redis_model::Model;

mod policies;

fn policy(rule: &str) -> Compiled {
    let default = r#"{ "quota": "unlimited", "windowMs": 1000, "algorithm": "token-bucket" }"#;
    let json = format!(r#"{{ "default": {default}, "rules": [{{ "name": "exports", {rule} }}] }}"#);
    policies::compiled(&policies::parsed(&json), [])
}

fn concurrency(most: u64) -> Compiled {
    policy(&format!(r#""concurrency": {most}"#))
}

struct Pair {
    engine: Arc<Engine>,
    gate: Gate,
    background: Gate,
    backend: Model,
    now: Nanos,
}

impl Pair {
    fn new(compiled: Compiled) -> Self {
        let settings = Settings {
            instance: 1,
            interval: Nanos::from_millis(100),
            time_to_live: Nanos::from_secs(2),
            credit: 0,
            on_failure: OnFailure::Deny,
        };
        let capacity = Capacity { max_keys: 10_000, key_share: 1.0 };
        let hasher = KeyHasher::with_secret(1, 1);
        let engine = Engine::shared(hasher, compiled, capacity, Epoch::default(), settings).unwrap();
        let engine = Arc::new(engine);
        let (gate, background) = (engine.gate(), engine.gate());
        Self { engine, gate, background, backend: Model::new(), now: Nanos::from_secs(1) }
    }

    /// Sends what there is to send, and brings the answers; gives the asks.
    fn exchange(&mut self, call: Call) -> usize {
        let fleet = self.engine.fleet().unwrap();
        let mut asks = 0;
        for batch in fleet.due(&mut self.background, self.now, call) {
            asks += batch.asks.len();
            let reply = self.backend.execute(&batch, self.now.get() / 1000, 1).unwrap();
            fleet.answered(&mut self.background, batch.tag, batch.sequence, &reply, self.now);
        }
        asks
    }

    /// So many intervals pass; gives how much was asked in them.
    fn pass(&mut self, intervals: u64) -> usize {
        let mut asks = 0;
        for _ in 0..intervals {
            self.now = self.now + Nanos::from_millis(100);
            asks += self.exchange(Call::Tick);
        }
        asks
    }

    fn ask(&mut self) -> (Outcome, Option<Charged>) {
        let mut ruling = Ruling::default();
        self.gate.decide(&request(), 1, self.now, &mut ruling);
        (ruling.decision().outcome, ruling.charges().next())
    }

    /// A request that waits for its answer.
    fn take(&mut self) -> Result<Charged, Outcome> {
        for _ in 0..3 {
            match self.ask() {
                (Outcome::Ok, charge) => return Ok(charge.unwrap()),
                (Outcome::Pending, _) => _ = self.exchange(Call::Urgent),
                (refused, _) => return Err(refused),
            }
        }
        Err(Outcome::Pending)
    }

    fn give(&mut self, charge: Charged) {
        self.gate.give_back(charge, self.now, self.now);
    }

    fn give_all(&mut self, charges: impl IntoIterator<Item = Charged>) {
        for charge in charges {
            self.give(charge);
        }
    }
}

fn request() -> Request<'static> {
    Request { rule: Some(0), ..Request::of(Subject::Tenant, b"acme") }
}

#[test]
fn a_slot_costs_an_exchange_once_and_nothing_while_it_is_used_again_and_again() {
    let mut pair = Pair::new(concurrency(10));
    for _ in 0..3 {
        let charge = pair.take().unwrap();
        assert_eq!(pair.exchange(Call::Urgent), 0);
        pair.give(charge);
    }
    assert_eq!(pair.ask().0, Outcome::Ok);
}

#[test]
fn a_full_limit_refuses_without_asking() {
    let mut pair = Pair::new(concurrency(2));
    let charges = [pair.take().unwrap(), pair.take().unwrap()];
    assert_eq!(pair.take(), Err(Outcome::Concurrency));
    for _ in 0..1_000 {
        assert_eq!(pair.ask().0, Outcome::Concurrency);
    }
    assert_eq!(pair.exchange(Call::Urgent), 0);
    pair.give(charges[0]);
    assert_eq!(pair.ask().0, Outcome::Ok);
}

#[test]
fn what_is_not_used_is_given_back_and_then_forgotten() {
    let mut pair = Pair::new(concurrency(8));
    let charges: Vec<_> = (0..8).map(|_| pair.take().unwrap()).collect();
    pair.give_all(charges);
    pair.pass(4);
    assert_eq!(pair.pass(30), 0);
    // Nor does an instance that is full with long requests ask more than is needed to hear of others.
    let _held: Vec<_> = (0..4).map(|_| pair.take().unwrap()).collect();
    pair.pass(4);
    assert!(pair.pass(20) <= 3);
}

#[test]
fn who_is_in_flight_stays_so_through_sweeps_and_changes_of_the_limit() {
    let mut pair = Pair::new(concurrency(4));
    let mut charges: Vec<_> = (0..4).map(|_| pair.take().unwrap()).collect();
    pair.engine.sweep(pair.now);
    pair.engine.upkeep(pair.now);
    assert_eq!(pair.take(), Err(Outcome::Concurrency));
    pair.engine.replace(concurrency(2), pair.now).unwrap();
    pair.pass(5);
    for _ in 0..3 {
        assert_eq!(pair.take(), Err(Outcome::Concurrency), "{} are in flight", charges.len());
        pair.give(charges.pop().unwrap());
        pair.pass(2);
    }
    charges.push(pair.take().unwrap());
    pair.engine.replace(concurrency(3), pair.now).unwrap();
    pair.pass(2);
    charges.push(pair.take().unwrap());
    assert_eq!(pair.take(), Err(Outcome::Concurrency));
}

#[test]
fn between_slots_and_tokens_nothing_is_carried_over() {
    let mut pair = Pair::new(concurrency(2));
    let charge = pair.take().unwrap();
    pair.take().unwrap();
    let tokens = policy(r#""quota": 3, "burst": 0, "windowMs": 60000, "algorithm": "token-bucket""#);
    pair.engine.replace(tokens, pair.now).unwrap();
    pair.give(charge);
    for _ in 0..3 {
        pair.take().unwrap();
    }
    assert_eq!(pair.take(), Err(Outcome::Quota));
    pair.pass(3);
    pair.engine.replace(concurrency(2), pair.now).unwrap();
    pair.give(charge);
    pair.pass(40);
    let charges = [pair.take().unwrap(), pair.take().unwrap()];
    assert_eq!(pair.take(), Err(Outcome::Concurrency));
    pair.give_all(charges);
}

#[test]
fn a_block_of_the_rule_is_heard_of_and_lifted() {
    let mut pair = Pair::new(concurrency(2));
    pair.take().unwrap();
    pair.gate.block(&request(), Nanos::from_secs(10), pair.now).unwrap();
    pair.pass(1);
    assert_eq!(pair.take(), Err(Outcome::Blocked));
    pair.gate.reset(&request(), pair.now).unwrap();
    pair.pass(1);
    pair.take().unwrap();
    pair.pass(2);
    assert_eq!(pair.take(), Err(Outcome::Concurrency));
}

#[test]
fn more_than_a_word_counts_cannot_be_shared() {
    let mut pair = Pair::new(concurrency(65_535));
    pair.take().unwrap();
    let refused = pair.engine.replace(concurrency(65_536), pair.now).unwrap_err().to_string();
    assert_eq!(refused, "65536 requests in flight; accepted for concurrency with backends are 65535 at most");
}

/// Takes slots and gives them back without a pause; counts those in flight, and how many were had in all.
fn hammer(
    engine: &Arc<Engine>,
    clock: &AtomicU64,
    [in_flight, most]: [&AtomicU64; 2],
    over: &AtomicBool,
) -> u64 {
    let (mut gate, mut ruling, mut had) = (engine.gate(), Ruling::default(), 0);
    while !over.load(Ordering::Relaxed) {
        let now = Nanos::from_millis(clock.load(Ordering::Relaxed));
        gate.decide(&request(), 1, now, &mut ruling);
        if ruling.decision().outcome == Outcome::Ok {
            most.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            had += 1;
            if had % 7 == 0 {
                thread::yield_now();
            }
            in_flight.fetch_sub(1, Ordering::SeqCst);
            ruling.charges().for_each(|charge| gate.give_back(charge, now, now));
        } else {
            thread::yield_now();
        }
    }
    had
}

/// While the record takes permits out of the word and puts them there, threads take slots and give them back.
#[test]
fn threads_that_come_and_go_never_are_more_than_may_be_and_leave_none_behind() {
    let mut pair = Pair::new(concurrency(3));
    let engine = Arc::clone(&pair.engine);
    let (clock, over) = (AtomicU64::new(1_000), AtomicBool::new(false));
    let (in_flight, most) = (AtomicU64::new(0), AtomicU64::new(0));
    let had: u64 = thread::scope(|scope| {
        let all: Vec<_> =
            (0..5).map(|_| scope.spawn(|| hammer(&engine, &clock, [&in_flight, &most], &over))).collect();
        for round in 0..20_000 {
            pair.now = Nanos::from_millis(1_000 + 5 * round);
            clock.store(1_000 + 5 * round, Ordering::Relaxed);
            pair.exchange(if round % 20 == 0 { Call::Tick } else { Call::Urgent });
            // So that it is not alone between two ticks.
            thread::yield_now();
            if round % 500 == 0 {
                engine.sweep(pair.now);
                engine.upkeep(pair.now);
            }
        }
        over.store(true, Ordering::Relaxed);
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert!(had > 1_000, "{had}");
    assert_eq!(most.into_inner(), 3);
    pair.pass(10);
    assert_eq!(pair.pass(30), 0, "nothing is held, and nothing is said");
    let _all = [(); 3].map(|()| pair.take().unwrap());
    assert_eq!(pair.take(), Err(Outcome::Concurrency));
}
