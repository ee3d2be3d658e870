//! What was charged and may be given back: slots of requests in flight, costs that turn out otherwise.

use std::collections::{BTreeSet, HashMap};

use tollgate_core::{Charged, Gate, Nanos, Subject};

/// Tickets of one limiter in one environment: more requests than this are not in flight at once.
const MOST: usize = 1_000_000;

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
    /// The tenant's tokens become so many, whatever they were; slots come back.
    Actual(u64),
}

#[derive(Default)]
pub struct Tickets {
    last: u64,
    open: HashMap<u64, Ticket>,
    /// Those that expire, the soonest first.
    expiring: BTreeSet<(Nanos, u64)>,
}

impl Tickets {
    pub fn is_full(&self) -> bool {
        self.open.len() >= MOST
    }

    /// A ticket for these charges: a number from 1 that is not given again.
    pub fn issue(&mut self, subject: Subject, name: &[u8], charges: Box<[Charged]>, at: Nanos) -> u64 {
        self.last += 1;
        let ticket = Ticket { subject, name: name.into(), charges, charged: at, expires: None };
        self.open.insert(self.last, ticket);
        self.last
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
        self.drop_expired(gate, now);
        let Some(open) = self.open.remove(&ticket) else { return false };
        if let Some(expires) = open.expires {
            self.expiring.remove(&(expires, ticket));
        }
        open.settle(gate, settlement, now);
        true
    }

    /// Ends those that have expired.
    pub fn drop_expired(&mut self, gate: &mut Gate, now: Nanos) {
        while let Some(&(expires, ticket)) = self.expiring.first()
            && expires <= now
        {
            self.expiring.pop_first();
            if let Some(open) = self.open.remove(&ticket) {
                open.settle(gate, &Settlement::Ended, now);
            }
        }
    }

    /// Ends all of them, because who held them is gone.
    pub fn end_all(&mut self, gate: &mut Gate, now: Nanos) {
        self.expiring.clear();
        for (_, open) in self.open.drain() {
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
