//! A number that stands for all that happened: two runs of a seed give the same one.

use tollgate_core::lease::exchange::{Batch, Reply};

/// A hash, as in `FxHash`: quick, and nobody attacks it.
#[derive(Debug, Default)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) fn add(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517C_C1B7_2722_0A95);
        }
    }

    pub(crate) fn add_batch(&mut self, batch: &Batch) {
        self.add(&[u64::from(batch.tag), batch.instance, batch.sequence, u64::from(batch.instances)]);
        for ask in &batch.asks {
            let floor = ask.floor.map_or(0, |floor| floor.spent.to_bits());
            self.add(&[
                ask.unspent,
                ask.leased_at,
                ask.credit,
                ask.debit,
                ask.held,
                ask.wanted,
                ask.waiting,
                floor,
            ]);
        }
    }

    pub(crate) fn add_reply(&mut self, reply: &Reply) {
        self.add(&[reply.life.id, reply.life.count, reply.now, reply.settling.get()]);
        for grant in &reply.grants {
            self.add(&[grant.tokens, grant.spent.to_bits(), grant.wait.get(), grant.blocked.get()]);
        }
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0
    }
}
