//! The automata as bytes, which are evaluated where they lie.
//!
//! Numbers are little-endian. First come 16 bytes:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | the version of the layout |
//! | 1 | 1 if paths are compared without case |
//! | 2..4 | the number of groups |
//! | 4..8 | the number of automata |
//! | 8..12 | the number of words in which the states are |
//! | 12..16 | the number of sets of groups |
//!
//! Then the word that each automaton begins at (4 bytes), the states, and the sets (8 bytes for each 64 groups; set 0 is
//! empty). A state is a word of 8 bytes: how many edges it has (2), the set of groups that match if the path ends here (2), and
//! the state where a byte leads with which no edge begins (4). Its edges follow, by their first bytes, in three words:
//!
//! 1. the bytes that a path has to have there: up to 8, and zeros;
//! 2. the bits in which the path may differ, which are those of the case of letters;
//! 3. the state where it leads (4), and how many bytes it has (1).
//!
//! Word 0 is the state from which nothing matches. An edge whose first byte is there, but not the others, leads there.

use std::collections::HashMap;

use super::{
    Groups, PathError, PathOptions,
    automaton::{Automata, DEAD, State},
};

pub(super) const VERSION: u8 = 1;
pub(super) const HEADER: usize = 16;
pub(super) const WORD: usize = 8;
/// The words of an edge.
pub(super) const EDGE: usize = 3;
/// The longest label of an edge, in bytes: what is compared in one word.
pub(super) const LABEL: usize = WORD;
/// The most bytes of a table.
const LARGEST: usize = 1 << 20;

/// Writes the automata.
pub(super) fn write(automata: &Automata, groups: usize, options: PathOptions) -> Result<Vec<u8>, PathError> {
    let mut writer = Writer {
        automata,
        set_words: groups.div_ceil(64),
        numbers: HashMap::new(),
        order: Vec::new(),
        words: 0,
        fold: !options.case_sensitive,
        sets: HashMap::new(),
        set_bytes: Vec::new(),
    };
    writer.set(&Groups::NONE)?;
    writer.number(DEAD)?;
    let mut starts = Vec::new();
    for &start in &automata.starts {
        starts.extend(writer.number(start)?.to_le_bytes());
    }
    let states = writer.all_states()?;

    let mut bytes = vec![VERSION, u8::from(!options.case_sensitive)];
    bytes.extend(narrow::<u16>(groups)?.to_le_bytes());
    for count in [automata.starts.len(), states.len() / WORD, writer.sets.len()] {
        bytes.extend(narrow::<u32>(count)?.to_le_bytes());
    }
    for section in [starts, states, writer.set_bytes] {
        bytes.extend(section);
    }
    if bytes.len() > LARGEST { Err(PathError::TooComplex) } else { Ok(bytes) }
}

fn narrow<T: TryFrom<usize>>(number: usize) -> Result<T, PathError> {
    T::try_from(number).map_err(|_| PathError::TooComplex)
}

struct Writer<'a> {
    automata: &'a Automata,
    /// Words of 64 groups in a set.
    set_words: usize,
    fold: bool,
    /// The word of each state that is written; states within labels are not.
    numbers: HashMap<usize, u32>,
    order: Vec<&'a State>,
    words: usize,
    sets: HashMap<Groups, u16>,
    set_bytes: Vec<u8>,
}

impl Writer<'_> {
    fn number(&mut self, state: usize) -> Result<u32, PathError> {
        if let Some(&number) = self.numbers.get(&state) {
            return Ok(number);
        }
        let number = narrow(self.words)?;
        let known = self.automata.states.get(state).ok_or(PathError::TooComplex)?;
        self.numbers.insert(state, number);
        self.order.push(known);
        self.words += 1 + EDGE * known.edges.len();
        Ok(number)
    }

    fn all_states(&mut self) -> Result<Vec<u8>, PathError> {
        let mut states = Vec::new();
        let mut next = 0;
        while let Some(State { accepts, edges, otherwise }) = self.order.get(next).copied() {
            next += 1;
            states.extend(narrow::<u16>(edges.len())?.to_le_bytes());
            states.extend(self.set(accepts)?.to_le_bytes());
            states.extend(self.number(*otherwise)?.to_le_bytes());
            for (&byte, &target) in edges {
                let (label, target) = self.label(byte, target);
                let case = |byte: &u8| if self.fold && byte.is_ascii_alphabetic() { 0x20 } else { 0 };
                states.extend(label.iter().copied().chain([0; LABEL]).take(LABEL));
                states.extend(label.iter().map(case).chain([0; LABEL]).take(LABEL));
                states.extend(self.number(target)?.to_le_bytes());
                states.extend([narrow(label.len())?, 0, 0, 0]);
            }
        }
        Ok(states)
    }

    /// The bytes from a byte on that lead nowhere else but to the next, and where the last leads.
    fn label(&self, byte: u8, mut target: usize) -> (Vec<u8>, usize) {
        let mut label = vec![byte];
        while label.len() < LABEL
            && let Some((next, after)) = self.only_edge(target)
        {
            label.push(next);
            target = after;
        }
        (label, target)
    }

    /// The way on from a state that has just one, and where no path may end.
    fn only_edge(&self, state: usize) -> Option<(u8, usize)> {
        let State { accepts, edges, otherwise } = self.automata.states.get(state)?;
        let mut edges = edges.iter();
        match (edges.next(), edges.next()) {
            (Some((&byte, &target)), None) if *otherwise == DEAD && accepts.is_empty() => {
                Some((byte, target))
            }
            _ => None,
        }
    }

    fn set(&mut self, groups: &Groups) -> Result<u16, PathError> {
        if let Some(&number) = self.sets.get(groups) {
            return Ok(number);
        }
        let number = narrow(self.sets.len())?;
        self.set_bytes.extend(groups.0.iter().take(self.set_words).flat_map(|word| word.to_le_bytes()));
        self.sets.insert(*groups, number);
        Ok(number)
    }
}
