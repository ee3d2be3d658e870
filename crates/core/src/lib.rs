//! Pure decisions: who may pass, and why.
//!
//! This crate never reads a clock, never does I/O and starts no thread: time is a parameter.
//! It contains no `unsafe`.
//!
//! Reading order, along the path of a request:
//! 1. [`time`]: the unit, nanoseconds since an epoch that the caller keeps.
//! 2. [`limit`]: what a tenant is granted; [`meter`]: the arithmetic of it, by four algorithms: [`gcra`],
//!    [`fixed_window`], [`sliding_window`] (in a [`window`] each) and [`concurrency`].
//! 3. [`policy`]: which request has which limits; [`path`]: how rules match paths.
//! 4. [`key`]: the 128-bit keyed hash that names a bucket.
//! 5. `bucket`: one atomic word, changed by compare-and-swap.
//! 6. `table`: where the buckets live; `migration` and `progress`: how they move to a larger or swept table, or to another
//!    policy.
//! 7. [`engine`]: the table, its caps ([`capacity`]) and blocks; [`gate`]: one thread's way in; `placing`: where a new
//!    bucket goes.
//! 8. [`request`]: what is decided on; `limits`: which limits apply; `charge`: all of
//!    them or none; [`ruling`]: what was decided; `settle`: what is given back of it.
//!
//! Beside that path: [`lease`], how instances share a limit; [`rollout`], how a fleet comes to another policy; and [`comparison`],
//! how both are judged on the same requests.

pub mod adjust;
mod blocks;
mod bucket;
pub mod capacity;
mod charge;
pub mod comparison;
pub mod concurrency;
pub mod decision;
pub mod engine;
pub mod fixed_window;
pub mod gate;
pub mod gcra;
pub mod key;
pub mod lease;
mod leasing;
pub mod limit;
mod limits;
pub mod meter;
mod migration;
mod moment;
mod numbering;
mod operation;
pub mod path;
mod placing;
pub mod policy;
mod progress;
pub mod request;
pub mod rollout;
pub mod ruling;
mod settle;
pub mod sliding_window;
mod slot;
mod sync;
mod table;
pub mod time;
mod views;
pub mod window;

pub use capacity::Capacity;
pub use comparison::Comparison;
pub use concurrency::Concurrency;
pub use decision::{Decision, Outcome};
pub use engine::{Engine, Stats};
pub use fixed_window::FixedWindow;
pub use gate::Gate;
pub use gcra::Gcra;
pub use key::{Key, KeyHasher, Subject};
pub use limit::{Algorithm, Grant, Limit, LimitError};
pub use meter::Meter;
pub use policy::keyed::Policy;
pub use request::{Request, Scope};
pub use ruling::{Applied, Charged, Ruling};
pub use sliding_window::SlidingWindow;
pub use time::{Epoch, Nanos};
pub use window::Window;

#[cfg(all(test, loom))]
mod loom_tests;
