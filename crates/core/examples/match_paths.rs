//! Compares targets with patterns, to hold this crate's matching against that of a router.
//!
//! Reads lines of text: `P` begins a new set of patterns and options (`P<TAB>cs<TAB>pattern<TAB>…`, where
//! `c` is there if case counts and `s` if trailing slashes do; each pattern is a group of its own), and `T<TAB>target` is a
//! target. Prints a line for each: `ok BYTES` or the error of a pattern; and the groups, separated by commas.

use std::io::{self, BufRead, Write};

use tollgate_core::path::{Matcher, PathOptions, Pattern, PatternSet};

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut table = Vec::new();
    let mut count = 0;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let mut fields = line.split('\t');
        match fields.next() {
            Some("P") => {
                let flags = fields.next().unwrap_or_default();
                let options =
                    PathOptions { case_sensitive: flags.contains('c'), strict: flags.contains('s') };
                let patterns: Result<Vec<_>, _> =
                    fields.map(|field| Pattern::parse(field).map(|pattern| vec![pattern])).collect();
                let compiled = patterns.map_err(|error| error.to_string()).and_then(|patterns| {
                    count = u16::try_from(patterns.len()).unwrap_or(u16::MAX);
                    PatternSet::compile(&patterns, options).map_err(|error| error.to_string())
                });
                match compiled {
                    Ok(bytes) => {
                        writeln!(out, "ok {}", bytes.len())?;
                        table = bytes;
                    }
                    Err(error) => writeln!(out, "{error}")?,
                }
            }
            Some("T") => {
                let target = fields.next().unwrap_or_default();
                let groups = Matcher::read(&table).map_err(io::Error::other)?.groups(target.as_bytes());
                let matched: Vec<String> = (0..count)
                    .filter(|group| groups.contains(*group))
                    .map(|group| group.to_string())
                    .collect();
                writeln!(out, "{}", matched.join(","))?;
            }
            _ => {}
        }
    }
    out.flush()
}
