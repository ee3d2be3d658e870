//! Work that decisions leave behind, done on libuv's pool: settling the rest of a table, freeing the old one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::{Env, Task};
use tollgate_core::{Engine, Epoch};

/// One run of [`Engine::upkeep`].
pub struct Upkeep {
    pub engine: Arc<Engine>,
    /// The engine of a policy that is compared with it.
    pub other: Option<Arc<Engine>>,
    pub now: Epoch,
    pub running: Arc<AtomicBool>,
}

impl Task for Upkeep {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> napi::Result<()> {
        // A panic must not cross into libuv. What was left undone, decisions do.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for engine in std::iter::once(&self.engine).chain(&self.other) {
                engine.set_wall_clock(self.now);
                engine.upkeep(self.now.monotonic);
            }
        }));
        self.running.store(false, Ordering::Release);
        Ok(())
    }

    fn resolve(&mut self, _env: Env, (): ()) -> napi::Result<()> {
        Ok(())
    }
}
