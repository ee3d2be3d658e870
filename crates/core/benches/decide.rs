//! The core's decision beside governor's keyed check, on the same keys, costs and quota: `cargo bench -p tollgate-core`.
//!
//! Time is a parameter of the core, while governor reads a clock of its own; so each is measured with time given and with
//! a clock read, and governor also as it comes, with its fastest clock. Before anything is timed, both are asserted to
//! admit the same requests.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use governor::clock::{FakeRelativeClock, MonotonicClock};
use governor::{Quota, RateLimiter};
use tollgate_core::policy::{Draft, OptimizationLevel, Spec};
use tollgate_core::{Capacity, Engine, Epoch, Gate, KeyHasher, Nanos, Subject};

const QUOTA: NonZeroU32 = NonZeroU32::new(1000).unwrap();

fn gate() -> Gate {
    let hasher = KeyHasher::random();
    let limit = format!(r#"{{ "quota": {QUOTA}, "windowMs": 1000, "algorithm": "token-bucket" }}"#);
    let spec = Spec::parse(format!(r#"{{ "default": {limit} }}"#).as_bytes()).unwrap();
    let policy = Draft::new(&spec, OptimizationLevel::default()).unwrap().compile().unwrap();
    let capacity = Capacity { max_keys: 2_000_000, key_share: 1.0 };
    Arc::new(Engine::new(hasher, policy, capacity, Epoch::default()).unwrap()).gate()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("tenant-{index}")).collect()
}

fn assert_equal_decisions() {
    let clock = FakeRelativeClock::default();
    let peer = RateLimiter::dashmap_with_clock(Quota::per_second(QUOTA), clock.clone());
    let (mut gate, names, mut now) = (gate(), names(7), Duration::ZERO);
    for step in 0_u64..40_000 {
        let name = &names[usize::try_from(step * step % 7).unwrap()];
        let ours =
            gate.consume(Subject::Tenant, name.as_bytes(), 1, Nanos::new(now.as_nanos().try_into().unwrap()));
        assert_eq!(ours.allowed(), peer.check_key(name).is_ok(), "step {step}");
        let pause = Duration::from_micros(step % 13 * 10);
        clock.advance(pause);
        now += pause;
    }
}

/// Visits the names in turn. They lie side by side, so what is measured is the table, not the reading of names.
struct Visit(usize);

impl Visit {
    fn next<'a>(&mut self, names: &'a [[u8; 16]]) -> &'a [u8; 16] {
        self.0 = if self.0 + 1 < names.len() { self.0 + 1 } else { 0 };
        &names[self.0]
    }
}

fn nanos(since: Instant) -> Nanos {
    Nanos::new(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

fn decide(criterion: &mut Criterion) {
    assert_equal_decisions();
    for keys in [1_000, 1_000_000] {
        let names: Vec<[u8; 16]> =
            (0..keys).map(|index| format!("tenant-{index:09}").into_bytes().try_into().unwrap()).collect();
        let mut group = criterion.benchmark_group(format!("{keys} keys"));
        let start = Instant::now();

        let (mut gate, mut visit, mut now) = (gate(), Visit(0), 0);
        group.bench_function("tollgate, time given", |bench| {
            bench.iter(|| {
                now += 1_000;
                black_box(gate.consume(Subject::Tenant, visit.next(&names), 1, Nanos::new(now)).allowed())
            });
            if gate.take_wants_upkeep() {
                gate.engine().upkeep(Nanos::new(now));
            }
        });

        let (mut gate, mut visit) = (self::gate(), Visit(0));
        group.bench_function("tollgate, monotonic clock", |bench| {
            bench.iter(|| {
                black_box(gate.consume(Subject::Tenant, visit.next(&names), 1, nanos(start)).allowed())
            });
            if gate.take_wants_upkeep() {
                gate.engine().upkeep(nanos(start));
            }
        });

        let (clock, mut visit) = (FakeRelativeClock::default(), Visit(0));
        let peer = RateLimiter::dashmap_with_clock(Quota::per_second(QUOTA), clock.clone());
        group.bench_function("governor, time given", |bench| {
            bench.iter(|| {
                clock.advance(Duration::from_micros(1));
                black_box(peer.check_key(visit.next(&names)).is_ok())
            });
        });

        let (peer, mut visit) =
            (RateLimiter::dashmap_with_clock(Quota::per_second(QUOTA), MonotonicClock), Visit(0));
        group.bench_function("governor, monotonic clock", |bench| {
            bench.iter(|| black_box(peer.check_key(visit.next(&names)).is_ok()));
        });

        let (peer, mut visit) = (RateLimiter::keyed(Quota::per_second(QUOTA)), Visit(0));
        group.bench_function("governor, as it comes", |bench| {
            bench.iter(|| black_box(peer.check_key(visit.next(&names)).is_ok()));
        });
        group.finish();
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);
