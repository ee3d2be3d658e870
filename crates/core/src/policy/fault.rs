//! What is wrong with a declared policy, and where.

use std::fmt;

use serde::Serialize;

/// More faults than this are not collected: nobody reads them.
pub(crate) const MOST_FAULTS: usize = 1_000;

/// How much of what was given is shown, in characters.
const SHOWN: usize = 64;

/// One step into a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PathItem {
    /// A property, by name.
    Key(String),
    /// An element of a list, counted from 0.
    Index(usize),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where, in the words of who wrote the policy.
    pub path: Vec<PathItem>,
    /// What stands there, escaped and cut to 64 characters.
    pub given: String,
    /// What may stand there.
    pub accepted: String,
    /// What was probably meant, if that can be guessed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, item) in self.path.iter().enumerate() {
            match item {
                PathItem::Key(key) if place == 0 => write!(out, "{key}")?,
                PathItem::Key(key) => write!(out, ".{key}")?,
                PathItem::Index(index) => write!(out, "[{index}]")?,
            }
        }
        write!(out, ": given {}; accepted is {}", self.given, self.accepted)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(out, " ({hint})"))
    }
}

/// A place in a policy, as a chain on the stack: a path is made of it only where there is a fault.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Place<'a> {
    pub(crate) const fn root(key: &'a str) -> Self {
        Self { parent: None, step: Step::Key(key) }
    }

    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    fn path(&self) -> Vec<PathItem> {
        let mut path = self.parent.map(Place::path).unwrap_or_default();
        path.push(match self.step {
            Step::Key(key) => PathItem::Key(key.to_owned()),
            Step::Index(index) => PathItem::Index(index),
        });
        path
    }
}

/// Faults while they are being found.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, place: &Place<'_>, given: impl fmt::Display, accepted: impl Into<String>) {
        self.push(place, given, accepted.into(), None);
    }

    pub(crate) fn add_with_hint(
        &mut self,
        place: &Place<'_>,
        given: impl fmt::Display,
        accepted: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(place, given, accepted.into(), Some(hint.into()));
    }

    fn push(&mut self, place: &Place<'_>, given: impl fmt::Display, accepted: String, hint: Option<String>) {
        if self.0.len() < MOST_FAULTS {
            self.0.push(Fault { path: place.path(), given: shown(&given.to_string()), accepted, hint });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value` if nothing was found.
    pub(crate) fn or<T>(self, value: T) -> Result<T, Vec<Fault>> {
        if self.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

/// What a client or a file wrote, cut, and without characters that a terminal would act on.
pub(crate) fn shown(given: &str) -> String {
    let mut shown = String::new();
    for character in given.chars().take(SHOWN) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if given.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
