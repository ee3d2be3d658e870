//! One limiter in one environment.

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
    upkeep: Arc<AtomicBool>,
}

impl Session {
    pub fn new(gate: Gate) -> Self {
        Self { gate: Some(gate), upkeep: Arc::default() }
    }

    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    pub fn close(&mut self) {
        self.gate = None;
    }

    /// [`Gate::consume`] with the cost and time left in the answer. Without a `name`, JavaScript gave none that can be one.
    #[inline]
    pub fn consume(&mut self, answer: &mut Answer, subject: Subject, name: Option<&[u8]>) -> i32 {
        let Some(cost) = answer.cost() else { return INVALID_COST };
        self.decide(answer, name, |gate, name, now| gate.consume(subject, name, cost, now))
    }

    /// Decides something about a name, and leaves the answer.
    #[inline]
    pub fn decide(
        &mut self,
        answer: &mut Answer,
        name: Option<&[u8]>,
        decide: impl FnOnce(&mut Gate, &[u8], Nanos) -> Decision,
    ) -> i32 {
        let Some(gate) = self.gate.as_mut() else { return CLOSED };
        match name {
            Some(name) if !name.is_empty() && name.len() <= LONGEST_NAME => {
                let now = answer.now();
                answer.leave(&decide(gate, name, now))
            }
            _ => INVALID_TENANT,
        }
    }

    /// Starts [`Upkeep`] on libuv's pool if decisions have left something for it, and none is running.
    #[inline]
    pub fn keep_up(&mut self, env: sys::napi_env, answer: &Answer) {
        if self.gate.as_ref().is_some_and(Gate::wants_upkeep) {
            self.start_upkeep(env, answer);
        }
    }

    #[cold]
    pub fn start_upkeep(&mut self, env: sys::napi_env, answer: &Answer) {
        let Some(gate) = &mut self.gate else { return };
        // While one runs, the wish stays: what was left since may be more than that one sees.
        if !self.upkeep.swap(true, Ordering::AcqRel) {
            gate.take_wants_upkeep();
            let upkeep = Upkeep {
                engine: Arc::clone(gate.engine()),
                now: answer.now(),
                running: Arc::clone(&self.upkeep),
            };
            // It cannot be queued while the environment ends; then there is nothing to keep up.
            let _ = Env::from_raw(env).spawn(upkeep);
        }
    }
}
