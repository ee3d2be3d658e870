use super::*;
use crate::rollout::{Micros, Round};

fn tallies() -> Tallies {
    Tallies::new(Round { revision: 2, step: 0 }, Micros::ZERO)
}

fn judged(conforming: u64, now_denied: u64) -> Judged {
    Judged { requests: conforming, conforming, now_denied, ..Judged::default() }
}

fn of(check: Check, tallies: &Tallies) -> Verdict {
    let mut findings = checks(tallies, &Settings::default());
    findings.retain(|finding| finding.check == check);
    verdict(&findings)
}

#[test]
fn without_traffic_nothing_is_said() {
    let findings = checks(&tallies(), &Settings::default());
    assert_eq!(findings.len(), 4);
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Inconclusive));
    assert_eq!(verdict(&[]), Verdict::Inconclusive);
}

#[test]
fn flips_fail_above_the_threshold_and_not_at_it() {
    for (now_denied, expected) in [(0, Verdict::Passed), (50, Verdict::Passed), (51, Verdict::Failed)] {
        let tallies = Tallies { judged: judged(1000, now_denied), ..tallies() };
        assert_eq!(of(Check::DecisionFlips, &tallies), expected, "{now_denied}");
    }
}

#[test]
fn too_few_requests_say_nothing() {
    for (conforming, expected) in [(99, Verdict::Inconclusive), (100, Verdict::Failed)] {
        let tallies = Tallies { judged: judged(conforming, 90), ..tallies() };
        assert_eq!(of(Check::DecisionFlips, &tallies), expected, "{conforming}");
    }
}

#[test]
fn requests_that_the_old_policy_denies_are_no_samples() {
    let judged = Judged { requests: 10_000, conforming: 99, now_admitted: 9_000, ..Judged::default() };
    assert_eq!(of(Check::DecisionFlips, &Tallies { judged, ..tallies() }), Verdict::Inconclusive);
}

#[test]
fn where_nobody_tells_what_came_of_requests_errors_are_no_reason_to_wait() {
    let untold = Tallies { judged: judged(1000, 0), ..tallies() };
    assert_eq!(of(Check::ErrorRate, &untold), Verdict::Passed);
    // Who tells of the old policy only has not tried the candidate.
    let by_old = Outcomes { requests: 1000, ..Outcomes::default() };
    assert_eq!(of(Check::ErrorRate, &Tallies { by_old, ..untold }), Verdict::Inconclusive);
}

#[test]
fn whoever_is_refused_now_here_now_there_is_not_cut() {
    let alike = Judged { now_admitted: 290, ..judged(1000, 300) };
    let tallies = Tallies { judged: alike, ..tallies() };
    assert_eq!(of(Check::DecisionFlips, &tallies), Verdict::Passed);
}

#[test]
fn what_one_tenant_gains_does_not_hide_what_another_loses() {
    let gains = Judged { now_admitted: 900, ..judged(1000, 0) };
    let tenants = vec![TenantTally::of("gains", gains), TenantTally::of("loses", judged(90, 90))];
    let all = Judged { now_admitted: 900, ..judged(1090, 90) };
    let tallies = Tallies { judged: all, tenants, ..tallies() };
    let findings = decision_flips(&tallies, &Settings::default());
    assert_eq!((findings[0].verdict, findings[0].value), (Verdict::Failed, 0.082_569));
}

#[test]
fn a_small_tenant_that_is_cut_fails_though_the_fleet_passes() {
    let tenants = vec![
        TenantTally::of("large", judged(9000, 9)),
        TenantTally::of("small", judged(200, 40)),
        TenantTally::of("tiny", judged(10, 10)),
    ];
    let tallies = Tallies { judged: judged(9210, 59), tenants, ..tallies() };
    let findings = decision_flips(&tallies, &Settings::default());
    assert_eq!(findings.len(), 2, "the fleet, and who fails");
    assert_eq!((findings[0].verdict, findings[0].value), (Verdict::Passed, 0.006_406));
    assert_eq!((findings[1].verdict, findings[1].value), (Verdict::Failed, 0.2));
    assert!(matches!(&findings[1].scope, Scope::Tenant { name, .. } if name == "small"));
}

#[test]
fn of_tenants_that_pass_the_worst_is_named() {
    let tenants = (0..50).map(|number| TenantTally::of(&format!("{number}"), judged(1000, number))).collect();
    let findings = decision_flips(&Tallies { tenants, ..tallies() }, &Settings::default());
    assert_eq!(findings.len(), 2);
    assert!(matches!(&findings[1].scope, Scope::Tenant { name, .. } if name == "49"));
}

#[test]
fn only_so_many_tenants_are_named() {
    let tenants = (0..50).map(|number| TenantTally::of(&format!("{number}"), judged(1000, 100))).collect();
    assert_eq!(decision_flips(&Tallies { tenants, ..tallies() }, &Settings::default()).len(), 1 + MOST_NAMED);
}

#[test]
fn errors_that_are_there_anyway_are_not_held_against_the_candidate() {
    let outcomes = |server_errors, limiter_errors| Outcomes { requests: 1000, server_errors, limiter_errors };
    for (by_candidate, by_old, expected) in [
        (outcomes(5, 0), outcomes(0, 0), Verdict::Passed),
        (outcomes(6, 0), outcomes(0, 0), Verdict::Failed),
        (outcomes(3, 3), outcomes(0, 0), Verdict::Failed),
        (outcomes(30, 0), outcomes(28, 0), Verdict::Passed),
        (outcomes(0, 0), outcomes(100, 0), Verdict::Passed),
        (outcomes(6, 0), Outcomes::default(), Verdict::Failed),
        (Outcomes::default(), outcomes(0, 0), Verdict::Inconclusive),
    ] {
        assert_eq!(of(Check::ErrorRate, &Tallies { by_candidate, by_old, ..tallies() }), expected);
    }
}

#[test]
fn more_at_once_than_may_be_fails() {
    for (peak_burst, expected) in [(1.0, Verdict::Passed), (1.01, Verdict::Failed)] {
        let tallies = Tallies { peak_burst, judged: judged(100, 0), ..tallies() };
        assert_eq!(of(Check::BurstRatio, &tallies), expected);
    }
}

#[test]
fn a_tenant_above_its_bound_is_too_much_however_few_requests_there_are() {
    let breach = Judged { breaches: 1, ..judged(3, 0) };
    let tallies = Tallies { judged: breach, tenants: vec![TenantTally::of("one", breach)], ..tallies() };
    let findings = tenant_isolation(&tallies, &Settings::default());
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Failed));
    assert!(matches!(&findings[1].scope, Scope::Tenant { name, .. } if name == "one"));
}
