//! Where in a request's target (RFC 9112 section 3.2) the path is.

use super::word::common_prefix;

/// The path of a request's target, `req.url` as Node gives it, without the query. `None` if routers would not agree
/// which part that is, or what it says: Express reads such targets with Node's `url.parse`, which moves, rewrites and drops
/// characters. Clients do not send them by accident.
#[must_use]
pub fn strip(target: &[u8]) -> Option<&[u8]> {
    let end = target.iter().position(|&byte| matches!(byte, b'?' | b'#')).unwrap_or(target.len());
    let (path, rest) = target.split_at_checked(end)?;
    match path {
        [b'/', ..] => {
            // Express looks closer where one of these is anywhere in the target, be it in the query.
            let parsed = || rest.iter().chain(path).any(|&byte| is_space(byte) || byte == b'#');
            (is_literal(path) || !parsed()).then_some(path)
        }
        // Nothing counts as /; the other is the asterisk-form, of OPTIONS.
        b"" | b"*" => Some(path),
        _ => absolute(path).filter(|path| is_literal(path)),
    }
}

/// The path of the absolute-form, which clients send to proxies.
fn absolute(target: &[u8]) -> Option<&[u8]> {
    let colon = target.iter().position(|&byte| byte == b':')?;
    let (scheme, rest) = target.split_at_checked(colon)?;
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let (host, path) = rest.split_at_checked(rest.iter().position(|&byte| byte == b'/')?)?;
    is_host(host).then_some(path)
}

/// Whether it is a host name or an address, maybe with a port. What `url.parse` does not take for one, it moves into
/// the path.
fn is_host(host: &[u8]) -> bool {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let name = host.get(..host.len() - digits).and_then(|rest| rest.strip_suffix(b":")).unwrap_or(host);
    match name {
        [] => false,
        [b'[', address @ .., b']'] => {
            address.iter().all(|&byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
        }
        _ => name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    }
}

/// Whether `url.parse` would leave the path as it is.
fn is_literal(path: &[u8]) -> bool {
    !path.starts_with(b"//") && path.iter().all(|&byte| (0x21..0x7F).contains(&byte) && !is_rewritten(byte))
}

const fn is_rewritten(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#')
}

/// The bytes that `parseurl` looks for, of which some are parts of characters here.
fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0C | b'\r' | b' ' | 0xA0 | 0xEF)
}

/// The path, if it is ordinary: it has only one spelling, and is what [`strip`] gives.
#[inline]
pub(super) fn ordinary(target: &[u8]) -> Option<&[u8]> {
    match target {
        [b'/', b'/', ..] => return None,
        [b'/', ..] => {}
        _ => return None,
    }
    let common = common_prefix(target);
    if common == target.len() {
        return Some(target);
    }
    ordinary_from(target, common)
}

/// Byte by byte, from one before which all are ordinary.
fn ordinary_from(target: &[u8], start: usize) -> Option<&[u8]> {
    let (before, rest) = target.split_at_checked(start)?;
    let mut last = before.last();
    let mut length = start;
    for byte in rest {
        match KINDS.get(usize::from(*byte)) {
            Some(Kind::Ordinary) => {}
            Some(Kind::Dot) if last != Some(&b'/') => {}
            Some(Kind::Query) => break,
            _ => return None,
        }
        last = Some(byte);
        length += 1;
    }
    target.get(..length)
}

/// What a byte means to a path.
#[derive(Clone, Copy)]
enum Kind {
    Ordinary,
    Dot,
    Query,
    /// It may have other spellings.
    Other,
}

static KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Other; 256];
    let mut byte = 0x21_u8;
    while byte < 0x7F {
        kinds[byte as usize] = match byte {
            b'.' => Kind::Dot,
            b'?' => Kind::Query,
            b'%' | b';' => Kind::Other,
            _ if is_rewritten(byte) => Kind::Other,
            _ => Kind::Ordinary,
        };
        byte += 1;
    }
    kinds
};
