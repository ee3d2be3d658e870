//! Path patterns beside the obvious way to match them, and on bytes that nobody meant.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::hint::black_box;

use proptest::prelude::*;
use tollgate_core::path::{Matcher, PathOptions, Pattern, PatternSet};

const DEFAULT: PathOptions = PathOptions { case_sensitive: false, strict: false };

/// A part of a pattern, and how it is written.
#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Parameter,
    Wildcard,
    Anything,
    Group(Vec<Piece>),
}

fn written(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Parameter => r#":"a""#.into(),
            Piece::Wildcard => r#"*"a""#.into(),
            Piece::Anything => "*".into(),
            Piece::Group(inner) => format!("{{{}}}", written(inner)),
        })
        .collect()
}

/// The obvious way: every part takes every length that it may.
fn takes(pieces: &[Piece], path: &str) -> bool {
    let Some((piece, after)) = pieces.split_first() else { return path.is_empty() };
    let some = |is: fn(char) -> bool, least: usize| {
        let most = path.find(|character| !is(character)).unwrap_or(path.len());
        (least..=most).any(|length| takes(after, &path[length..]))
    };
    match piece {
        Piece::Text(text) => path.strip_prefix(text.as_str()).is_some_and(|rest| takes(after, rest)),
        Piece::Parameter => some(|character| character != '/', 1),
        Piece::Wildcard => some(|_| true, 1),
        Piece::Anything => some(|_| true, 0),
        Piece::Group(inner) => takes(after, path) || takes(&[inner.as_slice(), after].concat(), path),
    }
}

/// As Express matches it.
fn routed(pieces: &[Piece], path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let mut without = pieces.to_vec();
    if let Some(Piece::Text(text)) = without.last_mut() {
        *text = text.trim_end_matches('/').to_owned();
    }
    takes(&without, &path) || path.strip_suffix('/').is_some_and(|path| takes(&without, path))
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let text = prop::sample::select(vec!["/a", "/b", "/", "a", "b", "/ab", "-", ".a"])
        .prop_map(|text| Piece::Text(text.to_owned()));
    let leaf = prop_oneof![
        4 => text,
        2 => Just(Piece::Parameter),
        1 => Just(Piece::Wildcard),
        1 => Just(Piece::Anything)
    ];
    let piece =
        leaf.prop_recursive(2, 8, 3, |inner| prop::collection::vec(inner, 1..3).prop_map(Piece::Group));
    prop::collection::vec(piece, 0..5).prop_map(|mut pieces| {
        pieces.insert(0, Piece::Text("/".to_owned()));
        pieces
    })
}

/// `None` if it is refused, or if the text after a bare wildcard would be its name.
fn parsed(pieces: &[Piece]) -> Option<Pattern> {
    let written = written(pieces);
    let named = written.split('*').skip(1).any(|after| after.starts_with(['a', 'b']));
    Pattern::parse(&written).ok().filter(|_| !named)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_the_obvious_way_matches_is_matched(
        pieces in pieces(),
        paths in prop::collection::vec("/[aAb/.%2;-]{0,10}", 40),
    ) {
        let Some(pattern) = parsed(&pieces) else { return Ok(()) };
        let table = PatternSet::compile(&[vec![pattern]], DEFAULT).unwrap();
        let matcher = Matcher::read(&table).unwrap();
        for path in paths {
            if routed(&pieces, &path) {
                prop_assert!(matcher.groups(path.as_bytes()).contains(0), "{} has to match {path}", written(&pieces));
            }
        }
    }

    #[test]
    fn an_ordinary_path_that_is_matched_is_matched_the_obvious_way(
        pieces in pieces(),
        paths in prop::collection::vec("(/[aAb-]{1,3}){1,4}/?", 20),
    ) {
        let Some(pattern) = parsed(&pieces) else { return Ok(()) };
        let text = written(&pieces);
        // At the end, wildcards also match what a mounted router sees as /, and no slash counts.
        if text.contains("/}") || text.contains("/{") || text.contains('*') && text.ends_with(['*', '"', '/', '}']) {
            return Ok(());
        }
        let table = PatternSet::compile(&[vec![pattern]], DEFAULT).unwrap();
        let matcher = Matcher::read(&table).unwrap();
        for path in paths {
            let matched = matcher.groups(path.as_bytes()).contains(0);
            prop_assert_eq!(matched, routed(&pieces, &path), "{} and {}", written(&pieces), path);
        }
    }

    #[test]
    fn patterns_together_match_what_they_match_alone(
        all in prop::collection::vec(pieces(), 1..20),
        paths in prop::collection::vec("/[aAb/.%2;-]{0,10}", 10),
    ) {
        let patterns: Vec<Pattern> = all.iter().filter_map(|pieces| parsed(pieces)).collect();
        let groups: Vec<_> = patterns.iter().cloned().map(|pattern| vec![pattern]).collect();
        let together = PatternSet::compile(&groups, DEFAULT).unwrap();
        let together = Matcher::read(&together).unwrap();
        for (group, alone) in (0..).zip(&groups) {
            let alone = PatternSet::compile(std::slice::from_ref(alone), DEFAULT).unwrap();
            let alone = Matcher::read(&alone).unwrap();
            for path in &paths {
                let path = path.as_bytes();
                prop_assert_eq!(together.groups(path).contains(group), alone.groups(path).contains(0));
            }
        }
    }

    #[test]
    fn a_damaged_table_is_refused_or_harmless(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        path in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let groups = ["/a/:b", "/a/*c", "/abcdefghijkl/é{/f}", "*x"].map(|pattern| vec![Pattern::parse(pattern).unwrap()]);
        let whole = PatternSet::compile(&groups, DEFAULT).unwrap();
        let mut damaged = whole.clone();
        for (place, byte) in changes {
            let place = place.index(damaged.len());
            damaged[place] = byte;
        }
        if let Ok(matcher) = Matcher::read(&damaged) {
            black_box(matcher.groups(&path));
            black_box(matcher.groups(&[b"/", path.as_slice()].concat()));
        }
        prop_assert!(Matcher::read(&whole[..cut.index(whole.len())]).is_err());
        prop_assert!(Matcher::read(&[whole.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn bytes_that_are_no_table_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut header = bytes.clone();
        header.splice(0..bytes.len().min(2), [1, 1]);
        for bytes in [bytes, header] {
            if let Ok(matcher) = Matcher::read(&bytes) {
                black_box(matcher.groups(b"/a"));
            }
        }
    }

    #[test]
    fn any_pattern_is_read_or_refused(pattern in r#"[/*:{}\\a2%."é|;-]{0,24}"#, path in any::<Vec<u8>>()) {
        if let Ok(pattern) = Pattern::parse(&pattern)
            && let Ok(table) = PatternSet::compile(&[vec![pattern]], DEFAULT)
        {
            black_box(Matcher::read(&table).unwrap().groups(&path));
        }
    }
}
