//! What the functions of one limiter in one environment share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::{Env, sys};
use tollgate_core::{Decision, Gate, Nanos, Subject};

use crate::answer::{Answer, CLOSED, INVALID_COST, INVALID_TENANT};
use crate::upkeep::Upkeep;

/// The longest name, in bytes of UTF-8.
pub const LONGEST_NAME: usize = tollgate_core::policy::LONGEST_NAME;

/// One limiter in one environment. On that environment's thread alone.
pub struct Session {
    gate: Option<Gate>,
    pub answer: Answer,
    upkeep: Arc<AtomicBool>,
}

impl Session {
    pub fn new(gate: Gate, answer: Answer) -> Self {
        Self { gate: Some(gate), answer, upkeep: Arc::default() }
    }

    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    pub fn close(&mut self) {
        self.gate = None;
    }

    /// The hot call: [`Gate::consume`] with the cost and time left in the answer.
    #[inline]
    pub fn consume(&mut self, subject: Subject, name: &[u8]) -> i32 {
        let Some(cost) = self.answer.cost() else { return INVALID_COST };
        self.decide(name, |gate, now| gate.consume(subject, name, cost, now))
    }

    /// Decides something about a name, and leaves the answer.
    #[inline]
    pub fn decide(&mut self, name: &[u8], decide: impl FnOnce(&mut Gate, Nanos) -> Decision) -> i32 {
        let Some(gate) = self.gate.as_mut() else { return CLOSED };
        if name.is_empty() || name.len() > LONGEST_NAME {
            return INVALID_TENANT;
        }
        let now = self.answer.now();
        self.answer.leave(&decide(gate, now))
    }

    /// Starts [`Upkeep`] on libuv's pool if decisions have left something for it, and none is running.
    #[inline]
    pub fn keep_up(&mut self, env: sys::napi_env) {
        if self.gate.as_ref().is_some_and(Gate::wants_upkeep) {
            self.start_upkeep(env);
        }
    }

    #[cold]
    pub fn start_upkeep(&mut self, env: sys::napi_env) {
        let Some(gate) = &mut self.gate else { return };
        // While one runs, the wish stays: what was left since may be more than that one sees.
        if !self.upkeep.swap(true, Ordering::AcqRel) {
            gate.take_wants_upkeep();
            let upkeep = Upkeep {
                engine: Arc::clone(gate.engine()),
                now: self.answer.now(),
                running: Arc::clone(&self.upkeep),
            };
            // It cannot be queued while the environment ends; then there is nothing to keep up.
            let _ = Env::from_raw(env).spawn(upkeep);
        }
    }
}
