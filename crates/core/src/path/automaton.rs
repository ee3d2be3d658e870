//! The chains of all patterns as deterministic automata: one, if it is not too large, because a path then costs the
//! same however many patterns there are; or else a few, because that of patterns such as `*/a/*` and `*/b/*` is as large as
//! the product of theirs.

use std::collections::{BTreeMap, HashMap};

use super::{
    Groups,
    set::PathError,
    steps::{Class, Step},
};

/// The most automata that are made of one set of patterns.
const MOST_AUTOMATA: usize = 16;
/// The most steps in one set of patterns.
const MOST_STEPS: usize = 1 << 18;

/// The state in which nothing matches any more.
pub(super) const DEAD: usize = 0;

/// What follows from the bytes so far.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// The groups that match if the path ends here.
    pub(super) accepts: Groups,
    /// Where bytes lead that do not lead where the others do.
    pub(super) edges: BTreeMap<u8, usize>,
    /// Where the other bytes lead.
    pub(super) otherwise: usize,
}

/// States of all automata, and where each begins.
#[derive(Debug)]
pub(super) struct Automata {
    pub(super) starts: Vec<usize>,
    pub(super) states: Vec<State>,
}

/// The chains of all groups, end to end. A position in one is the step that it waits for; if the step before
/// repeats, it may still do so.
#[derive(Debug, Default)]
pub(super) struct Chains {
    steps: Vec<Step>,
    /// The group of each step.
    groups: Vec<u16>,
    starts: Vec<usize>,
}

impl Chains {
    pub(super) fn push(&mut self, chain: &[Step], group: u16) -> Result<(), PathError> {
        if self.steps.len() + chain.len() > MOST_STEPS {
            return Err(PathError::TooComplex);
        }
        self.starts.push(self.steps.len());
        self.steps.extend(chain);
        self.groups.resize(self.steps.len(), group);
        Ok(())
    }

    pub(super) fn automata(&self) -> Result<Automata, PathError> {
        let mut automata = Automata { starts: Vec::new(), states: vec![State::default()] };
        // Halves are taken from the end, so the automata are in the order of the chains.
        let mut remaining = vec![self.starts.as_slice()];
        while let Some(starts) = remaining.pop() {
            if automata.starts.len() + remaining.len() >= MOST_AUTOMATA {
                return Err(PathError::TooComplex);
            }
            if Construction::new(self, &mut automata).add(starts) {
                continue;
            }
            if starts.len() < 2 {
                return Err(PathError::TooComplex);
            }
            let (first, second) = starts.split_at(starts.len() / 2);
            remaining.extend([second, first]);
        }
        Ok(automata)
    }

    fn step(&self, position: usize) -> Step {
        self.steps.get(position).copied().unwrap_or(Step::End)
    }

    fn group(&self, position: usize) -> u16 {
        self.groups.get(position).copied().unwrap_or_default()
    }

    /// What the step before may still take.
    fn repeated(&self, position: usize) -> Option<Class> {
        match position.checked_sub(1).map(|before| self.step(before)) {
            Some(Step::Some(class) | Step::Many(class)) => Some(class),
            _ => None,
        }
    }

    /// Whether the position matches whatever follows.
    fn is_settled(&self, position: usize) -> bool {
        self.step(position) == Step::End && self.repeated(position) == Some(Class::Any)
    }

    /// Sorts positions, adds those that are reached without a byte, and removes those that add nothing.
    fn close(&self, positions: &mut Vec<usize>) {
        let mut index = 0;
        while let Some(&position) = positions.get(index) {
            if matches!(self.step(position), Step::Many(_)) {
                positions.push(position + 1);
            }
            index += 1;
        }
        let mut settled = Groups::NONE;
        positions.sort_unstable();
        positions.dedup();
        for &position in positions.iter().filter(|&&position| self.is_settled(position)) {
            settled.insert(self.group(position));
        }
        let mut kept = Groups::NONE;
        positions.retain(|&position| {
            let group = self.group(position);
            let first = self.is_settled(position) && !kept.contains(group);
            if first {
                kept.insert(group);
            }
            first || !settled.contains(group)
        });
    }
}

/// The subset construction of one automaton.
struct Construction<'a> {
    chains: &'a Chains,
    automata: &'a mut Automata,
    /// The sets of positions that are states, with the number of the state.
    known: HashMap<Vec<usize>, usize>,
    /// The sets whose states have no edges yet, in order.
    fresh: Vec<Vec<usize>>,
    /// How many positions are in all sets.
    positions: usize,
}

impl<'a> Construction<'a> {
    fn new(chains: &'a Chains, automata: &'a mut Automata) -> Self {
        Self { chains, automata, known: HashMap::new(), fresh: Vec::new(), positions: 0 }
    }

    /// Adds the automaton of these chains, or nothing and returns false if it is too large.
    fn add(mut self, starts: &[usize]) -> bool {
        let first = self.automata.states.len();
        let steps = self.chains.steps.len();
        self.known.insert(Vec::new(), DEAD);
        let start = self.state(starts.to_vec());
        let mut next = 0;
        while let Some(set) = self.fresh.get_mut(next).map(std::mem::take) {
            if self.fresh.len() > 2 * steps + 4_096 || self.positions > 16 * steps + (1 << 16) {
                self.automata.states.truncate(first);
                return false;
            }
            let state = self.follow(&set);
            if let Some(place) = self.automata.states.get_mut(first + next) {
                *place = state;
            }
            next += 1;
        }
        self.automata.starts.push(start);
        true
    }

    /// The state of these positions.
    fn state(&mut self, mut positions: Vec<usize>) -> usize {
        self.chains.close(&mut positions);
        if let Some(&state) = self.known.get(&positions) {
            return state;
        }
        let state = self.automata.states.len();
        self.positions += positions.len();
        self.automata.states.push(State::default());
        self.known.insert(positions.clone(), state);
        self.fresh.push(positions);
        state
    }

    /// Where each byte leads from these positions.
    fn follow(&mut self, set: &[usize]) -> State {
        let chains = self.chains;
        let mut accepts = Groups::NONE;
        let (mut slash, mut others) = (Vec::new(), Vec::new());
        let mut bytes: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        for &position in set {
            let step = chains.step(position);
            let again = chains.repeated(position).map(|class| (class, position));
            let onward = match step {
                Step::Some(class) => Some((class, position + 1)),
                _ => None,
            };
            for (class, target) in again.into_iter().chain(onward) {
                if class.has_slash() {
                    slash.push(target);
                }
                if class.has_others() {
                    others.push(target);
                }
            }
            match step {
                Step::Byte(byte) => bytes.entry(byte).or_default().push(position + 1),
                Step::End => accepts.insert(chains.group(position)),
                Step::Some(_) | Step::Many(_) => {}
            }
        }
        let otherwise = self.state(others.clone());
        let mut edges = BTreeMap::from([(b'/', self.state(slash))]);
        for (byte, mut targets) in bytes {
            targets.extend(&others);
            edges.insert(byte, self.state(targets));
        }
        edges.retain(|_, target| *target != otherwise);
        State { accepts, edges, otherwise }
    }
}
