//! What carries batches and replies, and loses, doubles and delays them.

use std::sync::Arc;

use tollgate_core::Nanos;
use tollgate_core::lease::exchange::{Batch, Life, Reply};
use tollgate_core::lease::fleet::Call;

use crate::agenda::Event;
use crate::told::Told;
use crate::world::World;
use tollgate_redis_model::Superseded;

/// When whoever has sent a batch gives its answer up.
const TIMEOUT: Nanos = Nanos::from_millis(300);
/// How late a message may come that comes late.
pub(crate) const LATEST: Nanos = Nanos::from_secs(3);
/// The longest way of a message that does not, there or back.
pub(crate) const WAY: Nanos = Nanos::from_millis(2);

/// A batch that an instance awaits an answer to.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    batch: Arc<Batch>,
    /// When it was sent first.
    asked: Nanos,
}

impl World {
    /// Sends what an instance has to send.
    pub(crate) fn send(&mut self, id: u64, call: Call) {
        for batch in self.due(id, call) {
            self.after(TIMEOUT, Event::TimesOut(id, batch.tag, batch.sequence));
            let copies = if self.random.chance(self.setup.doubled) { 2 } else { 1 };
            for copy in 0..copies {
                if self.up && !self.random.chance(self.setup.lost) {
                    // The second one comes when nobody thinks of it any more.
                    let delay =
                        if copy == 0 { self.delay() } else { Nanos::new(self.random.below(LATEST.get())) };
                    self.after(delay, Event::Arrives(id, Arc::clone(&batch)));
                }
            }
        }
    }

    /// Batches that are to be sent. Those of tags that nobody has a bucket under are answered here: they are many, and tell nothing.
    fn due(&mut self, id: u64, call: Call) -> Vec<Arc<Batch>> {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return Vec::new() };
        if instance.stands_still > now && call != Call::Close {
            return Vec::new();
        }
        let at = now + instance.skew;
        let mut batches = instance.engine.fleet().unwrap().due(&mut instance.background, at, call);
        batches.retain(|batch| {
            if self.names.uses(batch.tag) {
                return true;
            }
            let life = Life { id: 1, count: 1 };
            let reply = Reply { life, now: 0, settling: Nanos::ZERO, grants: Vec::new() };
            let fleet = instance.engine.fleet().unwrap();
            fleet.answered(&mut instance.background, batch.tag, batch.sequence, &reply, at);
            false
        });
        batches.into_iter().map(|batch| self.sending(id, batch)).collect()
    }

    fn sending(&mut self, id: u64, batch: Batch) -> Arc<Batch> {
        let batch = Arc::new(batch);
        let before = self.sent.get(&(id, batch.tag));
        if before.is_none_or(|before| before.batch.sequence != batch.sequence) {
            self.trace.add_batch(&batch);
            if !batch.asks.is_empty() {
                self.tell(format_args!("{id} asks {}", Told(&*batch)));
            }
            for ask in &batch.asks {
                if self.follows_tokens() {
                    self.held.give_back(id, ask.name, ask.unspent, ask.leased_at);
                }
            }
            self.sent.insert((id, batch.tag), Sent { batch: Arc::clone(&batch), asked: self.now });
        }
        batch
    }

    /// Is each token that is spent one of a lease?
    pub(crate) fn follows_tokens(&self) -> bool {
        let setup = &self.setup;
        setup.credit == 0
            && !setup.outages
            && !setup.adjustments
            && setup.rule.is_none()
            && setup.in_flight.is_none()
    }

    pub(crate) fn arrive(&mut self, id: u64, batch: &Arc<Batch>) {
        if !self.up {
            return;
        }
        let reply = self.execute(batch);
        if !self.random.chance(self.setup.lost) {
            let delay = self.delay();
            self.after(delay, Event::Answers(id, batch.tag, batch.sequence, reply));
        }
    }

    fn execute(&mut self, batch: &Batch) -> Option<Reply> {
        let life = self.random.below(1 << 50);
        let time = (self.wall() - self.behind.get()) / 1000;
        let reply = match self.backend.execute(batch, time, life) {
            Ok(reply) => reply,
            Err(Superseded) => return None,
        };
        self.trace.add_reply(&reply);
        if !batch.asks.is_empty() {
            let (id, tag, sequence) = (batch.instance, batch.tag, batch.sequence);
            self.tell(format_args!("{tag}#{sequence} of {id} is executed: {}", Told(&reply)));
        }
        self.account.replied(batch, &reply);
        // Of permits, those that are more than before.
        let leased =
            batch.asks.iter().zip(&reply.grants).map(|(ask, grant)| grant.tokens.saturating_sub(ask.held));
        self.leased_since += leased.sum::<u64>();
        Some(reply)
    }

    pub(crate) fn answer(&mut self, id: u64, tag: u8, sequence: u64, reply: Option<&Reply>) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if instance.stands_still > now {
            let wait = instance.stands_still.since(now);
            return self.after(wait, Event::Answers(id, tag, sequence, reply.cloned()));
        }
        let fleet = instance.engine.fleet().unwrap();
        match reply {
            Some(reply) => {
                fleet.answered(&mut instance.background, tag, sequence, reply, now + instance.skew);
                if let Some(sent) = self.sent.get(&(id, tag)).cloned()
                    && sent.batch.sequence == sequence
                {
                    self.sent.remove(&(id, tag));
                    self.receive(id, &sent, reply);
                }
            }
            None => fleet.gave_up(tag, sequence),
        }
        self.hear(id);
        self.send(id, Call::Urgent);
    }

    fn receive(&mut self, id: u64, sent: &Sent, reply: &Reply) {
        if !sent.batch.asks.is_empty() {
            self.tell(format_args!("{id} hears of {}#{}", sent.batch.tag, sent.batch.sequence));
        }
        self.heard.insert((id, sent.batch.tag));
        self.account.answered(&sent.batch.asks, reply);
        let ends = sent.asked + self.setup.time_to_live;
        for (ask, grant) in sent.batch.asks.iter().zip(&reply.grants) {
            if ask.limit.counts_requests_in_flight() {
                self.flights.renew(id, ask.name, ends, self.now);
                continue;
            }
            let ends = grant.ends.map_or(ends, |left| ends.min(sent.asked + left));
            self.held.lease(id, ask.name, grant.tokens, (ends.get(), reply.now));
        }
    }

    pub(crate) fn time_out(&mut self, id: u64, tag: u8, sequence: u64) {
        let Some(instance) = self.instances.get(&id) else { return };
        let awaited = self.sent.get(&(id, tag)).is_some_and(|sent| sent.batch.sequence == sequence);
        if awaited && self.random.chance(self.setup.given_up) {
            self.sent.remove(&(id, tag));
            return instance.fleet().gave_up(tag, sequence);
        }
        instance.fleet().failed(tag, sequence);
    }

    /// Requests and faults are over: what is under way is answered, and every instance gives back what it holds.
    pub(crate) fn end(&mut self) {
        if !self.up {
            self.turn_all(true);
        }
        for (id, tag) in self.sent.keys().copied().collect::<Vec<_>>() {
            let sequence = self.sent[&(id, tag)].batch.sequence;
            self.instances[&id].fleet().failed(tag, sequence);
        }
        // What is under way; what was left because of that; and what the answers to that have left.
        for _ in 0..4 {
            for id in self.ids() {
                for batch in self.due(id, Call::Close) {
                    let reply = self.execute(&batch);
                    self.answer_at_end(id, &batch, reply.as_ref());
                }
            }
        }
    }

    fn answer_at_end(&mut self, id: u64, batch: &Batch, reply: Option<&Reply>) {
        let now = self.now;
        let (tag, sequence) = (batch.tag, batch.sequence);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let fleet = instance.engine.fleet().unwrap();
        let Some(reply) = reply else { return fleet.gave_up(tag, sequence) };
        fleet.answered(&mut instance.background, tag, sequence, reply, now + instance.skew);
        if let Some(sent) = self.sent.remove(&(id, tag)) {
            self.receive(id, &sent, reply);
        }
    }

    fn delay(&mut self) -> Nanos {
        if self.random.chance(self.setup.slow) {
            return Nanos::new(self.random.below(LATEST.get()));
        }
        Nanos::new(50_000 + self.random.below(WAY.get() - 50_000))
    }
}
