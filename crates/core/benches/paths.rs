//! What it costs to tell which rules' paths a request matches: `cargo bench -p tollgate-core --bench paths`.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_core::path::{Matcher, PathOptions, Pattern, PatternSet};

const PATTERNS: [&str; 20] = [
    "/api/v1/users/:id",
    "/api/v1/users",
    "/api/v1/users/:id/orders",
    "/api/v1/users/:id/orders/:order",
    "/api/v1/search",
    "/api/v1/export",
    "/api/v1/reports/:report/export",
    "/api/v2/*rest",
    "/login",
    "/logout",
    "/password/reset",
    "/files/*path",
    "/files/:name.json",
    "/admin/*",
    "/webhooks/:provider",
    "/graphql",
    "/health",
    "/api/v1/tenants/:tenant/keys",
    "/api/v1/tenants/:tenant/keys/:key",
    "/static/*",
];

/// What is compared, from short to long.
const PATHS: [(&str, &str); 6] = [
    ("root", "/"),
    ("short", "/api/v1/users"),
    ("miss", "/metrics/prometheus"),
    ("parameter", "/api/v1/users/48151623?expand=orders"),
    ("long", "/api/v1/users/48151623/orders/108-99-2026"),
    ("respelled", "/api//v1/%75sers/./48151623/"),
];

fn paths(criterion: &mut Criterion) {
    for count in [1, 5, 20] {
        let groups: Vec<Vec<Pattern>> =
            PATTERNS.iter().take(count).map(|pattern| vec![Pattern::parse(pattern).unwrap()]).collect();
        let table = PatternSet::compile(&groups, PathOptions::default()).unwrap();
        let matcher = Matcher::read(&table).unwrap();
        let mut group = criterion.benchmark_group(format!("{count} patterns, {} bytes", table.len()));
        for (name, path) in PATHS {
            group.bench_function(name, |bencher| bencher.iter(|| matcher.groups(black_box(path.as_bytes()))));
        }
        group.finish();
    }
}

criterion_group!(benches, paths);
criterion_main!(benches);
