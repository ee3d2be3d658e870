//! All limiters of one environment, and the way in which they are called.
//!
//! The functions on the path of a request belong to the environment, not to a limiter, which is a number in the answer. So
//! JavaScript calls the same two functions whatever the limiter, which is what V8 compiles best: with functions of their
//! own, a second limiter would make the calls of both a fifth slower.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{Float64Array, FromNapiValue, JsObjectValue, Object, Unknown};
use napi::sys;
use napi_derive::napi;
use tollgate_core::Subject;

use crate::answer::Answer;
use crate::arguments::Arguments;
use crate::error::{Result, internal};
use crate::hot;
use crate::namespace::Space;
use crate::session::Session;

/// On one environment's thread alone.
pub struct Sessions {
    pub answer: Answer,
    /// Of the call that is being made.
    pub arguments: Arguments,
    /// Room to read a long target into.
    pub target: Vec<u8>,
    /// By number. A number is never given again, so what calls a closed limiter reaches no other.
    limiters: Vec<Session>,
}

impl Sessions {
    pub fn enter(&mut self, space: Arc<Space>, given_clock: bool) -> usize {
        self.limiters.push(Session::new(space, given_clock));
        self.limiters.len() - 1
    }

    #[inline]
    pub fn get(&mut self, id: usize) -> Option<(&mut Session, &mut Answer)> {
        Some((self.limiters.get_mut(id)?, &mut self.answer))
    }

    /// A limiter, and what the call that is being made says.
    pub fn session(&mut self, id: usize) -> Option<(&mut Session, &mut Answer, &Arguments)> {
        Some((self.limiters.get_mut(id)?, &mut self.answer, &self.arguments))
    }

    /// A decision on the request in the arguments, by the limiter whose number lies in the answer.
    #[inline]
    pub fn decide(&mut self, env: sys::napi_env) {
        let Self { answer, arguments, limiters, .. } = self;
        let outcome = match limiters.get_mut(answer.limiter()) {
            Some(session) => {
                let outcome = session.decide(answer, arguments);
                session.keep_up(env, answer);
                outcome
            }
            None => crate::answer::CLOSED,
        };
        answer.leave_outcome(outcome);
    }

    /// The hot call, on the limiter whose number lies in the answer; leaves what it came to.
    #[inline]
    pub fn consume(&mut self, env: sys::napi_env, subject: Subject, name: Option<&[u8]>) {
        let id = self.answer.limiter();
        let outcome = match self.get(id) {
            Some((session, answer)) => {
                let outcome = session.consume(answer, subject, name);
                session.keep_up(env, answer);
                outcome
            }
            None => crate::answer::CLOSED,
        };
        self.answer.leave_outcome(outcome);
    }
}

#[napi]
pub struct Channel {
    pub(crate) sessions: Rc<RefCell<Sessions>>,
}

#[napi]
impl Channel {
    #[napi(constructor, catch_unwind)]
    pub fn new(answer: Float64Array) -> Result<Self> {
        let answer = Answer::try_from(answer)?;
        Ok(Self {
            sessions: Rc::new(RefCell::new(Sessions {
                answer,
                arguments: Arguments::default(),
                target: Vec::new(),
                limiters: Vec::new(),
            })),
        })
    }

    /// Gives decisions another array to leave in what each limit says.
    #[napi(catch_unwind)]
    pub fn set_ledger(&self, ledger: Float64Array) {
        self.sessions.borrow_mut().answer.set_ledger(ledger);
    }

    /// The functions on the path of a request.
    #[napi(
        catch_unwind,
        ts_return_type = "{ consume(tenant: string): void; consumeAnonymous(key: string): void; decide(name: string, target: string | undefined): void; decideByKeys(...request: (string | undefined)[]): void; decideByKeysOfBoth(...request: (string | undefined)[]): void }"
    )]
    pub fn hot(&self, env: Env) -> Result<Object<'_>> {
        let mut functions = Object::new(&env).map_err(internal)?;
        let mut set = |name: &str, function: sys::napi_value| {
            // SAFETY: the value was made in this environment, in this call's scope.
            #[expect(unsafe_code, reason = "a raw function becomes a value")]
            let function = unsafe { Unknown::from_napi_value(env.raw(), function) }.map_err(internal)?;
            functions.set_named_property(name, function).map_err(internal)
        };
        set("consume", hot::consume(env.raw(), &self.sessions)?)?;
        set("decide", hot::decide(env.raw(), &self.sessions)?)?;
        set("decideByKeys", hot::decide_by_keys(env.raw(), &self.sessions)?)?;
        set("decideByKeysOfBoth", hot::decide_by_keys_of_both(env.raw(), &self.sessions)?)?;
        set("consumeAnonymous", hot::consume_anonymous(env.raw(), &self.sessions)?)?;
        Ok(functions)
    }
}
