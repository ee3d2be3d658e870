//! Which instances belong to a step.
//!
//! The driver chooses them once, when a step begins, and the record names them. Were each instance to work it out from the
//! instances that it sees, two that see different ones would disagree, and an instance that joins could displace another one.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::ExecutionId;

/// Those of the step before that live, and as many more as make up the fraction of those that live, but never none. The order is
/// another one in each rollout, so that not the same instance is always the canary.
#[must_use]
pub fn members(
    execution: ExecutionId,
    live: &BTreeSet<u64>,
    before: &BTreeSet<u64>,
    fraction: f64,
) -> BTreeSet<u64> {
    let mut chosen: BTreeSet<u64> = before.intersection(live).copied().collect();
    let mut others: Vec<u64> = live.difference(before).copied().collect();
    others.sort_by_cached_key(|&instance| (place(execution, instance), instance));
    let missing = count(live.len(), fraction).saturating_sub(chosen.len());
    chosen.extend(others.into_iter().take(missing));
    chosen
}

/// A fraction of so many, rounded down, so that no more are touched than was said; and one at least.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the fraction is in (0, 1]")]
#[expect(clippy::cast_precision_loss, reason = "no fleet has 2^53 instances")]
fn count(live: usize, fraction: f64) -> usize {
    // A third of three is one, though 1/3 is less in binary.
    let whole = (live as f64 * fraction + 1e-9).floor() as usize;
    whole.max(1)
}

fn place(execution: ExecutionId, instance: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(instance.to_le_bytes());
    hash.update(execution.to_string());
    hash.finalize().into()
}

#[cfg(test)]
mod tests;
