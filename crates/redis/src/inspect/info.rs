//! What a server says of itself in reply to INFO: lines of `name:value`.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::visit::Follower;

#[derive(Debug, Clone, Default)]
pub(super) struct Info {
    fields: BTreeMap<String, String>,
}

impl Info {
    pub(super) fn read(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self { fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// Keys in all databases: `db0:keys=12,expires=3,avg_ttl=0`; a database without any is not told.
    pub(super) fn keys(&self) -> Option<u64> {
        // Where even this is not told, nothing is.
        self.text("role")?;
        let databases = self.fields.iter().filter(|(name, _)| {
            name.strip_prefix("db")
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
        });
        Some(databases.filter_map(|(_, value)| field(value, "keys")?.parse::<u64>().ok()).sum())
    }

    /// Replicas of a master: `slave0:ip=10.0.0.2,port=6379,state=online,offset=1234,lag=0`.
    pub(super) fn followers(&self) -> Vec<Follower> {
        let offset: Option<u64> = self.number("master_repl_offset");
        let of = |(name, value): (&String, &String)| {
            name.strip_prefix("slave")?.parse::<u32>().ok()?;
            let (ip, port) = (field(value, "ip")?, field(value, "port")?);
            let reached: Option<u64> = field(value, "offset").and_then(|text| text.parse().ok());
            let state = field(value, "state")?.to_owned();
            let lag_bytes = offset.zip(reached).map(|(offset, reached)| offset.saturating_sub(reached));
            let lag_seconds = field(value, "lag").and_then(|text| text.parse().ok());
            Some(Follower { address: format!("{ip}:{port}"), state, lag_bytes, lag_seconds })
        };
        self.fields.iter().filter_map(of).collect()
    }
}

fn field<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value
        .split(',')
        .find_map(|part| part.split_once('=').filter(|&(key, _)| key == name).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_read_and_what_it_leaves_out_is_not_there() {
        let info = Info::read(
            "# Replication\r\nrole:master\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=900,lag=3\r\n\
             slave1:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\nslave_read_only:1\r\n\
             master_repl_offset:1000\r\n# Keyspace\r\ndb0:keys=12,expires=3,avg_ttl=0\r\ndb3:keys=1,expires=0\r\n",
        );
        assert_eq!((info.keys(), info.text("role")), (Some(13), Some("master")));
        let followers = info.followers();
        assert_eq!(followers.len(), 2);
        assert_eq!((followers[0].lag_bytes, followers[0].lag_seconds), (Some(100), Some(3)));
        assert_eq!(
            (followers[1].address.as_str(), followers[1].state.as_str()),
            ("10.0.0.3:6379", "wait_bgsave")
        );
        let nothing = Info::read("");
        assert_eq!((nothing.keys(), nothing.number::<u64>("maxmemory")), (None, None));
        assert!(nothing.followers().is_empty());
    }
}
