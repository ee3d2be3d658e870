//! The process's engines, by namespace: one each, shared by all threads, freed with the last gate.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, OnceLock, Weak};

use parking_lot::Mutex;
use tollgate_core::{Capacity, Engine, KeyHasher, Nanos, Policy};

use crate::error::{Code, Error, Result, internal};

static ENGINES: LazyLock<Mutex<HashMap<String, Weak<Engine>>>> = LazyLock::new(Mutex::default);
static HASHER: OnceLock<KeyHasher> = OnceLock::new();

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
    policy: Policy,
    capacity: Capacity,
    refreshes: bool,
    now: Nanos,
) -> Result<Arc<Engine>> {
    let mut engines = ENGINES.lock();
    if let Some(engine) = engines.get(namespace).and_then(Weak::upgrade) {
        let conflict = |what: &str| {
            Error::new(
                Code::NamespaceConflict,
                format!(
                    "namespace {namespace:?} already serves another {what} in this process; give each limiter a \
                     namespace of its own, or close the other first"
                ),
            )
        };
        let declared = engine.declared();
        if declared != policy.fingerprint() && !(refreshes && declared.has_defaults_of(policy.fingerprint()))
        {
            return Err(conflict("policy"));
        }
        if engine.capacity() != capacity {
            return Err(conflict("maxKeys or keyShare"));
        }
        return Ok(engine);
    }
    engines.retain(|_, engine| engine.strong_count() > 0);
    let engine = Arc::new(Engine::new(hasher(), Arc::new(policy), capacity, now).map_err(internal)?);
    engines.insert(namespace.to_owned(), Arc::downgrade(&engine));
    Ok(engine)
}
