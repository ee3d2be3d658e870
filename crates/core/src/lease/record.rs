//! One shared bucket, as an instance sees it: what it holds, and what it asks for next.
//!
//! A record is changed by one thread at a time; requests go by the bucket's word meanwhile. Which kind it is goes by the limit: tokens
//! that are spent ([`TokenRecord`]), or permits to be in flight ([`PermitRecord`]).

use super::Standing;
use super::exchange::{Ask, BucketName, Grant, SharedLimit};
use super::knowledge::{Knowledge, left};
use super::permit_record::PermitRecord;
use super::settings::Settings;
use super::token_record::TokenRecord;
use super::want::{Hand, Lack, Now, Want};
use crate::Nanos;

#[derive(Debug)]
pub(crate) enum Record {
    Tokens(TokenRecord),
    Permits(PermitRecord),
}

/// An answer to an ask, beside what was granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// When it was asked for.
    pub(crate) asked: Nanos,
    /// When it was given, by the backend's clock.
    pub(crate) at: u64,
    /// Is nothing leased for now, because the backend's state was lost?
    pub(crate) settles: bool,
}

impl Record {
    /// Requests wait for its answers by a number.
    pub(crate) fn new(
        name: BucketName,
        limit: SharedLimit,
        number: u64,
        known: Option<Knowledge>,
        now: Nanos,
    ) -> Self {
        if limit.counts_requests_in_flight() {
            Self::Permits(PermitRecord::new(name, limit, number, now))
        } else {
            Self::Tokens(TokenRecord::new(name, limit, number, known, now))
        }
    }

    /// Is it about what such a limit counts?
    pub(crate) fn is_of(&self, limit: &SharedLimit) -> bool {
        self.limit().counts_requests_in_flight() == limit.counts_requests_in_flight()
    }

    pub(crate) fn name(&self) -> BucketName {
        match self {
            Self::Tokens(record) => record.name,
            Self::Permits(record) => record.name,
        }
    }

    pub(crate) fn limit(&self) -> &SharedLimit {
        match self {
            Self::Tokens(record) => &record.limit,
            Self::Permits(record) => &record.limit,
        }
    }

    fn set_limit(&mut self, limit: SharedLimit) {
        match self {
            Self::Tokens(record) => record.limit = limit,
            Self::Permits(record) => record.limit = limit,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        match self {
            Self::Tokens(record) => record.number,
            Self::Permits(record) => record.number,
        }
    }

    /// A request finds too few tokens, or too few permits.
    pub(crate) fn want(
        &mut self,
        hand: &mut impl Hand,
        lack: &Lack<'_>,
        standing: Standing,
        settings: &Settings,
        now: &Now,
    ) -> Want {
        match self {
            Self::Tokens(record) => record.want(hand, lack, standing, settings, now),
            Self::Permits(record) => record.want(hand, lack, standing, settings, now),
        }
    }

    /// Tokens that were spent come back.
    pub(crate) fn give(&mut self, tokens: u64) {
        if let Self::Tokens(record) = self {
            record.give(tokens);
        }
    }

    /// Tokens are taken, beyond those that were held.
    pub(crate) fn take(&mut self, tokens: u64) {
        if let Self::Tokens(record) = self {
            record.take(tokens);
        }
    }

    /// The shared bucket is to be filled, and blocks lifted.
    pub(crate) fn reset(&mut self) {
        match self {
            Self::Tokens(record) => record.reset(),
            Self::Permits(record) => record.reset(),
        }
    }

    /// The shared bucket is to be blocked.
    pub(crate) fn block(&mut self, time: Nanos) {
        match self {
            Self::Tokens(record) => record.block(time),
            Self::Permits(record) => record.block(time),
        }
    }

    /// Is an ask to be made at once?
    pub(crate) fn is_urgent(&self) -> bool {
        match self {
            Self::Tokens(record) => record.is_urgent(),
            Self::Permits(record) => record.is_urgent(),
        }
    }

    /// The backend has forgotten: it is to be told what is known here.
    pub(crate) fn tell(&mut self) {
        match self {
            Self::Tokens(record) => record.to_tell = true,
            Self::Permits(record) => record.to_tell = true,
        }
    }

    /// Is it still to be told?
    pub(crate) fn is_to_tell(&self) -> bool {
        match self {
            Self::Tokens(record) => record.to_tell,
            Self::Permits(record) => record.to_tell,
        }
    }

    /// What is to be asked now, if anything. While the backend is settling, it is only told. `closing`: nothing is leased any more.
    pub(crate) fn ask(
        &mut self,
        hand: &mut impl Hand,
        standing: Standing,
        closing: bool,
        settings: &Settings,
        now: Nanos,
    ) -> Option<Ask> {
        // Whoever never lacks anything would go on by the limit of a policy that has been replaced.
        if let Some(limit) = hand.limit() {
            self.set_limit(limit);
        }
        match self {
            Self::Tokens(record) => record.ask(hand, standing, closing, settings, now),
            Self::Permits(record) => record.ask(hand, standing, closing, settings, now),
        }
    }

    /// An ask has been answered.
    pub(crate) fn answered(
        &mut self,
        hand: &mut impl Hand,
        grant: &Grant,
        answer: Answer,
        settings: &Settings,
        now: Nanos,
    ) {
        match self {
            Self::Tokens(record) => record.answered(hand, grant, answer, settings, now),
            Self::Permits(record) => record.answered(hand, grant, answer, settings, now),
        }
    }

    /// Nobody knows whether an ask was executed, and nobody will.
    pub(crate) fn gave_up(&mut self, ask: &Ask) {
        match self {
            Self::Tokens(record) => record.gave_up(ask),
            Self::Permits(record) => record.gave_up(ask),
        }
    }

    /// Does a request wait for an answer?
    pub(crate) fn is_awaited(&self) -> bool {
        match self {
            Self::Tokens(record) => record.is_awaited(),
            Self::Permits(record) => record.is_awaited(),
        }
    }

    /// Is there nothing to remember but what is known?
    pub(crate) fn is_idle(&self, settings: &Settings, now: Nanos) -> bool {
        match self {
            Self::Tokens(record) => record.is_idle(settings, now),
            Self::Permits(record) => record.is_idle(settings, now),
        }
    }

    /// What remains to be known of it; of permits, nothing.
    pub(crate) fn knowledge(&self, now: Nanos) -> Option<Knowledge> {
        match self {
            Self::Tokens(record) => record.knowledge(now),
            Self::Permits(_) => None,
        }
    }

    /// Whole tokens or permits that are left in the shared bucket, for all that is known.
    pub(crate) fn left(&self, limit: &SharedLimit, now: Nanos) -> u64 {
        match self {
            Self::Tokens(record) => {
                left(limit, record.knowledge(now).map_or(0.0, |known| known.spent(limit, now)))
            }
            Self::Permits(record) => record.left(limit, now),
        }
    }
}
