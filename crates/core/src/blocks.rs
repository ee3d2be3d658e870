//! Which keys are blocked, and until when.
//!
//! Blocks are few and set by the service itself, so they live beside the table; a flag in the bucket says that there
//! may be one, and a decision that sees no flag never comes here.

use dashmap::DashMap;

use crate::key::BuildAlreadyHashed;
use crate::{Key, Nanos};

#[derive(Debug, Default)]
pub(crate) struct Blocks(DashMap<Key, Nanos, BuildAlreadyHashed>);

impl Blocks {
    pub(crate) fn set(&self, key: Key, until: Nanos) {
        self.0.insert(key, until);
    }

    pub(crate) fn lift(&self, key: Key) {
        self.0.remove(&key);
    }

    /// How much longer `key` is blocked; a block that is over is forgotten.
    pub(crate) fn remaining(&self, key: Key, now: Nanos) -> Option<Nanos> {
        let left = self.0.get(&key).map(|until| until.since(now)).filter(|&left| left > Nanos::ZERO);
        if left.is_none() {
            self.0.remove_if(&key, |_, until| *until <= now);
        }
        left
    }

    /// Drops blocks that are over and that nobody has asked for since.
    pub(crate) fn forget_past(&self, now: Nanos) {
        self.0.retain(|_, until| *until > now);
    }
}
