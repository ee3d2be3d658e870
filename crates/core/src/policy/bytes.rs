//! Numbers and text in the sections of an image: LEB128, shortest form only, so that equal policies are equal bytes.

use super::layout::{ImageError, Section};

/// A section while it is being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time are what is wanted")]
    pub(crate) fn number(&mut self, number: impl Into<u64>) {
        let mut number: u64 = number.into();
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(count as u64);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }
}

/// A section while it is being read. Every way to read fails where the section ends.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    section: Section,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(section: Section, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, section }
    }

    pub(crate) const fn fault(&self, what: &'static str) -> ImageError {
        ImageError::Malformed { section: self.section, what }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ImageError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.fault("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ImageError> {
        self.take(1)?.first().copied().ok_or(self.fault("it ends too early"))
    }

    pub(crate) fn number(&mut self) -> Result<u64, ImageError> {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(self.fault("a number is not in its shortest form"));
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.fault("a number is too long"))
    }

    /// A number that must be less than `bound`.
    pub(crate) fn below(&mut self, bound: usize, what: &'static str) -> Result<usize, ImageError> {
        let number = self.number()?;
        usize::try_from(number).ok().filter(|&number| number < bound).ok_or(self.fault(what))
    }

    /// How many elements follow, of at least one byte each: a count that the section cannot hold is refused before
    /// anything is allocated for it.
    pub(crate) fn count(&mut self, most: usize) -> Result<usize, ImageError> {
        let most = most.min(self.rest.len());
        let count = self.number()?;
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= most)
            .ok_or(self.fault("it has too many elements"))
    }

    /// As many elements as a count says that follows, each read by `read`.
    pub(crate) fn list<T>(
        &mut self,
        most: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, ImageError>,
    ) -> Result<Vec<T>, ImageError> {
        let count = self.count(most)?;
        (0..count).map(|_| read(self)).collect()
    }

    pub(crate) fn text(&mut self) -> Result<Box<str>, ImageError> {
        let length = self.count(usize::MAX)?;
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| self.fault("a text is not UTF-8"))?;
        Ok(text.into())
    }

    /// That nothing is left.
    pub(crate) fn end(&self) -> Result<(), ImageError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault("it has bytes that mean nothing")) }
    }
}
