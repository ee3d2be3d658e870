//! What somebody wants of a fleet.

use std::sync::Arc;

use tollgate_core::rollout::{Ask, Proposal, Strategy, Wish};

use crate::instance::Wanted;
use crate::setup::{settings, strategy};
use crate::traffic::image;
use crate::world::World;

impl World {
    /// Somebody wants something of some instance.
    pub(crate) fn wish(&mut self) {
        let Some(id) = self.anyone() else { return };
        let record = Arc::clone(&self.store.record);
        if let Some(rollout) = &record.rollout {
            let what = if self.random.chance(70) { Wish::Confirm } else { Wish::Cancel };
            self.tell(format_args!("{id} is told to {what:?} it"));
            let execution_id = rollout.execution_id;
            let ask = Ask { execution_id, what, by: "somebody".to_owned() };
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.asks = Some(ask);
            }
        }
        let wanted = if self.random.chance(15) {
            let earlier: Vec<u64> = record.earlier.iter().map(|revision| revision.number).collect();
            let to = (!earlier.is_empty() && self.random.chance(50)).then(|| self.random.of(&earlier));
            Wanted::GoBack(to)
        } else {
            let policy =
                if self.random.chance(30) { self.random.below(self.policies) } else { self.policies };
            self.policies = self.policies.max(policy + 1);
            let forced = self.random.chance(20);
            let strategy = strategy(&mut self.random);
            Wanted::Apply(proposal(policy, strategy, forced))
        };
        self.want(id, wanted);
    }

    pub(crate) fn want(&mut self, id: u64, wanted: Wanted) {
        self.tell(format_args!("{id} is to {wanted:?}"));
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.wanted = Some(wanted);
        }
    }
}

pub(crate) fn proposal(policy: u64, strategy: Strategy, forced: bool) -> Proposal {
    Proposal { hash: image(policy), strategy, settings: settings(), proposer: "somebody".to_owned(), forced }
}
