//! What an instance and a backend say to each other: a batch of asks under one tag, and the reply.
//!
//! A batch carries (instance, sequence): a backend that has answered it before gives the same reply again and does nothing.
//! All that one ask says happens in the order of its fields.

use crate::{Algorithm, Nanos, Window};

/// How many tags there are: what spreads buckets over a Cluster, and lets one script serve many.
pub const TAGS: usize = 256;

/// The most tokens that a shared bucket may hold: an instance has 31 bits for what it holds of them.
pub const MOST_TOKENS: u64 = (1 << 31) - 1;

/// The most requests in flight that a shared bucket may count: an instance has 16 bits for those that it may have.
pub const MOST_PERMITS: u64 = (1 << 16) - 1;

/// The name of a shared bucket: the same in every process of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BucketName(pub [u8; 16]);

impl BucketName {
    /// The tag that it lives under.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.0[0]
    }
}

/// The limit on a shared bucket. It travels with each ask, so that a backend knows nothing of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedLimit {
    /// How tokens are counted; by [`Algorithm::Concurrency`], requests in flight are.
    pub algorithm: Algorithm,
    /// Tokens granted per window, from 1; requests that may be in flight.
    pub quota: u64,
    /// `quota + burst`, at most [`MOST_TOKENS`]; requests that may be in flight, at most [`MOST_PERMITS`].
    pub capacity: u64,
    /// The time in which the quota is granted; for requests in flight it means nothing.
    pub window: Window,
}

impl SharedLimit {
    /// At most so many requests in flight.
    #[must_use]
    pub const fn concurrency(most: u64) -> Self {
        let window = Window::Span(Nanos::ZERO);
        Self { algorithm: Algorithm::Concurrency, quota: most, capacity: most, window }
    }

    /// Does it count requests in flight, and no tokens?
    #[inline]
    #[must_use]
    pub const fn counts_requests_in_flight(&self) -> bool {
        matches!(self.algorithm, Algorithm::Concurrency)
    }

    /// How long a token bucket takes to be refilled with so many tokens.
    pub(crate) fn refill_time(&self, tokens: u64) -> Nanos {
        let nanos = u128::from(tokens) * u128::from(self.window.shortest().get());
        Nanos::new(u64::try_from(nanos.div_ceil(u128::from(self.quota))).unwrap_or(u64::MAX))
    }
}

/// Which life of a tag's state this is, and how far it has come. A state that was lost begins another life; one that fell
/// back, because a replica was promoted, counts less than was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Chosen at random by whoever finds none; below 2^53.
    pub id: u64,
    /// How many batches have been executed in it.
    pub count: u64,
}

impl Life {
    /// Is this the state that was seen, or one that came of it?
    #[must_use]
    pub const fn continues(&self, seen: &Self) -> bool {
        self.id == seen.id && self.count >= seen.count
    }
}

/// What an instance knows of a shared bucket: at least so much is spent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Tokens, with fractions.
    pub spent: f64,
    /// Until the window ends that they were spent in, by the instance's knowledge; zero for a token bucket.
    pub ends: Nanos,
}

/// What is asked of one shared bucket.
///
/// Of tokens, instances say what changes: what was spent, and what comes back. Of requests in flight they say what is so: how many
/// permits they hold. A backend takes that as true, even beyond the limit, and counts it for them until their lease ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ask {
    /// Which.
    pub name: BucketName,
    /// Its limit.
    pub limit: SharedLimit,
    /// At least so much is spent; heeded when the tag's state has been lost, in whole or in part, since the asker saw it.
    pub floor: Option<Floor>,
    /// Empty the bucket of what is spent, and lift a block.
    pub reset: bool,
    /// Block it for so long; zero lifts a block.
    pub block: Option<Nanos>,
    /// Leased tokens that come back unspent.
    pub unspent: u64,
    /// When those were leased, by [`Reply::now`]. What has been refilled since is not given twice.
    pub leased_at: u64,
    /// Tokens that come back although they were spent: never to more than a full bucket.
    pub credit: u64,
    /// Tokens that were spent without a lease: taken whether they are there or not, into a debt of one capacity at most.
    pub debit: u64,
    /// Permits that the asker holds: used by requests in flight, or not; none of tokens.
    pub held: u64,
    /// A lease of so many tokens is wanted, or of so many more permits.
    pub wanted: u64,
    /// So many of them are waited for: a scarce bucket gives these before it shares out the rest.
    pub waiting: u64,
}

impl Ask {
    /// A lease of so many tokens, all of which are waited for; nothing else.
    #[must_use]
    pub const fn lease(name: BucketName, limit: SharedLimit, wanted: u64) -> Self {
        Self {
            name,
            limit,
            floor: None,
            reset: false,
            block: None,
            unspent: 0,
            leased_at: 0,
            credit: 0,
            debit: 0,
            held: 0,
            wanted,
            waiting: wanted,
        }
    }
}

/// Asks under one tag, to be executed as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The tag.
    pub tag: u8,
    /// Who asks; at random, below 2^53.
    pub instance: u64,
    /// The number of this batch among those of this instance under this tag, from 1.
    pub sequence: u64,
    /// How many instances live, to share out what is scarce; from 1.
    pub instances: u32,
    /// How long what it holds of requests in flight is counted for it.
    pub time_to_live: Nanos,
    /// The state of the tag that the asker saw last; `None` if it has seen none.
    pub seen: Option<Life>,
    /// At most [`MOST_ASKS`].
    pub asks: Vec<Ask>,
}

/// How many asks a batch may hold: a script that serves these holds a backend up for less than a millisecond or so.
pub const MOST_ASKS: usize = 128;

/// What one ask came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grant {
    /// Tokens leased; at most what was wanted. Of requests in flight, how many permits the asker may hold from now on: more than
    /// before, as many, or fewer. Those of requests that are in flight are counted for it until it says that they are not.
    pub tokens: u64,
    /// Tokens that are spent or leased now, with fractions, and with the debt. Permits that anybody holds, and those that others lack.
    pub spent: f64,
    /// Until there is a token; zero if there is one. Always zero of requests in flight, where nobody knows.
    pub wait: Nanos,
    /// Until the window ends, with which the lease ends, too; `None` for a token bucket.
    pub ends: Option<Nanos>,
    /// How much longer the bucket is blocked.
    pub blocked: Nanos,
}

impl Grant {
    /// Permits that anybody holds, and those that others lack.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and far below 2^53")]
    pub(crate) fn held(&self) -> u64 {
        self.spent as u64
    }
}

/// For how long nothing is leased under a tag whose state was lost: until every instance has had the time to say what it
/// knows. A life that begins without a state that was lost is not settled so; it has nothing to wait for.
pub const SETTLING: Nanos = Nanos::from_millis(2000);

/// What a batch came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The life in which it was executed.
    pub life: Life,
    /// The backend's clock when it was, in microseconds since the Unix epoch; never goes back within a life.
    pub now: u64,
    /// How much longer nothing is leased, because the state was lost; see [`SETTLING`]. What else was asked is done.
    pub settling: Nanos,
    /// One for each ask.
    pub grants: Vec<Grant>,
}
