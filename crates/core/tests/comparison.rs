//! A comparison counts what two gates of their own say to the same requests, and nothing of it reaches the one that decides.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use tollgate_core::comparison::{Comparison, Judge, Side};
use tollgate_core::lease::{OnFailure, Settings};
use tollgate_core::path::Method;
use tollgate_core::rollout::{Judged, Micros, Outcomes, Round};
use tollgate_core::{Engine, Epoch, Gate, KeyHasher, Nanos, Request, Ruling, Scope, Subject};

mod policies;

use policies::{compiled, parsed, roomy, start, tenant};

const ROUND: Round = Round { revision: 7, step: 1 };

fn engine(json: &str) -> Arc<Engine> {
    start(compiled(&parsed(json), []), roomy())
}

fn quota(quota: u64) -> String {
    format!(r#"{{ "default": {{ "quota": {quota}, "windowMs": 60000, "algorithm": "token-bucket" }} }}"#)
}

fn with_rules(tokens: u64, rules: &str) -> String {
    format!(
        r#"{{ "default": {{ "quota": {tokens}, "windowMs": 60000, "algorithm": "token-bucket" }}, "rules": [{rules}] }}"#
    )
}

/// A live gate, and a judge beside it.
struct Compared {
    gate: Gate,
    judge: Judge,
    ruling: Ruling,
}

impl Compared {
    fn new(live: &str, other: &str, side: Side) -> Self {
        let comparison = Comparison::new(engine(other), ROUND, Micros::from_secs(5), side);
        Self::with(&engine(live), &Arc::new(comparison))
    }

    fn with(live: &Arc<Engine>, comparison: &Arc<Comparison>) -> Self {
        let gate = live.gate();
        let judge = Judge::new(Arc::clone(comparison), gate.policy());
        Self { gate, judge, ruling: Ruling::default() }
    }

    fn decide(&mut self, request: &Request<'_>, cost: u64, now: Nanos) -> bool {
        let Self { gate, judge, ruling } = self;
        let generation = Some(gate.generation(now));
        assert!(gate.decide(&Request { generation, ..*request }, cost, now, ruling));
        judge.judge((gate.engine(), gate.policy(), ruling), request, cost, now);
        ruling.decision().allowed()
    }

    fn judged(&self) -> Judged {
        self.judge.comparison().tallies().judged
    }

    fn of(&self, name: &str) -> Option<Judged> {
        let tallies = self.judge.comparison().tallies();
        tallies.tenants.iter().find(|tenant| tenant.name == name).map(|tenant| tenant.judged)
    }
}

const OLD: &str = r#"
    { "name": "search", "match": { "path": ["/search"] }, "quota": 4, "windowMs": 60000 },
    { "name": "by-user", "per": ["user"], "quota": 5, "windowMs": 60000 },
    { "name": "in-flight", "concurrency": 1 }"#;
const CANDIDATE: &str = r#"
    { "name": "by-region", "per": ["region"], "quota": 6, "windowMs": 60000 },
    { "name": "search", "match": { "path": ["/search"] }, "quota": 2, "windowMs": 60000 }"#;

const TENANTS: [&str; 4] = ["acme", "globex", "initech", "hooli"];

#[derive(Debug, Clone)]
struct Asked {
    tenant: &'static str,
    user: Option<&'static str>,
    region: Option<&'static str>,
    path: &'static str,
    search: bool,
    cost: u64,
    after: u64,
}

fn asked() -> impl Strategy<Value = Asked> {
    let (user, region) = (select(&[None, Some("ada")][..]), select(&[None, Some("eu")][..]));
    let path = select(&["/search", "/items"][..]);
    let rest = (prop::bool::weighted(0.2), 0..3_u64, 0..4_000_u64);
    (select(&TENANTS[..]), user, region, path, rest).prop_map(
        |(tenant, user, region, path, (search, cost, after))| Asked {
            tenant,
            user,
            region,
            path,
            search,
            cost,
            after,
        },
    )
}

/// Every bucket that there is, at no cost: those that a request finds missing later begin where the live ones stand.
fn everything() -> Vec<Asked> {
    let mut all = Vec::new();
    for tenant in TENANTS {
        for (user, region) in [(None, None), (Some("ada"), Some("eu"))] {
            for path in ["/search", "/items"] {
                all.push(Asked { tenant, user, region, path, search: false, cost: 0, after: 0 });
            }
        }
    }
    all
}

/// A gate by itself, that asks as its policy wants it.
struct Twin {
    gate: Gate,
    ruling: Ruling,
}

impl Twin {
    fn new(json: &str) -> Self {
        Self { gate: engine(json).gate(), ruling: Ruling::default() }
    }

    fn admits(&mut self, asked: &Asked, now: Nanos) -> bool {
        let Self { gate, ruling } = self;
        let image = gate.policy().image();
        let named =
            image.key_names().iter().map(|key| (&**key == "region").then_some(asked.region).flatten());
        let values: Vec<Option<&[u8]>> =
            [None, asked.user].into_iter().chain(named).map(|value| value.map(str::as_bytes)).collect();
        let request = Request {
            method: Method::OTHER,
            target: Some(asked.path.as_bytes()),
            values: &values,
            rule: asked.search.then(|| image.rule_named("search")).flatten(),
            ..tenant(asked.tenant)
        };
        assert!(gate.decide(&request, asked.cost, now, ruling));
        for slot in ruling.charges().filter(|charge| charge.slot) {
            gate.give_back(slot, now, now);
        }
        ruling.decision().allowed()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_counted_is_what_two_gates_of_their_own_say(
        requests in prop::collection::vec(asked(), 1..120),
        candidate_is_live: bool,
    ) {
        let (old, candidate) = (with_rules(9, OLD), with_rules(8, CANDIDATE));
        let (live, other, side) = if candidate_is_live {
            (&candidate, &old, Side::Candidate)
        } else {
            (&old, &candidate, Side::Old)
        };
        let mut compared = Compared::new(live, other, side);
        let (mut old, mut candidate) = (Twin::new(&old), Twin::new(&candidate));
        let (mut total, mut each) = (Judged::default(), BTreeMap::<&str, Judged>::new());
        let mut now = Nanos::ZERO;
        for asked in everything().iter().chain(&requests) {
            now = now + Nanos::from_millis(asked.after);
            let said = (old.admits(asked, now), candidate.admits(asked, now));
            for judged in [&mut total, each.entry(asked.tenant).or_default()] {
                judged.requests += 1;
                judged.conforming += u64::from(said.0);
                judged.now_denied += u64::from(said == (true, false));
                judged.now_admitted += u64::from(said == (false, true));
            }
            let live = if candidate_is_live { said.1 } else { said.0 };
            let wants = compared.judge.wants().keys.clone();
            let named = wants.iter().map(|key| (&**key == "region").then_some(asked.region).flatten());
            let values: Vec<Option<&[u8]>> =
                [None, asked.user].into_iter().chain(named).map(|value| value.map(str::as_bytes)).collect();
            let rule = compared.gate.policy().image().rule_named("search").filter(|_| asked.search);
            let request = Request { target: Some(asked.path.as_bytes()), values: &values, rule, ..tenant(asked.tenant) };
            prop_assert_eq!(compared.decide(&request, asked.cost, now), live, "the live one decides as if alone");
            for slot in compared.ruling.charges().filter(|charge| charge.slot) {
                compared.gate.give_back(slot, now, now);
            }
        }
        prop_assert_eq!(compared.judged(), total);
        for (name, judged) in each {
            prop_assert_eq!(compared.of(name), Some(judged), "{}", name);
        }
    }
}

#[test]
fn a_small_tenant_that_is_cut_is_seen_though_the_fleet_hardly_is() {
    let mut compared = Compared::new(&quota(1000), &quota(8), Side::Old);
    for request in 0..10 {
        compared.decide(&tenant("small"), 1, Nanos::ZERO);
        for other in 0..20 {
            compared.decide(&tenant(&format!("tenant {}", request * 20 + other)), 1, Nanos::ZERO);
        }
    }
    let small = compared.of("small").unwrap();
    assert_eq!((small.conforming, small.now_denied), (10, 2));
    let Judged { conforming, now_denied, .. } = compared.judged();
    assert_eq!((conforming, now_denied), (210, 2));
}

#[test]
fn a_bucket_that_was_spent_from_before_is_compared_from_where_it_stands() {
    for side in [Side::Old, Side::Candidate] {
        let live = engine(&with_rules(100, OLD));
        let mut gate = live.gate();
        while gate.consume(Subject::Tenant, b"acme", 1, Nanos::ZERO).allowed() {}
        let comparison = Comparison::new(engine(&with_rules(100, OLD)), ROUND, Micros::ZERO, side);
        let mut compared = Compared::with(&live, &Arc::new(comparison));
        for second in 0..300 {
            let now = Nanos::from_secs(second);
            compared.decide(&tenant("acme"), 1, now);
            for slot in compared.ruling.charges().filter(|charge| charge.slot) {
                compared.gate.give_back(slot, now, now);
            }
        }
        let Judged { requests, now_denied, now_admitted, conforming, .. } = compared.judged();
        assert_eq!((requests, now_denied, now_admitted), (300, 0, 0));
        assert!(conforming > 20 && conforming < 300);
    }
}

#[test]
fn what_comes_back_comes_back_in_both() {
    let mut compared = Compared::new(&quota(10), &quota(10), Side::Candidate);
    for _ in 0..50 {
        assert!(compared.decide(&tenant("acme"), 5, Nanos::ZERO));
        for charge in compared.ruling.charges() {
            compared.gate.give_back(charge, Nanos::ZERO, Nanos::ZERO);
        }
        let charges: Vec<_> = compared.judge.charges().collect();
        assert_eq!(charges.len(), 1);
        for charge in charges {
            compared.judge.gate().give_back(charge, Nanos::ZERO, Nanos::ZERO);
        }
    }
    assert_eq!(compared.judged().now_denied, 0);
}

#[test]
fn slots_are_not_judged() {
    let rule = r#"{ "name": "in-flight", "concurrency": 1 }"#;
    let mut compared = Compared::new(&with_rules(10, rule), &with_rules(10, rule), Side::Candidate);
    assert!(compared.decide(&tenant("acme"), 1, Nanos::ZERO));
    assert!(!compared.decide(&tenant("acme"), 1, Nanos::ZERO), "the only slot is held");
    assert_eq!(compared.judged(), Judged { requests: 1, conforming: 1, ..Judged::default() });
}

#[test]
fn what_the_service_blocks_says_nothing_of_a_policy() {
    let mut compared = Compared::new(&quota(10), &quota(10), Side::Candidate);
    let request = tenant("acme");
    compared.gate.block(&request, Nanos::from_secs(1), Nanos::ZERO).unwrap();
    assert!(!compared.decide(&request, 1, Nanos::ZERO));
    assert_eq!(compared.judged(), Judged::default());
}

#[test]
fn what_waits_for_a_lease_is_not_judged_on_either_side() {
    let shared = |json: &str| {
        let settings = Settings {
            instance: 1,
            interval: Nanos::from_millis(100),
            time_to_live: Nanos::from_secs(2),
            credit: 0,
            on_failure: OnFailure::Local,
        };
        let (hasher, policy) = (KeyHasher::with_secret(3, 5), compiled(&parsed(json), []));
        Arc::new(Engine::shared(hasher, policy, roomy(), Epoch::default(), settings).unwrap())
    };
    for (live, other) in [(engine(&quota(5)), shared(&quota(5))), (shared(&quota(5)), engine(&quota(5)))] {
        let comparison = Comparison::new(Arc::clone(&other), ROUND, Micros::ZERO, Side::Old);
        let mut compared = Compared::with(&live, &Arc::new(comparison));
        for _ in 0..3 {
            compared.decide(&tenant("acme"), 1, Nanos::ZERO);
        }
        assert_eq!(compared.judged(), Judged::default());
        let left = other.gate().peek(Subject::Tenant, b"acme", 1, Nanos::ZERO).remaining;
        assert_eq!(left, 5, "and nothing is charged");
    }
}

#[test]
fn a_rule_that_only_the_other_policy_has_is_asked_for_past_the_rules_of_the_live_one() {
    let rule = r#"{ "name": "export", "match": { "path": ["/export"] }, "quota": 1, "windowMs": 60000 }"#;
    let mut compared = Compared::new(&with_rules(10, OLD), &with_rules(10, rule), Side::Old);
    let policy = Arc::clone(compared.gate.policy());
    let asked = |name| compared.judge.rule_asked(&policy, name);
    assert_eq!((asked("search"), asked("export"), asked("none")), (Some(0), Some(3), None));
    let request = Request { rule: Some(3), scope: Scope::RuleAlone, ..tenant("acme") };
    for _ in 0..3 {
        assert!(compared.decide(&request, 1, Nanos::ZERO));
    }
    assert_eq!(compared.judged().now_denied, 2);
}

#[test]
fn a_flood_of_names_takes_no_more_than_its_places_and_leaves_those_of_the_policy() {
    let named = policies::bucket(5, 0, policies::MINUTE);
    let candidate = start(compiled(&parsed(&quota(1000)), [("small", named)]), roomy());
    let comparison = Arc::new(Comparison::new(candidate, ROUND, Micros::ZERO, Side::Old));
    let mut compared = Compared::with(&engine(&quota(1000)), &comparison);
    for name in 0..10_000 {
        compared.decide(&tenant(&format!("name {name}")), 1, Nanos::ZERO);
    }
    for _ in 0..10 {
        compared.decide(&tenant("small"), 1, Nanos::ZERO);
    }
    let tallies = comparison.tallies();
    assert_eq!(tallies.judged.requests, 10_010);
    assert_eq!(tallies.tenants.len(), 64);
    assert!(tallies.tenants.is_sorted_by_key(|tenant| tenant.hash));
    assert_eq!(compared.of("small").unwrap().now_denied, 5);
}

#[test]
fn clients_without_a_tenant_count_in_the_totals_alone() {
    let mut compared = Compared::new(&quota(10), &quota(1), Side::Old);
    for _ in 0..3 {
        compared.decide(&Request::of(Subject::Anonymous, b"203.0.113.1"), 1, Nanos::ZERO);
    }
    assert_eq!(compared.judged().now_denied, 2);
    assert_eq!(compared.judge.comparison().tallies().tenants, []);
}

#[test]
fn what_ends_is_counted_by_side_and_what_cannot_be_judged_against_the_other_one() {
    let comparison = Comparison::new(engine(&quota(1)), ROUND, Micros::from_secs(5), Side::Old);
    comparison.ended(Side::Old, true, false);
    comparison.ended(Side::Candidate, false, false);
    comparison.failed();
    let swapped = Comparison::new(engine(&quota(2)), ROUND, Micros::from_secs(9), Side::Candidate);
    let swapped = swapped.going_on_from(&comparison);
    swapped.failed();
    let tallies = swapped.tallies();
    assert_eq!((tallies.round, tallies.began), (ROUND, Micros::from_secs(5)));
    assert_eq!(tallies.by_old, Outcomes { requests: 2, server_errors: 1, limiter_errors: 1 });
    assert_eq!(tallies.by_candidate, Outcomes { requests: 2, server_errors: 0, limiter_errors: 1 });
}

#[test]
fn a_flood_of_one_tenant_keeps_within_its_bounds_under_either_policy() {
    for side in [Side::Old, Side::Candidate] {
        let mut compared = Compared::new(&quota(600), &quota(300), side);
        for tick in 0..200_000_u64 {
            compared.decide(&tenant("acme"), 1, Nanos::new(tick * 50_000));
        }
        let tallies = compared.judge.comparison().tallies();
        assert_eq!(tallies.judged.breaches, 0);
        assert!(tallies.peak_burst > 0.9 && tallies.peak_burst <= 1.0, "{}", tallies.peak_burst);
    }
}

#[test]
fn threads_count_every_request_once() {
    const THREADS: usize = 4;
    const EACH: usize = 20_000;
    let live = engine(&quota(1_000_000));
    let comparison = Arc::new(Comparison::new(engine(&quota(100)), ROUND, Micros::ZERO, Side::Old));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut compared = Compared::with(&live, &comparison);
                for request in 0..EACH {
                    compared.decide(&tenant(TENANTS[request % 4]), 1, Nanos::ZERO);
                }
            });
        }
    });
    let tallies = comparison.tallies();
    let all = (THREADS * EACH) as u64;
    // Where a bucket begins, a request that another thread has charged and not judged yet may count twice.
    let admitted = 101 - THREADS as u64..=100;
    let Judged { requests, conforming, .. } = tallies.judged;
    assert_eq!((requests, conforming), (all, all));
    for tenant in &tallies.tenants {
        let Judged { requests, now_denied, .. } = tenant.judged;
        assert_eq!(requests, all / 4);
        assert!(admitted.contains(&(requests - now_denied)), "{now_denied} of {requests} denied");
    }
    let now_denied: u64 = tallies.tenants.iter().map(|tenant| tenant.judged.now_denied).sum();
    assert_eq!(tallies.judged.now_denied, now_denied);
}

#[test]
fn a_policy_that_is_amended_while_it_is_compared_is_judged_as_it_is_now() {
    let candidate = engine(&quota(5));
    let comparison = Arc::new(Comparison::new(Arc::clone(&candidate), ROUND, Micros::ZERO, Side::Old));
    let live = engine(&quota(100));
    let mut compared = Compared::with(&live, &comparison);
    compared.decide(&tenant("acme"), 1, Nanos::ZERO);
    for engine in [&live, &candidate] {
        let row = policies::row(policies::bucket(50, 0, policies::MINUTE));
        engine.amend(|draft| draft.upsert("acme", row), Nanos::ZERO).unwrap().unwrap();
    }
    for _ in 0..49 {
        compared.decide(&tenant("acme"), 1, Nanos::ZERO);
    }
    assert_eq!(compared.judged(), Judged { requests: 50, conforming: 50, ..Judged::default() });
}
