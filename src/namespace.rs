//! The process's engines, by namespace: one each, shared by all threads, freed with the last gate.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock, Weak};

use parking_lot::Mutex;
use tollgate_core::{Capacity, Engine, Epoch, KeyHasher};

use crate::compiled::CompiledPolicy;
use crate::error::{Code, Error, Result, internal};

static SPACES: LazyLock<Mutex<HashMap<String, Space>>> = LazyLock::new(Mutex::default);
static HASHER: OnceLock<KeyHasher> = OnceLock::new();

/// A namespace in use.
struct Space {
    engine: Weak<Engine>,
    /// The policy that it began with.
    declared: Declared,
}

/// What tells policies apart.
#[derive(PartialEq, Eq)]
struct Declared {
    hash: String,
    /// The hash of the same without its tenants.
    without_tenants: String,
}

/// The secret under which this process hashes names.
pub fn hasher() -> KeyHasher {
    *HASHER.get_or_init(KeyHasher::random)
}

/// The engine of a namespace, made now if this is the first to ask for it. Who `refreshes` its tenants may come with others
/// than those in force, and has the latter until it does.
///
/// # Errors
/// The namespace is in use with another policy or another capacity.
pub fn enter(
    namespace: &str,
    policy: &CompiledPolicy,
    capacity: Capacity,
    refreshes: bool,
    now: Epoch,
) -> Result<Arc<Engine>> {
    let mut spaces = SPACES.lock();
    let declared = Declared { hash: policy.hash(), without_tenants: policy.without_tenants().to_owned() };
    if let Some((space, engine)) =
        spaces.get(namespace).and_then(|space| Some((space, space.engine.upgrade()?)))
    {
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
        if engine.capacity() != capacity {
            return Err(conflict("maxKeys or keyShare"));
        }
        return Ok(engine);
    }
    spaces.retain(|_, space| space.engine.strong_count() > 0);
    let engine = Arc::new(Engine::new(hasher(), policy.compiled(), capacity, now).map_err(internal)?);
    spaces.insert(namespace.to_owned(), Space { engine: Arc::downgrade(&engine), declared });
    Ok(engine)
}
