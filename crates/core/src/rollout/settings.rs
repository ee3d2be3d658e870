//! How long a rollout waits for what, and what it does not tolerate.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Micros;

/// How long a rollout waits for what, and what it does not tolerate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// So long each step is validated, at least. A minute by default.
    pub window: Micros,
    /// So long, at most: with too little traffic until then, the rollout ends as inconclusive. 15 minutes by default.
    pub deadline: Micros,
    /// Nothing is said of fewer requests than this. 100 by default.
    pub min_samples: u64,
    /// So long an instance may take to do what it has to, and to say so. 10 seconds by default.
    pub patience: Micros,
    /// How far ahead the instant is at which all swap at once. 3 seconds by default: several times what it takes until every
    /// instance has read of it.
    pub lead: Micros,
    /// What is not tolerated.
    pub thresholds: Thresholds,
}

/// What is not tolerated: a value above one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Of the requests that the policy in force admits, the share that the candidate denies, for the fleet and for each tenant.
    /// 0.05 by default.
    pub decision_flips: f64,
    /// What was admitted at once, over what may be. 1 by default.
    pub burst_ratio: f64,
    /// The share of requests that fail under the candidate, less that of those that fail anyway. 0.005 by default.
    pub error_rate: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Micros::from_secs(60),
            deadline: Micros::from_secs(15 * 60),
            min_samples: 100,
            patience: Micros::from_secs(10),
            lead: Micros::from_secs(3),
            thresholds: Thresholds::default(),
        }
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { decision_flips: 0.05, burst_ratio: 1.0, error_rate: 0.005 }
    }
}

/// Why settings are refused.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SettingsError {
    /// Nothing could pass in time.
    #[error("the deadline, {deadline}, is before the end of the observation window, {window}")]
    Deadline {
        /// As given.
        deadline: Micros,
        /// As given.
        window: Micros,
    },
    /// Nobody can do anything in no time.
    #[error("`patience` is longer than 0")]
    Patience,
    /// Without a sample there is nothing to judge by.
    #[error("`minSamples` is 1 or more")]
    Samples,
    /// It is no share, or no number.
    #[error("the threshold of `{name}` is a number from {least} to {most}, and not {given}")]
    Threshold {
        /// Of which check.
        name: &'static str,
        /// As given.
        given: f64,
        /// What it may be.
        least: f64,
        /// What it may be.
        most: f64,
    },
}

impl Settings {
    /// Can a rollout be made by them?
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self) -> Result<(), SettingsError> {
        let Self { window, deadline, min_samples, patience, thresholds, .. } = self;
        if deadline < window {
            return Err(SettingsError::Deadline { deadline: *deadline, window: *window });
        }
        if *patience == Micros::ZERO {
            return Err(SettingsError::Patience);
        }
        if *min_samples == 0 {
            return Err(SettingsError::Samples);
        }
        for (name, given, (least, most)) in [
            ("decision_flips", thresholds.decision_flips, (0.0, 1.0)),
            ("burst_ratio", thresholds.burst_ratio, (1.0, 1000.0)),
            ("error_rate", thresholds.error_rate, (0.0, 1.0)),
        ] {
            if !(least..=most).contains(&given) {
                return Err(SettingsError::Threshold { name, given, least, most });
            }
        }
        Ok(())
    }
}
