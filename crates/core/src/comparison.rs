//! Two policies judged on the same live requests: what a rollout is validated by.
//!
//! One of them, the *live* one, decides on requests here. Each request on which it has said its final word is charged under
//! the *other* one, too, in an engine of its own, and what the two have said is counted: for all requests, and for each tenant.
//! Nothing of that reaches a response.
//!
//! Reading order: [`judge`]: one thread's part, where it is decided what is judged at all; [`translation`]: how a request that was
//! put together for one policy is told to another; `carry`: where the other one's buckets begin; [`verdict`]: what a ruling says;
//! `counts`: what is counted, in bounded memory; `watch`: what no limiter may exceed.
//!
//! What is not judged: what is no policy's doing (a lease that has not come, a backend that is gone, a full table, a block by the
//! service), and slots of limits on concurrency, for nobody follows until when the other one's would be held.

mod carry;
mod counts;
pub mod judge;
pub mod translation;
pub mod verdict;
mod watch;

use std::sync::Arc;

use crate::Engine;
use crate::rollout::{Judged, Micros, Round, Tallies};
use counts::Counts;

pub use judge::Judge;
pub use translation::Wants;

/// One of the two policies of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that was in force before.
    Old,
    /// The one that is to be.
    Candidate,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Old => Self::Candidate,
            Self::Candidate => Self::Old,
        }
    }
}

/// A comparison of the policy that decides here with another one.
#[derive(Debug)]
pub struct Comparison {
    other: Arc<Engine>,
    live: Side,
    counts: Arc<Counts>,
}

impl Comparison {
    /// With the policy of `other`, an engine that nobody else decides in; `live` is the one that decides here. It counts for a
    /// round, from an instant of the store's clock on.
    #[must_use]
    pub fn new(other: Arc<Engine>, round: Round, began: Micros, live: Side) -> Self {
        Self { other, live, counts: Arc::new(Counts::new(round, began)) }
    }

    /// Goes on with the numbers of the comparison before it: for an instance that comes from one policy to the other in the
    /// middle of a round.
    #[must_use]
    pub fn going_on_from(self, before: &Self) -> Self {
        Self { counts: Arc::clone(&before.counts), ..self }
    }

    /// The engine of the policy that is not in force here.
    #[must_use]
    pub fn other(&self) -> &Arc<Engine> {
        &self.other
    }

    /// Which of the two decides here.
    #[must_use]
    pub fn live(&self) -> Side {
        self.live
    }

    /// What is counted together.
    #[must_use]
    pub fn round(&self) -> Round {
        self.counts.round()
    }

    /// A request has ended that one of the two has decided: was it answered with 5xx, has the limiter itself failed on it?
    pub fn ended(&self, side: Side, server_error: bool, limiter_error: bool) {
        self.counts.ended(side, server_error, limiter_error);
    }

    /// The policy that is not in force could not judge a request: as if it had failed on it, had it been in force.
    pub fn failed(&self) {
        self.ended(self.live.opposite(), false, true);
    }

    /// The service has given a tenant tokens, or some have come back: its bounds count from here.
    pub fn forgive(&self, tenant: &[u8]) {
        self.counts.forgive(tenant);
    }

    /// What has been counted.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.counts.tallies()
    }

    /// What one request adds, by what both say.
    fn judged(&self, live_admits: bool, other_admits: bool) -> Judged {
        let (old, candidate) = match self.live {
            Side::Old => (live_admits, other_admits),
            Side::Candidate => (other_admits, live_admits),
        };
        Judged {
            requests: 1,
            conforming: u64::from(old),
            now_denied: u64::from(old && !candidate),
            now_admitted: u64::from(!old && candidate),
            breaches: 0,
        }
    }
}
