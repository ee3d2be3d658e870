//! An amendment upon a policy, as a fleet's store keeps it: rows of tenants by the hashes of their names, so that no name is in Redis.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tollgate_core::Grant;
use tollgate_core::lease::exchange::MOST_TOKENS;
use tollgate_core::policy::{Declared, Draft, Image, NameHash, TenantFault};

use crate::columns::{Columns, Row};
use crate::error::{Result, config};

/// Tenants that get limits of their own, and tenants that have none any more.
#[derive(Debug, Serialize, Deserialize)]
pub struct Amendment {
    upserted: Vec<(NameHash, Row)>,
    removed: Vec<NameHash>,
}

impl Amendment {
    /// Of rows as JavaScript gives them, upon a policy.
    ///
    /// # Errors
    /// A row that says nothing, or that the policy or a fleet cannot take: others would be held up by what they cannot make.
    pub fn new(
        image: &Arc<Image>,
        names: &[String],
        columns: &Columns<'_>,
        removed: &[String],
    ) -> Result<Self> {
        let mut draft = Draft::of(image);
        for (name, declared) in columns.rows(names.to_vec())? {
            draft.upsert(&name, declared).map_err(config)?;
            if let Some(Grant::Tokens { quota, burst, .. }) = declared.grant
                && quota.saturating_add(burst) > MOST_TOKENS
            {
                return Err(config(format!(
                    "quota and burst: {quota} and {burst}; accepted is a sum of at most {MOST_TOKENS} where a fleet shares it"
                )));
            }
        }
        let upserted = hashes(names).zip(columns.each()).collect();
        Ok(Self { upserted, removed: hashes(removed).collect() })
    }

    pub fn read(bytes: &[u8]) -> std::result::Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("an amendment: {error}"))
    }

    pub fn bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(config)
    }

    /// What the audit trail says of it.
    pub fn entry(&self, by: &str) -> Result<Vec<u8>> {
        let upserted: Vec<&NameHash> = self.upserted.iter().map(|(hash, _)| hash).collect();
        let entry = serde_json::json!({
            "event": "amended", "by": by, "upserted": upserted, "removed": self.removed,
        });
        serde_json::to_vec(&entry).map_err(config)
    }

    /// Makes it upon a policy.
    pub fn amend(&self, draft: &mut Draft) -> std::result::Result<(), String> {
        for (hash, row) in &self.upserted {
            let declared: Declared = row.declared().map_err(|error| error.reason.clone())?;
            draft.upsert_hashed(*hash, declared).map_err(|fault: TenantFault| fault.to_string())?;
        }
        for hash in &self.removed {
            draft.remove_hashed(*hash);
        }
        Ok(())
    }
}

fn hashes(names: &[String]) -> impl Iterator<Item = NameHash> {
    names.iter().map(|name| NameHash::of(name.as_bytes()))
}
