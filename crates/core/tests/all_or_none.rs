//! Many threads, one instant, requests that are charged to four limits each: every limit has been charged exactly what was
//! admitted, so nothing was charged in part, and nothing that was refused is missing.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tollgate_core::policy::Compiled;
use tollgate_core::{Gate, Nanos, Request, Ruling, Subject};

mod policies;

use policies::{compiled, parsed, roomy, start};

const THREADS: usize = 4;
const ROUNDS: usize = 40_000;
const TENANTS: usize = 4;
const USERS: usize = 5;
const ADDRESSES: usize = 3;

/// What a tenant has in all, of one rule, and a user and an address of two others, each counted otherwise. All of it is
/// wanted about twice.
const QUOTAS: [u64; 4] = [20_000, 19_000, 15_000, 26_000];

fn policy() -> Compiled {
    let [tenant, rule, user, address] = QUOTAS;
    compiled(
        &parsed(&format!(
            r#"{{
                "default": {{ "quota": {tenant}, "windowMs": 3600000, "algorithm": "token-bucket" }},
                "rules": [
                    {{ "name": "tenant", "quota": {rule}, "windowMs": 3600000 }},
                    {{ "name": "user", "per": ["user"],
                       "quota": {user}, "windowMs": 3600000, "algorithm": "fixed-window" }},
                    {{ "name": "address", "per": ["ip"],
                       "quota": {address}, "windowMs": 3600000, "algorithm": "sliding-window" }}
                ]
            }}"#
        )),
        [],
    )
}

/// A tenant, a user and an address, by number.
#[derive(Debug, Clone, Copy)]
struct Who(usize, usize, usize);

impl Who {
    fn ask(self, gate: &mut Gate, ruling: &mut Ruling, cost: Option<u64>) {
        let [tenant, user, address] = [self.0, self.1, self.2].map(|number| number.to_string());
        let values = [Some(address.as_bytes()), Some(user.as_bytes())];
        let request = Request { values: &values, ..Request::of(Subject::Tenant, tenant.as_bytes()) };
        match cost {
            Some(cost) => gate.decide(&request, cost, Nanos::ZERO, ruling),
            None => gate.examine(&request, 1, Nanos::ZERO, ruling),
        };
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..TENANTS).flat_map(|tenant| {
            (0..USERS).flat_map(move |user| (0..ADDRESSES).map(move |address| Self(tenant, user, address)))
        })
    }
}

/// Tokens by tenant, by user and by address.
#[derive(Debug, Clone, Copy, Default)]
struct Admitted {
    tenants: [u64; TENANTS],
    users: [u64; USERS],
    addresses: [u64; ADDRESSES],
}

impl Admitted {
    fn add(&mut self, Who(tenant, user, address): Who, cost: u64) {
        self.tenants[tenant] += cost;
        self.users[user] += cost;
        self.addresses[address] += cost;
    }

    fn merge(&mut self, other: &Self) {
        let pairs = self.tenants.iter_mut().zip(&other.tenants);
        let pairs = pairs.chain(self.users.iter_mut().zip(&other.users));
        pairs.chain(self.addresses.iter_mut().zip(&other.addresses)).for_each(|(sum, more)| *sum += more);
    }
}

/// What one thread gets, in an order of its own.
fn spend(mut gate: Gate, thread: usize) -> Admitted {
    let (mut admitted, mut ruling) = (Admitted::default(), Ruling::default());
    for step in 0..ROUNDS {
        let turn = step * [1, 3, 7, 11][thread] + thread;
        let who = Who(turn % TENANTS, turn / 2 % USERS, turn / 3 % ADDRESSES);
        let cost = 1 + (turn % 3) as u64;
        who.ask(&mut gate, &mut ruling, Some(cost));
        assert_eq!(ruling.applied().len(), QUOTAS.len());
        if ruling.decision().allowed() {
            admitted.add(who, cost);
        }
    }
    admitted
}

#[test]
fn every_limit_is_charged_what_was_admitted_to_the_token() {
    let engine = start(policy(), roomy());
    let (barrier, running) = (Barrier::new(THREADS), AtomicBool::new(true));
    let mut admitted = Admitted::default();
    thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            while running.load(Ordering::Relaxed) {
                engine.sweep(Nanos::ZERO);
                engine.upkeep(Nanos::ZERO);
                thread::yield_now();
            }
        });
        let spenders: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (gate, barrier) = (engine.gate(), &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    spend(gate, thread)
                })
            })
            .collect();
        for spender in spenders {
            admitted.merge(&spender.join().unwrap());
        }
        running.store(false, Ordering::Relaxed);
        sweeper.join().unwrap();
    });
    let (mut gate, mut ruling) = (engine.gate(), Ruling::default());
    for who in Who::all() {
        who.ask(&mut gate, &mut ruling, None);
        let left: Vec<u64> = ruling.applied().iter().map(|each| each.decision.remaining).collect();
        let [tenant, rule, user, address] = QUOTAS;
        let expected = [
            tenant - admitted.tenants[who.0],
            rule - admitted.tenants[who.0],
            user - admitted.users[who.1],
            address - admitted.addresses[who.2],
        ];
        assert_eq!(left, expected, "{who:?}");
    }
    // And what is left is there for who asks: until each request is refused by a limit that is spent.
    for who in Who::all() {
        while {
            who.ask(&mut gate, &mut ruling, Some(1));
            ruling.decision().allowed()
        } {}
        assert!(ruling.applied().iter().any(|each| each.decision.remaining == 0), "{who:?}");
    }
    assert_eq!(engine.stats().overflowed, 0);
}
