//! The background of one engine whose buckets are shared: asks what is due, sends it to the backend that serves it, and brings back
//! what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tollgate_core::lease::Fleet;
use tollgate_core::lease::exchange::{Batch, Reply};
use tollgate_core::lease::fleet::Call;
use tollgate_core::{Engine, Gate, Nanos};

use crate::placement::Placement;
use crate::supervised::{Health, Supervised, Turn};
use crate::{Backend, Connection, Failure, Registry};

/// How long leases are given back in, at most, when an instance ends.
const LONGEST_END: Duration = Duration::from_millis(800);

/// How long a tag is left alone whose server in a Cluster has failed, while others answer.
const TAG_PAUSE: Duration = Duration::from_millis(250);

/// What has happened that somebody may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Answers with these numbers have come, or will not come before long.
    Answered(Vec<u64>),
    /// This backend does not answer, because of that.
    Degraded(String, String),
    /// This backend answers again.
    Recovered(String),
}

struct Shared {
    engine: Arc<Engine>,
    backends: Vec<Arc<Supervised>>,
    /// What each is called.
    names: Vec<String>,
    placement: Placement,
    /// By tag: the backend that serves it.
    served: Mutex<Vec<Option<usize>>>,
    /// By backend: has it answered, or failed to, for the first time? Was it up?
    turns: Mutex<Vec<Option<bool>>>,
    first_turns: Notify,
    /// By tag: when its server in a Cluster failed.
    failed_tags: Mutex<BTreeMap<u8, Instant>>,
    urgent: Arc<Notify>,
    clock: fn() -> Nanos,
    news: Box<dyn Fn(News) + Send + Sync>,
}

/// The background of one engine.
pub struct Driver {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    supervisors: Vec<JoinHandle<()>>,
}

/// What came of one batch.
struct Answer {
    backend: usize,
    tag: u8,
    sequence: u64,
    result: Result<Reply, Failure>,
    took: Duration,
}

/// Exchanges that are under way, and where their answers come out.
struct UnderWay {
    exchanges: FuturesUnordered<BoxFuture<'static, ()>>,
    answered: UnboundedSender<Answer>,
    answers: UnboundedReceiver<Answer>,
}

impl UnderWay {
    fn new() -> Self {
        // At most one batch for each tag is under way.
        let (answered, answers) = mpsc::unbounded_channel();
        Self { exchanges: FuturesUnordered::new(), answered, answers }
    }
}

impl Driver {
    /// Starts it on a runtime. `None`: the engine shares nothing.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        engine: Arc<Engine>,
        backends: Vec<Backend>,
        clock: fn() -> Nanos,
        news: impl Fn(News) + Send + Sync + 'static,
    ) -> Option<Self> {
        let fleet = engine.fleet()?;
        let (instance, interval) = (fleet.settings().instance, fleet.settings().interval);
        let urgent = Arc::new(Notify::new());
        let wake = Arc::clone(&urgent);
        fleet.set_on_urgent(move || wake.notify_one());
        let names: Vec<String> = backends.iter().map(ToString::to_string).collect();
        let count = backends.len();
        let shared = Arc::new(Shared {
            placement: Placement::new(&names),
            names,
            backends: backends.into_iter().map(|backend| Arc::new(Supervised::new(backend))).collect(),
            served: Mutex::new(vec![None; tollgate_core::lease::exchange::TAGS]),
            turns: Mutex::new(vec![None; count]),
            first_turns: Notify::new(),
            failed_tags: Mutex::default(),
            urgent,
            clock,
            news: Box::new(news),
            engine,
        });
        let supervisors = shared.backends.iter().enumerate().map(|(index, backend)| {
            let (backend, shared) = (Arc::clone(backend), Arc::clone(&shared));
            runtime.spawn(backend.keep(instance, move |turn| shared.turned(index, turn)))
        });
        let supervisors = supervisors.collect();
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let pump = Arc::clone(&shared);
        runtime.spawn(async move {
            pump.pump(Duration::from_nanos(interval.get()), stopped).await;
            let _ = end.send(true);
        });
        Some(Self { shared, stop, ended, supervisors })
    }

    /// Resolves once every backend has answered, or failed to, for the first time.
    pub fn connected(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                let turned = shared.first_turns.notified();
                if shared.turns.lock().iter().all(Option::is_some) {
                    return;
                }
                turned.await;
            }
        }
    }

    /// How each backend is doing, by what it is called.
    #[must_use]
    pub fn health(&self) -> Vec<(String, Health)> {
        let settling = self.shared.settling();
        let backends = self.shared.names.iter().zip(&self.shared.backends).enumerate();
        backends
            .map(|(index, (name, each))| {
                let settling = settling.contains(&index);
                (name.clone(), Health { settling, ..each.health() })
            })
            .collect()
    }

    /// Has it been told to end?
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self.stop.borrow()
    }

    /// How many instances live.
    #[must_use]
    pub fn instances(&self) -> u32 {
        self.shared.fleet().map_or(1, Fleet::instances)
    }

    /// A connection to the first backend, whenever there is one.
    pub fn first(&self) -> impl Fn() -> Option<Connection> + Send + Sync + use<> {
        let first = self.shared.backends.first().cloned();
        move || first.as_ref()?.connection.load_full().map(|connection| (*connection).clone())
    }

    /// Gives leases back and ends; resolves once that is done, within a second.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + use<> {
        let _ = self.stop.send(true);
        let mut ended = self.ended.clone();
        async move {
            let _ = tokio::time::timeout(Duration::from_secs(1), ended.wait_for(|ended| *ended)).await;
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        // The connections stay until leases have been given back.
        self.supervisors.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn fleet(&self) -> Option<&Fleet> {
        self.engine.fleet()
    }

    /// A backend came up, or went down, or counts anew.
    fn turned(&self, index: usize, turn: Turn) {
        let Some(fleet) = self.fleet() else { return };
        let up = match turn {
            Turn::Counted { forgot } => {
                self.count_instances(fleet);
                if forgot {
                    let served = self.served.lock();
                    let tags = (0..=u8::MAX).zip(served.iter()).filter(|(_, served)| **served == Some(index));
                    tags.for_each(|(tag, _)| fleet.verify(tag));
                }
                return;
            }
            Turn::Up => {
                self.count_instances(fleet);
                true
            }
            Turn::Down(_) => false,
        };
        let before = self.turns.lock().get_mut(index).and_then(|before| before.replace(up));
        self.place(fleet);
        let name = self.names.get(index).cloned().unwrap_or_default();
        match turn {
            Turn::Down(error) if before != Some(false) => (self.news)(News::Degraded(name, error)),
            Turn::Up if before == Some(false) => (self.news)(News::Recovered(name)),
            _ => {}
        }
        self.tell_news(fleet);
        self.first_turns.notify_waiters();
        self.urgent.notify_one();
    }

    /// Backends that serve a tag of which nothing is leased at the moment.
    fn settling(&self) -> BTreeSet<usize> {
        let Some(fleet) = self.fleet() else { return BTreeSet::new() };
        let served = self.served.lock();
        let tags = (0..=u8::MAX).zip(served.iter());
        tags.filter(|(tag, _)| fleet.is_settling(*tag)).filter_map(|(_, served)| *served).collect()
    }

    fn count_instances(&self, fleet: &Fleet) {
        let counts = self.backends.iter().map(|each| each.health()).filter(|health| health.up);
        fleet.set_instances(counts.map(|health| health.instances).max().unwrap_or_else(|| fleet.instances()));
    }

    /// Sees to it that every tag is served by the backend that it belongs to, of those that are up.
    fn place(&self, fleet: &Fleet) {
        let up: Vec<bool> = self.backends.iter().map(|each| each.is_up()).collect();
        let mut served = self.served.lock();
        for (tag, served) in (0..=u8::MAX).zip(served.iter_mut()) {
            let backend = self.placement.backend(tag, |index| up.get(index).copied().unwrap_or_default());
            if backend != *served || backend.is_none() {
                // At another one, what is known here comes first: nothing is leased before it has been told.
                fleet.went_down(tag);
                if backend.is_some() {
                    fleet.came_up(tag);
                }
            }
            *served = backend;
        }
    }

    fn tell_news(&self, fleet: &Fleet) {
        let answered = fleet.take_news();
        if !answered.is_empty() {
            (self.news)(News::Answered(answered));
        }
    }

    async fn pump(self: Arc<Self>, interval: Duration, mut stopped: watch::Receiver<bool>) {
        let mut gate = self.engine.gate();
        let mut under_way = UnderWay::new();
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let call = tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                _ = ticks.tick() => {
                    self.revive();
                    Call::Tick
                }
                () = self.urgent.notified() => Call::Urgent,
                Some(()) = under_way.exchanges.next() => continue,
                Some(answer) = under_way.answers.recv() => {
                    self.bring_back(&mut gate, answer, &mut under_way.answers);
                    Call::Urgent
                }
            };
            self.send(&mut gate, call, &mut under_way);
        }
        // What cannot be given back in time is lost, and no harm is done.
        let _ = tokio::time::timeout(LONGEST_END, self.end(&mut gate, &mut under_way)).await;
    }

    /// Brings back what is under way, gives back what is held, and leaves.
    async fn end(&self, gate: &mut Gate, under_way: &mut UnderWay) {
        let Some(fleet) = self.fleet() else { return };
        // What is under way has to be answered first, and what that leaves has to be given back, too.
        for _ in 0..3 {
            self.send(gate, Call::Close, under_way);
            if under_way.exchanges.is_empty() {
                break;
            }
            while under_way.exchanges.next().await.is_some() {}
            if let Ok(answer) = under_way.answers.try_recv() {
                self.bring_back(gate, answer, &mut under_way.answers);
            }
        }
        for each in &self.backends {
            if let Some(connection) = each.connection.load_full() {
                let registry = Registry::new((*connection).clone());
                let _ = registry.leave(fleet.settings().instance).await;
            }
        }
    }

    /// Sends what is due.
    fn send(&self, gate: &mut Gate, call: Call, under_way: &mut UnderWay) {
        let Some(fleet) = self.fleet() else { return };
        let now = (self.clock)();
        let mut by_backend: Vec<Vec<Batch>> = self.backends.iter().map(|_| Vec::new()).collect();
        for batch in fleet.due(gate, now, call) {
            let serving = self.served.lock().get(usize::from(batch.tag)).copied().flatten();
            match serving.and_then(|index| by_backend.get_mut(index)) {
                Some(batches) => batches.push(batch),
                None => fleet.failed(batch.tag, batch.sequence),
            }
        }
        if gate.take_wants_upkeep() {
            self.engine.upkeep(now);
        }
        let sent = by_backend.into_iter().enumerate().filter(|(_, batches)| !batches.is_empty());
        for (index, batches) in sent {
            let connection = self.backends.get(index).and_then(|each| each.connection.load_full());
            if let Some(connection) = connection {
                let answered = under_way.answered.clone();
                under_way.exchanges.push(Box::pin(exchange(index, connection, batches, answered)));
            } else {
                for batch in &batches {
                    fleet.failed(batch.tag, batch.sequence);
                }
            }
        }
    }

    /// Brings back an answer, and those that have come since.
    fn bring_back(&self, gate: &mut Gate, first: Answer, answers: &mut UnboundedReceiver<Answer>) {
        let Some(fleet) = self.fleet() else { return };
        let now = (self.clock)();
        let mut next = Some(first);
        while let Some(Answer { backend, tag, sequence, result, took }) = next {
            let Some(backend) = self.backends.get(backend) else { return };
            match result {
                Ok(reply) => {
                    backend.answered(took);
                    fleet.answered(gate, tag, sequence, &reply, now);
                }
                Err(Failure::Superseded) => fleet.gave_up(tag, sequence),
                Err(failure) => {
                    fleet.failed(tag, sequence);
                    fleet.went_down(tag);
                    backend.fail(&failure);
                    if backend.heals() {
                        self.failed_tags.lock().insert(tag, Instant::now());
                    }
                }
            }
            next = answers.try_recv().ok();
        }
        self.tell_news(fleet);
    }

    /// Tries tags again whose server in a Cluster had failed.
    fn revive(&self) {
        let Some(fleet) = self.fleet() else { return };
        let served = self.served.lock();
        self.failed_tags.lock().retain(|&tag, since| {
            let is_served = served.get(usize::from(tag)).is_some_and(Option::is_some);
            let tries = is_served && since.elapsed() >= TAG_PAUSE;
            if tries {
                fleet.came_up(tag);
            }
            is_served && !tries
        });
    }
}

async fn exchange(
    backend: usize,
    connection: Arc<Connection>,
    batches: Vec<Batch>,
    answered: UnboundedSender<Answer>,
) {
    let began = Instant::now();
    let take = |index: usize, result| {
        if let Some(Batch { tag, sequence, .. }) = batches.get(index) {
            let (tag, sequence, took) = (*tag, *sequence, began.elapsed());
            // Nobody brings it back any more where the driver has ended.
            let _ = answered.send(Answer { backend, tag, sequence, result, took });
        }
    };
    connection.exchange_each(&batches, take).await;
}
