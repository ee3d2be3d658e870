//! No token is spent after its lease, or given back as if it had been leased later than it was: whatever an instance says, there
//! are leases for it.
//!
//! Which token is meant, nobody tells. Those that end first are taken here: if these do not suffice, no others do.

use std::collections::BTreeMap;

use tollgate_core::lease::exchange::BucketName;

/// When a lease ends, in nanoseconds of the world's time, and when it was made, in microseconds of the backend's.
type Term = (u64, u64);

/// What one instance holds of one bucket.
#[derive(Default)]
pub(crate) struct Held(BTreeMap<(u64, BucketName), BTreeMap<Term, u64>>);

impl Held {
    pub(crate) fn lease(&mut self, instance: u64, name: BucketName, tokens: u64, term: Term) {
        if tokens > 0 {
            *self.0.entry((instance, name)).or_default().entry(term).or_default() += tokens;
        }
    }

    /// Takes tokens that end at `now` or later.
    pub(crate) fn spend(&mut self, instance: u64, name: BucketName, tokens: u64, now: u64) {
        let missing = self.take(instance, name, tokens, |(ends, _)| ends >= now);
        assert_eq!(missing, 0, "instance {instance} spends tokens at {now} that it does not hold any more");
    }

    /// Takes tokens that go back, be they at an end or not, and were leased at a time or later.
    pub(crate) fn give_back(&mut self, instance: u64, name: BucketName, tokens: u64, leased_at: u64) {
        let missing = self.take(instance, name, tokens, |(_, at)| at >= leased_at);
        assert_eq!(
            missing, 0,
            "instance {instance} gives tokens back that it has not leased since {leased_at}"
        );
    }

    fn take(&mut self, instance: u64, name: BucketName, mut tokens: u64, fits: impl Fn(Term) -> bool) -> u64 {
        let lots = self.0.entry((instance, name)).or_default();
        lots.retain(|&term, left| {
            if fits(term) {
                let taken = tokens.min(*left);
                *left -= taken;
                tokens -= taken;
            }
            *left > 0
        });
        tokens
    }
}
