//! What a million tenants cost to compile, to amend and to find, and what rules cost a request.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that fails, fails")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use tollgate_core::Nanos;
use tollgate_core::limit::{Algorithm, Grant};
use tollgate_core::path::Method;
use tollgate_core::policy::{Declared, Draft, Image, NameHash, OptimizationLevel, Spec};
use tollgate_core::window::Window;

const ROWS: u32 = 1_000_000;

fn spec(rules: usize) -> Spec {
    let limit = json!({ "quota": 9, "windowMs": 1000, "algorithm": "token-bucket" });
    let rules: Vec<Value> = (0..rules)
        .map(|rule| {
            let method = if rule % 2 == 0 { "GET" } else { "POST" };
            json!({
                "name": format!("rule-{rule}"), "quota": rule + 1, "windowMs": 1000,
                "match": { "method": [method], "path": [format!("/api/v1/{}/:id", rule / 2)] },
            })
        })
        .collect();
    serde_json::from_value(json!({ "default": limit, "tiers": { "free": limit }, "rules": rules })).unwrap()
}

fn own(quota: u32) -> Declared {
    let window = Window::Span(Nanos::from_secs(60));
    let grant = Grant::Tokens { algorithm: Algorithm::TokenBucket, quota: quota.into(), burst: 10, window };
    Declared { tier: None, grant: Some(grant) }
}

fn draft(limits: u32) -> Draft {
    let mut draft = Draft::new(&spec(3), OptimizationLevel::O2).unwrap();
    for index in 0..ROWS {
        draft.tenant(&format!("tenant-{index}"), own(1 + index % limits)).unwrap();
    }
    draft
}

fn tenants(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tenants");
    group.sample_size(10);
    for limits in [100, ROWS] {
        group.bench_function(format!("rows of {limits} limits"), |bencher| {
            bencher.iter_with_large_drop(|| draft(limits));
        });
        group.bench_function(format!("compile, {limits} limits"), |bencher| {
            bencher.iter_batched(|| draft(limits), |draft| draft.compile().unwrap(), BatchSize::PerIteration);
        });
        let image = draft(limits).compile().unwrap().image;
        group.bench_function(format!("amend, {limits} limits"), |bencher| {
            bencher.iter(|| {
                let mut draft = Draft::of(&image);
                draft.upsert("tenant-7", own(8)).unwrap();
                draft.compile().unwrap()
            });
        });
        let bytes: Arc<[u8]> = image.bytes().into();
        group.bench_function(format!("read, {limits} limits, {} bytes", bytes.len()), |bencher| {
            bencher.iter(|| Image::read(Arc::clone(&bytes)).unwrap());
        });
        let names: Vec<NameHash> =
            (0..ROWS).step_by(997).map(|index| NameHash::of(format!("tenant-{index}").as_bytes())).collect();
        let mut turn = names.iter().cycle();
        group.bench_function(format!("find, {limits} limits"), |bencher| {
            bencher.iter(|| image.tenant(turn.next().unwrap()).unwrap());
        });
    }
    group.finish();
}

fn rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rules");
    for count in [1, 5, 20, 100] {
        let image = Draft::new(&spec(count), OptimizationLevel::O2).unwrap().compile().unwrap().image;
        let groups = image.path_groups(b"/api/v1/0/12345");
        group.bench_function(format!("path, {count} rules"), |bencher| {
            bencher.iter(|| image.path_groups(black_box(b"/api/v1/0/12345")));
        });
        group.bench_function(format!("matching, {count} rules"), |bencher| {
            bencher.iter(|| {
                let mut sum = 0;
                image.matching(0, black_box(Method::GET), black_box(&groups), |rule| sum += rule);
                sum
            });
        });
    }
    group.bench_function("hash a name", |bencher| bencher.iter(|| NameHash::of(black_box(b"tenant-123456"))));
    group.finish();
}

criterion_group!(benches, tenants, rules);
criterion_main!(benches);
