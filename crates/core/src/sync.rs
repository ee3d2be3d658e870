//! The atomics, from `std` or from `loom` when a model of them is being checked; and a shared pointer of which loom sees
//! what it orders.

use std::sync::Arc;

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A pointer to a `T` that is not there yet.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct Link<T>(arc_swap::ArcSwapOption<T>);

#[cfg(not(loom))]
impl<T> Link<T> {
    pub(crate) fn empty() -> Self {
        Self(arc_swap::ArcSwapOption::empty())
    }

    pub(crate) fn get(&self) -> Option<Arc<T>> {
        self.0.load_full()
    }

    /// Points to `to`, unless it points somewhere already: `true` if this call made it so.
    pub(crate) fn hang(&self, to: Arc<T>) -> bool {
        self.0.compare_and_swap(&None::<Arc<T>>, Some(to)).is_none()
    }

    pub(crate) fn replace(&self, to: Arc<T>) {
        self.0.store(Some(to));
    }
}

#[cfg(loom)]
#[derive(Debug)]
pub(crate) struct Link<T>(loom::sync::RwLock<Option<Arc<T>>>);

#[cfg(loom)]
impl<T> Link<T> {
    pub(crate) fn empty() -> Self {
        Self(loom::sync::RwLock::new(None))
    }

    pub(crate) fn get(&self) -> Option<Arc<T>> {
        self.0.read().ok()?.clone()
    }

    pub(crate) fn hang(&self, to: Arc<T>) -> bool {
        let Ok(mut link) = self.0.write() else { return false };
        let hung = link.is_none();
        link.get_or_insert(to);
        hung
    }

    pub(crate) fn replace(&self, to: Arc<T>) {
        if let Ok(mut link) = self.0.write() {
            *link = Some(to);
        }
    }
}
