//! A compiled policy: one flat run of bytes, verified whole, and decided by where it lies.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::OptimizationLevel;
use super::addresses::Addresses;
use super::bytes::Cursor;
use super::entries::{Class, Entry, Profile, Verdict, read_entries, read_profiles};
use super::grants::Windows;
use super::hash::ImageHash;
use super::layout::{ImageError, Layout, Section};
use super::name::NameHash;
use super::program::{Facts, Operation, Program};
use super::tenants::{HASH, Row, Tenants};
use super::terms::{Part, Rule, Terms, Tier};
use crate::path::{Groups, Method, SharedMatcher};

#[expect(clippy::struct_excessive_bools, reason = "each is a part of a request")]
/// What of a request its program looks at, and what the keys of its rules are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// The path.
    pub path: bool,
    /// The method.
    pub method: bool,
    /// The client's address.
    pub address: bool,
    /// The user.
    pub user: bool,
    /// Named keys: a mask over [`Image::key_names`].
    pub keys: u16,
}

/// A compiled policy. See [`super::layout`] for where things are in it.
#[derive(Debug)]
pub struct Image {
    bytes: Arc<[u8]>,
    layout: Layout,
    hash: Box<str>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) profiles: Box<[Profile]>,
    /// Where the program of each profile begins.
    starts: Box<[u32]>,
    program: Range<usize>,
    entries: Box<[Entry]>,
    pub(crate) tenants: Tenants,
    addresses: Addresses,
    matcher: Option<SharedMatcher>,
    needs: Needs,
}

impl Image {
    /// The entry of tenants that the policy does not name.
    pub const DEFAULT: u32 = 0;

    /// Verifies an image, whoever made it.
    ///
    /// # Errors
    /// Anything that a compiler of this version does not make.
    pub fn read(bytes: impl Into<Arc<[u8]>>) -> Result<Self, ImageError> {
        let bytes: Arc<[u8]> = bytes.into();
        let layout = Layout::read(&bytes)?;
        let section = |section| bytes.get(layout.range(section)).unwrap_or_default();
        let cursor = |of| Cursor::new(of, section(of));
        let windows = Windows::read(&mut cursor(Section::Windows))?;
        let (level, refuses) = (layout.level, layout.refuses_unknown);
        let terms = Terms::read(level, refuses, &mut cursor(Section::Terms), &windows)?;
        let (profiles, starts) = read_profiles(&mut cursor(Section::Profiles), &terms)?;
        let rows = section(Section::Tenants).len() / HASH;
        let entries = read_entries(&mut cursor(Section::Entries), &terms, &windows, &profiles, rows)?;
        Program(section(Section::Program)).verify(&terms, &starts)?;
        let tenants = Tenants::read(
            &bytes,
            layout.range(Section::Tenants),
            layout.range(Section::References),
            1 + terms.rules.len(),
            entries.len(),
        )?;
        let addresses = Addresses::read(&bytes, layout.range(Section::Addresses))?;
        let fault = |what| ImageError::Malformed { section: Section::Paths, what };
        let paths = layout.range(Section::Paths);
        let matcher = if terms.groups.is_empty() && paths.is_empty() {
            None
        } else {
            let matcher = SharedMatcher::read(Arc::clone(&bytes), paths);
            let matcher = matcher.map_err(|_| fault("it is no automaton"))?;
            if matcher.get().group_count() != terms.groups.len() {
                return Err(fault("it has not as many groups as there are"));
            }
            Some(matcher)
        };
        let hash = ImageHash(layout.hash).to_string();
        let mut image = Self {
            program: layout.range(Section::Program),
            bytes,
            layout,
            hash: hash.into(),
            terms: Arc::new(terms),
            profiles: profiles.into(),
            starts: starts.into(),
            entries: entries.into(),
            tenants,
            addresses,
            matcher,
            needs: Needs::default(),
        };
        image.needs = image.find_needs();
        Ok(image)
    }

    /// The image itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its SHA-256, in hexadecimal, as the image itself says it. Policies that say the same, compiled at the same level,
    /// have the same.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The same, as bytes.
    #[must_use]
    pub fn image_hash(&self) -> ImageHash {
        ImageHash(self.layout.hash)
    }

    /// How much was done to make it quick.
    #[must_use]
    pub fn level(&self) -> OptimizationLevel {
        self.layout.level
    }

    /// What a bucket is governed by. The first is [`Image::DEFAULT`], then comes one for each rule, then those of tenants.
    #[inline]
    #[must_use]
    pub fn entry(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize)
    }

    /// How many tenants the policy names, be it only in a list.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.tenants.count()
    }

    /// How many entries there are.
    #[must_use]
    pub fn limits(&self) -> usize {
        self.entries.len()
    }

    /// Are tenants refused that the policy does not name?
    #[must_use]
    pub fn refuses_unknown(&self) -> bool {
        self.terms.refuses_unknown
    }

    /// A tenant that the policy names.
    #[inline]
    #[must_use]
    pub fn tenant(&self, name: &NameHash) -> Option<Row> {
        self.tenants.find(name)
    }

    /// The first tenant whose hash has this [`NameHash::prefix`].
    #[inline]
    #[must_use]
    pub fn tenant_by_prefix(&self, prefix: u64) -> Option<Row> {
        self.tenants.find_prefix(prefix)
    }

    /// A tenant by its row, and its entry.
    #[must_use]
    pub fn row(&self, index: u32) -> Option<(NameHash, u32)> {
        self.tenants.row(index)
    }

    /// The rules, as declared; one that does as another before it is not among them.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.terms.rules
    }

    /// The index of a rule, also by the name of one that does the same.
    #[must_use]
    pub fn rule_named(&self, name: &str) -> Option<u16> {
        let terms = &self.terms;
        let index = terms.rules.iter().position(|rule| &*rule.name == name);
        let index = index.and_then(|index| u16::try_from(index).ok());
        index.or_else(|| terms.merged.iter().find(|(merged, _)| &**merged == name).map(|(_, into)| *into))
    }

    /// The tiers, sorted by name.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.terms.tiers
    }

    /// The tier of tenants of an entry.
    #[must_use]
    pub fn tier_of(&self, entry: &Entry) -> Option<&Tier> {
        let profile = self.profiles.get(usize::from(entry.profile))?;
        self.terms.tiers.get(usize::from(profile.tier?))
    }

    /// What [`Part::Named`] counts.
    #[must_use]
    pub fn key_names(&self) -> &[Box<str>] {
        &self.terms.key_names
    }

    /// What of a request is needed, to decide by this policy.
    #[inline]
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Which groups of patterns a path is in: of `req.url`, without the query.
    #[inline]
    #[must_use]
    pub fn path_groups(&self, path: &[u8]) -> Groups {
        self.matcher.as_ref().map_or_else(Groups::default, |matcher| matcher.get().groups(path))
    }

    /// Calls with each rule that a request is charged to, in ascending order.
    #[inline]
    pub fn matching(&self, profile: u16, method: Method, groups: &Groups, out: impl FnMut(u16)) {
        let profile = usize::from(profile);
        let (Some(&start), Some(known)) = (self.starts.get(profile), self.profiles.get(profile)) else {
            return;
        };
        let facts = Facts { method, groups, tier: known.tier, lists: known.lists };
        self.program().run(start, &facts).each(out);
    }

    /// What the lists say of an address; to be denied wins over being allowed.
    #[inline]
    #[must_use]
    pub fn listed(&self, address: IpAddr) -> Option<Verdict> {
        self.addresses.verdict(address)
    }

    pub(crate) fn class_of(&self, entry: &Entry) -> Class {
        let profile = self.profiles.get(usize::from(entry.profile)).copied().unwrap_or_default();
        Class { verdict: entry.verdict, named: entry.named, profile, declared: entry.declared }
    }

    #[inline]
    fn program(&self) -> Program<'_> {
        Program(self.bytes.get(self.program.clone()).unwrap_or_default())
    }

    /// Instructions of its program.
    pub(crate) fn instructions(&self) -> usize {
        self.program().len()
    }

    pub(crate) fn section(&self, section: Section) -> &[u8] {
        self.bytes.get(self.layout.range(section)).unwrap_or_default()
    }

    fn find_needs(&self) -> Needs {
        let mut needs = Needs { address: !self.addresses.is_empty(), ..Needs::default() };
        let program = self.program();
        for instruction in (0..program.len()).filter_map(|index| program.get(index)) {
            match instruction.operation {
                Operation::Path(_) => needs.path = true,
                Operation::Method(_) => needs.method = true,
                Operation::Charge(_) | Operation::Tier(_) | Operation::Listed(_) | Operation::End => {}
            }
        }
        // Of every rule, whether or not it is in the program: a request may name it.
        for part in self.terms.rules.iter().flat_map(|rule| &rule.per) {
            match part {
                Part::Tenant => {}
                Part::Address => needs.address = true,
                Part::User => needs.user = true,
                Part::Named(key) => needs.keys |= 1 << key,
            }
        }
        needs
    }
}
