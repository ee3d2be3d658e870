use std::time::Duration;

use super::super::info::Info;
use super::*;

fn visit(info: &str, clock_ahead: f64, round_trip: Duration) -> Visit {
    let answers =
        Answers { round_trip, clock_ahead: Some(clock_ahead), info: Info::read(info), ..Answers::default() };
    Visit { address: "a:1".to_owned(), answers: Ok(answers) }
}

fn told(info: &str) -> Vec<(Level, String)> {
    let visits = [visit(info, 5.0, Duration::from_millis(1))];
    let (_, findings) = all(Kind::Standalone, &visits, None);
    findings.into_iter().map(|finding| (finding.level, finding.text)).collect()
}

fn one(info: &str, level: Level, part: &str) {
    let told = told(info);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].0 == level && told[0].1.contains(part), "{told:?}");
}

#[test]
fn a_server_that_is_well_is_not_talked_about() {
    let well = "role:master\nredis_version:6.0.16\nmaxmemory:1000\nused_memory:500\nmaxmemory_policy:noeviction\n\
                rdb_last_bgsave_status:ok\naof_last_write_status:ok\nloading:0\n\
                slave0:ip=b,port=2,state=online,offset=100,lag=1\nmaster_repl_offset:1000";
    assert_eq!(told(well), []);
    assert_eq!(told(""), []);
}

#[test]
fn each_fault_of_a_server_is_told() {
    one("redis_version:5.0.7", Level::Fault, "6.0 is needed");
    one("loading:1", Level::Fault, "loading");
    one("rdb_last_bgsave_status:err", Level::Fault, "save to disk failed");
    one("aof_last_write_status:err", Level::Fault, "append-only");
    one("aof_last_bgrewrite_status:err", Level::Warning, "rewrite");
    one("maxmemory:1000\nused_memory:950", Level::Warning, "950 bytes");
    one("role:slave", Level::Fault, "takes no writes");
    let behind = "role:master\nmaster_repl_offset:9000000\nslave0:ip=b,port=2,state=online,offset=100,lag=1";
    one(behind, Level::Warning, "b:2 is 8999900 bytes behind");
    one("role:master\nslave0:ip=b,port=2,state=online,offset=0,lag=60", Level::Warning, "60 s ago");
    one("role:master\nslave0:ip=b,port=2,state=send_bulk,offset=0,lag=0", Level::Warning, "send_bulk");
}

#[test]
fn what_is_evicted_decides_how_bad_a_policy_is() {
    one("maxmemory:9\nmaxmemory_policy:allkeys-lru", Level::Fault, "buckets and the active policy");
    one("maxmemory:9\nmaxmemory_policy:volatile-ttl", Level::Warning, "evicts buckets:");
    one("maxmemory:0\nmaxmemory_policy:allkeys-lru", Level::Info, "if it had a maxmemory");
}

#[test]
fn clocks_and_delays_are_told_beyond_what_is_usual() {
    let told = |ahead, round_trip| {
        let (_, findings) =
            all(Kind::Standalone, &[visit("", ahead, Duration::from_millis(round_trip))], None);
        findings.into_iter().map(|finding| finding.text).collect::<Vec<_>>()
    };
    assert_eq!(told(3000.0, 1), ["its clock is 3.0 s ahead of ours"]);
    assert_eq!(told(-1500.0, 1), ["its clock is 1.5 s behind ours"]);
    assert_eq!(told(1200.0, 500), ["an answer took 500 ms"]);
}

#[test]
fn servers_of_several_versions_are_told() {
    let visits =
        ["6.2.1", "7.0.15"].map(|version| visit(&format!("redis_version:{version}"), 0.0, Duration::ZERO));
    let (_, findings) = all(Kind::Cluster, &visits, None);
    assert_eq!(findings[0].text, "no server of the Cluster tells who has which slots");
    assert_eq!(findings[1].text, "its servers are of several versions: 6.2.1, 7.0.15");
}
