//! A policy as it is declared: what the TypeScript face sends as JSON, with its defaults filled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, shown};
use crate::limit::Algorithm;

/// Everything that a policy says but for its tenants, which come as rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The quota of tenants that have no other.
    pub default: LimitSpec,
    /// What a tenant gets that the policy does not name.
    #[serde(default)]
    pub unknown_tenant: UnknownTenantSpec,
    /// Quotas by name.
    #[serde(default)]
    pub tiers: BTreeMap<String, LimitSpec>,
    /// Limits on top of the tenants' quotas.
    #[serde(default)]
    pub rules: Vec<RuleSpec>,
    /// Who is never limited.
    #[serde(default)]
    pub allow: ListSpec,
    /// Who is never admitted.
    #[serde(default)]
    pub deny: ListSpec,
    /// Do paths in other capitals count as others?
    #[serde(default)]
    pub case_sensitive: bool,
    /// Does a trailing slash make another path?
    #[serde(default)]
    pub strict_paths: bool,
}

impl Spec {
    /// From JSON.
    ///
    /// # Errors
    /// What is no JSON, or not of this shape; one fault, since the face has checked the shape before.
    pub fn parse(json: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(json).map_err(|error| Fault {
            path: Vec::new(),
            given: shown(&String::from_utf8_lossy(json)),
            accepted: format!("a policy in JSON: {error}"),
            hint: None,
        })
    }
}

/// See [`Spec::unknown_tenant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownTenantSpec {
    /// The default quota.
    #[default]
    Default,
    /// Nothing.
    Reject,
}

/// A number, or a word in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NumberOr<Word> {
    /// A whole number up to 2^53 - 1.
    Number(u64),
    /// The word.
    Word(Word),
}

/// In place of a quota: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unlimited {
    /// The word itself.
    Unlimited,
}

/// In place of a window in milliseconds: the calendar month, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Month {
    /// The word itself.
    Month,
}

/// Tokens, or `"unlimited"`.
pub type QuotaSpec = NumberOr<Unlimited>;

/// Milliseconds, or `"month"`.
pub type WindowSpec = NumberOr<Month>;

/// How a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlgorithmSpec {
    /// Refilled all the time.
    #[default]
    TokenBucket,
    /// Refilled when a window begins.
    FixedWindow,
    /// Two windows, weighted.
    SlidingWindow,
}

impl From<AlgorithmSpec> for Algorithm {
    fn from(algorithm: AlgorithmSpec) -> Self {
        match algorithm {
            AlgorithmSpec::TokenBucket => Self::TokenBucket,
            AlgorithmSpec::FixedWindow => Self::FixedWindow,
            AlgorithmSpec::SlidingWindow => Self::SlidingWindow,
        }
    }
}

/// A tenant's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitSpec {
    /// Tokens per window.
    pub quota: QuotaSpec,
    /// Tokens on top.
    #[serde(default)]
    pub burst: u64,
    /// The window.
    pub window_ms: WindowSpec,
    /// How it counts.
    pub algorithm: AlgorithmSpec,
}

/// A limit of its own, for the requests that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSpec {
    /// What it is called.
    pub name: String,
    /// Which requests it is for.
    #[serde(default, rename = "match")]
    pub matches: MatchSpec,
    /// What has a bucket of its own: `"tenant"`, `"ip"`, `"user"` or a named key; each combination of these has one.
    #[serde(default = "per_tenant")]
    pub per: Vec<String>,
    /// Tokens per window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaSpec>,
    /// Tokens on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u64>,
    /// The window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<WindowSpec>,
    /// How it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<AlgorithmSpec>,
    /// Requests in flight, in place of a quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// Tokens that a request takes of it, whatever its own cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// Does it deny, or only count?
    #[serde(default)]
    pub mode: ModeSpec,
}

fn per_tenant() -> Vec<String> {
    vec!["tenant".to_owned()]
}

/// What a request must be for a rule to match; an empty list is any.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchSpec {
    /// Its method is one of these; `GET` includes `HEAD`.
    #[serde(default)]
    pub method: Vec<String>,
    /// Its path matches one of these patterns.
    #[serde(default)]
    pub path: Vec<String>,
    /// Its tenant is of one of these tiers.
    #[serde(default)]
    pub tier: Vec<String>,
    /// Its tenant is one of these.
    #[serde(default)]
    pub tenant: Vec<String>,
}

/// Whether a rule denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModeSpec {
    /// It does.
    #[default]
    Enforce,
    /// It counts and reports, and never denies.
    Shadow,
}

/// Who is listed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListSpec {
    /// Tenants, by name.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Addresses and networks (CIDR).
    #[serde(default)]
    pub addresses: Vec<String>,
}
