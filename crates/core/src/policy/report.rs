//! What a compiler did.

use serde::Serialize;

use super::image::Image;
use super::optimize::Programs;

/// What a compiler did, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Bytes of the image.
    pub bytes: usize,
    /// Rules that are there, without those that were merged into others.
    pub rules: usize,
    /// Tenants that the policy names.
    pub tenants: usize,
    /// Entries: the default, one for each rule, one for each class of tenants that are governed alike.
    pub limits: usize,
    /// Classes of tenants that the program tells apart.
    pub profiles: usize,
    /// Instructions of the program, 8 bytes each.
    pub instructions: usize,
    /// Tests that were not compiled because their outcome is known, over all profiles.
    pub folded: usize,
    /// Rules that no request is charged to unless it names them, and why.
    pub removed: Vec<(String, &'static str)>,
    /// Rules that do as another before them, and which.
    pub merged: Vec<(String, String)>,
    /// The optimization level.
    pub level: u8,
}

impl Report {
    pub(crate) fn of(image: &Image, programs: &Programs) -> Self {
        let rules = image.rules();
        let name = |rule: usize| rules.get(rule).map_or_else(String::new, |rule| rule.name.to_string());
        let removed = programs.removed.iter().map(|(rule, why)| (name(usize::from(*rule)), why.reason()));
        let merged = image.terms.merged.iter();
        let merged = merged.map(|(merged, into)| (merged.to_string(), name(usize::from(*into))));
        Self {
            bytes: image.bytes().len(),
            rules: rules.len(),
            tenants: image.tenants(),
            limits: image.limits(),
            profiles: image.profiles.len(),
            instructions: image.instructions(),
            folded: programs.folded,
            removed: removed.collect(),
            merged: merged.collect(),
            level: image.level().number(),
        }
    }
}
