//! What a policy says, as one would write it down: limits in a list, and what was charged of each in a map.

#![allow(dead_code, clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::collections::BTreeMap;

pub(crate) mod declaration;
pub(crate) mod meter;

use meter::{Counts, Spent};

/// A limit on top of the tenants' quotas.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) counts: Counts,
    pub(crate) per: Vec<&'static str>,
    pub(crate) methods: Vec<&'static str>,
    pub(crate) path: Option<&'static str>,
    pub(crate) tiers: Vec<&'static str>,
    pub(crate) tenants: Vec<&'static str>,
    pub(crate) cost: Option<u64>,
    pub(crate) shadow: bool,
}

/// Everything that is declared.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    pub(crate) default: Counts,
    pub(crate) refuses_unknown: bool,
    /// By name.
    pub(crate) tiers: BTreeMap<&'static str, Counts>,
    /// Tenants with a row: the tier, and what is granted in place of the tier's.
    pub(crate) rows: BTreeMap<&'static str, (Option<&'static str>, Option<Counts>)>,
    /// One that does as another before it is not among them.
    pub(crate) rules: Vec<Rule>,
}

/// A request, as a policy looks at it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// `false`: the name is a client's address.
    pub(crate) tenant: bool,
    pub(crate) name: &'a str,
    pub(crate) method: &'static str,
    pub(crate) path: Option<&'static str>,
    pub(crate) address: Option<&'static str>,
    pub(crate) user: Option<&'static str>,
    /// A rule that is charged whether it matches or not.
    pub(crate) rule: Option<usize>,
    pub(crate) rule_alone: bool,
}

/// One limit that applied.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Applied {
    pub(crate) rule: Option<usize>,
    pub(crate) shadow: bool,
    pub(crate) allowed: bool,
    pub(crate) remaining: u64,
    /// In nanoseconds; `None` for never.
    pub(crate) retry: Option<u64>,
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// The policy does not name the tenant, and refuses those.
    Unknown,
    Limits {
        applied: Vec<Applied>,
        decisive: Option<usize>,
    },
}

impl Verdict {
    pub(crate) fn allowed(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Limits { applied, .. } => applied.iter().all(|each| each.allowed || each.shadow),
        }
    }
}

/// The limit, and for whom it is counted.
pub(crate) type Account = (Option<usize>, Vec<Option<String>>);

/// What was charged, to be given back.
#[derive(Debug, Clone)]
pub(crate) struct Charged {
    account: Account,
    counts: Counts,
    cost: u64,
    at: u64,
}

/// A policy, and what was charged.
#[derive(Debug)]
pub(crate) struct Model {
    declared: Declared,
    spent: BTreeMap<Account, Spent>,
}

impl Model {
    pub(crate) fn new(declared: Declared) -> Self {
        Self { declared, spent: BTreeMap::new() }
    }

    /// Admits a request and charges every limit that applies, or refuses it and charges none.
    pub(crate) fn decide(&mut self, asked: &Asked<'_>, cost: u64, now: u64) -> (Verdict, Vec<Charged>) {
        let verdict = self.examine(asked, cost, now);
        let mut charged = Vec::new();
        let Verdict::Limits { mut applied, .. } = verdict.clone() else { return (verdict, charged) };
        if !verdict.allowed() {
            return (verdict, charged);
        }
        let limits = self.limits(asked, cost).unwrap();
        for (limit, applied) in limits.into_iter().zip(&mut applied).filter(|(_, applied)| applied.allowed) {
            let Limit { account, counts, cost, .. } = limit;
            let spent = self.spent.entry(account.clone()).or_default();
            counts.charge(spent, cost, now);
            applied.remaining = counts.remaining(spent, now);
            charged.push(Charged { account, counts, cost, at: now });
        }
        (concluded(applied), charged)
    }

    /// What that would answer.
    pub(crate) fn examine(&self, asked: &Asked<'_>, cost: u64, now: u64) -> Verdict {
        let Some(limits) = self.limits(asked, cost) else { return Verdict::Unknown };
        let fresh = Spent::default();
        let examined = limits.iter().map(|limit| {
            let spent = self.spent.get(&limit.account).unwrap_or(&fresh);
            let wait = limit.counts.wait(spent, limit.cost, now);
            Applied {
                rule: limit.account.0,
                shadow: limit.shadow,
                allowed: wait == Some(0),
                remaining: limit.counts.remaining(spent, now),
                retry: wait,
            }
        });
        concluded(examined.collect())
    }

    pub(crate) fn give_back(&mut self, charged: &Charged, now: u64) {
        let spent = self.spent.entry(charged.account.clone()).or_default();
        charged.counts.give_back(spent, charged.cost, charged.at, now);
    }

    /// The limits that apply; `None` if the tenant is refused.
    fn limits(&self, asked: &Asked<'_>, cost: u64) -> Option<Vec<Limit>> {
        let declared = &self.declared;
        let row = declared.rows.get(asked.name).filter(|_| asked.tenant);
        if asked.tenant && row.is_none() && declared.refuses_unknown {
            return None;
        }
        let subject = format!("{} {}", asked.tenant, asked.name);
        let tier = row.and_then(|(tier, _)| *tier);
        let counts = row.and_then(|(_, own)| own.clone());
        let counts = counts.or_else(|| Some(declared.tiers[tier?].clone()));
        let quota = Limit {
            account: (None, vec![Some(subject.clone())]),
            counts: counts.unwrap_or_else(|| declared.default.clone()),
            cost,
            shadow: false,
        };
        let mut limits = if asked.rule_alone { Vec::new() } else { vec![quota] };
        let mut asked_for = asked.rule;
        for (index, rule) in declared.rules.iter().enumerate() {
            if !asked.rule_alone && rule.matches(asked, tier) {
                asked_for = asked_for.filter(|&asked| asked != index);
                limits.push(rule.limit(index, asked, &subject, cost));
            }
        }
        limits.extend(asked_for.map(|index| declared.rules[index].limit(index, asked, &subject, cost)));
        limits.retain(|limit| limit.counts != Counts::Unlimited);
        Some(limits)
    }
}

/// A limit that applies to a request.
struct Limit {
    account: Account,
    counts: Counts,
    cost: u64,
    shadow: bool,
}

impl Rule {
    fn limit(&self, index: usize, asked: &Asked<'_>, subject: &str, cost: u64) -> Limit {
        let values = self.per.iter().map(|&part| match part {
            "tenant" => Some(subject.to_owned()),
            "ip" => asked.address.map(str::to_owned),
            _ => asked.user.map(str::to_owned),
        });
        let cost = match self.counts {
            Counts::Held(_) => 1,
            _ => self.cost.unwrap_or(cost),
        };
        Limit {
            account: (Some(index), values.collect()),
            counts: self.counts.clone(),
            cost,
            shadow: self.shadow,
        }
    }

    fn matches(&self, asked: &Asked<'_>, tier: Option<&str>) -> bool {
        let method = if asked.method == "HEAD" { "GET" } else { asked.method };
        (self.methods.is_empty() || self.methods.contains(&method))
            && self.path.is_none_or(|pattern| asked.path.is_some_and(|path| path_matches(pattern, path)))
            && (self.tiers.is_empty() || tier.is_some_and(|tier| self.tiers.contains(&tier)))
            && (self.tenants.is_empty() || asked.tenant && self.tenants.contains(&asked.name))
    }
}

/// Segment by segment. How paths are spelled is told elsewhere.
fn path_matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(path).all(|(wanted, given)| wanted.starts_with(':') || *wanted == given)
}

/// Which limit decides: of those that deny the one that does so longest, or else the one with the fewest tokens left; of
/// equals the first.
fn concluded(applied: Vec<Applied>) -> Verdict {
    let mut decisive: Option<usize> = None;
    let denied = applied.iter().any(|each| !each.allowed && !each.shadow);
    for (index, each) in applied.iter().enumerate() {
        let before = decisive.map(|index| &applied[index]);
        let never = |each: &Applied| each.retry.unwrap_or(u64::MAX);
        let decides = if denied {
            !each.allowed && before.is_none_or(|before| never(each) > never(before))
        } else {
            before.is_none_or(|before| each.remaining < before.remaining)
        };
        if decides && !each.shadow {
            decisive = Some(index);
        }
    }
    Verdict::Limits { applied, decisive }
}
