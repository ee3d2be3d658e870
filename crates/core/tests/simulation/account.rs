//! Every token has been leased, or debited, once: what instances and the backend say to each other, added up.

use std::collections::BTreeMap;

use tollgate_core::lease::exchange::{Ask, Batch, BucketName, Life, Reply};

/// Of one bucket, in tokens.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    /// Admitted and taken, less what was given.
    spent: i128,
    /// Leases that arrived where they were asked for.
    leased: i128,
    /// What the backend was given back, and took afterwards.
    unspent: i128,
    credited: i128,
    debited: i128,
}

impl Sums {
    /// What is spent and was never paid for; less than nothing: paid for and lost.
    fn owed(&self) -> i128 {
        self.spent - (self.leased - self.unspent + self.debited - self.credited)
    }
}

#[derive(Default)]
pub(crate) struct Account {
    sums: BTreeMap<BucketName, Sums>,
    /// Of each tag, the last batch that was executed.
    lives: BTreeMap<u8, Life>,
}

impl Account {
    /// A bucket was charged, or given tokens.
    pub(crate) fn spend(&mut self, name: BucketName, tokens: i128) {
        self.of(name).spent += tokens;
    }

    /// A backend has given this reply. Is it that of a batch that was executed just now, its life counts one more; a reply that
    /// is repeated is an old one.
    pub(crate) fn replied(&mut self, batch: &Batch, reply: &Reply) {
        let before = self.lives.get(&batch.tag).copied();
        if before.is_some_and(|before| before.id == reply.life.id && before.count >= reply.life.count) {
            return;
        }
        self.lives.insert(batch.tag, reply.life);
        for ask in &batch.asks {
            let sums = self.of(ask.name);
            sums.unspent += i128::from(ask.unspent);
            sums.credited += i128::from(ask.credit);
            sums.debited += i128::from(ask.debit);
        }
    }

    /// An instance has taken an answer.
    pub(crate) fn answered(&mut self, asks: &[Ask], reply: &Reply) {
        for (ask, grant) in asks.iter().zip(&reply.grants) {
            self.of(ask.name).leased += i128::from(grant.tokens);
        }
    }

    /// Tokens of a bucket that have been leased, and have not come back.
    pub(crate) fn leased(&mut self, name: BucketName) -> u64 {
        let sums = self.of(name);
        u64::try_from(sums.leased - sums.unspent).unwrap()
    }

    /// Asserts that nobody has spent what was never leased or debited.
    pub(crate) fn check_nothing_is_owed(&self) {
        for sums in self.sums.values() {
            assert!(sums.owed() <= 0, "{} tokens are spent and not paid for: {sums:?}", sums.owed());
        }
    }

    /// Asserts that nothing was lost, either.
    pub(crate) fn check_is_even(&self) {
        for sums in self.sums.values() {
            assert_eq!(sums.owed(), 0, "tokens are missing, or too many: {sums:?}");
        }
    }

    fn of(&mut self, name: BucketName) -> &mut Sums {
        self.sums.entry(name).or_default()
    }
}
