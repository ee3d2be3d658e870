//! Which server of a Cluster has which slot, by what one of them says.

use std::collections::BTreeSet;

use crc16::{State, XMODEM};
use redis::{ErrorKind, RedisError, RedisResult, Value, from_redis_value};

use crate::address::Host;
use crate::description::{Node, Role};
use crate::member::Member;
use crate::opener::Opener;

const SLOTS: u16 = 16_384;

/// The slot of a key: that of what is between its braces, which all our keys have.
pub(crate) fn slot(key: &str) -> u16 {
    let tagged = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = tagged.map_or(key, |(tag, _)| tag);
    State::<XMODEM>::calculate(hashed.as_bytes()) % SLOTS
}

/// Slots that the same servers have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    first: u16,
    last: u16,
    master: Host,
    replicas: Vec<Host>,
}

/// Who has which slots.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Topology {
    ranges: Vec<Range>,
}

impl Topology {
    /// What a member of the Cluster says.
    pub(crate) async fn told(member: &Member, opener: &Opener) -> RedisResult<Self> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let reply = member.send(opener, &command, false).await?;
        Self::read(reply, member.host()).ok_or_else(|| {
            RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "CLUSTER SLOTS is not answered as it should be",
            ))
        })
    }

    /// Reads a list of ranges: the first slot, the last one, the master, its replicas.
    fn read(reply: Value, asked: &Host) -> Option<Self> {
        let ranges: Vec<Vec<Value>> = from_redis_value(reply).ok()?;
        let ranges = ranges.into_iter().map(|range| {
            let mut range = range.into_iter();
            let (first, last) = (number(range.next()?)?, number(range.next()?)?);
            let master = host(range.next()?, asked)?;
            let replicas = range.filter_map(|server| host(server, asked)).collect();
            Some(Range { first, last, master, replicas })
        });
        Some(Self { ranges: ranges.collect::<Option<_>>()? })
    }

    pub(crate) fn master(&self, slot: u16) -> Option<&Host> {
        let range = self.ranges.iter().find(|range| (range.first..=range.last).contains(&slot))?;
        Some(&range.master)
    }

    /// Everybody who has a slot, or a copy of one.
    pub(crate) fn hosts(&self) -> BTreeSet<Host> {
        let of =
            |range: &Range| [&range.master].into_iter().chain(&range.replicas).cloned().collect::<Vec<_>>();
        self.ranges.iter().flat_map(of).collect()
    }

    /// The same, as it is told.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        let masters: BTreeSet<&Host> = self.ranges.iter().map(|range| &range.master).collect();
        self.hosts()
            .iter()
            .map(|host| {
                let role = if masters.contains(host) { Role::Master } else { Role::Replica };
                Node { address: host.to_string(), role }
            })
            .collect()
    }
}

fn number(value: Value) -> Option<u16> {
    from_redis_value(value).ok()
}

/// A name and a port, after which comes what depends on the version. A server that does not know its name leaves it out: it is the
/// one that was asked.
fn host(value: Value, asked: &Host) -> Option<Host> {
    let fields: Vec<Value> = from_redis_value(value).ok()?;
    let mut fields = fields.into_iter();
    let name: Option<String> = from_redis_value(fields.next()?).ok()?;
    let port = number(fields.next()?)?;
    let name = name.filter(|name| !name.is_empty() && name != "?").unwrap_or_else(|| asked.name.clone());
    Some(Host { name, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn server(name: Value, port: i64) -> Value {
        Value::Array(vec![name, Value::Int(port), text("an id"), Value::Array(Vec::new())])
    }

    fn named(name: &str, port: u16) -> Host {
        Host { name: name.to_owned(), port }
    }

    #[test]
    fn a_slot_is_that_of_what_is_in_braces() {
        // As `redis-cli CLUSTER KEYSLOT` says.
        assert_eq!(slot("123456789"), 12_739);
        assert_eq!(slot("tollgate:{123456789}:life"), 12_739);
        assert_eq!(slot("tollgate:{test:b7}:life"), slot("tollgate:{test:b7}:i:1"));
    }

    #[test]
    fn a_master_comes_before_its_replicas_and_a_server_without_a_name_is_the_one_that_was_asked() {
        let reply = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(99), server(Value::Nil, 1), server(text("two"), 2)]),
            Value::Array(vec![Value::Int(100), Value::Int(16_383), server(text(""), 3)]),
        ]);
        let topology = Topology::read(reply, &named("asked", 9)).unwrap();
        assert_eq!(topology.master(99), Some(&named("asked", 1)));
        assert_eq!(topology.master(100), Some(&named("asked", 3)));
        let nodes = topology.nodes().into_iter().map(|node| (node.address, node.role)).collect::<Vec<_>>();
        let expected = [("asked:1", Role::Master), ("asked:3", Role::Master), ("two:2", Role::Replica)];
        assert_eq!(nodes, expected.map(|(address, role)| (address.to_owned(), role)));
    }

    #[test]
    fn a_slot_that_nobody_has_has_no_master() {
        assert_eq!(Topology::default().master(7), None);
        assert_eq!(Topology::read(text("no"), &named("asked", 9)), None);
    }
}
