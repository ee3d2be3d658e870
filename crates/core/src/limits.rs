//! Which limits apply to a request: its subject's own quota, and the rules that match.

use crate::path::Groups;
use crate::placing::{Owner, Whose};
use crate::policy::keyed::{KeyedRule, Policy, Standing};
use crate::policy::{Entry, Part, Rule, Verdict};
use crate::ruling::{Applied, Charged, Ruling};
use crate::{Decision, Key, KeyHasher, Outcome, Request, Scope, Subject};

/// A limit that applies to a request.
#[derive(Clone, Copy)]
pub(crate) struct Limited<'a> {
    /// Of its bucket.
    pub(crate) key: Key,
    /// The rule; `None` for the subject's own quota.
    pub(crate) rule: Option<Ruled<'a>>,
}

/// A rule that applies.
#[derive(Clone, Copy)]
pub(crate) struct Ruled<'a> {
    pub(crate) index: u16,
    pub(crate) rule: &'a Rule,
    pub(crate) keyed: &'a KeyedRule,
}

impl Limited<'_> {
    /// What a request of that cost takes of it.
    #[inline]
    pub(crate) fn cost(&self, cost: u64) -> u64 {
        match self.rule {
            Some(Ruled { keyed, .. }) if keyed.slots => 1,
            Some(Ruled { rule, .. }) => rule.cost.unwrap_or(cost),
            None => cost,
        }
    }

    #[inline]
    pub(crate) fn is_shadow(&self) -> bool {
        self.rule.is_some_and(|ruled| ruled.rule.shadow)
    }

    /// What came of it, at a cost, in the bucket of a key: its own, or the one that keys past the cap share.
    #[inline]
    pub(crate) fn applied(&self, decision: Decision, key: Key, cost: u64) -> Applied {
        let charge = Charged {
            key,
            cost,
            slot: self.rule.is_some_and(|ruled| ruled.keyed.slots),
            own_cost: self.rule.is_some_and(|ruled| ruled.rule.cost.is_some()),
            origin: self.rule.map(|ruled| ruled.keyed.origin()),
        };
        Applied { rule: self.rule.map(|ruled| ruled.index), shadow: self.is_shadow(), decision, charge }
    }
}

/// A request's subject, under a policy.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) subject: Subject,
    pub(crate) name: &'a [u8],
    pub(crate) key: Key,
    /// Does the policy name it?
    pub(crate) named: bool,
}

impl<'a> Party<'a> {
    pub(crate) fn of(subject: Subject, name: &'a [u8], hasher: &KeyHasher, policy: &Policy) -> Self {
        let named = subject == Subject::Tenant && matches!(policy.standing(name), Standing::Named { .. });
        Self { subject, name, key: hasher.key(subject, name), named }
    }

    /// Whose the bucket of its own quota is, or that of a rule.
    pub(crate) fn whose(&self, rule: Option<(&Rule, Key)>) -> Whose<'a> {
        match (rule, self.subject) {
            (Some((rule, under)), _) => Whose::Rule { entry: rule.entry, owner: self.owner(rule, under) },
            (None, Subject::Tenant) => Whose::Tenant(self.name),
            (None, Subject::Anonymous) => Whose::Anonymous,
        }
    }

    /// Whose share a rule's bucket counts against.
    fn owner(&self, rule: &Rule, under: Key) -> Owner {
        match &*rule.per {
            [] => Owner::Nobody,
            [Part::Tenant] if self.named => Owner::Nobody,
            parts if !parts.contains(&Part::Tenant) => Owner::Account(under),
            _ if self.named => Owner::Account(self.key),
            _ => Owner::Pool(self.subject),
        }
    }
}

/// The entry that the request's subject has; `None` if the policy decides without looking at a limit, which is then the
/// ruling.
pub(crate) fn standing<'a>(
    policy: &'a Policy,
    request: &Request<'_>,
    ruling: &mut Ruling,
) -> Option<&'a Entry> {
    if let Some(decision) = listed(policy, request) {
        ruling.decide_alone(decision);
        return None;
    }
    let entry = match request.subject {
        Subject::Anonymous => Policy::DEFAULT,
        Subject::Tenant => match policy.standing(request.name) {
            Standing::Named { entry, .. } => entry,
            Standing::Unnamed { .. } => Policy::DEFAULT,
            Standing::Refused => {
                ruling.decide_alone(Decision::never(Outcome::Unknown));
                return None;
            }
        },
    };
    let entry = policy.entry(entry)?;
    if let Some(decision) = without_limits(entry.verdict) {
        ruling.decide_alone(decision);
        return None;
    }
    Some(entry)
}

/// What the lists say of the client's address.
pub(crate) fn listed(policy: &Policy, request: &Request<'_>) -> Option<Decision> {
    let verdict = policy.image().listed(request.address?)?;
    without_limits(verdict)
}

pub(crate) fn without_limits(verdict: Verdict) -> Option<Decision> {
    match verdict {
        Verdict::Limits => None,
        Verdict::Allow => Some(Decision::unlimited()),
        Verdict::Deny => Some(Decision::never(Outcome::Refused)),
    }
}

/// Every limit that applies to a request of a subject with this key and entry: its own quota, and each rule.
#[inline]
pub(crate) fn each_limit<'a>(
    policy: &'a Policy,
    hasher: &KeyHasher,
    request: &Request<'_>,
    key: Key,
    entry: &Entry,
    mut take: impl FnMut(Limited<'a>),
) {
    let mut asked = request.rule;
    if request.scope == Scope::Everything {
        take(Limited { key, rule: None });
        let groups = match request.target {
            Some(target) if policy.image().needs().path => policy.image().path_groups(target),
            Some(_) | None => Groups::NONE,
        };
        policy.image().matching(entry.profile, request.method, &groups, |index| {
            asked = asked.filter(|&asked| asked != index);
            if let Some((rule, keyed)) = policy.rule(index) {
                let key = rule_key(rule, keyed.key, key, hasher, request);
                take(Limited { key, rule: Some(Ruled { index, rule, keyed }) });
            }
        });
    }
    if let Some(index) = asked
        && let Some((rule, keyed)) = policy.rule(index)
    {
        let key = rule_key(rule, keyed.key, key, hasher, request);
        take(Limited { key, rule: Some(Ruled { index, rule, keyed }) });
    }
}

/// The key of a rule's bucket.
#[inline]
fn rule_key(rule: &Rule, under: Key, subject: Key, hasher: &KeyHasher, request: &Request<'_>) -> Key {
    match &*rule.per {
        [] => under,
        [Part::Tenant] => under.under(subject),
        parts => {
            let subject = subject.bytes();
            let values = parts.iter().map(|&part| match part {
                Part::Tenant => Some(subject.as_slice()),
                part => request.value(part),
            });
            hasher.composed(b"rule", under, values)
        }
    }
}
