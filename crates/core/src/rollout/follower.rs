//! An instance's part in a rollout: what it knows of the record, and what it says of itself.

use super::{ImageFault, Micros, Record, Revision, Round, Target, follow};
use crate::policy::ImageHash;

/// An instance's part in a rollout. To take part in one,
/// 1. it reports before it reads, so that nobody forgets it who changes what it has read;
/// 2. it reads, holds the images that it is to hold, and decides as it is told, before it reports again;
/// 3. once no report of it has arrived for as long as one lives, by its own clock and from when it was sent, it begins again
///    with 1. Until it has done 2 again it goes on by its last good policy, and does not belong to the fleet.
///
/// Then no rollout comes to a candidate while an instance of the fleet decides by a third policy.
#[derive(Debug, Clone)]
pub struct Follower {
    instance: u64,
    record: Option<Record>,
    enforces: Option<Revision>,
    held: Vec<ImageHash>,
    refuses: Option<ImageFault>,
}

impl Follower {
    /// One that has read nothing, and decides on nothing.
    #[must_use]
    pub fn new(instance: u64) -> Self {
        Self { instance, record: None, enforces: None, held: Vec::new(), refuses: None }
    }

    /// Takes in a record that was read, unless it is an older one than it has read already; `false` if it is.
    pub fn read(&mut self, record: Record) -> bool {
        if record.edition < self.follows() {
            return false;
        }
        self.record = Some(record);
        // What is not named any more is let go.
        let named = self.named();
        self.refuses = self.refuses.take().filter(|fault| named.contains(&fault.revision));
        let kept = |hash| named.iter().chain(&self.enforces).any(|revision| revision.hash == hash);
        self.held.retain(|&hash| kept(hash));
        true
    }

    /// What it has read last.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// What it has to do; nothing before it has read a record.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        self.record.as_ref().map(|record| follow(record, self.instance))
    }

    /// The revisions whose images it is to hold, and does not. Of one that it has refused it needs no other copy.
    #[must_use]
    pub fn missing(&self) -> Vec<Revision> {
        let mut missing = self.named();
        missing.retain(|&revision| {
            let is_refused = self.refuses.as_ref().is_some_and(|fault| fault.revision == revision);
            !self.holds(revision) && !is_refused
        });
        missing
    }

    /// All revisions that it is to hold the images of.
    fn named(&self) -> Vec<Revision> {
        let Some(Target { enforce, swap, hold, compare_with }) = self.target() else { return Vec::new() };
        let all = [Some(enforce), swap.map(|swap| swap.to), hold, compare_with];
        let mut named: Vec<Revision> = all.into_iter().flatten().collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// An image has come, and was verified.
    pub fn hold(&mut self, hash: ImageHash) {
        if !self.held.contains(&hash) {
            self.held.push(hash);
        }
    }

    /// An image has come, and is not what it should be. The last good policy stays.
    pub fn refuse(&mut self, revision: Revision, why: String) {
        self.refuses = Some(ImageFault { revision, why });
    }

    /// Decides by what it is told, if it holds that image; gives it if that is another revision than before.
    pub fn enforce(&mut self, now: Micros) -> Option<Revision> {
        let revision = self.target()?.at(now);
        if self.enforces == Some(revision) || !self.holds(revision) {
            return None;
        }
        self.enforces = Some(revision);
        Some(revision)
    }

    fn holds(&self, revision: Revision) -> bool {
        self.held.contains(&revision.hash)
    }

    /// The edition that it has read last; 0 before the first.
    #[must_use]
    pub fn follows(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.edition)
    }

    /// What it decides by.
    #[must_use]
    pub fn enforces(&self) -> Option<Revision> {
        self.enforces
    }

    /// The images that it holds.
    #[must_use]
    pub fn held(&self) -> &[ImageHash] {
        &self.held
    }

    /// The image that it does not take.
    #[must_use]
    pub fn refuses(&self) -> Option<&ImageFault> {
        self.refuses.as_ref()
    }

    /// What it counts at present. It begins anew when this changes.
    #[must_use]
    pub fn round(&self) -> Option<Round> {
        self.record.as_ref()?.rollout.as_ref()?.round()
    }
}
