//! How a request that was put together for one policy is told to another: rules and keys have numbers, and go by name.

use arrayvec::ArrayVec;

use crate::policy::keyed::Generation;
use crate::{Policy, Request};

/// The client's address, the user, and the most keys that a policy names.
const MOST_VALUES: usize = 18;

/// What two policies need of a request between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a part of a request")]
pub struct Wants {
    /// Is there more to a decision than the tenant?
    pub more: bool,
    /// The path.
    pub path: bool,
    /// The method.
    pub method: bool,
    /// The client's address.
    pub address: bool,
    /// The user.
    pub user: bool,
    /// Names of keys, in the order in which a request gives them: first those of the policy that decides.
    pub keys: Vec<Box<str>>,
}

impl Wants {
    /// What one policy wants.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let (image, needs) = (policy.image(), policy.image().needs());
        Self {
            more: !policy.is_plain(),
            path: needs.path,
            method: needs.method,
            address: needs.address,
            user: needs.user,
            keys: image.key_names().to_vec(),
        }
    }

    /// What it wants, and another one.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.more |= other.more;
        self.path |= other.path;
        self.method |= other.method;
        self.address |= other.address;
        self.user |= other.user;
        for key in &other.keys {
            if !self.keys.contains(key) {
                self.keys.push(key.clone());
            }
        }
        self
    }
}

/// The number by which a request asks for a rule: that of the policy that decides, or past all of those, that of the other one.
#[must_use]
pub fn rule_asked(live: &Policy, other: &Policy, name: &str) -> Option<u16> {
    live.image().rule_named(name).or_else(|| {
        let past = u16::try_from(live.image().rules().len()).ok()?;
        past.checked_add(other.image().rule_named(name)?)
    })
}

/// From the numbers of one policy to those of another.
#[derive(Debug)]
pub(super) struct Translation {
    from: Generation,
    to: Generation,
    /// By number of a rule.
    rules: Box<[Option<u16>]>,
    /// By number of a key of the other policy: which of those it is that requests give.
    keys: Box<[Option<usize>]>,
}

impl Translation {
    /// Between two policies, of requests that give keys of these names.
    pub(super) fn new(live: &Policy, other: &Policy, given: &[Box<str>]) -> Self {
        let rules = live.image().rules().iter().map(|rule| other.image().rule_named(&rule.name));
        let keys = other.image().key_names().iter();
        Self {
            from: live.generation(),
            to: other.generation(),
            rules: rules.collect(),
            keys: keys.map(|name| given.iter().position(|given| given == name)).collect(),
        }
    }

    pub(super) fn is_between(&self, live: &Policy, other: &Policy) -> bool {
        self.from == live.generation() && self.to == other.generation()
    }

    fn rule(&self, asked: u16) -> Option<u16> {
        let known = self.rules.get(usize::from(asked)).copied();
        known.unwrap_or_else(|| asked.checked_sub(u16::try_from(self.rules.len()).ok()?))
    }

    /// Gives the request, as the other policy is told it, to `tell`. The other one waits for no lease.
    pub(super) fn told<T>(&self, request: &Request<'_>, tell: impl FnOnce(&Request<'_>) -> T) -> T {
        let given = |index: usize| request.values.get(index).copied().flatten();
        let named = self.keys.iter().map(|place| place.and_then(|place| given(2 + place)));
        let values = [given(0), given(1)].into_iter().chain(named);
        let values: ArrayVec<_, MOST_VALUES> = values.take(MOST_VALUES).collect();
        tell(&Request {
            values: &values,
            rule: request.rule.and_then(|asked| self.rule(asked)),
            last_word: false,
            generation: Some(self.to),
            ..*request
        })
    }
}
