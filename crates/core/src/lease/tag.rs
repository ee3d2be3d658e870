//! One tag, as an instance sees it: the batch that is under way, and the state that was seen last.

use super::exchange::{Batch, Life, Reply};
use crate::{Key, Nanos};

/// How things stand with the backend of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It answers, or has not been asked yet.
    Up,
    /// It answers, but what it knows is not settled: it is told what is known here, and nothing is leased.
    Settling,
    /// It does not answer.
    Down,
}

/// A batch that has been sent.
#[derive(Debug)]
struct UnderWay {
    batch: Batch,
    /// Of each ask.
    keys: Vec<Key>,
    asked: Nanos,
    /// Is it to be sent again?
    again: bool,
}

#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) standing: Standing,
    under_way: Option<UnderWay>,
    sequence: u64,
    /// The state that was seen last, or the one that was lost, until it has been told all that is known of it.
    seen: Option<Life>,
    /// Is it being told, until every record has been asked for?
    telling: bool,
    /// The state of the last answer.
    present: Option<Life>,
    /// Is it to be asked in any case, to see whether it has forgotten?
    pub(crate) verifying: bool,
    /// Before this it is not asked to see whether it has settled.
    pub(crate) settles: Nanos,
}

/// What an answer came to.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) keys: Vec<Key>,
    pub(crate) asked: Nanos,
    /// Is the state that was seen before lost, as is found now?
    pub(crate) forgot: bool,
}

impl Tag {
    pub(crate) fn new() -> Self {
        Self {
            standing: Standing::Up,
            under_way: None,
            sequence: 0,
            seen: None,
            telling: false,
            present: None,
            // A state that nobody has seen could be lost unseen.
            verifying: true,
            settles: Nanos::ZERO,
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    pub(crate) fn has_been_seen(&self) -> bool {
        self.seen.is_some()
    }

    /// Is there a batch to send even if no bucket asks for anything?
    pub(crate) fn has_more_to_say(&self) -> bool {
        let again = self.under_way.as_ref().is_some_and(|under_way| under_way.again);
        again || self.telling || self.verifying || self.standing == Standing::Settling
    }

    /// Puts a batch under way.
    pub(crate) fn send(&mut self, mut batch: Batch, keys: Vec<Key>, now: Nanos) -> Batch {
        self.sequence += 1;
        batch.sequence = self.sequence;
        batch.seen = self.seen;
        self.verifying = false;
        self.under_way = Some(UnderWay { batch: batch.clone(), keys, asked: now, again: false });
        batch
    }

    /// The batch that has to be sent again, because nobody knows whether it was executed.
    pub(crate) fn send_again(&mut self) -> Option<Batch> {
        let under_way = self.under_way.as_mut().filter(|under_way| under_way.again)?;
        under_way.again = false;
        Some(under_way.batch.clone())
    }

    /// No answer has come to a batch.
    pub(crate) fn fail(&mut self, sequence: u64) {
        if let Some(under_way) = &mut self.under_way
            && under_way.batch.sequence == sequence
        {
            under_way.again = true;
        }
    }

    /// An answer has come. `None` if it is to no batch that is under way.
    pub(crate) fn answer(&mut self, sequence: u64, reply: &Reply) -> Option<Answered> {
        let under_way = self.under_way.take_if(|under_way| {
            under_way.batch.sequence == sequence && under_way.batch.asks.len() == reply.grants.len()
        })?;
        let lost = self.seen.is_some_and(|seen| !reply.life.continues(&seen));
        let forgot = lost && !self.telling;
        self.telling |= lost;
        self.present = Some(reply.life);
        if !self.telling {
            self.seen = self.present;
        }
        Some(Answered { keys: under_way.keys, asked: under_way.asked, forgot })
    }

    /// Is it being told what is known here?
    pub(crate) fn is_telling(&self) -> bool {
        self.telling
    }

    /// All that is known has been told.
    pub(crate) fn told(&mut self) {
        self.telling = false;
        self.seen = self.present;
    }

    /// The batch that is under way will never be executed, or has been without a reply on record: it is as if no answer came.
    pub(crate) fn give_up(&mut self, sequence: u64) -> Option<(Batch, Vec<Key>)> {
        let given_up = self.under_way.take_if(|under_way| under_way.batch.sequence == sequence)?;
        Some((given_up.batch, given_up.keys))
    }
}
