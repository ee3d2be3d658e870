//! A Cluster's servers and slots, by the account of one of them.

use serde::Serialize;

use super::visit::Visit;
use crate::Role;
use crate::address::Host;

const SLOTS: u16 = 16_384;

/// How a Cluster's slots are served.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slots {
    /// Slots that a master has, of 16,384.
    pub covered: u16,
    /// Those that nobody has: the first and the last of each run.
    pub missing: Vec<(u16, u16)>,
    /// Slots whose master is known to be down.
    pub failing: u16,
    /// Slots whose master may be down.
    pub doubtful: u16,
    /// Masters that have slots.
    pub masters: usize,
    /// Of the masters that have slots: how many times the average number of keys the one has that has most. 1 is best.
    pub imbalance: Option<f64>,
}

/// One of the servers, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    ip: String,
    /// Where it is announced by a name.
    name: Option<String>,
    port: u16,
    pub(super) role: Role,
    /// Is it marked as down by the others?
    pub(super) is_down: bool,
    pub(super) follows: Option<String>,
    pub(super) ranges: Vec<(u16, u16)>,
}

impl Member {
    fn host(&self) -> Host {
        Host { name: self.name.as_ref().unwrap_or(&self.ip).clone(), port: self.port }
    }

    /// Is this its address? Servers are called by their names, or by their addresses.
    pub(super) fn is_called(&self, address: &str) -> bool {
        [Some(&self.ip), self.name.as_ref()]
            .into_iter()
            .flatten()
            .any(|name| Host { name: name.clone(), port: self.port }.to_string() == address)
    }
}

/// All servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) members: Vec<Member>,
    /// Who said so.
    told_by: String,
}

impl Membership {
    /// By the first master that has told, or else by the first server.
    pub(super) fn told(visits: &[Visit]) -> Option<Self> {
        let tells = |visit: &&Visit| visit.answers.as_ref().is_ok_and(|answers| answers.members.is_some());
        let master = visits.iter().find(|visit| tells(visit) && visit.role() == Some(Role::Master));
        let visit = master.or_else(|| visits.iter().find(tells))?;
        let text = visit.answers.as_ref().ok()?.members.as_deref()?;
        let asked = visit.address.rsplit_once(':').map_or("", |(name, _)| name).trim_matches(['[', ']']);
        let members = text.lines().filter_map(|line| member(line, asked)).collect();
        Some(Self { members, told_by: visit.address.clone() })
    }

    pub(super) fn member(&self, address: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.is_called(address))
    }

    pub(super) fn unvisited(&self, visits: &[Visit]) -> Vec<Host> {
        let is_visited = |member: &&Member| visits.iter().any(|visit| member.is_called(visit.host()));
        self.members.iter().filter(|member| !is_visited(member)).map(Member::host).collect()
    }

    /// Runs of slots that no member has.
    pub(super) fn missing(&self) -> Vec<(u16, u16)> {
        let mut ranges: Vec<(u16, u16)> =
            self.members.iter().flat_map(|member| member.ranges.iter().copied()).collect();
        ranges.sort_unstable();
        ranges.push((SLOTS, SLOTS));
        let mut next = 0;
        let mut missing = Vec::new();
        for (first, last) in ranges {
            if first > next {
                missing.push((next, first - 1));
            }
            next = next.max(last.saturating_add(1));
        }
        missing
    }

    /// How slots are served, and how many keys there are where.
    pub(super) fn slots(&self, visits: &[Visit]) -> Slots {
        let missing = self.missing();
        let uncovered: u16 = missing.iter().map(|(first, last)| last - first + 1).sum();
        let told_by = visits.iter().find(|visit| visit.address == self.told_by);
        let told = told_by.and_then(|visit| visit.answers.as_ref().ok());
        let count = |name| told.and_then(|answers| answers.cluster.number(name)).unwrap_or(0);
        let masters: Vec<&Member> = self.members.iter().filter(|member| !member.ranges.is_empty()).collect();
        let keys: Vec<u64> = masters.iter().filter_map(|member| keys(visits, member)).collect();
        Slots {
            covered: SLOTS - uncovered,
            missing,
            failing: count("cluster_slots_fail"),
            doubtful: count("cluster_slots_pfail"),
            masters: masters.len(),
            imbalance: imbalance(&keys),
        }
    }
}

fn keys(visits: &[Visit], member: &Member) -> Option<u64> {
    let visit = visits.iter().find(|visit| member.is_called(visit.host()))?;
    visit.answers.as_ref().ok()?.info.keys()
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 keys")]
fn imbalance(keys: &[u64]) -> Option<f64> {
    let (most, sum) = (*keys.iter().max()?, keys.iter().sum::<u64>());
    (sum > 0).then(|| most as f64 * keys.len() as f64 / sum as f64)
}

/// `ID IP:PORT@BUS,NAME FLAGS MASTER PING PONG EPOCH STATE SLOT...`; one that does not know its address is the one that was asked.
fn member(line: &str, asked: &str) -> Option<Member> {
    let mut words = line.split_whitespace();
    let (id, address, flags, master) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let (address, name) = address.split_once(',').unwrap_or((address, ""));
    let (ip, port) = address.split_once('@').unwrap_or((address, "")).0.rsplit_once(':')?;
    // After the name of Redis 7 there may be more.
    let name = name.split(',').next().filter(|name| !name.is_empty() && *name != "?");
    let has = |flag: &str| flags.split(',').any(|word| word == flag);
    if has("handshake") || has("noaddr") {
        return None;
    }
    Some(Member {
        id: id.to_owned(),
        ip: if ip.is_empty() { asked } else { ip }.to_owned(),
        name: name.map(str::to_owned),
        port: port.parse().ok()?,
        role: if has("master") { Role::Master } else { Role::Replica },
        is_down: has("fail"),
        follows: (master != "-").then(|| master.to_owned()),
        ranges: words.skip(4).filter_map(range).collect(),
    })
}

/// `0-99`, or `7`; slots on their way, in brackets, are still where they were.
fn range(word: &str) -> Option<(u16, u16)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < SLOTS).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn membership(text: &str) -> Membership {
        Membership {
            members: text.lines().filter_map(|line| member(line, "asked")).collect(),
            told_by: String::new(),
        }
    }

    #[test]
    fn who_is_in_a_cluster_is_read_as_versions_6_and_7_list_it() {
        let all = membership(
            "a 10.0.0.1:7000@17000,one.test,shard-id=7 myself,master - 0 0 1 connected 0-99 101 [7->-b]\n\
             b :7001@17001 slave,fail a 0 0 1 disconnected\n\
             c ::1:7002@17002 master - 0 0 2 connected 102-16383\n\
             d :0@0 master,noaddr - 0 0 0 disconnected",
        );
        assert_eq!(all.members.len(), 3);
        for address in ["10.0.0.1:7000", "one.test:7000"] {
            assert_eq!(all.member(address).map(|member| member.id.as_str()), Some("a"));
        }
        let replica = all.member("asked:7001").unwrap();
        assert_eq!(
            (replica.role, replica.is_down, replica.follows.as_deref()),
            (Role::Replica, true, Some("a"))
        );
        assert!(all.member("[::1]:7002").is_some());
        assert_eq!(all.missing(), [(100, 100)]);
    }

    #[test]
    fn slots_that_nobody_has_are_runs() {
        assert_eq!(membership("").missing(), [(0, 16_383)]);
        assert_eq!(membership("a x:1@2 master - 0 0 1 connected 0-16383").missing(), []);
        let all =
            membership("a x:1@2 master - 0 0 1 connected 5-9 20\nb x:2@3 master - 0 0 2 connected 11-16000");
        assert_eq!(all.missing(), [(0, 4), (10, 10), (16_001, 16_383)]);
    }

    #[test]
    fn imbalance_is_the_most_by_the_average() {
        assert_eq!(imbalance(&[]), None);
        assert_eq!(imbalance(&[0, 0]), None);
        assert_eq!(imbalance(&[10, 10]), Some(1.0));
        assert_eq!(imbalance(&[30, 0, 0]), Some(3.0));
    }
}
