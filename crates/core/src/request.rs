//! A request, as far as a policy looks at it.

use std::net::IpAddr;

use crate::Subject;
use crate::path::Method;
use crate::policy::Part;
use crate::policy::keyed::Generation;

/// What a request is to be charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// The tenant's quota and every rule that matches.
    #[default]
    Everything,
    /// The named rule alone: what else there is was charged before.
    RuleAlone,
}

/// A request, as far as a policy looks at it. What it needs of one, [`crate::policy::Image::needs`] says.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Is it a tenant's, or that of a client without one?
    pub subject: Subject,
    /// The tenant, or the client's address.
    pub name: &'a [u8],
    /// Its method; [`Method::OTHER`], which no rule asks for, where there is none.
    pub method: Method,
    /// What comes after the method in its first line, in UTF-8: the path, and a query or what else there is. Without it, no
    /// rule that asks for a path matches.
    pub target: Option<&'a [u8]>,
    /// The client's address, for the lists.
    pub address: Option<IpAddr>,
    /// The client's address as a key, the user, and the keys that the policy names, in that order.
    pub values: &'a [Option<&'a [u8]>],
    /// A rule that is charged whether it matches or not.
    pub rule: Option<u16>,
    /// What it is charged to.
    pub scope: Scope,
    /// Does it ask for the last time? Then it is decided without a lease that it has waited for in vain.
    pub last_word: bool,
    /// The policy by whose names and needs the rest was put together. By another one it is not decided.
    pub generation: Option<Generation>,
}

impl<'a> Request<'a> {
    /// A request of which only the subject is known.
    #[must_use]
    pub fn of(subject: Subject, name: &'a [u8]) -> Self {
        Self {
            subject,
            name,
            method: Method::OTHER,
            target: None,
            address: None,
            values: &[],
            rule: None,
            scope: Scope::Everything,
            last_word: false,
            generation: None,
        }
    }

    /// What a part of a rule's key is in this request.
    pub(crate) fn value(&self, part: Part) -> Option<&'a [u8]> {
        let index = match part {
            Part::Tenant => return Some(self.name),
            Part::Address => 0,
            Part::User => 1,
            Part::Named(index) => 2 + usize::from(index),
        };
        self.values.get(index).copied().flatten()
    }
}
