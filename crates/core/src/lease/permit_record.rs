//! A shared limit on requests in flight, as an instance sees it: the permits that it holds, and what it asks for next.
//!
//! What requests do meanwhile is to take slots from the bucket's word ([`Permits`](super::Permits)) and to give them back; a record
//! finds out by looking. The backend is told how many permits are held, not how that has changed: so whatever is lost
//! on the way, the next ask puts it right. Permits that are given back leave the word first, and then are told.

use std::cmp::Ordering;

use super::Standing;
use super::exchange::{Ask, BucketName, Grant, MOST_PERMITS, SharedLimit};
use super::orders::Orders;
use super::peak::Peak;
use super::permits::Held;
use super::record::Answer;
use super::settings::{OnFailure, Settings};
use super::want::{Hand, Lack, Now, Want};
use crate::Nanos;
use crate::concurrency::RETRY_HINT;

/// So many intervals after a request found no permit, nobody is waiting for one any more, unless another one has found none.
const LACKS: u64 = 3;

/// What the ask says that is under way.
#[derive(Debug, Clone, Copy)]
struct Told {
    held: u64,
    waiting: u64,
}

/// What is left of the limit, by the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Some,
    /// All permits are held, so that the backend is asked often whether others lack some.
    None,
    /// Others lack some, or too many are held.
    Lacked,
}

/// Which permits are kept.
#[derive(Debug, Clone, Copy)]
enum Keep {
    All,
    /// Those that were in use at once in the last two intervals.
    OfLate,
    /// Those of requests that are in flight.
    InUse,
    None,
}

#[derive(Debug)]
pub(crate) struct PermitRecord {
    pub(crate) name: BucketName,
    pub(crate) limit: SharedLimit,
    /// By which requests wait for an answer.
    pub(crate) number: u64,
    peak: Peak,
    /// Requests that wait for a permit, since it was asked last.
    waiting: u64,
    asking: Option<Told>,
    orders: Orders,
    /// What the backend counts for this instance, at most, for as long as the lease lives; `None`: nobody knows.
    counted: Option<u64>,
    /// What was held when this was looked at last.
    held: u64,
    /// When the permits end.
    deadline: Nanos,
    /// Are they this instance's share of a limit whose backend is gone, and no lease?
    alone: bool,
    room: Room,
    /// Before this nobody asks whether there are any.
    full_until: Nanos,
    /// When a request found none, of which the backend still knows.
    lacks: Option<Nanos>,
    /// What was left, until nobody knows any more.
    left: u64,
    left_until: Nanos,
    used: Nanos,
    /// Before this nobody asks whether a block has been lifted.
    ask_again: Nanos,
    /// Is the backend to be told what is held here, because it has forgotten?
    pub(crate) to_tell: bool,
}

impl PermitRecord {
    pub(crate) fn new(name: BucketName, limit: SharedLimit, number: u64, now: Nanos) -> Self {
        Self {
            name,
            limit,
            number,
            peak: Peak::default(),
            waiting: 0,
            asking: None,
            orders: Orders::default(),
            counted: Some(0),
            held: 0,
            deadline: Nanos::ZERO,
            alone: false,
            room: Room::Some,
            full_until: Nanos::ZERO,
            lacks: None,
            left: 0,
            left_until: Nanos::ZERO,
            used: now,
            ask_again: Nanos::ZERO,
            to_tell: false,
        }
    }

    /// A request finds no permit.
    pub(crate) fn want(
        &mut self,
        hand: &mut impl Hand,
        lack: &Lack<'_>,
        standing: Standing,
        settings: &Settings,
        now: &Now,
    ) -> Want {
        let Lack { limit, cost, last } = *lack;
        self.used = now.monotonic;
        self.limit = *limit;
        let held = self.look(hand, settings, now.monotonic, Keep::All);
        if !held.lapsed && held.in_flight + cost <= held.permits {
            return Want::Placed;
        }
        if standing == Standing::Up {
            if self.full_until > now.monotonic {
                return Want::Refused(RETRY_HINT);
            }
            self.waiting = self.waiting.saturating_add(cost);
            if !last {
                return Want::Awaited(self.number);
            }
        }
        match (settings.on_failure, standing) {
            // Tokens could be debited afterwards; whoever is in flight beyond the limit is so, and somebody else holds the permit.
            (OnFailure::Local, Standing::Up) => Want::Refused(RETRY_HINT),
            (OnFailure::Local, Standing::Pausing) if last => Want::Refused(settings.pause()),
            (OnFailure::Local, Standing::Pausing) => Want::Awaited(self.number),
            (OnFailure::Local, _) => {
                let share = (self.limit.capacity / u64::from(now.instances)).max(1);
                self.hold_alone(hand, share, cost, settings, now.monotonic)
            }
            (OnFailure::Allow, _) => self.hold_alone(hand, MOST_PERMITS, cost, settings, now.monotonic),
            (OnFailure::Deny, _) => Want::Backend,
        }
    }

    /// Holds a share without a lease, if it has room for a request.
    fn hold_alone(
        &mut self,
        hand: &mut impl Hand,
        share: u64,
        cost: u64,
        settings: &Settings,
        now: Nanos,
    ) -> Want {
        let deadline = now + settings.time_to_live;
        while let Some((state, epoch)) = hand.read() {
            let held = Held::of(state, now, epoch);
            if held.in_flight + cost > share {
                return Want::Refused(RETRY_HINT);
            }
            if hand.replace(held.state(share, deadline, false, epoch)) {
                (self.alone, self.deadline) = (true, deadline);
                break;
            }
        }
        Want::Placed
    }

    /// Finds out what is in flight, and takes the permits out of the word that are not to be kept.
    fn look(&mut self, hand: &mut impl Hand, settings: &Settings, now: Nanos, keep: Keep) -> Held {
        let mut most = 0;
        let held = loop {
            // One that was dropped with its table had nobody in flight, and no permits that were not over.
            let Some((state, epoch)) = hand.read() else {
                break Held { permits: 0, in_flight: 0, lapsed: true, most: 0 };
            };
            let held = Held::of(state, now, epoch);
            most = held.most.max(most);
            let used = held.permits.min(held.in_flight);
            let permits = match keep {
                Keep::All => held.permits,
                Keep::OfLate if !held.lapsed => held.permits.min(self.peak.most().max(most)),
                Keep::OfLate | Keep::InUse => used,
                Keep::None => 0,
            };
            let full = self.full_until > now && !held.lapsed;
            let next = held.state(permits, self.deadline, full, epoch).max(1);
            if next == state.max(1) || hand.replace(next) {
                break Held { permits, ..held };
            }
        };
        self.peak.see(most, now, settings.interval);
        self.held = if self.alone { held.in_flight } else { held.counts() };
        held
    }

    /// Blocks are to be lifted. Who is in flight stays so.
    pub(crate) fn reset(&mut self) {
        self.orders.reset();
        self.full_until = Nanos::ZERO;
    }

    /// The shared bucket is to be blocked.
    pub(crate) fn block(&mut self, time: Nanos) {
        self.orders.block(time);
    }

    /// Is an ask to be made at once?
    pub(crate) fn is_urgent(&self) -> bool {
        self.asking.is_none() && (self.orders.are_given() || self.waiting > 0)
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
        if standing == Standing::Down || self.asking.is_some() {
            self.look(hand, settings, now, Keep::All);
            return None;
        }
        let up = standing == Standing::Up;
        let ends_share = up || standing == Standing::Pausing || closing;
        let keep = match self {
            _ if closing => Keep::None,
            Self { alone: true, .. } if ends_share => Keep::InUse,
            Self { alone: true, .. } => Keep::All,
            // Others want what nobody uses here.
            Self { room: Room::Lacked, .. } => Keep::InUse,
            _ => Keep::OfLate,
        };
        self.look(hand, settings, now, keep);
        self.alone &= !ends_share;
        let telling = std::mem::take(&mut self.to_tell) && self.held > 0;
        if !telling && !self.has_to_say(up, closing, settings, now) {
            return None;
        }
        let waiting = if up && !closing { std::mem::take(&mut self.waiting) } else { 0 };
        // Those who come next are to find some, too: where more and more are in flight, not each of them has to ask.
        let wanted = if waiting > 0 { waiting + self.held / 2 } else { 0 };
        let (reset, block) = self.orders.take();
        self.asking = Some(Told { held: self.held, waiting });
        Some(Ask { reset, block, held: self.held, waiting, ..Ask::lease(self.name, self.limit, wanted) })
    }

    /// Is there anything that the backend does not know, or that is to be heard of it?
    fn has_to_say(&self, up: bool, closing: bool, settings: &Settings, now: Nanos) -> bool {
        let half = Nanos::new(settings.time_to_live.get() / 2);
        let lacked = Nanos::new(LACKS * settings.interval.get());
        self.counted != Some(self.held)
            || self.orders.are_given()
            || up && !closing && self.waiting > 0
            || self.held > 0 && (self.room != Room::Some || now + half >= self.deadline)
            || self.lacks.is_some_and(|since| now.since(since) >= lacked)
            // Requests that are blocked want nothing, and so nobody would hear that the block has been lifted.
            || self.orders.is_blocked() && now >= self.ask_again
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
        let Some(told) = self.asking.take() else { return };
        // Whoever has waited asks again.
        self.waiting = 0;
        self.counted = Some(told.held.max(grant.tokens));
        let capacity = self.limit.capacity;
        self.room = match grant.held().cmp(&capacity) {
            Ordering::Less => Room::Some,
            Ordering::Equal => Room::None,
            Ordering::Greater => Room::Lacked,
        };
        let lacks = !answer.settles && told.waiting > 0 && grant.tokens < told.held + told.waiting;
        self.lacks = lacks.then_some(now);
        self.full_until = if lacks { now + Nanos::new(settings.interval.get() / 2) } else { Nanos::ZERO };
        (self.alone, self.deadline) = (false, answer.asked + settings.time_to_live);
        while let Some((state, epoch)) = hand.read() {
            let held = Held::of(state, now, epoch);
            self.peak.see(held.most, now, settings.interval);
            // No more than is left by all others, whatever became of the lease meanwhile.
            if hand.replace(held.state(grant.tokens, self.deadline, lacks, epoch).max(1)) {
                break;
            }
        }
        (self.left, self.left_until) = (capacity.saturating_sub(grant.held()), now + settings.time_to_live);
        hand.note(self.left, answer.asked);
        self.orders.hear(grant, hand);
        self.ask_again = now + settings.time_to_live;
    }

    /// Nobody knows whether an ask was executed, and nobody will: what the backend counts is told with the next one.
    pub(crate) fn gave_up(&mut self, ask: &Ask) {
        (self.asking, self.counted) = (None, None);
        self.orders.repeat(ask);
    }

    /// Does a request wait for an answer?
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting > 0 || self.asking.is_some()
    }

    /// Is there nothing to remember?
    pub(crate) fn is_idle(&self, settings: &Settings, now: Nanos) -> bool {
        self.asking.is_none()
            && (self.held, self.counted, self.waiting) == (0, Some(0), 0)
            && !self.orders.are_given()
            && !self.orders.is_blocked()
            && !self.alone
            && self.lacks.is_none()
            && !self.to_tell
            && now.since(self.used) > settings.time_to_live
    }

    /// Permits that nobody holds, for all that is known.
    pub(crate) fn left(&self, limit: &SharedLimit, now: Nanos) -> u64 {
        let unknown = limit.capacity.saturating_sub(self.held);
        if now < self.left_until { self.left.min(unknown) } else { unknown }
    }
}
