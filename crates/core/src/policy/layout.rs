//! Where things are in an image.
//!
//! ```text
//!  0  "TGPI"
//!  4  format version, u16
//!  6  optimization level, u8
//!  7  flags, u8: 1 = tenants that are not named are refused
//!  8  length of the whole, u32
//! 12  length of each section, u32
//! 48  SHA-256 of the whole, with zeroes in this place
//! 80  the sections, one after the other, each begun at a multiple of 8 and filled up with zeroes
//! ```
//!
//! Numbers are little-endian. Sections that are searched are used where they lie; the others are short, and are decoded
//! once. What an image says is in its hash, so two policies that say the same have the same hash on every machine.

use std::fmt;
use std::ops::Range;

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::OptimizationLevel;

const MAGIC: [u8; 4] = *b"TGPI";

/// The only version of the format there has been.
pub const FORMAT_VERSION: u16 = 1;

const LENGTHS: usize = 12;
const HASH: Range<usize> = LENGTHS + 4 * Section::ALL.len()..LENGTHS + 4 * Section::ALL.len() + 32;
const HEADER: usize = HASH.end;
const ALIGNMENT: usize = 8;
const REFUSES_UNKNOWN: u8 = 1;

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The windows of all limits: each limit names one by its index.
    Windows,
    /// Tiers, rules, key names, the source of patterns.
    Terms,
    /// The classes of tenants that the program tells apart.
    Profiles,
    /// What buckets are governed by.
    Entries,
    /// The decision program.
    Program,
    /// The automaton that matches paths.
    Paths,
    /// Networks that are listed.
    Addresses,
    /// Tenants: the hashes of their names, sorted.
    Tenants,
    /// Tenants: their entries, in the same order.
    References,
}

impl Section {
    pub(crate) const ALL: [Self; 9] = [
        Self::Windows,
        Self::Terms,
        Self::Profiles,
        Self::Entries,
        Self::Program,
        Self::Paths,
        Self::Addresses,
        Self::Tenants,
        Self::References,
    ];
}

impl fmt::Display for Section {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Windows => "windows",
            Self::Terms => "terms",
            Self::Profiles => "profiles",
            Self::Entries => "entries",
            Self::Program => "program",
            Self::Paths => "paths",
            Self::Addresses => "addresses",
            Self::Tenants => "tenants",
            Self::References => "references",
        })
    }
}

/// Why bytes were refused as an image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ImageError {
    /// They do not begin like one.
    #[error("this is no policy image")]
    NotAnImage,
    /// A later Tollgate made them.
    #[error("the image is of format version {found}; this version of Tollgate reads {FORMAT_VERSION}")]
    Version {
        /// The version that they say they are of.
        found: u16,
    },
    /// They are cut off, or something was appended.
    #[error("the image says that it has {said} bytes, and has {actual}")]
    Length {
        /// The length that they say they have.
        said: u64,
        /// The length that they have.
        actual: u64,
    },
    /// They are not what was written.
    #[error("the image is damaged: its SHA-256 is another than it says")]
    Damaged,
    /// They hash as they say, but are not what a compiler makes.
    #[error("the image is malformed: {section}: {what}")]
    Malformed {
        /// In which part.
        section: Section,
        /// What is wrong there.
        what: &'static str,
    },
    /// The header says what no compiler writes.
    #[error("the image is malformed: header")]
    Header,
}

/// The header of an image, and where its sections are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) level: OptimizationLevel,
    pub(crate) refuses_unknown: bool,
    pub(crate) hash: [u8; 32],
    sections: [Range<usize>; Section::ALL.len()],
}

impl Layout {
    pub(crate) fn range(&self, section: Section) -> Range<usize> {
        self.sections.get(section as usize).cloned().unwrap_or_default()
    }

    /// Verifies everything but what is in the sections.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ImageError> {
        if bytes.get(..4) != Some(&MAGIC) {
            return Err(ImageError::NotAnImage);
        }
        let cut = ImageError::Length { said: HEADER as u64, actual: bytes.len() as u64 };
        let version = bytes.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_le_bytes);
        match version {
            None => return Err(cut),
            Some(FORMAT_VERSION) => {}
            Some(found) => return Err(ImageError::Version { found }),
        }
        let header = bytes.get(..HEADER).ok_or(cut)?;
        let word = |at: usize| {
            let word = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
            word.ok_or(ImageError::Header)
        };
        let said = word(8)?;
        if u64::from(said) != bytes.len() as u64 {
            return Err(ImageError::Length { said: said.into(), actual: bytes.len() as u64 });
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(header.get(HASH).ok_or(ImageError::Header)?);
        if digest(bytes) != hash {
            return Err(ImageError::Damaged);
        }
        let (level, flags) = match header.get(6..8) {
            Some(&[level, flags]) => (OptimizationLevel::from_number(level), flags),
            _ => (None, 0),
        };
        let level = level.filter(|_| flags & !REFUSES_UNKNOWN == 0).ok_or(ImageError::Header)?;
        let mut sections = <[Range<usize>; Section::ALL.len()]>::default();
        let mut end = HEADER;
        for (index, range) in sections.iter_mut().enumerate() {
            let start = end;
            let length = usize::try_from(word(LENGTHS + 4 * index)?).map_err(|_| ImageError::Header)?;
            let stop = start.checked_add(length).ok_or(ImageError::Header)?;
            end = stop.next_multiple_of(ALIGNMENT);
            let padding = bytes.get(stop..end).ok_or(ImageError::Header)?;
            if padding.iter().any(|&byte| byte != 0) {
                return Err(ImageError::Header);
            }
            *range = start..stop;
        }
        if end != bytes.len() {
            return Err(ImageError::Header);
        }
        Ok(Self { level, refuses_unknown: flags & REFUSES_UNKNOWN != 0, hash, sections })
    }

    /// An image of these sections; `None` if it would be above 4 GiB.
    pub(crate) fn write(
        level: OptimizationLevel,
        refuses_unknown: bool,
        sections: [&[u8]; Section::ALL.len()],
    ) -> Option<Vec<u8>> {
        let length = sections.iter().try_fold(HEADER, |length, section| {
            Some(length.checked_add(section.len())?.next_multiple_of(ALIGNMENT))
        })?;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&[level.number(), u8::from(refuses_unknown) * REFUSES_UNKNOWN]);
        bytes.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
        for section in sections {
            bytes.extend_from_slice(&u32::try_from(section.len()).ok()?.to_le_bytes());
        }
        bytes.resize(HEADER, 0);
        for section in sections {
            bytes.extend_from_slice(section);
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        }
        let hash = digest(&bytes);
        bytes.get_mut(HASH)?.copy_from_slice(&hash);
        Some(bytes)
    }
}

/// SHA-256 of the whole, with zeroes where the hash is.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let (before, rest) = bytes.split_at(HASH.start.min(bytes.len()));
    hash.update(before);
    hash.update([0; HASH.end - HASH.start]);
    hash.update(rest.get(HASH.end - HASH.start..).unwrap_or_default());
    hash.finalize().into()
}
