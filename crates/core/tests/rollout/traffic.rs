//! Policies, what becomes of traffic under them, and what instances count of it.

use tollgate_core::policy::ImageHash;
use tollgate_core::rollout::{Judged, Micros, Outcomes, Round, Tallies, TenantTally};

use crate::random::Random;

/// What a policy is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    Good,
    /// It denies a tenth of all.
    Denies,
    /// It denies a fifth of one small tenant's requests, and nobody else's.
    DeniesOne,
    /// Requests fail under it.
    Fails,
    /// A tenant is above its bound under it.
    Leaks,
    /// There is no traffic to judge it by.
    Quiet,
    /// Its image is damaged.
    Damaged,
}

/// The image of the policy of a number.
pub(crate) fn image(number: u64) -> ImageHash {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    ImageHash(hash)
}

impl Nature {
    pub(crate) fn of(hash: ImageHash) -> Self {
        match hash.0[0] % 12 {
            1 => Self::Denies,
            3 => Self::DeniesOne,
            5 => Self::Fails,
            7 => Self::Leaks,
            9 | 10 => Self::Quiet,
            11 => Self::Damaged,
            _ => Self::Good,
        }
    }

    /// May it ever be locked, without that somebody takes too little traffic for enough?
    pub(crate) fn is_fit(self) -> bool {
        self == Self::Good
    }
}

/// Requests of one beat: those of a large tenant and of a small one.
pub(crate) fn count(tallies: &mut Tallies, nature: Nature, by_candidate: bool, random: &mut Random) {
    if nature == Nature::Quiet {
        return;
    }
    let (large, small) = (random.within(100..=200), random.within(10..=20));
    let denied = |requests, is_small: bool| match nature {
        Nature::Denies => requests / 10,
        Nature::DeniesOne if is_small => requests / 5,
        _ => 0,
    };
    let mut more = Tallies::new(tallies.round, tallies.began);
    for (name, requests) in [("large", large), ("small", small)] {
        let is_small = name == "small";
        let breaches = u64::from(nature == Nature::Leaks && is_small && by_candidate);
        let now_denied = denied(requests, is_small);
        let judged = Judged { requests, conforming: requests, now_denied, breaches, ..Judged::default() };
        let mut one = Tallies::new(tallies.round, tallies.began);
        one.judged = judged;
        // Those whom it denies are many, and none of them has enough requests to be judged alone.
        if nature != Nature::Denies {
            one.tenants = vec![TenantTally::of(name, judged)];
        }
        more.merge(&one);
    }
    let requests = large + small;
    let server_errors = if nature == Nature::Fails && by_candidate { requests / 50 } else { 0 };
    let outcomes = Outcomes { requests, server_errors, limiter_errors: 0 };
    *(if by_candidate { &mut more.by_candidate } else { &mut more.by_old }) = outcomes;
    more.peak_burst = 0.9;
    tallies.merge(&more);
}

/// What an instance has counted in this round; anew, if it is another one.
pub(crate) fn in_round(
    tallies: &mut Option<Tallies>,
    round: Option<Round>,
    now: Micros,
) -> Option<&mut Tallies> {
    if tallies.as_ref().map(|tallies| tallies.round) != round {
        *tallies = round.map(|round| Tallies::new(round, now));
    }
    tallies.as_mut()
}
