//! Errors as JavaScript sees them: a message and a stable `code`.

use std::fmt::Display;

/// What [`napi::Error`] calls a status, and JavaScript reads as `error.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Config,
    NamespaceConflict,
    Closed,
    Internal,
}

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        match self {
            Self::Config => "TOLLGATE_CONFIG",
            Self::NamespaceConflict => "TOLLGATE_NAMESPACE_CONFLICT",
            Self::Closed => "TOLLGATE_CLOSED",
            Self::Internal => "TOLLGATE_INTERNAL",
        }
    }
}

pub type Error = napi::Error<Code>;
pub type Result<T> = std::result::Result<T, Error>;

pub fn config(reason: impl Display) -> Error {
    Error::new(Code::Config, reason.to_string())
}

pub fn closed() -> Error {
    Error::new(Code::Closed, "the limiter is closed".to_owned())
}

pub fn internal(reason: impl Display) -> Error {
    Error::new(Code::Internal, reason.to_string())
}
