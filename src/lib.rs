//! The addon: the only Rust that knows Node.
//!
//! It converts values, reads the clock, and keeps one engine per namespace; every decision is `tollgate_core`'s.
//!
//! 1. [`compiled`]: a policy, read from JavaScript ([`columns`] of tenants) and compiled. [`amend`]: changes of one in force; [`amendment`]: as a fleet's store
//!    keeps them.
//! 2. [`namespace`]: the process's engines, by name.
//! 3. [`gate`]: one environment's handle on an engine; ordinary `#[napi]` functions.
//! 4. [`channel`]: all limiters of an environment; [`session`]: one of them; [`tickets`]: what it may give back.
//! 5. [`hot`]: the functions on the path of a request, registered by hand; [`arguments`]: what they are told of it.
//! 6. [`judging`]: its part in a comparison of two policies, while one is under way; [`shadow`]: the engine of the other one.
//! 7. [`answer`]: the typed array in which a decision is left.
//! 8. [`deploying`]: the part that a namespace takes in the rollouts of its fleet; [`observer`]: one who looks on; [`promised`].
//! 9. [`clock`], [`error`], [`upkeep`].

// Exported items are documented in ts/, which is where users meet them.
#![allow(missing_docs, reason = "the macros generate public items without documentation")]
#![allow(clippy::cast_precision_loss, reason = "JavaScript has one kind of number; these stay below 2^53")]
#![allow(clippy::needless_pass_by_value, reason = "napi-rs hands exported functions values")]
#![allow(unreachable_pub, reason = "what is exported to JavaScript is public to the macros alone")]

mod amend;
mod amendment;
mod answer;
mod arguments;
mod channel;
mod clock;
mod columns;
mod compiled;
mod deploying;
mod error;
mod gate;
mod hot;
mod judging;
mod namespace;
mod observer;
mod promised;
mod session;
mod shadow;
mod sharing;
mod tickets;
mod upkeep;
