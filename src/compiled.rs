//! A policy on its way from JavaScript: what it says as JSON, tenants in chunks, and what it is compiled to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Buffer, Float64Array};
use napi::{Env, Task};
use napi_derive::napi;
use tollgate_core::policy::{CompileError, Compiled, Draft, Fault, OptimizationLevel, Spec};

use crate::columns::Columns;
use crate::error::{Result, config};

/// What a policy says, but for its tenants.
#[derive(Debug, Clone)]
pub struct Definition {
    /// In the JSON that JavaScript gave.
    pub spec: Arc<str>,
    /// The hash that the policy would have without its tenants.
    pub hash: Arc<str>,
}

#[napi]
pub struct PolicyDraft {
    draft: Option<Draft>,
    /// What it is a draft of, without tenants.
    spec: Arc<str>,
    level: OptimizationLevel,
}

pub fn drafted(spec_json: &str, level: OptimizationLevel) -> std::result::Result<Draft, Vec<Fault>> {
    let spec = Spec::parse(spec_json.as_bytes()).map_err(|fault| vec![fault])?;
    Draft::new(&spec, level)
}

fn listed(faults: &[Fault]) -> Result<String> {
    serde_json::to_string(faults).map_err(config)
}

#[napi]
impl PolicyDraft {
    /// The faults of a policy in JSON, as JSON: a list of `{ path, given, accepted, hint? }`.
    #[napi(catch_unwind)]
    pub fn faults(spec_json: String) -> Result<String> {
        listed(&drafted(&spec_json, OptimizationLevel::default()).err().unwrap_or_default())
    }

    /// The methods that rules may name, in the order of their codes.
    #[napi(catch_unwind)]
    pub fn method_names() -> Vec<String> {
        tollgate_core::path::Method::names().map(str::to_owned).collect()
    }

    /// Throws a list of faults in JSON.
    #[napi(constructor, catch_unwind)]
    pub fn new(spec_json: String, optimization_level: u32) -> Result<Self> {
        let level = u8::try_from(optimization_level).ok().and_then(OptimizationLevel::from_number);
        let level = level.ok_or_else(|| {
            config(format!("optimizationLevel: {optimization_level}; accepted is 0, 1 or 2"))
        })?;
        match drafted(&spec_json, level) {
            Ok(draft) => Ok(Self { draft: Some(draft), spec: spec_json.into(), level }),
            Err(faults) => Err(config(listed(&faults)?)),
        }
    }

    /// Adds tenants: see [`Columns`]. Whether one came twice, the compiler sees.
    #[napi(catch_unwind)]
    pub fn add_tenants(
        &mut self,
        names: Vec<String>,
        quotas: Float64Array,
        bursts: Float64Array,
        windows_ms: Float64Array,
        kinds: Float64Array,
    ) -> Result<()> {
        let draft = self.draft.as_mut().ok_or_else(in_use)?;
        let rows = Columns::new(&quotas, &bursts, &windows_ms, &kinds).rows(names)?;
        rows.iter().try_for_each(|(name, declared)| draft.tenant(name, *declared).map_err(config))
    }

    /// Compiles it on libuv's pool; a draft is compiled once.
    #[napi(catch_unwind, ts_return_type = "Promise<CompiledPolicy>")]
    pub fn compile(&mut self) -> Result<AsyncTask<Compile>> {
        let draft = self.draft.take().ok_or_else(in_use)?;
        Ok(AsyncTask::new(Compile { draft: Some(draft), spec: Arc::clone(&self.spec), level: self.level }))
    }
}

fn in_use() -> crate::error::Error {
    config("the draft is in use already")
}

/// One [`Draft::compile`].
pub struct Compile {
    draft: Option<Draft>,
    spec: Arc<str>,
    level: OptimizationLevel,
}

impl Task for Compile {
    type Output = (Compiled, Definition);
    type JsValue = CompiledPolicy;

    fn compute(&mut self) -> napi::Result<(Compiled, Definition)> {
        let draft = self.draft.take().ok_or_else(|| napi::Error::from_reason("compiled already"))?;
        let compile = || {
            // It has no faults: there is a draft of it.
            let bare = drafted(&self.spec, self.level).map(Draft::compile).ok().transpose()?;
            let hash = bare.map_or_else(|| "".into(), |bare| bare.image.hash().into());
            Ok((draft.compile()?, Definition { spec: Arc::clone(&self.spec), hash }))
        };
        // A panic must not cross into libuv.
        catch_unwind(AssertUnwindSafe(compile))
            .map_err(|_panic| napi::Error::from_reason("the compiler panicked; please report this"))?
            .map_err(|error: CompileError| match error {
                // JavaScript knows which rows they were, and looks.
                CompileError::Duplicate { .. } => napi::Error::from_reason("TOLLGATE_DUPLICATE_TENANT"),
                error => napi::Error::from_reason(error.to_string()),
            })
    }

    fn resolve(
        &mut self,
        _env: Env,
        (compiled, definition): (Compiled, Definition),
    ) -> napi::Result<CompiledPolicy> {
        Ok(CompiledPolicy { compiled, definition })
    }
}

/// A compiled policy.
#[napi]
pub struct CompiledPolicy {
    compiled: Compiled,
    definition: Definition,
}

#[napi]
impl CompiledPolicy {
    /// What the compiler did, as JSON.
    #[napi(catch_unwind)]
    pub fn report(&self) -> Result<String> {
        serde_json::to_string(&self.compiled.report).map_err(config)
    }

    /// The bytes.
    #[napi(catch_unwind)]
    pub fn image(&self) -> Buffer {
        self.compiled.image.bytes().into()
    }

    /// Their hash.
    #[napi(getter)]
    pub fn hash(&self) -> String {
        self.compiled.image.hash().to_owned()
    }

    /// What it says, but for its tenants.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The policy itself.
    pub fn compiled(&self) -> Compiled {
        self.compiled.clone()
    }
}
