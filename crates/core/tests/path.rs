//! Which paths a pattern matches: what Express would route there, in every spelling, and not much else.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::sync::Arc;

use tollgate_core::path::{
    Groups, LONGEST_PATH, Matcher, PathError, PathOptions, Pattern, PatternError, PatternSet, SharedMatcher,
    strip,
};

const DEFAULT: PathOptions = PathOptions { case_sensitive: false, strict: false };
const CASE_SENSITIVE: PathOptions = PathOptions { case_sensitive: true, strict: false };
const STRICT: PathOptions = PathOptions { case_sensitive: false, strict: true };

/// Each pattern is a group.
fn table(patterns: &[impl AsRef<str>], options: PathOptions) -> Vec<u8> {
    let groups: Vec<_> =
        patterns.iter().map(|pattern| vec![Pattern::parse(pattern.as_ref()).unwrap()]).collect();
    PatternSet::compile(&groups, options).unwrap()
}

fn matches(pattern: &str, options: PathOptions, target: &str) -> bool {
    Matcher::read(&table(&[pattern], options)).unwrap().groups(target.as_bytes()).contains(0)
}

fn assert_matches(pattern: &str, options: PathOptions, matching: &[&str], others: &[&str]) {
    for target in matching {
        assert!(matches(pattern, options, target), "{pattern} has to match {target}");
    }
    for target in others {
        assert!(!matches(pattern, options, target), "{pattern} must not match {target}");
    }
}

#[test]
fn text_matches_itself_in_any_case_with_a_slash_at_the_end_or_without() {
    let others = ["/", "/user", "/users1", "/users/7", "/xusers", "/a/users", ""];
    assert_matches("/users", DEFAULT, &["/users", "/users/", "/USERS", "/Users/?a=/b", "/users?"], &others);
    assert_matches("/users/", DEFAULT, &["/users", "/users/", "/uSers"], &others);
    assert_matches("/", DEFAULT, &["/", "", "/?a"], &["/a", "/a/"]);
}

#[test]
fn a_parameter_matches_one_segment_or_a_part_of_one() {
    assert_matches(
        "/users/:id",
        DEFAULT,
        &["/users/7", "/users/a.b/", "/users/-"],
        &["/users", "/users/", "/users/7/a"],
    );
    assert_matches("/:a-:b", DEFAULT, &["/x-y", "/x-y-z"], &["/x-", "/-y", "/x/-y", "/xy"]);
    assert_matches("/:name.json", DEFAULT, &["/a.json", "/a.json.json"], &["/.json", "/a.jso", "/a/b.json"]);
    assert_matches(r#"/:"a name"b"#, DEFAULT, &["/ab", "/bb"], &["/b", "/a"]);
}

#[test]
fn a_named_wildcard_takes_a_character_or_more_and_a_bare_one_may_take_none() {
    assert_matches("/files/*path", DEFAULT, &["/files/a", "/files/a/b/"], &["/files", "/files/", "/filesa"]);
    assert_matches(
        "/files/*path/raw",
        DEFAULT,
        &["/files/a/raw", "/files/a/b/raw"],
        &["/files/raw", "/files/a"],
    );
    assert_matches("/files*", DEFAULT, &["/files", "/files/", "/filesa", "/files/a/b"], &["/file"]);
    // A router mounted at /files sees / for /files, which its route /* matches.
    assert_matches("/files/*", DEFAULT, &["/files", "/files/", "/files/a/b"], &["/filesa"]);
    assert_matches("*", DEFAULT, &["/", "", "*", "/a/b", "/%ff"], &[]);
    assert_matches("*/admin/*", DEFAULT, &["/admin/", "/x/admin/y", "/admin"], &["/x/adminy", "/x"]);
}

#[test]
fn an_optional_group_may_be_there_or_not() {
    assert_matches("/a{/:b}", DEFAULT, &["/a", "/a/", "/a/x"], &["/a/x/y", "/ax"]);
    assert_matches("/a{b{c}}d", DEFAULT, &["/ad", "/abd", "/abcd"], &["/acd", "/a"]);
    assert_matches("{/:lang}/about", DEFAULT, &["/about", "/de/about"], &["/a/b/about"]);
    assert_matches("/f{/*rest}", DEFAULT, &["/f", "/f/a/b"], &["/fa"]);
}

#[test]
fn an_escaped_character_means_itself() {
    assert_matches(r"/a\:b", DEFAULT, &["/a:b", "/a%3Ab"], &["/a", "/axb"]);
    assert_matches(r"/\*", DEFAULT, &["/*", "/%2a"], &["/a"]);
    assert_matches(r"/\(a\)\|\{b\}", DEFAULT, &["/(a)|{b}", "/%28a%29%7c%7Bb%7d"], &["/a"]);
}

#[test]
fn no_spelling_of_a_path_slips_by() {
    let spellings = [
        "//api//users",
        "/api///users//",
        "/api/%75sers",
        "/%61%70%69/users",
        "/API/%55SERS",
        "/api/./users",
        "/api/x/../users",
        "/api/%2e/users",
        "/api/x/%2E%2e/users",
        "/api/x/.%2e/users/.",
        "/x/../../api/users",
        "/api;v=1/users;a=b;c",
        "/api/..;/api/users",
        "/api\\users",
        "/api/x/..\\users",
        "/api//x/..//users",
        "http://example.com/api/users",
        "HTTPS://[::1]:8080/API/%75sers?x",
        "/api/users#a",
        "/api/users;%2f",
    ];
    assert_matches("/api/users", DEFAULT, &spellings, &[]);
    let others =
        ["/api%2Fusers", "/api/%2575sers", "/api/users%3Bx", "/api/x/..%2fusers", "/api/...", "/apiusers"];
    assert_matches("/api/users", DEFAULT, &[], &others);
}

#[test]
fn dot_segments_are_both_resolved_and_taken_for_parameters() {
    assert_matches("/:a/:b", DEFAULT, &["/x/..", "/./x", "/a/b/../c", "/x/y/z/.."], &["/x/y/z/w/.."]);
    assert_matches("/x", DEFAULT, &["/x/y/..", "/y/../x", "/x/."], &["/x/y/z/.."]);
}

#[test]
fn escapes_are_compared_without_case_and_text_outside_ascii_with_its_escapes() {
    let matching = ["/caf%C3%A9", "/caf%c3%a9", "/caf\u{e9}", "/caf\u{c9}", "/CAF%C3%89"];
    assert_matches("/caf\u{e9}", DEFAULT, &matching, &["/cafe", "/caf", "/caf%C3%A8"]);
    assert_matches("/caf%C3%A9", DEFAULT, &matching, &["/cafe", "/caf", "/caf%C3%A8"]);
    assert_matches("/caf%c3%a9", CASE_SENSITIVE, &matching[..3], &["/caf\u{c9}", "/CAF%C3%89", "/caF\u{e9}"]);
    // Node reads what is not UTF-8 as Latin-1.
    let latin = table(&["/\u{e9}"], DEFAULT);
    assert!(Matcher::read(&latin).unwrap().groups(b"/\xe9").contains(0));
    assert_matches("/a%20b%2Fc", DEFAULT, &["/a%20b%2fc"], &["/a%20b/c", "/ab"]);
}

#[test]
fn an_escape_may_be_cut_by_what_a_parameter_takes() {
    // Express 4 matches (.*)2D with x%2D, which is x-.
    assert_matches("/x*2D", DEFAULT, &["/x%2D", "/x%2d", "/x2D", "/x/y2D"], &["/x-"]);
}

#[test]
fn case_and_a_slash_at_the_end_count_if_asked() {
    assert_matches("/Users/:id", CASE_SENSITIVE, &["/Users/x", "//Users/x/"], &["/users/x", "/USERS/x"]);
    assert_matches("/users", STRICT, &["/users", "/USERS", "//users"], &["/users/", "/users//"]);
    // The route / of a router mounted at /users is reached by both.
    assert_matches("/users/", STRICT, &["/users/", "/users"], &["/users/a"]);
    assert_matches("/users/*all", STRICT, &["/users/a", "/users/a/"], &["/users", "/users/"]);
}

#[test]
fn a_target_whose_path_routers_would_not_agree_on_matches_everything() {
    let unclear = [
        "//user@host/a#",
        "/a\\b#",
        "/a{b}?#",
        "/a\u{a0}",
        "ftp://host/a",
        "javascript://host/a",
        "http://user@host/a",
        "http://host",
        "http://host?/a",
        "http://host\\a/b",
        "http://host:80a/b",
        "http:/a",
        "a",
    ];
    for target in unclear {
        assert_eq!(strip(target.as_bytes()), None, "{target}");
    }
    assert_matches("/never", DEFAULT, &unclear, &[]);
    for (target, path) in
        [("/a?b#c", "/a"), ("/a#b?c", "/a"), ("//u@h/a", "//u@h/a"), ("http://h:8/a?b", "/a"), ("*", "*")]
    {
        assert_eq!(strip(target.as_bytes()), Some(path.as_bytes()), "{target}");
    }
}

#[test]
fn a_path_that_is_too_long_matches_everything() {
    let table = table(&["/a/*rest"], DEFAULT);
    let matcher = Matcher::read(&table).unwrap();
    let path = |length: usize| format!("/b{}", "x".repeat(length - 2));
    assert!(!matcher.groups(path(LONGEST_PATH).as_bytes()).contains(0));
    assert!(matcher.groups(path(LONGEST_PATH + 1).as_bytes()).contains(0));
    // The query does not count.
    let query = format!("/b?{}", "x".repeat(2 * LONGEST_PATH));
    assert!(!matcher.groups(query.as_bytes()).contains(0));
}

#[test]
fn paths_of_every_length_are_read_to_their_end() {
    for length in 1..300 {
        let path = format!("/{}e", "ab.c/d-E".chars().cycle().take(length).collect::<String>());
        let matching = [path.clone(), format!("{path}?q"), format!("{path}/"), path.to_uppercase()];
        let shorter = path.strip_suffix('e').unwrap().to_owned();
        let others =
            [format!("{path}x"), format!("{path}x?q"), format!("{path}/x"), format!("{shorter}?e"), shorter];
        let table = table(&[&path], DEFAULT);
        let matcher = Matcher::read(&table).unwrap();
        assert!(matching.iter().all(|target| matcher.groups(target.as_bytes()).contains(0)), "{path}");
        assert!(!others.iter().any(|target| matcher.groups(target.as_bytes()).contains(0)), "{path}");
    }
}

#[test]
fn what_is_no_pattern_is_refused_with_the_place_and_the_reason() {
    let refused = [
        ("", "the pattern is empty; accepted is a path that begins with / or *"),
        ("users", "the pattern, with or without its optional groups, has to begin with / or *"),
        (":id", "the pattern, with or without its optional groups, has to begin with / or *"),
        ("{/a}b", "the pattern, with or without its optional groups, has to begin with / or *"),
        ("/a//b", "two slashes in a row; write one: it matches any number of them"),
        ("/a/{/b}", "two slashes in a row; write one: it matches any number of them"),
        ("/a/../b", "a segment . or ..; write the path that it leads to"),
        ("/a/.{.}", "a segment . or ..; write the path that it leads to"),
        (
            "/:a:b",
            "two parameters or wildcards with no text between them; separate them, as in /:a/:b or /:a-:b",
        ),
        ("/%41", "%41, which is A at byte 1; write the character: it matches both spellings"),
        (
            "/a%2:b",
            "% without two hexadecimal digits at byte 2; write %25 for the character, which is how a path has it",
        ),
        (
            "/a?b",
            "'?' at byte 2; a path ends before it: write %3F or %23 for the character in a path, and {…} for what is optional",
        ),
        (
            r"/\#",
            "'#' at byte 1; a path ends before it: write %3F or %23 for the character in a path, and {…} for what is optional",
        ),
        ("/(a)", "'(' at byte 1; regular expressions are not accepted; escape the character with \\"),
        ("/a|/b", "'|' at byte 2; write one pattern for each alternative, or \\| for the character"),
        (r"/\d", "\\d at byte 1; letters and digits are not escaped: write them as they are"),
        ("/a\\", "\\ at the end at byte 2; write \\\\ for the character"),
        ("/:", ": without a name at byte 1; write a name after it, or \\: for the character"),
        ("/:1", ": without a name at byte 1; write a name after it, or \\: for the character"),
        (
            "/:é",
            "'é' in or after the name of a parameter at byte 2; names are of a-z, A-Z, 0-9, _ and $; quote other names, as in :\"name\"",
        ),
        ("/:\"a", "a quote that is not closed at byte 2; close it with \""),
        ("/:\"\"", "an empty name at byte 2; write a name in the quotes"),
        ("/a{b", "an opening brace that is not closed at byte 2; close it with }"),
        ("/a}", "'}' at byte 2; there is no group to close; write \\} for the character"),
        ("/a{2}", "a group of digits at byte 2; write two patterns, with it and without"),
        ("/a\n", "'\\n' at byte 2; a path has no control characters"),
    ];
    for (pattern, reason) in refused {
        assert_eq!(Pattern::parse(pattern).unwrap_err().to_string(), reason, "{pattern}");
    }
}

#[test]
fn patterns_are_bounded_in_length_parameters_and_ways() {
    let long = format!("/{}", "a".repeat(1_023));
    assert_eq!(Pattern::parse(&long).unwrap().as_str(), long);
    assert_eq!(Pattern::parse(&format!("{long}a")), Err(PatternError::TooLong(1_025)));
    assert!(Pattern::parse(&"/:a".repeat(32)).is_ok());
    assert_eq!(Pattern::parse(&"/:a".repeat(33)), Err(PatternError::TooManyParameters));
    assert!(Pattern::parse(&format!("/a{}", "{b}".repeat(8))).is_ok());
    assert_eq!(Pattern::parse(&format!("/a{}", "{b}".repeat(9))), Err(PatternError::TooManyWays));
    assert_eq!(
        Pattern::parse(&format!("/{}{}", "{a".repeat(300), "}".repeat(300))),
        Err(PatternError::TooManyWays)
    );
}

#[test]
fn sets_are_bounded_in_groups_and_patterns() {
    let pattern = Pattern::parse("/a").unwrap();
    assert_eq!(PatternSet::compile(&vec![vec![]; 257], DEFAULT), Err(PathError::TooManyGroups(257)));
    assert_eq!(PatternSet::compile(&[vec![pattern; 1_025]], DEFAULT), Err(PathError::TooManyPatterns(1_025)));
    let groups: Vec<_> =
        (0..256).map(|group| vec![Pattern::parse(&format!("/g{group}")).unwrap(); 4]).collect();
    let table = PatternSet::compile(&groups, DEFAULT).unwrap();
    let matcher = Matcher::read(&table).unwrap();
    assert_eq!(matcher.group_count(), 256);
    for group in 0..256 {
        let mut only = Groups::NONE;
        only.insert(group);
        assert_eq!(matcher.groups(format!("/G{group}/").as_bytes()), only);
    }
    let empty = PatternSet::compile(&[], DEFAULT).unwrap();
    assert_eq!(Matcher::read(&empty).unwrap().groups(b"/a"), Groups::NONE);
}

#[test]
fn a_thousand_long_routes_fit_and_one_takes_a_few_hundred_bytes() {
    let routes: Vec<_> = (0..1_024)
        .map(|route| {
            let pattern = format!(
                "/api/v{}/resource-{route}/:id/sub-resources/{}/:other{{/*rest}}",
                route % 7,
                route * 31
            );
            vec![Pattern::parse(&pattern).unwrap()]
        })
        .collect();
    let groups: Vec<Vec<Pattern>> = routes.chunks(4).map(<[_]>::concat).collect();
    assert!(PatternSet::compile(&groups, DEFAULT).unwrap().len() < 1 << 20);
    assert!(table(&["/api/v1/users/:id"], DEFAULT).len() < 512);
}

#[test]
fn patterns_whose_product_is_too_large_for_one_automaton_take_several() {
    let patterns: Vec<String> = (0..20).map(|index| format!("*/part{index}/*")).collect();
    let table = table(&patterns, DEFAULT);
    let matcher = Matcher::read(&table).unwrap();
    let groups = matcher.groups(b"/part3/x/part19/part7/part20");
    let found: Vec<u16> = (0..256).filter(|group| groups.contains(*group)).collect();
    assert_eq!(found, [3, 7, 19]);

    // Which of the last 30 segments begin with x: nothing smaller than 2^30 states knows.
    let remembering = Pattern::parse(&format!("/*a/x:b{}", "/:c".repeat(30))).unwrap();
    assert_eq!(PatternSet::compile(&[vec![remembering]], DEFAULT), Err(PathError::TooComplex));
}

#[test]
fn the_same_patterns_are_the_same_bytes() {
    let patterns = ["/a/:b", "/a/*c", "/é{/f}", "*"];
    assert_eq!(table(&patterns, DEFAULT), table(&patterns, DEFAULT));
    assert_ne!(table(&patterns, DEFAULT), table(&patterns, CASE_SENSITIVE));
}

#[test]
fn a_table_is_read_out_of_what_it_is_shared_in() {
    let table = table(&["/a"], DEFAULT);
    let bytes: Arc<[u8]> = [&[7; 5][..], &table, &[9; 3]].concat().into();
    let matcher = SharedMatcher::read(Arc::clone(&bytes), 5..5 + table.len()).unwrap();
    assert!(matcher.get().groups(b"/a").contains(0));
    assert!(SharedMatcher::read(Arc::clone(&bytes), 4..5 + table.len()).is_err());
    assert!(SharedMatcher::read(bytes, 5..900).is_err());
}
