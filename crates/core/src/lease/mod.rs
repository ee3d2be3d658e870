//! Leases: how instances share a limit without asking for each request.
//!
//! Reading order: [`exchange`] is what an instance and a backend say to each other; [`leased`](Leased) the word that requests
//! spend tokens from; `lots`, `demand`, `knowledge` and `share` what an instance keeps of one bucket, `record` all of it, and `want` what requests want of it; `tag` the
//! batch that is under way; [`fleet`] all buckets. `name` is what a shared bucket is called.

mod demand;
pub mod exchange;
pub mod fleet;
mod knowledge;
mod leased;
mod lots;
pub(crate) mod name;
mod record;
pub mod settings;
mod share;
mod tag;
pub(crate) mod want;

pub use fleet::Fleet;
pub use leased::Leased;
pub(crate) use leased::{AWAITS_LEASE, ROUNDING, UNIT};
pub use settings::{OnFailure, Settings};
pub(crate) use tag::Standing;
