//! How far a rollout has come.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Check, Finding, Micros, Scope};

/// How far a rollout has come. `since` is when the phase began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Phase {
    /// Every instance is to hold the image.
    Staging {
        /// When it began.
        since: Micros,
    },
    /// The instances of a step are to decide by the candidate.
    Switching {
        /// Counted from 0.
        step: usize,
        /// When it began.
        since: Micros,
    },
    /// All instances are to decide by the candidate from an instant on.
    Agreed {
        /// That instant.
        at: Micros,
    },
    /// Both policies are judged on the same requests.
    Validating {
        /// Counted from 0; 0 where all swapped at once.
        step: usize,
        /// When it began.
        since: Micros,
    },
    /// The candidate is going to be the active revision: that is decided.
    Promoting {
        /// When it began.
        since: Micros,
    },
    /// Every instance is to go back.
    RollingBack {
        /// When it began.
        since: Micros,
        /// What for.
        reason: Reason,
    },
}

/// Why a rollout is rolled back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Reason {
    /// Live traffic says so.
    CheckFailed {
        /// What it says.
        finding: Finding,
    },
    /// There was too little traffic until the deadline.
    Inconclusive {
        /// The checks that had too little.
        findings: Vec<Finding>,
    },
    /// An instance does not take the image.
    ImageRefused {
        /// Which.
        instance: u64,
        /// In its words.
        why: String,
    },
    /// Instances that live have not done what they had to.
    NotAcknowledged {
        /// Which: the first 16.
        instances: Vec<u64>,
    },
    /// There is no instance that lives.
    NoInstance,
    /// Whoever drove it is gone, and nothing was decided.
    DriverLost,
    /// Somebody wanted it.
    Cancelled {
        /// Who.
        by: String,
    },
}

impl Reason {
    /// The check that failed, if one did.
    #[must_use]
    pub fn check(&self) -> Option<Check> {
        match self {
            Self::CheckFailed { finding } => Some(finding.check),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckFailed { finding } => {
                let Finding { check, value, threshold, samples, scope, .. } = finding;
                write!(out, "{check} is {value:.4} (at most {threshold}) in {samples} requests")?;
                match scope {
                    Scope::Fleet => out.write_str(" of the fleet"),
                    Scope::Tenant { name, .. } => write!(out, " of the tenant {name:?}"),
                }
            }
            Self::Inconclusive { .. } => out.write_str("there was too little traffic to judge by"),
            Self::ImageRefused { instance, why } => {
                write!(out, "instance {instance} does not take the image: {why}")
            }
            Self::NotAcknowledged { instances } => {
                write!(out, "instances that live have not acknowledged in time: {instances:?}")
            }
            Self::NoInstance => out.write_str("there is no instance that lives"),
            Self::DriverLost => out.write_str("the instance that drove the rollout is gone"),
            Self::Cancelled { by } => write!(out, "{by} cancelled it"),
        }
    }
}
