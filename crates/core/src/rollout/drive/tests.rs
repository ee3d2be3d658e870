use super::*;
use crate::rollout::samples::{NOW, hash, next, obedient, obedients, proposed, record, revision, view};
use crate::rollout::{Check, ImageFault, Judged, Settings, Strategy};

fn second(count: u64) -> Micros {
    NOW + Micros::from_secs(count)
}

fn in_phase(phase: Phase, members: &[u64]) -> Record {
    let mut record = proposed(&record(), 2);
    let rollout = record.rollout.as_mut().unwrap();
    (rollout.phase, rollout.members) = (phase, members.iter().copied().collect());
    record
}

fn phase(record: &Record) -> Phase {
    record.rollout.clone().unwrap().phase
}

fn reason(step: Step) -> Reason {
    let Step::Write(record, _) = step else { panic!("{step:?}") };
    let Phase::RollingBack { reason, .. } = phase(&record) else { panic!("{record:?}") };
    reason
}

/// Reports of a fleet in which each has judged so many requests.
fn judging(count: u64, record: &Record, requests: u64, now_denied: u64) -> Vec<Report> {
    let mut reports = obedients(count, record, NOW);
    for report in &mut reports {
        let round = record.rollout.as_ref().unwrap().round().unwrap();
        let mut tallies = Tallies::new(round, NOW);
        tallies.judged = Judged { requests, conforming: requests, now_denied, ..Judged::default() };
        tallies.by_candidate.requests = requests;
        report.tallies = Some(tallies);
    }
    reports
}

#[test]
fn what_was_said_upon_an_earlier_record_is_no_answer() {
    let record = proposed(&record(), 2);
    let report = obedient(1, &record, NOW);
    assert!(report.acknowledges(&record, NOW));
    assert!(!Report { follows: record.edition - 1, ..report.clone() }.acknowledges(&record, NOW));
    assert!(!Report { enforces: None, ..report.clone() }.acknowledges(&record, NOW));
    assert!(!Report { holds: vec![hash(1)], ..report }.acknowledges(&record, NOW));
}

#[test]
fn who_does_not_acknowledge_in_time_is_named() {
    let record = proposed(&record(), 2);
    let mut reports = obedients(3, &record, NOW);
    reports[1].follows = 0;
    assert_eq!(drive(&view(&record, &reports, NOW)), Step::Wait(second(10)));
    let instances = vec![2];
    assert_eq!(reason(drive(&view(&record, &reports, second(10)))), Reason::NotAcknowledged { instances });
}

#[test]
fn who_is_dead_is_not_waited_for_and_neither_is_who_looks_on() {
    let record = proposed(&record(), 2);
    let mut reports = obedients(2, &record, NOW);
    reports[1].follows = 0;
    reports[1].role = Role::Observer;
    let Step::Write(record, _) = drive(&view(&record, &reports, NOW)) else { panic!() };
    assert_eq!(phase(&record), Phase::Switching { step: 0, since: NOW });
}

#[test]
fn who_joins_late_has_its_own_time_but_not_for_ever() {
    let record = proposed(&record(), 2);
    let mut reports = obedients(2, &record, NOW);
    (reports[1].follows, reports[1].joined) = (0, second(8));
    assert_eq!(drive(&view(&record, &reports, second(10))), Step::Wait(second(18)));
    reports[1].joined = second(29);
    assert_eq!(drive(&view(&record, &reports, second(29))), Step::Wait(second(30)));
    let instances = vec![2];
    assert_eq!(reason(drive(&view(&record, &reports, second(30)))), Reason::NotAcknowledged { instances });
}

#[test]
fn a_fleet_that_has_died_out_is_waited_for_and_given_up() {
    let record = proposed(&record(), 2);
    assert_eq!(drive(&view(&record, &[], NOW)), Step::Wait(second(10)));
    assert_eq!(reason(drive(&view(&record, &[], second(10)))), Reason::NoInstance);
}

#[test]
fn an_image_that_is_refused_ends_it_at_once() {
    let record = proposed(&record(), 2);
    let mut reports = obedients(2, &record, NOW);
    let refuse = |revision| Some(ImageFault { revision, why: "it is damaged".to_owned() });
    reports[0].refuses = refuse(revision(2, 2));
    let why = "it is damaged".to_owned();
    let refused = Reason::ImageRefused { instance: 1, why };
    assert_eq!(reason(drive(&view(&record, &reports, NOW))), refused);
    // That of another revision, though of the same image, is an old story.
    reports[0].refuses = refuse(revision(9, 2));
    assert!(
        matches!(drive(&view(&record, &reports, NOW)), Step::Write(record, _) if !record.rollout.as_ref().unwrap().is_rolling_back())
    );
}

#[test]
fn a_failure_is_told_before_the_window_ends() {
    let record = in_phase(Phase::Validating { step: 0, since: NOW }, &[1]);
    let reports = judging(2, &record, 500, 100);
    assert_eq!(reason(drive(&view(&record, &reports, second(1)))).check(), Some(Check::DecisionFlips));
}

#[test]
fn a_failure_is_told_while_a_step_is_still_switching() {
    let record = in_phase(Phase::Switching { step: 0, since: NOW }, &[1]);
    let mut reports = judging(2, &record, 500, 100);
    reports[0].follows = 0;
    assert_eq!(reason(drive(&view(&record, &reports, second(1)))).check(), Some(Check::DecisionFlips));
}

#[test]
fn to_pass_takes_the_whole_window() {
    let record = in_phase(Phase::Validating { step: 0, since: NOW }, &[1]);
    let reports = judging(10, &record, 500, 0);
    assert_eq!(drive(&view(&record, &reports, second(59))), Step::Wait(second(60)));
    let Step::Write(record, _) = drive(&view(&record, &reports, second(60))) else { panic!() };
    assert_eq!(phase(&record), Phase::Switching { step: 1, since: second(60) });
    assert_eq!(record.rollout.unwrap().members.len(), 5);
}

#[test]
fn a_window_counts_from_when_somebody_who_decides_by_the_candidate_has_looked_on() {
    let record = in_phase(Phase::Validating { step: 0, since: NOW }, &[1]);
    let mut reports = judging(2, &record, 500, 0);
    reports[0].tallies.as_mut().unwrap().began = second(50);
    assert_eq!(drive(&view(&record, &reports, second(60))), Step::Wait(second(110)));
    reports[0].tallies = None;
    assert_eq!(drive(&view(&record, &reports, second(60))), Step::Wait(second(900)));
}

#[test]
fn too_little_traffic_waits_for_more_until_the_deadline() {
    let record = in_phase(Phase::Validating { step: 0, since: NOW }, &[1]);
    let reports = judging(2, &record, 10, 0);
    assert_eq!(drive(&view(&record, &reports, second(60))), Step::Wait(second(900)));
    let Reason::Inconclusive { findings } = reason(drive(&view(&record, &reports, second(900)))) else {
        panic!()
    };
    assert_eq!(findings.len(), 4);
}

#[test]
fn somebody_may_take_too_little_for_enough_but_not_what_fails() {
    let record = in_phase(Phase::Validating { step: 0, since: NOW }, &[1]);
    let asks =
        Ask { execution_id: record.last_execution.unwrap(), what: Wish::Confirm, by: "somebody".to_owned() };
    let mut reports = judging(10, &record, 1, 0);
    reports[0].asks = Some(asks);
    let mut now = second(1);
    let confirmed = next(&record, &reports, &mut now);
    assert_eq!((phase(&confirmed), now), (phase(&record), second(1)));
    assert_eq!(drive(&view(&confirmed, &reports, second(59))), Step::Wait(second(60)));
    let Step::Write(passed, _) = drive(&view(&confirmed, &reports, second(60))) else { panic!() };
    assert_eq!(phase(&passed), Phase::Switching { step: 1, since: second(60) });
    let reports = judging(10, &confirmed, 500, 100);
    assert_eq!(reason(drive(&view(&confirmed, &reports, second(60)))).check(), Some(Check::DecisionFlips));
}

#[test]
fn somebody_may_cancel_through_a_report_and_once() {
    let record = proposed(&record(), 2);
    let execution_id = record.last_execution.unwrap();
    let mut reports = obedients(2, &record, NOW);
    reports[1].role = Role::Observer;
    reports[1].asks = Some(Ask { execution_id, what: Wish::Cancel, by: "somebody".to_owned() });
    let step = drive(&view(&record, &reports, NOW));
    let Step::Write(back, _) = step.clone() else { panic!() };
    assert_eq!(reason(step), Reason::Cancelled { by: "somebody".to_owned() });
    assert_eq!(drive(&view(&back, &reports, NOW)), Step::Wait(second(10)));
    // It is no wish of any other rollout.
    let other = proposed(&Record { rollout: None, ..*back }, 3);
    reports[0] = obedient(1, &other, NOW);
    let Step::Write(record, _) = drive(&view(&other, &reports, NOW)) else { panic!() };
    assert!(!record.rollout.unwrap().is_rolling_back());
}

#[test]
fn a_step_that_takes_in_nobody_new_is_left_out() {
    let record = in_phase(Phase::Validating { step: 0, since: NOW }, &[1]);
    let reports = judging(2, &record, 500, 0);
    let Step::Write(two, _) = drive(&view(&record, &reports, second(60))) else { panic!() };
    assert_eq!(phase(&two), Phase::Switching { step: 2, since: second(60) });
    let reports = judging(1, &record, 500, 0);
    let Step::Write(one, _) = drive(&view(&record, &reports, second(60))) else { panic!() };
    assert_eq!(phase(&one), Phase::Promoting { since: second(60) });
}

#[test]
fn when_the_canary_is_dead_there_is_another_one() {
    for phase_before in [Phase::Switching { step: 0, since: NOW }, Phase::Validating { step: 0, since: NOW }]
    {
        let record = in_phase(phase_before, &[7]);
        let reports = judging(3, &record, 500, 0);
        let Step::Write(record, _) = drive(&view(&record, &reports, second(5))) else { panic!() };
        assert_eq!(phase(&record), Phase::Switching { step: 0, since: second(5) });
        let members = record.rollout.unwrap().members;
        assert!(members.len() == 1 && !members.contains(&7));
    }
}

#[test]
fn all_swap_at_one_instant_that_is_far_enough_ahead() {
    let mut record = proposed(&record(), 2);
    record.rollout.as_mut().unwrap().strategy = Strategy::Simultaneous;
    let reports = obedients(3, &record, NOW);
    let Step::Write(record, _) = drive(&view(&record, &reports, NOW)) else { panic!() };
    assert_eq!(phase(&record), Phase::Agreed { at: NOW + Settings::default().lead });
    let reports = obedients(3, &record, NOW);
    assert_eq!(drive(&view(&record, &reports, NOW)), Step::Wait(second(3)));
    assert_eq!(drive(&view(&record, &reports, second(3))), Step::Wait(second(13)), "nobody says that it has");
    let reports = obedients(3, &record, second(3));
    let Step::Write(record, _) = drive(&view(&record, &reports, second(3))) else { panic!() };
    assert_eq!(phase(&record), Phase::Validating { step: 0, since: second(3) });
}

#[test]
fn who_stays_behind_holds_up_neither_a_lock_nor_a_rollback() {
    let reason = Reason::NoInstance;
    for phase in [Phase::Promoting { since: NOW }, Phase::RollingBack { since: NOW, reason }] {
        let record = in_phase(phase, &[1]);
        let mut reports = obedients(2, &record, NOW);
        reports[1].enforces = None;
        assert_eq!(drive(&view(&record, &reports, second(9))), Step::Wait(second(10)));
        let Step::Write(next, entries) = drive(&view(&record, &reports, second(10))) else { panic!() };
        assert_eq!(next.rollout, None);
        match &entries[0].event {
            Event::Locked { behind, .. } | Event::RolledBack { behind, .. } => assert_eq!(*behind, [2]),
            event => panic!("{event:?}"),
        }
    }
}

#[test]
fn whoever_takes_over_rolls_back_what_was_not_decided() {
    let reason = Reason::DriverLost;
    let back = Phase::RollingBack { since: second(5), reason };
    let validating = Phase::Validating { step: 1, since: NOW };
    for (before, after) in [
        (Phase::Staging { since: NOW }, back.clone()),
        (Phase::Switching { step: 1, since: NOW }, back.clone()),
        (Phase::Agreed { at: second(9) }, back),
        (validating.clone(), validating),
        (Phase::Promoting { since: NOW }, Phase::Promoting { since: second(5) }),
    ] {
        let record = in_phase(before, &[1]);
        let view = View { fence: 2, ..view(&record, &[], second(5)) };
        let Step::Write(next, _) = drive(&view) else { panic!() };
        assert_eq!((phase(&next), next.rollout.unwrap().driver), (after, 2));
    }
}

/// Somebody has wanted it: whoever takes over does not bring back what they have left.
#[test]
fn whoever_takes_over_finishes_a_way_back() {
    for (before, after) in [
        (Phase::Staging { since: NOW }, Phase::Staging { since: second(5) }),
        (Phase::Agreed { at: second(9) }, Phase::Agreed { at: second(9) }),
        (Phase::Agreed { at: second(5) }, Phase::Switching { step: 0, since: second(5) }),
    ] {
        let mut record = in_phase(before, &[]);
        let rollout = record.rollout.as_mut().unwrap();
        (rollout.validates, rollout.strategy) = (false, Strategy::Simultaneous);
        let view = View { fence: 2, ..view(&record, &[], second(5)) };
        let Step::Write(next, _) = drive(&view) else { panic!() };
        assert_eq!(phase(&next), after);
    }
}
