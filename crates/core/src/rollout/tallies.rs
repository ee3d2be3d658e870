//! What comes of judging the same requests by two policies, in numbers.

use serde::{Deserialize, Serialize};

use super::Micros;
use crate::policy::NameHash;

/// So many tenants are in a report.
pub const MOST_TENANTS: usize = 64;
/// So many bytes of a tenant's name are.
pub const LONGEST_SHOWN: usize = 64;

/// What is counted together: an instance begins to count anew with each step of a rollout. So the record needs to hold no
/// earlier numbers, and an instance that starts again does not seem to count backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// The number of the candidate.
    pub revision: u64,
    /// Counted from 0.
    pub step: usize,
}

/// What one instance, or a fleet, has counted in a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tallies {
    /// In which.
    pub round: Round,
    /// Since when, by the store's clock: of several instances, since the first of them.
    pub began: Micros,
    /// Of all requests.
    pub judged: Judged,
    /// Of those that the candidate decided.
    pub by_candidate: Outcomes,
    /// Of those that the old policy decided.
    pub by_old: Outcomes,
    /// The most that a tenant was admitted at once, over what the candidate lets it; 0 while nothing was.
    pub peak_burst: f64,
    /// Of each tenant of which there is most to say, by hash.
    pub tenants: Vec<TenantTally>,
}

/// Requests that both policies have judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Judged {
    /// How many.
    pub requests: u64,
    /// Those that the old policy admits.
    pub conforming: u64,
    /// Those of them that the candidate denies.
    pub now_denied: u64,
    /// Those that the candidate admits, and the old policy does not.
    pub now_admitted: u64,
    /// How often a tenant was above its own bound.
    pub breaches: u64,
}

/// Requests that one policy has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes {
    /// How many.
    pub requests: u64,
    /// Those that were answered with 5xx.
    pub server_errors: u64,
    /// Those that the limiter itself failed on.
    pub limiter_errors: u64,
}

/// Of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantTally {
    /// Who.
    pub hash: NameHash,
    /// Its name, to be shown: cut to 64 bytes.
    pub name: String,
    /// Its requests.
    pub judged: Judged,
}

impl TenantTally {
    /// Of a tenant by name.
    #[must_use]
    pub fn of(name: &str, judged: Judged) -> Self {
        let shown = &name[..name.floor_char_boundary(LONGEST_SHOWN)];
        Self { hash: NameHash::of(name.as_bytes()), name: shown.to_owned(), judged }
    }
}

impl Tallies {
    /// Of a round in which nothing has happened.
    #[must_use]
    pub fn new(round: Round, began: Micros) -> Self {
        Self {
            round,
            began,
            judged: Judged::default(),
            by_candidate: Outcomes::default(),
            by_old: Outcomes::default(),
            peak_burst: 0.0,
            tenants: Vec::new(),
        }
    }

    /// Adds what another instance has counted in the same round; what is of another round is left out.
    pub fn merge(&mut self, other: &Self) {
        if self.round != other.round {
            return;
        }
        self.began = self.began.min(other.began);
        self.judged = self.judged.plus(&other.judged);
        self.by_candidate = self.by_candidate.plus(&other.by_candidate);
        self.by_old = self.by_old.plus(&other.by_old);
        self.peak_burst = self.peak_burst.max(other.peak_burst);
        for tenant in &other.tenants {
            match self.tenants.binary_search_by_key(&tenant.hash, |known| known.hash) {
                Ok(place) => {
                    if let Some(known) = self.tenants.get_mut(place) {
                        known.judged = known.judged.plus(&tenant.judged);
                    }
                }
                Err(place) => self.tenants.insert(place, tenant.clone()),
            }
        }
    }

    /// What was counted since an earlier instant. A peak has no parts: it stays.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        since.judged = self.judged.minus(&earlier.judged);
        since.by_candidate = self.by_candidate.minus(&earlier.by_candidate);
        since.by_old = self.by_old.minus(&earlier.by_old);
        for tenant in &mut since.tenants {
            if let Ok(place) = earlier.tenants.binary_search_by_key(&tenant.hash, |known| known.hash)
                && let Some(known) = earlier.tenants.get(place)
            {
                tenant.judged = tenant.judged.minus(&known.judged);
            }
        }
        since.tenants.retain(|tenant| tenant.judged != Judged::default());
        since
    }

    /// Leaves only so many tenants: those with the most breaches, then the most that is now denied, then the most requests. So a
    /// small tenant that a policy cuts is told of, however many large ones there are.
    pub fn keep(&mut self, most: usize) {
        if self.tenants.len() <= most {
            return;
        }
        let weight = |tenant: &TenantTally| {
            let Judged { breaches, now_denied, requests, .. } = tenant.judged;
            (breaches, now_denied, requests)
        };
        self.tenants.sort_by(|one, other| weight(other).cmp(&weight(one)).then(one.hash.cmp(&other.hash)));
        self.tenants.truncate(most);
        self.tenants.sort_by_key(|tenant| tenant.hash);
    }
}

impl Judged {
    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    fn minus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(&self, other: &Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            requests: each(self.requests, other.requests),
            conforming: each(self.conforming, other.conforming),
            now_denied: each(self.now_denied, other.now_denied),
            now_admitted: each(self.now_admitted, other.now_admitted),
            breaches: each(self.breaches, other.breaches),
        }
    }
}

impl Outcomes {
    /// Those that failed, whoever is at fault.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.server_errors.saturating_add(self.limiter_errors)
    }

    fn plus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    fn minus(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(&self, other: &Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            requests: each(self.requests, other.requests),
            server_errors: each(self.server_errors, other.server_errors),
            limiter_errors: each(self.limiter_errors, other.limiter_errors),
        }
    }
}

#[cfg(test)]
mod tests;
