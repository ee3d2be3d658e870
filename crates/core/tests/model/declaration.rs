//! What a model declares, compiled.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tollgate_core::policy::{self, Compiled, Draft, OptimizationLevel};
use tollgate_core::{Algorithm, Grant, Nanos, Window};

use super::Declared;
use super::meter::Counts;
use crate::policies::parsed;

/// A limit in JSON.
fn limit(counts: &Counts) -> Value {
    let tokens = |quota, burst, window, algorithm| json!({ "quota": quota, "burst": burst, "windowMs": window, "algorithm": algorithm });
    match *counts {
        Counts::Unlimited => {
            json!({ "quota": "unlimited", "windowMs": 1_000, "algorithm": "token-bucket" })
        }
        Counts::Nothing => json!({ "quota": 0, "windowMs": 1_000, "algorithm": "token-bucket" }),
        Counts::Bucket { quota, burst, window_ms } => tokens(quota, burst, window_ms, "token-bucket"),
        Counts::Fixed { quota, burst, window_ms } => tokens(quota, burst, window_ms, "fixed-window"),
        Counts::Sliding { quota, burst, window_ms } => tokens(quota, burst, window_ms, "sliding-window"),
        Counts::Held(most) => json!({ "concurrency": most }),
    }
}

fn grant(counts: &Counts) -> Grant {
    let tokens = |algorithm, quota, burst, window| {
        let window = Window::Span(Nanos::from_millis(window));
        Grant::Tokens { algorithm, quota, burst, window }
    };
    match *counts {
        Counts::Unlimited => Grant::Unlimited,
        Counts::Nothing => tokens(Algorithm::TokenBucket, 0, 0, 1_000),
        Counts::Bucket { quota, burst, window_ms } => tokens(Algorithm::TokenBucket, quota, burst, window_ms),
        Counts::Fixed { quota, burst, window_ms } => tokens(Algorithm::FixedWindow, quota, burst, window_ms),
        Counts::Sliding { quota, burst, window_ms } => {
            tokens(Algorithm::SlidingWindow, quota, burst, window_ms)
        }
        Counts::Held(most) => Grant::Concurrency { most },
    }
}

pub(crate) fn compiled(declared: &Declared, level: OptimizationLevel) -> Compiled {
    let rules = declared.rules.iter().enumerate().map(|(index, rule)| {
        let mut json = limit(&rule.counts);
        let fields = json.as_object_mut().unwrap();
        fields.insert("name".to_owned(), json!(format!("rule-{index}")));
        fields.insert("per".to_owned(), json!(rule.per));
        fields.insert("cost".to_owned(), json!(rule.cost));
        fields.insert("mode".to_owned(), json!(if rule.shadow { "shadow" } else { "enforce" }));
        let path: Vec<_> = rule.path.into_iter().collect();
        let matches =
            json!({ "method": rule.methods, "path": path, "tier": rule.tiers, "tenant": rule.tenants });
        fields.insert("match".to_owned(), matches);
        json
    });
    let tiers: BTreeMap<_, _> = declared.tiers.iter().map(|(name, counts)| (name, limit(counts))).collect();
    let spec = parsed(
        &json!({
            "default": limit(&declared.default),
            "unknownTenant": if declared.refuses_unknown { "reject" } else { "default" },
            "tiers": tiers,
            "rules": rules.collect::<Vec<_>>(),
        })
        .to_string(),
    );
    let mut draft = Draft::new(&spec, level).unwrap();
    for (name, (tier, own)) in &declared.rows {
        let tier = tier.map(|tier| declared.tiers.keys().position(|name| *name == tier).unwrap());
        let tier = tier.map(|tier| u16::try_from(tier).unwrap());
        draft.tenant(name, policy::Declared { tier, grant: own.as_ref().map(grant) }).unwrap();
    }
    draft.compile().unwrap()
}
