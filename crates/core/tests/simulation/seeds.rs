//! Runs by seed. Which seed fails is said loudly, and how to see that run again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    /// Does it print what happens?
    pub(crate) loud: bool,
}

/// How many seeds there are where nobody says otherwise: nine thousand runs in all.
const SEEDS: u64 = 500;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// A run of each seed: of the first `TOLLGATE_SEEDS`, or of `TOLLGATE_SEED` alone, and loudly.
pub(crate) fn each_seed(run: impl Fn(Run)) {
    if let Some(seed) = number("TOLLGATE_SEED") {
        return run(Run { seed, loud: true });
    }
    for seed in 0..number("TOLLGATE_SEEDS").unwrap_or(SEEDS) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(Run { seed, loud: false }))) {
            let thread = std::thread::current();
            let test = thread.name().unwrap_or_default();
            let run = format!("TOLLGATE_SEED={seed} cargo test -p tollgate-core --test simulation");
            eprintln!("\nSEED {seed} FAILS. See it again: {run} {test} -- --exact --nocapture\n");
            resume_unwind(panic);
        }
    }
}
