//! What buckets are governed by, and the classes of tenants that the program tells apart.

use super::bytes::{Cursor, Writer};
use super::grants::{Order, Windows, order};
use super::layout::ImageError;
use super::terms::Terms;
use crate::limit::{Grant, Limit};

/// How many entries a policy may have: what a slot of the table has bits for.
pub const MOST_ENTRIES: usize = 1 << 24;

/// Whether a tenant or an address is limited at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It is: by its quota and the rules.
    Limits,
    /// It is on the allow list: admitted, and charged nothing.
    Allow,
    /// It is on the deny list: never admitted.
    Deny,
}

/// What a bucket is governed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The limit. [`Limit::Nothing`] for a tenant on the deny list, [`Limit::Unlimited`] for one on the allow list.
    pub limit: Limit,
    /// What the program knows of the tenant.
    pub profile: u16,
    /// The rule whose limit this is; `None`: a quota.
    pub rule: Option<u16>,
    /// Whether the tenant is limited at all.
    pub verdict: Verdict,
    /// The limit as it was declared, whatever the verdict.
    pub declared: Grant,
    /// Has the tenant a row of its own? If not, it is only in lists.
    pub named: bool,
}

/// What the program knows of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Profile {
    pub(crate) tier: Option<u16>,
    /// Which lists of tenants name it: a mask.
    pub(crate) lists: u64,
}

/// What lists say of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Membership {
    pub(crate) verdict: Verdict,
    /// Which lists that rules are for: a mask.
    pub(crate) lists: u64,
}

impl Membership {
    /// In no list.
    pub(crate) const NONE: Self = Self { verdict: Verdict::Limits, lists: 0 };
}

/// Tenants of one class share an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Class {
    pub(crate) verdict: Verdict,
    pub(crate) named: bool,
    pub(crate) profile: Profile,
    pub(crate) declared: Grant,
}

impl Class {
    pub(crate) fn membership(&self) -> Membership {
        Membership { verdict: self.verdict, lists: self.profile.lists }
    }

    /// What sorts classes: the same on every machine.
    pub(crate) fn order(&self) -> (Verdict, bool, Profile, Order) {
        (self.verdict, self.named, self.profile, order(self.declared))
    }
}

const ALLOW: u8 = 1;
const DENY: u8 = 2;
const NAMED: u8 = 4;
const PROFILE: u8 = 8;

/// Sorted profiles, the first being that of tenants that the policy does not name.
pub(crate) fn write_profiles(profiles: &[Profile], starts: &[u32]) -> Vec<u8> {
    let mut out = Writer::default();
    out.count(profiles.len());
    for (profile, &start) in profiles.iter().zip(starts) {
        out.number(profile.tier.map_or(0, |tier| u32::from(tier) + 1));
        out.number(profile.lists);
        out.number(start);
    }
    out.0
}

/// Profiles, and where the program of each begins.
pub(crate) fn read_profiles(
    cursor: &mut Cursor<'_>,
    terms: &Terms,
) -> Result<(Vec<Profile>, Vec<u32>), ImageError> {
    let mut starts = Vec::new();
    let profiles = cursor.list(usize::from(u16::MAX) + 1, |cursor| {
        let tier = cursor.below(terms.tiers.len() + 1, "a profile has an unknown tier")?;
        let tier = tier.checked_sub(1).and_then(|tier| u16::try_from(tier).ok());
        let lists = cursor.number()?;
        if u64::BITS - lists.leading_zeros() > u32::try_from(terms.lists).unwrap_or_default() {
            return Err(cursor.fault("a profile is in unknown lists"));
        }
        let start = cursor.number()?;
        starts.push(u32::try_from(start).map_err(|_| cursor.fault("a program is nowhere"))?);
        Ok(Profile { tier, lists })
    })?;
    cursor.end()?;
    if profiles.first() != Some(&Profile::default()) || !profiles.is_sorted_by(|a, b| a < b) {
        return Err(cursor.fault("they do not ascend from that of a tenant without a name"));
    }
    Ok((profiles, starts))
}

/// Sorted classes; `profile` finds the index of one.
pub(crate) fn write_classes(
    classes: &[Class],
    windows: &Windows,
    profile: impl Fn(&Profile) -> usize,
) -> Vec<u8> {
    let mut out = Writer::default();
    out.count(classes.len());
    for class in classes {
        let verdict = match class.verdict {
            Verdict::Limits => 0,
            Verdict::Allow => ALLOW,
            Verdict::Deny => DENY,
        };
        let profile = profile(&class.profile);
        let named = if class.named { NAMED } else { 0 };
        let profiled = if profile == 0 { 0 } else { PROFILE };
        windows.write_flagged(&mut out, verdict | named | profiled, class.declared);
        if profile != 0 {
            out.count(profile);
        }
    }
    out.0
}

/// All entries: the default, one for each rule, one for each class of tenants with a row.
pub(crate) fn read_entries(
    cursor: &mut Cursor<'_>,
    terms: &Terms,
    windows: &Windows,
    profiles: &[Profile],
    rows: usize,
) -> Result<Vec<Entry>, ImageError> {
    let limit = |cursor: &Cursor<'_>, grant: Grant| {
        grant.limit().map_err(|_| cursor.fault("a limit cannot be enforced"))
    };
    let unnamed = |limit, declared| Entry {
        limit,
        profile: 0,
        rule: None,
        verdict: Verdict::Limits,
        declared,
        named: false,
    };
    let before = 1 + terms.rules.len();
    let count = cursor.count(rows.min(MOST_ENTRIES - before))?;
    let mut entries = Vec::with_capacity(before + count);
    entries.push(unnamed(limit(cursor, terms.default)?, terms.default));
    for (rule, index) in terms.rules.iter().zip(0..) {
        let entry = unnamed(limit(cursor, rule.declared)?, rule.declared);
        entries.push(Entry { rule: Some(index), ..entry });
    }
    let mut last = None;
    for _ in 0..count {
        let (flags, declared, limit) = windows.read_flagged(cursor)?;
        let (verdict, limit) = match flags & (ALLOW | DENY) {
            0 => (Verdict::Limits, limit),
            ALLOW => (Verdict::Allow, Limit::Unlimited),
            DENY => (Verdict::Deny, Limit::Nothing),
            _ => return Err(cursor.fault("a tenant is on both lists")),
        };
        let index = if flags & PROFILE == 0 {
            0
        } else {
            cursor.below(profiles.len(), "an entry has an unknown profile")?
        };
        let profile = profiles.get(index).copied().unwrap_or_default();
        let class = Class { verdict, named: flags & NAMED != 0, profile, declared };
        if flags > 15
            || (index == 0) != (flags & PROFILE == 0)
            || last.is_some_and(|last| last >= class.order())
        {
            return Err(cursor.fault("they are not in their order"));
        }
        last = Some(class.order());
        let profile = u16::try_from(index).unwrap_or_default();
        entries.push(Entry { limit, profile, rule: None, verdict, declared, named: class.named });
    }
    cursor.end()?;
    Ok(entries)
}
