//! Who is always allowed, and who is always denied.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::policy::addresses::range;
use crate::policy::fault::{Faults, Place};
use crate::policy::name::LONGEST_NAME;
use crate::policy::spec::{ListSpec, Spec};

/// At most this many entries in each part of a list.
const MOST_LISTED: usize = 100_000;

/// Both lists. Tenants are by name, with the place in their list.
pub(super) struct Lists<'a> {
    pub(super) allowed: HashMap<&'a str, usize>,
    pub(super) denied: HashMap<&'a str, usize>,
    pub(super) allow: Vec<IpNet>,
    pub(super) deny: Vec<IpNet>,
}

impl<'a> Lists<'a> {
    pub(super) fn of(faults: &mut Faults, spec: &'a Spec) -> Self {
        let (allow, deny) = (Place::root("allow"), Place::root("deny"));
        let lists = Self {
            allowed: tenants(faults, &allow, &spec.allow),
            denied: tenants(faults, &deny, &spec.deny),
            allow: networks(faults, &allow, &spec.allow).into_iter().map(|(_, network)| network).collect(),
            deny: Vec::new(),
        };
        for (index, name) in spec.deny.tenants.iter().enumerate() {
            if let Some(other) = lists.allowed.get(name.as_str()) {
                let tenants = deny.key("tenants");
                twice(faults, &tenants.index(index), format_args!("{name:?}"), "tenants", *other);
            }
        }
        let mut allowed = HashMap::new();
        for (index, network) in lists.allow.iter().enumerate() {
            allowed.entry(range(*network)).or_insert(index);
        }
        let mut denied = Vec::new();
        for (index, network) in networks(faults, &deny, &spec.deny) {
            if let Some(other) = allowed.get(&range(network)) {
                let addresses = deny.key("addresses");
                twice(faults, &addresses.index(index), network, "addresses", *other);
            }
            denied.push(network);
        }
        Self { deny: denied, ..lists }
    }

    /// Is a tenant on either list, so that no rule is asked?
    pub(super) fn decide(&self, tenant: &str) -> bool {
        self.allowed.contains_key(tenant) || self.denied.contains_key(tenant)
    }
}

fn twice(faults: &mut Faults, place: &Place<'_>, given: impl std::fmt::Display, what: &str, other: usize) {
    let hint = format!("it is allow.{what}[{other}] as well");
    faults.add_with_hint(place, given, "on one list only", hint);
}

fn tenants<'a>(faults: &mut Faults, list: &Place<'_>, spec: &'a ListSpec) -> HashMap<&'a str, usize> {
    let place = list.key("tenants");
    if !is_short(faults, &place, spec.tenants.len(), MOST_LISTED) {
        return HashMap::new();
    }
    let mut names = HashMap::with_capacity(spec.tenants.len());
    for (index, name) in spec.tenants.iter().enumerate() {
        check_tenant(faults, &place.index(index), name);
        names.entry(name.as_str()).or_insert(index);
    }
    names
}

/// Networks, with their places in the list.
fn networks(faults: &mut Faults, list: &Place<'_>, spec: &ListSpec) -> Vec<(usize, IpNet)> {
    let place = list.key("addresses");
    if !is_short(faults, &place, spec.addresses.len(), MOST_LISTED) {
        return Vec::new();
    }
    let mut networks = Vec::with_capacity(spec.addresses.len());
    for (index, text) in spec.addresses.iter().enumerate() {
        let place = place.index(index);
        let Some(network) = network(text) else {
            let accepted = "an address, or a network such as 10.0.0.0/8 or 2001:db8::/32";
            faults.add(&place, format_args!("{text:?}"), accepted);
            continue;
        };
        if network.trunc() == network {
            networks.push((index, network));
        } else {
            let hint = format!("the network is {}", network.trunc());
            faults.add_with_hint(&place, format_args!("{text:?}"), "a network without bits of a host", hint);
        }
    }
    networks
}

/// An address is the network of itself alone.
fn network(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse().ok().map(|address: IpAddr| IpNet::from(address));
    };
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    IpNet::new(address.parse().ok()?, length.parse().ok().filter(|_| digits)?).ok()
}

/// Reports a list that is too long.
pub(super) fn is_short(faults: &mut Faults, place: &Place<'_>, length: usize, most: usize) -> bool {
    if length > most {
        faults.add(place, format_args!("{length} elements"), format!("at most {most}"));
    }
    length <= most
}

/// Reports a name that no tenant can have.
pub(super) fn check_tenant(faults: &mut Faults, place: &Place<'_>, name: &str) {
    if name.is_empty() || name.len() > LONGEST_NAME {
        let accepted = format!("the name of a tenant, of 1 to {LONGEST_NAME} bytes");
        faults.add(place, format_args!("{name:?}"), accepted);
    }
}
