//! A draft into an image.

use std::sync::Arc;

use thiserror::Error;

use super::addresses;
use super::draft::{Base, Draft};
use super::entries::{Class, MOST_ENTRIES, Profile, write_classes, write_profiles};
use super::grants::Windows;
use super::image::Image;
use super::layout::{ImageError, Layout, Section};
use super::merge::Classified;
use super::name::NameHash;
use super::optimize::programs;
use super::report::Report;
use super::tenants::{MOST_TENANTS, are_wide};

/// Why a draft was not compiled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CompileError {
    /// A tenant has two rows.
    #[error("{count} tenants have more than one row")]
    Duplicate {
        /// How many such tenants there are.
        count: usize,
        /// One of them.
        first: NameHash,
    },
    /// It would be too large.
    #[error("a policy of {given} {what}; accepted are at most {most}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// What was compiled does not read: a fault of the compiler.
    #[error("the compiler made an image that it does not read: {0}")]
    Unreadable(#[from] ImageError),
}

/// A policy, compiled.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// What an engine decides by.
    pub image: Arc<Image>,
    /// What the compiler did.
    pub report: Report,
}

impl Draft {
    /// The image, and what was done to make it.
    ///
    /// # Errors
    /// See [`CompileError`].
    pub fn compile(mut self) -> Result<Compiled, CompileError> {
        let classified = self.classified()?;
        at_most(classified.rows.len(), MOST_TENANTS, "tenants")?;
        let first = 1 + self.terms.rules.len();
        let (classes, entry_of) = classified.in_order(first);
        at_most(first + classes.len(), MOST_ENTRIES, "different limits")?;
        let mut profiles = vec![Profile::default()];
        profiles.extend(
            classes
                .chunk_by(|one, other| one.profile == other.profile)
                .filter_map(|same| Some(same.first()?.profile)),
        );
        profiles.sort_unstable();
        profiles.dedup();
        at_most(profiles.len(), usize::from(u16::MAX) + 1, "combinations of tier and lists of tenants")?;

        let rows = classified.rows;
        let wide = are_wide(first + classes.len());
        let mut hashes = Vec::with_capacity(rows.len() * 16);
        let mut references = Vec::with_capacity(rows.len() * if wide { 4 } else { 2 });
        for (name, class) in &rows {
            hashes.extend_from_slice(&name.bytes());
            let entry = entry_of.get(*class as usize).copied().unwrap_or_default().to_le_bytes();
            references.extend_from_slice(entry.get(..if wide { 4 } else { 2 }).unwrap_or_default());
        }
        drop(rows);

        let grants = self.terms.grants().chain(classes.iter().map(|class| class.declared));
        let windows = Windows::of(grants);
        let programs = programs(&self.terms, &profiles);
        let entries =
            write_classes(&classes, &windows, |profile| profiles.binary_search(profile).unwrap_or_default());
        let mut instructions = Vec::with_capacity(programs.instructions.len() * 8);
        instructions.extend(programs.instructions.iter().flat_map(|instruction| instruction.bytes()));
        let networks;
        let (paths, listed) = match &self.base {
            Base::Spec(checked) => {
                networks = addresses::write(&checked.deny, &checked.allow);
                (&*checked.paths, &*networks)
            }
            Base::Image(image) => (image.section(Section::Paths), image.section(Section::Addresses)),
        };
        let bytes = Layout::write(
            self.terms.level,
            self.terms.refuses_unknown,
            [
                &windows.write(),
                &self.terms.write(&windows),
                &write_profiles(&profiles, &programs.starts),
                &entries,
                &instructions,
                paths,
                listed,
                &hashes,
                &references,
            ],
        );
        let largest = u32::MAX as usize;
        let bytes = bytes.ok_or(CompileError::TooLarge { what: "bytes", given: largest, most: largest })?;
        let image = Arc::new(Image::read(bytes)?);
        let report = Report::of(&image, &programs);
        Ok(Compiled { image, report })
    }
}

impl Classified {
    /// The different classes in their order, and the entry of each number: from `first` on, in that order and not in the
    /// one in which the classes came.
    fn in_order(&self, first: usize) -> (Vec<Class>, Vec<usize>) {
        let classes = self.classes.iter().enumerate().zip(&self.used);
        let mut sorted: Vec<(usize, Class)> =
            classes.filter(|(_, used)| **used).map(|((number, class), _)| (number, *class)).collect();
        // Stable, because that is quick where most are sorted, as after a change of a compiled policy.
        sorted.sort_by_key(|(_, class)| class.order());
        let mut different: Vec<Class> = Vec::new();
        let mut entry_of = vec![0; self.classes.len()];
        for (number, class) in sorted {
            if different.last() != Some(&class) {
                different.push(class);
            }
            if let Some(place) = entry_of.get_mut(number) {
                *place = first + different.len() - 1;
            }
        }
        (different, entry_of)
    }
}

fn at_most(given: usize, most: usize, what: &'static str) -> Result<(), CompileError> {
    if given <= most { Ok(()) } else { Err(CompileError::TooLarge { what, given, most }) }
}
