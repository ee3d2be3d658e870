//! Many threads, one instance, requests that are charged to a quota and a rule: of both, as much is paid for as was admitted, also
//! where one had a token left and the other had none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tollgate_core::lease::fleet::Call;
use tollgate_core::lease::{OnFailure, Settings};
use tollgate_core::{
    Algorithm, Capacity, Engine, Epoch, Gate, KeyHasher, Nanos, Outcome, Request, Ruling, Subject,
};

use crate::account::Account;
use crate::limits::Limits;
use crate::names::{Names, TENANTS, Whose};
use tollgate_redis_model::Model;

const THREADS: u64 = 4;
/// Exchanges with the backend, one in a millisecond of the time that they all go by.
const ROUNDS: u64 = 200_000;

struct Pair {
    engine: Arc<Engine>,
    background: Gate,
    backend: Model,
    account: Account,
    now: Nanos,
}

impl Pair {
    fn new() -> Self {
        let day = Nanos::from_secs(86_400);
        let limits = |quota| Limits { algorithm: Algorithm::TokenBucket, quota, burst: 0, window: day };
        let policy = limits(1_000_000).policy(Some(&limits(900_000)));
        let settings = Settings {
            instance: 1,
            interval: Nanos::from_millis(10),
            time_to_live: Nanos::from_secs(2),
            credit: 0,
            on_failure: OnFailure::Deny,
        };
        let capacity = Capacity { max_keys: 10_000, key_share: 1.0 };
        let engine =
            Engine::shared(KeyHasher::with_secret(1, 1), policy, capacity, Epoch::default(), settings);
        let engine = Arc::new(engine.unwrap());
        let background = engine.gate();
        let (backend, account) = (Model::default(), Account::default());
        Self { engine, background, backend, account, now: Nanos::ZERO }
    }

    /// Sends what there is to send, and brings the answers.
    fn exchange(&mut self, call: Call) {
        let fleet = self.engine.fleet().unwrap();
        for batch in fleet.due(&mut self.background, self.now, call) {
            let reply = self.backend.execute(&batch, self.now.get() / 1000, 1).unwrap();
            self.account.replied(&batch, &reply);
            self.account.answered(&batch.asks, &reply);
            fleet.answered(&mut self.background, batch.tag, batch.sequence, &reply, self.now);
        }
    }
}

fn request() -> Request<'static> {
    Request { rule: Some(0), ..Request::of(Subject::Tenant, TENANTS[0].as_bytes()) }
}

/// Asks without a pause until it is over; gives how many were admitted.
fn hammer(engine: &Arc<Engine>, clock: &AtomicU64, over: &AtomicBool) -> i128 {
    let (mut gate, mut ruling, mut admitted) = (engine.gate(), Ruling::default(), 0);
    while !over.load(Ordering::Relaxed) {
        let now = Nanos::from_millis(clock.load(Ordering::Relaxed));
        gate.decide(&request(), 1, now, &mut ruling);
        admitted += i128::from(ruling.decision().outcome == Outcome::Ok);
    }
    admitted
}

#[test]
fn threads_that_take_the_last_tokens_leave_no_part_of_a_charge() {
    let mut pair = Pair::new();
    let engine = Arc::clone(&pair.engine);
    let (clock, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let admitted: i128 = thread::scope(|scope| {
        let all: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| hammer(&engine, &clock, &over))).collect();
        for round in 0..ROUNDS {
            clock.store(round, Ordering::Relaxed);
            pair.now = Nanos::from_millis(round);
            pair.exchange(if round % 10 == 0 { Call::Tick } else { Call::Urgent });
        }
        over.store(true, Ordering::Relaxed);
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    for rule in [false, true] {
        pair.account.spend(Names::all().of(Whose { tenant: 0, rule }), admitted);
    }
    for _ in 0..3 {
        pair.exchange(Call::Close);
    }
    assert!(admitted > i128::from(ROUNDS) / 10, "{admitted}");
    pair.account.check_is_even();
}
