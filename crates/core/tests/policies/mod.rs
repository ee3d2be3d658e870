//! Policies for tests, compiled.

#![allow(dead_code, clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that fails, fails")]

use std::sync::Arc;

use tollgate_core::policy::spec::{AlgorithmSpec, LimitSpec, NumberOr, UnknownTenantSpec, Unlimited};
use tollgate_core::policy::{Compiled, Declared, Draft, OptimizationLevel, Spec};
use tollgate_core::{Algorithm, Capacity, Engine, Epoch, Grant, KeyHasher, Nanos, Request, Subject, Window};

pub(crate) const MINUTE: Nanos = Nanos::from_secs(60);

/// A token bucket.
pub(crate) fn bucket(quota: u64, burst: u64, window: Nanos) -> Grant {
    let window = Window::Span(window);
    Grant::Tokens { algorithm: Algorithm::TokenBucket, quota, burst, window }
}

/// `quota` a minute for everybody, and no burst.
pub(crate) fn spec(quota: u64) -> Spec {
    let default = LimitSpec {
        quota: NumberOr::Number(quota),
        burst: 0,
        window_ms: NumberOr::Number(60_000),
        algorithm: AlgorithmSpec::TokenBucket,
    };
    Spec {
        default,
        unknown_tenant: UnknownTenantSpec::Default,
        tiers: std::collections::BTreeMap::default(),
        rules: Vec::new(),
        allow: tollgate_core::policy::spec::ListSpec::default(),
        deny: tollgate_core::policy::spec::ListSpec::default(),
        case_sensitive: false,
        strict_paths: false,
    }
}

/// The same without a limit.
pub(crate) fn unlimited() -> Spec {
    let mut spec = spec(1);
    spec.default.quota = NumberOr::Word(Unlimited::Unlimited);
    spec
}

/// The same for those only who are named.
pub(crate) fn refusing(mut spec: Spec) -> Spec {
    spec.unknown_tenant = UnknownTenantSpec::Reject;
    spec
}

/// From the JSON that the TypeScript face sends.
pub(crate) fn parsed(json: &str) -> Spec {
    Spec::parse(json.as_bytes()).unwrap()
}

/// A tenant's row that grants it something of its own.
pub(crate) fn row(grant: Grant) -> Declared {
    Declared { tier: None, grant: Some(grant) }
}

/// A draft, with rows.
pub(crate) fn draft<'a>(spec: &Spec, rows: impl IntoIterator<Item = (&'a str, Grant)>) -> Draft {
    let mut draft = Draft::new(spec, OptimizationLevel::default()).unwrap();
    for (name, grant) in rows {
        draft.tenant(name, row(grant)).unwrap();
    }
    draft
}

/// A policy, with rows.
pub(crate) fn compiled<'a>(spec: &Spec, rows: impl IntoIterator<Item = (&'a str, Grant)>) -> Compiled {
    draft(spec, rows).compile().unwrap()
}

/// An engine that starts at time zero, on both clocks.
pub(crate) fn start(policy: Compiled, capacity: Capacity) -> Arc<Engine> {
    let hasher = KeyHasher::with_secret(3, 5);
    Arc::new(Engine::new(hasher, policy, capacity, Epoch::default()).unwrap())
}

/// Room for everything that a test does.
pub(crate) fn roomy() -> Capacity {
    Capacity { max_keys: 1_000_000, key_share: 1.0 }
}

/// A request of which only the tenant is known.
pub(crate) fn tenant(name: &str) -> Request<'_> {
    Request::of(Subject::Tenant, name.as_bytes())
}
