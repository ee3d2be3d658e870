//! A namespace's part in the rollouts of its fleet: the policies that are at hand, and which of them decides.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use serde::Deserialize;
use tollgate_core::Engine;
use tollgate_core::policy::{Compiled, Draft, Image, ImageHash};
use tollgate_core::rollout::{Process, Proposal, Role, Settings, Strategy, Tallies};
use tollgate_redis::control::Store;
use tollgate_redis::deployment::{Comparing, Deployment, Member, Policies};

use crate::amendment::Amendment;
use crate::compiled::{Definition, drafted};
use crate::error::{Result, config};
use crate::namespace::{InForce, Space};
use crate::sharing::runtime;

/// How a policy comes into force, as JavaScript says it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Wish {
    #[serde(default)]
    strategy: Strategy,
    #[serde(default)]
    pub settings: Settings,
    #[serde(default)]
    pub proposer: String,
    #[serde(default)]
    forced: bool,
}

impl Wish {
    /// # Errors
    /// It is none.
    pub fn read(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| config(format!("rollout: {error}")))
    }

    /// That a policy comes into force.
    pub fn of(self, policy: ImageHash) -> Proposal {
        let Self { strategy, settings, proposer, forced } = self;
        Proposal { hash: policy, strategy, settings, proposer, forced }
    }
}

/// Who this process is to the fleet.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Standing {
    #[serde(default)]
    pub process: Process,
    pub rollout: Option<Wish>,
}

/// A policy at hand.
#[derive(Debug, Clone)]
struct AtHand {
    compiled: Compiled,
    definition: Definition,
}

impl AtHand {
    /// Verifies all of it: the image by its hash, and what it is said to say by compiling that.
    fn read(hash: ImageHash, stored: &[u8]) -> std::result::Result<Self, String> {
        let cut = || "it is cut off".to_owned();
        let (length, rest) = stored.split_first_chunk().ok_or_else(cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (spec, image) = rest.split_at_checked(length).ok_or_else(cut)?;
        let image = Arc::new(Image::read(image).map_err(|error| error.to_string())?);
        if image.image_hash() != hash {
            return Err(format!("it is the image {}, and not {hash}", image.image_hash()));
        }
        let spec = std::str::from_utf8(spec).map_err(|error| error.to_string())?;
        let another = || "what it is said to say is another policy".to_owned();
        let bare = drafted(spec, image.level()).map_err(|_faults| another())?;
        let bare = bare.compile().map_err(|error| error.to_string())?.image;
        let alike = bare.rules() == image.rules()
            && bare.tiers() == image.tiers()
            && bare.key_names() == image.key_names()
            && bare.refuses_unknown() == image.refuses_unknown();
        if !alike {
            return Err(another());
        }
        let definition = Definition { spec: spec.into(), hash: bare.hash().into() };
        let compiled = Draft::of(&image).compile().map_err(|error| error.to_string())?;
        if compiled.image.image_hash() != hash {
            return Err("this version of Tollgate makes another image of the same policy".to_owned());
        }
        Ok(Self { compiled, definition })
    }
}

/// A policy as it is stored: the length of what it says, what it says in JSON, and the image.
pub fn stored(compiled: &Compiled, definition: &Definition) -> Vec<u8> {
    let (spec, image) = (definition.spec.as_bytes(), compiled.image.bytes());
    let length = u32::try_from(spec.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), spec, image].concat()
}

/// The policies of a namespace, for the background.
pub struct Shelf {
    engine: Arc<Engine>,
    in_force: Arc<InForce>,
    at_hand: Mutex<HashMap<ImageHash, AtHand>>,
    /// Are tenants loaded by the process, and loaded again?
    refreshes: bool,
    /// Whose they are; where both policies are judged.
    space: Weak<Space>,
}

impl Shelf {
    /// With the policy that is in force.
    fn of(space: &Arc<Space>) -> (Self, ImageHash) {
        let (engine, in_force) = (Arc::clone(&space.engine), Arc::clone(&space.in_force));
        let at_hand =
            AtHand { compiled: engine.policy().compiled().clone(), definition: in_force.definition() };
        let hash = at_hand.compiled.image.image_hash();
        let at_hand = Mutex::new(HashMap::from([(hash, at_hand)]));
        let refreshes = space.refreshes;
        (Self { engine, in_force, at_hand, refreshes, space: Arc::downgrade(space) }, hash)
    }

    fn get(&self, hash: ImageHash) -> Option<AtHand> {
        self.at_hand.lock().get(&hash).cloned()
    }

    /// The policy itself.
    pub fn compiled(&self, hash: ImageHash) -> Option<Compiled> {
        self.get(hash).map(|at_hand| at_hand.compiled)
    }
}

impl Policies for Shelf {
    fn hold(&self, hash: ImageHash, stored: &[u8]) -> std::result::Result<(), String> {
        let at_hand = AtHand::read(hash, stored)?;
        self.at_hand.lock().insert(hash, at_hand);
        Ok(())
    }

    fn enforce(&self, hash: ImageHash) -> std::result::Result<(), String> {
        let AtHand { compiled, definition } = self.get(hash).ok_or("it is not at hand")?;
        if self.refreshes && definition.hash == self.in_force.definition().hash {
            // The tenants that are loaded here are newer than those that whoever proposed it had loaded.
            return Ok(());
        }
        let replace = || self.engine.replace(compiled, crate::clock::now());
        self.in_force.replace(definition, false, replace).map(drop).map_err(|error| error.to_string())
    }

    fn are_alike(&self, one: ImageHash, other: ImageHash) -> bool {
        let definition = |hash| self.get(hash).map(|at_hand| at_hand.definition.hash);
        one == other || self.refreshes && definition(one).is_some_and(|hash| Some(hash) == definition(other))
    }

    fn amend(&self, amendments: &[Vec<u8>]) -> std::result::Result<(), String> {
        let amendments = amendments.iter().map(|bytes| Amendment::read(bytes));
        let amendments: Vec<Amendment> = amendments.collect::<std::result::Result<_, _>>()?;
        let change = |draft: &mut Draft| amendments.iter().try_for_each(|amendment| amendment.amend(draft));
        self.engine.amend(change, crate::clock::now()).map_err(|error| error.to_string())?
    }

    fn compare(&self, comparing: Option<Comparing>) {
        if let Some(space) = self.space.upgrade() {
            space.judge(comparing.and_then(|comparing| Some((comparing, self.compiled(comparing.other)?))));
        }
    }

    fn tallies(&self) -> Option<Tallies> {
        self.space.upgrade()?.tallies()
    }

    fn stored(&self, hash: ImageHash) -> Option<Vec<u8>> {
        self.get(hash).map(|at_hand| stored(&at_hand.compiled, &at_hand.definition))
    }

    fn keep(&self, hashes: &[ImageHash]) {
        self.at_hand.lock().retain(|hash, _| hashes.contains(hash));
    }
}

/// Starts taking part in the rollouts of the fleet, with the policy that is in force.
pub fn deploy(
    space: &Arc<Space>,
    instance: u64,
    standing: Standing,
    store: impl Fn() -> Option<Store> + Send + Sync + 'static,
) -> Result<Deployment> {
    let (shelf, in_force) = Shelf::of(space);
    let Standing { process, rollout } = standing;
    let declared = rollout.unwrap_or_default().of(in_force);
    let member = Member { instance, role: Role::Instance, process, declared: Some(declared) };
    Ok(Deployment::start(&runtime()?, member, store, Arc::new(shelf)))
}

/// What an observer has to do with policies: nothing.
pub struct NoPolicies;

impl Policies for NoPolicies {
    fn hold(&self, _hash: ImageHash, _stored: &[u8]) -> std::result::Result<(), String> {
        Err("an observer holds no policies".to_owned())
    }

    fn enforce(&self, _hash: ImageHash) -> std::result::Result<(), String> {
        Err("an observer decides on nothing".to_owned())
    }

    fn are_alike(&self, one: ImageHash, other: ImageHash) -> bool {
        one == other
    }

    fn amend(&self, _amendments: &[Vec<u8>]) -> std::result::Result<(), String> {
        Ok(())
    }

    fn compare(&self, _comparing: Option<Comparing>) {}

    fn tallies(&self) -> Option<Tallies> {
        None
    }

    fn stored(&self, _hash: ImageHash) -> Option<Vec<u8>> {
        None
    }

    fn keep(&self, _hashes: &[ImageHash]) {}
}
