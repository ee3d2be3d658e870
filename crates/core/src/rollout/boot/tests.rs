use super::*;
use crate::rollout::samples::{hash, locked, proposed, record, revision, rolled_back};

#[test]
fn who_starts_with_the_active_policy_is_at_home() {
    assert_eq!(boot(&record(), hash(1)), Boot::Active);
}

#[test]
fn who_starts_with_a_policy_that_was_replaced_joins_the_active_one() {
    let record = locked(&record(), 2);
    assert_eq!(boot(&record, hash(1)), Boot::Join(revision(2, 2)));
}

#[test]
fn who_starts_with_the_candidate_waits_for_its_end() {
    assert_eq!(boot(&proposed(&record(), 2), hash(2)), Boot::Join(revision(1, 1)));
}

#[test]
fn who_starts_with_a_new_policy_proposes_it() {
    assert_eq!(boot(&record(), hash(2)), Boot::Propose);
    assert_eq!(boot(&proposed(&record(), 2), hash(3)), Boot::Propose);
}

#[test]
fn who_starts_with_a_policy_that_was_rolled_back_joins_the_active_one() {
    let reason = Reason::Cancelled { by: "somebody".to_owned() };
    let joins = Boot::JoinRefused { active: revision(1, 1), reason };
    assert_eq!(boot(&rolled_back(&record(), 2), hash(2)), joins);
}

/// Pods of the old and of the new code start in turn.
#[test]
fn a_fleet_that_is_deployed_pod_by_pod_does_not_flap() {
    let record = locked(&record(), 2);
    for _ in 0..3 {
        assert_eq!(boot(&record, hash(1)), Boot::Join(revision(2, 2)));
        assert_eq!(boot(&record, hash(2)), Boot::Active);
    }
}
