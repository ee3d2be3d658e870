//! A Cluster of three masters.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test that fails, fails; not every file needs everything"
)]

use crate::server::Server;

/// Slots in a Cluster.
const SLOTS: usize = 16_384;

/// Servers do not take each other for dead while a test runs, and what one of them has is served without the others.
const ARGUMENTS: [&str; 6] =
    ["--cluster-enabled", "yes", "--cluster-node-timeout", "60000", "--cluster-require-full-coverage", "no"];

/// Its servers, each of which has a third of the slots.
pub(crate) struct Cluster {
    pub(crate) masters: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let masters: Vec<Server> = (0..3).map(|_| Server::with(&ARGUMENTS)).collect();
        for (index, master) in masters.iter().enumerate() {
            let (first, end) = (SLOTS * index / 3, SLOTS * (index + 1) / 3);
            let slots: Vec<String> = (first..end).map(|slot| slot.to_string()).collect();
            let mut command = vec!["CLUSTER", "ADDSLOTS"];
            command.extend(slots.iter().map(String::as_str));
            assert_eq!(master.cli(&command), "OK");
            // Which knows more than another wins: each has its own number from the beginning.
            assert_eq!(master.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]), "OK");
        }
        let first = masters[0].port.to_string();
        for master in &masters[1..] {
            assert_eq!(master.cli(&["CLUSTER", "MEET", "127.0.0.1", &first]), "OK");
        }
        for master in &masters {
            master.wait_for("CLUSTER INFO", "cluster_state:ok");
            master.wait_for("CLUSTER INFO", "cluster_slots_ok:16384");
            master.wait_for("CLUSTER INFO", "cluster_known_nodes:3");
        }
        Self { masters }
    }
}

impl Cluster {
    /// A replica of one of the masters, which all others know.
    pub(crate) fn add_replica(&self, of: usize) -> Server {
        self.add_replica_beside(of, self.masters.len())
    }

    /// The same, where there are so many servers already.
    pub(crate) fn add_replica_beside(&self, of: usize, servers: usize) -> Server {
        let replica = Server::with(&ARGUMENTS);
        let port = replica.port.to_string();
        assert_eq!(self.masters[0].cli(&["CLUSTER", "MEET", "127.0.0.1", &port]), "OK");
        replica.wait_for("CLUSTER INFO", &format!("cluster_known_nodes:{}", servers + 1));
        let master = self.masters[of].cli(&["CLUSTER", "MYID"]);
        replica.wait_for("CLUSTER NODES", &master);
        assert_eq!(replica.cli(&["CLUSTER", "REPLICATE", &master]), "OK");
        replica.wait_for("INFO replication", "master_link_status:up");
        let itself = replica.cli(&["CLUSTER", "MYID"]);
        for server in &self.masters {
            server.wait_for(&format!("CLUSTER REPLICAS {master}"), &itself);
        }
        replica
    }
}

/// A slot on its way.
pub(crate) struct Moving {
    slot: String,
    from: usize,
    to: usize,
    ids: [String; 2],
}

impl Cluster {
    /// Begins to move the slot of a key to another master.
    pub(crate) fn begin_to_move(&self, key: &str) -> Moving {
        let slot = self.masters[0].cli(&["CLUSTER", "KEYSLOT", key]);
        let from = slot.parse::<usize>().unwrap() * 3 / SLOTS;
        let to = (from + 1) % 3;
        let ids = [from, to].map(|index| self.masters[index].cli(&["CLUSTER", "MYID"]));
        let moving = Moving { slot, from, to, ids };
        self.set_slot(&moving, moving.to, &["IMPORTING", &moving.ids[0]]);
        self.set_slot(&moving, moving.from, &["MIGRATING", &moving.ids[1]]);
        moving
    }

    /// Moves so many of its keys.
    pub(crate) fn move_keys(&self, moving: &Moving, most: usize) {
        let from = &self.masters[moving.from];
        let keys = from.cli(&["CLUSTER", "GETKEYSINSLOT", &moving.slot, &most.to_string()]);
        let port = self.masters[moving.to].port.to_string();
        for key in keys.lines() {
            assert_eq!(from.cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]), "OK");
        }
    }

    /// Everybody knows where it is.
    pub(crate) fn end_move(&self, moving: &Moving) {
        for index in [moving.to, moving.from, 3 - moving.to - moving.from] {
            self.set_slot(moving, index, &["NODE", &moving.ids[1]]);
        }
    }

    fn set_slot(&self, moving: &Moving, master: usize, state: &[&str]) {
        let mut command = vec!["CLUSTER", "SETSLOT", &moving.slot];
        command.extend(state);
        assert_eq!(self.masters[master].cli(&command), "OK");
    }
}
