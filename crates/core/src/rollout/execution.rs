//! What a rollout is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::{Date, Month};

use super::Micros;

const PREFIX: &str = "infra_rl_";

/// The name of a rollout, after the second at which it was proposed, in UTC: `infra_rl_2026_01_15_09_42_17`. Later ones sort later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ExecutionId {
    /// Since the Unix epoch.
    seconds: u64,
}

/// What was given names no rollout.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a rollout is called like infra_rl_2026_01_15_09_42_17, after a second in UTC")]
pub struct NotAnExecution;

impl ExecutionId {
    /// After an instant.
    #[must_use]
    pub const fn at(instant: Micros) -> Self {
        Self { seconds: instant.get() / 1_000_000 }
    }

    /// After an instant, unless the last one is called after that or a later one: then after the second that follows.
    #[must_use]
    pub fn after(last: Option<Self>, instant: Micros) -> Self {
        let next = last.map(|last| Self { seconds: last.seconds.saturating_add(1) });
        next.map_or(Self::at(instant), |next| next.max(Self::at(instant)))
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Micros::from_secs(self.seconds).date();
        let (year, month, day) = date.to_calendar_date();
        let (hour, minute, second) = date.to_hms();
        let month = u8::from(month);
        write!(out, "{PREFIX}{year:04}_{month:02}_{day:02}_{hour:02}_{minute:02}_{second:02}")
    }
}

impl FromStr for ExecutionId {
    type Err = NotAnExecution;

    fn from_str(text: &str) -> Result<Self, NotAnExecution> {
        let id = parse(text).ok_or(NotAnExecution)?;
        // There is one way to write each.
        if id.to_string() == text { Ok(id) } else { Err(NotAnExecution) }
    }
}

fn parse(text: &str) -> Option<ExecutionId> {
    let (year, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let mut parts = rest.splitn(5, '_').map(str::parse::<u8>);
    let mut part = || parts.next()?.ok();
    let (month, day, hour, minute, second) = (part()?, part()?, part()?, part()?, part()?);
    let date = Date::from_calendar_date(year.parse().ok()?, Month::try_from(month).ok()?, day).ok()?;
    let instant = date.with_hms(hour, minute, second).ok()?.assume_utc();
    Some(ExecutionId { seconds: instant.unix_timestamp().try_into().ok()? })
}

impl From<ExecutionId> for String {
    fn from(id: ExecutionId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ExecutionId {
    type Error = NotAnExecution;

    fn try_from(text: String) -> Result<Self, NotAnExecution> {
        text.parse()
    }
}

#[cfg(test)]
mod tests;
