//! Which tenant has which limit.

use std::collections::HashMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::key::BuildAlreadyHashed;
use crate::{Key, KeyHasher, Limit, LimitError, Nanos, Subject};

/// The longest name of a tenant, in bytes of UTF-8.
pub const LONGEST_NAME: usize = 256;

/// How many different limits one policy may hold: what a slot has bits for.
const MOST_LIMITS: usize = 1 << 24;

/// What a tenant gets that the policy does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownTenant {
    /// The default limit.
    Default,
    /// Nothing.
    Refuse,
}

/// A limit as it was declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    /// No limit.
    Unlimited,
    /// `quota` per `window`, and `burst` on top.
    Tokens {
        /// Tokens granted per window.
        quota: u64,
        /// Tokens on top that a full bucket holds.
        burst: u64,
        /// The time in which the quota is refilled.
        window: Nanos,
    },
}

impl Grant {
    fn limit(self) -> Result<Limit, LimitError> {
        match self {
            Self::Unlimited => Ok(Limit::Unlimited),
            Self::Tokens { quota, burst, window } => Limit::token_bucket(quota, burst, window),
        }
    }

    fn digest(self, hash: &mut Sha256) {
        match self {
            Self::Unlimited => hash.update([0_u8]),
            Self::Tokens { quota, burst, window } => {
                hash.update([1_u8]);
                for number in [quota, burst, window.get()] {
                    hash.update(number.to_le_bytes());
                }
            }
        }
    }
}

/// Why a policy was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// A limit that cannot be enforced.
    #[error("tenant {tenant:?}: {source}")]
    Limit {
        /// Whose it is; empty for the default.
        tenant: String,
        /// What is wrong with it.
        source: LimitError,
    },
    /// A name that is empty or too long.
    #[error("a tenant name of {length} bytes; accepted are 1 to {LONGEST_NAME}")]
    Name {
        /// Its length in bytes.
        length: usize,
    },
    /// A tenant that is not there to be removed.
    #[error("tenant {tenant:?} is not named by the policy")]
    Absent {
        /// Its name.
        tenant: String,
    },
    /// Two rows for one tenant.
    #[error("tenant {tenant:?} has two rows")]
    Duplicate {
        /// Whose they are.
        tenant: String,
    },
    /// More different limits than fit.
    #[error("more than {MOST_LIMITS} different limits")]
    TooManyLimits,
}

/// A policy while it is being read.
#[derive(Debug)]
pub struct PolicyDraft {
    content: Content,
    /// Where a limit is that was declared before.
    interned: HashMap<Grant, u32>,
}

/// What a policy says.
#[derive(Debug, Clone)]
struct Content {
    hasher: KeyHasher,
    unknown: UnknownTenant,
    grants: Vec<Grant>,
    limits: Vec<Limit>,
    tenants: HashMap<Key, u32, BuildAlreadyHashed>,
    /// Sum of the rows' digests, so that the order of rows does not matter.
    rows: [u64; 4],
    head: Sha256,
}

impl PolicyDraft {
    /// A policy of one limit, for every tenant.
    ///
    /// # Errors
    /// A default limit that cannot be enforced.
    pub fn new(hasher: KeyHasher, default: Grant, unknown: UnknownTenant) -> Result<Self, PolicyError> {
        let mut head = Sha256::new();
        head.update(match unknown {
            UnknownTenant::Default => [0_u8],
            UnknownTenant::Refuse => [1_u8],
        });
        default.digest(&mut head);
        let content = Content {
            hasher,
            unknown,
            grants: Vec::new(),
            limits: Vec::new(),
            tenants: HashMap::default(),
            rows: [0; 4],
            head,
        };
        let mut draft = Self { content, interned: HashMap::new() };
        draft.intern(default, "")?;
        Ok(draft)
    }

    /// A copy of a policy, to be changed.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let content = policy.content.clone();
        let interned = (0..).zip(&content.grants).map(|(index, &grant)| (grant, index)).collect();
        Self { content, interned }
    }

    /// Gives one tenant a limit of its own.
    ///
    /// # Errors
    /// A name that is empty, too long or named before, or a limit that cannot be enforced.
    pub fn tenant(&mut self, name: &str, grant: Grant) -> Result<(), PolicyError> {
        match self.put(name, grant)? {
            None => Ok(()),
            Some(_) => Err(PolicyError::Duplicate { tenant: name.to_owned() }),
        }
    }

    /// Gives one tenant a limit of its own, in place of the one that it had, if any.
    ///
    /// # Errors
    /// A name that is empty or too long, or a limit that cannot be enforced.
    pub fn upsert(&mut self, name: &str, grant: Grant) -> Result<(), PolicyError> {
        if let Some(before) = self.put(name, grant)? {
            self.forget(name, before);
        }
        Ok(())
    }

    /// Takes one tenant's own limit away.
    ///
    /// # Errors
    /// The policy does not name it.
    pub fn remove(&mut self, name: &str) -> Result<(), PolicyError> {
        let key = self.content.hasher.key(Subject::Tenant, name.as_bytes());
        let before = self.content.tenants.remove(&key);
        let before = before.ok_or_else(|| PolicyError::Absent { tenant: name.to_owned() })?;
        self.forget(name, before);
        Ok(())
    }

    /// Writes a row; gives the limit of the one that it replaces, whose digest still stands.
    fn put(&mut self, name: &str, grant: Grant) -> Result<Option<u32>, PolicyError> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(PolicyError::Name { length: name.len() });
        }
        let limit = self.intern(grant, name)?;
        let key = self.content.hasher.key(Subject::Tenant, name.as_bytes());
        let before = self.content.tenants.insert(key, limit);
        for (sum, word) in self.content.rows.iter_mut().zip(row_digest(name, grant)) {
            *sum = sum.wrapping_add(word);
        }
        Ok(before)
    }

    /// Takes the digest of a row back.
    fn forget(&mut self, name: &str, limit: u32) {
        let Some(&grant) = self.content.grants.get(limit as usize) else { return };
        for (sum, word) in self.content.rows.iter_mut().zip(row_digest(name, grant)) {
            *sum = sum.wrapping_sub(word);
        }
    }

    /// Tenants named so far.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.content.tenants.len()
    }

    /// The policy, complete.
    #[must_use]
    pub fn finish(self) -> Policy {
        let mut hash = self.content.head.clone();
        hash.update(self.content.tenants.len().to_le_bytes());
        for word in self.content.rows {
            hash.update(word.to_le_bytes());
        }
        let hash = hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let defaults = self.content.head.clone().finalize().into();
        Policy { content: self.content, fingerprint: Fingerprint { hash, defaults } }
    }

    /// The index of a limit: equal limits share one.
    fn intern(&mut self, grant: Grant, tenant: &str) -> Result<u32, PolicyError> {
        if let Some(&index) = self.interned.get(&grant) {
            return Ok(index);
        }
        let limit =
            grant.limit().map_err(|source| PolicyError::Limit { tenant: tenant.to_owned(), source })?;
        let index = u32::try_from(self.content.limits.len())
            .ok()
            .filter(|_| self.content.limits.len() < MOST_LIMITS)
            .ok_or(PolicyError::TooManyLimits)?;
        self.content.limits.push(limit);
        self.content.grants.push(grant);
        self.interned.insert(grant, index);
        Ok(index)
    }
}

fn row_digest(name: &str, grant: Grant) -> [u64; 4] {
    let mut row = Sha256::new();
    row.update(name.len().to_le_bytes());
    row.update(name);
    grant.digest(&mut row);
    let mut words = [0; 4];
    for (word, part) in words.iter_mut().zip(row.finalize().chunks_exact(8)) {
        *word = part.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
    words
}

/// Whose quota a tenant is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Named: the limit at this index, in a bucket that is always kept.
    Named(u32),
    /// Not named: the default limit, in a bucket that counts against a pool's share.
    Pooled(u32),
    /// Not named, and not wanted.
    Refused,
}

/// A policy, checked and ready to decide by.
#[derive(Debug)]
pub struct Policy {
    content: Content,
    fingerprint: Fingerprint,
}

/// What tells policies apart, without what they say: two with the same fingerprint have the same content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: String,
    /// SHA-256 of what tenants get whom the policy does not name.
    defaults: [u8; 32],
}

impl Fingerprint {
    /// Do both policies give tenants that neither names the same?
    #[must_use]
    pub fn has_defaults_of(&self, other: &Self) -> bool {
        self.defaults == other.defaults
    }
}

impl Policy {
    /// The limit that tenants have who are not named.
    pub const DEFAULT: u32 = 0;

    /// SHA-256 of the content, in hexadecimal: equal policies have equal hashes, in whatever order they name tenants.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.fingerprint.hash
    }

    /// What tells it from other policies.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Tenants named.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.content.tenants.len()
    }

    /// Different limits.
    #[must_use]
    pub fn limits(&self) -> usize {
        self.content.limits.len()
    }

    /// The limit at an index that a decision gave.
    #[inline]
    #[must_use]
    pub fn limit(&self, index: u32) -> Option<&Limit> {
        self.content.limits.get(index as usize)
    }

    /// The limit that a tenant has of its own.
    pub(crate) fn named(&self, key: Key) -> Option<u32> {
        self.content.tenants.get(&key).copied()
    }

    /// The key of a pool of subjects that the policy does not name.
    pub(crate) fn pool(&self, subject: Subject) -> Key {
        self.content.hasher.pool(subject)
    }

    /// The key of the bucket that such subjects share past their share.
    pub(crate) fn overflow(&self, subject: Subject) -> Key {
        self.content.hasher.overflow(self.pool(subject), Self::DEFAULT)
    }

    pub(crate) fn standing(&self, subject: Subject, key: Key) -> Standing {
        match (subject, self.named(key)) {
            (Subject::Tenant, Some(limit)) => Standing::Named(limit),
            (Subject::Tenant, None) if self.content.unknown == UnknownTenant::Refuse => Standing::Refused,
            _ => Standing::Pooled(Self::DEFAULT),
        }
    }
}
