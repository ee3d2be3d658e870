//! Where decisions meet leases: what a gate does when a bucket is shared by a fleet and holds too few tokens here.

use std::sync::Arc;

use crate::bucket::{Bucket, Word};
use crate::lease::Fleet;
use crate::lease::exchange::SharedLimit;
use crate::lease::want::{Hand, Lack, Want};
use crate::meter::Meter;
use crate::migration::{Place, locate};
use crate::moment::Moment;
use crate::operation::{Operation, peeked};
use crate::placing::Target;
use crate::table::Table;
use crate::time::Epoch;
use crate::{Decision, Gate, Key, Nanos, Outcome};

/// What whoever is refused for want of a backend is told to wait.
const BACKEND_TAKES: Nanos = Nanos::from_secs(1);

impl Gate {
    /// A bucket's word, wherever it is, as long as it counts slots, or tokens.
    pub(crate) fn hand(&self, key: Key, slots: bool, now: Nanos) -> BucketHand<'_> {
        BucketHand { gate: self, key, slots, now, found: None }
    }

    /// The number of the answer that the last decision awaits, if it is [`Outcome::Pending`].
    #[must_use]
    pub fn awaited(&self) -> u64 {
        self.awaited.get()
    }

    /// Has a lease asked for. `None`: there are tokens now.
    pub(crate) fn want(
        &self,
        target: &Target<'_>,
        meter: &Meter,
        limit: &SharedLimit,
        (state, cost): (u64, u64),
        moment: Moment,
        now: Nanos,
    ) -> Option<Decision> {
        let fleet = self.engine.fleet()?;
        let mut hand = self.hand(target.key, limit.counts_requests_in_flight(), now);
        let last = target.naming.request.last_word;
        let instants = (now, moment.wall());
        let lack = Lack { limit, cost, last };
        let want = fleet.want(&mut hand, target.key, &target.naming, &lack, instants);
        let refused = Decision { outcome: meter.refuses_by(), ..peeked(meter, state, moment, 0) };
        match want {
            Want::Placed => None,
            Want::Awaited(number) => {
                self.awaited.set(number);
                Some(peeked(meter, state, moment, cost))
            }
            Want::Refused(time) => Some(Decision { retry: Some(time), ..refused }),
            Want::Backend => {
                Some(Decision { outcome: Outcome::Backend, retry: Some(BACKEND_TAKES), ..refused })
            }
        }
    }

    /// Tells the fleet what the service has done to a bucket; gives the state here.
    pub(crate) fn adjust_shared(
        &self,
        bucket: Bucket<'_>,
        target: &Target<'_>,
        meter: &Meter,
        operation: Operation,
        (moment, now): (Moment, Nanos),
    ) -> Option<u64> {
        let (fleet, limit) = (self.engine.fleet()?, meter.shared()?);
        let mut missing = 0;
        let state = match operation {
            Operation::Take(tokens) => loop {
                let word = bucket.read()?;
                let state = meter.take(word.state(), moment, tokens);
                missing = tokens - meter.remaining(word.state(), moment).min(tokens);
                match bucket.replace(word, word.with_state(state)) {
                    Ok(()) => break state,
                    Err(Some(_)) => {}
                    Err(None) => return None,
                }
            },
            Operation::Give(_) | Operation::Reset => bucket.adjust(|state| meter.refilled(state, moment))?,
            _ => bucket.read()?.state(),
        };
        tell(fleet, target, limit, operation, missing, now);
        Some(state)
    }

    /// The same of a bucket that has no place here, and to which something is given.
    pub(crate) fn give_shared(
        &self,
        target: &Target<'_>,
        limit: &SharedLimit,
        operation: Operation,
        now: Nanos,
    ) {
        if let Some(fleet) = self.engine.fleet() {
            tell(fleet, target, limit, operation, 0, now);
        }
    }

    pub(crate) fn give_to_fleet(&self, key: Key, tokens: u64) {
        if let Some(fleet) = self.engine.fleet() {
            fleet.give_back(key, tokens);
        }
    }

    /// What would be decided, for all that is known here.
    pub(crate) fn peeked_shared(
        &self,
        key: Key,
        meter: &Meter,
        limit: &SharedLimit,
        (state, cost): (u64, u64),
        (moment, now): (Moment, Nanos),
    ) -> Decision {
        let decision = peeked(meter, state, moment, cost);
        let elsewhere = self.engine.fleet().map_or(0, |fleet| fleet.left(key, limit, now));
        let remaining = (decision.remaining + elsewhere).min(decision.capacity);
        let admitted = decision.outcome == Outcome::Pending && remaining >= cost;
        let outcome = match decision.outcome {
            Outcome::Pending if admitted => Outcome::Ok,
            Outcome::Pending => meter.refuses_by(),
            outcome => outcome,
        };
        let retry = if admitted { Some(Nanos::ZERO) } else { decision.retry };
        Decision { outcome, remaining, retry, ..decision }
    }

    /// The same of a bucket that is not there yet.
    pub(crate) fn peeked_fresh(
        &self,
        key: Key,
        meter: Option<&Meter>,
        cost: u64,
        at: (Moment, Nanos),
    ) -> Decision {
        match meter {
            None => Decision::unlimited(),
            Some(meter) => match meter.shared() {
                Some(limit) => self.peeked_shared(key, meter, limit, (0, cost), at),
                None => peeked(meter, 0, at.0, cost),
            },
        }
    }
}

fn tell(
    fleet: &Fleet,
    target: &Target<'_>,
    limit: &SharedLimit,
    operation: Operation,
    missing: u64,
    now: Nanos,
) {
    if matches!(operation, Operation::Take(_)) && missing == 0 {
        return;
    }
    fleet.tell(target.key, &target.naming, limit, now, |record| match operation {
        Operation::Give(tokens) => record.give(tokens),
        Operation::Take(_) => record.take(missing),
        Operation::Reset => record.reset(),
        Operation::Block(time) => record.block(time),
        Operation::Consume(_) | Operation::Probe(_) | Operation::Peek(_) => {}
    });
}

/// A bucket's word, wherever it is.
pub(crate) struct BucketHand<'a> {
    gate: &'a Gate,
    key: Key,
    /// Does it count requests in flight?
    slots: bool,
    now: Nanos,
    found: Option<(Arc<Table>, usize, Word)>,
}

impl Hand for BucketHand<'_> {
    fn read(&mut self) -> Option<(u64, Epoch)> {
        loop {
            let Place::Here(table, index) = locate(&self.gate.table, self.key, self.now) else {
                return None;
            };
            let slot = table.slots.get(index)?;
            // Under the policy in force it may count something else, and a state says something else then.
            let meter = slot.meta().and_then(|meta| table.meter_of(meta));
            if meter.is_some_and(|meter| meter.counts_requests_in_flight() != self.slots) {
                return None;
            }
            // One that is on its way is looked for again.
            if let Some(word) = slot.bucket().read() {
                let read = (word.state(), table.epoch);
                self.found = Some((table, index, word));
                return Some(read);
            }
        }
    }

    fn limit(&mut self) -> Option<SharedLimit> {
        self.read()?;
        let (table, index, _) = self.found.as_ref()?;
        let meter = table.meter_of(table.slots.get(*index)?.meta()?)?;
        meter.shared().copied()
    }

    fn replace(&mut self, state: u64) -> bool {
        let Some((table, index, word)) = self.found.take() else { return false };
        let slot = table.slots.get(index);
        slot.is_some_and(|slot| slot.bucket().replace(word, word.with_state(state)).is_ok())
    }

    fn note(&mut self, left: u64, at: Nanos) {
        if self.read().is_some()
            && let Some((table, index, _)) = &self.found
            && let Some(views) = &table.views
        {
            views.set(*index, left, table.moment(at));
        }
    }

    fn block(&mut self, time: Nanos) {
        let blocks = &self.gate.engine.blocks;
        if time == Nanos::ZERO {
            return blocks.lift(self.key);
        }
        // The list first: who sees the flag finds the block.
        blocks.set(self.key, self.now + time);
        while self.read().is_some() {
            let Some((table, index, _)) = &self.found else { return };
            if table.slots.get(*index).is_none_or(|slot| slot.bucket().flag(true).is_some()) {
                return;
            }
        }
    }
}
