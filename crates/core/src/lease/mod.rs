//! Leases: how instances share a limit without asking for each request.
//!
//! Reading order: [`exchange`] is what an instance and a backend say to each other; [`leased`](Leased) the word that requests
//! spend tokens from, and [`permits`](Permits) the one that requests in flight are counted in. What an instance keeps of one bucket
//! is a `record`: `token_record`, of `lots`, `demand`, `knowledge` and a `share`; or `permit_record`, with `peak`. `orders` are what
//! the service says of either, and `want` what requests want of it. `tag` is the batch that is under way; [`fleet`] all buckets;
//! `name` what a shared bucket is called.

mod demand;
pub mod exchange;
pub mod fleet;
mod knowledge;
mod leased;
mod lots;
pub(crate) mod name;
mod orders;
mod peak;
mod permit_record;
pub(crate) mod permits;
mod record;
pub mod settings;
mod share;
mod tag;
mod token_record;
pub(crate) mod want;

pub use fleet::Fleet;
pub use leased::Leased;
pub(crate) use leased::{AWAITS_LEASE, ROUNDING, UNIT};
pub use permits::Permits;
pub use settings::{OnFailure, Settings};
pub(crate) use tag::Standing;
