//! Promises that the background keeps.

use napi::bindgen_prelude::Object;
use napi::{Env, Status};

use crate::error::{Result, internal};
use crate::sharing::runtime;

/// A promise of what a future gives; it is rejected with what that says is wrong.
pub fn promised(
    env: &Env,
    future: impl Future<Output = std::result::Result<String, String>> + Send + 'static,
) -> Result<Object<'_>> {
    let (deferred, promise) = env.create_deferred().map_err(internal)?;
    runtime()?.spawn(async move {
        match future.await {
            Ok(text) => deferred.resolve(move |_env| Ok(text)),
            Err(reason) => deferred.reject(napi::Error::new(Status::GenericFailure, reason)),
        }
    });
    Ok(promise)
}
