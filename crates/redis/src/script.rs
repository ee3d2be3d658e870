//! The scripts, and how they are called: by their hash, and loaded where that is not known.

use std::future::Future;
use std::sync::{Arc, LazyLock};

use futures_util::stream::{FuturesUnordered, Stream};
use redis::{Cmd, ErrorKind, RedisResult, Script as Source, ServerErrorKind, Value};
use tokio::sync::OnceCell;

use crate::link::Link;

/// Executes a batch; see [`crate::wire`].
pub(crate) static EXCHANGE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("../scripts/exchange.lua")));
/// Says that an instance lives; see [`crate::registry`].
pub(crate) static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("../scripts/beat.lua")));

/// What a script is called with.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) keys: Vec<String>,
    pub(crate) arguments: Vec<Vec<u8>>,
}

impl Call {
    /// One of the keys, which are all in one slot.
    fn key(&self) -> &str {
        self.keys.first().map_or("", String::as_str)
    }
}

#[derive(Debug)]
pub(crate) struct Script {
    code: &'static str,
    hash: String,
}

/// How a script is named in a call.
#[derive(Debug, Clone, Copy)]
enum By {
    Hash,
    Code,
}

impl Script {
    pub(crate) fn new(code: &'static str) -> Self {
        Self { code, hash: Source::new(code).get_hash().to_owned() }
    }

    /// Makes all calls at once, and gives each reply with its call's index when it comes. Calls that a server does not know the
    /// script for, and only those, are made again once it has been loaded.
    pub(crate) fn call<'a>(
        &'a self,
        link: &'a Link,
        calls: &'a [Call],
    ) -> impl Stream<Item = (usize, RedisResult<Value>)> + 'a {
        let loading = Arc::new(OnceCell::new());
        calls
            .iter()
            .enumerate()
            .map(|(index, call)| {
                let loading = Arc::clone(&loading);
                async move {
                    let loaded = || loading.get_or_init(|| self.load(link, calls));
                    (index, self.call_one(link, call, loaded).await)
                }
            })
            .collect::<FuturesUnordered<_>>()
    }

    async fn call_one<'a, L: Future<Output = &'a ()>>(
        &self,
        link: &Link,
        call: &Call,
        loaded: impl Fn() -> L,
    ) -> RedisResult<Value> {
        let by_hash = self.command(call, By::Hash);
        let reply = link.send(&by_hash, call.key()).await;
        if !is_unknown(&reply) {
            return reply;
        }
        loaded().await;
        let reply = link.send(&by_hash, call.key()).await;
        if !is_unknown(&reply) {
            return reply;
        }
        // Flushed once more meanwhile, or on a server that has only just got the slot: now the code goes along.
        link.send(&self.command(call, By::Code), call.key()).await
    }

    async fn load(&self, link: &Link, calls: &[Call]) {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.code);
        link.send_to_each(&command, calls.iter().map(Call::key)).await;
    }

    fn command(&self, call: &Call, by: By) -> Cmd {
        let mut command = match by {
            By::Hash => redis::cmd("EVALSHA"),
            By::Code => redis::cmd("EVAL"),
        };
        command
            .arg(match by {
                By::Hash => self.hash.as_str(),
                By::Code => self.code,
            })
            .arg(call.keys.len())
            .arg(&call.keys)
            .arg(&call.arguments);
        command
    }
}

fn is_unknown(reply: &RedisResult<Value>) -> bool {
    reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
