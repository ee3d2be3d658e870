//! Rows and networks are found where they lie.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::json;
use tollgate_core::limit::{Algorithm, Grant};
use tollgate_core::policy::name::PREFIX_BITS;
use tollgate_core::policy::{Declared, Draft, Image, NameHash, OptimizationLevel, Spec, Verdict};
use tollgate_core::window::Window;
use tollgate_core::{Nanos, policy::Compiled};

fn spec(allow: &[String], deny: &[String]) -> Spec {
    let limit = json!({ "quota": 9, "windowMs": 1000, "algorithm": "token-bucket" });
    let spec = json!({ "default": limit, "allow": { "addresses": allow }, "deny": { "addresses": deny } });
    serde_json::from_value(spec).unwrap()
}

fn grant(quota: u64) -> Grant {
    let window = Window::Span(Nanos::from_secs(60));
    Grant::Tokens { algorithm: Algorithm::FixedWindow, quota, burst: 0, window }
}

/// `count` tenants, with as many limits as `limits` says.
fn policy(count: u64, limits: u64) -> Compiled {
    let mut draft = Draft::new(&spec(&[], &[]), OptimizationLevel::O2).unwrap();
    for index in 0..count {
        let grant = Some(grant(1 + index % limits));
        draft.tenant(&format!("tenant-{index}"), Declared { tier: None, grant }).unwrap();
    }
    draft.compile().unwrap()
}

fn assert_found(image: &Image, count: u64, limits: u64) {
    assert_eq!(image.tenants() as u64, count);
    for index in 0..count {
        let name = NameHash::of(format!("tenant-{index}").as_bytes());
        let row = image.tenant(&name).unwrap();
        assert_eq!(image.entry(row.entry).unwrap().declared, grant(1 + index % limits));
        assert_eq!(image.row(row.index), Some((name, row.entry)));
        assert_eq!(image.tenant_by_prefix(name.prefix()), Some(row));
        assert_eq!(image.tenant(&NameHash::of(format!("stranger-{index}").as_bytes())), None);
    }
    assert_eq!(image.row(u32::try_from(count).unwrap()), None);
}

#[test]
fn a_tenant_is_found_among_few_and_among_many() {
    for count in [0, 1, 2, 255, 256, 257, 258, 1000, 5000] {
        assert_found(&policy(count, 7).image, count, 7);
    }
}

#[test]
fn more_limits_than_two_bytes_tell_apart_are_told_apart() {
    let count = 70_000;
    let policy = policy(count, count);
    assert_eq!(policy.report.limits as u64, count + 1);
    assert!(policy.report.bytes as u64 <= 40 * count, "{} bytes", policy.report.bytes);
    assert_found(&policy.image, count, count);
}

#[test]
fn a_prefix_is_the_leading_bits() {
    let name = NameHash::from_bytes([0xff; 16]);
    assert_eq!(name.prefix(), (1 << PREFIX_BITS) - 1);
    let name = NameHash::from_bytes([0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(name.prefix(), 1);
    assert_eq!(format!("{name:?}"), "00000000000000800000000000000001");
}

/// A network of few addresses, so that networks meet and addresses are found in them.
fn network() -> impl Strategy<Value = String> {
    prop_oneof![
        (any::<u8>(), 24_u32..=32).prop_map(|(host, length)| {
            let bits =
                u32::from(host) & (u32::MAX << (32 - length).min(31)) & if length == 32 { !0 } else { !1 };
            format!("10.0.0.{}/{length}", bits & 255)
        }),
        (any::<u8>(), 120_u32..=128).prop_map(|(host, length)| {
            let bits =
                u32::from(host) & (u32::MAX << (128 - length).min(31)) & if length == 128 { !0 } else { !1 };
            format!("2001:db8::{:x}/{length}", bits & 255)
        }),
        any::<u8>().prop_map(|host| format!("::ffff:10.0.0.{host}")),
    ]
}

/// Does a network hold an address, as one would say it?
fn holds(network: &str, address: IpAddr) -> bool {
    let (base, length) = network.split_once('/').unwrap_or((network, "128"));
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    let base: IpAddr = base.parse().unwrap();
    let length = length.parse::<u32>().unwrap() + if base.is_ipv4() { 96 } else { 0 };
    bits(base).checked_shr(128 - length) == bits(address).checked_shr(128 - length)
}

proptest! {
    #[test]
    fn an_address_is_listed_if_a_network_holds_it(
        allow in prop::collection::vec(network(), 0..8),
        deny in prop::collection::vec(network(), 0..8),
    ) {
        // What is on both lists is refused.
        let Ok(draft) = Draft::new(&spec(&allow, &deny), OptimizationLevel::O2) else { return Ok(()) };
        let image = draft.compile().unwrap().image;
        for host in 0..=255_u8 {
            for address in [
                format!("10.0.0.{host}"),
                format!("::ffff:10.0.0.{host}"),
                format!("2001:db8::{host:x}"),
                format!("10.0.1.{host}"),
            ] {
                let address: IpAddr = address.parse().unwrap();
                let is_in = |list: &[String]| list.iter().any(|network| holds(network, address));
                let expected = if is_in(&deny) {
                    Some(Verdict::Deny)
                } else {
                    is_in(&allow).then_some(Verdict::Allow)
                };
                prop_assert_eq!(image.listed(address), expected, "{}", address);
            }
        }
    }
}
