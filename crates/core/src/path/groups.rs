//! Which groups of patterns a path matches.

/// A set of up to 256 groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Groups(pub [u64; 4]);

impl Groups {
    /// Every group, whether or not there is one.
    pub const ALL: Self = Self([u64::MAX; 4]);
    /// No group.
    pub const NONE: Self = Self([0; 4]);

    /// Whether the group is in the set.
    #[inline]
    #[must_use]
    pub fn contains(&self, group: u16) -> bool {
        self.0.get(usize::from(group / 64)).is_some_and(|word| word >> (group % 64) & 1 == 1)
    }

    /// Adds a group; one above 255 is not added.
    pub fn insert(&mut self, group: u16) {
        if let Some(word) = self.0.get_mut(usize::from(group / 64)) {
            *word |= 1 << (group % 64);
        }
    }

    /// Adds the groups of another set.
    #[inline]
    pub fn extend(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    /// Of words as images hold them.
    #[inline]
    pub(super) fn of_words(words: &[[u8; 8]]) -> Self {
        let mut groups = Self::NONE;
        for (word, bytes) in groups.0.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        groups
    }

    /// Whether no group is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }
}
