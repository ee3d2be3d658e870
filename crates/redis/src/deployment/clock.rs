//! The store's time, as this process knows it.

use tokio::time::Instant;
use tollgate_core::rollout::Micros;

/// The store's clock when it was read last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    read: Micros,
    at: Instant,
}

impl Clock {
    /// It showed this between two instants: in the middle, for all that is known.
    pub(super) fn read(now_micros: u64, sent: Instant, received: Instant) -> Self {
        Self { read: Micros::new(now_micros), at: sent + (received - sent) / 2 }
    }

    pub(super) fn now(&self) -> Micros {
        let passed = Instant::now().saturating_duration_since(self.at);
        self.read + Micros::new(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
    }

    /// When an instant of the store's has come.
    pub(super) fn instant(&self, at: Micros) -> Instant {
        self.at + std::time::Duration::from_micros(at.since(self.read).get())
    }
}
