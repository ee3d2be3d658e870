//! A charge that is given back while others write.

use super::*;
use crate::policy::{Draft, OptimizationLevel, Spec};
use crate::{Capacity, Engine, Epoch, KeyHasher, Request, Ruling};

#[test]
fn a_key_that_another_has_written_and_not_described_is_left_for_it_to_describe() {
    let spec = br#"{
        "default": { "quota": 5, "windowMs": 1000, "algorithm": "token-bucket" },
        "rules": [{ "name": "search", "quota": 2, "windowMs": 1000 }]
    }"#;
    let draft = Draft::new(&Spec::parse(spec).unwrap(), OptimizationLevel::default()).unwrap();
    let capacity = Capacity { max_keys: 1024, key_share: 1.0 };
    let hasher = KeyHasher::with_secret(1, 2);
    let engine = Engine::new(hasher, draft.compile().unwrap(), capacity, Epoch::default()).unwrap();
    let engine = Arc::new(engine);
    let mut gate = engine.gate();
    let mut ruling = Ruling::default();
    gate.decide(&Request::of(Subject::Tenant, b"acme"), 1, Nanos::ZERO, &mut ruling);
    // A second later the buckets are full again and dropped; then somebody else comes to write the rule's.
    let later = Nanos::from_secs(1);
    engine.sweep(later);
    engine.upkeep(later);
    gate.catch_up(later);
    let charge = ruling.charges().last().unwrap();
    let (index, written) = gate.table.claim(charge.key).unwrap().unwrap();
    assert!(written);
    gate.give_back(charge, Nanos::ZERO, later);
    assert!(gate.table.slots[index].meta().is_none());
}
