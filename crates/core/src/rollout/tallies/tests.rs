use super::*;
use proptest::prelude::*;

const ROUND: Round = Round { revision: 2, step: 0 };

fn judged() -> impl Strategy<Value = Judged> {
    (0..100_u64, 0..100_u64, 0..100_u64, 0..3_u64).prop_map(|(requests, conforming, now_denied, breaches)| {
        Judged { requests, conforming, now_denied, now_admitted: 0, breaches }
    })
}

fn tallies() -> impl Strategy<Value = Tallies> {
    let tenants = prop::collection::btree_map(0_u8..20, judged(), 0..10);
    (judged(), 0..9_u64, 0.0..2.0_f64, tenants).prop_map(|(judged, began, peak_burst, tenants)| {
        let outcomes =
            Outcomes { requests: judged.requests, server_errors: 1, limiter_errors: judged.breaches };
        let mut tenants: Vec<_> = tenants
            .into_iter()
            .map(|(name, judged)| TenantTally::of(&format!("tenant {name}"), judged))
            .collect();
        tenants.sort_by_key(|tenant| tenant.hash);
        let empty = Tallies::new(ROUND, Micros::new(began));
        Tallies { judged, by_candidate: outcomes, by_old: outcomes, peak_burst, tenants, ..empty }
    })
}

fn merged<'a>(all: impl IntoIterator<Item = &'a Tallies>) -> Tallies {
    let mut sum = Tallies::new(ROUND, Micros::new(u64::MAX));
    all.into_iter().for_each(|tallies| sum.merge(tallies));
    sum
}

proptest! {
    #[test]
    fn it_does_not_matter_in_which_order_instances_are_added((one, two, three) in (tallies(), tallies(), tallies())) {
        prop_assert_eq!(merged([&one, &two, &three]), merged([&three, &one, &two]));
        prop_assert_eq!(merged([&one, &merged([&two, &three])]), merged([&merged([&one, &two]), &three]));
    }

    #[test]
    fn what_was_counted_since_is_what_was_added((one, two) in (tallies(), tallies())) {
        let since = merged([&one, &two]).since(&one);
        prop_assert_eq!(since.judged, two.judged);
        prop_assert_eq!((since.by_candidate, since.by_old), (two.by_candidate, two.by_old));
        let some: Vec<_> = two.tenants.into_iter().filter(|tenant| tenant.judged != Judged::default()).collect();
        prop_assert_eq!(since.tenants, some);
    }

    #[test]
    fn it_is_read_as_it_was_written(tallies in tallies()) {
        let tallies = Tallies { peak_burst: 0.5, ..tallies };
        let text = serde_json::to_string(&tallies).unwrap();
        prop_assert_eq!(serde_json::from_str::<Tallies>(&text).unwrap(), tallies);
    }
}

#[test]
fn what_is_of_another_round_is_left_out() {
    let mut one = Tallies::new(ROUND, Micros::ZERO);
    let mut other = Tallies::new(Round { step: 1, ..ROUND }, Micros::ZERO);
    other.judged.requests = 7;
    one.merge(&other);
    assert_eq!(one.judged.requests, 0);
}

#[test]
fn a_small_tenant_that_is_cut_is_kept_before_large_ones_that_are_not() {
    let judged =
        |requests, now_denied| Judged { requests, conforming: requests, now_denied, ..Judged::default() };
    let mut tallies = Tallies::new(ROUND, Micros::ZERO);
    tallies.tenants =
        (0..100).map(|number| TenantTally::of(&format!("large {number}"), judged(1000, 0))).collect();
    tallies.tenants.push(TenantTally::of("small", judged(50, 10)));
    tallies.tenants.sort_by_key(|tenant| tenant.hash);
    tallies.keep(MOST_TENANTS);
    assert_eq!(tallies.tenants.len(), MOST_TENANTS);
    assert!(tallies.tenants.iter().any(|tenant| tenant.name == "small"));
    assert!(tallies.tenants.is_sorted_by_key(|tenant| tenant.hash));
}

#[test]
fn a_long_name_is_cut_between_characters() {
    let name = "é".repeat(100);
    let tally = TenantTally::of(&format!("a{name}"), Judged::default());
    assert_eq!(tally.name.len(), 63);
    assert_eq!(tally.hash, NameHash::of(format!("a{name}").as_bytes()));
}
