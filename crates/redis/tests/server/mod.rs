//! Real servers, on free ports of this machine, that end with the test that started them.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that fails, fails; not every file needs everything"
)]

use std::io;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server that has not come up by then does not come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server, alone in a directory of its own.
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    directory: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With these arguments besides.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        loop {
            // Somebody else may take the port before the server does.
            if let Some(server) = Self::launch(free_port(), arguments) {
                return server;
            }
        }
    }

    /// A Sentinel that watches a master, by the name of `main`.
    pub(crate) fn sentinel(master: &Self) -> Self {
        loop {
            let directory = tempfile::tempdir().unwrap();
            let file = directory.path().join("sentinel.conf");
            std::fs::write(&file, format!("sentinel monitor main 127.0.0.1 {} 1\n", master.port)).unwrap();
            if let Some(server) = Self::run(free_port(), directory, &[file.to_str().unwrap(), "--sentinel"]) {
                return server;
            }
        }
    }

    fn launch(port: u16, arguments: &[&str]) -> Option<Self> {
        let mut all = vec!["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
        // A replica is fed at once, not when others may have come to be fed with it.
        all.extend(["--repl-diskless-sync-delay", "0"]);
        all.extend(arguments);
        Self::run(port, tempfile::tempdir().unwrap(), &all)
    }

    /// `None` if it ends by itself.
    fn run(port: u16, directory: TempDir, arguments: &[&str]) -> Option<Self> {
        let spawned = Command::new("redis-server")
            .current_dir(directory.path())
            .args(arguments)
            .args(["--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let process = match spawned {
            Err(error) if error.kind() == io::ErrorKind::NotFound => panic!(
                "these tests need redis-server, which is not on the PATH: `apt-get install redis-server` on Debian and \
                 Ubuntu, `dnf install redis` on Fedora, `brew install redis` on macOS"
            ),
            spawned => spawned.unwrap(),
        };
        let mut server = Self { process, port, directory };
        let itself = format!("process_id:{}", server.process.id());
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if server.process.try_wait().unwrap().is_some() {
                return None;
            }
            let answer = server.cli(&["INFO", "server"]);
            if answer.contains(&itself) || answer.contains("NOAUTH") {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not come up at port {port}")
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` says.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Waits until the answer to a command has something in it. No test depends on how long that takes.
    pub(crate) fn wait_for(&self, command: &str, expected: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        let started = Instant::now();
        while !self.cli(&words).contains(expected) {
            assert!(started.elapsed() < PATIENCE, "{}: no {expected} in reply to {command}", self.port);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The server is there, and does nothing until it goes on.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// The server dies, and another one comes at the same port, which knows nothing.
    pub(crate) fn replace(&mut self) {
        self.kill();
        *self = Self::launch(self.port, &[]).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Below the ports that the system gives to clients, and with 10,000 more free for a Cluster's bus.
fn free_port() -> u16 {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97).wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + number % 10_000).unwrap();
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 10_000) {
            return port;
        }
    }
}
