//! A pattern as chains of steps, one for each way to take and leave out its groups, and each spelling.

use super::{
    PathOptions, Pattern,
    canonical::{Escapes, spell},
    pattern::Part,
};

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Slash,
    NotSlash,
    Any,
}

impl Class {
    pub(super) fn has_slash(self) -> bool {
        self != Self::NotSlash
    }

    /// Whether the set has the bytes other than `/`.
    pub(super) fn has_others(self) -> bool {
        self != Self::Slash
    }
}

/// What a path has to have next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// This byte.
    Byte(u8),
    /// One or more of these.
    Some(Class),
    /// Any number of these, or none.
    Many(Class),
    /// Nothing: it matched.
    End,
}

/// The chains of a pattern; a path matches the pattern if one of its spellings takes all steps of a chain.
pub(super) fn chains(pattern: &Pattern, options: PathOptions) -> Vec<Vec<Step>> {
    let mut chains: Vec<Vec<Step>> = Vec::new();
    // What was accepted by `Pattern::parse` has no more ways than are accepted.
    for way in pattern.ways().unwrap_or_default() {
        // Express compares a pattern as it is written with a path as it is sent; others decode both.
        for escapes in [Escapes::Keep, Escapes::Decode] {
            let chain = chain(&way, escapes, options);
            // A router mounted at /a whose route is /*, which is /a/* together, is reached by /a: it sees /.
            let mount = match chain.as_slice() {
                [mount @ .., Step::Some(Class::Slash), Step::Many(Class::Any)] => Some(mount.to_vec()),
                _ => None,
            };
            for mut chain in [Some(chain), mount].into_iter().flatten() {
                chain.push(Step::End);
                if !chains.contains(&chain) {
                    chains.push(chain);
                }
            }
        }
    }
    chains
}

fn chain(way: &[Part], escapes: Escapes, options: PathOptions) -> Vec<Step> {
    let mut chain = Vec::new();
    for part in way {
        match part {
            Part::Text(text) => {
                let mut text = spell(text.as_bytes(), escapes, !options.case_sensitive);
                if !options.case_sensitive {
                    text.make_ascii_lowercase();
                }
                // A router that is mounted in Express 4 takes a second slash for the first, once per mount.
                chain.extend(text.iter().map(|&byte| match byte {
                    b'/' => Step::Some(Class::Slash),
                    _ => Step::Byte(byte),
                }));
            }
            Part::Parameter => chain.push(Step::Some(Class::NotSlash)),
            Part::Wildcard => chain.push(Step::Some(Class::Any)),
            Part::Anything if chain.last() == Some(&Step::Many(Class::Any)) => {}
            Part::Anything => chain.push(Step::Many(Class::Any)),
            Part::Group(_) => {}
        }
    }
    end(&mut chain, options);
    chain
}

/// Lets a path end with slashes, or without.
fn end(chain: &mut Vec<Step>, options: PathOptions) {
    // If a router mounted at /a has a route for /, which is /a/ together, then /a reaches it even if it is strict.
    let slash = chain.pop_if(|step| *step == Step::Some(Class::Slash)).is_some();
    match chain.as_mut_slice() {
        [.., Step::Many(Class::Any)] | [.., Step::Some(Class::Slash), Step::Some(Class::Any)] => {}
        // A router mounted at /a whose route is *rest, which is /a*rest together, is reached by /a: it sees /.
        [.., last @ Step::Some(Class::Any)] => *last = Step::Many(Class::Any),
        _ if slash || !options.strict => chain.push(Step::Many(Class::Slash)),
        _ => {}
    }
}
