//! All patterns of a policy together.

use thiserror::Error;

use super::{Pattern, automaton::Chains, steps::chains, table};

/// The most groups of patterns.
const MOST_GROUPS: usize = 256;
/// The most patterns in all groups.
const MOST_PATTERNS: usize = 1_024;

/// How paths are compared with patterns; the default is that of Express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathOptions {
    /// `/Users` is not `/users`.
    pub case_sensitive: bool,
    /// `/users/` does not match `/users`. The reverse is matched, because a router that is mounted at `/users` takes it
    /// for its `/`.
    pub strict: bool,
}

/// Why patterns cannot be compiled, or bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// More than 256 groups.
    #[error("{0} groups of path patterns; accepted are up to {MOST_GROUPS}")]
    TooManyGroups(usize),
    /// More than 1,024 patterns.
    #[error("{0} path patterns; accepted are up to {MOST_PATTERNS}")]
    TooManyPatterns(usize),
    /// They would take more than 1 MiB.
    #[error("the path patterns are too complex; use fewer wildcards before other text, as in *a/b*c")]
    TooComplex,
    /// The bytes were not made by [`PatternSet::compile`].
    #[error("the table of path patterns is damaged: {0}")]
    Damaged(&'static str),
}

/// Groups of patterns.
#[derive(Debug, Clone, Copy)]
pub struct PatternSet;

impl PatternSet {
    /// The bytes that a [`Matcher`](super::Matcher) reads; the same for the same patterns, on every machine. A group
    /// matches if one of its patterns does.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn compile(groups: &[Vec<Pattern>], options: PathOptions) -> Result<Vec<u8>, PathError> {
        let patterns = groups.iter().map(Vec::len).sum();
        if groups.len() > MOST_GROUPS {
            return Err(PathError::TooManyGroups(groups.len()));
        }
        if patterns > MOST_PATTERNS {
            return Err(PathError::TooManyPatterns(patterns));
        }
        let mut all = Chains::default();
        for (group, patterns) in (0..).zip(groups) {
            for pattern in patterns {
                for chain in chains(pattern, options) {
                    all.push(&chain, group)?;
                }
            }
        }
        table::write(&all.automata()?, groups.len(), options)
    }
}
