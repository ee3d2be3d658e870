//! Rows of tenants as JavaScript gives them: a column of names, and columns of numbers.

use serde::{Deserialize, Serialize};
use tollgate_core::policy::Declared;
use tollgate_core::{Algorithm, Grant, Nanos, Window};

use crate::answer::tokens;
use crate::error::{Result, config};

/// In place of a window in milliseconds: the calendar month.
const MONTH: f64 = -1.0;

/// Columns of one length.
///
/// A quota of NaN is that of the row's tier, Infinity is no limit, and 0 admits nothing. A kind is `8 x t + a`: `t` is the
/// place of the row's tier among the sorted ones, from 1, or 0; `a` is 0 for a token bucket, 1 for fixed windows, and 2 for
/// sliding ones.
pub struct Columns<'a> {
    quotas: &'a [f64],
    bursts: &'a [f64],
    windows_ms: &'a [f64],
    kinds: &'a [f64],
}

impl<'a> Columns<'a> {
    pub fn new(quotas: &'a [f64], bursts: &'a [f64], windows_ms: &'a [f64], kinds: &'a [f64]) -> Self {
        Self { quotas, bursts, windows_ms, kinds }
    }

    /// Each row's numbers.
    pub fn each(&self) -> impl Iterator<Item = Row> {
        let numbers = self.quotas.iter().zip(self.bursts).zip(self.windows_ms).zip(self.kinds);
        numbers.map(|(((&quota, &burst), &window_ms), &kind)| Row {
            // JSON has no other numbers.
            quota: quota.is_finite().then_some(quota),
            unlimited: quota == f64::INFINITY,
            burst,
            window_ms,
            kind,
        })
    }

    /// The rows.
    ///
    /// # Errors
    /// Columns of different lengths, or a number that means nothing.
    pub fn rows(&self, names: Vec<String>) -> Result<Vec<(String, Declared)>> {
        let lengths = [self.quotas.len(), self.bursts.len(), self.windows_ms.len(), self.kinds.len()];
        if lengths != [names.len(); 4] {
            return Err(config("columns of different lengths"));
        }
        let numbers = self.quotas.iter().zip(self.bursts).zip(self.windows_ms).zip(self.kinds);
        names
            .into_iter()
            .zip(numbers)
            .map(|(name, (((quota, burst), window), kind))| {
                Ok((name, declared(*quota, *burst, *window, *kind)?))
            })
            .collect()
    }
}

/// One row's numbers, as they are kept: without a quota it is that of the row's tier, or there is none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Row {
    quota: Option<f64>,
    unlimited: bool,
    burst: f64,
    window_ms: f64,
    kind: f64,
}

impl Row {
    /// # Errors
    /// A number that means nothing.
    pub fn declared(&self) -> Result<Declared> {
        let without = if self.unlimited { f64::INFINITY } else { f64::NAN };
        declared(self.quota.unwrap_or(without), self.burst, self.window_ms, self.kind)
    }
}

fn declared(quota: f64, burst: f64, window_ms: f64, kind: f64) -> Result<Declared> {
    let kind = whole("kind", kind)?;
    let tier = match kind / 8 {
        0 => None,
        place => Some(u16::try_from(place - 1).map_err(|_| config(format!("kind: {kind}")))?),
    };
    let grant = if quota.is_nan() {
        None
    } else if quota == f64::INFINITY {
        Some(Grant::Unlimited)
    } else {
        Some(Grant::Tokens {
            algorithm: algorithm(kind % 8)?,
            quota: whole("quota", quota)?,
            burst: whole("burst", burst)?,
            window: window(window_ms)?,
        })
    };
    Ok(Declared { tier, grant })
}

fn algorithm(code: u64) -> Result<Algorithm> {
    match code {
        0 => Ok(Algorithm::TokenBucket),
        1 => Ok(Algorithm::FixedWindow),
        2 => Ok(Algorithm::SlidingWindow),
        _ => Err(config(format!("algorithm: {code}; accepted is 0 to 2"))),
    }
}

fn window(window_ms: f64) -> Result<Window> {
    if window_ms == MONTH {
        return Ok(Window::Month);
    }
    Ok(Window::Span(Nanos::from_millis(whole("window", window_ms)?)))
}

fn whole(name: &str, number: f64) -> Result<u64> {
    tokens(number)
        .ok_or_else(|| config(format!("{name}: {number}; accepted is a whole number from 0 to 2^53 - 1")))
}
