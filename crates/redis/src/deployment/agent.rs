//! One turn after another: it reports, reads, follows what it has read, and drives where nobody else does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tollgate_core::policy::ImageHash;
use tollgate_core::rollout::{Ask, Follower, Micros, Record, Report, Revision, Role};

use super::clock::Clock;
use super::fleet::Fleet;
use super::membership::Membership;
use super::{ALIVE, Command, Comparing, Member, NotDone, Policies, Seen};
use crate::Failure;
use crate::control::{Fence, Glance, Hints, Store};

/// How often an instance looks while nothing is going on, and while a rollout is under way. Hints come sooner.
const QUIET: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_millis(250);
/// What others say of themselves is read again after so long, though the record is as it was.
const STALE: Duration = Duration::from_secs(2);
/// Hints are listened for again after so long.
const DEAF: Duration = Duration::from_secs(5);
/// So many amendments are made together.
const AT_ONCE: u32 = 256;
/// In one turn it looks so often again, because something has changed.
const MOST_LOOKS: usize = 16;

pub(super) struct Agent<P> {
    pub(super) member: Member,
    store: Box<dyn Fn() -> Option<Store> + Send + Sync>,
    pub(super) policies: Arc<P>,
    pub(super) follower: Follower,
    membership: Membership,
    clock: Option<Clock>,
    joined: Option<Micros>,
    /// The version of the record that it has followed.
    version: Option<u64>,
    /// When it has read what others say.
    looked: Option<Instant>,
    comparing: Option<Comparing>,
    pub(super) asks: Option<Ask>,
    pub(super) fence: Option<Fence>,
    pub(super) wanted: VecDeque<Command>,
    /// Has it been seen what the fleet makes of the policy that it has begun with?
    pub(super) booted: bool,
    /// The instant that whoever drives waits for.
    pub(super) due: Option<Micros>,
    pub(super) seen: Seen,
    tell: watch::Sender<Arc<Seen>>,
    heard: Option<Instant>,
}

impl<P: Policies> Agent<P> {
    pub(super) fn new(
        member: Member,
        store: Box<dyn Fn() -> Option<Store> + Send + Sync>,
        policies: Arc<P>,
        tell: watch::Sender<Arc<Seen>>,
    ) -> Self {
        let mut follower = Follower::new(member.instance);
        if let Some(declared) = &member.declared {
            follower.hold(declared.hash);
        }
        Self {
            member,
            store,
            policies,
            follower,
            membership: Membership::default(),
            clock: None,
            joined: None,
            version: None,
            looked: None,
            comparing: None,
            asks: None,
            fence: None,
            wanted: VecDeque::new(),
            booted: false,
            due: None,
            seen: Seen::default(),
            tell,
            heard: None,
        }
    }

    /// Takes part until it is told to stop.
    pub(super) async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut hints = None;
        loop {
            if hints.is_none() {
                hints = self.listen().await;
            }
            let wake = self.turn().await;
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                command = commands.recv() => match command {
                    Some(command) => self.wanted.push_back(command),
                    None => break,
                },
                () = tokio::time::sleep_until(wake) => {}
                hint = next(&mut hints) => if hint.is_none() {
                    hints = None;
                },
            }
        }
        self.leave().await;
    }

    async fn listen(&mut self) -> Option<Hints> {
        if self.heard.is_some_and(|heard| heard.elapsed() < DEAF) {
            return None;
        }
        self.heard = Some(Instant::now());
        (self.store)()?.hints().await.ok()
    }

    /// Does what there is to do; gives when to look again.
    async fn turn(&mut self) -> Instant {
        let failure = match self.attempt().await {
            Ok(wake) => {
                self.publish(None);
                return wake;
            }
            Err(failure) => failure,
        };
        self.publish(Some(failure.to_string()));
        for Command { reply, .. } in self.wanted.drain(..) {
            let failure = Failure::Unreachable(failure.to_string());
            // Nobody may wait for it any more.
            let _ = reply.send(Err(NotDone::Unavailable(failure)));
        }
        Instant::now() + QUIET
    }

    async fn attempt(&mut self) -> Result<Instant, NotDone> {
        let not_connected = || Failure::Unreachable("the first backend is not connected".to_owned());
        let store = (self.store)().ok_or_else(not_connected)?;
        // An instant may have come at which it swaps.
        if self.member.role == Role::Instance {
            self.decide_as_told().await;
        }
        let mut glance = self.report(&store).await?;
        for _ in 0..MOST_LOOKS {
            let is_fresh = self.looked.is_some_and(|looked| looked.elapsed() < STALE);
            if self.version == Some(glance.version) && !self.is_busy() && is_fresh {
                break;
            }
            if !self.look(&store).await? {
                break;
            }
            glance = self.report(&store).await?;
        }
        self.amend(&store, &glance).await?;
        Ok(self.wake())
    }

    /// Reads, follows and drives; `true` if there is something to look at again.
    async fn look(&mut self, store: &Store) -> Result<bool, NotDone> {
        let asked = Instant::now();
        let fleet = Fleet::understood(store.read().await?)?;
        self.seen.reports.clone_from(&fleet.reports);
        self.seen.looked = true;
        self.looked = Some(asked);
        let Some(record) = fleet.record.clone() else { return self.found(store, &fleet).await };
        if !self.membership.may_follow(asked) {
            return Ok(false);
        }
        self.follower.read(record.clone());
        self.version = Some(fleet.version);
        let changed = self.member.role == Role::Instance && self.follow(store).await?;
        self.observe(store, &record, &fleet).await;
        // What is so now is to be reported before anything else happens.
        Ok(changed || self.act(store, &record, &fleet).await?)
    }

    /// Is there more to do than to say that it lives?
    fn is_busy(&self) -> bool {
        self.has_to_settle_in() || !self.wanted.is_empty() || self.has_rollout()
    }

    fn has_to_settle_in(&self) -> bool {
        self.member.declared.is_some() && !self.booted
    }

    fn has_rollout(&self) -> bool {
        self.seen.record.as_ref().is_some_and(|record| record.rollout.is_some())
    }

    fn wake(&self) -> Instant {
        let pause = if self.has_rollout() || !self.wanted.is_empty() { BUSY } else { QUIET };
        let swap = self.follower.target().and_then(|target| target.swap).map(|swap| swap.at);
        let now = self.now();
        let instants = [swap, self.due].into_iter().flatten().filter(|&at| Some(at) > now);
        let instants = instants.filter_map(|at| Some(self.clock?.instant(at)));
        instants.fold(Instant::now() + pause, Instant::min)
    }

    /// The store's time, once it has been read.
    pub(super) fn now(&self) -> Option<Micros> {
        self.clock.map(|clock| clock.now())
    }

    async fn report(&mut self, store: &Store) -> Result<Glance, NotDone> {
        let report = Report {
            instance: self.member.instance,
            role: self.member.role,
            joined: self.joined.unwrap_or_default(),
            follows: self.follower.follows(),
            enforces: self.follower.enforces(),
            holds: self.follower.held().to_vec(),
            refuses: self.follower.refuses().cloned(),
            tallies: self.policies.tallies().filter(|tallies| Some(tallies.round) == self.follower.round()),
            asks: self.asks.clone(),
            process: self.member.process.clone(),
        };
        let bytes = serde_json::to_vec(&report).map_err(crate::control::unexpected)?;
        let sent = Instant::now();
        let glance = store.report(self.member.instance, &bytes, ALIVE).await?;
        self.membership.reported(sent);
        let clock = Clock::read(glance.now_micros, sent, Instant::now());
        self.joined.get_or_insert(clock.now());
        self.clock = Some(clock);
        Ok(glance)
    }

    /// Holds the images that it is to hold, and decides as it is told; `true` if something is so now that was not.
    async fn follow(&mut self, store: &Store) -> Result<bool, NotDone> {
        let mut changed = false;
        for revision in self.follower.missing() {
            match self.fetch(store, revision).await? {
                Ok(()) => self.follower.hold(revision.hash),
                Err(why) => self.follower.refuse(revision, why),
            }
            changed = true;
        }
        changed |= self.decide_as_told().await;
        self.compare();
        let mut kept = self.follower.held().to_vec();
        if !self.booted {
            kept.extend(self.declared());
        }
        self.policies.keep(&kept);
        Ok(changed)
    }

    async fn fetch(&self, store: &Store, revision: Revision) -> Result<Result<(), String>, NotDone> {
        let Revision { hash, .. } = revision;
        let Some(stored) = store.image(&hash.0).await? else {
            return Ok(Err(format!("the image of {revision} is not in the store")));
        };
        let policies = Arc::clone(&self.policies);
        Ok(blocking(move || policies.hold(hash, &stored)).await)
    }

    /// Decides by what it is told from now on; `true` if that is another policy than before.
    async fn decide_as_told(&mut self) -> bool {
        let Some((target, now)) = self.follower.target().zip(self.now()) else { return false };
        let revision = target.at(now);
        let enforces = self.follower.enforces();
        if enforces == Some(revision) || !self.follower.held().contains(&revision.hash) {
            return false;
        }
        let in_force = enforces.map(|revision| revision.hash).or(self.declared());
        if in_force != Some(revision.hash) {
            let policies = Arc::clone(&self.policies);
            if let Err(why) = blocking(move || policies.enforce(revision.hash)).await {
                self.follower.refuse(revision, why);
                return true;
            }
            // What comes into force comes without amendments.
            self.seen.amended = None;
        }
        self.follower.enforce(now);
        self.compare();
        true
    }

    /// Makes the amendments upon the active revision that it has not made yet, where it decides by that.
    async fn amend(&mut self, store: &Store, glance: &Glance) -> Result<(), NotDone> {
        let Some(Revision { number, .. }) = self.follower.enforces() else { return Ok(()) };
        if number != glance.revision {
            return Ok(());
        }
        loop {
            let made =
                self.seen.amended.filter(|(revision, _)| *revision == number).map_or(0, |(_, made)| made);
            if made >= glance.amended {
                self.seen.amended = Some((number, made));
                return Ok(());
            }
            let read = store.amendments(made + 1, AT_ONCE).await?;
            if read.revision != number || read.entries.is_empty() {
                return Ok(());
            }
            let last = read.entries.last().map_or(made, |(number, _)| *number);
            let amendments: Vec<Vec<u8>> = read.entries.into_iter().map(|(_, bytes)| bytes).collect();
            let policies = Arc::clone(&self.policies);
            blocking(move || policies.amend(&amendments)).await.map_err(NotDone::Amendment)?;
            self.seen.amended = Some((number, last));
        }
    }

    fn compare(&mut self) {
        let Some((target, now)) = self.follower.target().zip(self.now()) else { return };
        let comparing = target.compared(now).zip(self.follower.round()).and_then(|(other, round)| {
            let candidate = self.candidate()?;
            let by_candidate = self.follower.enforces() == Some(candidate);
            Some(Comparing { other: other.hash, by_candidate, round, began: now })
        });
        // Whenever it began, it goes on.
        let what = |comparing: Comparing| (comparing.other, comparing.by_candidate, comparing.round);
        if self.comparing.map(what) != comparing.map(what) {
            self.policies.compare(comparing);
            self.comparing = comparing;
        }
    }

    fn candidate(&self) -> Option<Revision> {
        self.follower.record().and_then(|record| record.rollout.as_ref()).map(|rollout| rollout.candidate)
    }

    fn publish(&mut self, failure: Option<String>) {
        self.seen.failure = failure;
        let seen = Arc::new(self.seen.clone());
        self.tell.send_replace(seen);
    }

    pub(super) fn is_alone_for_long(&self) -> bool {
        self.membership.is_old()
    }

    async fn leave(&mut self) {
        let Some(store) = (self.store)() else { return };
        if let Some(fence) = self.fence.take() {
            let _ = store.release(self.member.instance, fence).await;
        }
        let _ = store.retire(self.member.instance).await;
    }

    /// What is known of a record, for those who ask.
    pub(super) fn know(&mut self, record: &Record) {
        self.seen.record = Some(record.clone());
    }

    /// The hash of what it has begun with.
    pub(super) fn declared(&self) -> Option<ImageHash> {
        self.member.declared.as_ref().map(|declared| declared.hash)
    }
}

async fn next(hints: &mut Option<Hints>) -> Option<crate::control::Hint> {
    match hints {
        Some(hints) => hints.next().await,
        None => std::future::pending().await,
    }
}

/// Does what may take long where it holds nobody up.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    spawn_blocking(act).await.unwrap_or_else(|error| Err(format!("it panicked: {error}")))
}
