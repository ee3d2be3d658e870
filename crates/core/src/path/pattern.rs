//! A path pattern as a policy writes it: the syntax of Express 5 (path-to-regexp 8), and the bare `*` of Express 4.

use thiserror::Error;

/// The longest pattern, in bytes.
const LONGEST_PATTERN: usize = 1_024;
/// The most parameters and wildcards in a pattern.
const MOST_PARAMETERS: usize = 32;
/// The most ways to take and leave out the optional groups of a pattern: as many as path-to-regexp accepts.
const MOST_WAYS: usize = 256;

/// A pattern that was parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    source: String,
    parts: Vec<Part>,
}

/// What a pattern is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Itself; escapes are resolved.
    Text(String),
    /// `:name`: one or more characters other than `/`.
    Parameter,
    /// `*name`: one or more characters.
    Wildcard,
    /// `*`: any characters, or none.
    Anything,
    /// `{…}`: may be left out.
    Group(Vec<Part>),
}

/// Why a pattern is refused. Offsets are in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Nothing at all.
    #[error("the pattern is empty; accepted is a path that begins with / or *")]
    Empty,
    /// More than 1,024 bytes.
    #[error("the pattern has {0} bytes; accepted are up to {LONGEST_PATTERN}")]
    TooLong(usize),
    /// More than 32 parameters and wildcards.
    #[error("the pattern has more than {MOST_PARAMETERS} parameters and wildcards")]
    TooManyParameters,
    /// More than 256 ways to take and leave out its groups.
    #[error("the optional groups of the pattern can be taken and left out in more than {MOST_WAYS} ways")]
    TooManyWays,
    /// It, or what is left without an optional group, begins with something else.
    #[error("the pattern, with or without its optional groups, has to begin with / or *")]
    NoSlash,
    /// A character that means nothing here.
    #[error("{what} at byte {at}; {accepted}")]
    Unexpected {
        /// What is there.
        what: String,
        /// Where, in bytes from the beginning.
        at: usize,
        /// What is accepted instead.
        accepted: &'static str,
    },
    /// Two parameters without text between them.
    #[error("two parameters or wildcards with no text between them; separate them, as in /:a/:b or /:a-:b")]
    Adjacent,
    /// Two slashes in a row.
    #[error("two slashes in a row; write one: it matches any number of them")]
    DoubleSlash,
    /// A segment `.` or `..`.
    #[error("a segment . or ..; write the path that it leads to")]
    DotSegment,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(source: &str) -> Result<Self, PatternError> {
        if source.is_empty() {
            return Err(PatternError::Empty);
        }
        if source.len() > LONGEST_PATTERN {
            return Err(PatternError::TooLong(source.len()));
        }
        let mut parser = Parser { source, at: 0, parameters: 0 };
        let parts = parser.parts(None)?;
        let pattern = Self { source: source.to_owned(), parts };
        for way in pattern.ways()? {
            accept(&way)?;
        }
        Ok(pattern)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Every way to take and leave out the groups, as parts without groups; texts that meet are one.
    pub(super) fn ways(&self) -> Result<Vec<Vec<Part>>, PatternError> {
        expand(&self.parts, vec![Vec::new()])
    }
}

fn expand(parts: &[Part], mut ways: Vec<Vec<Part>>) -> Result<Vec<Vec<Part>>, PatternError> {
    for part in parts {
        if let Part::Group(inner) = part {
            let mut with = expand(inner, ways.clone())?;
            with.append(&mut ways);
            ways = with;
            if ways.len() > MOST_WAYS {
                return Err(PatternError::TooManyWays);
            }
            continue;
        }
        for way in &mut ways {
            match (way.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => before.push_str(text),
                _ => way.push(part.clone()),
            }
        }
    }
    Ok(ways)
}

/// Refuses what no path, or no canonical path, can match.
fn accept(way: &[Part]) -> Result<(), PatternError> {
    match way.first() {
        Some(Part::Text(text)) if !text.starts_with('/') => return Err(PatternError::NoSlash),
        Some(Part::Parameter) => return Err(PatternError::NoSlash),
        _ => {}
    }
    for pair in way.windows(2) {
        if matches!(pair, [Part::Parameter | Part::Wildcard, Part::Parameter | Part::Wildcard]) {
            return Err(PatternError::Adjacent);
        }
    }
    for (index, part) in way.iter().enumerate() {
        let Part::Text(text) = part else { continue };
        if text.contains("//") {
            return Err(PatternError::DoubleSlash);
        }
        // A segment is whole only if no parameter touches it.
        let segments: Vec<&str> = text.split('/').collect();
        let ends = index + 1 == way.len();
        for (nth, segment) in segments.iter().enumerate() {
            let whole = nth > 0 && (nth + 1 < segments.len() || ends);
            if whole && (*segment == "." || *segment == "..") {
                return Err(PatternError::DotSegment);
            }
        }
    }
    Ok(())
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    parameters: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.source.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Parts up to the end, or up to the brace that closes the group opened at `opened`.
    fn parts(&mut self, opened: Option<usize>) -> Result<Vec<Part>, PatternError> {
        let mut parts = Vec::new();
        loop {
            let at = self.at;
            let Some(next) = self.next() else {
                return match opened {
                    None => Ok(parts),
                    Some(at) => Err(unexpected("an opening brace that is not closed", at, "close it with }")),
                };
            };
            let part = match next {
                '}' if opened.is_some() => return Ok(parts),
                '{' => Part::Group(self.group(at)?),
                ':' => {
                    if !self.name()? {
                        return Err(unexpected(
                            ": without a name",
                            at,
                            "write a name after it, or \\: for the character",
                        ));
                    }
                    self.parameter(Part::Parameter)?
                }
                '*' if self.name()? => self.parameter(Part::Wildcard)?,
                '*' => self.parameter(Part::Anything)?,
                '\\' => self.escaped(at)?,
                '%' => self.encoded(at)?,
                _ => literal(next, at)?,
            };
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
                (_, part) => parts.push(part),
            }
        }
    }

    fn group(&mut self, opened: usize) -> Result<Vec<Part>, PatternError> {
        let inner = self.parts(Some(opened))?;
        // Express 4 would read {2} as a repetition.
        match inner.as_slice() {
            [Part::Text(text)] if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b',') => {
                Err(unexpected("a group of digits", opened, "write two patterns, with it and without"))
            }
            _ => Ok(inner),
        }
    }

    fn parameter(&mut self, part: Part) -> Result<Part, PatternError> {
        self.parameters += 1;
        if self.parameters > MOST_PARAMETERS { Err(PatternError::TooManyParameters) } else { Ok(part) }
    }

    /// Skips a name, if there is one.
    fn name(&mut self) -> Result<bool, PatternError> {
        let from = self.at;
        if self.peek() == Some('"') {
            self.quoted()?;
            return Ok(true);
        }
        while let Some(next) = self.peek() {
            // Which of these continue a name depends on the version of Unicode.
            if !next.is_ascii() {
                return Err(unexpected(
                    format!("{next:?} in or after the name of a parameter"),
                    self.at,
                    "names are of a-z, A-Z, 0-9, _ and $; quote other names, as in :\"name\"",
                ));
            }
            if !(next.is_ascii_alphabetic()
                || matches!(next, '_' | '$')
                || self.at > from && next.is_ascii_digit())
            {
                break;
            }
            self.at += 1;
        }
        Ok(self.at > from)
    }

    fn quoted(&mut self) -> Result<(), PatternError> {
        let opened = self.at;
        self.at += 1;
        loop {
            match self.next() {
                Some('"') if self.at > opened + 2 => return Ok(()),
                Some('"') => return Err(unexpected("an empty name", opened, "write a name in the quotes")),
                Some('\\') => {
                    self.next();
                }
                Some(_) => {}
                None => return Err(unexpected("a quote that is not closed", opened, "close it with \"")),
            }
        }
    }

    fn escaped(&mut self, at: usize) -> Result<Part, PatternError> {
        match self.next() {
            None => Err(unexpected("\\ at the end", at, "write \\\\ for the character")),
            // Express 4 would read \d as any digit.
            Some(next) if next.is_ascii_alphanumeric() => Err(unexpected(
                format!("\\{next}"),
                at,
                "letters and digits are not escaped: write them as they are",
            )),
            Some(next @ ('?' | '#')) => literal(next, at),
            Some(next) => Ok(Part::Text(next.into())),
        }
    }

    /// An escape of a byte, which is two hexadecimal digits after a `%`.
    fn encoded(&mut self, at: usize) -> Result<Part, PatternError> {
        let digits = self.source.get(self.at..self.at + 2);
        let Some(byte) = digits
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        else {
            return Err(unexpected(
                "% without two hexadecimal digits",
                at,
                "write %25 for the character, which is how a path has it",
            ));
        };
        self.at += 2;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            return Err(unexpected(
                format!("%{}, which is {}", digits.unwrap_or_default(), char::from(byte)),
                at,
                "write the character: it matches both spellings",
            ));
        }
        Ok(Part::Text(self.source.get(at..self.at).unwrap_or_default().to_owned()))
    }
}

fn literal(next: char, at: usize) -> Result<Part, PatternError> {
    let accepted = match next {
        '?' | '#' => {
            "a path ends before it: write %3F or %23 for the character in a path, and {…} for what is optional"
        }
        '(' | ')' | '[' | ']' | '+' | '!' => {
            "regular expressions are not accepted; escape the character with \\"
        }
        // Express 4 would match either side of it.
        '|' => "write one pattern for each alternative, or \\| for the character",
        '}' => "there is no group to close; write \\} for the character",
        _ if next.is_control() => "a path has no control characters",
        _ => return Ok(Part::Text(next.into())),
    };
    Err(unexpected(format!("{next:?}"), at, accepted))
}

fn unexpected(what: impl Into<String>, at: usize, accepted: &'static str) -> PatternError {
    PatternError::Unexpected { what: what.into(), at, accepted }
}
