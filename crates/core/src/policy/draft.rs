//! A policy while its tenants are being read, or changed.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::OptimizationLevel;
use super::check::Checked;
use super::fault::Fault;
use super::image::Image;
use super::name::{LONGEST_NAME, NameHash};
use super::spec::Spec;
use super::terms::Terms;
use crate::LimitError;
use crate::limit::{Algorithm, Grant};

/// What a tenant's row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Declared {
    /// Its tier: an index into the tiers sorted by name.
    pub tier: Option<u16>,
    /// What it is granted; `None`: what its tier is, or without a tier, what the default is.
    pub grant: Option<Grant>,
}

/// Why a tenant's row was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TenantFault {
    /// A name that is empty or too long.
    #[error("a tenant name of {length} bytes; accepted are 1 to {LONGEST_NAME}")]
    Name {
        /// Its length in bytes.
        length: usize,
    },
    /// A tier that is not there.
    #[error("tier {tier}; there are {tiers}")]
    Tier {
        /// The index given.
        tier: u16,
        /// How many there are.
        tiers: usize,
    },
    /// A limit on requests in flight, which only rules have.
    #[error("a tenant's quota is in tokens; for requests in flight, a rule is accepted")]
    Concurrency,
    /// A limit that cannot be enforced.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// What the rows are on top of.
#[derive(Debug)]
pub(crate) enum Base {
    /// Nothing: a policy from the start.
    Spec(Box<Checked>),
    /// A compiled policy, and changes to its rows; `None` takes one away.
    Image(Arc<Image>),
}

/// What a row says, with nothing left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stated {
    pub(crate) tier: Option<u16>,
    pub(crate) grant: Grant,
}

/// A policy while its tenants are being read, or changed.
///
/// An image holds all that its policy says but for names of tenants, so one can be changed without what it was compiled
/// from.
#[derive(Debug)]
pub struct Draft {
    pub(crate) base: Base,
    pub(crate) terms: Arc<Terms>,
    /// Different statements, by the order in which they came.
    pub(crate) stated: Vec<Stated>,
    interned: HashMap<Stated, u32>,
    /// The last one interned: rows come in runs that say the same.
    last: Option<(Declared, u32)>,
    /// Rows, and what each states.
    pub(crate) rows: Vec<(NameHash, u32)>,
    /// Changes to rows, which come after them.
    pub(crate) changes: HashMap<NameHash, Option<u32>>,
}

impl Draft {
    /// A policy without tenants, which are to follow.
    ///
    /// # Errors
    /// Everything that is wrong with it, up to a thousand faults.
    pub fn new(spec: &Spec, level: OptimizationLevel) -> Result<Self, Vec<Fault>> {
        let checked = Checked::of(spec, level)?;
        let terms = Arc::clone(&checked.terms);
        Ok(Self::on(Base::Spec(Box::new(checked)), terms))
    }

    /// A compiled policy, to be changed.
    #[must_use]
    pub fn of(image: &Arc<Image>) -> Self {
        Self::on(Base::Image(Arc::clone(image)), Arc::clone(&image.terms))
    }

    fn on(base: Base, terms: Arc<Terms>) -> Self {
        Self {
            base,
            terms,
            stated: Vec::new(),
            interned: HashMap::new(),
            last: None,
            rows: Vec::new(),
            changes: HashMap::new(),
        }
    }

    /// Gives a tenant a row. That it has none yet is found out by [`Draft::compile`].
    ///
    /// # Errors
    /// See [`TenantFault`].
    pub fn tenant(&mut self, name: &str, declared: Declared) -> Result<(), TenantFault> {
        let row = self.row(name, declared)?;
        self.rows.push(row);
        Ok(())
    }

    /// Gives a tenant a row, in place of the one that it has, if any.
    ///
    /// # Errors
    /// See [`TenantFault`].
    pub fn upsert(&mut self, name: &str, declared: Declared) -> Result<(), TenantFault> {
        let (name, stated) = self.row(name, declared)?;
        self.changes.insert(name, Some(stated));
        Ok(())
    }

    /// As [`Draft::upsert`], by the hash of a name.
    ///
    /// # Errors
    /// See [`TenantFault`].
    pub fn upsert_hashed(&mut self, name: NameHash, declared: Declared) -> Result<(), TenantFault> {
        let stated = self.intern(declared)?;
        self.changes.insert(name, Some(stated));
        Ok(())
    }

    /// Takes a tenant's row away; `false`: it had none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.remove_hashed(NameHash::of(name.as_bytes()))
    }

    /// As [`Draft::remove`], by the hash of a name.
    pub fn remove_hashed(&mut self, name: NameHash) -> bool {
        let had = match self.changes.get(&name) {
            Some(change) => change.is_some(),
            None => self.is_named(&name) || self.rows.iter().any(|(other, _)| *other == name),
        };
        if had {
            self.changes.insert(name, None);
        }
        had
    }

    /// Has a tenant a row in the policy that is to be changed?
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.is_named(&NameHash::of(name.as_bytes()))
    }

    /// Has a tenant a row in what this is on top of?
    fn is_named(&self, name: &NameHash) -> bool {
        let Base::Image(image) = &self.base else { return false };
        image.tenant(name).and_then(|row| image.entry(row.entry)).is_some_and(|entry| entry.named)
    }

    fn row(&mut self, name: &str, declared: Declared) -> Result<(NameHash, u32), TenantFault> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(TenantFault::Name { length: name.len() });
        }
        let stated = self.intern(declared)?;
        Ok((NameHash::of(name.as_bytes()), stated))
    }

    fn intern(&mut self, declared: Declared) -> Result<u32, TenantFault> {
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == declared) {
            return Ok(number);
        }
        let stated = self.state(declared)?;
        let number = match self.interned.get(&stated) {
            Some(&number) => number,
            None => self.add(stated)?,
        };
        self.last = Some((declared, number));
        Ok(number)
    }

    /// A row with what it leaves out.
    fn state(&self, Declared { tier, grant }: Declared) -> Result<Stated, TenantFault> {
        let tiers = &self.terms.tiers;
        let of_tier = match tier {
            None => self.terms.default,
            Some(tier) => match tiers.get(usize::from(tier)) {
                Some(tier) => tier.declared,
                None => return Err(TenantFault::Tier { tier, tiers: tiers.len() }),
            },
        };
        Ok(Stated { tier, grant: grant.unwrap_or(of_tier) })
    }

    fn add(&mut self, stated: Stated) -> Result<u32, TenantFault> {
        if matches!(
            stated.grant,
            Grant::Concurrency { .. } | Grant::Tokens { algorithm: Algorithm::Concurrency, .. }
        ) {
            return Err(TenantFault::Concurrency);
        }
        stated.grant.limit()?;
        // Each is of a row that is in memory, of which there are at most ten million.
        let number = u32::try_from(self.stated.len()).unwrap_or(u32::MAX);
        self.stated.push(stated);
        self.interned.insert(stated, number);
        Ok(number)
    }
}
