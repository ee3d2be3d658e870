//! Does the fleet count on this instance? See `tollgate_core::rollout::Follower` for what it has to do so that it does.

use tokio::time::Instant;

use super::ALIVE;

#[derive(Debug, Default)]
pub(super) struct Membership {
    /// Until then the store has a report of it, for sure.
    registered: Option<Instant>,
    /// Since when it has been registered without a break.
    since: Option<Instant>,
}

impl Membership {
    /// A report that was sent at an instant has arrived.
    pub(super) fn reported(&mut self, sent: Instant) {
        let now = Instant::now();
        if self.registered.is_none_or(|registered| registered <= now) {
            self.since = Some(now);
        }
        self.registered = self.registered.max(Some(sent + ALIVE));
    }

    /// May what was asked for at an instant be followed? Before it is registered somebody may change it without waiting for this one.
    pub(super) fn may_follow(&self, asked: Instant) -> bool {
        self.since.is_some_and(|since| since <= asked) && self.is_registered()
    }

    /// Have all others had the time to report since it did?
    pub(super) fn is_old(&self) -> bool {
        self.is_registered() && self.since.is_some_and(|since| since.elapsed() > ALIVE)
    }

    fn is_registered(&self) -> bool {
        self.registered.is_some_and(|registered| Instant::now() < registered)
    }
}
