//! The execution log: a rollout as it is shown to people.

mod progress;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Check, ExecutionId, Finding, Micros, Revision};

/// A rollout as it is shown to people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionLog {
    /// What it is called.
    pub execution_id: ExecutionId,
    /// Who does it: `tollgate`.
    pub agent: String,
    /// What is done: `enforce_rate_limit_policy`.
    pub task: String,
    /// When it began: RFC 3339, in UTC.
    pub start_timestamp: String,
    /// The stages, in their order.
    pub stages: Vec<Stage>,
    /// When it is going to be over, if all goes well and as far as can be said: RFC 3339, in UTC.
    pub estimated_completion: Option<String>,
    /// How it ended, once it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When the fleet was looked at last.
    #[serde(skip)]
    observed: Option<Micros>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Which.
    pub stage: StageName,
    /// How it stands.
    pub status: Status,
    /// How long it took, or has taken so far.
    pub duration_ms: u64,
    /// What was found.
    #[serde(flatten)]
    pub details: Details,
}

/// The stages, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// Who and what is there.
    TopologyScan,
    /// The policy becomes an image.
    PolicyCompilation,
    /// Are the backends fit for it?
    RedisTopologyValidation,
    /// Instances come to decide by it.
    PolicyInjection,
    /// Live traffic is judged by it.
    TrafficValidation,
}

/// How a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has not begun.
    Pending,
    /// It has.
    Running,
    /// All is well.
    Passed,
    /// It is not.
    Failed,
    /// It is not needed, or was not come to.
    Skipped,
    /// There was too little to judge by.
    Inconclusive,
}

/// What was found in a stage; which of these it is goes by the stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Details {
    /// Of [`StageName::PolicyInjection`].
    Injection {
        /// How many instances decide by the candidate.
        instances_updated: u64,
        /// How many are still to.
        instances_pending: u64,
    },
    /// Of [`StageName::TrafficValidation`].
    Validation {
        /// How long each step is looked at: `60s`.
        validation_window: String,
        /// What was found so far.
        threshold_checks: Vec<Finding>,
    },
    /// Of [`StageName::PolicyCompilation`].
    Output {
        /// Whatever the compiler says.
        output: Value,
    },
    /// Of [`StageName::TopologyScan`] and [`StageName::RedisTopologyValidation`].
    Findings {
        /// Whatever was found.
        findings: Vec<Value>,
    },
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// The candidate is active.
    Locked {
        /// Which.
        revision: Revision,
    },
    /// The old policy is.
    RolledBack {
        /// Which.
        revision: Revision,
        /// Why, in words.
        reason: String,
        /// The check that failed, if one did.
        #[serde(skip_serializing_if = "Option::is_none")]
        check: Option<Check>,
    },
}

impl ExecutionLog {
    /// That of a rollout that begins: all stages are pending.
    #[must_use]
    pub fn new(execution_id: ExecutionId, start: Micros, window: Micros) -> Self {
        let stage = |stage, details| Stage { stage, status: Status::Pending, duration_ms: 0, details };
        let findings = || Details::Findings { findings: Vec::new() };
        let injection = Details::Injection { instances_updated: 0, instances_pending: 0 };
        let validation =
            Details::Validation { validation_window: window.to_string(), threshold_checks: Vec::new() };
        Self {
            execution_id,
            agent: "tollgate".to_owned(),
            task: "enforce_rate_limit_policy".to_owned(),
            start_timestamp: start.timestamp(),
            stages: vec![
                stage(StageName::TopologyScan, findings()),
                stage(StageName::PolicyCompilation, Details::Output { output: Value::Null }),
                stage(StageName::RedisTopologyValidation, findings()),
                stage(StageName::PolicyInjection, injection),
                stage(StageName::TrafficValidation, validation),
            ],
            estimated_completion: None,
            outcome: None,
            observed: None,
        }
    }

    /// A stage, by name.
    pub fn stage_mut(&mut self, name: StageName) -> Option<&mut Stage> {
        self.stages.iter_mut().find(|stage| stage.stage == name)
    }
}

#[cfg(test)]
mod tests;
