//! What a batch without asks comes to: a look at a tag's state, which takes two plain commands instead of a script.
//!
//! Every instance looks at all tags when it connects, so that it misses a state that is lost even where it has asked for nothing.

use futures_util::future::join;
use redis::{Cmd, RedisResult, from_redis_value};
use tollgate_core::Nanos;
use tollgate_core::lease::exchange::{Batch, Life, Reply};

use crate::link::Link;
use crate::{Namespace, wire};

/// The reply to a batch that asks for nothing, if there is nothing to be said or settled: else it is for the script.
pub(crate) async fn look(
    link: &Link,
    namespace: &Namespace,
    batch: &Batch,
    new_life_id: u64,
) -> Option<RedisResult<Reply>> {
    let key = namespace.life(batch.tag);
    let state = wire::State::begun(new_life_id).bytes();
    let (set, get) = (begin(&key, &state), read(&key));
    // They travel on one connection, and so arrive in this order.
    let (begun, state) = join(link.send(&set, &key), link.send(&get, &key)).await;
    let state = match begun.and(state) {
        Ok(state) => state,
        Err(error) => return Some(Err(error)),
    };
    let (Some(state),): (Option<Vec<u8>>,) = from_redis_value(state).ok()? else { return None };
    let wire::State { life, settles, last } = wire::State::read(&state)?;
    let forgotten = batch.seen.is_some_and(|seen| !life.continues(&seen));
    (!forgotten && settles <= last).then(|| Ok(reply(life, last)))
}

fn reply(life: Life, now: u64) -> Reply {
    Reply { life, now, settling: Nanos::ZERO, grants: Vec::new() }
}

fn begin(key: &str, state: &[u8]) -> Cmd {
    let mut command = redis::cmd("SET");
    command.arg(key).arg(state).arg("PX").arg(wire::LIFE_KEPT.as_millis().to_string()).arg("NX");
    command
}

fn read(key: &str) -> Cmd {
    let mut command = redis::cmd("MGET");
    command.arg(key);
    command
}
