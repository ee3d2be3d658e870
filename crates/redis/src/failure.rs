//! Why a backend did not do what it was asked, by what is to be done about it.

use redis::{ErrorKind, RedisError, ServerErrorKind};
use thiserror::Error;

/// Why a backend did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// There is no connection, or it broke. Whether the batch was executed is not known.
    #[error("the backend cannot be reached: {0}")]
    Unreachable(String),
    /// No answer came in time. Whether the batch was executed is not known.
    #[error("the backend did not answer in time")]
    Timeout,
    /// It is a replica, or it refuses writes for want of replicas or because it cannot save to disk.
    #[error("the backend refuses writes: {0}")]
    ReadOnly(String),
    /// It has reached `maxmemory`, and may not evict.
    #[error("the backend is out of memory")]
    OutOfMemory,
    /// It is loading its data set, or busy with a script of somebody else.
    #[error("the backend is loading its data set or busy with a script")]
    Loading,
    /// The Cluster does not serve the tag's slot at the moment, or the slot is moving faster than it can be followed.
    #[error("the cluster does not serve the slot: {0}")]
    ClusterDown(String),
    /// Credentials are missing or wrong, or do not allow what is needed.
    #[error("the backend does not permit it: {0}")]
    NoPermission(String),
    /// A later batch of the same instance under the same tag has been executed, so that this one never will be.
    #[error("a later batch of this instance has been executed")]
    Superseded,
    /// Anything else: what it said is not what is expected of a Redis.
    #[error("the backend answers unexpectedly: {0}")]
    Protocol(String),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let text = error.to_string();
        if error.is_timeout() {
            return Self::Timeout;
        }
        match error.kind() {
            ErrorKind::ClusterConnectionNotFound => Self::ClusterDown(text),
            ErrorKind::Io
            | ErrorKind::MasterNameNotFoundBySentinel
            | ErrorKind::NoValidReplicasFoundBySentinel => Self::Unreachable(text),
            ErrorKind::AuthenticationFailed => Self::NoPermission(text),
            ErrorKind::Server(ServerErrorKind::ResponseError) => match raised_in_script(&text) {
                Some(code) => Self::by_code(code, text.clone()),
                None => Self::Protocol(text),
            },
            _ => match error.code() {
                Some(code) => Self::by_code(code, text),
                None => Self::Protocol(text),
            },
        }
    }
}

impl Failure {
    /// By the first word of an error reply.
    fn by_code(code: &str, text: String) -> Self {
        match code {
            "READONLY" | "MISCONF" | "NOREPLICAS" | "MASTERDOWN" => Self::ReadOnly(text),
            "OOM" => Self::OutOfMemory,
            "LOADING" | "BUSY" => Self::Loading,
            "CLUSTERDOWN" | "MOVED" | "ASK" | "TRYAGAIN" | "CROSSSLOT" => Self::ClusterDown(text),
            "NOPERM" | "NOAUTH" | "WRONGPASS" => Self::NoPermission(text),
            "SUPERSEDED" => Self::Superseded,
            _ => Self::Protocol(text),
        }
    }
}

/// Before version 7 an error of a command in a script came as `ERR Error running script (...): @user_script:1: -OOM command ...`.
fn raised_in_script(text: &str) -> Option<&str> {
    text.contains("@user_script").then_some(())?;
    text.rsplit_once(": -")?.1.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};

    use super::*;

    fn failure(reply: &str) -> Failure {
        let Ok(Value::ServerError(error)) = parse_redis_value(format!("-{reply}\r\n").as_bytes()) else {
            panic!("{reply} is no error")
        };
        RedisError::from(error).into()
    }

    #[test]
    fn an_error_is_known_by_its_first_word() {
        assert_eq!(failure("OOM command not allowed when used memory > 'maxmemory'."), Failure::OutOfMemory);
        assert_eq!(failure("LOADING Redis is loading the dataset in memory"), Failure::Loading);
        assert_eq!(failure("BUSY Redis is busy running a script."), Failure::Loading);
        assert_eq!(failure("SUPERSEDED by another"), Failure::Superseded);
        assert!(matches!(
            failure("READONLY You can't write against a read only replica."),
            Failure::ReadOnly(_)
        ));
        assert!(matches!(failure("NOREPLICAS Not enough good replicas to write."), Failure::ReadOnly(_)));
        assert!(matches!(failure("CLUSTERDOWN Hash slot not served"), Failure::ClusterDown(_)));
        assert!(matches!(failure("NOPERM this user has no permissions"), Failure::NoPermission(_)));
        assert!(matches!(failure("ERR unknown command 'EVALSHA'"), Failure::Protocol(_)));
    }

    #[test]
    fn an_error_in_a_script_is_known_before_version_7_too() {
        let running = "ERR Error running script (call to f_6b1bf486c81ceb7edf3c093f4c48582e38c0e791): @user_script:9: @user_script: 9: ";
        assert_eq!(
            failure(&format!("{running}-OOM command not allowed when used memory > 'maxmemory'.")),
            Failure::OutOfMemory
        );
    }
}
