//! Where a bucket is put that is not there yet: what its key is, whose share it counts against, and which one is charged in
//! its place when there is no room.

use std::sync::Arc;

use crate::engine::Relief;
use crate::gate::{Done, Stale};
use crate::lease::name::{Naming, Overflow};
use crate::migration::{Place, locate};
use crate::operation::Operation;
use crate::policy::Part;
use crate::policy::keyed::{Policy, Standing};
use crate::slot::{Kind, Meta, Slot};
use crate::sync::Ordering;
use crate::table::Table;
use crate::{Decision, Engine, Gate, Key, Nanos, Outcome, Subject};

/// A bucket that something is done to, and what there is to know of it should it not be there yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) key: Key,
    pub(crate) whose: Whose<'a>,
    /// What it is called where a fleet shares it.
    pub(crate) naming: Naming<'a>,
}

/// Whose a bucket is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose<'a> {
    /// A tenant's, of this name.
    Tenant(&'a [u8]),
    /// That of a client without a tenant.
    Anonymous,
    /// A rule's, governed by this entry.
    Rule { entry: u32, owner: Owner },
}

/// Whose share a rule's bucket counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody's: it is always kept.
    Nobody,
    /// That of the subjects whom the policy does not name.
    Pool(Subject),
    /// That of a tenant or a rule with this key.
    Account(Key),
}

/// What a policy says of a bucket that is not there yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placing {
    pub(crate) kind: Kind,
    /// Whose share it counts against.
    pub(crate) owner: Option<Key>,
}

impl Gate {
    /// What the table's policy says of a bucket that is not there yet; `None` for a tenant that it refuses.
    pub(crate) fn placing(&self, table: &Table, target: &Target<'_>) -> Option<Placing> {
        Some(match target.whose {
            Whose::Tenant(name) => match table.policy.standing(name) {
                Standing::Named { entry, row } => Placing { kind: Kind::Named { entry, row }, owner: None },
                Standing::Unnamed { prefix } => {
                    Placing { kind: Kind::Unnamed { prefix }, owner: Some(self.engine.pool_unknown) }
                }
                Standing::Refused => return None,
            },
            Whose::Anonymous => Placing {
                kind: Kind::Owned { entry: Policy::DEFAULT, owner: 0 },
                owner: Some(self.engine.pool_anonymous),
            },
            Whose::Rule { entry, owner } => match self.owner(owner) {
                None => Placing { kind: Kind::Kept { entry }, owner: None },
                owner => Placing { kind: Kind::Owned { entry, owner: 0 }, owner },
            },
        })
    }

    fn owner(&self, owner: Owner) -> Option<Key> {
        match owner {
            Owner::Nobody => None,
            Owner::Pool(Subject::Tenant) => Some(self.engine.pool_unknown),
            Owner::Pool(Subject::Anonymous) => Some(self.engine.pool_anonymous),
            Owner::Account(key) => Some(self.engine.hasher.account(key)),
        }
    }

    /// The bucket that the keys of one owner past the cap share.
    #[cold]
    pub(crate) fn overflow(
        &mut self,
        owner: Key,
        target: &Target<'_>,
        operation: Operation,
        now: Nanos,
        policy: &Arc<Policy>,
    ) -> Result<Done, Stale> {
        self.engine.overflowed.fetch_add(1, Ordering::Relaxed);
        let (entry, limit) = match target.whose {
            Whose::Rule { entry, .. } => {
                let rule = policy.entry(entry).and_then(|entry| policy.rule(entry.rule?));
                (entry, rule.map_or(owner, |(_, keyed)| keyed.key))
            }
            Whose::Tenant(name) => match policy.standing(name) {
                Standing::Named { entry, .. } => (entry, owner),
                Standing::Unnamed { .. } | Standing::Refused => (Policy::DEFAULT, owner),
            },
            Whose::Anonymous => (Policy::DEFAULT, owner),
        };
        let key = self.engine.hasher.overflow(owner, limit);
        let of_tenant = matches!(target.whose, Whose::Rule { owner: Owner::Account(_), .. })
            && target.naming.rule.is_some_and(|rule| rule.per.contains(&Part::Tenant));
        let overflow = if of_tenant { Overflow::OfTenant } else { Overflow::OfAll };
        let naming = Naming { overflow, ..target.naming };
        let shared = Target { key, whose: Whose::Rule { entry, owner: Owner::Nobody }, naming };
        loop {
            self.catch_up(now);
            let (table, index) = match locate(&self.table, key, now) {
                Place::Here(table, _) | Place::Absent(table) if !Arc::ptr_eq(policy, &table.policy) => {
                    return Err(Stale);
                }
                Place::Here(table, index) => (table, index),
                Place::Absent(table) => {
                    match Engine::admit_kept(&table, key, None, Kind::Kept { entry }) {
                        Some(index) => (table, index),
                        // Not a slot is left, not even the ones set aside: strict.
                        None if table.next().is_none() => {
                            return Ok(Done { decision: Decision::never(Outcome::Overflow), key });
                        }
                        None => continue,
                    }
                }
            };
            self.wants_upkeep |= self.engine.relieve_at_cap(&table, now) == Relief::Upkeep;
            if let Some(mut decision) = self.operate(&table, index, &shared, operation, now) {
                if decision.outcome == Outcome::Quota {
                    decision.outcome = Outcome::Overflow;
                }
                return Ok(Done { decision, key });
            }
        }
    }

    /// Says of a slot what the policy says of its key, for a writer that was suspended before it did.
    #[cold]
    pub(crate) fn describe(&self, table: &Table, slot: &Slot, target: &Target<'_>) -> Option<Meta> {
        let Placing { kind, owner } = self.placing(table, target)?;
        Some(slot.describe(table.meta(kind, owner)?))
    }
}
