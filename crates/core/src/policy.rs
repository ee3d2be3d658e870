//! What a service declares, compiled into what it is decided by.
//!
//! Reading order, along the path of a policy:
//! 1. [`spec`]: a policy as it is declared; [`fault`]: what is wrong with one, and where.
//! 2. `check`: a policy that cannot be wrong: [`terms`].
//! 3. [`draft`]: its tenants are read, or changed; `merge` and [`compile`]: the draft becomes an image; [`report`]: what
//!    was done.
//! 4. `optimize`: rules into a `program`.
//! 5. [`image`]: what an engine decides by, and [`hash`]: what identifies it; [`layout`]: where things are in it. [`name`] and [`tenants`]: who is named;
//!    [`entries`]: what they are governed by; `addresses`: networks that are listed.
//! 6. [`keyed`]: an image under the secret of one process, as an engine holds it.
//! 7. [`explain`]: in words, what an image says of a request.

mod addresses;
mod bytes;
mod check;
pub mod compile;
pub mod draft;
pub mod entries;
pub mod explain;
pub mod fault;
mod grants;
pub mod hash;
pub mod image;
pub mod keyed;
pub mod layout;
mod merge;
pub mod name;
mod optimize;
mod program;
pub mod report;
pub mod spec;
pub mod tenants;
pub mod terms;

pub use check::faults;
pub use compile::{CompileError, Compiled};
pub use draft::{Declared, Draft, TenantFault};
pub use entries::{Entry, Verdict};
pub use explain::Request;
pub use fault::{Fault, PathItem};
pub use hash::ImageHash;
pub use image::{Image, Needs};
pub use layout::ImageError;
pub use name::{LONGEST_NAME, NameHash};
pub use report::Report;
pub use spec::Spec;
pub use tenants::Row;
pub use terms::{Part, Rule, Tier};

/// How much is done to make an image quick. All levels decide alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum OptimizationLevel {
    /// Every test of every rule is made.
    O0,
    /// What is known of a tenant is not tested.
    O1,
    /// A test that rules share is made once.
    #[default]
    O2,
}

impl OptimizationLevel {
    /// 0, 1 or 2.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::O0),
            1 => Some(Self::O1),
            2 => Some(Self::O2),
            _ => None,
        }
    }

    /// 0, 1 or 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}
