//! A shared bucket of tokens, as an instance sees it: those that it holds, how fast it spends them, and what it asks for next.
//!
//! What requests do meanwhile is to spend tokens from the bucket's word ([`Leased`]); a record finds out by looking
//! ([`TokenRecord::look`]).

use super::demand::Demand;
use super::exchange::{Ask, BucketName, Floor, Grant, SharedLimit};
use super::knowledge::{Knowledge, left};
use super::lots::{Lot, Lots, Source, join};
use super::orders::Orders;
use super::record::Answer;
use super::settings::{OnFailure, Settings};
use super::share::Share;
use super::want::{Hand, Lack, Now, Want};
use super::{Leased, ROUNDING, Standing};
use crate::Nanos;

/// Have tokens been spent ahead of an answer?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credited {
    No,
    /// Since the last ask.
    Given,
    /// Before it, so that the answer counts them.
    Told,
}

#[derive(Debug)]
pub(crate) struct TokenRecord {
    pub(crate) name: BucketName,
    pub(crate) limit: SharedLimit,
    /// By which requests wait for an answer.
    pub(crate) number: u64,
    lots: Lots,
    demand: Demand,
    /// Tokens that requests wait for, since it was asked last.
    waiting: u64,
    /// Is an ask under way?
    asking: bool,
    unspent: Option<(u64, u64)>,
    debit: u64,
    credit: u64,
    orders: Orders,
    known: Option<Knowledge>,
    /// Until then the shared bucket is known to be empty, unless somebody fills it.
    empty_until: Nanos,
    /// Before this nobody asks whether somebody has.
    ask_again: Nanos,
    /// What it lives on while the backend is gone.
    share: Option<Share>,
    credited: Credited,
    used: Nanos,
    /// Is the backend to be told what is known here, because it has forgotten?
    pub(crate) to_tell: bool,
}

impl TokenRecord {
    pub(crate) fn new(
        name: BucketName,
        limit: SharedLimit,
        number: u64,
        known: Option<Knowledge>,
        now: Nanos,
    ) -> Self {
        Self {
            name,
            limit,
            number,
            lots: Lots::default(),
            demand: Demand::default(),
            waiting: 0,
            asking: false,
            unspent: None,
            debit: 0,
            credit: 0,
            orders: Orders::default(),
            known,
            empty_until: Nanos::ZERO,
            ask_again: Nanos::ZERO,
            share: None,
            credited: Credited::No,
            used: now,
            to_tell: false,
        }
    }

    /// A request finds too few tokens.
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
        self.look(hand, settings, now.monotonic, Nanos::ZERO, standing != Standing::Pausing);
        if self.lots.held() >= cost && self.lots.deadline(now.monotonic, true).is_some() {
            return Want::Placed;
        }
        if standing == Standing::Up {
            if self.empty_until > now.monotonic {
                if now.monotonic >= self.ask_again && !self.asking {
                    self.waiting = self.waiting.max(cost);
                    self.ask_again = now.monotonic + settings.time_to_live;
                }
                return Want::Refused(self.empty_until.since(now.monotonic));
            }
            self.waiting = self.waiting.saturating_add(cost);
            // A record that wakes has forgotten that the bucket was empty, but not how much was spent.
            let may_be_left =
                self.known.is_none_or(|known| left(limit, known.spent(limit, now.monotonic)) >= cost);
            if cost <= settings.credit && self.credited == Credited::No && may_be_left {
                self.credited = Credited::Given;
                self.place(hand, Source::Debit, settings.credit, settings, now.monotonic);
                return Want::Placed;
            }
            if !last {
                return Want::Awaited(self.number);
            }
        }
        if let (Standing::Pausing, OnFailure::Local) = (standing, settings.on_failure) {
            return if last { Want::Refused(settings.pause()) } else { Want::Awaited(self.number) };
        }
        self.without_backend(hand, cost, settings, now)
    }

    fn without_backend(&mut self, hand: &mut impl Hand, cost: u64, settings: &Settings, now: &Now) -> Want {
        match settings.on_failure {
            OnFailure::Deny => Want::Backend,
            OnFailure::Allow => {
                self.place(hand, Source::Nobody, self.limit.capacity, settings, now.monotonic);
                Want::Placed
            }
            OnFailure::Local => {
                let (known, at) = (self.known.as_ref(), (now.monotonic, now.wall));
                let fresh = || Share::of(&self.limit, known, self.debit, now.instances, at);
                let mut share = self.share.unwrap_or_else(fresh);
                let taken = share.take(&self.limit, cost, now.instances, now.monotonic, now.wall);
                self.share = Some(share);
                match taken {
                    Ok(tokens) => {
                        self.place(hand, Source::Debit, tokens, settings, now.monotonic);
                        Want::Placed
                    }
                    Err(wait) => Want::Refused(wait),
                }
            }
        }
    }

    fn place(&mut self, hand: &mut impl Hand, source: Source, tokens: u64, settings: &Settings, now: Nanos) {
        let lot = Lot { tokens, deadline: now + settings.time_to_live, source };
        self.change(hand, settings, now, Some(lot), Nanos::ZERO, true);
    }

    /// Finds out what has been spent, and takes back what ends by an instant. Tokens without a lease are taken back, too, unless
    /// they are `kept`.
    pub(crate) fn look(
        &mut self,
        hand: &mut impl Hand,
        settings: &Settings,
        now: Nanos,
        by: Nanos,
        kept: bool,
    ) {
        self.change(hand, settings, now, None, by, kept);
    }

    fn change(
        &mut self,
        hand: &mut impl Hand,
        settings: &Settings,
        now: Nanos,
        lot: Option<Lot>,
        by: Nanos,
        kept: bool,
    ) {
        // What has ended is taken back in any case, lest a later deadline revive it; what ends within a moment, too, for a state
        // may say that it has.
        let by = by.max(now + ROUNDING);
        self.demand.advance(now, settings.interval);
        loop {
            let Some((state, epoch)) = hand.read() else {
                // Dropped with its table: for all that is known, it was spent.
                self.count_spent(self.lots.held(), settings.interval);
                if let Some(Lot { tokens, source: Source::Lease { at }, .. }) = lot {
                    self.unspent = Some(join(self.unspent, (tokens, at)));
                }
                return;
            };
            self.count_spent(self.lots.held().saturating_sub(Leased::left_behind(state)), settings.interval);
            let kept_tokens = self.lots.held() - self.lots.count_ending(by, kept);
            let tokens = kept_tokens + lot.map_or(0, |lot| lot.tokens);
            let deadlines = [self.lots.deadline(by, kept), lot.map(|lot| lot.deadline)];
            let next = match deadlines.into_iter().flatten().min() {
                Some(deadline) if tokens > 0 => Leased::holding(tokens, deadline, epoch),
                // One that is empty for longer is looked at again, by way of the record.
                _ if self.empty_until > now && self.empty_until <= self.ask_again => {
                    Leased::empty(self.empty_until, epoch)
                }
                _ => 1,
            };
            if next != state.max(1) && !hand.replace(next) {
                continue;
            }
            if let Some(unspent) = self.lots.take_ending(by, kept) {
                self.unspent = Some(join(self.unspent, unspent));
            }
            if let Some(lot) = lot {
                self.lots.add(lot);
            }
            return;
        }
    }

    fn count_spent(&mut self, tokens: u64, interval: Nanos) {
        self.debit = self.debit.saturating_add(self.lots.spend(tokens));
        self.demand.spend(tokens, interval);
    }

    /// Tokens that were spent come back.
    pub(crate) fn give(&mut self, tokens: u64) {
        self.credit = self.credit.saturating_add(tokens);
        self.empty_until = Nanos::ZERO;
    }

    /// Tokens are taken, beyond those that were held.
    pub(crate) fn take(&mut self, tokens: u64) {
        self.debit = self.debit.saturating_add(tokens);
    }

    /// The shared bucket is to be filled, and blocks lifted.
    pub(crate) fn reset(&mut self) {
        (self.debit, self.credit) = (0, 0);
        self.orders.reset();
        self.empty_until = Nanos::ZERO;
    }

    /// The shared bucket is to be blocked.
    pub(crate) fn block(&mut self, time: Nanos) {
        self.orders.block(time);
    }

    /// Is an ask to be made at once?
    pub(crate) fn is_urgent(&self) -> bool {
        let said = self.credit > 0 || self.orders.are_given();
        !self.asking && (said || self.waiting > 0 && !self.demand.is_paced())
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
        let up = standing == Standing::Up;
        let by = if closing { Nanos::new(u64::MAX) } else { now + settings.margin() };
        self.look(hand, settings, now, by, !up && standing != Standing::Pausing);
        if standing == Standing::Down || self.asking {
            return None;
        }
        let floor = self.floor(now);
        let wanted = if up && !closing { self.wanted(settings, now) } else { 0 };
        let telling = std::mem::take(&mut self.to_tell) && floor.is_some();
        // Requests that are blocked want nothing, and so nobody would hear that the block has been lifted.
        let blocked = self.orders.is_blocked() && now >= self.ask_again;
        let nothing = wanted == 0
            && self.unspent.is_none()
            && self.debit == 0
            && self.credit == 0
            && !self.orders.are_given();
        if nothing && !telling && !blocked {
            return None;
        }
        if wanted > 0 {
            self.demand.ask();
        }
        self.asking = true;
        if up && self.credited == Credited::Given {
            self.credited = Credited::Told;
        }
        let (unspent, leased_at) = self.unspent.take().unwrap_or_default();
        let (reset, block) = self.orders.take();
        Some(Ask {
            name: self.name,
            limit: self.limit,
            floor,
            reset,
            block,
            unspent,
            leased_at,
            credit: std::mem::take(&mut self.credit),
            debit: std::mem::take(&mut self.debit),
            held: 0,
            wanted,
            waiting: if up { std::mem::take(&mut self.waiting).min(wanted) } else { 0 },
        })
    }

    pub(crate) fn floor(&self, now: Nanos) -> Option<Floor> {
        self.known.and_then(|known| known.floor(&self.limit, now))
    }

    /// Tokens to lease: those that are waited for, and what is spent in two intervals.
    fn wanted(&self, settings: &Settings, now: Nanos) -> u64 {
        if self.empty_until > now && self.waiting == 0 {
            return 0;
        }
        let (demand, held) = (self.demand.of_two_intervals(now, settings.interval), self.lots.held());
        let runs_dry = demand > 0 && held < demand.div_ceil(4).saturating_mul(3);
        if self.waiting == 0 && !runs_dry {
            return 0;
        }
        self.waiting
            .saturating_add(demand.max(self.limit.quota / 100))
            .saturating_sub(held)
            .clamp(self.waiting, self.limit.capacity.max(self.waiting))
    }

    /// An ask has been answered, which was made at an instant, at a time by the backend's clock.
    pub(crate) fn answered(
        &mut self,
        hand: &mut impl Hand,
        grant: &Grant,
        Answer { asked, at, .. }: Answer,
        settings: &Settings,
        now: Nanos,
    ) {
        self.asking = false;
        if self.credited == Credited::Told {
            self.credited = Credited::No;
        }
        // What was admitted without the backend is debited by now, or is about to be, and counts as spent.
        self.share = None;
        self.known = Some(Knowledge::of(grant, asked));
        self.empty_until = if grant.wait > Nanos::ZERO {
            // Not sooner than it pays to ask again, whatever is refilled meanwhile.
            now + grant.wait.max(Nanos::new(settings.interval.get() / 2))
        } else {
            Nanos::ZERO
        };
        self.ask_again = now + settings.time_to_live;
        let mut deadline = asked + settings.time_to_live;
        if let Some(left) = grant.ends {
            deadline = deadline.min(asked + left);
        }
        let lot = Lot { tokens: grant.tokens, deadline, source: Source::Lease { at } };
        if grant.tokens > 0 && deadline > now + ROUNDING {
            self.change(hand, settings, now, Some(lot), Nanos::ZERO, true);
        } else {
            if grant.tokens > 0 {
                self.unspent = Some(join(self.unspent, (grant.tokens, at)));
            }
            self.look(hand, settings, now, Nanos::ZERO, true);
        }
        hand.note(left(&self.limit, grant.spent), asked);
        self.orders.hear(grant, hand);
    }

    /// Nobody knows whether an ask was executed, and nobody will: what was taken is taken again, and what came back is lost.
    pub(crate) fn gave_up(&mut self, ask: &Ask) {
        self.asking = false;
        if self.credited == Credited::Told {
            self.credited = Credited::Given;
        }
        self.debit = self.debit.saturating_add(ask.debit);
        self.orders.repeat(ask);
    }

    /// Does a request wait for an answer?
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting > 0 || self.asking
    }

    /// Is there nothing to remember but what is known?
    pub(crate) fn is_idle(&self, settings: &Settings, now: Nanos) -> bool {
        !self.asking
            && self.lots.held() == 0
            && self.unspent.is_none()
            && (self.debit, self.credit, self.waiting) == (0, 0, 0)
            && !self.orders.are_given()
            && !self.orders.is_blocked()
            && self.share.is_none()
            && !self.to_tell
            && now.since(self.used) > settings.time_to_live
    }

    /// What remains to be known of it.
    pub(crate) fn knowledge(&self, now: Nanos) -> Option<Knowledge> {
        self.known.filter(|known| known.spent(&self.limit, now) > 0.0)
    }
}
