//! What a request wants of a shared bucket that holds too few tokens here, what it is told, and by which hand tokens are given.

use super::exchange::SharedLimit;
use crate::Nanos;
use crate::time::Epoch;

/// The word in which an instance's tokens are, wherever that is at the moment.
pub(crate) trait Hand {
    /// Its state, and where that counts time from; `None` if it is not there any more.
    fn read(&mut self) -> Option<(u64, Epoch)>;
    /// The limit that it is under by now; `None` if it is not there any more.
    fn limit(&mut self) -> Option<SharedLimit>;
    /// Replaces the state that was read last; `false` if it has changed since.
    fn replace(&mut self, state: u64) -> bool;
    /// Refuses everything for a time; zero lifts that.
    fn block(&mut self, time: Nanos);
    /// So many tokens were left in the shared bucket at an instant.
    fn note(&mut self, left: u64, at: Nanos);
}

/// What a request finds too few tokens for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lack<'a> {
    pub(crate) limit: &'a SharedLimit,
    pub(crate) cost: u64,
    /// Has it waited as long as it may?
    pub(crate) last: bool,
}

/// What is done for a request that finds too few tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// There are tokens now: it tries again.
    Placed,
    /// An answer with this number is awaited.
    Awaited(u64),
    /// There are none for so long.
    Refused(Nanos),
    /// The backend is gone, and nothing is admitted without it.
    Backend,
}

/// The instant of a want or an answer, and what is known of the fleet then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) monotonic: Nanos,
    pub(crate) wall: Nanos,
    pub(crate) instances: u32,
}
