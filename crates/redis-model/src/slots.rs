//! One shared limit on requests in flight.
//!
//! Who holds how many permits is what each instance says, for as long as its lease lives. That is taken as true even beyond the
//! limit, after an outage or under a limit that was lowered: then nobody is granted any more, and whoever holds too many may not
//! fill those again that come back.
//!
//! What an instance wanted in vain is remembered, too, so that others which hold more than an equal share of the limit
//! leave it what it lacks of one.

#![expect(clippy::cast_precision_loss, reason = "permits are far below 2^53")]

use std::collections::BTreeMap;

use tollgate_core::Nanos;
use tollgate_core::lease::exchange::{Ask, Grant};

use crate::Circumstances;

/// What is known of one instance.
#[derive(Debug, Clone, Copy)]
struct Entry {
    held: u64,
    /// Permits that requests waited for in vain.
    lacks: u64,
    /// Until then it counts, in microseconds.
    ends: u64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    entries: BTreeMap<u64, Entry>,
    /// Microseconds; 0 if it is not blocked.
    blocked_until: u64,
}

impl Slots {
    pub(super) fn execute(&mut self, ask: &Ask, circumstances: &Circumstances) -> Grant {
        let Circumstances { now, settling, instances, instance, time_to_live, .. } = *circumstances;
        let capacity = ask.limit.capacity;
        self.entries.retain(|_, entry| entry.ends > now);
        if ask.reset {
            self.blocked_until = 0;
        }
        if let Some(time) = ask.block {
            self.blocked_until = if time == Nanos::ZERO { 0 } else { now + time.get().div_ceil(1000) };
        }
        let blocked = self.blocked_until.saturating_sub(now);
        self.entries.remove(&instance);
        let others: u64 = self.entries.values().map(|entry| entry.held).sum();
        let lacked: u64 = self.entries.values().map(|entry| entry.lacks).sum();
        let share = (capacity / (self.entries.len() as u64 + 1)).max(1);
        // What others lack of an equal share is theirs, but for an equal share.
        let due: u64 =
            self.entries.values().map(|entry| entry.lacks.min(share.saturating_sub(entry.held))).sum();
        let leases = !settling && blocked == 0;
        let room = capacity.saturating_sub(others);
        let free = room.saturating_sub(ask.held);
        let fair = free / (2 * u64::from(instances));
        let more = if leases { ask.wanted.min(free).min(ask.waiting.max(fair)) } else { 0 };
        let mut permits = (ask.held + more).min(room);
        if due > 0 {
            permits = permits.min(share.max(room.saturating_sub(due)));
        }
        // Whoever is in flight is so, be there a permit or not.
        let held = ask.held.max(permits);
        let lacks = if leases { (ask.held + ask.waiting).saturating_sub(held) } else { 0 };
        if held > 0 || lacks > 0 {
            self.entries.insert(instance, Entry { held, lacks, ends: now + time_to_live });
        }
        Grant {
            tokens: permits,
            spent: (others + held + lacked) as f64,
            wait: Nanos::ZERO,
            ends: None,
            blocked: Nanos::new(blocked.saturating_mul(1000)),
        }
    }
}
