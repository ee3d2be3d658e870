//! The process's engines, by namespace: one each, shared by all threads, freed with the last gate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tollgate_core::policy::Compiled;
use tollgate_core::rollout::Tallies;
use tollgate_core::{Capacity, Comparison, Engine, Epoch, KeyHasher};
use tollgate_redis::Driver;
use tollgate_redis::control::{Store, Twin};
use tollgate_redis::deployment::{Comparing, Deployment};

use crate::compiled::{CompiledPolicy, Definition};
use crate::deploying::{Standing, deploy};
use crate::error::{Code, Error, Result, config, internal};
use crate::shadow::Shadow;
use crate::sharing::{Shared, Sharing};

static SPACES: LazyLock<Mutex<HashMap<String, Weak<Space>>>> = LazyLock::new(Mutex::default);
static HASHER: OnceLock<KeyHasher> = OnceLock::new();

/// A namespace in use: by who holds it, and by nobody else. Work in the background holds the engine alone, so a namespace is
/// free once its last limiter is closed.
pub struct Space {
    pub engine: Arc<Engine>,
    pub in_force: Arc<InForce>,
    /// Where its buckets are shared: how, and by which options.
    pub shared: Option<Shared>,
    sharing: Option<String>,
    /// Its part in the rollouts of its fleet, once there is one.
    deployment: OnceLock<Deployment>,
    /// The store of a process by itself.
    twin: OnceLock<Store>,
    /// The comparison of its policy with another one.
    pub compared: Compared,
    /// What leases tokens for that other one.
    judged: Mutex<Option<Driver>>,
    name: String,
    /// Are its tenants loaded by the process, and loaded again?
    pub refreshes: bool,
    /// How many of its limiters are about to close.
    pub leaving: AtomicUsize,
    /// The policy that it began with.
    declared: Declared,
}

/// The comparison that is under way, if one is. Whenever one begins or ends it has another number; 0 is that of none before the
/// first. A limiter that has read of one number finds out by it that there is something to read.
#[derive(Default)]
pub struct Compared {
    under_way: ArcSwapOption<Comparison>,
    numbers: Arc<AtomicU64>,
}

impl Compared {
    /// Shares the number, for those who look at it with each request.
    pub fn numbers(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.numbers)
    }

    /// The number first: whatever comes after it has another one, and is read again.
    pub fn read(&self) -> (u64, Option<Arc<Comparison>>) {
        let number = self.numbers.load(Ordering::Acquire);
        (number, self.under_way.load_full())
    }
}

/// The definition of the policy in force, which all limiters of a namespace share.
pub struct InForce {
    /// Held while the policy is replaced, which may take long: not by who must not wait.
    replacing: Mutex<()>,
    definition: Mutex<Definition>,
}

impl Space {
    /// Its part in the rollouts of its fleet; a process by itself begins to take one when it is asked for.
    pub fn deployment(self: &Arc<Self>) -> Result<&Deployment> {
        if let Some(deployment) = self.deployment.get() {
            return Ok(deployment);
        }
        let twin = self.twin.get_or_init(|| Store::InProcess(Arc::new(Twin::new()))).clone();
        let alone = deploy(self, 1, Standing::default(), move || Some(twin.clone()))?;
        Ok(self.deployment.get_or_init(|| alone))
    }

    /// Where the state of its fleet is.
    pub fn store(&self) -> Option<Store> {
        match &self.shared {
            Some(shared) => shared.store()(),
            None => self.twin.get().cloned(),
        }
    }

    /// Judges the same requests by another policy, too, or does not any more. One that cannot be judged is not: then there is too little
    /// to judge a rollout by.
    pub fn judge(&self, comparing: Option<(Comparing, Compiled)>) {
        let shadow = comparing.and_then(|(comparing, other)| {
            Shadow::new(&comparing, other, &self.engine, &self.name, self.sharing.as_deref()).ok()
        });
        let (comparison, driver) = shadow.map(|shadow| (shadow.comparison, shadow.driver)).unzip();
        self.compare(comparison);
        *self.judged.lock() = driver.flatten();
    }

    /// Has it stopped sharing? Then whoever comes now begins anew.
    fn is_ending(&self) -> bool {
        self.shared.as_ref().is_some_and(Shared::is_ending)
    }

    /// Begins to judge requests by another policy too, in place of whatever was compared before; or ends that. Of the same round it
    /// goes on with the numbers that it has: nothing happens where the same side is live, and otherwise the instance has come from
    /// one policy to the other.
    pub fn compare(&self, comparison: Option<Comparison>) {
        let before = self.compared.under_way.load_full();
        let next = match (before, comparison) {
            (None, None) => return,
            (Some(before), Some(next)) if before.round() == next.round() => {
                if before.live() == next.live() {
                    return;
                }
                Some(next.going_on_from(&before))
            }
            (_, next) => next,
        };
        self.compared.under_way.store(next.map(Arc::new));
        self.compared.numbers.fetch_add(1, Ordering::Release);
    }

    /// What the comparison that is under way has counted.
    pub fn tallies(&self) -> Option<Tallies> {
        Some(self.compared.under_way.load_full()?.tallies())
    }
}

impl InForce {
    fn new(definition: Definition) -> Self {
        Self { replacing: Mutex::default(), definition: Mutex::new(definition) }
    }

    pub fn definition(&self) -> Definition {
        self.definition.lock().clone()
    }

    pub fn spec(&self) -> Arc<str> {
        Arc::clone(&self.definition.lock().spec)
    }

    /// Replaces the policy by one of this definition, with `replace`, and gives what that gives. With `refreshes`, only if it
    /// is one of this definition already; otherwise `None`.
    pub fn replace<T, E>(
        &self,
        definition: Definition,
        refreshes: bool,
        replace: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<Option<T>, E> {
        let _replacing = self.replacing.lock();
        if refreshes && self.definition.lock().hash != definition.hash {
            return Ok(None);
        }
        let replaced = replace()?;
        *self.definition.lock() = definition;
        Ok(Some(replaced))
    }
}

/// What tells policies apart.
#[derive(PartialEq, Eq)]
struct Declared {
    hash: String,
    /// The hash of the same without its tenants.
    without_tenants: Arc<str>,
}

/// The secret under which this process hashes names.
pub fn hasher() -> KeyHasher {
    *HASHER.get_or_init(KeyHasher::random)
}

/// A namespace, made now if this is the first to ask for it. Who `refreshes` its tenants may come with others
/// than those in force, and has the latter until it does.
///
/// # Errors
/// The namespace is in use with another policy or another capacity.
pub fn enter(
    namespace: &str,
    policy: &CompiledPolicy,
    capacity: Capacity,
    refreshes: bool,
    sharing: Option<String>,
    now: Epoch,
) -> Result<Arc<Space>> {
    let mut spaces = SPACES.lock();
    let without_tenants = Arc::clone(&policy.definition().hash);
    let declared = Declared { hash: policy.hash(), without_tenants };
    if let Some(space) = spaces.get(namespace).and_then(Weak::upgrade).filter(|space| !space.is_ending()) {
        let conflict = |what: &str| {
            Error::new(
                Code::NamespaceConflict,
                format!(
                    "namespace {namespace:?} already serves another {what} in this process; give each limiter a \
                     namespace of its own, or close the other first"
                ),
            )
        };
        let alike = refreshes && space.declared.without_tenants == declared.without_tenants;
        if space.declared != declared && !alike {
            return Err(conflict("policy"));
        }
        if space.sharing != sharing {
            return Err(conflict("list of backends, or option about them"));
        }
        if space.engine.capacity() != capacity {
            return Err(conflict("maxKeys or keyShare"));
        }
        return Ok(space);
    }
    spaces.retain(|_, space| space.strong_count() > 0);
    let read = sharing.as_deref().map(|json| Sharing::read(json, namespace)).transpose()?;
    let (hasher, compiled) = (hasher(), policy.compiled());
    let (engine, shared, standing) = match read {
        None => (Arc::new(Engine::new(hasher, compiled, capacity, now).map_err(internal)?), None, None),
        Some(sharing) => {
            let standing = sharing.standing.clone();
            let engine = Engine::shared(hasher, compiled, capacity, now, sharing.settings);
            let engine = Arc::new(engine.map_err(|error| config(format!("policyDefinition: {error}")))?);
            let shared = sharing.start(Arc::clone(&engine))?;
            (engine, Some(shared), Some(standing))
        }
    };
    let in_force = Arc::new(InForce::new(policy.definition().clone()));
    let space = Arc::new(Space {
        engine,
        in_force,
        shared,
        sharing,
        deployment: OnceLock::new(),
        twin: OnceLock::new(),
        compared: Compared::default(),
        judged: Mutex::default(),
        name: namespace.to_owned(),
        refreshes,
        leaving: AtomicUsize::new(0),
        declared,
    });
    if let (Some(shared), Some(standing), Some(fleet)) = (&space.shared, standing, space.engine.fleet()) {
        let deployment = deploy(&space, fleet.settings().instance, standing, shared.store())?;
        // Nobody else has the namespace yet.
        let _ = space.deployment.set(deployment);
    }
    spaces.insert(namespace.to_owned(), Arc::downgrade(&space));
    Ok(space)
}
