//! One backend, as this instance is connected to it: tried again with growing pauses while it is gone, and told that the instance
//! lives while it is there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rand::RngExt as _;
use tokio::sync::Notify;

use crate::census::Census;
use crate::{Backend, Connection, Description, Failure, Kind, Registry};

/// How often an instance says that it lives.
pub(crate) const BEAT: Duration = Duration::from_secs(1);
/// For how long it counts as alive after that.
pub(crate) const ALIVE: Duration = Duration::from_secs(5);

/// A Cluster finds its servers again by itself: it is only given up when none of them has answered for so long.
const LONGEST_SILENCE: Duration = Duration::from_secs(2);

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How a backend is doing.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Does it answer?
    pub up: bool,
    /// Has it lost what it knew, and is it being told again?
    pub settling: bool,
    /// What it is, as far as it has ever said.
    pub description: Option<Description>,
    /// How long the last exchange took.
    pub latency: Option<Duration>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Instances that live, as it has counted last.
    pub instances: u32,
}

pub(crate) struct Supervised {
    pub(crate) backend: Backend,
    pub(crate) connection: ArcSwapOption<Connection>,
    health: Mutex<Health>,
    /// When it answered last.
    last_answer: Mutex<Option<Instant>>,
    /// The last connection to a Cluster: it knows servers that the address does not name.
    cluster: Mutex<Option<Arc<Connection>>>,
    failed: Notify,
    /// What `failed` is about.
    failure: Mutex<Option<Failure>>,
}

/// What has become of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    Up,
    Down(String),
    /// It has another count of instances, or has forgotten this one.
    Counted {
        forgot: bool,
    },
}

impl Supervised {
    pub(crate) fn new(backend: Backend) -> Self {
        Self {
            backend,
            connection: ArcSwapOption::empty(),
            health: Mutex::default(),
            last_answer: Mutex::default(),
            cluster: Mutex::default(),
            failed: Notify::new(),
            failure: Mutex::default(),
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.health.lock().up
    }

    /// An exchange has been answered.
    pub(crate) fn answered(&self, latency: Duration) {
        self.health.lock().latency = Some(latency);
        *self.last_answer.lock() = Some(Instant::now());
    }

    /// Does its connection find servers again by itself?
    pub(crate) fn heals(&self) -> bool {
        self.cluster.lock().is_some()
    }

    /// An exchange has failed: the connection is made anew, unless it heals.
    pub(crate) fn fail(&self, failure: &Failure) {
        self.health.lock().last_error = Some(failure.to_string());
        if !self.heals() {
            *self.failure.lock() = Some(failure.clone());
            self.failed.notify_one();
        }
    }

    /// Has it been silent for so long that it is to be given up?
    fn is_silent(&self) -> bool {
        !self.heals() || self.last_answer.lock().is_none_or(|answer| answer.elapsed() > LONGEST_SILENCE)
    }

    async fn connected(&self) -> Result<Arc<Connection>, Failure> {
        match self.backend.connect().await {
            Ok(connection) => Ok(Arc::new(connection)),
            Err(failure) => self.cluster.lock().clone().ok_or(failure),
        }
    }

    /// Keeps the backend connected, for ever. `turned` is told of every turn, the first failure among them.
    pub(crate) async fn keep(self: Arc<Self>, instance: u64, turned: impl Fn(Turn) + Send + Sync) {
        let (mut pause, mut census) = (SHORTEST_PAUSE, Census::default());
        loop {
            let Err(failure) = self.live(instance, &turned, &mut pause, &mut census).await;
            let error = failure.to_string();
            self.connection.store(None);
            {
                let mut health = self.health.lock();
                health.up = false;
                health.last_error = Some(error.clone());
            }
            turned(Turn::Down(error));
            // Between half of it and all of it, so that not all instances come back at once.
            let jittered = pause.mul_f64(rand::rng().random_range(0.5..=1.0));
            tokio::time::sleep(jittered).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One life of a connection; ends with what ended it.
    async fn live(
        &self,
        instance: u64,
        turned: &(impl Fn(Turn) + Send + Sync),
        pause: &mut Duration,
        census: &mut Census,
    ) -> Result<Infallible, Failure> {
        let connection = self.connected().await?;
        let registry = Registry::new((*connection).clone());
        let began = Instant::now();
        let beat = registry.renew(instance, ALIVE).await?;
        let mut count = census.hear(beat, began, ALIVE);
        let heals = connection.description().kind == Kind::Cluster;
        *self.cluster.lock() = heals.then(|| Arc::clone(&connection));
        self.answered(began.elapsed());
        // What failed before has been answered by this connection.
        *self.failure.lock() = None;
        {
            let mut health = self.health.lock();
            health.up = true;
            health.instances = count;
            health.description = Some(connection.description().clone());
        }
        self.connection.store(Some(Arc::clone(&connection)));
        turned(Turn::Up);
        *pause = SHORTEST_PAUSE;
        loop {
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = self.failed.notified() => {
                    if let Some(failure) = self.failure.lock().take() {
                        return Err(failure);
                    }
                }
            }
            let began = Instant::now();
            let beat = match registry.renew(instance, ALIVE).await {
                Ok(beat) => beat,
                Err(failure) if self.is_silent() => return Err(failure),
                Err(failure) => {
                    self.fail(&failure);
                    continue;
                }
            };
            self.answered(began.elapsed());
            let before = std::mem::replace(&mut count, census.hear(beat, began, ALIVE));
            if count != before || !beat.known {
                self.health.lock().instances = count;
                turned(Turn::Counted { forgot: !beat.known });
            }
        }
    }
}
