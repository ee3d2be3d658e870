//! Networks that are listed: ranges of addresses, sorted and apart, searched where they lie.
//!
//! Four lists: denied and allowed, of IPv4 and of IPv6. First the number of ranges in each, u32; then the ranges, first and
//! last address, little-endian. An IPv4 address mapped into IPv6 is the IPv4 address.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use ipnet::IpNet;

use super::entries::Verdict;
use super::layout::{ImageError, Section};

/// The lists, in their order, with the bytes of an address in each.
const LISTS: [(Verdict, usize); 4] =
    [(Verdict::Deny, IPV4), (Verdict::Allow, IPV4), (Verdict::Deny, IPV6), (Verdict::Allow, IPV6)];
const IPV4: usize = 4;
const IPV6: usize = 16;
const COUNTS: usize = 4 * LISTS.len();

/// An address as it is listed.
fn number(address: IpAddr) -> (usize, u128) {
    match address.to_canonical() {
        IpAddr::V4(address) => (IPV4, u128::from(address.to_bits())),
        IpAddr::V6(address) => (IPV6, address.to_bits()),
    }
}

/// A network in its own family: one of IPv4 addresses mapped into IPv6 is the IPv4 network.
pub(crate) fn range(network: IpNet) -> (usize, u128, u128) {
    let (first, last) = (number(network.network()), number(network.broadcast()));
    if first.0 == last.0 {
        (first.0, first.1, last.1)
    } else {
        // It holds all mapped addresses, and more.
        let bits = |address| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits(),
        };
        (IPV6, bits(network.network()), bits(network.broadcast()))
    }
}

/// The section that lists these networks.
pub(crate) fn write(deny: &[IpNet], allow: &[IpNet]) -> Vec<u8> {
    if deny.is_empty() && allow.is_empty() {
        return Vec::new();
    }
    let (mut counts, mut ranges) = (Vec::with_capacity(COUNTS), Vec::new());
    for (verdict, width) in LISTS {
        let networks = if verdict == Verdict::Deny { deny } else { allow };
        let list = merged(networks.iter().map(|&network| range(network)).filter(|range| range.0 == width));
        // At most 100,000 are declared.
        counts.extend_from_slice(&u32::try_from(list.len()).unwrap_or(u32::MAX).to_le_bytes());
        for address in list.into_iter().flat_map(<[u128; 2]>::from) {
            ranges.extend(address.to_le_bytes().into_iter().take(width));
        }
    }
    [counts, ranges].concat()
}

/// Sorted, and with those made one that meet.
fn merged(ranges: impl Iterator<Item = (usize, u128, u128)>) -> Vec<(u128, u128)> {
    let mut sorted: Vec<(u128, u128)> = ranges.map(|(_, first, last)| (first, last)).collect();
    sorted.sort_unstable();
    let mut apart: Vec<(u128, u128)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match apart.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => apart.push((first, last)),
        }
    }
    apart
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Addresses {
    bytes: Arc<[u8]>,
    /// Where each of [`LISTS`] is.
    lists: [Range<usize>; LISTS.len()],
}

impl Addresses {
    pub(crate) fn read(bytes: &Arc<[u8]>, section: Range<usize>) -> Result<Self, ImageError> {
        let fault = |what| ImageError::Malformed { section: Section::Addresses, what };
        let mut addresses = Self { bytes: Arc::clone(bytes), lists: Default::default() };
        if section.is_empty() {
            return Ok(addresses);
        }
        let mut at = section.start + COUNTS;
        for (index, (range, (_, width))) in addresses.lists.iter_mut().zip(LISTS).enumerate() {
            let count = section.start + 4 * index;
            let count = bytes.get(count..count + 4).filter(|_| at <= section.end);
            let count = count.and_then(|count| count.try_into().ok()).map(u32::from_le_bytes);
            let count = count.ok_or(fault("it ends too early"))? as usize;
            let end = at + count * 2 * width;
            if end > section.end {
                return Err(fault("it ends too early"));
            }
            *range = at..end;
            at = end;
        }
        if at != section.end {
            return Err(fault("it has bytes that mean nothing"));
        }
        for (list, (_, width)) in addresses.lists.iter().zip(LISTS) {
            let mut before = None;
            for index in 0..list.len() / (2 * width) {
                let (first, last) = addresses.range(list, width, index).ok_or(fault("it ends too early"))?;
                let apart =
                    before.is_none_or(|before: u128| before.checked_add(1).is_some_and(|next| next < first));
                if first > last || !apart {
                    return Err(fault("ranges do not ascend"));
                }
                before = Some(last);
            }
        }
        Ok(addresses)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lists.iter().all(Range::is_empty)
    }

    /// What the lists say of an address; to be denied wins over being allowed.
    pub(crate) fn verdict(&self, address: IpAddr) -> Option<Verdict> {
        let (width, address) = number(address);
        let mut lists =
            self.lists.iter().zip(LISTS).filter(|(list, (_, of))| *of == width && !list.is_empty());
        lists.find(|(list, _)| self.holds(list, width, address)).map(|(_, (verdict, _))| verdict)
    }

    fn range(&self, list: &Range<usize>, width: usize, index: usize) -> Option<(u128, u128)> {
        let start = list.start + index * 2 * width;
        let number = |start: usize| {
            let mut number = [0; IPV6];
            number.get_mut(..width)?.copy_from_slice(self.bytes.get(start..start + width)?);
            Some(u128::from_le_bytes(number))
        };
        Some((number(start)?, number(start + width)?))
    }

    fn holds(&self, list: &Range<usize>, width: usize, address: u128) -> bool {
        let (mut low, mut high) = (0, list.len() / (2 * width));
        while low < high {
            let middle = low.midpoint(high);
            match self.range(list, width, middle) {
                Some((first, _)) if address < first => high = middle,
                Some((_, end)) if address > end => low = middle + 1,
                found => return found.is_some(),
            }
        }
        false
    }
}
