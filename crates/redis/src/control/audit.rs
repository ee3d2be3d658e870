//! The audit trail in a backend. Lua has no SHA-256 there, so who appends works the chain out, and the script takes it only where it
//! goes on from the last entry: otherwise it says where to go on from, and nothing was done.

use std::time::Duration;

use rand::RngExt as _;
use redis::{Value, from_redis_value};

use super::scripts::{ENTRIES, HEAD};
use super::{AUDIT_KEPT, Chain, Control, Entry, Fence, Part, Refused, Trail, number, unexpected};
use crate::Failure;
use crate::script::{Call, Script};

/// How often it is tried to append where others do, with a pause that grows up to the longest one.
const ATTEMPTS: u32 = 40;
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Where the trail goes on from.
#[derive(Debug, Clone, Copy)]
struct Head {
    number: u64,
    chain: Chain,
    at: u64,
}

/// What a script says that appends: a word, a number, and, where it says where to go on from, a chain and a time.
type Reply = (String, u64, Vec<u8>, u64);

/// An entry as a script gives it: its number, its time, the chain before it, its bytes, its chain.
type Stored = (u64, u64, Vec<u8>, Vec<u8>, Vec<u8>);

impl Control {
    /// So many entries before a number, or the last ones.
    ///
    /// # Errors
    /// When the backend does not answer, or not as it should.
    pub async fn audit(&self, count: u32, before: Option<u64>) -> Result<Trail, Failure> {
        let keys = self.keys([Part::Record, Part::Audit]);
        let first = before.map_or_else(|| b"+".to_vec(), |before| number(before.saturating_sub(1)));
        let arguments = vec![first, number(count.into())];
        let reply = self.connection.run(&ENTRIES, Call { keys, arguments }).await?;
        let (last, chain, entries): (u64, Vec<u8>, Vec<Stored>) =
            from_redis_value(reply).map_err(unexpected)?;
        let entries = entries.into_iter().rev().map(|(number, at, before, bytes, chain)| Entry {
            number,
            at,
            bytes,
            before: link(&before),
            chain: link(&chain),
        });
        Ok(Trail { entries: entries.collect(), last, chain: link(&chain), is_end: before.is_none() })
    }

    /// Runs a script that appends entries, if it does something: gives what it says it did.
    pub(super) async fn append(
        &self,
        script: &Script,
        keys: Vec<String>,
        mut arguments: Vec<Vec<u8>>,
        audit: &[Vec<u8>],
    ) -> Result<u64, Refused> {
        let mut head = if audit.is_empty() { None } else { Some(self.head().await?) };
        let own = arguments.len();
        for attempt in 0..ATTEMPTS {
            arguments.truncate(own);
            if let Some(head) = head {
                arguments.extend(entries(head, audit));
            }
            let call = Call { keys: keys.clone(), arguments: arguments.clone() };
            let reply: Reply = parsed(self.connection.run(script, call).await?)?;
            match outcome(&reply)? {
                Outcome::Done(number) => return Ok(number),
                Outcome::GoOnFrom(next) => head = Some(next),
            }
            let pause = LONGEST_PAUSE.min(Duration::from_millis(1 << attempt.min(10)));
            let jittered = pause.mul_f64(rand::rng().random_range(0.0..=1.0));
            tokio::time::sleep(jittered).await;
        }
        Err(Refused::Contended)
    }

    async fn head(&self) -> Result<Head, Failure> {
        let keys = self.keys([Part::Record, Part::Audit]);
        let reply = self.connection.run(&HEAD, Call { keys, arguments: Vec::new() }).await?;
        let (_, number, chain, at): Reply = parsed(reply)?;
        Ok(Head { number, chain: link(&chain), at })
    }
}

/// What `append` in `scripts/control/audit.lua` takes.
fn entries(head: Head, audit: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let kept = number(AUDIT_KEPT as u64);
    let mut arguments = vec![number(head.number), head.chain.to_vec(), number(head.at), kept];
    let (mut last, mut before) = (head.number, head.chain);
    for bytes in audit {
        let entry = Entry::after(last, before, head.at, bytes);
        (last, before) = (entry.number, entry.chain);
        arguments.extend([entry.bytes, entry.chain.to_vec()]);
    }
    arguments
}

enum Outcome {
    Done(u64),
    GoOnFrom(Head),
}

fn outcome((word, number, chain, at): &Reply) -> Result<Outcome, Refused> {
    let number = *number;
    match word.as_str() {
        "head" => Ok(Outcome::GoOnFrom(Head { number, chain: link(chain), at: *at })),
        "stale" => Err(Refused::StaleFence { newest: Fence(number) }),
        "expired" => Err(Refused::Expired),
        "version" => Err(Refused::VersionChanged { version: number }),
        "revision" => Err(Refused::RevisionChanged { revision: number }),
        "full" => Err(Refused::Full { most: number }),
        _ => Ok(Outcome::Done(number)),
    }
}

/// What a script says that appends nothing, but answers as one that does.
pub(super) fn done(reply: Value) -> Result<u64, Refused> {
    match outcome(&parsed(reply)?)? {
        Outcome::Done(number) => Ok(number),
        Outcome::GoOnFrom(_) => Err(Refused::Contended),
    }
}

fn parsed(reply: Value) -> Result<Reply, Failure> {
    from_redis_value(reply).map_err(unexpected)
}

/// What is no chain is not that of any entry.
fn link(bytes: &[u8]) -> Chain {
    bytes.try_into().unwrap_or([0; 32])
}
