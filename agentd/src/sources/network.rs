//! Payload of the workload's connections.
//!
//! The counters of network cards cannot tell a download from the agents, scanners and keep-alives that reach every
//! instance. The kernel's socket diagnosis counts payload by TCP connection, and a connection has an owner
//! (`owners`). TCP keep-alive is no payload at all; what applications send to keep a connection open (a hundred bytes
//! every few seconds) stays far below the limit. A connection that was opened and closed between two looks is lost.
//!
//! Socket diagnosis knows the agent's network namespace only. What containers and other work send in namespaces of
//! their own is counted by namespace (`namespaces`), all protocols together.
//!
//! In the agent's own namespace UDP is not counted: the kernel has no counter for a UDP socket. So a VPN of the
//! machine (`WireGuard`) keeps nothing up by itself, and neither does a transfer over QUIC; the CPU time of what sends
//! it counts. Traffic of virtual machines passes the host as packets of no socket and is not seen either.

mod namespaces;
pub(super) mod owners;
pub(super) mod payload;

use std::net::SocketAddr;
use std::time::Duration;

use agent_core::policy::{Combine, RoleLimits};
use agent_core::reading::{Reading, Role, Signal, Value};
use agent_core::stamp::Stamp;

use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::tcp;
use crate::host::{HostError, HostRoot};
use namespaces::Namespaces;
use owners::Owners;
use payload::{Connection, Payload};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "network",
    about: "Data that people's sessions, containers and other work send and receive, keep-alives aside.",
    unit: "B/s",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 2000.0,
    limits: Some(RoleLimits {
        local_above: 8000.0,
        server_above: 16_000.0,
        upkeep_above: 64_000.0,
        upkeep_together: 128_000.0,
        unexplained_above: 2000.0,
    }),
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_secs(1),
    options: &[OptionSpec {
        key: "units",
        kind: OptionKind::Units,
        default: "[]",
        about: "Services of the system whose connections count as work too.",
    }],
    open: |context| Opened::Blocking(Box::new(Network::new(context))),
};

#[derive(Debug)]
struct Network {
    root: HostRoot,
    owners: Owners,
    namespaces: Namespaces,
    payload: Payload,
}

impl Network {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        let units = context.list("units");
        Self {
            owners: Owners::new(root.clone(), units.clone()),
            namespaces: Namespaces::new(root.clone(), units),
            payload: Payload::default(),
            root,
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Option<Vec<Signal>>, HostError> {
        let Some(dump) = tcp::of_round(&self.root, now.boot_ms)? else { return Ok(None) };
        let owners = self.owners.judge(&dump.connections)?;
        let connections: Vec<_> = dump
            .connections
            .iter()
            .zip(owners)
            .map(|(it, whose)| Connection {
                cookie: it.cookie,
                bytes: it.bytes(),
                sent: it.sent,
                whose,
            })
            .collect();
        self.payload.take(now, &connections);
        for (subject, grown) in self.namespaces.look(now)? {
            self.payload.add(&subject, Role::Workload, grown);
        }
        Ok(Some(self.payload.totals().map(signal).collect()))
    }
}

impl Source for Network {
    fn read(&mut self, now: Stamp) -> Reading {
        match self.look(now) {
            Ok(Some(signals)) => Reading::Signals(signals),
            Ok(None) => Reading::absent("the connections of another machine cannot be asked for"),
            Err(error) => blind(&error),
        }
    }

    fn refresh(&mut self) {
        self.root.forget();
        self.namespaces.refresh();
    }
}

fn signal((subject, role, total): (&str, Role, u64)) -> Signal {
    Signal { role, ..Signal::new(subject, Value::Counter { total }) }
}

/// Whether both ends are on the machine.
pub(super) fn is_local(local: SocketAddr, remote: SocketAddr) -> bool {
    local.ip() == remote.ip() || (local.ip().is_loopback() && remote.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::BusMode;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn open(host: HostRoot) -> Network {
        Network::new(&Context { host, options: toml::Table::new(), bus: BusMode::None })
    }

    #[test]
    fn the_connections_of_another_machine_are_not_taken_for_its() {
        let reading = open(HostRoot::at("/nowhere")).read(Stamp::default());
        assert!(matches!(reading, Reading::Absent { .. }), "{reading:?}");
    }

    #[test]
    fn the_agents_own_connections_do_not_count() {
        let mut network = open(HostRoot::real());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = listener.accept().unwrap().0;
        network.look(Stamp::new(1, 0, 0)).unwrap();
        client.write_all(&vec![0; 100_000]).unwrap();
        server.read_exact(&mut vec![0; 100_000]).unwrap();
        let here = client.local_addr().unwrap();
        let mut own = tcp::dump(&HostRoot::real()).unwrap().unwrap().connections;
        own.retain(|socket| socket.local == here);
        assert_eq!(own.len(), 1);
        assert_eq!(network.owners.judge(&own).unwrap(), [owners::Whose::Own]);
    }

    #[test]
    fn ends_on_one_machine_are_recognised() {
        for (local, remote, expected) in [
            ("127.0.0.1:1", "127.0.0.1:2", true),
            ("127.0.0.1:1", "127.8.0.1:2", true),
            ("[::1]:1", "[::1]:2", true),
            ("10.0.0.5:1", "10.0.0.5:2", true),
            ("10.0.0.5:1", "10.0.0.6:2", false),
            ("[fd00::1]:1", "[fd00::2]:1", false),
        ] {
            assert_eq!(is_local(local.parse().unwrap(), remote.parse().unwrap()), expected);
        }
    }
}
