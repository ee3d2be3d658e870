//! What carries requests and replies, and loses and delays them; and what becomes of them.

use tollgate_core::rollout::{Micros, Revision};

use crate::agenda::{Event, Reply, Request, Write};
use crate::traffic::Nature;
use crate::world::World;

/// How late a message may come that comes late.
pub(crate) const LATEST: Micros = Micros::from_secs(5);
impl World {
    fn delay(&mut self) -> Micros {
        if !self.calm && self.random.chance(self.setup.slow) {
            return Micros::new(self.random.below(LATEST.get()));
        }
        Micros::new(200 + self.random.below(2000))
    }

    fn is_lost(&mut self) -> bool {
        !self.calm && self.random.chance(self.setup.lost)
    }

    pub(crate) fn send(&mut self, id: u64, request: Request) {
        if !self.is_lost() {
            let delay = self.delay();
            self.after(delay, Event::Arrives(id, self.now, request));
        }
    }

    pub(crate) fn arrive(&mut self, id: u64, sent: Micros, request: Request) {
        let now = self.now;
        let reply = match request {
            Request::Report(report) => {
                // What is sent by somebody who is gone may arrive, too.
                self.store.report(*report, now);
                Reply::Reported
            }
            Request::Read => Reply::Snapshot(self.store.snapshot(now)),
            Request::Acquire => Reply::Acquired(self.store.acquire(id, now)),
            Request::Release(fence) => {
                self.store.release(fence);
                return;
            }
            Request::Write(write) => {
                self.write(id, &write);
                Reply::Written
            }
        };
        if !self.is_lost() {
            let delay = self.delay();
            self.after(delay, Event::Answers(id, sent, reply));
        }
    }

    fn write(&mut self, id: u64, write: &Write) {
        let before = self.store.snapshot(self.now);
        if !self.store.write(write, self.now) {
            return self.tell(format_args!("{id} may not write"));
        }
        self.trace(&[id, write.fence, write.version, write.record.edition]);
        for entry in &write.entries {
            self.tell(format_args!("{id} writes {:?}", entry.event));
        }
        self.watch.written(&before, write, &self.store, &self.instances);
    }

    pub(crate) fn answer(&mut self, id: u64, sent: Micros, reply: Reply) {
        if self.sleeps(id, || Event::Answers(id, sent, reply.clone())) {
            return;
        }
        let now = self.now;
        let reckless = self.random.chance(50);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match reply {
            Reply::Reported => {
                let could_read = instance.may_read(now);
                instance.reported(sent, now);
                if !could_read {
                    self.send(id, Request::Read);
                }
            }
            Reply::Written => self.send(id, Request::Read),
            Reply::Acquired(fence) => {
                instance.fence = fence;
                if fence.is_some() && instance.wanted.is_some() {
                    self.send(id, Request::Read);
                }
            }
            Reply::Snapshot(snapshot) => {
                let before = instance.follower.follows();
                if instance.read(&snapshot.record, sent, now) {
                    let is_new = instance.follower.follows() > before;
                    let requests = instance.act(&snapshot, reckless);
                    for request in requests {
                        self.send(id, request);
                    }
                    self.fetch(id);
                    self.follow(id);
                    if is_new {
                        let report = Request::Report(Box::new(self.instances[&id].report()));
                        self.send(id, report);
                    }
                }
            }
        }
    }

    /// Asks for the images that are missing; some do not come, and are asked for again.
    fn fetch(&mut self, id: u64) {
        for revision in self.instances[&id].follower.missing() {
            let delay = self.delay();
            if self.calm || !self.random.chance(self.setup.late_images) {
                self.after(delay, Event::Image(id, revision));
            }
        }
    }

    pub(crate) fn image(&mut self, id: u64, revision: Revision) {
        if self.sleeps(id, || Event::Image(id, revision)) {
            return;
        }
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if Nature::of(revision.hash) == Nature::Damaged {
            instance.follower.refuse(revision, "it is damaged".to_owned());
        } else {
            instance.follower.hold(revision.hash);
        }
        self.follow(id);
        let report = Request::Report(Box::new(self.instances[&id].report()));
        self.send(id, report);
    }
}
