//! Names of buckets.
//!
//! A key is a 128-bit `SipHash` 1-3 under a random key, so nobody outside can make two names meet (2^-64 for the
//! best guess at 2^32 keys), and names are never read back out of keys. Kinds of names have `SipHash` keys of their
//! own, derived from the one, so a tenant called like an address does not share that address's bucket.

use std::hash::{BuildHasher, RandomState};

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
        Self { hi: hash.h1.clamp(1, u64::MAX - 1), lo: hash.h2.clamp(1, u64::MAX - 1) }
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
    pub(crate) fn overflow(&self, owner: Key, limit: u32) -> Key {
        let mut parts = [0_u8; 20];
        parts[..8].copy_from_slice(&owner.hi.to_le_bytes());
        parts[8..16].copy_from_slice(&owner.lo.to_le_bytes());
        parts[16..].copy_from_slice(&limit.to_le_bytes());
        let mut hasher = self.shared;
        std::hash::Hasher::write(&mut hasher, &parts);
        Key::new(hasher.finish128())
    }
}
