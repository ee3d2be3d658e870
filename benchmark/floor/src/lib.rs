//! The floor under any native limiter: a Node-API call that reads the tenant's name into a buffer on the stack.

#![allow(missing_docs, reason = "the macros generate public items without documentation")]
#![expect(unsafe_code, reason = "Node-API is C; each block says why it holds")]

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::ptr;

use napi::bindgen_prelude::{FromNapiValue, Unknown};
use napi::{Env, sys};
use napi_derive::napi;

/// As long as the buffer of the limiter's own hot call.
const BUFFER: usize = 264;

/// A function that reads its one argument, a string, and returns nothing.
///
/// # Errors
/// Node-API does not make the function.
#[napi(ts_return_type = "(name: string) => void")]
pub fn reader(env: Env) -> napi::Result<Unknown<'static>> {
    let mut function = ptr::null_mut();
    // SAFETY: `env` is this call's; the callback has no data, and the name is copied.
    unsafe {
        sys::napi_create_function(
            env.raw(),
            c"read".as_ptr(),
            4,
            Some(read),
            ptr::null_mut(),
            &raw mut function,
        );
        Unknown::from_napi_value(env.raw(), function)
    }
}

/// SAFETY (for who registers it): called by Node-API only.
unsafe extern "C" fn read(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (mut count, mut argument, mut length) = (1, ptr::null_mut(), 0);
    let mut buffer = [MaybeUninit::<c_char>::uninit(); BUFFER];
    // SAFETY: `count` says how many arguments fit; Node-API is told the size of the buffer it writes to.
    unsafe {
        sys::napi_get_cb_info(env, info, &raw mut count, &raw mut argument, ptr::null_mut(), ptr::null_mut());
        sys::napi_get_value_string_utf8(env, argument, buffer.as_mut_ptr().cast(), BUFFER, &raw mut length);
    }
    std::hint::black_box(length);
    ptr::null_mut()
}
