//! What whoever holds the lock writes, and what others are told.

use std::time::Duration;

use tollgate_core::rollout::audit::{Entry, Event};
use tollgate_core::rollout::propose::Change;
use tollgate_core::rollout::{
    Ask, Boot, ExecutionId, ExecutionLog, Record, Refused, Report, Role, Step, Wish, adopt, boot, drive,
    propose, rollback,
};

use super::agent::Agent;
use super::fleet::Fleet;
use super::{Command, NotDone, Policies, Wanted};
use crate::control::{self, Fence, Store, Write, Written};

/// How long the driver's lock lives, unless it is renewed.
const LOCK: Duration = Duration::from_secs(3);
/// How long replicas are waited for, to have what was decided.
const REPLICATED: Duration = Duration::from_millis(200);
/// So many entries of the audit trail are searched for the end of a rollout.
const LATEST: u32 = 32;

impl<P: Policies> Agent<P> {
    /// The fleet has no record: this instance makes one, once every other has had the time to report. Where policies are in force
    /// already, because a store has lost the record, one of those does it who decide by the newest.
    pub(super) async fn found(&mut self, store: &Store, fleet: &Fleet) -> Result<bool, NotDone> {
        let is_old = matches!(store, Store::InProcess(_)) || self.is_alone_for_long();
        let enforced: Vec<_> = fleet.reports.iter().filter_map(|report| report.enforces.as_ref()).collect();
        let newest = enforced.iter().copied().max().copied();
        let Some(declared) = self.declared() else { return Ok(false) };
        if !is_old || newest.is_some() && newest != self.follower.enforces() {
            return Ok(false);
        }
        let Some(fence) = store.acquire(self.member.instance, LOCK).await? else { return Ok(false) };
        let record = Record::found(declared, enforced, fleet.now);
        if let Some(stored) = self.policies.stored(record.active.hash) {
            store.put_image(&record.active.hash.0, &stored).await?;
        }
        self.fence = Some(fence);
        self.write(store, fleet, fence, record, &[]).await
    }

    /// Does what is wanted, and drives the rollout that is under way, if nobody else does; `true` if that has changed something.
    pub(super) async fn act(
        &mut self,
        store: &Store,
        record: &Record,
        fleet: &Fleet,
    ) -> Result<bool, NotDone> {
        self.due = None;
        self.settle_in(record, fleet);
        if record.rollout.is_none() && self.wanted.is_empty() {
            if let Some(fence) = self.fence.take() {
                store.release(self.member.instance, fence).await?;
            }
            return Ok(false);
        }
        let me = self.member.instance;
        match fleet.lock {
            Some(lock) if lock.holder == me && Some(lock.fence) == self.fence => {
                if lock.expires_in < LOCK / 2 && !store.renew(me, lock.fence, LOCK).await? {
                    return Ok(true);
                }
                self.change(store, record, fleet, lock.fence).await
            }
            Some(lock) if lock.holder != me => {
                self.answer_without_lock(record, fleet);
                Ok(false)
            }
            _ => {
                self.fence = store.acquire(me, LOCK).await?;
                Ok(self.fence.is_some())
            }
        }
    }

    /// What the fleet makes of the policy that this instance has begun with, seen once.
    fn settle_in(&mut self, record: &Record, fleet: &Fleet) {
        if self.booted || self.follower.enforces().is_none() {
            return;
        }
        let Some(proposal) = self.member.declared.clone() else { return };
        match boot(record, proposal.hash) {
            Boot::Propose if self.policies.are_alike(record.active.hash, proposal.hash) => {}
            Boot::Propose if record.rollout.is_some() => return,
            Boot::Propose => {
                let (reply, _) = tokio::sync::oneshot::channel();
                let wanted = match self.policies.stored(proposal.hash) {
                    Some(stored) if self.has_company(fleet) => Wanted::Apply { proposal, stored },
                    Some(stored) => Wanted::Adopt { proposal, stored },
                    None => return,
                };
                self.wanted.push_back(Command { wanted, reply });
            }
            Boot::JoinRefused { .. } | Boot::Join(_) | Boot::Active => {}
        }
        self.booted = true;
    }

    /// Does another instance live?
    fn has_company(&self, fleet: &Fleet) -> bool {
        let is_other =
            |report: &&Report| report.role == Role::Instance && report.instance != self.member.instance;
        fleet.reports.iter().any(|report| is_other(&report))
    }

    async fn change(
        &mut self,
        store: &Store,
        record: &Record,
        fleet: &Fleet,
        fence: Fence,
    ) -> Result<bool, NotDone> {
        let view = fleet.view(record, fence.0);
        if let Some(Command { wanted, reply }) = self.wanted.pop_front() {
            let (change, image) = match wanted {
                Wanted::Apply { proposal, stored } => {
                    let image = (proposal.hash, stored);
                    (propose(&view, proposal), Some(image))
                }
                Wanted::Adopt { proposal, stored } => {
                    let image = (proposal.hash, stored);
                    (adopt(&view, &proposal), Some(image))
                }
                Wanted::GoBack { to, settings, by } => (rollback(&view, to, settings, by), None),
                Wanted::Ask { what, by } => {
                    let asked = self.ask(record, what, by);
                    let _ = reply.send(asked);
                    return Ok(true);
                }
            };
            let (next, entries) = match change {
                Ok(change) => change,
                Err(refused) => {
                    // Whoever wanted it may have gone.
                    let _ = reply.send(Err(refused.into()));
                    return Ok(true);
                }
            };
            if let Some((hash, stored)) = image
                && let Err(refused) = store.put_image(&hash.0, &stored).await
            {
                let _ = reply.send(Err(refused.into()));
                return Ok(true);
            }
            return self.begin(store, fleet, fence, (next, entries), reply).await;
        }
        match drive(&view) {
            Step::Write(next, entries) => self.write(store, fleet, fence, *next, &entries).await,
            Step::Wait(until) => {
                self.due = Some(until);
                Ok(false)
            }
            Step::Nothing => Ok(false),
        }
    }

    async fn begin(
        &mut self,
        store: &Store,
        fleet: &Fleet,
        fence: Fence,
        (next, entries): Change,
        reply: tokio::sync::oneshot::Sender<Result<ExecutionId, NotDone>>,
    ) -> Result<bool, NotDone> {
        let id = entries.first().map(|entry| entry.execution_id);
        let written = self.write(store, fleet, fence, next, &entries).await;
        let answer = match (&written, id) {
            (Ok(true), Some(id)) if self.fence == Some(fence) => Ok(id),
            _ => Err(NotDone::Store(control::Refused::Expired)),
        };
        let _ = reply.send(answer);
        written
    }

    async fn write(
        &mut self,
        store: &Store,
        fleet: &Fleet,
        fence: Fence,
        next: Record,
        entries: &[Entry],
    ) -> Result<bool, NotDone> {
        let audit = entries.iter().map(serde_json::to_vec).collect::<Result<_, _>>();
        let write = Write {
            fence,
            version: fleet.version,
            revision: next.active.number,
            record: next.bytes()?,
            audit: audit.map_err(control::unexpected)?,
        };
        match store.write(&write).await {
            Ok(written) => {
                self.written(store, &next, entries, written).await;
                Ok(true)
            }
            Err(control::Refused::Failed(failure)) => Err(failure.into()),
            // Somebody else was quicker, or this one too slow: it looks again.
            Err(_) => {
                self.fence = None;
                Ok(true)
            }
        }
    }

    /// What has been decided is to outlive the server that it was written to, as far as that has replicas; and images that nobody
    /// names any more are forgotten.
    async fn written(&mut self, store: &Store, next: &Record, entries: &[Entry], written: Written) {
        let decides = |entry: &Entry| {
            matches!(entry.event, Event::Promoting { .. } | Event::RollingBack { .. } | Event::Locked { .. })
        };
        if entries.iter().any(decides) {
            // Fewer replicas than hoped for are no reason to stop: whoever reads an older record does what that says.
            let _ = store.confirm(written, 1, REPLICATED).await;
        }
        if let Some(log) = &mut self.seen.log {
            for entry in entries {
                log.conclude(entry);
            }
        }
        if next.rollout.is_none() {
            let named = next.earlier.iter().chain([&next.active]).map(|revision| revision.hash.0);
            let named: Vec<_> = named.collect();
            let _ = store.forget_images(written.fence, &named).await;
        }
    }

    /// What is known of the rollout, as it is shown to people.
    pub(super) async fn observe(&mut self, store: &Store, record: &Record, fleet: &Fleet) {
        self.know(record);
        if let Some(rollout) = &record.rollout {
            let id = &rollout.execution_id;
            if self.seen.log.as_ref().is_none_or(|log| log.execution_id != *id) {
                let began = fleet.now;
                self.seen.log = Some(ExecutionLog::new(*id, began, rollout.settings.window));
            }
            if let Some(log) = &mut self.seen.log {
                log.observe(&fleet.view(record, 0));
            }
        }
        self.asks.take_if(|ask| {
            record.rollout.as_ref().is_none_or(|rollout| rollout.execution_id != ask.execution_id)
        });
        let is_over = |log: &&mut ExecutionLog| {
            let current = record.rollout.as_ref().map(|rollout| &rollout.execution_id);
            log.outcome.is_none() && current != Some(&log.execution_id)
        };
        if let Some(log) = self.seen.log.as_mut().filter(is_over)
            && let Ok(trail) = store.audit(LATEST, None).await
        {
            let entries = trail.entries.iter().filter_map(|entry| serde_json::from_slice(&entry.bytes).ok());
            entries.for_each(|entry: Entry| log.conclude(&entry));
        }
    }

    /// Somebody else drives: what cannot come about is told, and what is asked of the rollout goes with the next report.
    fn answer_without_lock(&mut self, record: &Record, fleet: &Fleet) {
        let view = fleet.view(record, 0);
        for Command { wanted, reply } in std::mem::take(&mut self.wanted) {
            let refused = match &wanted {
                Wanted::Ask { what, by } => {
                    let asked = self.ask(record, *what, by.clone());
                    let _ = reply.send(asked);
                    continue;
                }
                Wanted::GoBack { to, by, .. }
                    if record
                        .rollout
                        .as_ref()
                        .is_some_and(|rollout| rollout.is_cancelled_by_going_to(*to)) =>
                {
                    let asked = self.ask(record, Wish::Cancel, by.clone());
                    let _ = reply.send(asked);
                    continue;
                }
                Wanted::Apply { proposal, .. } => propose(&view, proposal.clone()).err(),
                Wanted::Adopt { proposal, .. } => adopt(&view, proposal).err(),
                Wanted::GoBack { to, settings, by } => {
                    rollback(&view, *to, settings.clone(), by.clone()).err()
                }
            };
            match refused {
                Some(refused) => drop(reply.send(Err(refused.into()))),
                // Once the lock is free.
                None => self.wanted.push_back(Command { wanted, reply }),
            }
        }
    }

    fn ask(&mut self, record: &Record, what: Wish, by: String) -> Result<ExecutionId, NotDone> {
        let rollout = record.rollout.as_ref().ok_or(Refused::NotValidating)?;
        let execution_id = rollout.execution_id;
        self.asks = Some(Ask { execution_id, what, by });
        Ok(execution_id)
    }
}
