//! Shared buckets in a Redis: what instances and backends say to each other (`tollgate_core::lease::exchange`), over redis-rs.
//!
//! This crate decides nothing, and sends nothing by itself: it carries batches there and replies back.
//!
//! Reading order, along the path of a batch:
//! 1. [`namespace`](Namespace): what keys are called.
//! 2. [`wire`]: a batch and its reply, as bytes.
//! 3. `scripts/exchange.lua`: what the backend does with it. The same in plain Rust is a crate of its own, for tests.
//!    `look`: what needs no script.
//! 4. `script`: how scripts are called, and loaded; `link`: what carries calls, to one server or to a `cluster`, with its
//!    `topology` and `member`s; `opener`: how a connection is opened.
//! 5. [`failure`](Failure): why there is no reply.
//! 6. `address` and [`backend`](Backend): where a backend is, and how it is connected to; [`description`](Description): what it is.
//! 7. [`connection`](Connection): all of this together. [`registry`](Registry): which instances live; `census`: how many those are, where
//!    a backend has forgotten them.
//! 8. [`control`]: what a fleet agrees on besides: which policy, who drives a rollout, and what was done.
//! 9. [`inspect`]: what is wrong with a backend.

mod address;
mod backend;
mod census;
mod cluster;
mod connection;
pub mod control;
pub mod deployment;
mod description;
mod driver;
mod failure;
pub mod inspect;
mod link;
mod look;
mod member;
mod namespace;
mod opener;
mod placement;
mod registry;
mod script;
mod supervised;
mod topology;
pub mod wire;

pub use address::AddressError;
pub use backend::{Backend, Settings};
pub use connection::Connection;
pub use description::{Description, Kind, Node, Role};
pub use driver::{Driver, News};
pub use failure::Failure;
pub use namespace::Namespace;
pub use registry::{Beat, Registry};
pub use supervised::Health;
