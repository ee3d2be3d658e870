use super::*;
use crate::rollout::samples::{
    NOW, hash, locked, next, obedients, proposal, proposed, record, revision, rolled_back, view,
};
use crate::rollout::{Micros, Reason};

fn refused(record: &Record, number: u8) -> Refused {
    let reports = obedients(2, record, NOW);
    propose(&view(record, &reports, NOW), proposal(number)).unwrap_err()
}

fn go_back(record: &Record, to: Option<u64>) -> Result<Change, Refused> {
    let reports = obedients(2, record, NOW);
    rollback(&view(record, &reports, NOW), to, Settings::default(), "somebody".to_owned())
}

#[test]
fn a_new_policy_is_staged_under_a_new_number() {
    let record = proposed(&record(), 2);
    let rollout = record.rollout.unwrap();
    assert_eq!((rollout.from, rollout.candidate), (revision(1, 1), revision(2, 2)));
    assert_eq!(rollout.phase, Phase::Staging { since: NOW });
    assert_eq!(rollout.execution_id.to_string(), "infra_rl_2026_01_15_09_42_17");
}

#[test]
fn a_second_rollout_is_refused_and_told_which_is_under_way() {
    let record = proposed(&record(), 2);
    let said =
        "the rollout infra_rl_2026_01_15_09_42_17 to revision 2 is under way: wait for its end, or cancel it";
    assert_eq!(refused(&record, 3).to_string(), said);
}

#[test]
fn the_active_policy_is_not_proposed() {
    assert_eq!(refused(&record(), 1), Refused::AlreadyActive(revision(1, 1)));
}

#[test]
fn what_was_rolled_back_is_proposed_by_force_only() {
    let record = rolled_back(&record(), 2);
    let said = "this policy was rolled back: somebody cancelled it. Change it, or force it";
    assert_eq!(refused(&record, 2).to_string(), said);
    let forced = proposed(&record, 2);
    assert_eq!(forced.rollout.unwrap().candidate, revision(3, 2));
}

#[test]
fn a_fleet_of_nobody_is_refused() {
    let record = record();
    assert_eq!(propose(&view(&record, &[], NOW), proposal(2)), Err(Refused::NoInstance));
    let mut reports = obedients(1, &record, NOW);
    reports[0].role = Role::Observer;
    assert_eq!(propose(&view(&record, &reports, NOW), proposal(2)), Err(Refused::NoInstance));
}

#[test]
fn settings_that_cannot_be_met_are_refused() {
    let record = record();
    let reports = obedients(1, &record, NOW);
    let settings = Settings { deadline: Micros::from_secs(30), ..Settings::default() };
    let refused = propose(&view(&record, &reports, NOW), Proposal { settings, ..proposal(2) }).unwrap_err();
    assert_eq!(refused.to_string(), "the deadline, 30s, is before the end of the observation window, 60s");
}

#[test]
fn two_rollouts_of_one_second_have_two_names() {
    let first = proposed(&record(), 2);
    let mut record = first.clone();
    record.give_up(Reason::NoInstance);
    let second = proposed(&record, 3);
    assert!(first.last_execution < second.last_execution);
}

#[test]
fn the_way_back_is_to_the_last_policy_that_nobody_left_by_such_a_way() {
    let record = locked(&locked(&record(), 2), 3);
    let mut back = go_back(&record, None).unwrap().0;
    let rollout = back.rollout.clone().unwrap();
    assert_eq!(rollout.candidate, revision(4, 2));
    assert_eq!((rollout.strategy, rollout.validates), (Strategy::Simultaneous, false));
    back.lock();
    assert!(back.refusal(hash(3)).is_some());
    assert_eq!(go_back(&back, None).unwrap().0.rollout.unwrap().candidate, revision(5, 1));
}

#[test]
fn a_revision_that_is_gone_is_refused_and_told_which_are_there() {
    let record = locked(&locked(&record(), 2), 3);
    let said = "there is no revision 9 to go back to; there are [1, 2]";
    assert_eq!(go_back(&record, Some(9)).unwrap_err().to_string(), said);
    assert_eq!(go_back(&record, Some(3)).unwrap_err(), Refused::AlreadyActive(revision(3, 3)));
    assert_eq!(go_back(&record, Some(1)).unwrap().0.rollout.unwrap().candidate, revision(4, 1));
}

#[test]
fn a_fleet_that_has_had_one_policy_only_cannot_go_back() {
    assert_eq!(go_back(&record(), None).unwrap_err(), Refused::NothingEarlier);
}

#[test]
fn a_rollout_that_is_under_way_is_cancelled_once() {
    let record = proposed(&locked(&record(), 2), 3);
    assert!(matches!(go_back(&record, Some(1)), Err(Refused::UnderWay { .. })));
    for to in [None, Some(2)] {
        let back = go_back(&record, to).unwrap().0;
        assert!(back.rollout.as_ref().unwrap().is_rolling_back());
        assert!(matches!(go_back(&back, to), Err(Refused::RollingBack(_))));
    }
}

#[test]
fn the_way_back_is_not_judged_and_all_go_at_once() {
    let record = locked(&record(), 2);
    let (mut record, mut now) = (go_back(&record, None).unwrap().0, NOW);
    let mut phases = Vec::new();
    while let Some(rollout) = &record.rollout {
        phases.push(rollout.phase.clone());
        // All swap at the instant that was agreed upon.
        if let Phase::Agreed { at } = rollout.phase {
            now = at;
        }
        let reports = obedients(3, &record, now);
        record = next(&record, &reports, &mut now);
    }
    let at = NOW + Settings::default().lead;
    assert_eq!(phases, [Phase::Staging { since: NOW }, Phase::Agreed { at }, Phase::Promoting { since: at }]);
    assert_eq!(record.active, revision(3, 1));
}

#[test]
fn only_what_is_validated_is_confirmed() {
    let mut record = proposed(&record(), 2);
    let confirmed = |record: &Record| confirm(&view(record, &[], NOW), "somebody".to_owned());
    assert_eq!(confirmed(&record), Err(Refused::NotValidating));
    record.rollout.as_mut().unwrap().phase = Phase::Validating { step: 0, since: NOW };
    let (record, entries) = confirmed(&record).unwrap();
    assert_eq!(record.rollout.unwrap().confirmed.as_deref(), Some("somebody"));
    assert_eq!(entries[0].event, Event::Confirmed { by: "somebody".to_owned() });
}
