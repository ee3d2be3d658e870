//! The terms of a policy: everything that it says but for who its tenants are.

use super::OptimizationLevel;
use super::bytes::{Cursor, Writer};
use super::grants::Windows;
use super::layout::ImageError;
use crate::limit::Grant;

/// At most this many rules.
pub const MOST_RULES: usize = 256;
/// At most this many tiers.
pub const MOST_TIERS: usize = 1_024;
/// At most this many patterns, of all rules together.
pub const MOST_PATTERNS: usize = 1_024;
/// At most this many different lists of tenants that rules are for.
pub const MOST_LISTS: usize = 64;
/// At most this many parts of a key, see [`Rule::per`].
pub const MOST_PARTS: usize = 8;
/// At most this many different named parts of keys.
pub const MOST_KEY_NAMES: usize = 16;

/// What the key of a rule's bucket is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The tenant.
    Tenant,
    /// The client's address.
    Address,
    /// The user.
    User,
    /// What the function of this name makes of a request: an index into [`super::Image::key_names`].
    Named(u8),
}

/// Which requests a rule is for. An empty part is any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Match {
    /// A mask of methods; 0 is any.
    pub(crate) methods: u32,
    /// Which group of patterns.
    pub(crate) group: Option<u8>,
    /// Which tiers, ascending.
    pub(crate) tiers: Box<[u16]>,
    /// Which list of tenants.
    pub(crate) list: Option<u8>,
}

/// A limit on top of the tenants' quotas, for the requests that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What it is called.
    pub name: Box<str>,
    /// What has a bucket of its own: each combination of these parts, which ascend.
    pub per: Box<[Part]>,
    /// Its entry.
    pub entry: u32,
    /// Tokens that a request takes of it, whatever its own cost.
    pub cost: Option<u64>,
    /// It counts and reports, and never denies.
    pub shadow: bool,
    /// Its limit, as declared.
    pub declared: Grant,
    pub(crate) matches: Match,
}

impl Rule {
    /// Is it the same in effect?
    pub(crate) fn does_as(&self, other: &Self) -> bool {
        (&self.per, self.cost, self.shadow, self.declared, &self.matches)
            == (&other.per, other.cost, other.shadow, other.declared, &other.matches)
    }
}

/// A named quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// What it is called.
    pub name: Box<str>,
    /// What its tenants are granted, who are not granted something of their own.
    pub declared: Grant,
}

/// See the head of this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) level: OptimizationLevel,
    pub(crate) refuses_unknown: bool,
    pub(crate) default: Grant,
    /// Sorted by name.
    pub(crate) tiers: Box<[Tier]>,
    /// Sorted.
    pub(crate) key_names: Box<[Box<str>]>,
    /// As declared, without those that do as one before.
    pub(crate) rules: Box<[Rule]>,
    /// Names of rules that do as one before, and which that is.
    pub(crate) merged: Box<[(Box<str>, u16)]>,
    /// The sources of patterns, by group.
    pub(crate) groups: Box<[Box<[Box<str>]>]>,
    /// How many lists of tenants rules are for.
    pub(crate) lists: usize,
}

const SHADOW: u8 = 1;
const COST: u8 = 2;
const GROUP: u8 = 4;
const LIST: u8 = 8;

impl Terms {
    /// What all limits of the terms are.
    pub(crate) fn grants(&self) -> impl Iterator<Item = Grant> {
        let tiers = self.tiers.iter().map(|tier| tier.declared);
        let rules = self.rules.iter().map(|rule| rule.declared);
        std::iter::once(self.default).chain(tiers).chain(rules)
    }

    pub(crate) fn write(&self, windows: &Windows) -> Vec<u8> {
        let mut out = Writer::default();
        windows.write_grant(&mut out, self.default);
        out.count(self.tiers.len());
        for tier in &self.tiers {
            out.text(&tier.name);
            windows.write_grant(&mut out, tier.declared);
        }
        out.count(self.key_names.len());
        self.key_names.iter().for_each(|name| out.text(name));
        out.count(self.groups.len());
        for group in &self.groups {
            out.count(group.len());
            group.iter().for_each(|pattern| out.text(pattern));
        }
        out.count(self.lists);
        out.count(self.rules.len());
        for rule in &self.rules {
            write_rule(&mut out, rule, windows);
        }
        out.count(self.merged.len());
        for (name, into) in &self.merged {
            out.text(name);
            out.number(*into);
        }
        out.0
    }

    pub(crate) fn read(
        level: OptimizationLevel,
        refuses_unknown: bool,
        cursor: &mut Cursor<'_>,
        windows: &Windows,
    ) -> Result<Self, ImageError> {
        let default = windows.read_grant(cursor)?;
        let tiers = cursor.list(MOST_TIERS, |cursor| {
            Ok(Tier { name: cursor.text()?, declared: windows.read_grant(cursor)? })
        })?;
        let key_names = cursor.list(MOST_KEY_NAMES, Cursor::text)?;
        let groups = cursor
            .list(MOST_RULES, |cursor| Ok(cursor.list(MOST_PATTERNS, Cursor::text)?.into_boxed_slice()))?;
        let lists = cursor.below(MOST_LISTS + 1, "it has too many lists of tenants")?;
        let mut terms = Self {
            level,
            refuses_unknown,
            default,
            tiers: tiers.into(),
            key_names: key_names.into(),
            rules: Box::default(),
            merged: Box::default(),
            groups: groups.into(),
            lists,
        };
        let mut entry = 0;
        terms.rules = cursor
            .list(MOST_RULES, |cursor| {
                entry += 1;
                terms.read_rule(cursor, windows, entry)
            })?
            .into();
        let rules = terms.rules.len();
        terms.merged = cursor
            .list(MOST_RULES - rules, |cursor| {
                let name = cursor.text()?;
                let into = cursor.below(rules, "a rule was merged into one that is not there")?;
                Ok((name, u16::try_from(into).unwrap_or_default()))
            })?
            .into();
        cursor.end()?;
        Ok(terms)
    }

    fn read_rule(&self, cursor: &mut Cursor<'_>, windows: &Windows, entry: u32) -> Result<Rule, ImageError> {
        let name = cursor.text()?;
        let flags = cursor.byte()?;
        if flags & !(SHADOW | COST | GROUP | LIST) != 0 {
            return Err(cursor.fault("a rule has unknown flags"));
        }
        let declared = windows.read_grant(cursor)?;
        let cost = if flags & COST == 0 { None } else { Some(cursor.number()?) };
        let per = cursor.list(MOST_PARTS, |cursor| {
            Ok(match cursor.below(3 + self.key_names.len(), "a rule is per an unknown key")? {
                0 => Part::Tenant,
                1 => Part::Address,
                2 => Part::User,
                named => Part::Named(u8::try_from(named - 3).unwrap_or_default()),
            })
        })?;
        let methods =
            u32::try_from(cursor.number()?).map_err(|_| cursor.fault("a rule has unknown methods"))?;
        let mut index = |flag: u8, bound: usize, what| {
            let read = flags & flag != 0;
            read.then(|| Ok(u8::try_from(cursor.below(bound, what)?).unwrap_or_default())).transpose()
        };
        let group = index(GROUP, self.groups.len(), "a rule has an unknown group of patterns")?;
        let list = index(LIST, self.lists, "a rule is for an unknown list of tenants")?;
        let tiers = cursor.list(MOST_TIERS, |cursor| {
            let tier = cursor.below(self.tiers.len(), "a rule is for an unknown tier")?;
            Ok(u16::try_from(tier).unwrap_or_default())
        })?;
        let ascends = per.is_sorted_by(|a, b| a < b) && tiers.is_sorted_by(|a, b| a < b);
        if per.is_empty() || !ascends {
            return Err(cursor.fault("parts of a rule do not ascend"));
        }
        let matches = Match { methods, group, tiers: tiers.into(), list };
        Ok(Rule { name, per: per.into(), entry, cost, shadow: flags & SHADOW != 0, declared, matches })
    }
}

fn write_rule(out: &mut Writer, rule: &Rule, windows: &Windows) {
    let matches = &rule.matches;
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.text(&rule.name);
    out.byte(
        flag(rule.shadow, SHADOW)
            | flag(rule.cost.is_some(), COST)
            | flag(matches.group.is_some(), GROUP)
            | flag(matches.list.is_some(), LIST),
    );
    windows.write_grant(out, rule.declared);
    if let Some(cost) = rule.cost {
        out.number(cost);
    }
    out.count(rule.per.len());
    for part in &rule.per {
        out.number(match part {
            Part::Tenant => 0,
            Part::Address => 1,
            Part::User => 2,
            Part::Named(index) => 3 + index,
        });
    }
    out.number(matches.methods);
    for index in [matches.group, matches.list].into_iter().flatten() {
        out.number(index);
    }
    out.count(matches.tiers.len());
    matches.tiers.iter().for_each(|&tier| out.number(tier));
}
