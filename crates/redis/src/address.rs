//! Where a backend is: what was declared, taken apart.

use std::fmt;

use percent_encoding::percent_decode_str;
use redis::{ConnectionAddr, RedisConnectionInfo};
use thiserror::Error;

/// The port of a Redis that names none, and of a Sentinel.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Why something is no address of a backend. Neither user names nor passwords are told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{given}` is no address of a backend: {fault}; accepted are NAME, NAME:PORT, \
    redis://[[USER]:PASSWORD@]NAME[:PORT][/DATABASE], the same with rediss:// for TLS, and \
    redis+sentinel://[[USER]:PASSWORD@]NAME[:PORT],NAME[:PORT]/MASTER[/DATABASE], or rediss+sentinel:// for TLS"
)]
pub struct AddressError {
    given: String,
    fault: &'static str,
}

/// A server's name, or its address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Host {
    /// Where a server of a Cluster sends us on to: `NAME:PORT`, or `:PORT` of the same machine.
    pub(crate) fn redirected(address: &str, asked: &Self) -> Option<Self> {
        let (name, port) = address.rsplit_once(':')?;
        let name = if name.is_empty() { &asked.name } else { name };
        Some(Self { name: name.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            return write!(f, "[{}]:{}", self.name, self.port);
        }
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// Whom to ask for a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A server, which says itself whether it is one of a Cluster.
    Server(Host),
    /// Sentinels, which know where the master of this name is.
    Sentinels(Vec<Host>, String),
}

/// Where a backend is, and as whom to speak to it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) asked: Asked,
    tls: bool,
    user: Option<String>,
    password: Option<String>,
    pub(crate) database: i64,
}

impl Address {
    pub(crate) fn parse(given: &str) -> Result<Self, AddressError> {
        parse(given).map_err(|fault| AddressError { given: without_secrets(given), fault })
    }

    /// As whom to speak to a server, and about which database.
    pub(crate) fn login(&self) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        login
    }

    /// How to connect to one of the hosts.
    pub(crate) fn of(&self, host: &Host) -> ConnectionAddr {
        let Host { name, port } = host.clone();
        if self.tls {
            return ConnectionAddr::TcpTls { host: name, port, insecure: false, tls_params: None };
        }
        ConnectionAddr::Tcp(name, port)
    }
}

/// As it may be shown to anybody.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.asked {
            Asked::Server(host) => write!(f, "{scheme}://{host}")?,
            Asked::Sentinels(hosts, master) => {
                let hosts: Vec<String> = hosts.iter().map(Host::to_string).collect();
                write!(f, "{scheme}+sentinel://{}/{master}", hosts.join(","))?;
            }
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn parse(given: &str) -> Result<Address, &'static str> {
    let (scheme, rest) = match given.split_once("://") {
        None if given.contains(['@', '/']) => return Err("credentials and databases need a scheme"),
        None => ("redis", given),
        Some(parts) => parts,
    };
    let (tls, sentinel) = match scheme {
        "redis" | "valkey" => (false, false),
        "rediss" | "valkeys" => (true, false),
        "redis+sentinel" => (false, true),
        "rediss+sentinel" => (true, true),
        _ => return Err("its scheme is another"),
    };
    if rest.contains(['?', '#']) {
        return Err(
            "it has parameters, which none takes, or a `?` or `#` that is to be written as %3F or %23",
        );
    }
    // A host has no `@`; a password that is not escaped may have.
    let (credentials, rest) = rest.rsplit_once('@').map_or((None, rest), |(left, right)| (Some(left), right));
    let (user, password) = credentials.map_or(Ok((None, None)), login)?;
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (asked, database) = if sentinel {
        let (master, database) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() {
            return Err("it does not name the master that the Sentinels watch");
        }
        let hosts = hosts.split(',').map(|text| host(text, SENTINEL_PORT)).collect::<Result<_, _>>()?;
        (Asked::Sentinels(hosts, decoded(master)?), database)
    } else {
        (Asked::Server(host(hosts, PORT)?), path)
    };
    let database = match database {
        "" => 0,
        text => text.parse::<u32>().map_err(|_| "its database is no number")?.into(),
    };
    Ok(Address { asked, tls, user, password, database })
}

fn login(text: &str) -> Result<(Option<String>, Option<String>), &'static str> {
    let (user, password) = text.split_once(':').ok_or("its password is missing")?;
    let user = if user.is_empty() { None } else { Some(decoded(user)?) };
    Ok((user, Some(decoded(password)?)))
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "what is escaped in it is not UTF-8")
}

/// A name or an IPv4 address, or an IPv6 address in brackets.
fn host(text: &str, default_port: u16) -> Result<Host, &'static str> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or("a bracket is not closed")?,
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    if name.is_empty() {
        return Err("a name is missing");
    }
    let is_bracketed = text.starts_with('[');
    let may_be_in_name = |byte: u8| match byte {
        b':' | b'%' => is_bracketed,
        _ => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'),
    };
    if !name.bytes().all(may_be_in_name) {
        return Err("a name has characters that no name has");
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        text => text
            .and_then(|text| text.parse().ok())
            .filter(|&port| port != 0)
            .ok_or("a port is no number from 1 to 65535")?,
    };
    Ok(Host { name: name.to_owned(), port })
}

/// What was given, without what might be a user name, a password or a parameter.
fn without_secrets(given: &str) -> String {
    let (scheme, rest) = given.find("://").map_or(("", given), |end| given.split_at(end + 3));
    let shown = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, right)| format!("***@{right}"));
    let shown = shown.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}{shown}")
}

#[cfg(test)]
mod tests;
