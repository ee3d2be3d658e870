//! The tenants that a policy names: hashes of their names, sorted, and for each its entry.
//!
//! The rows are searched where they lie. Hashes are spread evenly, so a directory by their leading bits leaves a
//! handful to search; it is made when an image is read, in the pass that verifies the order, and has 4 bytes for about
//! eight rows.

use std::ops::Range;
use std::sync::Arc;

use super::layout::{ImageError, Section};
use super::name::{NameHash, PREFIX_BITS};

/// At most this many rows.
pub const MOST_TENANTS: usize = 10_000_000;

/// Bytes of a hash.
pub(crate) const HASH: usize = 16;

/// With as few rows as this a search alone is as quick.
const NO_DIRECTORY: usize = 256;

/// Rows that share one place of the directory, at most, on average.
const ROWS_A_PLACE: usize = 8;

/// A tenant that the policy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Which row it is.
    pub index: u32,
    /// Its entry.
    pub entry: u32,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Tenants {
    bytes: Arc<[u8]>,
    hashes: Range<usize>,
    references: Range<usize>,
    /// Are references four bytes, not two?
    wide: bool,
    count: usize,
    /// For each value of the leading bits, the first row that has it or a greater one; and one more, the count.
    directory: Box<[u32]>,
    /// How far to shift a hash for its leading bits.
    shift: u32,
}

/// References take four bytes where there are more entries than two can tell apart.
pub(crate) const fn are_wide(entries: usize) -> bool {
    entries > 1 << 16
}

impl Tenants {
    pub(crate) fn read(
        bytes: &Arc<[u8]>,
        hashes: Range<usize>,
        references: Range<usize>,
        first_entry: usize,
        entries: usize,
    ) -> Result<Self, ImageError> {
        let fault = |section, what| Err(ImageError::Malformed { section, what });
        let count = hashes.len() / HASH;
        if !hashes.len().is_multiple_of(HASH) || count > MOST_TENANTS {
            return fault(Section::Tenants, "it is of an impossible length");
        }
        let wide = are_wide(entries);
        if references.len() != count * if wide { 4 } else { 2 } {
            return fault(Section::References, "there is not one for each tenant");
        }
        let bits = if count <= NO_DIRECTORY { 0 } else { (count / ROWS_A_PLACE).ilog2() };
        let mut tenants = Self {
            bytes: Arc::clone(bytes),
            hashes,
            references,
            wide,
            count,
            directory: Box::default(),
            shift: u128::BITS - bits,
        };
        let mut directory = Vec::with_capacity((1 << bits) + 1);
        let mut last = None;
        for index in 0..count {
            let hash = tenants.hash(index);
            if last >= hash {
                return fault(Section::Tenants, "they do not ascend");
            }
            last = hash;
            let place = hash.map_or(0, |hash| tenants.place(hash));
            while directory.len() <= place {
                directory.push(number(index));
            }
            if tenants.entry(index).is_none_or(|entry| !(first_entry..entries).contains(&(entry as usize))) {
                return fault(Section::References, "a tenant has an unknown entry");
            }
        }
        directory.resize((1 << bits) + 1, number(count));
        tenants.directory = directory.into();
        Ok(tenants)
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// The leading bits of a hash.
    #[inline]
    fn place(&self, hash: u128) -> usize {
        // All 128 bits shifted out: no directory, one place.
        usize::try_from(hash.checked_shr(self.shift).unwrap_or(0)).unwrap_or(0)
    }

    #[inline]
    fn hash(&self, index: usize) -> Option<u128> {
        let start = self.hashes.start + index * HASH;
        let bytes = self.bytes.get(start..start + HASH)?;
        bytes.try_into().ok().map(u128::from_be_bytes)
    }

    #[inline]
    fn entry(&self, index: usize) -> Option<u32> {
        if self.wide {
            let start = self.references.start + index * 4;
            self.bytes.get(start..start + 4)?.try_into().ok().map(u32::from_le_bytes)
        } else {
            let start = self.references.start + index * 2;
            self.bytes.get(start..start + 2)?.try_into().ok().map(u16::from_le_bytes).map(u32::from)
        }
    }

    /// The first row whose hash is not less.
    #[inline]
    fn lower_bound(&self, hash: u128) -> usize {
        let place = self.place(hash);
        let bound = |place: usize| self.directory.get(place).map_or(self.count, |&row| row as usize);
        let (mut low, mut high) = (bound(place), bound(place + 1));
        while low < high {
            let middle = low.midpoint(high);
            if self.hash(middle).is_some_and(|found| found < hash) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    #[inline]
    pub(crate) fn find(&self, name: &NameHash) -> Option<Row> {
        let hash = u128::from_be_bytes(name.bytes());
        let index = self.lower_bound(hash);
        (self.hash(index)? == hash).then_some(Row { index: number(index), entry: self.entry(index)? })
    }

    /// The first row whose hash begins with these bits.
    #[inline]
    pub(crate) fn find_prefix(&self, prefix: u64) -> Option<Row> {
        let dropped = u128::BITS - PREFIX_BITS;
        let index = self.lower_bound(u128::from(prefix) << dropped);
        let found = self.hash(index)? >> dropped == u128::from(prefix);
        found.then_some(Row { index: number(index), entry: self.entry(index)? })
    }

    pub(crate) fn row(&self, index: u32) -> Option<(NameHash, u32)> {
        let index = index as usize;
        if index >= self.count {
            return None;
        }
        Some((NameHash::from_bytes(self.hash(index)?.to_be_bytes()), self.entry(index)?))
    }

    /// All rows, in the order of their hashes.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (NameHash, u32)> {
        (0..number(self.count)).filter_map(|index| self.row(index))
    }
}

/// There are at most [`MOST_TENANTS`].
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "at most ten million")]
const fn number(index: usize) -> u32 {
    index as u32
}
