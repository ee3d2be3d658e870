//! The store in the process, where there is no backend: what the scripts do, in plain Rust. Time is a parameter, in microseconds
//! since the Unix epoch.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use futures_util::stream::{StreamExt as _, unfold};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};

use super::trail::{Chain, Entry, Trail};
use super::{
    AUDIT_KEPT, Amendments, Confirmed, Fence, Glance, Hint, Hints, ImageHash, Lock, MOST_AMENDMENTS,
    MOST_IMAGE, Refused, Snapshot, Write, Written, micros,
};

/// Hints that a listener may be behind; one that is farther behind is told to read everything.
const BEHIND: usize = 64;

/// The control plane's store in the process.
#[derive(Debug)]
pub struct Twin {
    state: Mutex<State>,
    hints: broadcast::Sender<Hint>,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    revision: u64,
    record: Option<Vec<u8>>,
    last: Option<Last>,
    fence: Fence,
    held: Option<Held>,
    amendments: Vec<Vec<u8>>,
    reports: BTreeMap<u64, Report>,
    images: HashMap<ImageHash, Vec<u8>>,
    audit: VecDeque<Entry>,
    audited: u64,
    chain: Chain,
    at: u64,
}

/// The last write, by which a repeat is known.
#[derive(Debug)]
struct Last {
    fence: Fence,
    from: u64,
    digest: [u8; 32],
}

#[derive(Debug, Clone, Copy)]
struct Held {
    holder: u64,
    ends: u64,
    lives: u64,
}

#[derive(Debug)]
struct Report {
    bytes: Vec<u8>,
    ends: u64,
}

impl State {
    /// A clock that was set back by more than what a lock had left ends it.
    fn held(&self, now: u64) -> Option<Held> {
        self.held.filter(|held| now < held.ends && held.ends - now <= held.lives)
    }

    fn hold(&mut self, holder: u64, time_to_live: Duration, now: u64) {
        let lives = micros(time_to_live);
        self.held = Some(Held { holder, ends: now + lives, lives });
    }

    fn is_held_by(&self, instance: u64, fence: Fence, now: u64) -> bool {
        self.fence == fence && self.held(now).is_some_and(|held| held.holder == instance)
    }

    fn check(&self, fence: Fence, now: u64) -> Result<(), Refused> {
        if fence != self.fence {
            return Err(Refused::StaleFence { newest: self.fence });
        }
        self.held(now).map(|_| ()).ok_or(Refused::Expired)
    }

    fn append(&mut self, audit: &[Vec<u8>], now: u64) {
        for bytes in audit {
            self.at = self.at.max(now);
            let entry = Entry::after(self.audited, self.chain, self.at, bytes);
            (self.audited, self.chain) = (entry.number, entry.chain);
            self.audit.push_back(entry);
            if self.audit.len() > AUDIT_KEPT {
                self.audit.pop_front();
            }
        }
    }

    fn amended(&self) -> u64 {
        self.amendments.len() as u64
    }
}

impl Default for Twin {
    fn default() -> Self {
        Self { state: Mutex::default(), hints: broadcast::Sender::new(BEHIND) }
    }
}

impl Twin {
    /// Nothing is in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// See [`super::Control::read`].
    #[must_use]
    pub fn read(&self, now: u64) -> Snapshot {
        let state = self.state.lock();
        let live = state.reports.iter().filter(|(_, report)| now < report.ends);
        Snapshot {
            now_micros: now,
            version: state.version,
            revision: state.revision,
            record: state.record.clone(),
            amended: state.amended(),
            lock: state.held(now).map(|held| Lock {
                holder: held.holder,
                fence: state.fence,
                expires_in: Duration::from_micros(held.ends - now),
            }),
            reports: live.map(|(&instance, report)| (instance, report.bytes.clone())).collect(),
        }
    }

    /// See [`super::Control::acquire`].
    #[must_use]
    pub fn acquire(&self, instance: u64, time_to_live: Duration, now: u64) -> Option<Fence> {
        let mut state = self.state.lock();
        match state.held(now) {
            Some(held) if held.holder != instance => return None,
            Some(_) => {}
            None => state.fence = Fence((state.fence.0 + 1).max(now)),
        }
        state.hold(instance, time_to_live, now);
        Some(state.fence)
    }

    /// See [`super::Control::renew`].
    #[must_use]
    pub fn renew(&self, instance: u64, fence: Fence, time_to_live: Duration, now: u64) -> bool {
        let mut state = self.state.lock();
        let is_held = state.is_held_by(instance, fence, now);
        if is_held {
            state.hold(instance, time_to_live, now);
        }
        is_held
    }

    /// See [`super::Control::release`].
    pub fn release(&self, instance: u64, fence: Fence, now: u64) -> bool {
        let mut state = self.state.lock();
        let is_held = state.is_held_by(instance, fence, now);
        if is_held {
            state.held = None;
        }
        is_held
    }

    /// See [`super::Control::write`].
    ///
    /// # Errors
    /// Unless the writer's lock lives, and it has seen the last version.
    pub fn write(&self, write: &Write, now: u64) -> Result<Written, Refused> {
        let mut state = self.state.lock();
        let Write { fence, version: from, revision, ref record, ref audit } = *write;
        let digest = write.digest();
        let is_repeat = |last: &Last| (last.fence, last.from, last.digest) == (fence, from, digest);
        if state.last.as_ref().is_some_and(is_repeat) {
            return Ok(Written { version: state.version, fence });
        }
        state.check(fence, now)?;
        if state.version != from {
            return Err(Refused::VersionChanged { version: state.version });
        }
        state.append(audit, now);
        if state.revision != revision {
            state.amendments.clear();
        }
        state.version += 1;
        state.revision = revision;
        state.record = Some(record.clone());
        state.last = Some(Last { fence, from, digest });
        // That nobody listens is no matter.
        let _ = self.hints.send(Hint::Record(state.version));
        Ok(Written { version: state.version, fence })
    }

    /// See [`super::Control::confirm`]: there are no replicas.
    ///
    /// # Errors
    /// When another record is there.
    pub fn confirm(&self, written: Written) -> Result<Confirmed, Refused> {
        let state = self.state.lock();
        let is_there = state.version == written.version
            && state.last.as_ref().is_some_and(|last| last.fence == written.fence);
        if is_there {
            return Ok(Confirmed { replicas: 0 });
        }
        Err(Refused::VersionChanged { version: state.version })
    }

    /// See [`super::Control::report`].
    pub fn report(&self, instance: u64, report: &[u8], time_to_live: Duration, now: u64) -> Glance {
        let mut state = self.state.lock();
        let report = Report { bytes: report.to_vec(), ends: now + micros(time_to_live) };
        state.reports.insert(instance, report);
        state.reports.retain(|_, report| now < report.ends);
        Glance { now_micros: now, version: state.version, revision: state.revision, amended: state.amended() }
    }

    /// See [`super::Control::retire`].
    pub fn retire(&self, instance: u64) {
        self.state.lock().reports.remove(&instance);
    }

    /// See [`super::Control::put_image`].
    ///
    /// # Errors
    /// When it has more than [`MOST_IMAGE`] bytes.
    pub fn put_image(&self, hash: &ImageHash, bytes: &[u8]) -> Result<(), Refused> {
        if bytes.len() > MOST_IMAGE {
            return Err(Refused::TooLarge { bytes: bytes.len(), most: MOST_IMAGE });
        }
        self.state.lock().images.insert(*hash, bytes.to_vec());
        Ok(())
    }

    /// See [`super::Control::image`].
    #[must_use]
    pub fn image(&self, hash: &ImageHash) -> Option<Vec<u8>> {
        self.state.lock().images.get(hash).cloned()
    }

    /// See [`super::Control::forget_images`].
    ///
    /// # Errors
    /// Unless the lock is held under this token.
    pub fn forget_images(&self, fence: Fence, keep: &[ImageHash], now: u64) -> Result<u64, Refused> {
        let mut state = self.state.lock();
        state.check(fence, now)?;
        let before = state.images.len();
        state.images.retain(|hash, _| keep.contains(hash));
        Ok((before - state.images.len()) as u64)
    }

    /// See [`super::Control::amend`].
    ///
    /// # Errors
    /// When the revision is not the active one, or has been amended [`MOST_AMENDMENTS`] times.
    pub fn amend(
        &self,
        revision: u64,
        amendment: &[u8],
        audit: &[Vec<u8>],
        now: u64,
    ) -> Result<u64, Refused> {
        let mut state = self.state.lock();
        if state.revision != revision {
            return Err(Refused::RevisionChanged { revision: state.revision });
        }
        if state.amended() >= MOST_AMENDMENTS {
            return Err(Refused::Full { most: MOST_AMENDMENTS });
        }
        state.append(audit, now);
        state.amendments.push(amendment.to_vec());
        let number = state.amended();
        let _ = self.hints.send(Hint::Amendment(number));
        Ok(number)
    }

    /// See [`super::Control::amendments`].
    #[must_use]
    pub fn amendments(&self, from: u64, count: u32) -> Amendments {
        let state = self.state.lock();
        let from = from.max(1);
        let entries = (1..)
            .zip(&state.amendments)
            .skip(usize::try_from(from - 1).unwrap_or(usize::MAX))
            .take(count.max(1) as usize)
            .map(|(number, bytes)| (number, bytes.clone()))
            .collect();
        Amendments { revision: state.revision, amended: state.amended(), entries }
    }

    /// See [`super::Control::audit`].
    #[must_use]
    pub fn audit(&self, count: u32, before: Option<u64>) -> Trail {
        let state = self.state.lock();
        let asked = state.audit.iter().filter(|entry| before.is_none_or(|before| entry.number < before));
        let mut entries: Vec<Entry> = asked.rev().take(count as usize).cloned().collect();
        entries.reverse();
        Trail { entries, last: state.audited, chain: state.chain, is_end: before.is_none() }
    }

    /// Hints from now on, as long as it is there.
    #[must_use]
    pub fn hints(&self) -> Hints {
        unfold(self.hints.subscribe(), |mut hints| async {
            match hints.recv().await {
                Ok(hint) => Some((hint, hints)),
                Err(RecvError::Lagged(_)) => Some((Hint::Anything, hints)),
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    }
}
