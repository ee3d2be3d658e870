//! How a namespace shares its buckets with a fleet: the options, the background that does it, and who hears of it.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use napi::bindgen_prelude::{AsyncTask, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, Task};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Handle, Runtime};
use tollgate_core::lease::{OnFailure, Settings};
use tollgate_core::{Engine, Nanos};
use tollgate_redis::control::{Control, Store};
use tollgate_redis::{Backend, Driver, Kind, Namespace, News, Role};

use crate::deploying::Standing;
use crate::error::{Result, config, internal};

/// All background work of the process: one thread, which waits for the network most of the time.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).thread_name("tollgate").enable_all().build()
});

pub fn runtime() -> Result<Handle> {
    match &*RUNTIME {
        Ok(runtime) => Ok(runtime.handle().clone()),
        Err(error) => Err(internal(format!("no thread for the background: {error}"))),
    }
}

/// What JavaScript says of it, with nothing left out. Times are in milliseconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    backends: Vec<String>,
    sync_interval_ms: f64,
    lease_ttl_ms: f64,
    credit: u64,
    on_backend_failure: Failing,
    timeout_ms: f64,
    #[serde(flatten)]
    standing: Standing,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Failing {
    Local,
    Allow,
    Deny,
}

/// What a namespace is to share by, checked.
pub struct Sharing {
    pub settings: Settings,
    pub standing: Standing,
    pub backends: Vec<Backend>,
}

impl Sharing {
    /// # Errors
    /// An option at fault; that of a backend is named first.
    pub fn read(json: &str, namespace: &str) -> Result<Self> {
        let options: Options =
            serde_json::from_str(json).map_err(|error| config(format!("backends: {error}")))?;
        let time = |millis: f64| {
            Duration::try_from_secs_f64(millis / 1000.0)
                .map_err(|error| config(format!("{millis} ms: {error}")))
        };
        let nanos = |millis: f64| -> Result<Nanos> {
            Ok(Nanos::new(u64::try_from(time(millis)?.as_nanos()).unwrap_or(u64::MAX)))
        };
        let settings = tollgate_redis::Settings {
            response_timeout: time(options.timeout_ms)?,
            ..tollgate_redis::Settings::new(Namespace::new(namespace))
        };
        let read = |(index, text): (usize, &String)| {
            Backend::parse(text, settings.clone())
                .map_err(|fault| config(format!("backends[{index}]: {fault}")))
        };
        Ok(Self {
            settings: Settings {
                // Below 2^53, which scripts count in.
                instance: RandomState::new().hash_one(0_u8) >> 11,
                interval: nanos(options.sync_interval_ms)?,
                time_to_live: nanos(options.lease_ttl_ms)?,
                credit: options.credit,
                on_failure: match options.on_backend_failure {
                    Failing::Local => OnFailure::Local,
                    Failing::Allow => OnFailure::Allow,
                    Failing::Deny => OnFailure::Deny,
                },
            },
            backends: options.backends.iter().enumerate().map(read).collect::<Result<_>>()?,
            standing: options.standing,
        })
    }

    /// Starts sharing.
    pub fn start(self, engine: Arc<Engine>) -> Result<Shared> {
        let listeners = Arc::new(Listeners::default());
        let heard = Arc::clone(&listeners);
        let backends = self.backends.clone();
        let driver = Driver::start(&runtime()?, engine, self.backends, crate::clock::now, move |news| {
            heard.tell(&news);
        });
        let driver = driver.ok_or_else(|| internal("an engine that shares nothing"))?;
        Ok(Shared { driver, listeners, backends })
    }
}

/// A namespace that is shared.
pub struct Shared {
    driver: Driver,
    listeners: Arc<Listeners>,
    backends: Vec<Backend>,
}

/// How a backend is doing, as JavaScript reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BackendStatus {
    url: String,
    kind: &'static str,
    state: &'static str,
    nodes: Vec<NodeStatus>,
    latency_ms: Option<f64>,
    last_error: Option<String>,
}

#[derive(Serialize)]
struct NodeStatus {
    address: String,
    role: &'static str,
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Standalone => "standalone",
        Kind::Cluster => "cluster",
        Kind::Sentinel => "sentinel",
    }
}

impl Shared {
    /// Calls a function of JavaScript with what is new, on its own thread, until the listener of this number is forgotten, or its
    /// environment ends.
    pub fn listen(&self, listener: usize, callback: &Function<'_, String, ()>) -> Result<()> {
        let pending = Arc::new(Pending::default());
        let told = Arc::clone(&pending);
        let function = callback
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .callee_handled::<false>()
            .build_callback(move |_| Ok(told.take()))
            .map_err(internal)?;
        self.listeners.0.lock().push((listener, Listener { function, pending }));
        // What has gone down before anybody listened.
        for (backend, health) in self.driver.health() {
            if let (false, Some(error)) = (health.up, health.last_error) {
                self.listeners.tell(&News::Degraded(backend, error));
            }
        }
        Ok(())
    }

    /// A limiter listens no more.
    pub fn forget(&self, listener: usize) {
        self.listeners.0.lock().retain(|(id, _)| *id != listener);
    }

    /// Does it go on sharing?
    pub fn is_ending(&self) -> bool {
        self.driver.is_ending()
    }

    /// How each backend is doing, in JSON.
    pub fn backends(&self) -> Result<String> {
        let statuses: Vec<BackendStatus> = self
            .driver
            .health()
            .into_iter()
            .map(|(url, health)| {
                let description = health.description;
                BackendStatus {
                    url,
                    kind: description.as_ref().map_or("unknown", |description| kind(description.kind)),
                    state: match (health.up, health.settling) {
                        (false, _) => "down",
                        (true, true) => "settling",
                        (true, false) => "up",
                    },
                    nodes: description.map_or_else(Vec::new, |description| {
                        let node = |node: tollgate_redis::Node| NodeStatus {
                            address: node.address,
                            role: match node.role {
                                Role::Master => "master",
                                Role::Replica => "replica",
                            },
                        };
                        description.nodes.into_iter().map(node).collect()
                    }),
                    latency_ms: health.latency.map(|latency| latency.as_secs_f64() * 1e3),
                    last_error: health.last_error,
                }
            })
            .collect();
        serde_json::to_string(&statuses).map_err(internal)
    }

    /// Where the fleet's state is: on the first backend, whenever that is connected.
    pub fn store(&self) -> impl Fn() -> Option<Store> + Send + Sync + use<> {
        let first = self.driver.first();
        move || first().map(|connection| Store::Redis(Control::new(connection)))
    }

    /// Who they are.
    pub fn addresses(&self) -> Vec<Backend> {
        self.backends.clone()
    }

    /// How many instances live.
    pub fn instances(&self) -> u32 {
        self.driver.instances()
    }

    /// Resolves once every backend has answered, or failed to.
    pub fn connect(&self) -> AsyncTask<Wait> {
        AsyncTask::new(Wait(Some(Box::new(self.driver.connected()))))
    }

    /// Gives leases back; resolves when that is done, or within a second.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        self.driver.drain()
    }
}

/// Waits, on libuv's pool, for something that the background does.
pub struct Wait(Option<Box<dyn Future<Output = ()> + Send>>);

impl Wait {
    /// For this.
    pub fn until(future: impl Future<Output = ()> + Send + 'static) -> AsyncTask<Self> {
        AsyncTask::new(Self(Some(Box::new(future))))
    }

    /// For nothing.
    pub fn over() -> AsyncTask<Self> {
        AsyncTask::new(Self(None))
    }
}

impl Task for Wait {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<()> {
        if let (Some(future), Ok(runtime)) = (self.0.take(), runtime()) {
            // A panic must not cross into libuv.
            let wait = || runtime.block_on(Box::into_pin(future));
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait));
        }
        Ok(())
    }

    fn resolve(&mut self, _env: Env, (): ()) -> napi::Result<()> {
        Ok(())
    }
}

/// One environment's function, which is not called again before it has run.
struct Listener {
    function: ThreadsafeFunction<(), (), String, Status, false, true>,
    pending: Arc<Pending>,
}

#[derive(Default)]
struct Listeners(Mutex<Vec<(usize, Listener)>>);

/// What a function has not been told yet.
#[derive(Default)]
struct Pending {
    called: AtomicBool,
    news: Mutex<Unheard>,
    /// Backends that it has been told of as degraded.
    degraded: Mutex<BTreeSet<String>>,
}

#[derive(Default, Serialize)]
struct Unheard {
    answered: BTreeSet<u64>,
    alerts: Vec<Alert>,
}

#[derive(Clone, Serialize)]
struct Alert {
    kind: &'static str,
    backend: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// More alerts than this nobody has heard: the first of them go.
const MOST_ALERTS: usize = 64;

impl Listeners {
    fn tell(&self, news: &News) {
        self.0.lock().retain(|(_, listener)| {
            listener.pending.add(news);
            if listener.pending.called.swap(true, Ordering::AcqRel) {
                return true;
            }
            // An environment that has ended does not listen.
            listener.function.call((), ThreadsafeFunctionCallMode::NonBlocking) != Status::Closing
        });
    }
}

impl Pending {
    fn add(&self, news: &News) {
        let mut unheard = self.news.lock();
        let alert = match news {
            News::Answered(numbers) => return unheard.answered.extend(numbers),
            News::Degraded(backend, _) if !self.degraded.lock().insert(backend.clone()) => return,
            News::Recovered(backend) if !self.degraded.lock().remove(backend) => return,
            News::Degraded(backend, error) => {
                Alert { kind: "backend-degraded", backend: backend.clone(), error: Some(error.clone()) }
            }
            News::Recovered(backend) => {
                Alert { kind: "backend-recovered", backend: backend.clone(), error: None }
            }
        };
        if unheard.alerts.len() >= MOST_ALERTS {
            unheard.alerts.remove(0);
        }
        unheard.alerts.push(alert);
    }

    fn take(&self) -> String {
        // Before it is read: what comes from now on calls again.
        self.called.store(false, Ordering::Release);
        let unheard = std::mem::take(&mut *self.news.lock());
        serde_json::to_string(&unheard).unwrap_or_default()
    }
}
