//! Which rules' path patterns a request matches.
//!
//! Patterns are in Express style. What reaches a route of Express 4 or 5, or of a router mounted in one, is matched by
//! the pattern of that route, however the request spells its path; the reverse does not hold, because a request
//! that reaches nothing may be charged.
//!
//! Reading order:
//! 1. `pattern`: what a policy writes, as parts.
//! 2. `canonical`: the spellings of a path that mean the same; `target`: where in a request's target its path is.
//! 3. `steps`: a pattern as a chain of steps, in every spelling; `automaton`: the chains of all patterns as one
//!    deterministic automaton.
//! 4. `table`: the automaton as bytes, and `layout`: where in them everything is; `matcher`: a path led through them,
//!    a `word` at a time. `groups` is the answer.
//! 5. `method`: the other half of what a rule matches.

mod automaton;
mod canonical;
mod groups;
mod layout;
mod matcher;
mod method;
mod pattern;
mod set;
mod steps;
mod table;
mod target;
mod word;

pub use groups::Groups;
pub use matcher::{LONGEST_PATH, Matcher, SharedMatcher};
pub use method::{Method, Methods};
pub use pattern::{Pattern, PatternError};
pub use set::{PathError, PathOptions, PatternSet};
pub use target::strip;
