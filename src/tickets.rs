//! What was charged and may be given back: slots of requests in flight, costs that turn out otherwise.

use std::collections::{BTreeSet, HashMap};

use tollgate_core::{Charged, Gate, Nanos, Subject};

/// Tickets of one limiter in one environment: more requests than this are not in flight at once.
const MOST: usize = 1_000_000;

/// Of which one subject may hold so many.
const MOST_EACH: u32 = 100_000;

/// Tickets that one call ends because they have expired: some microseconds' worth. The next calls end the rest.
const EXPIRED_PER_CALL: usize = 16;

/// What one request was charged.
struct Ticket {
    /// Whose it is, to find a bucket again that has been forgotten.
    subject: Subject,
    name: Box<[u8]>,
    charges: Box<[Charged]>,
    charged: Nanos,
    expires: Option<Nanos>,
}

/// How a ticket is handed in.
pub enum Settlement {
    /// What was charged stays charged; slots come back.
    Ended,
    /// Everything comes back.
    Cancelled,
    /// It has cost so many tokens, whatever was charged; rules with a cost of their own keep that. Slots come back.
    Actual(u64),
}

#[derive(Default)]
pub struct Tickets {
    last: u64,
    open: HashMap<u64, Ticket>,
    /// How many each subject holds, by its name; that a tenant may be called like an address does not matter here.
    held: HashMap<Box<[u8]>, u32>,
    /// Those that expire, the soonest first.
    expiring: BTreeSet<(Nanos, u64)>,
}

impl Tickets {
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// A ticket for these charges: a number from 1 that is not given again; `None` if there are too many, of all or of this
    /// subject.
    pub fn issue(
        &mut self,
        subject: Subject,
        name: &[u8],
        charges: Box<[Charged]>,
        at: Nanos,
    ) -> Option<u64> {
        let number = self.last + 1;
        self.issue_as(number, subject, name, charges, at).then(|| {
            self.last = number;
            number
        })
    }

    /// The same under a number that somebody else has given; `false` if there are too many.
    pub fn issue_as(
        &mut self,
        number: u64,
        subject: Subject,
        name: &[u8],
        charges: Box<[Charged]>,
        at: Nanos,
    ) -> bool {
        if self.open.len() >= MOST {
            return false;
        }
        match self.held.get_mut(name) {
            Some(held) if *held >= MOST_EACH => return false,
            Some(held) => *held += 1,
            None => _ = self.held.insert(name.into(), 1),
        }
        let ticket = Ticket { subject, name: name.into(), charges, charged: at, expires: None };
        self.open.insert(number, ticket);
        true
    }

    /// Whose a ticket is.
    pub fn name(&self, ticket: u64) -> Option<&[u8]> {
        self.open.get(&ticket).map(|open| &*open.name)
    }

    /// Lets a ticket expire: whoever forgets to settle it has paid what was charged.
    pub fn expire(&mut self, ticket: u64, at: Nanos) {
        if let Some(open) = self.open.get_mut(&ticket) {
            open.expires = Some(at);
            self.expiring.insert((at, ticket));
        }
    }

    /// Hands a ticket in; `false` if that has been done, or it has expired.
    pub fn settle(&mut self, gate: &mut Gate, ticket: u64, settlement: &Settlement, now: Nanos) -> bool {
        let Some(open) = self.remove(ticket) else { return false };
        let expired = open.expires.is_some_and(|expires| expires <= now);
        open.settle(gate, if expired { &Settlement::Ended } else { settlement }, now);
        !expired
    }

    /// Gives the slots of a ticket back, and leaves the rest to be handed in.
    pub fn release(&mut self, gate: &mut Gate, ticket: u64, now: Nanos) {
        let Some(open) = self.open.get_mut(&ticket) else { return };
        let charges = std::mem::take(&mut open.charges);
        for slot in charges.iter().filter(|charge| charge.slot) {
            gate.give_back(*slot, open.charged, now);
        }
        open.charges = charges.into_iter().filter(|charge| !charge.slot).collect();
    }

    fn remove(&mut self, ticket: u64) -> Option<Ticket> {
        let open = self.open.remove(&ticket)?;
        if let Some(expires) = open.expires {
            self.expiring.remove(&(expires, ticket));
        }
        if let Some(held) = self.held.get_mut(&open.name) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&open.name);
            }
        }
        Some(open)
    }

    /// Ends some of those that have expired.
    pub fn drop_expired(&mut self, gate: &mut Gate, now: Nanos) {
        for _ in 0..EXPIRED_PER_CALL {
            let Some(&(expires, ticket)) = self.expiring.first() else { return };
            if expires > now {
                return;
            }
            if let Some(open) = self.remove(ticket) {
                open.settle(gate, &Settlement::Ended, now);
            }
        }
    }

    pub fn are_expiring(&self) -> bool {
        !self.expiring.is_empty()
    }

    /// Ends all of them, because who held them is gone.
    pub fn end_all(self, gate: &mut Gate, now: Nanos) {
        for (_, open) in self.open {
            open.settle(gate, &Settlement::Ended, now);
        }
    }
}

impl Ticket {
    fn settle(&self, gate: &mut Gate, settlement: &Settlement, now: Nanos) {
        for charge in &self.charges {
            match *settlement {
                _ if charge.slot => gate.give_back(*charge, self.charged, now),
                Settlement::Ended => {}
                Settlement::Cancelled => gate.give_back(*charge, self.charged, now),
                Settlement::Actual(_) if charge.own_cost => {}
                Settlement::Actual(actual) if actual < charge.cost => {
                    gate.give_back(charge.of(charge.cost - actual), self.charged, now);
                }
                Settlement::Actual(actual) => {
                    gate.debit(*charge, self.subject, &self.name, actual - charge.cost, now);
                }
            }
        }
    }
}
