use super::*;
use crate::rollout::Micros;
use proptest::prelude::*;

fn execution(second: u64) -> ExecutionId {
    ExecutionId::at(Micros::from_secs(1_700_000_000 + second))
}

#[test]
fn a_tenth_of_three_is_one() {
    let live = BTreeSet::from([1, 2, 3]);
    assert_eq!(members(execution(0), &live, &BTreeSet::new(), 0.1).len(), 1);
}

#[test]
fn a_fraction_is_rounded_down() {
    let live: BTreeSet<u64> = (0..10).collect();
    assert_eq!(members(execution(0), &live, &BTreeSet::new(), 0.39).len(), 3);
    assert_eq!(members(execution(0), &live, &BTreeSet::new(), 0.4).len(), 4);
}

#[test]
fn nobody_is_always_the_canary() {
    let live: BTreeSet<u64> = (0..5).collect();
    let canary = |second| members(execution(second), &live, &BTreeSet::new(), 0.1);
    let canaries: BTreeSet<_> = (0..100).map(canary).collect();
    assert_eq!(canaries.len(), 5);
}

#[test]
fn of_nobody_there_is_nobody() {
    assert!(members(execution(0), &BTreeSet::new(), &BTreeSet::from([1]), 1.0).is_empty());
}

proptest! {
    #[test]
    fn steps_only_grow_whoever_comes_and_goes(
        live in prop::collection::btree_set(0_u64..50, 1..30),
        came in prop::collection::btree_set(0_u64..50, 0..10),
        (one, other) in (0.01_f64..1.0, 0.01_f64..1.0),
    ) {
        let first = members(execution(1), &live, &BTreeSet::new(), one.min(other));
        prop_assert!(!first.is_empty() && first.is_subset(&live));
        prop_assert_eq!(&first, &members(execution(1), &live, &BTreeSet::new(), one.min(other)));

        let now: BTreeSet<u64> = live.union(&came).copied().collect();
        let then = members(execution(1), &now, &first, one.max(other));
        prop_assert!(first.is_subset(&then) && then.is_subset(&now));
        let all = members(execution(1), &now, &then, 1.0);
        prop_assert_eq!(&all, &now);

        let without: BTreeSet<u64> = live.difference(&first).copied().collect();
        let again = members(execution(1), &without, &first, one);
        prop_assert!(again.is_subset(&without));
        prop_assert_eq!(again.is_empty(), without.is_empty());
    }
}
