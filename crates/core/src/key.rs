//! Names of buckets.
//!
//! A key is a 128-bit `SipHash` 1-3 under a random key, so nobody outside can make two names meet (2^-64 for the
//! best guess at 2^32 keys), and names are never read back out of keys. Kinds of names have `SipHash` keys of their
//! own, derived from the one, so a tenant called like an address does not share that address's bucket.

use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip128::{Hash128, Hasher128, SipHasher13};

/// Whom a bucket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A tenant, by name.
    Tenant,
    /// A request without a tenant, by client address.
    Anonymous,
}

/// The hash that names a bucket. Neither half is ever 0 or [`u64::MAX`], which the table keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    pub(crate) hi: u64,
    pub(crate) lo: u64,
}

impl Key {
    pub(crate) fn new(hash: Hash128) -> Self {
        Self::of(hash.h1, hash.h2)
    }

    fn of(hi: u64, lo: u64) -> Self {
        Self { hi: hi.clamp(1, u64::MAX - 1), lo: lo.clamp(1, u64::MAX - 1) }
    }

    /// The key of what `other` has under this key. Both are hashes under a secret, so their sum without carry is as
    /// hard to aim at as either, and costs an instruction instead of a hash.
    #[inline]
    pub(crate) fn under(self, other: Self) -> Self {
        Self::of(self.hi ^ other.hi, self.lo ^ other.lo)
    }

    pub(crate) fn bytes(self) -> [u8; 16] {
        (u128::from(self.hi) | u128::from(self.lo) << 64).to_le_bytes()
    }
}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.lo);
    }
}

/// Hashes keys that are hashes already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AlreadyHashed(u64);

impl std::hash::Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }
}

pub(crate) type BuildAlreadyHashed = std::hash::BuildHasherDefault<AlreadyHashed>;

/// Makes keys of names.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher {
    tenant: SipHasher13,
    anonymous: SipHasher13,
    shared: SipHasher13,
}

impl KeyHasher {
    /// With a secret of its own, from the operating system.
    #[must_use]
    pub fn random() -> Self {
        let (a, b) = (RandomState::new(), RandomState::new());
        Self::with_secret(a.hash_one(0_u8), b.hash_one(1_u8))
    }

    /// With a secret that is known: for tests, and for processes that must agree.
    #[must_use]
    pub fn with_secret(k0: u64, k1: u64) -> Self {
        let derive = |kind: &[u8]| {
            let Hash128 { h1, h2 } = SipHasher13::new_with_keys(k0, k1).hash(kind);
            SipHasher13::new_with_keys(h1, h2)
        };
        Self { tenant: derive(b"tenant"), anonymous: derive(b"anonymous"), shared: derive(b"shared") }
    }

    /// The key of a subject's own bucket.
    #[inline]
    #[must_use]
    pub fn key(&self, subject: Subject, name: &[u8]) -> Key {
        match subject {
            Subject::Tenant => Key::new(self.tenant.hash(name)),
            Subject::Anonymous => Key::new(self.anonymous.hash(name)),
        }
    }

    /// The key of a bucket that the engine itself makes: a pool of subjects.
    pub(crate) fn pool(&self, subject: Subject) -> Key {
        Key::new(self.shared.hash(match subject {
            Subject::Tenant => b"unknown tenants",
            Subject::Anonymous => b"anonymous",
        }))
    }

    /// The key of the bucket that an owner's keys past the cap share, for one limit.
    pub(crate) fn overflow(&self, owner: Key, limit: Key) -> Key {
        self.composed(b"overflow", owner, [limit.bytes().as_slice()].map(Some).into_iter())
    }

    /// The key under which an owner of many keys has them counted.
    pub(crate) fn account(&self, owner: Key) -> Key {
        self.composed(b"account", owner, std::iter::empty())
    }

    /// The key of a rule, for what its buckets are kept per.
    pub(crate) fn rule(&self, name: &str, per: &[u8]) -> Key {
        let mut hasher = self.shared;
        write_part(&mut hasher, Some(b"rule"));
        write_part(&mut hasher, Some(name.as_bytes()));
        write_part(&mut hasher, Some(per));
        Key::new(hasher.finish128())
    }

    /// The key of several parts under another key. A part that is not there is told from every one that is.
    pub(crate) fn composed<'a>(
        &self,
        kind: &[u8],
        under: Key,
        parts: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Key {
        let mut hasher = self.shared;
        write_part(&mut hasher, Some(kind));
        hasher.write(&under.bytes());
        for part in parts {
            write_part(&mut hasher, part);
        }
        Key::new(hasher.finish128())
    }
}

/// A part with its length before it, so that no two lists of parts are the same bytes.
fn write_part(hasher: &mut SipHasher13, part: Option<&[u8]>) {
    let length = part.map_or(u64::MAX, |part| part.len() as u64);
    hasher.write(&length.to_le_bytes());
    hasher.write(part.unwrap_or_default());
}
