//! The decision program: which rules a request is charged to.
//!
//! Instructions of 8 bytes: the operation, a zero, how many instructions to skip if its test fails (u16), its argument
//! (u32). A test that fails skips forward, so a program ends after as many steps as it has instructions, at most. Each
//! profile has a place where its program begins.

use super::layout::{ImageError, Section};
use super::terms::Terms;
use crate::path::{Groups, Method, Methods};

/// Bytes of an instruction.
pub(crate) const WIDTH: usize = 8;

/// At most as many instructions as this for profiles of their own (1 MiB): past it, the other profiles share the program
/// that tests everything.
pub(crate) const MOST_SPECIALISED: usize = 1 << 17;

/// At most as many instructions as this in all; to test everything takes half of them, at most.
const MOST_INSTRUCTIONS: usize = 1 << 20;

const END: u8 = 0;
const CHARGE: u8 = 1;
const METHOD: u8 = 2;
const PATH: u8 = 3;
const TIER: u8 = 4;
const LISTED: u8 = 5;

/// What an instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    /// Tests that the method is in this mask.
    Method(u32),
    /// Tests that the path is in this group.
    Path(u8),
    /// Tests that the tenant is of this tier.
    Tier(u16),
    /// Tests that the tenant is in this list.
    Listed(u8),
    /// Charges the request to this rule.
    Charge(u8),
    /// That was all.
    End,
}

/// One of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Instruction {
    pub(crate) operation: Operation,
    /// How many instructions to skip if the test fails.
    pub(crate) skip: u16,
}

impl Instruction {
    pub(crate) const fn plain(operation: Operation) -> Self {
        Self { operation, skip: 0 }
    }

    pub(crate) fn bytes(self) -> [u8; WIDTH] {
        let (operation, argument) = match self.operation {
            Operation::End => (END, 0),
            Operation::Charge(rule) => (CHARGE, u32::from(rule)),
            Operation::Method(mask) => (METHOD, mask),
            Operation::Path(group) => (PATH, u32::from(group)),
            Operation::Tier(tier) => (TIER, u32::from(tier)),
            Operation::Listed(list) => (LISTED, u32::from(list)),
        };
        let word = u64::from(operation) | u64::from(self.skip) << 16 | u64::from(argument) << 32;
        word.to_le_bytes()
    }

    /// `None` for what [`Instruction::bytes`] does not make.
    #[expect(clippy::cast_possible_truncation, reason = "parts of a word are what is wanted")]
    fn of(bytes: [u8; WIDTH]) -> Option<Self> {
        let word = u64::from_le_bytes(bytes);
        let argument = (word >> 32) as u32;
        let operation = match u8::try_from(word & 0xffff).ok()? {
            END if argument == 0 => Operation::End,
            CHARGE => Operation::Charge(u8::try_from(argument).ok()?),
            METHOD => Operation::Method(argument),
            PATH => Operation::Path(u8::try_from(argument).ok()?),
            TIER => Operation::Tier(u16::try_from(argument).ok()?),
            LISTED => Operation::Listed(u8::try_from(argument).ok()?),
            _ => return None,
        };
        Some(Self { operation, skip: (word >> 16) as u16 })
    }
}

/// The rules that a request is charged to, or any other set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct RuleSet([u64; 4]);

impl RuleSet {
    #[inline]
    pub(crate) const fn insert(&mut self, rule: u8) {
        self.0[(rule >> 6) as usize] |= 1 << (rule & 63);
    }

    pub(crate) const fn contains(&self, rule: u8) -> bool {
        self.0[(rule >> 6) as usize] >> (rule & 63) & 1 != 0
    }

    /// Calls with each, ascending.
    #[inline]
    pub(crate) fn each(&self, mut rule: impl FnMut(u16)) {
        for (word, base) in self.0.into_iter().zip((0..).step_by(64)) {
            let mut left = word;
            while left != 0 {
                rule(base + u16::try_from(left.trailing_zeros()).unwrap_or_default());
                left &= left - 1;
            }
        }
    }
}

/// What a program looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) method: Method,
    pub(crate) groups: &'a Groups,
    pub(crate) tier: Option<u16>,
    pub(crate) lists: u64,
}

/// A program where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program<'a>(pub(crate) &'a [u8]);

impl Program<'_> {
    pub(crate) fn get(&self, index: usize) -> Option<Instruction> {
        let start = index * WIDTH;
        Instruction::of(self.0.get(start..start + WIDTH)?.try_into().ok()?)
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len() / WIDTH
    }

    /// That every instruction can be followed, wherever a program begins.
    pub(crate) fn verify(&self, terms: &Terms, starts: &[u32]) -> Result<(), ImageError> {
        let fault = |what| Err(ImageError::Malformed { section: Section::Program, what });
        let length = self.len();
        if !self.0.len().is_multiple_of(WIDTH) || length > MOST_INSTRUCTIONS {
            return fault("it is of an impossible length");
        }
        for index in 0..length {
            let Some(Instruction { operation, skip }) = self.get(index) else {
                return fault("an instruction is unknown");
            };
            let known = match operation {
                Operation::Method(mask) => mask != 0,
                Operation::Path(group) => usize::from(group) < terms.groups.len(),
                Operation::Tier(tier) => usize::from(tier) < terms.tiers.len(),
                Operation::Listed(list) => usize::from(list) < terms.lists,
                Operation::Charge(rule) => usize::from(rule) < terms.rules.len() && skip == 0,
                Operation::End => skip == 0,
            };
            if !known {
                return fault("an instruction has an unknown argument");
            }
            if index + 1 + usize::from(skip) >= length && operation != Operation::End {
                return fault("an instruction leads out of the program");
            }
        }
        if starts.iter().any(|&start| start as usize >= length) {
            return fault("a profile has no program");
        }
        Ok(())
    }

    /// The rules that a request is charged to, by the program that begins at `start`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "parts of a word are what is wanted")]
    pub(crate) fn run(&self, start: u32, facts: &Facts<'_>) -> RuleSet {
        let mut charged = RuleSet::default();
        // Every instruction was looked at by `verify`, so here its parts are taken as they are.
        let instructions = self.0.as_chunks::<WIDTH>().0;
        let mut at = start as usize;
        while let Some(bytes) = instructions.get(at) {
            let word = u64::from_le_bytes(*bytes);
            let argument = (word >> 32) as u32;
            let passes = match word as u8 {
                CHARGE => {
                    charged.insert(argument as u8);
                    true
                }
                PATH => facts.groups.contains(argument as u16),
                METHOD => Methods(argument).contains(facts.method),
                TIER => facts.tier == Some(argument as u16),
                LISTED => facts.lists >> (argument & 63) & 1 != 0,
                _ => break,
            };
            at += if passes { 1 } else { 1 + usize::from((word >> 16) as u16) };
        }
        charged
    }
}
