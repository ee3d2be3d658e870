//! A Cluster of three masters.

use super::Server;

/// Slots in a Cluster.
const SLOTS: usize = 16_384;

pub(crate) struct Cluster {
    pub(crate) masters: Vec<Server>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let masters: Vec<Server> = (0..3).map(|_| Server::with(&arguments)).collect();
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
            master.wait_for("CLUSTER INFO", "cluster_known_nodes:3");
        }
        Self { masters }
    }
}
