//! What is wrong with what was seen.

use std::collections::BTreeSet;

use super::slots::{Member, Membership, Slots};
use super::visit::{Answers, Visit};
use super::{Finding, Level};
use crate::{Failure, Kind, Role};

/// Scripts and replies need what came with this version.
const OLDEST: u32 = 6;
/// An answer should not take longer, in milliseconds.
const SLOW: f64 = 100.0;
/// Nor should a clock be farther off, in milliseconds: fixed windows of a fleet with several backends would begin apart.
const CLOCK: f64 = 1000.0;
/// How far a replica may be behind: what it does not have is lost when it takes over.
const LAG_BYTES: u64 = 1 << 20;
const LAG_SECONDS: u64 = 10;
/// The share of its memory that a server may use, in percent.
const FULL: u64 = 90;
/// By how much a master may have more keys than the average, if there are enough to tell.
const IMBALANCE: f64 = 2.0;
const ENOUGH_KEYS: u64 = 1000;

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, node: Option<&str>, text: impl Into<String>) {
        self.0.push(Finding { level, node: node.map(str::to_owned), text: text.into() });
    }
}

/// All findings, the worst first.
pub(super) fn all(
    kind: Kind,
    visits: &[Visit],
    members: Option<&Membership>,
) -> (Option<Slots>, Vec<Finding>) {
    let mut findings = Findings::default();
    for visit in visits {
        let member = members.and_then(|members| members.member(visit.host()));
        let role = visit.role().or(member.map(|member| member.role));
        match &visit.answers {
            Ok(answers) => {
                node(&mut findings, kind, &visit.address, answers);
                if member.is_some_and(|member| member.is_down) {
                    let text = "it answers us, and other servers of the Cluster take it for down";
                    findings.add(Level::Fault, Some(&visit.address), text);
                }
            }
            Err(failure) => silent(&mut findings, &visit.address, role, failure),
        }
    }
    versions(&mut findings, visits);
    let slots = members.map(|members| members.slots(visits));
    if let (Some(members), Some(slots)) = (members, &slots) {
        cluster(&mut findings, visits, members, slots);
    } else if kind == Kind::Cluster {
        findings.add(Level::Fault, None, "no server of the Cluster tells who has which slots");
    }
    // What was said first of two that are equally bad stays first.
    findings.0.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    (slots, findings.0)
}

fn silent(findings: &mut Findings, node: &str, role: Option<Role>, failure: &Failure) {
    let level = if role == Some(Role::Replica) { Level::Warning } else { Level::Fault };
    findings.add(level, Some(node), format!("it does not answer: {failure}"));
}

fn node(findings: &mut Findings, kind: Kind, node: &str, answers: &Answers) {
    let mut add = |level, text: String| findings.add(level, Some(node), text);
    let info = &answers.info;
    if !answers.denied.is_empty() {
        add(Level::Info, format!("it may not be asked for {}", answers.denied.join(", ")));
    }
    let round_trip = answers.round_trip.as_secs_f64() * 1000.0;
    if round_trip > SLOW {
        add(Level::Warning, format!("an answer took {round_trip:.0} ms"));
    }
    if let Some(ahead) = answers.clock_ahead.filter(|ahead| ahead.abs() > CLOCK + round_trip / 2.0) {
        let (by, way) = (ahead.abs() / 1000.0, if ahead > 0.0 { "ahead of" } else { "behind" });
        add(Level::Warning, format!("its clock is {by:.1} s {way} ours"));
    }
    if info.text("loading") == Some("1") {
        add(Level::Fault, "it is loading its data set".to_owned());
    }
    if info.text("aof_last_write_status").is_some_and(|status| status != "ok") {
        add(Level::Fault, "it could not write to its append-only file, and refuses writes".to_owned());
    }
    if info.text("rdb_last_bgsave_status").is_some_and(|status| status != "ok") {
        add(Level::Fault, "its last save to disk failed, after which it may refuse writes".to_owned());
    }
    if info.text("aof_last_bgrewrite_status").is_some_and(|status| status != "ok") {
        add(Level::Warning, "it could not rewrite its append-only file".to_owned());
    }
    let used = info.number::<u64>("used_memory").unwrap_or(0);
    let most = info.number::<u64>("maxmemory").unwrap_or(0);
    if let Some((level, text)) = eviction(info.text("maxmemory_policy").unwrap_or("noeviction"), most) {
        add(level, text);
    }
    if most > 0 && used / (most / 100).max(1) >= FULL {
        add(Level::Warning, format!("it uses {used} bytes of memory, and may use {most}"));
    }
    match info.text("role") {
        Some("master") | None => {}
        Some(_) if kind != Kind::Cluster => {
            add(Level::Fault, "it is a replica, and takes no writes".to_owned());
        }
        Some(_) => {
            if info.text("master_link_status") == Some("down") {
                add(Level::Warning, "it has lost the connection to its master".to_owned());
            }
        }
    }
    for follower in info.followers() {
        let address = &follower.address;
        if follower.state != "online" {
            add(Level::Warning, format!("its replica {address} does not follow yet: {}", follower.state));
            continue;
        }
        if let Some(bytes) = follower.lag_bytes.filter(|&bytes| bytes > LAG_BYTES) {
            add(Level::Warning, format!("its replica {address} is {bytes} bytes behind"));
        }
        if let Some(seconds) = follower.lag_seconds.filter(|&seconds| seconds > LAG_SECONDS) {
            add(Level::Warning, format!("its replica {address} was last heard of {seconds} s ago"));
        }
    }
}

/// Buckets have a time to live, so all policies but one would evict them, and whose bucket is gone has a fresh one. The record, the
/// lock and images have none.
fn eviction(policy: &str, most: u64) -> Option<(Level, String)> {
    if policy == "noeviction" {
        return None;
    }
    let what = if policy.starts_with("volatile-") { "buckets" } else { "buckets and the active policy" };
    if most == 0 {
        let text =
            format!("its maxmemory-policy is {policy}, which would evict {what} if it had a maxmemory");
        return Some((Level::Info, text));
    }
    let level = if policy.starts_with("volatile-") { Level::Warning } else { Level::Fault };
    let text = format!("its maxmemory-policy is {policy}, which evicts {what}: it should be noeviction");
    Some((level, text))
}

fn versions(findings: &mut Findings, visits: &[Visit]) {
    let of = |visit: &Visit| {
        let version = visit.answers.as_ref().ok()?.info.text("redis_version")?.to_owned();
        Some((visit.address.clone(), version))
    };
    let versions: Vec<(String, String)> = visits.iter().filter_map(of).collect();
    for (node, version) in &versions {
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < OLDEST) {
            findings.add(
                Level::Fault,
                Some(node),
                format!("its version is {version}, and {OLDEST}.0 is needed"),
            );
        }
    }
    let distinct: BTreeSet<&str> = versions.iter().map(|(_, version)| version.as_str()).collect();
    if distinct.len() > 1 {
        let all = distinct.into_iter().collect::<Vec<_>>().join(", ");
        findings.add(Level::Info, None, format!("its servers are of several versions: {all}"));
    }
}

fn cluster(findings: &mut Findings, visits: &[Visit], members: &Membership, slots: &Slots) {
    if !slots.missing.is_empty() {
        let runs = slots.missing.iter().map(|&(first, last)| run(first, last)).collect::<Vec<_>>();
        let text = format!("nobody has {} of 16384 slots: {}", 16_384 - slots.covered, runs.join(", "));
        findings.add(Level::Fault, None, text);
    }
    if slots.failing > 0 {
        findings.add(Level::Fault, None, format!("the masters of {} slots are down", slots.failing));
    }
    if slots.doubtful > 0 {
        let text = format!("the masters of {} slots do not answer all others", slots.doubtful);
        findings.add(Level::Warning, None, text);
    }
    let keys: u64 = visits
        .iter()
        .filter(|visit| visit.role() == Some(Role::Master))
        .filter_map(|visit| visit.answers.as_ref().ok()?.info.keys())
        .sum();
    if let Some(imbalance) = slots.imbalance.filter(|&times| times > IMBALANCE && keys >= ENOUGH_KEYS) {
        let text = format!("keys are not spread evenly: a master has {imbalance:.1} times the average");
        findings.add(Level::Warning, None, text);
    }
    let answers =
        |member: &&Member| visits.iter().any(|visit| visit.answers.is_ok() && member.is_called(visit.host()));
    let followed: BTreeSet<&str> =
        members.members.iter().filter(answers).filter_map(|member| member.follows.as_deref()).collect();
    for visit in visits {
        let member = members.member(visit.host());
        if member.is_some_and(|member| !member.ranges.is_empty() && !followed.contains(member.id.as_str())) {
            let text = "it has no replica that could take over";
            findings.add(Level::Warning, Some(&visit.address), text);
        }
    }
}

fn run(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests;
