//! A connection to a backend: batches go out together, and each comes back with what became of it.

use std::fmt;

use futures_util::StreamExt as _;
use futures_util::future::{join, ready};
use futures_util::stream::{FuturesUnordered, select};
use rand::random;
use redis::{Cmd, RedisResult, Value, from_redis_value};
use tollgate_core::lease::exchange::{Batch, Reply};

use crate::link::Link;
use crate::look::look;
use crate::script::{self, Call, Script};
use crate::{Description, Failure, Namespace, wire};

/// A connection to a backend. It can be cloned, and used by many tasks at once.
///
/// A connection to one server that broke stays broken: [`crate::Backend::connect`] makes another. One to a Cluster opens those to
/// its servers again by itself, and finds out who has taken the place of another.
#[derive(Clone)]
pub struct Connection {
    link: Link,
    namespace: Namespace,
    description: Description,
}

impl Connection {
    pub(crate) fn new(link: Link, namespace: Namespace, description: Description) -> Self {
        Self { link, namespace, description }
    }

    /// What the backend said of itself when it was connected to.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What separates this fleet's keys from those of others.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Has all batches executed at once, and gives them back with their replies, in order: when the last one has come.
    pub async fn exchange(&self, batches: Vec<Batch>) -> Vec<(Batch, Result<Reply, Failure>)> {
        let mut replies: Vec<Option<Result<Reply, Failure>>> = batches.iter().map(|_| None).collect();
        self.exchange_each(&batches, |index, reply| {
            if let Some(place) = replies.get_mut(index) {
                *place = Some(reply);
            }
        })
        .await;
        // Each has been given one.
        batches.into_iter().zip(replies).filter_map(|(batch, reply)| Some((batch, reply?))).collect()
    }

    /// Has all batches executed at once, and gives each reply, with the index of its batch, when it comes: in a Cluster, what
    /// one server does not answer keeps nothing back that another one does.
    pub async fn exchange_each(
        &self,
        batches: &[Batch],
        mut take: impl FnMut(usize, Result<Reply, Failure>),
    ) {
        let numbered = batches.iter().enumerate();
        let (silent, asking): (Vec<_>, Vec<_>) = numbered.partition(|(_, batch)| batch.asks.is_empty());
        let replies = async {
            let calls = self.calls(&asking);
            let scripts = script::EXCHANGE.call(&self.link, &calls);
            let answers = scripts.filter_map(|reply| ready(answer(&asking, reply))).map(Ok);
            let looks = silent.into_iter().map(async |(index, batch)| {
                let reply = look(&self.link, &self.namespace, batch, new_life_id()).await;
                reply.map(|reply| (index, reply.map_err(Failure::from))).ok_or((index, batch))
            });
            let mut all = select(answers, looks.collect::<FuturesUnordered<_>>());
            let mut left = Vec::new();
            while let Some(answer) = all.next().await {
                match answer {
                    Ok((index, reply)) => take(index, reply),
                    Err(unanswered) => left.push(unanswered),
                }
            }
            let calls = self.calls(&left);
            let mut scripts = script::EXCHANGE.call(&self.link, &calls);
            while let Some(reply) = scripts.next().await {
                if let Some((index, reply)) = answer(&left, reply) {
                    take(index, reply);
                }
            }
        };
        join(replies, self.link.learn()).await;
    }

    /// Makes one call of a script.
    pub(crate) async fn run(&self, script: &Script, call: Call) -> Result<Value, Failure> {
        let calls = [call];
        let (reply, ()) = join(script.call(&self.link, &calls).next(), self.link.learn()).await;
        reply.map_or(Ok(Value::Nil), |(_, reply)| Ok(reply?))
    }

    /// Sends one command about a key.
    pub(crate) async fn send(&self, command: &Cmd, key: &str) -> Result<Value, Failure> {
        let (reply, ()) = join(self.link.send(command, key), self.link.learn()).await;
        Ok(reply?)
    }

    fn calls(&self, batches: &[(usize, &Batch)]) -> Vec<Call> {
        batches.iter().map(|(_, batch)| self.call(batch)).collect()
    }

    fn call(&self, batch: &Batch) -> Call {
        let wire::Call { keys, batch, asks } = wire::Call::new(&self.namespace, batch, new_life_id());
        Call { keys, arguments: vec![batch, asks] }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("namespace", &self.namespace)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

/// What a script came to, with the index of the batch at that place.
fn answer(
    batches: &[(usize, &Batch)],
    (place, reply): (usize, RedisResult<Value>),
) -> Option<(usize, Result<Reply, Failure>)> {
    let (index, batch) = batches.get(place)?;
    Some((*index, read(reply, batch.asks.len())))
}

/// Below 2^53, which doubles count to.
fn new_life_id() -> u64 {
    random::<u64>() >> 11
}

fn read(reply: RedisResult<Value>, asks: usize) -> Result<Reply, Failure> {
    let bytes: Vec<u8> = from_redis_value(reply?).map_err(|error| Failure::Protocol(error.to_string()))?;
    wire::read(&bytes, asks).map_err(|error| Failure::Protocol(error.to_string()))
}
