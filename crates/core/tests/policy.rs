//! A policy becomes an image, and the image says what the policy said.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate_core::limit::{Algorithm, Grant, Limit};
use tollgate_core::path::Method;
use tollgate_core::policy::{
    CompileError, Compiled, Declared, Draft, Image, NameHash, Needs, OptimizationLevel, Request, Spec,
    TenantFault, Verdict,
};
use tollgate_core::window::Window;
use tollgate_core::{Meter, Nanos};

/// 100 a minute for everybody, and what else `more` says.
fn spec(more: Value) -> Spec {
    let mut spec = json!({
        "default": { "quota": 100, "burst": 20, "windowMs": 60_000, "algorithm": "token-bucket" },
    });
    let (Value::Object(spec_fields), Value::Object(more)) = (&mut spec, more) else { unreachable!() };
    spec_fields.extend(more);
    serde_json::from_value(spec).unwrap()
}

fn minute(quota: u64) -> Grant {
    let window = Window::Span(Nanos::from_secs(60));
    Grant::Tokens { algorithm: Algorithm::TokenBucket, quota, burst: 0, window }
}

fn draft(more: Value) -> Draft {
    Draft::new(&spec(more), OptimizationLevel::O2).unwrap()
}

fn own(quota: u64) -> Declared {
    Declared { tier: None, grant: Some(minute(quota)) }
}

fn tier(tier: u16) -> Declared {
    Declared { tier: Some(tier), grant: None }
}

fn compiled(more: Value, rows: &[(&str, Declared)]) -> Compiled {
    let mut draft = draft(more);
    for (name, declared) in rows {
        draft.tenant(name, *declared).unwrap();
    }
    draft.compile().unwrap()
}

fn entry_of(image: &Image, name: &str) -> tollgate_core::policy::Entry {
    let index = image.tenant(&NameHash::of(name.as_bytes())).map_or(Image::DEFAULT, |row| row.entry);
    *image.entry(index).unwrap()
}

fn charged(image: &Image, tenant: &str, method: &str, path: &str) -> Vec<String> {
    let mut names = Vec::new();
    let groups = image.path_groups(path.as_bytes());
    image.matching(entry_of(image, tenant).profile, Method::of(method.as_bytes()), &groups, |rule| {
        names.push(image.rules()[usize::from(rule)].name.to_string());
    });
    names
}

fn tiers() -> Value {
    let limit = |quota: u64| json!({ "quota": quota, "windowMs": 60_000, "algorithm": "token-bucket" });
    json!({ "gold": limit(1000), "free": limit(10) })
}

#[test]
fn a_tenant_has_its_own_limit_or_its_tiers_or_the_default() {
    let policy = compiled(
        json!({ "tiers": tiers() }),
        &[
            ("acme", own(500)),
            ("globex", tier(0)),
            ("initech", Declared { tier: Some(1), grant: Some(minute(7)) }),
        ],
    );
    let image = &policy.image;
    let declared = |name| entry_of(image, name).declared;
    assert_eq!(declared("acme"), minute(500));
    assert_eq!(declared("globex"), minute(10));
    assert_eq!(declared("initech"), minute(7));
    assert_eq!(&*image.tier_of(&entry_of(image, "initech")).unwrap().name, "gold");
    assert!(
        matches!(entry_of(image, "hooli").limit, Limit::Metered(Meter::TokenBucket(gcra)) if gcra.capacity() == 120)
    );
    assert_eq!((image.tenants(), image.refuses_unknown()), (3, false));
}

#[test]
fn rules_are_charged_by_method_path_tier_and_tenant() {
    let rule = |name: &str, matches: Value| {
        json!({
            "name": name, "match": matches, "quota": 5, "windowMs": 1000, "algorithm": "fixed-window",
        })
    };
    let rules = json!([
        rule("all", json!({})),
        rule("reads", json!({ "method": ["get"], "path": ["/search", "/find/:what"] })),
        rule("gold", json!({ "tier": ["gold"] })),
        rule("either", json!({ "tier": ["gold", "free"], "path": ["/search"] })),
        rule("listed", json!({ "tenant": ["acme", "hooli"] })),
    ]);
    let policy = compiled(
        json!({ "tiers": tiers(), "rules": rules }),
        &[("acme", own(500)), ("globex", tier(1)), ("umbrella", tier(0))],
    );
    let image = &policy.image;
    assert_eq!(charged(image, "nobody", "POST", "/search"), ["all"]);
    assert_eq!(charged(image, "nobody", "HEAD", "/search"), ["all", "reads"]);
    assert_eq!(charged(image, "globex", "GET", "/find/x?y"), ["all", "reads", "gold"]);
    assert_eq!(charged(image, "umbrella", "GET", "/search"), ["all", "reads", "either"]);
    assert_eq!(charged(image, "acme", "PUT", "/"), ["all", "listed"]);
    assert_eq!(charged(image, "hooli", "PUT", "/"), ["all", "listed"]);
    assert!(!entry_of(image, "hooli").named && entry_of(image, "acme").named);
}

#[test]
fn what_is_on_a_list_says_so() {
    let policy = compiled(
        json!({
            "allow": { "tenants": ["health"], "addresses": ["10.0.0.0/8", "2001:db8::/32"] },
            "deny": { "tenants": ["mallory"], "addresses": ["10.6.6.6", "203.0.113.0/24"] },
        }),
        &[("mallory", own(9))],
    );
    let image = &policy.image;
    assert_eq!(
        (entry_of(image, "health").verdict, entry_of(image, "health").limit),
        (Verdict::Allow, Limit::Unlimited)
    );
    assert_eq!(
        (entry_of(image, "mallory").verdict, entry_of(image, "mallory").limit),
        (Verdict::Deny, Limit::Nothing)
    );
    let listed = |address: &str| image.listed(address.parse().unwrap());
    assert_eq!(listed("10.1.2.3"), Some(Verdict::Allow));
    assert_eq!(listed("::ffff:10.1.2.3"), Some(Verdict::Allow));
    assert_eq!(listed("10.6.6.6"), Some(Verdict::Deny));
    assert_eq!(listed("203.0.113.255"), Some(Verdict::Deny));
    assert_eq!(listed("2001:db8:ffff::1"), Some(Verdict::Allow));
    assert_eq!(listed("203.0.114.0"), None);
    assert_eq!(listed("::1"), None);
}

#[test]
fn an_image_is_amended_without_what_it_was_compiled_from() {
    let more = json!({ "tiers": tiers(), "deny": { "tenants": ["mallory"] } });
    let before = compiled(more.clone(), &[("acme", own(500)), ("globex", tier(0)), ("mallory", own(1))]);
    let mut draft = Draft::of(&before.image);
    draft.upsert("acme", tier(1)).unwrap();
    draft.upsert("hooli", own(3)).unwrap();
    assert_eq!(
        (draft.remove("globex"), draft.remove("mallory"), draft.remove("nobody")),
        (true, true, false)
    );
    assert!(!draft.remove("globex"));
    let amended = draft.compile().unwrap();
    let anew = compiled(more, &[("hooli", own(3)), ("acme", tier(1))]);
    assert_eq!(amended.image.bytes(), anew.image.bytes());
    assert_eq!(amended.report, anew.report);
    assert_eq!(entry_of(&amended.image, "mallory").verdict, Verdict::Deny);
}

#[test]
fn a_tenant_with_two_rows_is_found_when_compiling() {
    let mut draft = draft(json!({}));
    for name in ["acme", "globex", "acme"] {
        draft.tenant(name, own(1)).unwrap();
    }
    let first = NameHash::of(b"acme");
    assert_eq!(draft.compile().unwrap_err(), CompileError::Duplicate { count: 1, first });
}

#[test]
fn a_row_that_cannot_be_is_refused() {
    let mut draft = draft(json!({ "tiers": tiers() }));
    assert_eq!(draft.tenant("", own(1)), Err(TenantFault::Name { length: 0 }));
    assert_eq!(draft.tenant(&"x".repeat(257), own(1)), Err(TenantFault::Name { length: 257 }));
    assert_eq!(draft.tenant("x", tier(2)), Err(TenantFault::Tier { tier: 2, tiers: 2 }));
    let grant = Some(Grant::Concurrency { most: 1 });
    assert_eq!(draft.tenant("x", Declared { tier: None, grant }), Err(TenantFault::Concurrency));
    assert!(matches!(draft.tenant("x", own(u64::MAX)), Err(TenantFault::Limit(_))));
}

#[test]
fn an_image_is_read_again_from_its_bytes() {
    let policy = compiled(json!({ "tiers": tiers(), "unknownTenant": "reject" }), &[("acme", own(500))]);
    let read = Image::read(Arc::<[u8]>::from(policy.image.bytes())).unwrap();
    assert_eq!((read.hash(), read.refuses_unknown()), (policy.image.hash(), true));
    assert_eq!(entry_of(&read, "acme"), entry_of(&policy.image, "acme"));
    let row = read.tenant(&NameHash::of(b"acme")).unwrap();
    assert_eq!(read.row(row.index).unwrap(), (NameHash::of(b"acme"), row.entry));
    assert_eq!(read.tenant_by_prefix(NameHash::of(b"acme").prefix()), Some(row));
}

#[test]
fn rules_that_do_the_same_are_one_with_two_names() {
    let rule = |name: &str| {
        json!({
            "name": name, "match": { "path": ["/a"] }, "quota": 5, "windowMs": 1000, "algorithm": "fixed-window",
        })
    };
    let policy = compiled(json!({ "rules": [rule("one"), rule("two")] }), &[]);
    assert_eq!(policy.report.merged, [("two".to_owned(), "one".to_owned())]);
    assert_eq!(policy.image.rule_named("two"), Some(0));
    assert_eq!(charged(&policy.image, "x", "GET", "/a"), ["one"]);
}

#[test]
fn a_hundred_and_twenty_seven_tenants_with_limits_of_their_own_fit_four_kibibytes() {
    let mut draft = draft(json!({}));
    for index in 0..127_u64 {
        let window = Window::Span(Nanos::from_secs([1, 60, 3600][(index % 3) as usize]));
        let grant = Grant::Tokens {
            algorithm: Algorithm::TokenBucket,
            quota: 1_000 + index * 997,
            burst: 100 + index * 13,
            window,
        };
        draft.tenant(&format!("tenant-{index}"), Declared { tier: None, grant: Some(grant) }).unwrap();
    }
    let policy = draft.compile().unwrap();
    assert_eq!((policy.report.tenants, policy.report.limits), (127, 128));
    assert!(policy.report.bytes <= 4096, "{} bytes", policy.report.bytes);
}

#[test]
fn an_explanation_says_what_is_charged_and_which_test_fails() {
    let rules = json!([
        { "name": "search", "match": { "method": ["GET"], "path": ["/search"] }, "per": ["tenant", "ip"],
          "quota": 5, "windowMs": 1500, "algorithm": "fixed-window" },
        { "name": "gold", "match": { "tier": ["gold"] }, "quota": 1, "windowMs": "month", "algorithm": "fixed-window" },
        { "name": "exports", "match": { "path": ["/exports", "/exports/*rest"] }, "concurrency": 2 },
        { "name": "posts", "match": { "method": ["POST"] }, "quota": 0, "windowMs": 1000 },
        { "name": "trial", "quota": 9, "windowMs": 1000, "burst": 1, "mode": "shadow" },
    ]);
    let deny = json!({ "tenants": ["mallory"], "addresses": ["10.0.0.0/8"] });
    let policy = compiled(json!({ "rules": rules, "tiers": tiers(), "deny": deny }), &[("acme", tier(0))]);
    let request =
        Request { tenant: Some("acme"), method: "HEAD", path: "/Search/?q=1", address: None, cost: 2 };
    let left = |entry: u32| Some(if entry == 1 { 1 } else { u64::from(entry) });
    assert_eq!(
        policy.image.explain(&request, left),
        "tenant \"acme\": named by the policy, tier free\n\
         quota: 10 per 60 s (token-bucket); 6 left, and the request takes 2\n\
         rule search: charged: 5 per 1500 ms (fixed-window) per tenant, ip; 1 left, and the request takes 2: too little\n\
         rule gold: not charged: the tenant's tier is not gold\n\
         rule exports: not charged: the path matches none of /exports , /exports/*rest\n\
         rule posts: not charged: the method is not POST\n\
         rule trial: charged: 9 per 1 s and 1 on top (token-bucket) per tenant, in shadow, so it never denies; 5 left, \
         and the request takes 2\n\
         denied by rule search\n"
    );
    let from = |address: &str| Request { address: Some(address.parse().unwrap()), ..request };
    let denied = policy.image.explain(&from("10.1.1.1"), |_| None);
    assert!(denied.ends_with("\ndenied: the address is on the deny list\n"), "{denied}");
    let denied = policy.image.explain(&Request { tenant: Some("mallory"), ..from("192.0.2.1") }, |_| None);
    assert!(denied.ends_with("\ndenied: the tenant is on the deny list\n"), "{denied}");
    let posted = Request { tenant: None, method: "POST", ..from("192.0.2.1") };
    assert!(policy.image.explain(&posted, |_| None).ends_with("\ndenied by rule posts\n"));
}

#[test]
fn an_image_says_what_of_a_request_it_needs() {
    let rule = |more: Value| {
        let mut rule = json!({ "name": "rule", "quota": 5, "windowMs": 1000 });
        let (Value::Object(fields), Value::Object(more)) = (&mut rule, more) else { unreachable!() };
        fields.extend(more);
        compiled(json!({ "rules": [rule] }), &[]).image.needs()
    };
    let nothing = Needs::default();
    assert_eq!(rule(json!({})), nothing);
    assert_eq!(
        rule(json!({ "match": { "path": ["/a"], "method": ["PUT"] } })),
        Needs { path: true, method: true, ..nothing }
    );
    assert_eq!(
        rule(json!({ "per": ["user", "ip", "a"] })),
        Needs { user: true, address: true, keys: 1, ..nothing }
    );
    // No request meets it by itself, but one may name it.
    let unmet = json!({ "per": ["user"], "match": { "tier": ["nobody"] } });
    let mut policy = json!({ "rules": [{ "name": "rule", "quota": 5, "windowMs": 1000 }] });
    policy["tiers"] = json!({ "nobody": { "quota": 1, "windowMs": 1000, "algorithm": "token-bucket" } });
    policy["rules"][0].as_object_mut().unwrap().extend(unmet.as_object().unwrap().clone());
    assert_eq!(compiled(policy, &[]).image.needs(), Needs { user: true, ..nothing });
    let listed = compiled(json!({ "deny": { "addresses": ["10.0.0.1"] } }), &[]).image.needs();
    assert_eq!(listed, Needs { address: true, ..nothing });
}
