//! What JavaScript says of a request, read once into memory that is kept from call to call.

use std::net::IpAddr;
use std::ops::Range;

use arrayvec::ArrayVec;
use tollgate_core::path::LONGEST_PATH;

use crate::session::LONGEST_NAME;

/// The client's address as a key, the user, and the most keys that a policy names.
pub const VALUES_OF_ONE: usize = 18;

/// The same of two policies that are compared.
pub const MOST_VALUES: usize = 34;

/// What JavaScript says of a request.
#[derive(Default)]
pub struct Arguments {
    bytes: Vec<u8>,
    name: Option<Range<usize>>,
    target: Option<Range<usize>>,
    address: Option<IpAddr>,
    values: ArrayVec<Option<Range<usize>>, MOST_VALUES>,
}

impl Arguments {
    /// Forgets the request before.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.values.clear();
        (self.name, self.target, self.address) = (None, None, None);
    }

    /// Reads a request in the order of the hot call: name, target, address, values.
    pub fn read<'a>(&mut self, said: impl Iterator<Item = Option<&'a [u16]>>) {
        self.clear();
        for (place, units) in said.enumerate() {
            let text = units.and_then(|units| String::from_utf16(units).ok());
            let bytes = text.as_deref().map(str::as_bytes);
            match place {
                0 => self.set_name(bytes),
                // As the hot call reads it.
                1 => self.set_target(units.map(String::from_utf16_lossy).as_deref().map(str::as_bytes)),
                2 => self.set_address(bytes),
                _ => self.add_value(bytes),
            }
        }
    }

    /// The tenant, or the client's address as a key; `None` for what cannot be either.
    pub fn set_name(&mut self, name: Option<&[u8]>) {
        self.name = self.keep(name, LONGEST_NAME);
    }

    /// The target: what Node calls `req.url`. Of one that is too long, enough is kept to see that.
    pub fn set_target(&mut self, target: Option<&[u8]>) {
        let target = target.map(|target| target.get(..=LONGEST_PATH).unwrap_or(target));
        self.target = self.keep(target, LONGEST_PATH + 1);
    }

    /// The client's address, in letters; what is none is on no list. A zone (`fe80::1%eth0`) is the server's business, and
    /// an IPv4 address in IPv6's clothes is what it is.
    pub fn set_address(&mut self, address: Option<&[u8]>) {
        let letters = address.and_then(|address| std::str::from_utf8(address).ok());
        let bare = letters.map(|letters| letters.split_once('%').map_or(letters, |(bare, _zone)| bare));
        self.address =
            bare.and_then(|bare| bare.parse::<IpAddr>().ok()).map(|address| address.to_canonical());
    }

    /// The next part of a rule's key. One that is too long or malformed counts as one that is not there.
    pub fn add_value(&mut self, value: Option<&[u8]>) {
        let value = self.keep(value, LONGEST_NAME);
        // More than a policy can name are nobody's.
        let _ = self.values.try_push(value);
    }

    fn keep(&mut self, part: Option<&[u8]>, longest: usize) -> Option<Range<usize>> {
        let part = part.filter(|part| part.len() <= longest)?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        Some(start..self.bytes.len())
    }

    fn part(&self, range: Option<&Range<usize>>) -> Option<&[u8]> {
        self.bytes.get(range?.clone())
    }

    pub fn name(&self) -> Option<&[u8]> {
        self.part(self.name.as_ref())
    }

    pub fn target(&self) -> Option<&[u8]> {
        self.part(self.target.as_ref())
    }

    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Fills in the values; most requests have none.
    #[inline]
    pub fn values<'a>(&'a self, values: &mut ArrayVec<Option<&'a [u8]>, MOST_VALUES>) {
        values.extend(self.values.iter().map(|range| self.part(range.as_ref())));
    }
}
