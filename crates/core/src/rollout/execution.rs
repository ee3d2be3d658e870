//! What a rollout is called.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Micros;

/// The name of a rollout, after the second at which it was proposed: `infra_rl_2026_01_15_09_42_17`. Later ones sort later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(String);

impl ExecutionId {
    /// After an instant.
    #[must_use]
    pub fn at(instant: Micros) -> Self {
        let date = instant.date();
        let (year, month, day) = date.to_calendar_date();
        let (hour, minute, second) = date.to_hms();
        let month = u8::from(month);
        Self(format!("infra_rl_{year:04}_{month:02}_{day:02}_{hour:02}_{minute:02}_{second:02}"))
    }

    /// After an instant, or after the first second from then on that gives a later name than the last one has.
    #[must_use]
    pub fn after(last: Option<&Self>, instant: Micros) -> Self {
        let mut instant = instant;
        loop {
            let id = Self::at(instant);
            if last.is_none_or(|last| *last < id) {
                return id;
            }
            instant = instant + Micros::from_secs(1);
        }
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
