use super::*;

fn host(name: &str, port: u16) -> Host {
    Host { name: name.to_owned(), port }
}

fn parsed(given: &str) -> Address {
    Address::parse(given).unwrap()
}

fn refused(given: &str) -> String {
    Address::parse(given).unwrap_err().to_string()
}

#[test]
fn a_bare_name_is_a_server_at_the_usual_port() {
    for (given, name, port) in [
        ("redis-cluster-1", "redis-cluster-1", 6379),
        ("10.0.0.1:7000", "10.0.0.1", 7000),
        ("[::1]:7000", "::1", 7000),
        ("redis://cache_1.internal", "cache_1.internal", 6379),
        ("valkey://cache:1/", "cache", 1),
    ] {
        let address = parsed(given);
        assert_eq!((&address.asked, address.tls), (&Asked::Server(host(name, port)), false), "{given}");
    }
}

#[test]
fn credentials_are_decoded_and_not_shown() {
    let address = parsed("rediss://app:p%40ss%3Aw@cache:6380/3");
    assert_eq!((address.login().username(), address.login().password()), (Some("app"), Some("p@ss:w")));
    assert_eq!((address.tls, address.login().db()), (true, 3));
    assert_eq!(format!("{address} {address:?}"), "rediss://cache:6380/3 rediss://cache:6380/3");
    let address = parsed("redis://:secret@cache");
    assert_eq!((address.login().username(), address.login().password()), (None, Some("secret")));
}

#[test]
fn sentinels_are_several_and_name_their_master() {
    let address = parsed("redis+sentinel://:secret@one:1,two,[::1]:3/main/2");
    let hosts = vec![host("one", 1), host("two", 26379), host("::1", 3)];
    assert_eq!(address.asked, Asked::Sentinels(hosts, "main".to_owned()));
    assert_eq!(address.to_string(), "redis+sentinel://one:1,two:26379,[::1]:3/main/2");
}

#[test]
fn what_is_at_fault_is_told_and_what_is_accepted() {
    for (given, fault) in [
        ("", "a name is missing"),
        ("http://cache", "its scheme is another"),
        ("cache:0", "a port is no number from 1 to 65535"),
        ("cache:", "a port is no number from 1 to 65535"),
        ("cache:70000", "a port is no number from 1 to 65535"),
        ("two names", "a name has characters that no name has"),
        ("redis://one,two", "a name has characters that no name has"),
        ("redis://cache/first", "its database is no number"),
        ("redis+sentinel://one,two", "it does not name the master that the Sentinels watch"),
        ("redis+sentinel://one,/main", "a name is missing"),
        ("[::1", "a bracket is not closed"),
        ("[::1]6379", "a port is no number from 1 to 65535"),
        ("cache/1", "credentials and databases need a scheme"),
    ] {
        let message = refused(given);
        assert!(message.starts_with(&format!("`{given}` is no address of a backend: {fault};")), "{message}");
        assert!(message.contains("redis+sentinel://"), "{message}");
    }
}

#[test]
fn no_message_tells_a_password() {
    for given in [
        "redis://app:secret@cache:0",
        "redis://app:se/cret@ca che",
        "app:secret@cache",
        "redis://app:s@secret@cache:x",
        "redis://cache?password=secret",
        "redis://secret@cache",
        "redis://cache#secret",
    ] {
        let message = refused(given);
        assert!(!message.contains("cret"), "{message}");
    }
}
