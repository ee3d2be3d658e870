use serde_json::json;

use super::*;
use crate::rollout::samples::{NOW, hash, obedients, proposed, record, revision, view};
use crate::rollout::{Phase, Record, Step, Tallies, drive};

fn log(record: &Record) -> ExecutionLog {
    let rollout = record.rollout.as_ref().unwrap();
    ExecutionLog::new(rollout.execution_id, NOW, rollout.settings.window)
}

#[test]
fn a_log_has_the_shape_that_is_documented() {
    let mut log = log(&proposed(&record(), 2));
    let scan = log.stage_mut(StageName::TopologyScan).unwrap();
    (scan.status, scan.duration_ms) = (Status::Passed, 12);
    scan.details = Details::Findings { findings: vec![json!({ "instances": 2 })] };
    log.stage_mut(StageName::PolicyCompilation).unwrap().details =
        Details::Output { output: json!({ "image_bytes": 4096 }) };
    let expected = json!({
        "execution_id": "infra_rl_2026_01_15_09_42_17",
        "agent": "tollgate",
        "task": "enforce_rate_limit_policy",
        "start_timestamp": "2026-01-15T09:42:17Z",
        "stages": [
            { "stage": "topology_scan", "status": "passed", "duration_ms": 12, "findings": [{ "instances": 2 }] },
            { "stage": "policy_compilation", "status": "pending", "duration_ms": 0, "output": { "image_bytes": 4096 } },
            { "stage": "redis_topology_validation", "status": "pending", "duration_ms": 0, "findings": [] },
            { "stage": "policy_injection", "status": "pending", "duration_ms": 0,
              "instances_updated": 0, "instances_pending": 0 },
            { "stage": "traffic_validation", "status": "pending", "duration_ms": 0,
              "validation_window": "60s", "threshold_checks": [] },
        ],
        "estimated_completion": null,
    });
    assert_eq!(serde_json::to_value(&log).unwrap(), expected);
    assert_eq!(serde_json::from_value::<ExecutionLog>(expected).unwrap(), log);
}

/// The statuses of the last two stages, in turn.
fn statuses(log: &ExecutionLog) -> (Status, Status) {
    (log.stages[3].status, log.stages[4].status)
}

#[test]
fn a_log_follows_a_rollout_to_its_lock() {
    let mut record = proposed(&record(), 2);
    let (mut log, mut now, mut seen) = (log(&record), NOW, Vec::new());
    while let Some(rollout) = record.rollout.clone() {
        let mut reports = obedients(2, &record, now);
        if let Some(round) = rollout.round() {
            for report in &mut reports {
                let mut tallies = Tallies::new(round, NOW);
                tallies.judged.requests = 1000;
                tallies.judged.conforming = 1000;
                tallies.by_candidate.requests = 1000;
                report.tallies = Some(tallies);
            }
        }
        let view = view(&record, &reports, now);
        log.observe(&view);
        seen.push(statuses(&log));
        match drive(&view) {
            Step::Write(next, entries) => {
                for entry in &entries {
                    log.conclude(entry);
                }
                record = *next;
            }
            Step::Wait(until) => now = until,
            Step::Nothing => break,
        }
    }
    seen.dedup();
    let (pending, running, passed) = (Status::Pending, Status::Running, Status::Passed);
    assert_eq!(seen, [(running, pending), (running, running), (running, passed)]);
    assert_eq!(statuses(&log), (passed, passed));
    assert_eq!(log.outcome, Some(Outcome::Locked { revision: revision(2, 2) }));
    assert_eq!(log.stages[3].details, Details::Injection { instances_updated: 2, instances_pending: 0 });
    let Details::Validation { threshold_checks, .. } = &log.stages[4].details else { panic!() };
    assert_eq!(threshold_checks.len(), 4);
    // The canary, and all: a half of two is the canary again.
    assert_eq!(log.stages[4].duration_ms, 120_000);
    assert_eq!(log.estimated_completion.as_deref(), Some("2026-01-15T09:44:17Z"));
    assert_eq!(record.active.hash, hash(2));
}

#[test]
fn a_log_says_which_check_has_failed() {
    let mut record = proposed(&record(), 2);
    let mut log = log(&record);
    let rollout = record.rollout.as_mut().unwrap();
    rollout.phase = Phase::Validating { step: 0, since: NOW };
    rollout.members = [1].into();
    let mut reports = obedients(2, &record, NOW);
    let mut tallies = Tallies::new(record.rollout.as_ref().unwrap().round().unwrap(), NOW);
    tallies.judged.conforming = 1000;
    tallies.judged.now_denied = 100;
    reports[0].tallies = Some(tallies);
    log.observe(&view(&record, &reports, NOW));
    let Step::Write(record, _) = drive(&view(&record, &reports, NOW)) else { panic!() };
    let reports = obedients(2, &record, NOW);
    let Step::Write(record, entries) = drive(&view(&record, &reports, NOW)) else { panic!() };
    log.conclude(&entries[0]);
    assert!(record.rollout.is_none() && record.refusal(hash(2)).is_some());
    assert_eq!(statuses(&log), (Status::Skipped, Status::Failed));
    let expected = json!({
        "status": "rolled_back",
        "revision": revision(1, 1),
        "reason": "decision_flips is 0.1000 (at most 0.05) in 1000 requests of the fleet",
        "check": "decision_flips",
    });
    assert_eq!(serde_json::to_value(&log.outcome).unwrap(), expected);
}
