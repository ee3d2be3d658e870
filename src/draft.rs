//! A policy while JavaScript reads it out: the default first, then tenants in chunks.

use napi::bindgen_prelude::Float64Array;
use napi_derive::napi;
use tollgate_core::policy::Grant;
use tollgate_core::{Nanos, Policy, UnknownTenant};

use crate::answer::tokens;
use crate::error::{Result, config};
use crate::namespace;

/// Columns of numbers for one tenant. A quota of Infinity is no limit; one of 0 admits nothing.
fn grant(quota: f64, burst: f64, window_ms: f64) -> Result<Grant> {
    if quota == f64::INFINITY {
        return Ok(Grant::Unlimited);
    }
    let whole = |name: &str, number: f64| {
        tokens(number)
            .ok_or_else(|| config(format!("{name}: {number}; accepted is a whole number from 0 to 2^53 - 1")))
    };
    Ok(Grant::Tokens {
        quota: whole("quota", quota)?,
        burst: whole("burst", burst)?,
        window: Nanos::from_millis(whole("window", window_ms)?),
    })
}

/// Rows, from a column of names and columns of numbers.
pub fn rows(
    names: Vec<String>,
    quotas: &[f64],
    bursts: &[f64],
    windows_ms: &[f64],
) -> Result<Vec<(String, Grant)>> {
    if [quotas.len(), bursts.len(), windows_ms.len()] != [names.len(); 3] {
        return Err(config("columns of different lengths"));
    }
    let numbers = quotas.iter().zip(bursts).zip(windows_ms);
    names
        .into_iter()
        .zip(numbers)
        .map(|(name, ((quota, burst), window))| Ok((name, grant(*quota, *burst, *window)?)))
        .collect()
}

#[napi]
pub struct PolicyDraft {
    draft: Option<tollgate_core::PolicyDraft>,
}

#[napi]
impl PolicyDraft {
    #[napi(constructor, catch_unwind)]
    pub fn new(quota: f64, burst: f64, window_ms: f64, reject_unknown: bool) -> Result<Self> {
        let unknown = if reject_unknown { UnknownTenant::Refuse } else { UnknownTenant::Default };
        let draft =
            tollgate_core::PolicyDraft::new(namespace::hasher(), grant(quota, burst, window_ms)?, unknown)
                .map_err(config)?;
        Ok(Self { draft: Some(draft) })
    }

    #[napi(catch_unwind)]
    pub fn add_tenants(
        &mut self,
        names: Vec<String>,
        quotas: Float64Array,
        bursts: Float64Array,
        windows_ms: Float64Array,
    ) -> Result<()> {
        let draft = self.draft.as_mut().ok_or_else(|| config("the draft is in use already"))?;
        let rows = rows(names, &quotas, &bursts, &windows_ms)?;
        rows.iter().try_for_each(|(name, grant)| draft.tenant(name, *grant).map_err(config))
    }

    /// The policy. A draft gives it once.
    pub fn finish(&mut self) -> Result<Policy> {
        self.draft
            .take()
            .map(tollgate_core::PolicyDraft::finish)
            .ok_or_else(|| config("the draft is in use already"))
    }
}
