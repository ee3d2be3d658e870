//! All levels charge a request to the same rules: those that the policy says, read naively.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use tollgate_core::path::Method;
use tollgate_core::policy::{Compiled, Declared, Draft, Image, NameHash, OptimizationLevel, Request, Spec};

const METHODS: [&str; 4] = ["GET", "POST", "PUT", "PURGE"];
const PATHS: [&str; 5] = ["/", "/a", "/b", "/a/b", "/b/a"];
const TIERS: [&str; 3] = ["free", "gold", "pro"];
const TENANTS: [&str; 5] = ["acme", "globex", "hooli", "initech", "umbrella"];
const LEVELS: [OptimizationLevel; 3] = [OptimizationLevel::O0, OptimizationLevel::O1, OptimizationLevel::O2];

/// Two that are equal are one with two names.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    methods: Vec<&'static str>,
    paths: Vec<&'static str>,
    tiers: Vec<&'static str>,
    tenants: Vec<&'static str>,
    quota: Option<u8>,
}

impl Rule {
    fn json(&self, index: usize) -> Value {
        let quota = self.quota.map_or(json!("unlimited"), Value::from);
        json!({
            "name": format!("rule-{index}"), "quota": quota, "windowMs": 1000, "algorithm": "token-bucket",
            "match": {
                "method": self.methods, "path": self.paths, "tier": self.tiers, "tenant": self.tenants,
            },
        })
    }

    fn is_for(&self, method: &str, path: &str, tenant: &str, tier: Option<&str>) -> bool {
        let is_in =
            |list: &[&str], one: Option<&str>| list.is_empty() || one.is_some_and(|one| list.contains(&one));
        is_in(&self.methods, Some(method))
            && is_in(&self.paths, Some(path))
            && is_in(&self.tiers, tier)
            && is_in(&self.tenants, Some(tenant))
    }
}

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![Just(Vec::new()), subsequence(of, 1..=of.len())]
}

fn rule() -> impl Strategy<Value = Rule> {
    let quota = prop_oneof![1 => Just(None), 6 => (0_u8..3).prop_map(Some)];
    (some(&METHODS), some(&PATHS), some(&TIERS), some(&TENANTS), quota)
        .prop_map(|(methods, paths, tiers, tenants, quota)| Rule { methods, paths, tiers, tenants, quota })
}

type Rows = HashMap<&'static str, Option<u16>>;

fn rows() -> impl Strategy<Value = Rows> {
    prop::collection::hash_map(select(&TENANTS), prop::option::of(0_u16..3), 0..=5)
}

fn compiled<'a>(
    rules: &[Rule],
    rows: impl IntoIterator<Item = (&'a &'static str, &'a Option<u16>)>,
    level: OptimizationLevel,
) -> Compiled {
    let limit = json!({ "quota": 9, "windowMs": 1000, "algorithm": "token-bucket" });
    let rules: Vec<Value> = rules.iter().zip(0..).map(|(rule, index)| rule.json(index)).collect();
    let tiers: HashMap<&str, &Value> = TIERS.into_iter().map(|tier| (tier, &limit)).collect();
    let spec = json!({ "default": limit, "tiers": tiers, "rules": rules });
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let mut draft = Draft::new(&spec, level).unwrap();
    for (name, tier) in rows {
        draft.tenant(name, Declared { tier: *tier, grant: None }).unwrap();
    }
    draft.compile().unwrap()
}

fn charged(image: &Image, tenant: &str, method: &str, path: &str) -> Vec<String> {
    let index = image.tenant(&NameHash::of(tenant.as_bytes())).map_or(Image::DEFAULT, |row| row.entry);
    let mut names = Vec::new();
    let groups = image.path_groups(path.as_bytes());
    image.matching(image.entry(index).unwrap().profile, Method::of(method.as_bytes()), &groups, |rule| {
        names.push(image.rules()[usize::from(rule)].name.to_string());
    });
    names
}

fn explained(image: &Image, tenant: &str, method: &str, path: &str) -> Vec<String> {
    let request = Request { tenant: Some(tenant), method, path, address: None, cost: 1 };
    let lines = image.explain(&request, |_| None);
    let charged = lines.lines().filter_map(|line| line.strip_prefix("rule ")?.split_once(": charged: "));
    charged.map(|(name, _)| name.to_owned()).collect()
}

/// The names of the rules that say that they are for such requests, as one would read them.
fn naive(rules: &[Rule], method: &str, path: &str, tenant: &str, tier: Option<&str>) -> Vec<String> {
    let first = |rule: &Rule| rules.iter().position(|other| *other == *rule).unwrap();
    let kept = (0..).zip(rules).filter(|(index, rule)| first(rule) == *index && rule.quota.is_some());
    let names = kept.filter(|(_, rule)| rule.is_for(method, path, tenant, tier));
    names.map(|(index, _)| format!("rule-{index}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_level_charges_the_rules_that_match(rules in prop::collection::vec(rule(), 0..12), rows in rows()) {
        let images = LEVELS.map(|level| {
            let compiled = compiled(&rules, &rows, level);
            Image::read(Arc::<[u8]>::from(compiled.image.bytes())).unwrap()
        });
        for tenant in TENANTS.into_iter().chain(["nobody"]) {
            let tier = rows.get(tenant).copied().flatten().map(|tier| TIERS[usize::from(tier)]);
            for (method, path) in METHODS.into_iter().flat_map(|method| PATHS.map(|path| (method, path))) {
                let expected = naive(&rules, method, path, tenant, tier);
                for image in &images {
                    prop_assert_eq!(&charged(image, tenant, method, path), &expected);
                }
                prop_assert_eq!(&explained(&images[0], tenant, method, path), &expected);
            }
        }
    }

    #[test]
    fn amending_is_compiling_anew(rules in prop::collection::vec(rule(), 0..6), before in rows(), after in rows()) {
        for level in LEVELS {
            let old = compiled(&rules, &before, level);
            let mut draft = Draft::of(&old.image);
            for name in TENANTS {
                if let Some(tier) = after.get(name) {
                    draft.upsert(name, Declared { tier: *tier, grant: None }).unwrap();
                } else {
                    prop_assert_eq!(draft.remove(name), before.contains_key(name));
                }
            }
            let amended = draft.compile().unwrap();
            let anew = compiled(&rules, &after, level);
            prop_assert_eq!(amended.image.bytes(), anew.image.bytes());
            prop_assert_eq!(amended.report, anew.report);
        }
    }

    #[test]
    fn the_order_of_rows_does_not_change_a_byte(rules in prop::collection::vec(rule(), 0..6), rows in rows()) {
        let mut sorted: Vec<_> = rows.iter().collect();
        sorted.sort_unstable();
        let forth = compiled(&rules, sorted.iter().copied(), OptimizationLevel::O2);
        let back = compiled(&rules, sorted.iter().copied().rev(), OptimizationLevel::O2);
        prop_assert_eq!(forth.image.hash(), back.image.hash());
        prop_assert_eq!(forth.image.bytes(), back.image.bytes());
    }
}

#[test]
fn a_higher_level_makes_fewer_instructions_where_rules_share_tests() {
    let rule = |methods: &[&'static str], quota| Rule {
        methods: methods.to_vec(),
        paths: vec!["/a"],
        tiers: Vec::new(),
        tenants: Vec::new(),
        quota: Some(quota),
    };
    let for_tier = Rule { tiers: vec!["gold"], ..rule(&["PUT"], 1) };
    let rules = [rule(&["GET"], 1), rule(&["GET"], 2), rule(&["POST"], 1), for_tier];
    let rows: Rows = HashMap::from([("acme", Some(0)), ("globex", Some(2))]);
    let [plain, specialised, shared] = LEVELS.map(|level| compiled(&rules, &rows, level).report);
    // Twelve tests and charges, the tier and the end.
    assert_eq!(plain.instructions, 14);
    assert_eq!((plain.folded, plain.removed.len()), (0, 0));
    // Three profiles have three rules left, and none has the fourth.
    assert_eq!((specialised.instructions, specialised.profiles, specialised.folded), (30, 3, 3));
    assert_eq!(specialised.removed[0].0, "rule-3");
    // The path, GET with two charges, POST with one, and the end, for all three.
    assert_eq!(shared.instructions, 7);
    assert_eq!(shared.removed, specialised.removed);
}

#[test]
fn programs_for_too_many_profiles_are_one_that_tests_everything() {
    const MANY: usize = 256;
    let limit = json!({ "quota": 9, "windowMs": 1000, "algorithm": "token-bucket" });
    let tier = |tier: usize| format!("tier-{tier:04}");
    let tiers: HashMap<String, &Value> = (0..1024).map(|number| (tier(number), &limit)).collect();
    // Each for a tier and all those after it, so that no two of these have the same rules.
    let rules = (0..MANY).map(|rule| {
        let tiers: Vec<String> = (rule..1024).map(tier).collect();
        json!({
            "name": format!("rule-{rule}"), "quota": rule + 1, "windowMs": 1000, "algorithm": "token-bucket",
            "match": { "tier": tiers, "method": ["GET"] },
        })
    });
    let rules: Vec<Value> = rules.collect();
    let spec = json!({ "default": limit, "tiers": tiers, "rules": rules });
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let images = LEVELS.map(|level| {
        let mut draft = Draft::new(&spec, level).unwrap();
        for tier in 0..1024 {
            draft.tenant(&format!("tenant-{tier}"), Declared { tier: Some(tier), grant: None }).unwrap();
        }
        draft.compile().unwrap().image
    });
    for tier in (0..1024).step_by(97) {
        let expected: Vec<String> = (0..MANY.min(tier + 1)).map(|rule| format!("rule-{rule}")).collect();
        for image in &images {
            assert_eq!(charged(image, &format!("tenant-{tier}"), "HEAD", "/"), expected);
        }
    }
}
