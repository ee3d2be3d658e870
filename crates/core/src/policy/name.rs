//! Names of tenants, as an image holds them.

use std::fmt;
use std::num::ParseIntError;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest name of a tenant, in bytes of UTF-8.
pub const LONGEST_NAME: usize = 256;

/// How many leading bits of a hash are its [`NameHash::prefix`].
pub const PREFIX_BITS: u32 = 57;

/// SHA-256 of a tenant's name, cut to 128 bits. It is public and has no salt, so that equal policies are equal bytes;
/// nobody can make two names that meet. Buckets are named by another, secret hash. Written, it is 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NameHash([u8; 16]);

impl NameHash {
    /// Of a name, in UTF-8.
    #[inline]
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(name).into();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        Self(hash)
    }

    /// From the bytes that an image holds.
    #[inline]
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As an image holds it.
    #[inline]
    #[must_use]
    pub const fn bytes(&self) -> [u8; 16] {
        self.0
    }

    /// The leading 57 bits, as a number.
    #[inline]
    #[must_use]
    pub const fn prefix(&self) -> u64 {
        (u128::from_be_bytes(self.0) >> (u128::BITS - PREFIX_BITS)) as u64
    }
}

impl fmt::Display for NameHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for NameHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl From<NameHash> for String {
    fn from(hash: NameHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for NameHash {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, ParseIntError> {
        u128::from_str_radix(&text, 16).map(|number| Self(number.to_be_bytes()))
    }
}
