//! Pure decisions: who may pass, and why.
//!
//! This crate never reads a clock, never does I/O and starts no thread: time is a parameter.
//! It contains no `unsafe`.
//!
//! Reading order, along the path of a request:
//! 1. [`time`]: the unit, nanoseconds since an epoch that the caller keeps.
//! 2. [`limit`]: what a tenant is granted; [`gcra`]: the arithmetic of it.
//! 3. [`policy`]: which tenant has which limit.
//! 4. [`key`]: the 128-bit keyed hash that names a bucket.
//! 5. `bucket`: one atomic word, changed by compare-and-swap.
//! 6. `table`: where the buckets live; `migration` and `progress`: how they move to a larger or swept table.
//! 7. [`engine`]: the table, its caps ([`capacity`]) and blocks; [`gate`]: one thread's way in, where a decision is made.

mod blocks;
mod bucket;
pub mod capacity;
pub mod decision;
pub mod engine;
pub mod gate;
pub mod gcra;
pub mod key;
pub mod limit;
mod migration;
mod operation;
pub mod policy;
mod progress;
mod slot;
mod sync;
mod table;
pub mod time;

pub use capacity::Capacity;
pub use decision::{Decision, Outcome};
pub use engine::{Engine, Stats};
pub use gate::Gate;
pub use gcra::Gcra;
pub use key::{Key, KeyHasher, Subject};
pub use limit::{Limit, LimitError};
pub use policy::{Policy, PolicyDraft, PolicyError, UnknownTenant};
pub use time::Nanos;

#[cfg(all(test, loom))]
mod loom_tests;
