//! Two requests that are charged to several limits at once, by the quick way of [`crate::charge`] itself.

use std::ops::RangeInclusive;
use std::sync::Arc;

use loom::thread;

use super::{NOW, hasher, left, model, policy_with_rules, table, unnamed};
use crate::charge::{Quick, quickly};
use crate::limits::each_limit;
use crate::slot::{Kind, Meta};
use crate::table::Table;
use crate::{Key, Policy, Request, Ruling, Subject};

/// One token of each of two rules that all share, besides the tenant's own.
const SHARED: &str = r#"[
    { "name": "a", "match": { "path": ["/a"] }, "per": ["user"], "quota": 1, "windowMs": 3600000 },
    { "name": "b", "per": ["user"], "quota": 1, "windowMs": 3600000 }
]"#;

/// Charged to rule a, then to rule b.
fn in_order(name: &str) -> Request<'_> {
    Request { target: Some(b"/a"), ..Request::of(Subject::Tenant, name.as_bytes()) }
}

/// Charged to rule b, then to rule a, which it names.
fn in_reverse(name: &str) -> Request<'_> {
    Request { rule: Some(0), ..Request::of(Subject::Tenant, name.as_bytes()) }
}

/// The keys of all limits of a request, which are written.
fn write_all(table: &Table, request: &Request<'_>) -> Vec<Key> {
    let (policy, mut keys) = (&*table.policy, Vec::new());
    let subject = hasher().key(request.subject, request.name);
    let entry = policy.entry(Policy::DEFAULT).unwrap();
    each_limit(policy, &hasher(), request, subject, entry, |limit| {
        let (index, _) = table.claim(limit.key).unwrap().unwrap();
        let entry = limit.rule.map(|ruled| ruled.rule.entry);
        let meta = entry.map_or(unnamed(), |entry| Meta::new(Kind::Kept { entry }));
        table.slots[index].describe(meta);
        keys.push(limit.key);
    });
    keys
}

/// Decides as `Gate::decide` does where nothing moves.
fn decide(table: &Table, request: &Request<'_>) -> bool {
    let mut ruling = Ruling::default();
    let charged = match quickly(table, &hasher(), request, 1, NOW, &mut ruling) {
        Quick::Decided => 0,
        Quick::Refused { charged } => charged,
        Quick::Slow { .. } => panic!("nothing moves"),
    };
    let moment = table.moment(NOW);
    for applied in ruling.applied().iter().take(charged) {
        let slot = table.find(applied.charge.key).unwrap();
        let meter = table.meter_of(slot.meta().unwrap()).unwrap();
        slot.bucket().adjust(|state| meter.give_back(state, moment, moment, 1)).unwrap();
    }
    !ruling.denies()
}

/// Two requests that meet in two rules: `admitted` says how many may be, and what is left of each limit is what was not.
fn meet(requests: fn() -> [Request<'static>; 2], admitted: RangeInclusive<u64>) {
    let policy = policy_with_rules(1, SHARED);
    model(3, move || {
        let table = table(4, &policy);
        let [mine, others] = requests();
        let keys = [write_all(&table, &mine), write_all(&table, &others)];
        let other = thread::spawn({
            let table = Arc::clone(&table);
            move || decide(&table, &others)
        });
        let both = [u64::from(decide(&table, &mine)), u64::from(other.join().unwrap())];
        let sum = both[0] + both[1];
        assert!(admitted.contains(&sum), "{sum}");
        for (keys, own) in keys.iter().zip(both) {
            let left: Vec<u64> = keys.iter().map(|key| left(&table, *key)).collect();
            assert_eq!(left, [1 - own, 1 - sum, 1 - sum]);
        }
    });
}

#[test]
fn of_two_requests_for_the_same_limits_one_is_charged_to_all_and_one_to_none() {
    meet(|| [in_order("acme"), in_order("globex")], 1..=1);
}

#[test]
fn requests_that_are_charged_in_other_orders_are_never_both_admitted_and_keep_nothing() {
    meet(|| [in_order("acme"), in_reverse("globex")], 0..=1);
}
