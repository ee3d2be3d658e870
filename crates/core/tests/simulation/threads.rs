//! Many threads, one instance, requests that are charged to a quota and a rule: of both, as much is paid for as was admitted, also
//! where one had a token left and the other had none.

use std::sync::Arc;
use std::thread;

use tollgate_core::lease::fleet::Call;
use tollgate_core::lease::{OnFailure, Settings};
use tollgate_core::{
    Algorithm, Capacity, Engine, Epoch, Gate, KeyHasher, Nanos, Outcome, Request, Ruling, Subject,
};

use crate::account::Account;
use crate::backend::Backend;
use crate::limits::Limits;
use crate::names::{Names, TENANTS, Whose};

const THREADS: u64 = 4;
const ROUNDS: u64 = 400;

struct Pair {
    engine: Arc<Engine>,
    background: Gate,
    backend: Backend,
    account: Account,
    now: Nanos,
}

impl Pair {
    fn new() -> Self {
        let day = Nanos::from_secs(86_400);
        let limits = |quota| Limits { algorithm: Algorithm::TokenBucket, quota, burst: 0, window: day };
        // What runs out first is neither always the one nor always the other.
        let policy = limits(50_000).policy(Some(&limits(49_000)));
        let settings = Settings {
            instance: 1,
            interval: Nanos::from_millis(100),
            time_to_live: Nanos::from_secs(2),
            credit: 0,
            on_failure: OnFailure::Deny,
        };
        let capacity = Capacity { max_keys: 10_000, key_share: 1.0 };
        let engine =
            Engine::shared(KeyHasher::with_secret(1, 1), policy, capacity, Epoch::default(), settings);
        let engine = Arc::new(engine.unwrap());
        let background = engine.gate();
        let (backend, account) = (Backend::default(), Account::default());
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

    /// Every thread asks until it is not admitted.
    fn rush(&mut self) {
        let (engine, now) = (&self.engine, self.now);
        let admitted = thread::scope(|scope| {
            let all: Vec<_> = (0..THREADS).map(|_| scope.spawn(move || drain(engine, now))).collect();
            all.into_iter().map(|one| one.join().unwrap()).sum::<u64>()
        });
        for rule in [false, true] {
            self.account.spend(Names::all().of(Whose { tenant: 0, rule }), i128::from(admitted));
        }
    }
}

fn request(rule: Option<u16>) -> Request<'static> {
    Request { rule, ..Request::of(Subject::Tenant, TENANTS[0].as_bytes()) }
}

fn drain(engine: &Arc<Engine>, now: Nanos) -> u64 {
    let (mut gate, mut ruling, mut admitted) = (engine.gate(), Ruling::default(), 0);
    loop {
        gate.decide(&request(Some(0)), 1, now, &mut ruling);
        if ruling.decision().outcome != Outcome::Ok {
            return admitted;
        }
        admitted += 1;
    }
}

#[test]
fn threads_that_take_the_last_tokens_leave_no_part_of_a_charge() {
    let mut pair = Pair::new();
    for _ in 0..ROUNDS {
        pair.now = pair.now + Nanos::from_millis(10);
        pair.exchange(Call::Urgent);
        pair.rush();
    }
    for _ in 0..3 {
        pair.exchange(Call::Close);
    }
    pair.account.check_is_even();
}
