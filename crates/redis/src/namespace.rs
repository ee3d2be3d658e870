//! What keys are called: everything under one tag lies in one slot of a Cluster, and no fleet comes upon another's.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tollgate_core::lease::exchange::BucketName;

/// Everything but these is escaped, so that no name ends the braces, or means something in a pattern.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-');

/// What separates fleets that share a Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Namespace {
    escaped: String,
}

impl Namespace {
    /// Any text is accepted: what may not be in a key is escaped.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { escaped: utf8_percent_encode(name, ESCAPED).to_string() }
    }

    /// Where the life of a tag's state is kept.
    pub(crate) fn life(&self, tag: u8) -> String {
        format!("tollgate:{{{self}:b{tag}}}:life")
    }

    /// Where the last reply to an instance under a tag is kept.
    pub(crate) fn reply(&self, tag: u8, instance: u64) -> String {
        format!("tollgate:{{{self}:b{tag}}}:i:{instance}")
    }

    /// Where a bucket is kept.
    pub(crate) fn bucket(&self, tag: u8, name: BucketName) -> String {
        format!("tollgate:{{{self}:b{tag}}}:{}", URL_SAFE_NO_PAD.encode(name.0))
    }

    /// Where a part of what a fleet agrees on is kept, all of it in one slot; also what the channel is called that tells of changes.
    pub(crate) fn control(&self, part: &str) -> String {
        format!("tollgate:{{{self}:fleet}}:{part}")
    }

    /// Where an image is kept; its name is that of its hash.
    pub(crate) fn image(&self, name: &str) -> String {
        self.control(&format!("image:{name}"))
    }

    /// Where the instances are kept that live.
    pub(crate) fn instances(&self) -> String {
        self.control("instances")
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.escaped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_breaks_out_of_the_braces() {
        let namespace = Namespace::new("a}:b1}:{ü\n%");
        assert_eq!(namespace.life(17), "tollgate:{a%7D%3Ab1%7D%3A%7B%C3%BC%0A%25:b17}:life");
    }

    #[test]
    fn a_name_of_letters_stays_readable() {
        let namespace = Namespace::new("shop-eu_1.test");
        let bucket = namespace.bucket(255, BucketName([0xFF; 16]));
        assert_eq!(bucket, "tollgate:{shop-eu_1.test:b255}:_____________________w");
        assert_eq!(namespace.reply(0, 12), "tollgate:{shop-eu_1.test:b0}:i:12");
        assert_eq!(namespace.instances(), "tollgate:{shop-eu_1.test:fleet}:instances");
    }
}
