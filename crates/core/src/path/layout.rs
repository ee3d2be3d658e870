//! Reads a table that may be anything: it is refused, or accepted and harmless.

use std::ops::Range;

use super::{
    Groups, PathError,
    table::{EDGE, HEADER, LABEL, VERSION, WORD},
};

/// Where in a table everything is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) fold: bool,
    pub(super) groups: usize,
    /// The end of starts, and that of states. Sets come last.
    ends: [usize; 2],
}

/// The parts of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) starts: &'a [[u8; 4]],
    pub(super) states: &'a [Word],
    pub(super) sets: &'a [Word],
}

pub(super) type Word = [u8; WORD];

/// A state, without its edges.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    pub(super) edges: usize,
    pub(super) set: u16,
    pub(super) otherwise: usize,
}

impl State {
    #[inline]
    pub(super) fn read([edges, more_edges, set, more_set, otherwise @ ..]: Word) -> Self {
        Self {
            edges: usize::from(u16::from_le_bytes([edges, more_edges])),
            set: u16::from_le_bytes([set, more_set]),
            otherwise: u32::from_le_bytes(otherwise) as usize,
        }
    }
}

/// An edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) label: u64,
    pub(super) case: u64,
    pub(super) target: usize,
    /// 1 to 8.
    pub(super) length: u32,
}

impl Edge {
    #[inline]
    pub(super) fn read([label, case, [target @ .., length, _, _, _]]: [Word; EDGE]) -> Self {
        Self {
            label: u64::from_le_bytes(label),
            case: u64::from_le_bytes(case),
            target: u32::from_le_bytes(target) as usize,
            length: u32::from(length),
        }
    }
}

/// The state that begins at a word, and its edges.
#[inline]
pub(super) fn state_at(states: &[Word], number: usize) -> Option<(State, &[[Word; EDGE]])> {
    let (state, following) = states.get(number..)?.split_first()?;
    let state = State::read(*state);
    Some((state, following.get(..EDGE * state.edges)?.as_chunks().0))
}

impl Layout {
    /// # Errors
    /// [`PathError::Damaged`].
    pub(super) fn read(bytes: &[u8]) -> Result<Self, PathError> {
        let (header, _) = bytes.split_first_chunk::<HEADER>().ok_or(PathError::Damaged("it is too short"))?;
        let [version, fold, groups @ ..] = *header;
        let [low, high, counts @ ..] = groups;
        if version != VERSION {
            return Err(PathError::Damaged("it has another version"));
        }
        let groups = usize::from(u16::from_le_bytes([low, high]));
        if fold > 1 || groups > 256 {
            return Err(PathError::Damaged("its options are unknown"));
        }
        let sizes = [4, WORD, groups.div_ceil(64) * 8];
        let mut ends = [HEADER; 3];
        let mut end = HEADER;
        for ((place, count), size) in ends.iter_mut().zip(counts.as_chunks::<4>().0).zip(sizes) {
            let length = (u32::from_le_bytes(*count) as usize).checked_mul(size);
            end = length
                .and_then(|length| end.checked_add(length))
                .filter(|&end| end <= bytes.len())
                .ok_or(PathError::Damaged("it is shorter than it says"))?;
            *place = end;
        }
        let [starts, states, end] = ends;
        if end != bytes.len() {
            return Err(PathError::Damaged("it is longer than it says"));
        }
        let layout = Self { fold: fold == 1, groups, ends: [starts, states] };
        layout.check(layout.of(bytes))?;
        Ok(layout)
    }

    #[inline]
    pub(super) fn of<'a>(&self, bytes: &'a [u8]) -> Parts<'a> {
        let [starts, states] = self.ends;
        let part = |range: Range<usize>| bytes.get(range).unwrap_or_default();
        Parts {
            starts: part(HEADER..starts).as_chunks().0,
            states: part(starts..states).as_chunks().0,
            sets: part(states..bytes.len()).as_chunks().0,
        }
    }

    /// Whether every number in the table is of something that is there.
    fn check(&self, parts: Parts<'_>) -> Result<(), PathError> {
        let words = self.groups.div_ceil(64);
        let mut begins = vec![false; parts.states.len()];
        let mut next = 0;
        while let Some(place) = begins.get_mut(next) {
            *place = true;
            let Some((state, edges)) = state_at(parts.states, next) else {
                return Err(PathError::Damaged("a state has edges that are missing"));
            };
            if !edges.is_sorted_by(|[[a, ..], ..], [[b, ..], ..]| a < b) {
                return Err(PathError::Damaged("a state has edges that are out of order"));
            }
            if words > 0 && usize::from(state.set) >= parts.sets.len() / words {
                return Err(PathError::Damaged("a state has a set that is not there"));
            }
            next += 1 + EDGE * edges.len();
        }
        let is_state = |number: usize| begins.get(number) == Some(&true);
        if !parts.starts.iter().all(|start| is_state(u32::from_le_bytes(*start) as usize)) {
            return Err(PathError::Damaged("an automaton begins nowhere"));
        }
        let mut next = 0;
        while let Some((state, edges)) = state_at(parts.states, next) {
            let mut edges = edges.iter().map(|edge| Edge::read(*edge));
            if !is_state(state.otherwise) || !edges.clone().all(|edge| is_state(edge.target)) {
                return Err(PathError::Damaged("a state leads nowhere"));
            }
            if !edges.all(|edge| (1..=LABEL).contains(&(edge.length as usize))) {
                return Err(PathError::Damaged("an edge has no label"));
            }
            next += 1 + EDGE * state.edges;
        }
        let mut known = Groups::NONE;
        (0..).take(self.groups).for_each(|group| known.insert(group));
        for set in parts.sets.chunks_exact(words.max(1)) {
            let mut groups = Groups::of_words(set);
            groups.extend(&known);
            if groups != known {
                return Err(PathError::Damaged("a set has groups that are not there"));
            }
        }
        Ok(())
    }
}
