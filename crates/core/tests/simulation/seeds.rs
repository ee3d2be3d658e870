//! Runs by seed. Which seed fails is said loudly, and how to see that run again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// One run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    /// Does it print what happens?
    pub(crate) loud: bool,
}

/// How many seeds there are of each test, where nobody says otherwise.
const SEEDS: u64 = 500;

/// A run takes milliseconds; one that takes this long is told of, for it may never end.
const LONG: Duration = Duration::from_secs(20);

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
    let this = thread::current();
    let test = this.name().unwrap_or_default();
    let present = AtomicU64::new(0);
    let tell = |what: &str| {
        let seed = present.load(Ordering::Relaxed);
        let run =
            format!("TOLLGATE_SEED={seed} cargo test -p tollgate-core --test {}", env!("CARGO_CRATE_NAME"));
        eprintln!("\nSEED {seed} {what}. See it again: {run} {test} -- --exact --nocapture\n");
    };
    thread::scope(|scope| {
        let (running, over) = channel::<()>();
        let (present, tell_of) = (&present, &tell);
        scope.spawn(move || {
            let (mut before, mut told) = (None, false);
            while over.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout) {
                let seed = Some(present.load(Ordering::Relaxed));
                if before == seed && !told {
                    tell_of("DOES NOT END");
                }
                (told, before) = (before == seed, seed);
            }
        });
        for seed in 0..number("TOLLGATE_SEEDS").unwrap_or(SEEDS) {
            present.store(seed, Ordering::Relaxed);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(Run { seed, loud: false }))) {
                tell("FAILS");
                resume_unwind(panic);
            }
        }
        drop(running);
    });
}
