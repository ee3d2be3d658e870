//! Whatever is wrong with a policy is said, all at once, with its place.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use serde_json::{Value, json};
use tollgate_core::policy::{Spec, faults};

fn limit() -> Value {
    json!({ "quota": 9, "windowMs": 1000, "algorithm": "token-bucket" })
}

fn spec(more: Value) -> Spec {
    let mut spec = json!({ "default": limit() });
    let (Value::Object(fields), Value::Object(more)) = (&mut spec, more) else { unreachable!() };
    fields.extend(more);
    serde_json::from_value(spec).unwrap()
}

/// Faults, as they are printed.
fn printed(more: Value) -> Vec<String> {
    faults(&spec(more)).iter().map(ToString::to_string).collect()
}

/// A policy of one rule, which has what `more` says.
fn of_rule(more: Value) -> Vec<String> {
    let mut rule = json!({ "name": "search", "quota": 5, "windowMs": 1000, "algorithm": "token-bucket" });
    let (Value::Object(fields), Value::Object(more)) = (&mut rule, more) else { unreachable!() };
    for (name, value) in more {
        if value.is_null() {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
    printed(json!({ "rules": [rule], "tiers": { "gold": limit() }, "deny": { "tenants": ["mallory"] } }))
}

#[track_caller]
fn assert_begins(found: &[String], expected: &[&str]) {
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\nis not\n{expected}");
    }
}

#[test]
fn a_policy_without_fault_has_none() {
    assert_begins(&of_rule(json!({})), &[]);
    assert_begins(&of_rule(json!({ "quota": 0, "mode": "shadow" })), &[]);
    assert_begins(&of_rule(json!({ "quota": "unlimited", "windowMs": null })), &[]);
    assert_begins(&of_rule(json!({ "match": { "tenant": ["acme", "mallory"] } })), &[]);
}

#[test]
fn every_fault_of_a_policy_is_found_at_once() {
    let found = printed(json!({
        "default": { "quota": 9, "windowMs": "month", "algorithm": "token-bucket" },
        "tiers": { "go ld": limit() },
        "rules": [
            { "name": "default", "quota": 1, "windowMs": 0 },
            { "name": "exports", "match": { "path": ["exports"], "tier": ["silver"] }, "concurrency": 2 },
            { "name": "exports", "match": { "method": ["BREW"] } },
        ],
        "allow": { "addresses": ["10.0.0.1/8"], "tenants": ["acme"] },
        "deny": { "addresses": ["10.0.0.256"], "tenants": ["globex", "acme"] },
    }));
    let expected = [
        "window: given month; accepted is a limit that can be enforced: ",
        "tiers.go ld: given \"go ld\"; accepted is a name of 1 to 64 letters",
        "allow.addresses[0]: given \"10.0.0.1/8\"; accepted is a network without bits of a host (the network is 10.0.0.0/8)",
        "deny.tenants[1]: given \"acme\"; accepted is on one list only (it is allow.tenants[0] as well)",
        "deny.addresses[0]: given \"10.0.0.256\"; accepted is an address",
        "rules[0].name: given \"default\"; accepted is another name",
        "rules[0].window: given 0; accepted is a whole number from 1 to 2^53 - 1",
        "rules[1].match.path[0]: given \"exports\"; accepted is a path pattern: ",
        "rules[1].match.tier[0]: given \"silver\"; accepted is a tier of the policy: go ld",
        "rules[2].name: given \"exports\"; accepted is a name of its own: rules[1] has this one",
        "rules[2]: given neither quota nor concurrency; accepted is one of them",
        "rules[2].match.method[0]: given \"BREW\"; accepted is one of GET, HEAD, POST",
    ];
    assert_begins(&found, &expected);
}

#[test]
fn a_rule_that_contradicts_itself_is_refused() {
    assert_begins(
        &of_rule(json!({ "concurrency": 2, "burst": 1 })),
        &[
            "rules[0].quota: given 5; accepted is no quota beside concurrency",
            "rules[0].burst: given 1; accepted is no burst beside concurrency",
            "rules[0].window: given 1000 ms; accepted is no window beside concurrency",
            "rules[0].algorithm: given token-bucket; accepted is no algorithm beside concurrency",
        ],
    );
    assert_begins(
        &of_rule(json!({ "windowMs": null })),
        &["rules[0].window: given nothing; accepted is the time"],
    );
    assert_begins(&of_rule(json!({ "cost": 6 })), &["rules[0].cost: given 6; accepted is at most 5"]);
    assert_begins(
        &of_rule(json!({ "cost": 0 })),
        &["rules[0].cost: given 0; accepted is a whole number from 1"],
    );
}

#[test]
fn a_rule_that_can_never_match_is_refused() {
    assert_begins(
        &of_rule(json!({ "match": { "tenant": ["mallory"] } })),
        &["rules[0].match.tenant: given [\"mallory\"]; accepted is a tenant that is on neither"],
    );
}

#[test]
fn keys_are_checked() {
    assert_begins(
        &of_rule(json!({ "per": [] })),
        &["rules[0].per: given an empty list; accepted is 1 to 8 parts"],
    );
    assert_begins(
        &of_rule(json!({ "per": ["ip", "ip"] })),
        &["rules[0].per[1]: given \"ip\" again; accepted is each part once"],
    );
    assert_begins(
        &of_rule(json!({ "per": ["a b"] })),
        &["rules[0].per[0]: given \"a b\"; accepted is a name of 1 to 64"],
    );
    let many: Vec<String> = (0..9).map(|key| format!("key-{key}")).collect();
    assert_begins(
        &of_rule(json!({ "per": many })),
        &["rules[0].per: given 9 elements; accepted is at most 8"],
    );
}

#[test]
fn limits_that_cannot_be_enforced_are_refused_where_they_stand() {
    assert_begins(
        &of_rule(json!({ "quota": 2_000_000, "windowMs": 1 })),
        &["rules[0].quota: given 2000000; accepted is a limit that can be enforced: "],
    );
    assert_begins(
        &of_rule(json!({ "quota": 1_u64 << 53 })),
        &["rules[0].quota: given 9007199254740992; accepted is a whole number from 0 to 2^53 - 1"],
    );
    assert_begins(
        &of_rule(json!({ "concurrency": 0, "quota": null, "windowMs": null, "algorithm": null })),
        &["rules[0].concurrency: given 0; accepted is a whole number from 1"],
    );
}

#[test]
fn what_there_is_too_much_of_is_refused() {
    let rule = |name: usize| json!({ "name": format!("rule-{name}"), "quota": name, "windowMs": 1000 });
    let rules: Vec<Value> = (0..257).map(rule).collect();
    assert_begins(
        &printed(json!({ "rules": rules })),
        &["rules: given 257 elements; accepted is at most 256"],
    );
    let paths: Vec<String> = (0..65).map(|path| format!("/{path}")).collect();
    assert_begins(
        &of_rule(json!({ "match": { "path": paths } })),
        &["rules[0].match.path: given 65 elements; accepted is at most 64"],
    );
    let tiers: serde_json::Map<String, Value> =
        (0..1025).map(|tier| (format!("tier-{tier}"), limit())).collect();
    assert_begins(
        &printed(json!({ "tiers": tiers })),
        &["tiers: given 1025 tiers; accepted is at most 1024 tiers"],
    );
    let listed: Vec<String> = (0..65).map(|tenant| format!("tenant-{tenant}")).collect();
    let rules: Vec<Value> = listed
        .iter()
        .map(
            |tenant| json!({ "name": tenant, "match": { "tenant": [tenant] }, "quota": 1, "windowMs": 1000 }),
        )
        .collect();
    assert_begins(
        &printed(json!({ "rules": rules })),
        &["rules: given 65 lists of tenants; accepted is at most 64"],
    );
    let named: Vec<Value> = (0..17)
        .map(|key| json!({ "name": format!("rule-{key}"), "per": [format!("key-{key}")], "quota": 1, "windowMs": 1000 }))
        .collect();
    assert_begins(
        &printed(json!({ "rules": named })),
        &["rules: given 17 named keys; accepted is at most 16"],
    );
}

#[test]
fn at_most_a_thousand_faults_are_collected_and_each_is_cut() {
    let names: Vec<String> = (0..2000).map(|name| format!("\n{name}{}", "x".repeat(300))).collect();
    let found = faults(&spec(json!({ "deny": { "tenants": names } })));
    assert_eq!(found.len(), 1000);
    assert!(found[0].given.chars().count() <= 65 && !found[0].given.contains('\n'));
}

#[test]
fn faults_are_json_that_the_face_reads() {
    let found = faults(&spec(json!({ "deny": { "addresses": ["10.0.0.1/8"] } })));
    assert_eq!(
        serde_json::to_value(found).unwrap(),
        json!([{
            "path": ["deny", "addresses", 0],
            "given": "\"10.0.0.1/8\"",
            "accepted": "a network without bits of a host",
            "hint": "the network is 10.0.0.0/8",
        }]),
    );
}

#[test]
fn what_is_no_policy_in_json_is_one_fault() {
    for json in ["", "{", "[]", "{\"default\":{}}", "{\"quota\":1}"] {
        let fault = Spec::parse(json.as_bytes()).unwrap_err();
        assert!(fault.path.is_empty() && fault.accepted.starts_with("a policy in JSON: "), "{fault}");
    }
}
