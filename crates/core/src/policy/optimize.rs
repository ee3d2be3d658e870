//! Rules into programs.
//!
//! A rule that limits nothing is in no program. Level 0 makes every test of every other rule, in one program for all
//! profiles. Level 1 makes a program for each profile: what is known of the profile is not tested, and a rule that cannot
//! match it is left out. Level 2 also puts rules that begin with the same test under one such test, and has profiles with
//! the same rules share a program. Whatever the level, the same requests are charged to the same rules.

use std::collections::HashMap;

use super::OptimizationLevel;
use super::entries::Profile;
use super::program::{Instruction, MOST_SPECIALISED, Operation, RuleSet};
use super::terms::{Match, Rule, Terms};
use crate::limit::Grant;

/// What became of the rules.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    pub(crate) instructions: Vec<Instruction>,
    /// Where the program of each profile begins.
    pub(crate) starts: Vec<u32>,
    /// Tests whose outcome was known, over all profiles.
    pub(crate) folded: usize,
    /// Rules in no program, and why.
    pub(crate) removed: Vec<(u8, Removal)>,
}

/// Why a rule is in no program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It limits nothing.
    Unlimited,
    /// No tenant is of its tiers, or in its list, or both.
    NoTenant,
}

impl Removal {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Unlimited => "its quota is unlimited",
            Self::NoTenant => "no tenant that it is for is named by the policy",
        }
    }
}

/// A rule as far as it is not known whether it matches: what is left to test, then the charge.
#[derive(Debug, Clone)]
struct Pending {
    rule: u8,
    tests: Vec<Operation>,
}

/// The programs of these profiles.
pub(crate) fn programs(terms: &Terms, profiles: &[Profile]) -> Programs {
    let limitless = numbered(terms).filter(|(_, rule)| limits_nothing(rule));
    let mut programs = Programs {
        removed: limitless.map(|(index, _)| (index, Removal::Unlimited)).collect(),
        ..Programs::default()
    };
    if terms.level == OptimizationLevel::O0 {
        programs.instructions = everything(terms);
        programs.starts = vec![0; profiles.len()];
        return programs;
    }
    let shares = terms.level >= OptimizationLevel::O2;
    let mut known: HashMap<RuleSet, u32> = HashMap::new();
    let mut general = None;
    let mut used = RuleSet::default();
    for profile in profiles {
        let mut rules = RuleSet::default();
        for (index, rule) in numbered(terms) {
            if !limits_nothing(rule) && fits(&rule.matches, *profile) {
                rules.insert(index);
                used.insert(index);
            }
            programs.folded += known_tests(&rule.matches);
        }
        if let Some(&start) = known.get(&rules).filter(|_| shares) {
            programs.starts.push(start);
            continue;
        }
        if let Some(start) = general {
            programs.starts.push(start);
            continue;
        }
        let pending = numbered(terms).filter(|(index, _)| rules.contains(*index));
        let pending = pending.map(|(rule, of)| Pending { rule, tests: open_tests(&of.matches) }).collect();
        let mut program = Vec::new();
        if shares {
            nested(&mut program, pending);
        } else {
            listed(&mut program, pending);
        }
        program.push(Instruction::plain(Operation::End));
        let start = position(programs.instructions.len());
        if programs.instructions.len() + program.len() > MOST_SPECIALISED {
            program = everything(terms);
            general = Some(start);
        }
        programs.instructions.extend(program);
        known.insert(rules, start);
        programs.starts.push(start);
    }
    for (index, rule) in numbered(terms) {
        if !limits_nothing(rule) && !used.contains(index) {
            programs.removed.push((index, Removal::NoTenant));
        }
    }
    programs
}

/// There are at most 256 rules.
fn numbered(terms: &Terms) -> impl Iterator<Item = (u8, &Rule)> {
    (0..=u8::MAX).zip(&terms.rules)
}

/// There are fewer than two million instructions.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn limits_nothing(rule: &Rule) -> bool {
    rule.declared == Grant::Unlimited
}

/// Can a rule match requests of such tenants?
fn fits(matches: &Match, profile: Profile) -> bool {
    let tier = matches.tiers.is_empty()
        || profile.tier.is_some_and(|tier| matches.tiers.binary_search(&tier).is_ok());
    let list = matches.list.is_none_or(|list| profile.lists >> list & 1 != 0);
    tier && list
}

/// How many tests of a rule have a known outcome once the profile is known.
fn known_tests(matches: &Match) -> usize {
    usize::from(!matches.tiers.is_empty()) + usize::from(matches.list.is_some())
}

/// The tests whose outcome depends on the request alone.
fn open_tests(matches: &Match) -> Vec<Operation> {
    let path = matches.group.map(Operation::Path);
    let method = (matches.methods != 0).then_some(Operation::Method(matches.methods));
    path.into_iter().chain(method).collect()
}

/// Every test of every rule.
fn everything(terms: &Terms) -> Vec<Instruction> {
    let mut program = Vec::new();
    for (index, rule) in numbered(terms).filter(|(_, rule)| !limits_nothing(rule)) {
        let charge = Instruction::plain(Operation::Charge(index));
        let mut body = Vec::new();
        if rule.matches.tiers.is_empty() {
            body.push(charge);
        }
        // A tenant is of one tier at most, so it is charged at most once.
        for &tier in &rule.matches.tiers {
            body.extend([Instruction { operation: Operation::Tier(tier), skip: 1 }, charge]);
        }
        let tests = open_tests(&rule.matches).into_iter().chain(rule.matches.list.map(Operation::Listed));
        program.extend(tests.collect::<Vec<_>>().into_iter().rev().fold(body, under));
    }
    program.push(Instruction::plain(Operation::End));
    program
}

/// A test, and what is done if it passes.
fn under(mut body: Vec<Instruction>, operation: Operation) -> Vec<Instruction> {
    // At most 1,024 tiers of 256 rules, so this fits where tiers are tested; elsewhere there are a few to a rule.
    let skip = u16::try_from(body.len()).unwrap_or(u16::MAX);
    body.insert(0, Instruction { operation, skip });
    body
}

/// One rule after the other.
fn listed(program: &mut Vec<Instruction>, rules: Vec<Pending>) {
    for Pending { rule, tests } in rules {
        let charge = vec![Instruction::plain(Operation::Charge(rule))];
        program.extend(tests.into_iter().rev().fold(charge, under));
    }
}

/// Rules that begin with the same test are under one such test, in the order of the first of them.
fn nested(program: &mut Vec<Instruction>, rules: Vec<Pending>) {
    let mut groups: Vec<(Option<Operation>, Vec<Pending>)> = Vec::new();
    for mut pending in rules {
        let first = (!pending.tests.is_empty()).then(|| pending.tests.remove(0));
        match groups.iter_mut().find(|(test, _)| *test == first) {
            Some((_, group)) => group.push(pending),
            None => groups.push((first, vec![pending])),
        }
    }
    for (test, group) in groups {
        match test {
            None => listed(program, group),
            Some(test) => {
                let mut body = Vec::new();
                nested(&mut body, group);
                program.extend(under(body, test));
            }
        }
    }
}
