//! From a policy as it is declared to one that cannot be wrong, or to everything that is wrong with it.

mod limits;
mod lists;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::OptimizationLevel;
use super::entries::{Membership, Verdict};
use super::fault::{Fault, Faults, Place};
use super::name::NameHash;
use super::spec::{Spec, UnknownTenantSpec};
use super::terms::{MOST_TIERS, Terms, Tier};
use crate::limit::Grant;
use crate::path::{PathOptions, PatternSet};

/// The longest name of a rule, a tier or a key, in characters.
const LONGEST_NAME: usize = 64;

/// A policy without fault, but for its tenants, which are to follow.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) terms: Arc<Terms>,
    /// The automaton of all patterns.
    pub(crate) paths: Vec<u8>,
    /// Tenants that lists name, sorted.
    pub(crate) members: Vec<(NameHash, Membership)>,
    pub(crate) allow: Vec<IpNet>,
    pub(crate) deny: Vec<IpNet>,
}

impl Checked {
    /// # Errors
    /// Everything that is wrong, up to a thousand faults.
    pub(crate) fn of(spec: &Spec, level: OptimizationLevel) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let default = limits::default(&mut faults, &spec.default);
        let tiers = tiers(&mut faults, spec);
        let lists = lists::Lists::of(&mut faults, spec);
        let rules = rules::Rules::of(&mut faults, spec, &lists);
        let options = PathOptions { case_sensitive: spec.case_sensitive, strict: spec.strict_paths };
        let mut paths = Vec::new();
        if faults.is_empty() && !rules.patterns.is_empty() {
            match PatternSet::compile(&rules.patterns, options) {
                Ok(bytes) => paths = bytes,
                Err(error) => {
                    let given = format!("patterns in {} groups", rules.patterns.len());
                    faults.add(&Place::root("rules"), given, format!("patterns that compile: {error}"));
                }
            }
        }
        let members = members(&lists, &rules);
        let terms = Terms {
            level,
            refuses_unknown: spec.unknown_tenant == UnknownTenantSpec::Reject,
            default: default.unwrap_or(Grant::Unlimited),
            tiers: tiers.into(),
            key_names: rules.key_names.into(),
            rules: rules.kept.into(),
            merged: rules.merged.into(),
            groups: rules.groups.into(),
            lists: rules.lists.len(),
        };
        let checked = Self { terms: Arc::new(terms), paths, members, allow: lists.allow, deny: lists.deny };
        faults.or(checked)
    }
}

/// Everything that is wrong with a policy, up to a thousand faults, if anything is.
#[must_use]
pub fn faults(spec: &Spec) -> Vec<Fault> {
    Checked::of(spec, OptimizationLevel::O0).err().unwrap_or_default()
}

fn tiers(faults: &mut Faults, spec: &Spec) -> Vec<Tier> {
    let root = Place::root("tiers");
    if spec.tiers.len() > MOST_TIERS {
        faults.add(&root, format_args!("{} tiers", spec.tiers.len()), format!("at most {MOST_TIERS} tiers"));
    }
    let mut tiers = Vec::with_capacity(spec.tiers.len());
    for (name, limit) in &spec.tiers {
        let place = root.key(name);
        check_name(faults, &place, name);
        let declared = limits::tier(faults, &place, limit).unwrap_or(Grant::Unlimited);
        tiers.push(Tier { name: name.as_str().into(), declared });
    }
    tiers
}

/// What lists say of each tenant that one names.
fn members(lists: &lists::Lists<'_>, rules: &rules::Rules) -> Vec<(NameHash, Membership)> {
    let mut members: BTreeMap<NameHash, Membership> = BTreeMap::new();
    for (list, verdict) in [(&lists.allowed, Verdict::Allow), (&lists.denied, Verdict::Deny)] {
        for name in list.keys() {
            members.insert(NameHash::of(name.as_bytes()), Membership { verdict, lists: 0 });
        }
    }
    for (list, index) in rules.lists.iter().zip(0_u32..) {
        for name in list {
            let member = members.entry(*name).or_insert(Membership::NONE);
            member.lists |= 1 << (index & 63);
        }
    }
    members.into_iter().collect()
}

/// Reports a name that would not be safe in headers and metrics.
fn check_name(faults: &mut Faults, place: &Place<'_>, name: &str) {
    let fits = (1..=LONGEST_NAME).contains(&name.len());
    let accepted = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if !fits || !name.bytes().all(accepted) {
        faults.add(
            place,
            format_args!("{name:?}"),
            format!("a name of 1 to {LONGEST_NAME} letters, digits, and the characters _ . : -"),
        );
    }
}
