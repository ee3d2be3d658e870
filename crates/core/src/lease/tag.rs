//! One tag, as an instance sees it: the batch that is under way, and the state that was seen last.

use super::exchange::{Batch, BucketName, Life, Reply, SETTLING};
use crate::{Key, Nanos};

/// How things stand with the backend of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It answers, or has not been asked yet.
    Up,
    /// It answers, but what it knows is not settled: it is told what is known here, and nothing is leased.
    Settling,
    /// Leases are about to begin: what has been admitted without them is told, and no more is, lest others lease it meanwhile.
    Pausing,
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
    standing: Standing,
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
    /// When it has settled, once it has said so.
    settles: Option<Nanos>,
    /// Has the backend been gone, and not answered since?
    rejoins: bool,
    /// Then all have had the time to say what they hold, after the backend was gone.
    rejoined: Nanos,
}

/// What an answer came to.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) keys: Vec<Key>,
    /// Of each ask, as a key may stand for another bucket by now.
    pub(crate) names: Vec<BucketName>,
    pub(crate) asked: Nanos,
    /// Is the state that was seen before lost, as is found now?
    pub(crate) forgot: bool,
    /// Will nothing be leased before long?
    pub(crate) settles: bool,
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
            settles: None,
            rejoins: false,
            rejoined: Nanos::ZERO,
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// How things stand, where shares end so long before leases begin.
    pub(crate) fn standing(&self, now: Nanos, pause: Nanos) -> Standing {
        match self.settles {
            Some(settles) if self.standing == Standing::Settling && !self.telling => {
                if now >= settles {
                    Standing::Up
                } else if now + pause >= settles {
                    Standing::Pausing
                } else {
                    Standing::Settling
                }
            }
            _ => self.standing,
        }
    }

    /// The same for what cannot be debited afterwards: when a backend is back, all say first what they hold, be its state lost or not.
    pub(crate) fn standing_of_permits(&self, now: Nanos, pause: Nanos) -> Standing {
        match self.standing(now, pause) {
            Standing::Up if self.rejoins || now + pause < self.rejoined => Standing::Settling,
            Standing::Up if now < self.rejoined => Standing::Pausing,
            standing => standing,
        }
    }

    /// Is nothing leased, because the backend is told first what is known here?
    pub(crate) fn is_settling(&self) -> bool {
        self.standing == Standing::Settling
    }

    /// Is there nobody to ask?
    pub(crate) fn is_down(&self) -> bool {
        self.standing == Standing::Down
    }

    /// The backend does not answer. How did things stand before?
    pub(crate) fn go_down(&mut self) -> Standing {
        self.rejoins |= self.seen.is_some();
        std::mem::replace(&mut self.standing, Standing::Down)
    }

    /// Misses a state, of which something is known here.
    pub(crate) fn miss(&mut self, life: Life) {
        self.seen = Some(life);
    }

    /// The backend answers again, or another one does.
    pub(crate) fn come_up(&mut self) {
        if self.standing == Standing::Down {
            // What it knows has to be seen first, unless there is nothing to compare it with.
            self.verifying = true;
            self.settles = None;
            self.standing = if self.seen.is_some() { Standing::Settling } else { Standing::Up };
        }
    }

    /// Is there a batch to send even if no bucket asks for anything?
    pub(crate) fn has_more_to_say(&self) -> bool {
        let again = self.under_way.as_ref().is_some_and(|under_way| under_way.again);
        again || self.telling || self.verifying || self.is_settling()
    }

    /// Is it to be asked whether it has forgotten, or has settled?
    pub(crate) fn verifies(&self, now: Nanos) -> bool {
        self.verifying || self.is_settling() && self.settles.is_none_or(|settles| now >= settles)
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

    /// An answer has come, at an instant. `None` if it is to no batch that is under way.
    pub(crate) fn answer(&mut self, sequence: u64, reply: &Reply, now: Nanos) -> Option<Answered> {
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
        self.settles = Some(now + reply.settling);
        if self.standing != Standing::Down && std::mem::take(&mut self.rejoins) {
            self.rejoined = now + SETTLING;
        }
        let settles = reply.settling > Nanos::ZERO || self.telling;
        if self.standing != Standing::Down {
            self.standing = if settles { Standing::Settling } else { Standing::Up };
        }
        let names = under_way.batch.asks.iter().map(|ask| ask.name).collect();
        Some(Answered { keys: under_way.keys, names, asked: under_way.asked, forgot, settles })
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
