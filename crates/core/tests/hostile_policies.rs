//! Policies and images from anybody: refused with a reason, or harmless.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails, fails")]

#[path = "../../../fuzz/bodies.rs"]
#[allow(unreachable_pub, reason = "a crate of its own, for cargo fuzz")]
mod bodies;

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use tollgate_core::policy::{Declared, Draft, Image, ImageError, OptimizationLevel, Spec};

/// A policy that has something of everything.
fn json() -> Vec<u8> {
    let spec = json!({
        "default": { "quota": 100, "burst": 20, "windowMs": 60_000, "algorithm": "token-bucket" },
        "unknownTenant": "reject",
        "tiers": {
            "free": { "quota": 10, "windowMs": 1000, "algorithm": "sliding-window" },
            "gold": { "quota": "unlimited", "windowMs": 1000, "algorithm": "token-bucket" },
        },
        "rules": [
            { "name": "search", "match": { "method": ["GET"], "path": ["/search", "/find/*rest"] },
              "per": ["tenant", "user", "region"], "quota": 5, "burst": 1, "windowMs": 1000,
              "algorithm": "fixed-window", "cost": 2 },
            { "name": "find", "match": { "method": ["GET"], "path": ["/find/*rest", "/search"] },
              "per": ["region", "user", "tenant"], "quota": 5, "burst": 1, "windowMs": 1000,
              "algorithm": "fixed-window", "cost": 2 },
            { "name": "exports", "match": { "path": ["/exports"], "tier": ["gold", "free"] }, "concurrency": 2 },
            { "name": "monthly", "match": { "tenant": ["acme", "tenant-1"] }, "per": ["ip"], "quota": 1000,
              "windowMs": "month", "algorithm": "fixed-window", "mode": "shadow" },
        ],
        "allow": { "tenants": ["health"], "addresses": ["10.0.0.0/8", "::1"] },
        "deny": { "tenants": ["mallory"], "addresses": ["203.0.113.7", "2001:db8::/32"] },
    });
    serde_json::to_vec(&spec).unwrap()
}

fn image(rows: u32) -> Vec<u8> {
    let spec = Spec::parse(&json()).unwrap();
    let mut draft = Draft::new(&spec, OptimizationLevel::O2).unwrap();
    for index in 0..rows {
        let tier = [None, Some(0), Some(1)][index as usize % 3];
        draft.tenant(&format!("tenant-{index}"), Declared { tier, grant: None }).unwrap();
    }
    draft.compile().unwrap().image.bytes().to_vec()
}

#[test]
fn a_policy_with_everything_holds_what_the_bodies_assert() {
    bodies::spec(&json());
    bodies::image(&image(5));
    bodies::rehashed_image(&image(500));
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let mut bytes = image(5);
    for place in 0..bytes.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            assert!(Image::read(Arc::<[u8]>::from(&*bytes)).is_err(), "byte {place}, bit {bit}");
            bytes[place] ^= 1 << bit;
        }
    }
    assert!(Image::read(bytes).is_ok());
}

#[test]
fn an_image_that_is_cut_off_or_goes_on_is_refused() {
    let mut bytes = image(5);
    for length in 0..bytes.len() {
        assert!(Image::read(Arc::<[u8]>::from(&bytes[..length])).is_err(), "{length} bytes");
    }
    let actual = bytes.len() as u64 + 1;
    bytes.push(0);
    let refused = Image::read(bytes).unwrap_err();
    assert_eq!(refused, ImageError::Length { said: actual - 1, actual });
}

#[test]
fn an_image_of_a_later_version_says_so() {
    let mut bytes = image(0);
    bytes[4] = 2;
    assert_eq!(Image::read(bytes).unwrap_err(), ImageError::Version { found: 2 });
    assert_eq!(Image::read(Vec::new()).unwrap_err(), ImageError::NotAnImage);
}

#[test]
fn a_change_under_a_right_hash_is_refused_or_harmless_wherever_it_is() {
    let mut bytes = image(5);
    for place in 80..bytes.len() {
        let before = bytes[place];
        for value in [0, 1, 0x7f, 0x80, 0xff, before ^ 1, before.wrapping_add(1)] {
            bytes[place] = value;
            bodies::rehashed_image(&bytes);
        }
        bytes[place] = before;
    }
}

proptest! {
    #[test]
    fn random_bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        bodies::spec(&bytes);
        bodies::image(&bytes);
        bodies::rehashed_image(&bytes);
        let begun: Vec<u8> = b"TGPI\x01\0\x02\0".iter().copied().chain(bytes).collect();
        bodies::rehashed_image(&begun);
    }

    #[test]
    fn mutated_policies_are_harmless(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut json = json();
        for (place, byte) in &changes {
            let place = place.index(json.len());
            json[place] = *byte;
        }
        bodies::spec(&json);
    }

    #[test]
    fn mutated_images_are_harmless(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = image(5);
        for (place, byte) in &changes {
            let place = place.index(bytes.len());
            bytes[place] = *byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        bodies::image(&bytes);
        bodies::rehashed_image(&bytes);
    }
}
