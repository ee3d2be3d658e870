//! Eight bytes of a path at once, the first in the lowest bits.

/// A byte in each of the eight.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

const HIGH_BITS: u64 = each(0x80);

/// The 8 bytes from one on; zeros after the end.
#[inline]
pub(super) fn word_at(path: &[u8], at: usize) -> u64 {
    let remaining = path.get(at..).unwrap_or_default();
    if let Some(word) = remaining.first_chunk() {
        u64::from_le_bytes(*word)
    } else if let Some(last) = path.last_chunk() {
        // In two steps, because a word cannot be shifted by all of its bits.
        u64::from_le_bytes(*last) >> 8 >> (8 * (7 - remaining.len()))
    } else {
        remaining.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
    }
}

/// Where the first byte is, of those from `at` on, that is `byte` if the bits of `case` are set; or else the end.
#[inline]
pub(super) fn find(path: &[u8], mut at: usize, byte: u8, case: u8) -> usize {
    while at < path.len() {
        let difference = (word_at(path, at) | each(case)) ^ each(byte);
        // The lowest high bit is that of the first byte without a difference.
        let same = difference.wrapping_sub(each(1)) & !difference & HIGH_BITS;
        if same != 0 {
            return path.len().min(at + same.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    path.len()
}

/// How many bytes at the beginning are certainly letters, digits, `/`, `:`, `-` or `_`.
#[inline]
pub(super) fn common_prefix(path: &[u8]) -> usize {
    let (words, rest) = path.as_chunks();
    for (word, at) in words.iter().zip((0..).step_by(8)) {
        if !are_common(u64::from_le_bytes(*word)) {
            return at;
        }
    }
    let end = path.len() - rest.len();
    let after = each(b'a').unbounded_shl(u8::BITS * u32::try_from(rest.len()).unwrap_or(0));
    if are_common(word_at(path, end) | after) { path.len() } else { end }
}

#[inline]
fn are_common(word: u64) -> bool {
    // In each byte that is ASCII, the high bit of these tells whether it is at least `first`.
    let at_least = |word: u64, first: u8| word + each(0x80 - first);
    let ascii = word & !HIGH_BITS;
    let lower = ascii | each(0x20);
    let letters = at_least(lower, b'a') & !at_least(lower, b'z' + 1);
    let digits = at_least(ascii, b'/') & !at_least(ascii, b':' + 1);
    let others = !at_least(ascii ^ each(b'-'), 1) | !at_least(ascii ^ each(b'_'), 1);
    (letters | digits | others) & !word & HIGH_BITS == HIGH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_common_or_not_wherever_they_are() {
        for byte in 0..=u8::MAX {
            let common = byte.is_ascii_alphanumeric() || b"/:-_".contains(&byte);
            for length in 1..20 {
                for at in 0..length {
                    let mut path = vec![b'q'; length];
                    path[at] = byte;
                    let prefix = common_prefix(&path);
                    assert!(
                        if common { prefix == length } else { prefix <= at && at - prefix < 8 },
                        "{byte} at {at}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_byte_is_found_where_it_first_is_and_nothing_after_the_end() {
        for length in 0..20 {
            let path = vec![b'x'; length];
            assert_eq!(find(&path, 0, b'/', 0), length);
            assert_eq!(find(&path, 0, 0, 0), length);
            for at in 0..length {
                let mut path = path.clone();
                path[at..].fill(b'A');
                for from in 0..=at {
                    assert_eq!(find(&path, from, b'a', 0x20), at);
                }
            }
        }
    }

    #[test]
    fn words_have_the_bytes_that_are_there_and_zeros() {
        let path: Vec<u8> = (1..=20).collect();
        for length in 0..=path.len() {
            for at in 0..=length {
                let mut expected = [0; 8];
                expected.iter_mut().zip(&path[at..length]).for_each(|(place, &byte)| *place = byte);
                assert_eq!(word_at(&path[..length], at).to_le_bytes(), expected);
            }
        }
    }
}
