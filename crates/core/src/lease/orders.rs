//! What the service itself says of a shared bucket, until the backend has been told; and the block that the backend tells of.

use super::exchange::{Ask, Grant};
use super::want::Hand;
use crate::Nanos;

/// Empty the bucket of what is spent; block it.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    reset: bool,
    block: Option<Nanos>,
    /// Did the last answer tell of a block?
    blocked: bool,
}

impl Orders {
    /// What is spent is to be forgotten, and blocks lifted.
    pub(crate) fn reset(&mut self) {
        (self.reset, self.block) = (true, None);
    }

    /// The bucket is to be blocked; for no time, a block is to be lifted.
    pub(crate) fn block(&mut self, time: Nanos) {
        self.block = Some(time);
    }

    /// Is there something to tell?
    pub(crate) fn are_given(&self) -> bool {
        self.reset || self.block.is_some()
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// What is to be told: a reset, and a block.
    pub(crate) fn take(&mut self) -> (bool, Option<Nanos>) {
        (std::mem::take(&mut self.reset), self.block.take())
    }

    /// Nobody knows whether an ask was executed: it is said again.
    pub(crate) fn repeat(&mut self, ask: &Ask) {
        self.reset |= ask.reset;
        self.block = self.block.or(ask.block);
    }

    /// Has the block that an answer tells of heeded here, or the one before lifted.
    pub(crate) fn hear(&mut self, grant: &Grant, hand: &mut impl Hand) {
        if self.blocked || grant.blocked > Nanos::ZERO {
            self.blocked = grant.blocked > Nanos::ZERO;
            hand.block(grant.blocked);
        }
    }
}
