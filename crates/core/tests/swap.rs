//! Policies that are swapped as fast as they can be, under full load: each request is decided by one of them whole, and no
//! charge is lost, made twice or given back twice.
//!
//! For ten seconds' worth of a thousand swaps each: `cargo test --release -p tollgate-core --test swap -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use tollgate_core::path::Method;
use tollgate_core::policy::Compiled;
use tollgate_core::{Charged, Gate, Nanos, Request, Ruling, Subject};

mod policies;

use policies::{bucket, compiled, parsed, roomy, start};

const HOUR: Nanos = Nanos::from_secs(3600);
/// Somewhere in the first hour, where nothing refills.
const NOW: Nanos = Nanos::from_secs(600);
/// What each user has of the rule `steady`, by either policy.
const STEADY: u64 = 2_000;
/// So few that the table stays as small as tables are: what is measured is swapping, not growth.
const USERS: usize = 200;

/// acme 100 and globex 100,000,000; ten searches, and up to three requests in flight.
fn first() -> Compiled {
    let spec = parsed(
        r#"{
            "default": { "quota": 1000, "windowMs": 3600000, "algorithm": "token-bucket" },
            "rules": [
                { "name": "search", "match": { "path": ["/search"] }, "quota": 10, "windowMs": 3600000 },
                { "name": "steady", "match": { "path": ["/work"] }, "per": ["user"],
                  "quota": 2000, "windowMs": 3600000, "algorithm": "token-bucket" },
                { "name": "flight", "match": { "path": ["/work"] }, "concurrency": 3 }
            ]
        }"#,
    );
    compiled(&spec, [("acme", bucket(100, 0, HOUR)), ("globex", bucket(100_000_000, 0, HOUR))])
}

/// acme 50 and globex 90,000,000; no limit on searches, users by another algorithm, and up to two requests in flight.
fn second() -> Compiled {
    let spec = parsed(
        r#"{
            "default": { "quota": 1000, "windowMs": 3600000, "algorithm": "token-bucket" },
            "rules": [
                { "name": "steady", "match": { "path": ["/work"] }, "per": ["user"],
                  "quota": 1500, "burst": 500, "windowMs": 3600000, "algorithm": "fixed-window" },
                { "name": "flight", "match": { "path": ["/work"] }, "concurrency": 2 }
            ]
        }"#,
    );
    compiled(&spec, [("acme", bucket(50, 0, HOUR)), ("globex", bucket(90_000_000, 0, HOUR))])
}

/// The rules and quotas of the limits that apply to a search of acme's, and to work of globex's, by either policy.
const SEARCHES: [&[(Option<u16>, u64)]; 2] = [&[(None, 100), (Some(0), 10)], &[(None, 50)]];
const WORK: [&[(Option<u16>, u64)]; 2] = [
    &[(None, 100_000_000), (Some(1), 2_000), (Some(2), 3)],
    &[(None, 90_000_000), (Some(0), 1_500), (Some(1), 2)],
];

/// What was admitted, of all threads.
struct Admitted {
    searches: AtomicU64,
    work: AtomicU64,
    /// By user.
    steady: Vec<AtomicU64>,
    /// The user whose work is done now.
    user: AtomicUsize,
    in_flight: AtomicU64,
    most_in_flight: AtomicU64,
    decisions: AtomicU64,
    /// Requests that were put together for the other policy.
    undecided: AtomicU64,
    /// By which policy they were made.
    by: [AtomicU64; 2],
}

/// Which policy's limits are these? They are those of one.
fn policy_of(ruling: &Ruling, limits: [&[(Option<u16>, u64)]; 2]) -> usize {
    let told: Vec<_> = ruling.applied().iter().map(|each| (each.rule, each.decision.quota)).collect();
    let policy = limits.iter().position(|limits| *limits == told);
    assert!(policy.is_some(), "half a policy: {told:?}");
    policy.unwrap_or_default()
}

fn request<'a>(name: &'a str, target: &'a str, values: &'a [Option<&'a [u8]>]) -> Request<'a> {
    let (name, target) = (name.as_bytes(), Some(target.as_bytes()));
    Request { method: Method::GET, target, values, ..Request::of(Subject::Tenant, name) }
}

/// One thread's load.
struct Load<'a> {
    gate: Gate,
    admitted: &'a Admitted,
    ruling: Ruling,
    held: Vec<Charged>,
}

impl Load<'_> {
    fn search(&mut self) {
        self.gate.decide(&request("acme", "/search", &[]), 1, NOW, &mut self.ruling);
        self.count(policy_of(&self.ruling, SEARCHES));
        if self.ruling.decision().allowed() {
            self.admitted.searches.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn work(&mut self) {
        let user = self.admitted.user.load(Ordering::Relaxed);
        let name = user.to_string();
        let values = [None, Some(name.as_bytes())];
        // A rule by its number, which is another one's by the other policy.
        let generation = Some(self.gate.generation(NOW));
        let rule = self.gate.policy().image().rule_named("steady");
        let request = Request { rule, generation, ..request("globex", "/work", &values) };
        if !self.gate.decide(&request, 1, NOW, &mut self.ruling) {
            self.admitted.undecided.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let policy = policy_of(&self.ruling, WORK);
        self.count(policy);
        if self.ruling.decision().allowed() {
            self.admitted.work.fetch_add(1, Ordering::Relaxed);
            self.admitted.steady[user].fetch_add(1, Ordering::Relaxed);
            let before = self.admitted.in_flight.fetch_add(1, Ordering::SeqCst);
            self.admitted.most_in_flight.fetch_max(before + 1, Ordering::Relaxed);
            self.held.extend(self.ruling.charges().filter(|charge| charge.slot));
        } else if !self.ruling.applied()[1].decision.allowed() {
            self.admitted.user.fetch_max((user + 1).min(USERS - 1), Ordering::Relaxed);
        }
    }

    fn end_work(&mut self) {
        if let Some(slot) = self.held.pop() {
            self.admitted.in_flight.fetch_sub(1, Ordering::SeqCst);
            self.gate.give_back(slot, NOW, NOW);
        }
    }

    fn count(&self, policy: usize) {
        self.admitted.decisions.fetch_add(1, Ordering::Relaxed);
        self.admitted.by[policy].fetch_add(1, Ordering::Relaxed);
    }

    /// A bit of everything, until there is no more swap to come.
    fn run(mut self, running: &AtomicBool) {
        let mut step = 0_usize;
        while running.load(Ordering::Relaxed) {
            match step % 8 {
                0 => self.search(),
                3 | 5 | 7 => self.end_work(),
                _ => self.work(),
            }
            step += 1;
        }
        while !self.held.is_empty() {
            self.end_work();
        }
    }
}

/// What is left of each limit that applies.
fn left(gate: &mut Gate, request: &Request<'_>) -> Vec<u64> {
    let mut ruling = Ruling::default();
    gate.examine(request, 0, NOW, &mut ruling);
    ruling.applied().iter().map(|each| each.decision.remaining).collect()
}

/// Swaps the two policies so many times, which is even, while two threads send requests at one instant.
fn swap(swaps: u64) {
    let engine = start(first(), roomy());
    let count = || AtomicU64::new(0);
    let admitted = Admitted {
        searches: count(),
        work: count(),
        steady: (0..USERS).map(|_| count()).collect(),
        user: AtomicUsize::new(0),
        in_flight: count(),
        most_in_flight: count(),
        decisions: count(),
        undecided: count(),
        by: [count(), count()],
    };
    let running = AtomicBool::new(true);
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..2 {
            let (gate, ruling) = (engine.gate(), Ruling::default());
            let load = Load { gate, admitted: &admitted, ruling, held: Vec::new() };
            scope.spawn(|| load.run(&running));
        }
        let policies = [second(), first()];
        for policy in policies.iter().cycle().take(usize::try_from(swaps).unwrap()) {
            assert!(engine.replace(policy.clone(), NOW).unwrap());
        }
        running.store(false, Ordering::Relaxed);
    });
    let seconds = began.elapsed().as_secs_f64();
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{swaps} swaps and {} decisions in {seconds:.1} s: {} by the first policy, {} by the second; {} to be asked again",
        of(&admitted.decisions),
        of(&admitted.by[0]),
        of(&admitted.by[1]),
        of(&admitted.undecided),
    );

    // A quota that is lowered by 50 forgives 50 at most; a rule that comes again begins anew.
    assert!(of(&admitted.searches) <= 100 + 50 * swaps / 2);
    assert!(of(&admitted.most_in_flight) <= 3);
    let mut gate = engine.gate();
    let last = of(&admitted.work);
    for user in 0..=admitted.user.load(Ordering::Relaxed) {
        let (name, steady) = (user.to_string(), of(&admitted.steady[user]));
        let values = [None, Some(name.as_bytes())];
        assert_eq!(
            left(&mut gate, &request("globex", "/work", &values)),
            [100_000_000 - last, STEADY - steady, 3],
            "user {user}"
        );
    }
    assert_eq!(engine.stats().overflowed, 0);
}

#[test]
fn policies_swapped_under_load_charge_each_request_by_one_of_them() {
    swap(2_000);
}

#[test]
#[ignore = "ten seconds' worth of swaps"]
fn policies_swapped_ten_thousand_times_charge_each_request_by_one_of_them() {
    swap(10_000);
}

/// A hundred a second, as a bucket and in windows.
fn by_the_second(quota: u64) -> Compiled {
    let burst = 100 - quota;
    let spec = parsed(&format!(
        r#"{{
            "default": {{ "quota": {quota}, "burst": {burst}, "windowMs": 1000, "algorithm": "token-bucket" }},
            "rules": [{{ "name": "window", "match": {{ "path": ["/window"] }},
                        "quota": {quota}, "burst": {burst}, "windowMs": 1000, "algorithm": "fixed-window" }}]
        }}"#
    ));
    compiled(&spec, [("globex", bucket(1_000_000, 0, Nanos::from_secs(1)))])
}

/// Requests that are admitted, and that are refused.
#[derive(Default)]
struct Count {
    admitted: AtomicU64,
    refused: AtomicU64,
}

impl Count {
    fn add(&self, allowed: bool) {
        let count = if allowed { &self.admitted } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// 100 a second, and by the other policy 50 a second with a burst of 50: at no time does a bucket hold more than 100, and it
/// is refilled by 100 a second at most and by 50 at least.
#[test]
fn policies_swapped_while_time_passes_refill_nothing_besides() {
    const SWAPS: u64 = 1_000;
    const STEP: Nanos = Nanos::from_millis(3);
    let engine = start(by_the_second(100), roomy());
    let (clock, running) = (AtomicU64::new(0), AtomicBool::new(true));
    let (buckets, windows) = (Count::default(), Count::default());
    thread::scope(|scope| {
        for _ in 0..2 {
            let (mut gate, mut ruling) = (engine.gate(), Ruling::default());
            let (clock, running, buckets, windows) = (&clock, &running, &buckets, &windows);
            scope.spawn(move || {
                while running.load(Ordering::Relaxed) {
                    for (count, name, target) in [(buckets, "acme", "/"), (windows, "globex", "/window")] {
                        let now = Nanos::new(clock.load(Ordering::Relaxed));
                        gate.decide(&request(name, target, &[]), 1, now, &mut ruling);
                        count.add(ruling.decision().allowed());
                    }
                }
            });
        }
        let policies = [by_the_second(50), by_the_second(100)];
        for policy in policies.iter().cycle().take(usize::try_from(SWAPS).unwrap()) {
            let refused = [&buckets, &windows].map(|count| (count, count.refused.load(Ordering::Relaxed)));
            let now = clock.fetch_add(STEP.get(), Ordering::Relaxed) + STEP.get();
            assert!(engine.replace(policy.clone(), Nanos::new(now)).unwrap());
            // What there is has been taken before time goes on.
            while refused.iter().any(|(count, before)| count.refused.load(Ordering::Relaxed) <= before + 2) {
                thread::yield_now();
            }
        }
        running.store(false, Ordering::Relaxed);
    });
    let seconds = SWAPS * STEP.get() / Nanos::from_secs(1).get();
    let (buckets, windows) = (buckets.admitted.into_inner(), windows.admitted.into_inner());
    println!("{SWAPS} swaps in {seconds} s of time: {buckets} by the bucket, {windows} in windows");
    assert!((100 + 50 * seconds..=100 + 100 * seconds).contains(&buckets), "{buckets}");
    assert!((100 * seconds..=100 * (seconds + 1)).contains(&windows), "{windows}");
}
