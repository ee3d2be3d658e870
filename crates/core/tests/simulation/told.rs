//! What a loud run prints: the little of a message that says something.

use std::fmt;

use tollgate_core::Nanos;
use tollgate_core::lease::exchange::{Ask, Batch, Grant, Life, Reply};

pub(crate) struct Told<T>(pub(crate) T);

impl fmt::Display for Told<&Batch> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Batch { tag, sequence, seen, asks, .. } = self.0;
        write!(f, "{tag}#{sequence}")?;
        if let Some(Life { id, count }) = seen {
            write!(f, " of life {} at {count}", id % 1000)?;
        }
        asks.iter().try_for_each(|ask| write!(f, "; {}", Told(ask)))
    }
}

impl fmt::Display for Told<&Ask> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ask { floor, reset, block, unspent, credit, debit, held, wanted, waiting, .. } = self.0;
        if let Some(floor) = floor {
            write!(f, "spent {:.3}", floor.spent)?;
        }
        if *reset {
            write!(f, " reset")?;
        }
        if let Some(time) = block {
            write!(f, " block for {time:?}")?;
        }
        for (name, tokens) in
            [("held", held), ("unspent", unspent), ("credit", credit), ("debit", debit), ("wanted", wanted)]
        {
            if *tokens > 0 {
                write!(f, " {name} {tokens}")?;
            }
        }
        if *waiting > 0 { write!(f, " ({waiting} at once)") } else { Ok(()) }
    }
}

impl fmt::Display for Told<&Reply> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reply { life: Life { id, count }, settling, grants, .. } = self.0;
        write!(f, "life {} at {count}", id % 1000)?;
        if *settling > Nanos::ZERO {
            write!(f, " settling")?;
        }
        for Grant { tokens, spent, blocked, .. } in grants {
            write!(f, "; {tokens} tokens, {spent:.3} spent")?;
            if *blocked > Nanos::ZERO {
                write!(f, ", blocked for {blocked:?}")?;
            }
        }
        Ok(())
    }
}
