//! How a fleet comes to another policy.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// More steps than this are refused.
pub const MOST_STEPS: usize = 32;

/// How a fleet comes to another policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Some instances first, then more.
    Rolling(Steps),
    /// All at one instant of the store's clock.
    Simultaneous,
}

impl Default for Strategy {
    fn default() -> Self {
        Self::Rolling(Steps::default())
    }
}

impl Strategy {
    /// Which share of the instances a step takes in, by its index.
    #[must_use]
    pub fn fraction(&self, step: usize) -> f64 {
        match self {
            Self::Rolling(steps) => steps.0.get(step).copied().unwrap_or(1.0),
            Self::Simultaneous => 1.0,
        }
    }

    /// How many steps there are.
    #[must_use]
    pub fn steps(&self) -> usize {
        match self {
            Self::Rolling(steps) => steps.0.len(),
            Self::Simultaneous => 1,
        }
    }
}

/// Which share of the instances each step takes in: the first is the canary, each is above the one before, and the last is 1.
/// Without other words: 0.1, 0.5 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<f64>", try_from = "Vec<f64>")]
pub struct Steps(Vec<f64>);

impl Default for Steps {
    fn default() -> Self {
        Self(vec![0.1, 0.5, 1.0])
    }
}

/// Why fractions are no steps.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum StepsError {
    /// There are none, or too many.
    #[error("a rolling strategy has 1 to {MOST_STEPS} steps, and was given {0}")]
    Count(usize),
    /// One is no share of a fleet, or is not above the one before.
    #[error("each step is a number above the one before, above 0 and at most 1; {0} is not")]
    Fraction(f64),
    /// The last leaves some out.
    #[error("the last step takes in the whole fleet: it is 1, and not {0}")]
    Last(f64),
}

impl Steps {
    /// Of fractions.
    ///
    /// # Errors
    /// Unless they rise from above 0 to 1.
    pub fn new(fractions: Vec<f64>) -> Result<Self, StepsError> {
        if fractions.len() > MOST_STEPS {
            return Err(StepsError::Count(fractions.len()));
        }
        let mut before = 0.0;
        for &fraction in &fractions {
            // What is not a number is not above anything.
            let rises = fraction > before && fraction <= 1.0;
            if !rises {
                return Err(StepsError::Fraction(fraction));
            }
            before = fraction;
        }
        match fractions.last() {
            None => Err(StepsError::Count(0)),
            Some(&last) if last < 1.0 => Err(StepsError::Last(last)),
            Some(_) => Ok(Self(fractions)),
        }
    }

    /// The fractions.
    #[must_use]
    pub fn fractions(&self) -> &[f64] {
        &self.0
    }
}

impl From<Steps> for Vec<f64> {
    fn from(steps: Steps) -> Self {
        steps.0
    }
}

impl TryFrom<Vec<f64>> for Steps {
    type Error = StepsError;

    fn try_from(fractions: Vec<f64>) -> Result<Self, StepsError> {
        Self::new(fractions)
    }
}
