//! Whatever the policy and the traffic, requests are decided as a list of limits and a map of what was spent say.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use tollgate_core::path::Method;
use tollgate_core::policy::OptimizationLevel;
use tollgate_core::{Charged, Engine, Gate, Nanos, Outcome, Request, Ruling, Scope, Subject};

mod model;
mod policies;

use model::declaration::compiled;
use model::meter::Counts;
use model::{Asked, Declared, Model, Rule, Verdict};
use policies::{roomy, start};

const TENANTS: [&str; 8] = ["acme", "globex", "initech", "hooli", "umbrella", "stark", "wayne", "tyrell"];
const TIERS: [&str; 3] = ["free", "gold", "none"];
const PATTERNS: [&str; 3] = ["/search", "/items/:id", "/items/:id/parts"];
const PATHS: [&str; 4] = ["/search", "/items/7", "/items/7/parts", "/elsewhere"];
const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "BREW"];
const USERS: [Option<&str>; 3] = [None, Some("ada"), Some("grace")];
const ADDRESSES: [Option<&str>; 3] = [None, Some("10.0.0.1"), Some("10.0.0.2")];

/// Tokens in a window. Quotas are such that a token takes a whole number of ticks, so that the core is exact.
fn tokens() -> impl Strategy<Value = Counts> {
    (0..3, 1..40_u64, 0..6_u64, select(&[1_000, 7_000, 60_000][..])).prop_map(
        |(algorithm, quota, burst, window_ms)| match algorithm {
            0 => Counts::Bucket { quota, burst, window_ms },
            1 => Counts::Fixed { quota, burst, window_ms },
            _ => Counts::Sliding { quota, burst, window_ms },
        },
    )
}

/// What a tenant may be granted.
fn quota() -> impl Strategy<Value = Counts> {
    prop_oneof![12 => tokens(), 1 => Just(Counts::Nothing), 1 => Just(Counts::Unlimited)]
}

fn rule() -> impl Strategy<Value = Rule> {
    let counts = prop_oneof![
        12 => tokens(),
        4 => (1..4_u64).prop_map(Counts::Held),
        1 => Just(Counts::Nothing),
        1 => Just(Counts::Unlimited),
    ];
    let per =
        select(vec![vec!["tenant"], vec!["ip"], vec!["user"], vec!["tenant", "user"], vec!["ip", "user"]]);
    let methods = select(vec![vec![], vec!["GET"], vec!["POST"]]);
    let path = prop::option::of(select(&PATTERNS[..]));
    let tiers = prop_oneof![3 => Just(Vec::new()), 1 => subsequence(&TIERS[..], 1..3)];
    let tenants = prop_oneof![3 => Just(Vec::new()), 1 => subsequence(&TENANTS[..], 1..4)];
    let rest = (prop::option::weighted(0.3, 1..4_u64), prop::bool::weighted(0.2));
    (counts, per, methods, path, tiers, tenants, rest).prop_map(
        |(counts, per, methods, path, tiers, tenants, (cost, shadow))| {
            let most = match counts {
                Counts::Held(most) => most,
                Counts::Bucket { quota, .. }
                | Counts::Fixed { quota, .. }
                | Counts::Sliding { quota, .. } => quota,
                Counts::Nothing | Counts::Unlimited => u64::MAX,
            };
            let cost = cost.map(|cost| cost.min(most));
            Rule { counts, per, methods, path, tiers, tenants, cost, shadow }
        },
    )
}

fn declared() -> impl Strategy<Value = Declared> {
    let rows = prop::collection::vec(
        prop::option::of((prop::option::of(select(&TIERS[..])), prop::option::of(quota()))),
        TENANTS.len(),
    );
    let tiers = (quota(), quota(), quota());
    let rules = prop::collection::vec(rule(), 0..7);
    (quota(), prop::bool::weighted(0.1), tiers, rows, rules).prop_map(
        |(default, refuses_unknown, (free, gold, none), rows, mut all)| {
            let mut rules = Vec::new();
            for rule in all.drain(..) {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
            let rows = TENANTS.into_iter().zip(rows).filter_map(|(name, row)| Some((name, row?)));
            let tiers = BTreeMap::from([("free", free), ("gold", gold), ("none", none)]);
            Declared { default, refuses_unknown, tiers, rows: rows.collect(), rules }
        },
    )
}

#[derive(Debug, Clone)]
struct Call {
    /// The last ones are addresses of clients without a tenant.
    subject: usize,
    method: &'static str,
    path: Option<&'static str>,
    address: Option<&'static str>,
    user: Option<&'static str>,
    rule: Option<usize>,
    rule_alone: bool,
    cost: u64,
}

#[derive(Debug, Clone)]
enum Step {
    Decide(Call),
    Examine(Call),
    /// One of the charges that are open.
    GiveBack(usize),
    /// In nanoseconds.
    Wait(u64),
    /// So many requests of tenants that come once.
    Flood(u32),
    Sweep,
    Upkeep,
    /// From now on, another thread's gate, which may be behind.
    Other,
}

fn call() -> impl Strategy<Value = Call> {
    let rule = prop::option::weighted(0.15, 0..6_usize);
    (
        0..TENANTS.len() + 2,
        select(&METHODS[..]),
        prop::option::weighted(0.9, select(&PATHS[..])),
        select(&ADDRESSES[..]),
        select(&USERS[..]),
        (rule, any::<bool>()),
        0..5_u64,
    )
        .prop_map(|(subject, method, path, address, user, (rule, alone), cost)| Call {
            subject,
            method,
            path,
            address,
            user,
            rule,
            rule_alone: alone && rule.is_some(),
            cost,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => call().prop_map(Step::Decide),
        6 => call().prop_map(Step::Examine),
        12 => any::<usize>().prop_map(Step::GiveBack),
        10 => (0..3_000_000_000_u64).prop_map(Step::Wait),
        1 => (3_000_000_000..90_000_000_000_u64).prop_map(Step::Wait),
        1 => (1..200_u32).prop_map(Step::Flood),
        1 => Just(Step::Sweep),
        2 => Just(Step::Upkeep),
        3 => Just(Step::Other),
    ]
}

/// An engine and what it should do, side by side.
struct Pair {
    engine: Arc<Engine>,
    gates: [Gate; 2],
    using: usize,
    model: Model,
    rules: usize,
    ruling: Ruling,
    now: u64,
    open: Vec<(Charged, u64, model::Charged)>,
    strangers: u32,
}

impl Pair {
    fn new(declared: Declared, level: OptimizationLevel) -> Self {
        let engine = start(compiled(&declared, level), roomy());
        let gates = [engine.gate(), engine.gate()];
        let rules = declared.rules.len();
        let (model, ruling) = (Model::new(declared), Ruling::default());
        Self { engine, gates, using: 0, model, rules, ruling, now: 0, open: Vec::new(), strangers: 0 }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let at = Nanos::new(self.now);
        match step {
            Step::Decide(call) => self.ask(call, None, true)?,
            Step::Examine(call) => self.ask(call, None, false)?,
            Step::GiveBack(index) if !self.open.is_empty() => {
                let (charged, then, expected) = self.open.swap_remove(index % self.open.len());
                self.gates[self.using].give_back(charged, Nanos::new(then), at);
                self.model.give_back(&expected, self.now);
            }
            Step::GiveBack(_) => {}
            Step::Wait(nanos) => self.now += nanos,
            Step::Flood(strangers) => {
                for _ in 0..*strangers {
                    self.strangers += 1;
                    let name = format!("stranger-{}", self.strangers);
                    let [address, user] = [ADDRESSES[1], USERS[1]];
                    let call = Call {
                        subject: 0,
                        method: "GET",
                        path: Some("/search"),
                        address,
                        user,
                        rule: None,
                        rule_alone: false,
                        cost: 1,
                    };
                    self.ask(&call, Some(&name), true)?;
                }
            }
            Step::Sweep => self.engine.sweep(at),
            Step::Upkeep => self.engine.upkeep(at),
            Step::Other => self.using = 1 - self.using,
        }
        Ok(())
    }

    fn ask(&mut self, call: &Call, stranger: Option<&str>, charge: bool) -> Result<(), TestCaseError> {
        let tenant = stranger.is_some() || call.subject < TENANTS.len();
        let name = match TENANTS.get(call.subject) {
            _ if stranger.is_some() => stranger.unwrap(),
            Some(name) => name,
            None => ADDRESSES[1 + call.subject - TENANTS.len()].unwrap(),
        };
        let rule = call.rule.filter(|&rule| rule < self.rules);
        let &Call { method, path, address, user, cost, .. } = call;
        let rule_alone = call.rule_alone && rule.is_some();
        let asked = Asked { tenant, name, method, path, address, user, rule, rule_alone };
        let request = Request {
            subject: if tenant { Subject::Tenant } else { Subject::Anonymous },
            name: name.as_bytes(),
            method: Method::of(method.as_bytes()),
            target: path.map(str::as_bytes),
            address: None,
            values: &[address.map(str::as_bytes), user.map(str::as_bytes)],
            rule: rule.map(|rule| u16::try_from(rule).unwrap()),
            scope: if rule_alone { Scope::RuleAlone } else { Scope::Everything },
            generation: None,
            last_word: false,
        };
        let (gate, now) = (&mut self.gates[self.using], Nanos::new(self.now));
        if !charge {
            gate.examine(&request, cost, now, &mut self.ruling);
            let expected = self.model.examine(&asked, cost, self.now);
            return agree(&self.ruling, &expected);
        }
        gate.decide(&request, cost, now, &mut self.ruling);
        let (expected, charged) = self.model.decide(&asked, cost, self.now);
        agree(&self.ruling, &expected)?;
        let given: Vec<Charged> = self.ruling.charges().collect();
        prop_assert_eq!(given.len(), charged.len(), "{:?}", given);
        self.open.extend(given.into_iter().zip(charged).map(|(given, charged)| (given, self.now, charged)));
        Ok(())
    }
}

/// Is it what was expected?
fn agree(ruling: &Ruling, expected: &Verdict) -> Result<(), TestCaseError> {
    prop_assert_eq!(ruling.decision().allowed(), expected.allowed(), "{:?}\n{:?}", ruling, expected);
    let Verdict::Limits { applied, decisive } = expected else {
        prop_assert_eq!(ruling.decision().outcome, Outcome::Unknown);
        return Ok(());
    };
    // A limit that is none may be told of.
    let told = ruling.applied().iter().filter(|each| each.decision.outcome != Outcome::Unlimited);
    let told: Vec<model::Applied> = told
        .map(|each| model::Applied {
            rule: each.rule.map(usize::from),
            shadow: each.shadow,
            allowed: each.decision.allowed(),
            remaining: each.decision.remaining,
            retry: each.decision.retry.map(Nanos::get),
        })
        .collect();
    prop_assert_eq!(&told, applied);
    let decided = decisive.map(|index| applied[index].rule);
    prop_assert_eq!(ruling.decisive().map(|each| each.rule.map(usize::from)), decided, "{:?}", applied);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_limit_of_a_request_is_charged_or_none(
        declared in declared(),
        level in select(&[OptimizationLevel::O0, OptimizationLevel::O1, OptimizationLevel::O2][..]),
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut pair = Pair::new(declared, level);
        for step in &steps {
            pair.step(step)?;
        }
    }
}
