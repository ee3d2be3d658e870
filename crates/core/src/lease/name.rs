//! What a shared bucket is called: the same in every process, whatever secret that hashes its own keys with.
//!
//! It is SHA-256 of what the bucket is kept for, cut to 128 bits. Every part has its length before it, so no two lists of parts
//! are the same bytes; whoever wants two names to meet has to find a collision of the hash (2^64 tries for any two of their
//! own, 2^128 for somebody else's). And names cannot be read out of the backend.

use sha2::{Digest, Sha256};

use super::exchange::BucketName;
use crate::policy::{Image, Part, Rule};
use crate::{Meter, Request, Subject};

/// What a bucket is kept for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Naming<'a> {
    pub(crate) image: &'a Image,
    pub(crate) request: &'a Request<'a>,
    /// `None` for the subject's own quota.
    pub(crate) rule: Option<&'a Rule>,
    /// The bucket that keys past the cap share: that of all whose share it counts against.
    pub(crate) overflow: Overflow,
}

/// Whose keys share a bucket past the cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// It is no such bucket.
    No,
    /// Those of one tenant.
    OfTenant,
    /// Those of everybody.
    OfAll,
}

impl Naming<'_> {
    pub(crate) fn name(&self) -> BucketName {
        let mut parts = Parts(Sha256::new());
        let subject: &[u8] = match self.request.subject {
            Subject::Tenant => b"tenant",
            Subject::Anonymous => b"anonymous",
        };
        // Tokens and requests in flight are counted in two buckets, should a rule come to count the other.
        if self.counts_requests_in_flight() {
            parts.write(Some(b"concurrency"));
        }
        parts.write(Some(match self.overflow {
            Overflow::No => b"bucket",
            Overflow::OfTenant => b"overflow of a tenant",
            Overflow::OfAll => b"overflow",
        }));
        parts.write(self.rule.map(|rule| rule.name.as_bytes()));
        let own = [Part::Tenant];
        let per = self.rule.map_or(own.as_slice(), |rule| &rule.per);
        for &part in per {
            parts.write(Some(match part {
                Part::Tenant => subject,
                Part::Address => b"ip",
                Part::User => b"user",
                Part::Named(index) => {
                    self.image.key_names().get(usize::from(index)).map_or(b"", |name| name.as_bytes())
                }
            }));
            let shared = match self.overflow {
                Overflow::No => false,
                Overflow::OfTenant => part != Part::Tenant,
                Overflow::OfAll => true,
            };
            if !shared {
                parts.write(self.request.value(part));
            }
        }
        let hash = parts.0.finalize();
        let mut name = BucketName::default();
        name.0.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        name
    }

    fn counts_requests_in_flight(&self) -> bool {
        let entry = self.rule.and_then(|rule| self.image.entry(rule.entry));
        entry.and_then(|entry| entry.limit.meter()).is_some_and(Meter::counts_requests_in_flight)
    }
}

struct Parts(Sha256);

impl Parts {
    /// A part that is not there is told from every one that is.
    fn write(&mut self, part: Option<&[u8]>) {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        self.0.update(length.to_le_bytes());
        self.0.update(part.unwrap_or_default());
    }
}
