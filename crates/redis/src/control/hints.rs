//! Hints: that there is something to read. They may be lost, or come late, so who listens looks every now and then, too.

use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt as _, unfold};
use rand::RngExt as _;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Client, Msg};
use tokio::time::{Instant, timeout};

use super::{Control, Part};
use crate::Failure;
use crate::link::Link;

/// How often a server that says nothing is asked whether it is there.
const QUIET: Duration = Duration::from_secs(5);

/// What there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A record, of this version.
    Record(u64),
    /// An amendment, of this number.
    Amendment(u64),
    /// Something.
    Anything,
}

impl Hint {
    fn read(message: &str) -> Self {
        match message.split_once(' ').map(|(word, number)| (word, number.parse())) {
            Some(("record", Ok(version))) => Self::Record(version),
            Some(("amendment", Ok(number))) => Self::Amendment(number),
            _ => Self::Anything,
        }
    }
}

/// Hints, until the connection that they come by breaks.
pub type Hints = BoxStream<'static, Hint>;

struct Listening {
    sink: PubSubSink,
    messages: PubSubStream,
    patience: Duration,
    heard: Instant,
}

impl Control {
    /// Hints from now on. They end when their connection breaks, or its server stands still for some seconds: what was to be told
    /// meanwhile is lost, and the caller listens again.
    ///
    /// # Errors
    /// When no server can be listened to.
    pub async fn hints(&self) -> Result<Hints, Failure> {
        let link = self.connection.link();
        let mut failure = Failure::Unreachable("no server is known".to_owned());
        for client in clients(link).await {
            match self.listen(&client).await {
                Ok(listening) => return Ok(unfold(listening, next).boxed()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn listen(&self, client: &Client) -> Result<Listening, Failure> {
        let opener = self.connection.link().opener();
        let channel = self.key(Part::Hints);
        let subscribing = async {
            let mut listening = client.get_async_pubsub().await?;
            listening.subscribe(&channel).await?;
            Ok(listening)
        };
        let (sink, messages) = opener.in_time(subscribing).await?.split();
        Ok(Listening { sink, messages, patience: opener.response_timeout, heard: Instant::now() })
    }
}

/// In a Cluster every server passes messages on to all others, so any of them will do; a fleet spreads over them.
async fn clients(link: &Link) -> Vec<Client> {
    let mut clients = link.clients().await;
    if !clients.is_empty() {
        let first = rand::rng().random_range(0..clients.len());
        clients.rotate_left(first);
    }
    clients
}

async fn next(mut listening: Listening) -> Option<(Hint, Listening)> {
    loop {
        let quiet = listening.heard + QUIET;
        match tokio::time::timeout_at(quiet, listening.messages.next()).await {
            Ok(None) => return None,
            Ok(Some(message)) => {
                listening.heard = Instant::now();
                return Some((hint(&message), listening));
            }
            Err(_) => {
                let Listening { sink, messages, patience, heard } = &mut listening;
                let asked = timeout(*patience, sink.ping::<redis::Value>());
                tokio::select! {
                    answer = asked => answer.ok()?.ok().map(|_| ())?,
                    message = messages.next() => {
                        let hint = hint(&message?);
                        *heard = Instant::now();
                        return Some((hint, listening));
                    }
                }
                listening.heard = Instant::now();
            }
        }
    }
}

fn hint(message: &Msg) -> Hint {
    message.get_payload::<String>().map_or(Hint::Anything, |text| Hint::read(&text))
}
