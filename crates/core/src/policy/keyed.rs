//! A compiled policy under the secret of one process: what an engine decides by.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::lease::exchange::{MOST_PERMITS, MOST_TOKENS, SharedLimit};
use crate::lease::{Leased, Permits};
use crate::policy::{Compiled, Entry, Image, NameHash, Part, Row, Rule, Verdict};
use crate::{Algorithm, Key, KeyHasher, Limit, Meter, Subject, Window};

/// What tells a policy from every other that this process has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// As a number, from 1.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Whose quota a tenant is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Named: this entry, in a bucket that is always kept.
    Named { entry: u32, row: u32 },
    /// Not named: the default entry, in a bucket that counts against a pool's share.
    Unnamed { prefix: u64 },
    /// Not named, and not wanted.
    Refused,
}

/// What a rule is under the secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyedRule {
    /// The key under which its buckets are.
    pub(crate) key: Key,
    /// Does it count requests in flight?
    pub(crate) slots: bool,
    /// Since which policy its buckets have been carried over: what was charged before is in none of them.
    pub(crate) since: Generation,
}

impl KeyedRule {
    pub(crate) fn origin(&self) -> Origin {
        Origin { rule: self.key, since: self.since }
    }
}

/// The rule that a bucket was charged by, under whatever policy comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) rule: Key,
    since: Generation,
}

/// Why a fleet cannot share the buckets of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unshareable {
    /// More requests in flight than [`MOST_PERMITS`].
    #[error("{most} requests in flight; accepted for concurrency with backends are {MOST_PERMITS} at most")]
    TooMany {
        /// How many may be in flight.
        most: u64,
    },
    /// More tokens in a bucket than [`MOST_TOKENS`].
    #[error(
        "{capacity} tokens in a bucket (quota and burst); accepted with backends are {MOST_TOKENS} at most"
    )]
    TooLarge {
        /// `quota + burst`, in tokens.
        capacity: u64,
    },
}

/// A policy, ready to decide by.
#[derive(Debug)]
pub struct Policy {
    compiled: Compiled,
    generation: Generation,
    hasher: KeyHasher,
    /// By rule.
    rules: Box<[KeyedRule]>,
    /// Has it neither rules nor lists, so that a decision depends on the tenant alone?
    plain: bool,
    /// What its buckets are governed by, where a fleet shares them: the same, with tokens that are leased.
    leased: Option<Box<[Entry]>>,
}

impl Policy {
    /// The entry that tenants have who are not named.
    pub const DEFAULT: u32 = Image::DEFAULT;

    /// A compiled policy, to be decided by under a secret.
    #[must_use]
    pub fn new(compiled: Compiled, hasher: KeyHasher) -> Self {
        let (image, generation) = (&compiled.image, Generation::next());
        let keyed = |rule: &Rule| KeyedRule {
            key: hasher.rule(&rule.name, &parts(image, rule)),
            slots: meter(image, rule).is_some_and(Meter::counts_requests_in_flight),
            since: generation,
        };
        let rules = image.rules().iter().map(keyed).collect();
        let plain = image.rules().is_empty() && !image.needs().address;
        Self { compiled, generation, hasher, rules, plain, leased: None }
    }

    /// The same policy, in a process that shares its buckets with a fleet.
    ///
    /// # Errors
    /// See [`Unshareable`].
    pub fn shared(compiled: Compiled, hasher: KeyHasher) -> Result<Self, Unshareable> {
        let leased = leased(&compiled.image)?;
        Ok(Self { leased: Some(leased), ..Self::new(compiled, hasher) })
    }

    /// Are its buckets shared?
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.leased.is_some()
    }

    /// The policy that comes after this one.
    ///
    /// # Errors
    /// This one is shared, and that one cannot be.
    pub(crate) fn succeeded_by(&self, compiled: Compiled) -> Result<Self, Unshareable> {
        let mut next = match self.leased {
            Some(_) => Self::shared(compiled, self.hasher)?,
            None => Self::new(compiled, self.hasher),
        };
        for (rule, keyed) in next.compiled.image.rules().iter().zip(&mut next.rules) {
            let Some((before, keyed_before)) = self.rule_under(keyed.key) else { continue };
            let counts = meter(self.image(), before).is_some() && meter(&next.compiled.image, rule).is_some();
            // Between slots and tokens, or where nothing is counted, nothing is carried over.
            if counts && keyed.slots == keyed_before.slots {
                keyed.since = keyed_before.since;
            }
        }
        Ok(next)
    }

    /// What it was compiled to, and from.
    #[must_use]
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// What it was compiled to.
    #[inline]
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.compiled.image
    }

    /// What tells it from every other policy.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Keys that always have a place: of each tenant that it names, the bucket and the one that is charged in its place past the
    /// cap; for each rule that is kept per tenant, the same; and for those that are kept per more, the bucket that its keys share
    /// past the cap, and the account of them.
    pub(crate) fn kept_keys(&self) -> usize {
        let (mut alone, mut composed) = (0, 0);
        for rule in self.image().rules().iter().filter(|rule| rule.per.contains(&Part::Tenant)) {
            if *rule.per == [Part::Tenant] { alone += 1 } else { composed += 1 }
        }
        let each = 2 + 2 * alone + composed + usize::from(composed > 0);
        self.image().tenants().saturating_mul(each)
    }

    /// The entry of everybody, where nobody is named and nobody has a limit.
    #[inline]
    pub(crate) fn unlimited_default(&self) -> Option<&Entry> {
        let alike = self.image().tenants() == 0 && !self.image().refuses_unknown();
        self.entry(Self::DEFAULT).filter(|entry| alike && entry.limit == Limit::Unlimited)
    }

    /// Does a decision depend on the tenant alone?
    #[inline]
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    #[inline]
    pub(crate) fn entry(&self, index: u32) -> Option<&Entry> {
        match &self.leased {
            None => self.compiled.image.entry(index),
            Some(leased) => leased.get(index as usize),
        }
    }

    /// A rule, and what it is under the secret.
    #[inline]
    pub(crate) fn rule(&self, index: u16) -> Option<(&Rule, &KeyedRule)> {
        Some((self.image().rules().get(usize::from(index))?, self.rules.get(usize::from(index))?))
    }

    /// The rule that has this key: of this name, and kept per the same.
    pub(crate) fn rule_under(&self, key: Key) -> Option<(&Rule, &KeyedRule)> {
        self.image().rules().iter().zip(&self.rules).find(|(_, keyed)| keyed.key == key)
    }

    /// The rule whose bucket was charged, if it has been carried over from policy to policy since.
    pub(crate) fn rule_since(&self, origin: Origin) -> Option<&Rule> {
        let (rule, keyed) = self.rule_under(origin.rule)?;
        (keyed.since == origin.since).then_some(rule)
    }

    pub(crate) fn standing(&self, name: &[u8]) -> Standing {
        self.standing_of_hash(NameHash::of(name))
    }

    pub(crate) fn standing_of_hash(&self, name: NameHash) -> Standing {
        self.standing_of_row(self.image().tenant(&name), name.prefix())
    }

    /// The standing of a tenant of whose name only the first bits of the hash are known. Where they are those of a name
    /// in the policy, it is that one, but for one time in 2^57 / tenants.
    pub(crate) fn standing_of_prefix(&self, prefix: u64) -> Standing {
        self.standing_of_row(self.image().tenant_by_prefix(prefix), prefix)
    }

    fn standing_of_row(&self, row: Option<Row>, prefix: u64) -> Standing {
        // To be in a rule's list alone does not make a tenant known.
        let known = |row: &Row| {
            self.entry(row.entry).is_some_and(|entry| entry.named || entry.verdict != Verdict::Limits)
        };
        match row {
            Some(row) if !self.image().refuses_unknown() || known(&row) => {
                Standing::Named { entry: row.entry, row: row.index }
            }
            None if !self.image().refuses_unknown() => Standing::Unnamed { prefix },
            Some(_) | None => Standing::Refused,
        }
    }

    /// The key of a pool of subjects that the policy does not name.
    pub(crate) fn pool(&self, subject: Subject) -> Key {
        self.hasher.pool(subject)
    }
}

/// The entries of an image, with limits on shared buckets.
fn leased(image: &Image) -> Result<Box<[Entry]>, Unshareable> {
    let shared = |limit: Limit| {
        let Limit::Metered(meter) = limit else { return Ok(limit) };
        let (algorithm, window) = match meter {
            Meter::TokenBucket(gcra) => (Algorithm::TokenBucket, Window::Span(gcra.window())),
            Meter::FixedWindow(fixed) => (Algorithm::FixedWindow, fixed.window()),
            Meter::SlidingWindow(sliding) => (Algorithm::SlidingWindow, sliding.window()),
            Meter::Leased(_) | Meter::Permits(_) => return Ok(limit),
            Meter::Concurrency(concurrency) => {
                let most = concurrency.most();
                let permits = Permits::new(SharedLimit::concurrency(most));
                let metered = permits.map(|permits| Limit::Metered(Meter::Permits(permits)));
                return metered.ok_or(Unshareable::TooMany { most });
            }
        };
        let (quota, capacity) = (meter.quota(), meter.capacity());
        Leased::new(SharedLimit { algorithm, quota, capacity, window })
            .map(|leased| Limit::Metered(Meter::Leased(leased)))
            .ok_or(Unshareable::TooLarge { capacity })
    };
    let entries = (0..image.limits()).filter_map(|index| image.entry(u32::try_from(index).ok()?));
    entries.map(|entry| Ok(Entry { limit: shared(entry.limit)?, ..*entry })).collect()
}

fn meter<'a>(image: &'a Image, rule: &Rule) -> Option<&'a Meter> {
    image.entry(rule.entry)?.limit.meter()
}

/// What a rule's buckets are kept per, in bytes. A rule that is kept per something else is another rule.
fn parts(image: &Image, rule: &Rule) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in &rule.per {
        let name = match part {
            Part::Tenant => "tenant",
            Part::Address => "ip",
            Part::User => "user",
            Part::Named(index) => image.key_names().get(usize::from(*index)).map_or("", |name| name),
        };
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
    }
    bytes
}
