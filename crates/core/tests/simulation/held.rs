//! No token is spent after its lease: whatever an instance admits, there are leases for it that have not ended.
//!
//! Which token is spent, nobody tells. Those that end first are taken here: if these do not suffice, no others do.

use std::collections::BTreeMap;

use tollgate_core::lease::exchange::BucketName;

/// What one instance holds of one bucket, by when it ends, in nanoseconds of the world's time.
#[derive(Default)]
pub(crate) struct Held(BTreeMap<(u64, BucketName), BTreeMap<u64, u64>>);

impl Held {
    pub(crate) fn lease(&mut self, instance: u64, name: BucketName, tokens: u64, ends: u64) {
        if tokens > 0 {
            *self.0.entry((instance, name)).or_default().entry(ends).or_default() += tokens;
        }
    }

    /// Takes tokens that end at `now` or later.
    pub(crate) fn spend(&mut self, instance: u64, name: BucketName, tokens: u64, now: u64) {
        let missing = self.take(instance, name, tokens, now);
        assert_eq!(missing, 0, "instance {instance} spends tokens at {now} that it does not hold any more");
    }

    /// Takes tokens that go back, be they at an end or not.
    pub(crate) fn give_back(&mut self, instance: u64, name: BucketName, tokens: u64) {
        let missing = self.take(instance, name, tokens, 0);
        assert_eq!(missing, 0, "instance {instance} gives tokens back that it does not hold");
    }

    fn take(&mut self, instance: u64, name: BucketName, mut tokens: u64, from: u64) -> u64 {
        let lots = self.0.entry((instance, name)).or_default();
        while tokens > 0
            && let Some((&ends, left)) = lots.range_mut(from..).next()
        {
            let taken = tokens.min(*left);
            *left -= taken;
            tokens -= taken;
            if *left == 0 {
                lots.remove(&ends);
            }
        }
        tokens
    }
}
