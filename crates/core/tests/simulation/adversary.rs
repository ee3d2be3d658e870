//! Whatever is asked of a backend, it hands out no more than the bound: here by those who know how it counts, and lease, hold, give
//! back at the last moment and lease again, so that as much as can be is in somebody's hands when all is spent at once.

use tollgate_core::lease::exchange::{Ask, Batch};
use tollgate_core::{Algorithm, Nanos};

use crate::bound::{self, Admitted};
use crate::limits::Limits;
use crate::names::{Names, Whose};
use crate::random::Random;
use crate::seeds::each_seed;
use tollgate_redis_model::Model;

const TIME_TO_LIVE: u64 = 2_000_000;
const START: u64 = 1_700_000_000_000_000;

/// Tokens of one lease.
#[derive(Debug, Clone, Copy)]
struct Lot {
    tokens: u64,
    /// Microseconds, here and below.
    leased_at: u64,
    ends: u64,
}

/// Several who lease, and a backend that answers at once.
struct Ring {
    limits: Limits,
    backend: Model,
    now: u64,
    held: Vec<Vec<Lot>>,
    sequences: Vec<u64>,
    spent: Vec<Admitted>,
}

impl Ring {
    fn new(limits: Limits, members: usize) -> Self {
        Self {
            limits,
            backend: Model::default(),
            now: START,
            held: vec![Vec::new(); members],
            sequences: vec![0; members],
            spent: Vec::new(),
        }
    }

    /// A member gives a lease back and takes as much as there is, in one ask.
    fn exchange(&mut self, member: usize, back: Option<Lot>, wanted: u64) {
        let Lot { tokens, leased_at, .. } = back.unwrap_or(Lot { tokens: 0, leased_at: 0, ends: 0 });
        let name = Names::all().of(Whose { tenant: 0, rule: false });
        let limit = self.limits.shared();
        let ask = Ask { unspent: tokens, leased_at, ..Ask::lease(name, limit, wanted) };
        self.sequences[member] += 1;
        let (instance, sequence) = (member as u64, self.sequences[member]);
        let batch = Batch {
            tag: name.tag(),
            instance,
            sequence,
            instances: 1,
            time_to_live: Nanos::new(TIME_TO_LIVE * 1000),
            seen: None,
            asks: vec![ask],
        };
        let reply = self.backend.execute(&batch, self.now, 1).unwrap();
        let grant = reply.grants[0];
        let mut ends = self.now + TIME_TO_LIVE;
        if let Some(left) = grant.ends {
            ends = ends.min(self.now + left.get() / 1000);
        }
        self.held[member].push(Lot { tokens: grant.tokens, leased_at: reply.now, ends });
    }

    /// Everything that is held is spent; what has ended is not.
    fn spend_all(&mut self) {
        let at = self.now * 1000;
        for lot in self.held.iter_mut().flat_map(|lots| lots.drain(..)).filter(|lot| lot.ends > self.now) {
            self.spent.push(Admitted { at, tenant: 0, cost: lot.tokens });
        }
    }

    /// Somebody does something.
    fn step(&mut self, random: &mut Random) {
        let member = usize::try_from(random.below(self.held.len() as u64)).unwrap();
        let all = self.limits.quota + self.limits.burst;
        match random.below(20) {
            0..=5 => {
                let wanted = if random.chance(70) { all } else { random.within(1..=all) };
                self.exchange(member, None, wanted);
            }
            // At the last moment, and for all that there is then; or long after it has ended.
            6..=11 => {
                let Some(place) = (0..self.held[member].len()).min_by_key(|&lot| self.held[member][lot].ends)
                else {
                    return;
                };
                let lot = self.held[member].remove(place);
                self.now = self.now.max(lot.ends - 1);
                let wanted = if random.chance(60) { all } else { 0 };
                self.exchange(member, Some(lot), wanted);
            }
            12..=16 => self.now += random.below(TIME_TO_LIVE / 2),
            17 => self.now += random.below(2 * TIME_TO_LIVE),
            18 => {
                // Everybody takes what there is, once more.
                for member in 0..self.held.len() {
                    self.exchange(member, None, all);
                }
                self.spend_all();
            }
            _ => self.spend_all(),
        }
    }
}

fn bound_holds(algorithm: Algorithm) {
    each_seed(|run| {
        let random = &mut Random::new(run.seed);
        let limits = Limits {
            algorithm,
            // Such that a time to live refills some tokens, and few enough to tell them from one capacity more.
            quota: random.within(1..=20),
            burst: random.below(20),
            window: Nanos::from_millis(random.within(1000..=12_000)),
        };
        let mut ring = Ring::new(limits, usize::try_from(random.within(1..=4)).unwrap());
        for _ in 0..400 {
            ring.step(random);
        }
        bound::check(&limits, Nanos::new(TIME_TO_LIVE * 1000), 0.0, &ring.spent);
    });
}

#[test]
fn leases_that_come_back_and_are_taken_again_add_up_to_the_bound() {
    bound_holds(Algorithm::TokenBucket);
}

#[test]
fn leases_of_a_fixed_window_add_up_to_its_quota() {
    bound_holds(Algorithm::FixedWindow);
}

#[test]
fn leases_of_a_sliding_window_add_up_to_what_one_process_admits() {
    bound_holds(Algorithm::SlidingWindow);
}
