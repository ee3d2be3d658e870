//! What is judged by live traffic.
//!
//! A check fails as soon as there are enough requests that say so. It passes what there are enough requests for, and is
//! inconclusive where there are too few.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Judged, Outcomes, Settings, Tallies, TenantTally};

/// So many tenants are named as failing one check, the worst.
const MOST_NAMED: usize = 16;

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The share of requests that were admitted, and would not be any more.
    DecisionFlips,
    /// What was admitted at once, over what may be.
    BurstRatio,
    /// How often a tenant was above its own bound.
    TenantIsolation,
    /// The share of requests that fail, less that of those that fail under the old policy.
    ErrorRate,
}

impl fmt::Display for Check {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::DecisionFlips => "decision_flips",
            Self::BurstRatio => "burst_ratio",
            Self::TenantIsolation => "tenant_isolation",
            Self::ErrorRate => "error_rate",
        })
    }
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// What is so.
    pub value: f64,
    /// What it may be at most.
    pub threshold: f64,
    /// Of how many requests that is.
    pub samples: u64,
    /// Whose.
    pub scope: Scope,
    /// What follows.
    pub verdict: Verdict,
}

/// Of whom a finding speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All requests.
    Fleet,
    /// Those of one tenant.
    Tenant {
        /// The hash of its name, in hexadecimal.
        hash: String,
        /// Its name, to be shown.
        name: String,
    },
}

/// What follows from a finding, or from several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All is well.
    Passed,
    /// There is too little to judge by.
    Inconclusive,
    /// The candidate is not to be.
    Failed,
}

/// All checks, of what a fleet has counted.
#[must_use]
pub fn checks(tallies: &Tallies, settings: &Settings) -> Vec<Finding> {
    let mut findings = decision_flips(tallies, settings);
    findings.push(burst_ratio(tallies, settings));
    findings.extend(tenant_isolation(tallies, settings));
    findings.push(error_rate(tallies, settings));
    findings
}

/// The worst that was found.
#[must_use]
pub fn verdict(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Inconclusive)
}

/// Of requests that were admitted, the share that would not be any more: for the fleet, and for tenants with enough of them, those
/// that fail or else the worst.
///
/// Whoever sends more than its quota is refused now here, now there, by two policies that grant it the same. So of what a tenant
/// is refused that it was not before, what it is admitted that it was not before is taken off: of its own, not of others'.
#[must_use]
pub fn decision_flips(tallies: &Tallies, settings: &Settings) -> Vec<Finding> {
    let threshold = settings.thresholds.decision_flips;
    let of = |judged: &Judged, cut, scope| {
        let value = share(cut, judged.conforming);
        Finding {
            check: Check::DecisionFlips,
            value: rounded(value),
            threshold,
            samples: judged.conforming,
            scope,
            verdict: judge(value > threshold, judged.conforming, settings),
        }
    };
    let tenants = tallies.tenants.iter().filter(|tenant| tenant.judged.conforming >= settings.min_samples);
    let tenants = tenants.map(|tenant| of(&tenant.judged, cut(&tenant.judged), scope(tenant))).collect();
    let mut findings = vec![of(&tallies.judged, cut_of_all(tallies), Scope::Fleet)];
    findings.extend(worst(tenants));
    findings
}

/// Of what was admitted, what would not be any more, as far as that is not chance: what is gained by chance varies by its root, and as
/// much may be lost by it; twice that is left out.
fn cut(judged: &Judged) -> u64 {
    let by_chance = 2_u64.saturating_mul(judged.now_admitted.isqrt());
    judged.now_denied.saturating_sub(judged.now_admitted.saturating_add(by_chance))
}

/// The same for all requests: tenants one by one, as far as they are known, and all others together.
fn cut_of_all(tallies: &Tallies) -> u64 {
    let mut others = tallies.judged;
    let mut known = 0_u64;
    for TenantTally { judged, .. } in &tallies.tenants {
        known = known.saturating_add(cut(judged));
        others.now_denied = others.now_denied.saturating_sub(judged.now_denied);
        others.now_admitted = others.now_admitted.saturating_sub(judged.now_admitted);
    }
    known.saturating_add(cut(&others))
}

/// What was admitted at once, over what may be.
#[must_use]
pub fn burst_ratio(tallies: &Tallies, settings: &Settings) -> Finding {
    let (value, threshold) = (tallies.peak_burst, settings.thresholds.burst_ratio);
    let samples = tallies.judged.requests;
    let verdict = judge(value > threshold, samples, settings);
    Finding {
        check: Check::BurstRatio,
        value: rounded(value),
        threshold,
        samples,
        scope: Scope::Fleet,
        verdict,
    }
}

/// Has a tenant been above its own bound? Once is too often, however few requests there were.
#[must_use]
pub fn tenant_isolation(tallies: &Tallies, settings: &Settings) -> Vec<Finding> {
    let of = |judged: &Judged, scope| {
        let samples = judged.requests;
        let verdict =
            if judged.breaches > 0 { Verdict::Failed } else { judge(false, judged.requests, settings) };
        #[expect(clippy::cast_precision_loss, reason = "a count to be shown")]
        let value = judged.breaches as f64;
        Finding { check: Check::TenantIsolation, value, threshold: 0.0, samples, scope, verdict }
    };
    let breached = tallies.tenants.iter().filter(|tenant| tenant.judged.breaches > 0);
    let breached = breached.map(|tenant| of(&tenant.judged, scope(tenant))).collect();
    let mut findings = vec![of(&tallies.judged, Scope::Fleet)];
    findings.extend(worst(breached));
    findings
}

/// The share of requests that fail under the candidate, less that of those that fail under the old policy. Where a service asks by itself,
/// without a middleware, nobody tells what came of any request, and there is nothing to say.
#[must_use]
pub fn error_rate(tallies: &Tallies, settings: &Settings) -> Finding {
    let rate = |outcomes: &Outcomes| share(outcomes.errors(), outcomes.requests);
    let value = (rate(&tallies.by_candidate) - rate(&tallies.by_old)).max(0.0);
    let threshold = settings.thresholds.error_rate;
    let samples = tallies.by_candidate.requests;
    let nobody_tells = samples == 0 && tallies.by_old.requests == 0;
    let verdict = if nobody_tells && tallies.judged.requests >= settings.min_samples {
        Verdict::Passed
    } else {
        judge(value > threshold, samples, settings)
    };
    Finding {
        check: Check::ErrorRate,
        value: rounded(value),
        threshold,
        samples,
        scope: Scope::Fleet,
        verdict,
    }
}

fn judge(fails: bool, samples: u64, settings: &Settings) -> Verdict {
    match fails {
        _ if samples < settings.min_samples => Verdict::Inconclusive,
        true => Verdict::Failed,
        false => Verdict::Passed,
    }
}

/// Those that fail, as many as are named; or else the one that came closest.
fn worst(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|one, other| other.value.total_cmp(&one.value));
    let failing = findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
    findings.truncate(failing.clamp(1, MOST_NAMED));
    findings
}

/// To six decimals: so it is the same number after it has been written and read.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn scope(tenant: &TenantTally) -> Scope {
    Scope::Tenant { hash: format!("{:?}", tenant.hash), name: tenant.name.clone() }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
