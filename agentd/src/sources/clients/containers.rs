//! Clients of containers that have a network of their own.
//!
//! The kernel tells no bytes of their connections here, but what a namespace received is what its clients sent as long as it asks
//! nobody else. So what comes to a namespace behind a bridge of this machine ([`Namespaces`]) is its clients', all of them
//! together, if it has opened no connection meanwhile and has none, and somebody is connected who is not a container
//! here, or was. Who comes by way of this machine (a proxy, a published port) has the address of the gateway. Short connections
//! within the machine are taken for others'.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use agent_core::reading::Role;
use agent_core::stamp::Stamp;

use super::ledger::{Client, Server};
use crate::host::counters::{self, Counters};
use crate::host::tcp::apart;
use crate::host::{HostError, HostRoot};
use crate::sources::network::namespaces::{Grown, Namespaces};

/// No connection has a number that high.
const NUMBERS: u64 = 1 << 63;

/// What clients sent to one namespace.
#[derive(Debug)]
struct Served {
    name: String,
    role: Role,
    asked: u64,
    counters: Option<Counters>,
    connected: bool,
    at: Stamp,
}

/// Adds up what clients sent to containers.
#[derive(Debug)]
pub(super) struct Containers {
    root: HostRoot,
    namespaces: Namespaces,
    served: HashMap<u64, Served>,
}

impl Containers {
    /// Nothing is read yet. `units` are services of the system that count as people's work, `upkeep` further ones that keep
    /// the machine.
    pub(super) fn new(root: HostRoot, units: Vec<String>, upkeep: Vec<String>) -> Self {
        let namespaces = Namespaces::new(root.clone(), units, upkeep);
        Self { root, namespaces, served: HashMap::new() }
    }

    /// Makes the next look a search.
    pub(super) fn refresh(&mut self) {
        self.namespaces.refresh();
    }

    /// The clients of each namespace as one.
    pub(super) fn look(&mut self, now: Stamp) -> Result<Vec<Client>, HostError> {
        for one in self.namespaces.look(now, (0, 0))? {
            let name = one.subject.strip_prefix("network of ").unwrap_or(&one.subject);
            let fresh = || Served {
                name: name.to_owned(),
                role: one.role,
                asked: 0,
                counters: None,
                connected: false,
                at: now,
            };
            let served = self.served.entry(one.number).or_insert_with(fresh);
            (served.role, served.at, served.connected) = (one.role, now, false);
            served.take(&self.root, &self.namespaces, &one)?;
        }
        self.served.retain(|_, served| served.at == now);
        Ok(self.served.iter().map(|(number, served)| served.client(*number)).collect())
    }
}

impl Served {
    /// Takes in what came to it since the last look.
    fn take(
        &mut self,
        root: &HostRoot,
        namespaces: &Namespaces,
        one: &Grown,
    ) -> Result<(), HostError> {
        let Some(behind) = one.behind.filter(|_| one.received > 0) else { return Ok(()) };
        let Some(counters) = counters::of(root, one.pid)? else { return Ok(()) };
        let Some(before) = self.counters.replace(counters) else { return Ok(()) };
        let opened = counters.opened.saturating_sub(before.opened);
        let accepted = counters.accepted.saturating_sub(before.accepted);
        // What it says to itself is opened and accepted.
        if opened > accepted {
            return Ok(());
        }
        let Some(apart) = apart::read(root, one.pid)? else { return Ok(()) };
        let is_inside =
            |ip: &IpAddr| namespaces.is_inside(*ip) && Some(*ip) != behind.gateway.map(IpAddr::V4);
        self.connected = apart.incoming.iter().any(|ip| !is_inside(ip));
        if apart.outgoing.is_empty() && (self.connected || accepted > opened) {
            self.asked = self.asked.saturating_add(one.received);
        }
        Ok(())
    }

    fn client(&self, number: u64) -> Client {
        Client {
            cookie: NUMBERS | number,
            port: 0,
            remote: SocketAddr::from(([0; 4], 0)),
            received: self.asked,
            alive: self.connected && self.role == Role::Workload,
            owner: Some(self.name.clone()),
            to: Server::Container(self.role),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use std::fmt::Write as _;
    use std::time::Duration;

    const GROUP: &str = "system.slice/docker-ab12.scope";

    /// A machine with a container of one process, number 50, behind a bridge.
    struct Machine {
        tree: Tree,
        containers: Containers,
        now: Stamp,
        bytes: (u64, u64),
        counters: (u64, u64),
    }

    fn hex(bytes: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(bytes))
    }

    fn linked(name: &str) -> String {
        let (network, mask) = (hex([172, 17, 0, 0]), hex([255, 255, 0, 0]));
        format!("{name} {network} 00000000 1 0 0 0 {mask} 0 0 0\n")
    }

    impl Machine {
        fn new() -> Self {
            let tree = Tree::new();
            tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
            tree.cgroup(GROUP, 0, &[50]);
            tree.folder("/sys/class/net/eth0/device");
            tree.folder("/sys/class/net/docker0/bridge");
            tree.file("/proc/net/route", format!("Iface\n{}", linked("docker0")));
            let gateway = format!("eth0 00000000 {} 3 0 0 0 00000000 0 0 0\n", hex([172, 17, 0, 1]));
            tree.file("/proc/50/net/route", format!("Iface\n{gateway}{}", linked("eth0")));
            let containers = Containers::new(tree.root(), Vec::new(), Vec::new());
            let now = Stamp::new(1_000_000, 0, 0);
            let mut machine = Self { tree, containers, now, bytes: (0, 0), counters: (5, 5) };
            for _ in 0..3 {
                machine.look(0, 10_000, &[]);
            }
            machine
        }

        /// Connections of the container: its own port, the other end, the state.
        fn connected(&self, lines: &[(u16, [u8; 4], &str)]) {
            let mut text = "  sl  local_address rem_address   st\n".to_owned();
            for (port, remote, state) in lines {
                let local = hex([172, 17, 0, 2]);
                writeln!(text, "0: {local}:{port:04X} {}:1000 {state} 0", hex(*remote)).unwrap();
            }
            self.tree.file("/proc/50/net/tcp", text);
        }

        /// Looks when so much came to the container and to the card; what its clients sent so far.
        fn look(&mut self, came: u64, card: u64, lines: &[(u16, [u8; 4], &str)]) -> Client {
            (self.bytes.0, self.bytes.1) = (self.bytes.0 + came, self.bytes.1 + card);
            let zeros = "0 0 0 0 0 0";
            let dev = |name: &str, bytes: u64| {
                format!("Inter-|\n face |\n{name}: {bytes} 0 {zeros} 0 0 {zeros}\n")
            };
            self.tree.file("/proc/50/net/dev", dev("eth0", self.bytes.0));
            let text = format!("{}docker0: 0 0 {zeros} 0 0 {zeros}\n", dev("eth0", self.bytes.1));
            self.tree.file("/proc/net/dev", &text);
            self.tree.file("/proc/self/net/dev", &text);
            let (opened, accepted) = self.counters;
            let text = format!(
                "Tcp: ActiveOpens PassiveOpens\nTcp: {opened} {accepted}\nUdp: InDatagrams NoPorts InErrors OutDatagrams\nUdp: 0 0 0 0\n"
            );
            self.tree.file("/proc/50/net/snmp", text);
            self.connected(lines);
            self.now = self.now.after(Duration::from_mins(1));
            self.containers.look(self.now).unwrap().remove(0)
        }
    }

    /// What clients sent and whether somebody is connected, after a look in which 3,000 bytes came.
    fn seen(opened: u64, accepted: u64, card: u64, lines: &[(u16, [u8; 4], &str)]) -> (u64, bool) {
        let mut machine = Machine::new();
        let lines = [&[(80, [0; 4], "0A")], lines].concat();
        machine.look(100, 10_000, &lines);
        let before = machine.look(100, 10_000, &lines).received;
        machine.counters = (5 + opened, 5 + accepted);
        let client = machine.look(3000, card, &lines);
        (client.received - before, client.alive)
    }

    #[test]
    fn what_comes_to_one_that_asks_nobody_is_its_clients() {
        let (person, gateway, other) = ([203, 0, 113, 5], [172, 17, 0, 1], [172, 17, 0, 3]);
        assert_eq!(seen(0, 0, 10_000, &[(80, person, "01")]), (3000, true));
        assert_eq!(seen(0, 0, 10_000, &[(80, gateway, "01")]), (3000, true), "a published port");
        assert_eq!(seen(0, 2, 10_000, &[]), (3000, false), "short connections");
        assert_eq!(seen(2, 3, 10_000, &[(80, person, "01")]), (3000, true), "it checks its own health");
        assert_eq!(seen(0, 0, 10_000, &[(80, other, "01")]), (0, false), "another container");
        assert_eq!(seen(1, 0, 10_000, &[(80, person, "01")]), (0, false), "it asks somebody");
        let both = [(80, person, "01"), (5000, other, "01")];
        assert_eq!(seen(0, 0, 10_000, &both), (0, true), "whose it is what came is not known");
        assert_eq!(seen(0, 2, 70, &[]), (70, false), "no more than the card carried");
    }
}
