//! Spellings of a path that mean the same.

use std::borrow::Cow;

/// What to do with percent-encoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Leave them: Express compares them as they are.
    Keep,
    /// Decode what has to mean the same decoded; the others get upper case digits.
    Decode,
}

/// What to do with `;parameters` of segments (RFC 3986 section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameters {
    Keep,
    Drop,
}

/// The path (UTF-8) in visible ASCII: other characters become their escapes, without case if `fold`, where ASCII
/// keeps its case.
///
/// Bytes that are not UTF-8 are read as Latin-1, which is how Node reads what a client sends. With
/// [`Escapes::Keep`], the spelling of a part of a path is a part of its spelling.
pub(super) fn spell(path: &[u8], escapes: Escapes, fold: bool) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(path.len() + path.len() / 2);
    let mut at = 0;
    while let Some(unit) = Unit::read(path, at, escapes) {
        at += unit.length;
        match unit.byte {
            b'%' if escapes == Escapes::Keep => spelled.push(b'%'),
            // What separates segments, and their parameters, does not when it is encoded.
            b'%' | b'/' | b'\\' | b';' if unit.encoded => escape(unit.byte, &mut spelled),
            b'%' => escape(b'%', &mut spelled),
            0x21..=0x7E => spelled.push(unit.byte),
            0..=0x20 | 0x7F => escape(unit.byte, &mut spelled),
            0x80.. => {
                let (character, length) = character(path, at - unit.length, escapes);
                at += length - unit.length;
                let character = if fold { without_case(character) } else { character };
                for &byte in character.encode_utf8(&mut [0; 4]).as_bytes() {
                    escape(byte, &mut spelled);
                }
            }
        }
    }
    spelled
}

/// A byte of a path, or the escape of one.
#[derive(Clone, Copy)]
struct Unit {
    byte: u8,
    encoded: bool,
    length: usize,
}

impl Unit {
    fn read(path: &[u8], at: usize, escapes: Escapes) -> Option<Self> {
        let byte = *path.get(at)?;
        if let (b'%', Escapes::Decode, Some(&[high, low])) = (byte, escapes, path.get(at + 1..at + 3))
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            return Some(Self { byte: high << 4 | low, encoded: true, length: 3 });
        }
        Some(Self { byte, encoded: false, length: 1 })
    }
}

/// The character outside ASCII that begins at `at`, and how many bytes of the path it takes.
fn character(path: &[u8], at: usize, escapes: Escapes) -> (char, usize) {
    let mut bytes = [0; 4];
    let (mut count, mut length, mut first) = (0, 0, None);
    while let (Some(place), Some(unit)) = (bytes.get_mut(count), Unit::read(path, at + length, escapes)) {
        *place = unit.byte;
        count += 1;
        length += unit.length;
        first.get_or_insert(unit);
        if let Some(Ok(text)) = bytes.get(..count).map(std::str::from_utf8)
            && let Some(character) = text.chars().next()
        {
            return (character, length);
        }
    }
    first.map_or(('\u{FFFD}', 1), |unit| (char::from(unit.byte), unit.length))
}

/// As a regular expression of JavaScript with the flag `i` compares characters: by their upper case, unless that is
/// several characters, or ASCII (ECMA-262, `Canonicalize`).
fn without_case(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) if !single.is_ascii() && u32::from(single) <= 0xFFFF => single,
        _ => character,
    }
}

fn escape(byte: u8, spelled: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    spelled.push(b'%');
    spelled.extend([byte >> 4, byte & 0xF].iter().filter_map(|&half| DIGITS.get(usize::from(half))));
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Whether [`resolve`] could change the path: it has a segment that begins with a dot, or a backslash.
pub(super) fn has_dot_segments(path: &[u8]) -> bool {
    path.contains(&b'\\') || path.windows(2).any(|pair| pair == b"/.") || path.first() == Some(&b'.')
}

/// The path without dot segments, as URLs are resolved (WHATWG): a backslash is a slash, and `..` takes away what is
/// before it, even if that is empty.
pub(super) fn resolve(path: &[u8], parameters: Parameters) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut remaining = path.split(|&byte| byte == b'/' || byte == b'\\').peekable();
    // Before the first slash.
    remaining.next_if(|first| first.is_empty());
    while let Some(segment) = remaining.next() {
        let segment = match parameters {
            Parameters::Keep => segment,
            Parameters::Drop => segment.split(|&byte| byte == b';').next().unwrap_or_default(),
        };
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    segments.pop();
                }
                // A dot segment at the end leaves a slash.
                if remaining.peek().is_none() {
                    segments.push(b"");
                }
            }
            _ => segments.push(segment),
        }
    }
    let mut resolved = Vec::with_capacity(path.len() + 1);
    for segment in segments {
        resolved.push(b'/');
        resolved.extend_from_slice(segment);
    }
    resolved
}

/// The spellings of a path that patterns are compared with, each of which some router or server would go by. `each` is
/// called with every one that is not obviously another.
pub(super) fn spellings(path: &[u8], fold: bool, mut each: impl FnMut(&[u8])) {
    let plain = path.iter().all(|byte| (0x21..0x7F).contains(byte));
    let encoded = path.contains(&b'%');
    if plain {
        each(path);
    } else {
        each(&spell(path, Escapes::Keep, fold));
    }
    let decoded =
        if plain && !encoded { Cow::Borrowed(path) } else { Cow::Owned(spell(path, Escapes::Decode, fold)) };
    if encoded {
        each(&decoded);
    }
    if has_dot_segments(&decoded) {
        each(&resolve(&decoded, Parameters::Keep));
    }
    if decoded.contains(&b';') {
        each(&resolve(&decoded, Parameters::Drop));
    }
}
