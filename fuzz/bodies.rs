//! What is asserted of any bytes, as a policy in JSON and as an image. Run by `cargo fuzz`, and by the core's own tests with
//! random bytes.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tollgate_core::path::{Groups, Method};
use tollgate_core::policy::{Declared, Draft, Image, OptimizationLevel, Request, Spec};

/// Where an image holds its SHA-256.
const HASH: std::ops::Range<usize> = 48..80;

/// A policy in JSON is refused with reasons, or compiles to an image that is read again.
pub fn spec(json: &[u8]) {
    let Ok(spec) = Spec::parse(json) else { return };
    for level in [OptimizationLevel::O0, OptimizationLevel::O1, OptimizationLevel::O2] {
        let mut draft = match Draft::new(&spec, level) {
            Ok(draft) => draft,
            Err(faults) => return assert!(!faults.is_empty(), "refused without a reason"),
        };
        let tiers = u16::try_from(spec.tiers.len()).expect("a policy has at most 1,024 tiers");
        for (index, tier) in [None].into_iter().chain((0..tiers).map(Some)).enumerate() {
            let declared = Declared { tier, grant: None };
            draft.tenant(&format!("tenant-{index}"), declared).expect("a row without fault");
        }
        let compiled = draft.compile().expect("a policy without fault compiles");
        image(compiled.image.bytes());
        let again =
            Image::read(Arc::<[u8]>::from(compiled.image.bytes())).expect("what was compiled is read");
        assert_eq!(again.hash(), compiled.image.hash());
    }
}

/// Bytes are refused as an image, or are one that every question can be asked of.
pub fn image(bytes: &[u8]) {
    let Ok(image) = Image::read(Arc::<[u8]>::from(bytes)) else { return };
    let image = Arc::new(image);
    for index in (0..u32::try_from(image.tenants()).expect("at most ten million")).take(1000) {
        let (name, entry) = image.row(index).expect("a row that was counted");
        assert_eq!(image.tenant(&name).map(|row| (row.index, row.entry)), Some((index, entry)));
        assert!(image.tenant_by_prefix(name.prefix()).is_some());
        image.entry(entry).expect("an entry that a row names");
    }
    let groups = [Groups::NONE, Groups::ALL, image.path_groups(b"/a/../b;c/%41?d")];
    for (profile, groups) in (0..=u16::MAX).take(image.limits().min(100)).zip(groups.iter().cycle()) {
        for method in [Method::GET, Method::OTHER] {
            let mut last = None;
            image.matching(profile, method, groups, |rule| {
                assert!(last < Some(rule), "rules ascend");
                assert!(usize::from(rule) < image.rules().len());
                last = Some(rule);
            });
        }
    }
    for address in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"] {
        let address: IpAddr = address.parse().expect("an address");
        let request =
            Request { tenant: Some("tenant-0"), method: "GET", path: "/a", address: Some(address), cost: 1 };
        assert!(!image.explain(&request, |entry| Some(entry.into())).is_empty());
    }
    let again = Draft::of(&image).compile().expect("what is read can be changed");
    assert_eq!(again.image.tenants(), image.tenants());
}

/// As [`image`], with a length and a SHA-256 that are right, so that what is under them is looked at.
pub fn rehashed_image(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= HASH.end {
        let length = u32::try_from(bytes.len()).expect("less than 4 GiB");
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes[HASH].fill(0);
        let hash = Sha256::digest(&bytes);
        bytes[HASH].copy_from_slice(&hash);
    }
    image(&bytes);
}
