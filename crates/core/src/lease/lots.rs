//! The leases that make up the tokens that an instance holds of one bucket.
//!
//! Tokens are alike, so it is up to us which are spent first: those that end soonest. A bucket's word says how many are held and
//! when the first of them end; that is set to a later instant once those are known to be spent.

use std::collections::VecDeque;

use crate::Nanos;

/// With so many, the newest are counted as one: by the one that ends sooner, and was leased earlier.
const MOST: usize = 16;

/// Where tokens come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The shared bucket, at this time by its backend's clock, in microseconds.
    Lease { at: u64 },
    /// Nowhere yet: what is spent of them is debited afterwards.
    Debit,
    /// Nowhere: whoever set the limit wants everything admitted meanwhile.
    Nobody,
}

/// Tokens that end at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lot {
    pub(crate) tokens: u64,
    pub(crate) deadline: Nanos,
    pub(crate) source: Source,
}

/// Lots, those first that end first.
#[derive(Debug, Default)]
pub(crate) struct Lots {
    lots: VecDeque<Lot>,
    held: u64,
}

impl Lots {
    /// Tokens in all of them.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// When the first of those end that [`Lots::take_ending`] leaves.
    pub(crate) fn deadline(&self, by: Nanos, kept: bool) -> Option<Nanos> {
        self.lots.iter().find(|lot| !ends(lot, by, kept)).map(|lot| lot.deadline)
    }

    pub(crate) fn add(&mut self, lot: Lot) {
        if lot.tokens == 0 {
            return;
        }
        self.held += lot.tokens;
        if self.lots.len() >= MOST
            && let Some(last) = self.lots.back_mut()
            && let (Source::Lease { at }, Source::Lease { at: leased }) = (&mut last.source, lot.source)
        {
            *at = leased.min(*at);
            last.tokens += lot.tokens;
            last.deadline = last.deadline.min(lot.deadline);
            self.lots.make_contiguous().sort_by_key(|lot| lot.deadline);
            return;
        }
        let place = self.lots.partition_point(|other| other.deadline <= lot.deadline);
        self.lots.insert(place, lot);
    }

    /// Counts so many tokens as spent; gives how many of them are to be debited.
    pub(crate) fn spend(&mut self, tokens: u64) -> u64 {
        let (mut left, mut debited) = (tokens.min(self.held), 0);
        self.held -= left;
        while left > 0
            && let Some(first) = self.lots.front_mut()
        {
            let taken = left.min(first.tokens);
            first.tokens -= taken;
            left -= taken;
            if first.source == Source::Debit {
                debited += taken;
            }
            if first.tokens == 0 {
                self.lots.pop_front();
            }
        }
        debited
    }

    /// Tokens of those that end by an instant, and of those that are no leases unless these are `kept`.
    pub(crate) fn count_ending(&self, by: Nanos, kept: bool) -> u64 {
        self.lots.iter().filter(|lot| ends(lot, by, kept)).map(|lot| lot.tokens).sum()
    }

    /// Takes them out: how many came from leases, and when the first of those was made.
    pub(crate) fn take_ending(&mut self, by: Nanos, kept: bool) -> Option<(u64, u64)> {
        let mut unspent: Option<(u64, u64)> = None;
        let mut gone = 0;
        self.lots.retain(|lot| {
            let ends = ends(lot, by, kept);
            if ends {
                gone += lot.tokens;
                if let Source::Lease { at } = lot.source {
                    unspent = Some(join(unspent, (lot.tokens, at)));
                }
            }
            !ends
        });
        self.held -= gone;
        unspent
    }
}

/// Several returns as one: as if all had been leased when the first was, so that no refill is counted twice.
pub(crate) fn join(one: Option<(u64, u64)>, other: (u64, u64)) -> (u64, u64) {
    one.map_or(other, |one| (one.0 + other.0, one.1.min(other.1)))
}

fn ends(lot: &Lot, by: Nanos, kept: bool) -> bool {
    lot.deadline <= by || !kept && !matches!(lot.source, Source::Lease { .. })
}

#[cfg(test)]
mod tests;
