//! Rules that can match, and that limit what they match.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{check_name, limits, lists};
use crate::limit::Grant;
use crate::path::{Method, Methods, Pattern};
use crate::policy::fault::{Faults, Place};
use crate::policy::name::NameHash;
use crate::policy::spec::{MatchSpec, ModeSpec, RuleSpec, Spec};
use crate::policy::terms::{
    MOST_KEY_NAMES, MOST_LISTS, MOST_PARTS, MOST_PATTERNS, MOST_RULES, MOST_TIERS, Match, Part, Rule,
};

/// At most this many patterns of one rule.
const MOST_PATTERNS_A_RULE: usize = 64;
/// At most this many methods of one rule: more than there are.
const MOST_METHODS: usize = 64;
/// At most this many tenants in a list that a rule is for.
const MOST_MATCHED: usize = 10_000;
/// No rule has this name: it is that of the tenants' quotas.
const RESERVED: &str = "default";

/// All rules of a policy.
#[derive(Default)]
pub(super) struct Rules {
    pub(super) kept: Vec<Rule>,
    pub(super) merged: Vec<(Box<str>, u16)>,
    pub(super) key_names: Vec<Box<str>>,
    /// The sources of patterns, sorted, by group.
    pub(super) groups: Vec<Box<[Box<str>]>>,
    pub(super) patterns: Vec<Vec<Pattern>>,
    /// Tenants, sorted, by list.
    pub(super) lists: Vec<Vec<NameHash>>,
}

/// What is needed to read one rule.
struct Context<'a> {
    tiers: BTreeMap<&'a str, u16>,
    decided: &'a lists::Lists<'a>,
    keys: BTreeMap<&'a str, u8>,
    groups: HashMap<BTreeSet<&'a str>, u8>,
    lists: HashMap<Vec<NameHash>, u8>,
}

impl Rules {
    pub(super) fn of<'a>(faults: &mut Faults, spec: &'a Spec, decided: &'a lists::Lists<'a>) -> Self {
        let root = Place::root("rules");
        if !lists::is_short(faults, &root, spec.rules.len(), MOST_RULES) {
            return Self::default();
        }
        let patterns: usize = spec.rules.iter().map(|rule| rule.matches.path.len()).sum();
        if patterns > MOST_PATTERNS {
            let accepted = format!("at most {MOST_PATTERNS} in all rules together");
            faults.add(&root, format_args!("{patterns} patterns"), accepted);
            return Self::default();
        }
        let mut rules = Self::default();
        let mut context = Context {
            tiers: spec.tiers.keys().map(String::as_str).zip(0..=u16::MAX).collect(),
            decided,
            keys: keys(faults, spec),
            groups: HashMap::new(),
            lists: HashMap::new(),
        };
        rules.key_names = context.keys.keys().map(|name| Box::from(*name)).collect();
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (index, rule) in spec.rules.iter().enumerate() {
            let place = root.index(index);
            let name = place.key("name");
            check_name(faults, &name, &rule.name);
            if rule.name == RESERVED {
                faults.add(
                    &name,
                    format_args!("{RESERVED:?}"),
                    "another name: this one is that of the tenants' quotas",
                );
            }
            if let Some(before) = names.insert(&rule.name, index) {
                faults.add(
                    &name,
                    format_args!("{:?}", rule.name),
                    format!("a name of its own: rules[{before}] has this one"),
                );
            }
            if let Some(rule) = rules.rule(faults, &place, rule, &mut context) {
                rules.keep(rule);
            }
        }
        if rules.lists.len() > MOST_LISTS {
            let accepted = format!("at most {MOST_LISTS} different lists in match.tenant of all rules");
            faults.add(&root, format_args!("{} lists of tenants", rules.lists.len()), accepted);
            rules.lists.clear();
        }
        rules
    }

    /// Keeps a rule, unless it does as one before.
    fn keep(&mut self, mut rule: Rule) {
        let same = self.kept.iter().position(|before| before.does_as(&rule));
        if let Some(same) = same.and_then(|same| u16::try_from(same).ok()) {
            self.merged.push((rule.name, same));
        } else {
            rule.entry = u32::try_from(self.kept.len() + 1).unwrap_or(u32::MAX);
            self.kept.push(rule);
        }
    }

    fn rule<'a>(
        &mut self,
        faults: &mut Faults,
        place: &Place<'_>,
        rule: &'a RuleSpec,
        context: &mut Context<'a>,
    ) -> Option<Rule> {
        let declared = limits::rule(faults, place, rule);
        if let Some(cost) = rule.cost {
            check_cost(faults, &place.key("cost"), cost, declared);
        }
        let matches = self.matches(faults, &place.key("match"), &rule.matches, context);
        let per = parts(faults, &place.key("per"), &rule.per, &context.keys);
        Some(Rule {
            name: rule.name.as_str().into(),
            per: per.into_iter().collect(),
            entry: 0,
            cost: rule.cost,
            shadow: rule.mode == ModeSpec::Shadow,
            declared: declared?,
            matches,
        })
    }

    fn matches<'a>(
        &mut self,
        faults: &mut Faults,
        place: &Place<'_>,
        spec: &'a MatchSpec,
        context: &mut Context<'a>,
    ) -> Match {
        Match {
            methods: methods(faults, &place.key("method"), &spec.method),
            group: self.group(faults, &place.key("path"), &spec.path, &mut context.groups),
            tiers: tiers(faults, &place.key("tier"), &spec.tier, &context.tiers).into_iter().collect(),
            list: self.list(faults, &place.key("tenant"), &spec.tenant, context),
        }
    }

    /// The group of these patterns: rules with the same share one.
    fn group<'a>(
        &mut self,
        faults: &mut Faults,
        place: &Place<'_>,
        sources: &'a [String],
        groups: &mut HashMap<BTreeSet<&'a str>, u8>,
    ) -> Option<u8> {
        if sources.is_empty() || !lists::is_short(faults, place, sources.len(), MOST_PATTERNS_A_RULE) {
            return None;
        }
        for (index, source) in sources.iter().enumerate() {
            if let Err(error) = Pattern::parse(source) {
                faults.add(
                    &place.index(index),
                    format_args!("{source:?}"),
                    format!("a path pattern: {error}"),
                );
            }
        }
        let set: BTreeSet<&str> = sources.iter().map(String::as_str).collect();
        if let Some(&group) = groups.get(&set) {
            return Some(group);
        }
        let group = u8::try_from(self.groups.len()).ok()?;
        self.groups.push(set.iter().map(|source| Box::from(*source)).collect());
        self.patterns.push(set.iter().filter_map(|source| Pattern::parse(source).ok()).collect());
        groups.insert(set, group);
        Some(group)
    }

    /// The list of these tenants: rules with the same share one.
    fn list(
        &mut self,
        faults: &mut Faults,
        place: &Place<'_>,
        names: &[String],
        context: &mut Context<'_>,
    ) -> Option<u8> {
        if names.is_empty() || !lists::is_short(faults, place, names.len(), MOST_MATCHED) {
            return None;
        }
        for (index, name) in names.iter().enumerate() {
            lists::check_tenant(faults, &place.index(index), name);
        }
        if names.iter().all(|name| context.decided.decide(name)) {
            let accepted = "a tenant that is on neither the allow nor the deny list: rules are not for those";
            faults.add(place, format_args!("{names:?}"), accepted);
        }
        let set: BTreeSet<NameHash> = names.iter().map(|name| NameHash::of(name.as_bytes())).collect();
        let set: Vec<NameHash> = set.into_iter().collect();
        if let Some(&list) = context.lists.get(&set) {
            return Some(list);
        }
        let list = u8::try_from(self.lists.len()).ok()?;
        self.lists.push(set.clone());
        context.lists.insert(set, list);
        Some(list)
    }
}

/// Reports tokens that a request takes of a rule which never holds as many.
fn check_cost(faults: &mut Faults, place: &Place<'_>, cost: u64, declared: Option<Grant>) {
    let capacity = match declared {
        Some(Grant::Tokens { quota, burst, .. }) if quota > 0 => quota.saturating_add(burst),
        Some(Grant::Concurrency { most }) => most,
        _ => u64::MAX,
    };
    if limits::is_whole(faults, place, cost, 1) && cost > capacity {
        faults.add(
            place,
            cost,
            format!("at most {capacity}, which is all that the rule ever grants at once"),
        );
    }
}

/// The names in `per` that are no words, sorted.
fn keys<'a>(faults: &mut Faults, spec: &'a Spec) -> BTreeMap<&'a str, u8> {
    let parts = spec.rules.iter().flat_map(|rule| rule.per.iter().map(String::as_str));
    let names: BTreeSet<&str> = parts.filter(|part| word(part).is_none()).collect();
    if names.len() > MOST_KEY_NAMES {
        let given = format!("{} named keys", names.len());
        faults.add(&Place::root("rules"), given, format!("at most {MOST_KEY_NAMES} in `per` of all rules"));
    }
    names.into_iter().zip(0..=u8::MAX).collect()
}

/// What a part of a key is that needs no function of its own.
fn word(part: &str) -> Option<Part> {
    match part {
        "tenant" => Some(Part::Tenant),
        "ip" => Some(Part::Address),
        "user" => Some(Part::User),
        _ => None,
    }
}

fn parts(
    faults: &mut Faults,
    place: &Place<'_>,
    names: &[String],
    keys: &BTreeMap<&str, u8>,
) -> BTreeSet<Part> {
    let mut parts = BTreeSet::new();
    if names.is_empty() {
        faults.add(place, "an empty list", format!("1 to {MOST_PARTS} parts, such as \"tenant\" or \"ip\""));
    }
    if lists::is_short(faults, place, names.len(), MOST_PARTS) {
        for (index, name) in names.iter().enumerate() {
            let place = place.index(index);
            let key = || keys.get(name.as_str()).map(|key| Part::Named(*key));
            if word(name).is_none() {
                check_name(faults, &place, name);
            }
            if word(name).or_else(key).is_some_and(|part| !parts.insert(part)) {
                faults.add(&place, format_args!("{name:?} again"), "each part once");
            }
        }
    }
    parts
}

fn methods(faults: &mut Faults, place: &Place<'_>, names: &[String]) -> u32 {
    let mut methods = Methods::default();
    if lists::is_short(faults, place, names.len(), MOST_METHODS) {
        for (index, name) in names.iter().enumerate() {
            if let Some(method) = Method::named(name) {
                methods = methods.with(method);
            } else {
                let known = Method::names().collect::<Vec<_>>().join(", ");
                faults.add(&place.index(index), format_args!("{name:?}"), format!("one of {known}"));
            }
        }
    }
    methods.0
}

fn tiers(
    faults: &mut Faults,
    place: &Place<'_>,
    names: &[String],
    known: &BTreeMap<&str, u16>,
) -> BTreeSet<u16> {
    if !lists::is_short(faults, place, names.len(), MOST_TIERS) {
        return BTreeSet::new();
    }
    let mut tiers = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        match known.get(name.as_str()) {
            Some(tier) => drop(tiers.insert(*tier)),
            None => faults.add(&place.index(index), format_args!("{name:?}"), accepted_tiers(known)),
        }
    }
    tiers
}

fn accepted_tiers(known: &BTreeMap<&str, u16>) -> String {
    /// More than this are not listed.
    const LISTED: usize = 10;
    if known.is_empty() {
        return "no tier: the policy has none".to_owned();
    }
    let listed: Vec<&str> = known.keys().copied().take(LISTED).collect();
    let more = if known.len() > LISTED { " and others" } else { "" };
    format!("a tier of the policy: {}{more}", listed.join(", "))
}
