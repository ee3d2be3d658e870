//! The functions on the path of a request, registered through Node-API itself.
//!
//! A function that `#[napi]` generates costs five times what reading its string does. These read one string into a
//! buffer on the stack, and leave the decision in the answer. They read UTF-16, which is what V8 copies fastest, and which
//! shows a lone surrogate for what it is: read as UTF-8 it would be U+FFFD, and two names could be one.

#![expect(unsafe_code, reason = "Node-API is C; each block says why it holds")]

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::sys;
use tollgate_core::Subject;
use tollgate_core::path::LONGEST_PATH;

use crate::arguments::{MOST_VALUES, VALUES_OF_ONE};
use crate::channel::Sessions;
use crate::error::{Result, internal};
use crate::session::LONGEST_NAME;

/// Room for the longest name in UTF-16, which has no more units than UTF-8 has bytes; one unit more, to see that a name is
/// longer; and Node-API's terminator.
const BUFFER: usize = LONGEST_NAME + 2;

/// A request's name, path, address and values, as one policy needs them.
const ARGUMENTS_OF_ONE: usize = 3 + VALUES_OF_ONE;

/// The same, as two policies do between them.
const MOST_ARGUMENTS: usize = 3 + MOST_VALUES;

/// A function for JavaScript that decides on the tenant that it is called with.
pub fn consume(env: sys::napi_env, sessions: &Rc<RefCell<Sessions>>) -> Result<sys::napi_value> {
    register(env, c"consume", consume_tenant, sessions)
}

/// A function for JavaScript that decides on a request by its tenant (or client address, as the flags in the answer say) and
/// target.
pub fn decide(env: sys::napi_env, sessions: &Rc<RefCell<Sessions>>) -> Result<sys::napi_value> {
    register(env, c"decide", decide_request, sessions)
}

/// The same, by the client's address and the values that rules are kept per, too.
pub fn decide_by_keys(env: sys::napi_env, sessions: &Rc<RefCell<Sessions>>) -> Result<sys::napi_value> {
    register(env, c"decideByKeys", decide_request_by_keys, sessions)
}

/// The same, by more values than one policy can need.
pub fn decide_by_keys_of_both(
    env: sys::napi_env,
    sessions: &Rc<RefCell<Sessions>>,
) -> Result<sys::napi_value> {
    register(env, c"decideByKeysOfBoth", decide_request_by_keys_of_both, sessions)
}

/// A function for JavaScript that decides on the client address that it is called with.
pub fn consume_anonymous(env: sys::napi_env, sessions: &Rc<RefCell<Sessions>>) -> Result<sys::napi_value> {
    register(env, c"consumeAnonymous", consume_address, sessions)
}

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

/// Makes a function whose data is a counted reference to the sessions, given back when the function is collected.
fn register(
    env: sys::napi_env,
    name: &CStr,
    callback: Callback,
    sessions: &Rc<RefCell<Sessions>>,
) -> Result<sys::napi_value> {
    let length = name.to_bytes().len().cast_signed();
    let data = Rc::into_raw(Rc::clone(sessions)).cast_mut().cast::<c_void>();
    let mut function = ptr::null_mut();
    // SAFETY: `env` is the environment of the call that led here, on its thread; the name outlives the call, which
    // copies it; `data` stays valid until `release`, which runs once, after the last call of the function.
    let status = unsafe {
        match sys::napi_create_function(env, name.as_ptr(), length, Some(callback), data, &raw mut function) {
            sys::Status::napi_ok => {
                sys::napi_add_finalizer(env, function, data, Some(release), ptr::null_mut(), ptr::null_mut())
            }
            failure => failure,
        }
    };
    if status == sys::Status::napi_ok {
        return Ok(function);
    }
    // SAFETY: no finalizer was registered, so nobody else gives this reference back; if a function was made, it is
    // dropped here unseen by JavaScript.
    drop(unsafe { Rc::from_raw(data.cast_const().cast::<RefCell<Sessions>>()) });
    Err(internal(format!("Node-API status {status} while registering a function")))
}

/// SAFETY (for who registers it): `data` is from `Rc::into_raw` in [`register`], and this runs once.
unsafe extern "C" fn release(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: as above; finalizers run on the environment's thread, where the sessions live.
    drop(unsafe { Rc::from_raw(data.cast_const().cast::<RefCell<Sessions>>()) });
}

/// SAFETY (for who registers it): only by [`register`], so that the function's data is sessions.
unsafe extern "C" fn consume_tenant(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node-API as the callback of a function that `register` made.
    unsafe { call(env, info, Subject::Tenant) }
}

/// SAFETY (for who registers it): as [`consume_tenant`].
unsafe extern "C" fn consume_address(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node-API as the callback of a function that `register` made.
    unsafe { call(env, info, Subject::Anonymous) }
}

/// SAFETY (for who registers it): as [`consume_tenant`].
unsafe extern "C" fn decide_request(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by Node-API as the callback of a function that `register` made.
    unsafe { call_by_rules::<2>(env, info) }
}

/// SAFETY (for who registers it): as [`consume_tenant`].
unsafe extern "C" fn decide_request_by_keys(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: as above.
    unsafe { call_by_rules::<ARGUMENTS_OF_ONE>(env, info) }
}

/// SAFETY (for who registers it): as [`consume_tenant`].
unsafe extern "C" fn decide_request_by_keys_of_both(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: as above.
    unsafe { call_by_rules::<MOST_ARGUMENTS>(env, info) }
}

/// SAFETY: `env` and `info` are those of a call of a function that [`register`] made.
#[inline]
unsafe fn call_by_rules<const MOST: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let mut count = MOST;
    let mut arguments = [ptr::null_mut(); MOST];
    let mut data = ptr::null_mut();
    // SAFETY: `count` says how many arguments fit, and missing ones are given as undefined. `data` is the sessions of
    // `register`, alive because its function is being called.
    let sessions = unsafe {
        let first = arguments.as_mut_ptr();
        sys::napi_get_cb_info(env, info, &raw mut count, first, ptr::null_mut(), &raw mut data);
        data.cast_const().cast::<RefCell<Sessions>>().as_ref()
    };
    guarded(env, || {
        let Some(Ok(mut sessions)) = sessions.map(RefCell::try_borrow_mut) else { return false };
        let sessions = &mut *sessions;
        let (read, long) = (&mut sessions.arguments, &mut sessions.target);
        read.clear();
        let given = arguments.get(..count.min(MOST)).unwrap_or_default();
        for (place, &argument) in given.iter().enumerate() {
            // SAFETY: `env` and `argument` are this call's.
            unsafe {
                match place {
                    0 => text(env, argument, |name| read.set_name(name)),
                    1 => target(env, argument, long, |target| read.set_target(target)),
                    2 => text(env, argument, |text| read.set_address(text)),
                    _ => text(env, argument, |value| read.add_value(value)),
                }
            }
        }
        sessions.decide(env);
        true
    })
}

/// Reads a string as UTF-8; `None` for what is no string, longer than a name may be, or not well formed.
///
/// SAFETY: `env` and `argument` are those of the call that is being made.
#[inline]
unsafe fn text(env: sys::napi_env, argument: sys::napi_value, mut read: impl FnMut(Option<&[u8]>)) {
    let mut buffer = [MaybeUninit::<u16>::uninit(); BUFFER];
    let mut length = 0;
    // SAFETY: as above; Node-API is told the size of the buffer, and has written `length` units, fewer than that, and a
    // terminator; nothing, if it failed.
    let (status, units) = unsafe {
        let room = buffer.as_mut_ptr().cast();
        let status = sys::napi_get_value_string_utf16(env, argument, room, BUFFER, &raw mut length);
        (status, std::slice::from_raw_parts(buffer.as_ptr().cast::<u16>(), length.min(BUFFER)))
    };
    if status != sys::Status::napi_ok || as_utf8(units, |text| read(Some(text))).is_none() {
        read(None);
    }
}

/// Reads a target as UTF-8, or as much of it as shows that it is too long; `None` for what is no string.
///
/// SAFETY: as [`text`].
#[inline]
unsafe fn target(
    env: sys::napi_env,
    argument: sys::napi_value,
    long: &mut Vec<u8>,
    read: impl FnOnce(Option<&[u8]>),
) {
    const SHORT: usize = 256;
    let mut short = [MaybeUninit::<u8>::uninit(); SHORT];
    let mut length = 0;
    // SAFETY: as above; Node-API is told the size of the buffer, and has written `length` bytes of it, if it succeeded.
    let (status, bytes) = unsafe {
        let buffer = short.as_mut_ptr().cast();
        let status = sys::napi_get_value_string_utf8(env, argument, buffer, SHORT, &raw mut length);
        (status, std::slice::from_raw_parts(short.as_ptr().cast::<u8>(), length.min(SHORT)))
    };
    if status != sys::Status::napi_ok {
        return read(None);
    }
    // Of a character that did not fit, nothing is written: then up to three bytes are free before the terminator.
    if bytes.len() < SHORT - 4 {
        return read(Some(bytes));
    }
    long.resize(LONGEST_PATH + 8, 0);
    // SAFETY: `env` and `argument` are this call's; Node-API is told the size of the buffer, and writes no more.
    let status = unsafe {
        let buffer = long.as_mut_ptr().cast();
        sys::napi_get_value_string_utf8(env, argument, buffer, long.len(), &raw mut length)
    };
    read(long.get(..length).filter(|_| status == sys::Status::napi_ok));
}

/// SAFETY: `env` and `info` are those of a call of a function that [`register`] made.
#[inline]
unsafe fn call(env: sys::napi_env, info: sys::napi_callback_info, subject: Subject) -> sys::napi_value {
    let mut count = 1;
    let mut argument = ptr::null_mut();
    let mut data = ptr::null_mut();
    let mut buffer = [MaybeUninit::<u16>::uninit(); BUFFER];
    let mut length = 0;
    // SAFETY: `count` says how many arguments fit, and a missing one is given as undefined. `data` is the sessions of
    // `register`, alive because its function is being called. The string is written to `buffer`, of which Node-API
    // is told the size; what is not a string writes nothing.
    let (status, sessions) = unsafe {
        sys::napi_get_cb_info(env, info, &raw mut count, &raw mut argument, ptr::null_mut(), &raw mut data);
        let status = sys::napi_get_value_string_utf16(
            env,
            argument,
            buffer.as_mut_ptr().cast(),
            BUFFER,
            &raw mut length,
        );
        (status, data.cast_const().cast::<RefCell<Sessions>>().as_ref())
    };
    guarded(env, || {
        let Some(Ok(mut sessions)) = sessions.map(RefCell::try_borrow_mut) else { return false };
        // SAFETY: Node-API has written `length` units, fewer than BUFFER, and a terminator; nothing, if it failed.
        let units = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u16>(), length.min(BUFFER)) };
        if status != sys::Status::napi_ok
            || as_utf8(units, |name| sessions.consume(env, subject, Some(name))).is_none()
        {
            sessions.consume(env, subject, None);
        }
        true
    })
}

/// Makes a decision, and throws if it was not made: whatever kept it from leaving an outcome, the one before must not be
/// taken for it.
#[inline]
fn guarded(env: sys::napi_env, decide: impl FnOnce() -> bool) -> sys::napi_value {
    if !matches!(catch_unwind(AssertUnwindSafe(decide)), Ok(true)) {
        // SAFETY: `env` is this call's; the strings are terminated and outlive the call.
        unsafe {
            sys::napi_throw_error(
                env,
                c"TOLLGATE_INTERNAL".as_ptr(),
                c"a decision was not made; please report this".as_ptr(),
            );
        }
    }
    ptr::null_mut()
}

/// Gives a name to `read` as UTF-8; `None` if it is too long, or not well formed.
///
/// V8 has just stored the units one by one, and the hash will load eight bytes at a time. A load that spans several recent
/// stores waits until they have left the store buffer, longer than the hash itself takes; so units are loaded one by
/// one, and bytes stored eight at a time.
#[inline]
fn as_utf8<T>(units: &[u16], read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let mut words = [MaybeUninit::<u64>::uninit(); LONGEST_NAME / 8];
    if units.len() > LONGEST_NAME {
        return None;
    }
    for (word, eight) in words.iter_mut().zip(units.chunks(8)) {
        let mut bytes = 0;
        for unit in eight.iter().rev() {
            // SAFETY: a reference is valid to read. Volatile, so that the compiler does not load several at once.
            let unit = unsafe { ptr::read_volatile(unit) };
            if unit >= 0x80 {
                return String::from_utf16(units).ok().map(|name| read(name.as_bytes()));
            }
            bytes = bytes << 8 | u64::from(unit);
        }
        word.write(bytes.to_le());
    }
    // SAFETY: the loop has written every word that these bytes are part of: one for each eight units or fewer.
    Some(read(unsafe { std::slice::from_raw_parts(words.as_ptr().cast::<u8>(), units.len()) }))
}
