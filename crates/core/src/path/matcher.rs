//! A path led through the automata.

use std::{ops::Range, sync::Arc};

use super::{
    Groups, PathError,
    canonical::spellings,
    layout::{Edge, Layout, Parts, state_at},
    strip,
    target::ordinary,
    word::{find, word_at},
};

/// The longest path that is looked at, in bytes: as long as Node's HTTP parser lets headers be.
pub const LONGEST_PATH: usize = 16_384;

/// A table, read.
#[derive(Debug, Clone, Copy)]
pub struct Matcher<'a> {
    layout: Layout,
    parts: Parts<'a>,
}

impl<'a> Matcher<'a> {
    /// Reads a table that may be anything: it is refused, or accepted and harmless.
    ///
    /// # Errors
    /// [`PathError::Damaged`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, PathError> {
        let layout = Layout::read(bytes)?;
        Ok(Self { layout, parts: layout.of(bytes) })
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.layout.groups
    }

    /// The groups that match a request, by its target: `req.url` in UTF-8, with the query or without. Takes time in
    /// proportion to its length, and allocates nothing for paths that have no escapes, `;`, dot segments or characters outside
    /// ASCII.
    ///
    /// Where the path cannot be told (see [`strip`]), or is longer than [`LONGEST_PATH`], all groups match.
    #[inline]
    #[must_use]
    pub fn groups(&self, target: &[u8]) -> Groups {
        let mut groups = Groups::NONE;
        match ordinary(target) {
            Some(path) if path.len() <= LONGEST_PATH => self.add(path, &mut groups),
            _ => self.add_spellings(target, &mut groups),
        }
        groups
    }

    #[cold]
    fn add_spellings(&self, target: &[u8], groups: &mut Groups) {
        let Some(path) = strip(target).filter(|path| path.len() <= LONGEST_PATH) else {
            *groups = Groups::ALL;
            return;
        };
        let path = if path.is_empty() { b"/" } else { path };
        spellings(path, self.layout.fold, |spelling| self.add(spelling, groups));
    }

    /// Adds the groups that match a spelling.
    #[inline]
    fn add(&self, path: &[u8], groups: &mut Groups) {
        for start in self.parts.starts {
            let set = usize::from(self.walk(u32::from_le_bytes(*start) as usize, path));
            if set != 0 {
                let words = self.layout.groups.div_ceil(64);
                let own = self.parts.sets.get(set * words..(set + 1) * words);
                groups.extend(&Groups::of_words(own.unwrap_or_default()));
            }
        }
    }

    /// The set of groups that the path ends with.
    #[inline]
    fn walk(&self, start: usize, path: &[u8]) -> u16 {
        let mut number = start;
        let mut at = 0;
        'states: loop {
            let Some((state, edges)) = state_at(self.parts.states, number) else { return 0 };
            if at >= path.len() {
                return if at == path.len() { state.set } else { 0 };
            }
            let word = word_at(path, at);
            for edge in edges {
                let edge = Edge::read(*edge);
                let same = ((word | edge.case) ^ edge.label).trailing_zeros();
                if same >= u8::BITS {
                    if same < u8::BITS * edge.length {
                        return 0;
                    }
                    at += edge.length as usize;
                    number = edge.target;
                    continue 'states;
                }
            }
            at += 1;
            if state.otherwise != number {
                number = state.otherwise;
                continue;
            }
            match edges {
                // Whatever follows. The state from which nothing matches is one of these.
                [] => return state.set,
                // A parameter goes on to the next slash.
                [[[first, ..], [case, ..], _]] => at = find(path, at, *first, *case),
                _ => {}
            }
        }
    }
}

/// A table that is shared, such as a part of an image.
#[derive(Debug, Clone)]
pub struct SharedMatcher {
    bytes: Arc<[u8]>,
    range: Range<usize>,
    layout: Layout,
}

impl SharedMatcher {
    /// Reads the table in this part of the bytes.
    ///
    /// # Errors
    /// [`PathError::Damaged`].
    pub fn read(bytes: Arc<[u8]>, range: Range<usize>) -> Result<Self, PathError> {
        let table = bytes.get(range.clone()).ok_or(PathError::Damaged("it is outside of the bytes"))?;
        let layout = Layout::read(table)?;
        Ok(Self { bytes, range, layout })
    }

    /// The matcher, which is made anew and costs a few comparisons.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Matcher<'_> {
        let table = self.bytes.get(self.range.clone()).unwrap_or_default();
        Matcher { layout: self.layout, parts: self.layout.of(table) }
    }
}
