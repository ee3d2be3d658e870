//! Which window a state speaks of.
//!
//! The meters that count in windows keep, in one number below 2^62, the number of a window and what was counted:
//!
//! | bits               | meaning                                                                             |
//! |--------------------|-------------------------------------------------------------------------------------|
//! | high, `number`     | windows since the one that holds the table's epoch, plus 1; 0: nothing was counted  |
//! | low, `count_bits`  | the counts                                                                          |
//!
//! A table lives for 2^51 nanoseconds at most ([`LATEST`]), so few bits tell its windows apart where they are long, and
//! the counts have the rest. A number only grows: where the wall clock was set back, the later window goes on.

use crate::gcra::LATEST;
use crate::moment::Moment;
use crate::{Nanos, Window};

/// A state has this many bits: a bucket's word keeps two for itself.
pub(crate) const STATE_BITS: u32 = 62;

/// Windows, numbered from a table's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numbering {
    window: Window,
    count_bits: u32,
}

impl Numbering {
    pub(crate) fn new(window: Window) -> Self {
        // One more than fit into a table's life can begin or end in it, and 0 is no number.
        let numbers = LATEST.get() / window.shortest().get().max(1) + 2;
        Self { window, count_bits: STATE_BITS - (u64::BITS - numbers.leading_zeros()) }
    }

    pub(crate) const fn window(&self) -> Window {
        self.window
    }

    /// What there is for counts: at least 10 bits, and 60 for windows of a month.
    pub(crate) const fn count_bits(&self) -> u32 {
        self.count_bits
    }

    /// The number of the window that an instant is in.
    #[inline]
    pub(crate) fn present(&self, now: Moment) -> u64 {
        self.window.index(now.wall()).saturating_sub(self.window.index(now.epoch))
    }

    /// When the window of this number begins, in wall time.
    #[inline]
    pub(crate) fn start(&self, number: u64, epoch: Nanos) -> Nanos {
        self.window.start(self.window.index(epoch).saturating_add(number))
    }

    /// The number and the counts; `None` if nothing was counted.
    #[inline]
    pub(crate) fn read(&self, state: u64) -> Option<(u64, u64)> {
        let number = (state >> self.count_bits).checked_sub(1)?;
        Some((number, state & ((1 << self.count_bits) - 1)))
    }

    /// `counts` fit their bits; a number that is too late for a table counts as its last.
    #[inline]
    pub(crate) fn write(&self, number: u64, counts: u64) -> u64 {
        let last = (1 << (STATE_BITS - self.count_bits)) - 1;
        (number.saturating_add(1).min(last) << self.count_bits) | counts
    }

    /// A number counted from another epoch, and how many windows had passed by then if it was over before.
    pub(crate) fn rebased(&self, number: u64, from: Nanos, to: Nanos) -> (u64, u64) {
        let (index, first) = (self.window.index(from).saturating_add(number), self.window.index(to));
        (index.saturating_sub(first), first.saturating_sub(index))
    }
}
