//! Payload of the workload's TCP connections.
//!
//! The counters of network cards cannot tell a download from the agents, scanners and keep-alives that reach every
//! instance. The kernel's socket diagnosis counts payload by connection, and a connection has an owner
//! (`owners`). TCP keep-alive is no payload at all; what applications send to keep a connection open (a hundred bytes
//! every few seconds) stays far below the limit.
//!
//! UDP is not seen, nor are connections in network namespaces other than the agent's (containers with a network of
//! their own): the CPU time of what sends them is.

mod owners;
mod payload;

use std::net::SocketAddr;
use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Role, Signal, Value};
use agent_core::stamp::Stamp;

use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::tcp;
use crate::host::{HostError, HostRoot};
use owners::Owners;
use payload::Payload;

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "network",
    about: "Data that people's sessions and other work send and receive over TCP, keep-alives aside.",
    unit: "B/s",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 2048.0,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_secs(1),
    options: &[OptionSpec {
        key: "units",
        kind: OptionKind::TextList,
        default: "[]",
        about: "Services of the system whose connections count as work too.",
    }],
    open: |context| Opened::Blocking(Box::new(Network::new(context))),
};

/// The most connections that are looked at.
const LIMIT: usize = 200_000;

#[derive(Debug)]
struct Network {
    root: HostRoot,
    owners: Owners,
    payload: Payload,
}

impl Network {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        let owners = Owners::new(root.clone(), context.list("units"));
        Self { root, owners, payload: Payload::default() }
    }

    fn look(&mut self, now: Stamp) -> Result<Vec<Signal>, HostError> {
        let mut sockets = tcp::told(&self.root)?.unwrap_or_default();
        let mut more = false;
        if self.root.is_real() {
            tcp::sockets(&mut |socket| {
                if sockets.len() < LIMIT {
                    sockets.push(socket);
                } else {
                    more = true;
                }
            })?;
        }
        if more {
            let what = format!("more than {LIMIT} connections");
            return Err(HostError::malformed("NETLINK_SOCK_DIAG", what));
        }
        let connections = self.owners.judge(&sockets)?;
        self.payload.take(now, &connections);
        Ok(self.payload.totals().map(signal).collect())
    }
}

impl Source for Network {
    fn read(&mut self, now: Stamp) -> Reading {
        if !self.root.is_real() && matches!(tcp::told(&self.root), Ok(None)) {
            return Reading::absent("the connections of another machine cannot be asked for");
        }
        match self.look(now) {
            Ok(signals) => Reading::Signals(signals),
            Err(error) => blind(&error),
        }
    }
}

fn signal((subject, role, total): (&str, Role, u64)) -> Signal {
    Signal { role, ..Signal::new(subject, Value::Counter { total }) }
}

/// Whether both ends are on the machine.
fn is_local(local: SocketAddr, remote: SocketAddr) -> bool {
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
        let mut own = Vec::new();
        tcp::sockets(&mut |socket| {
            if socket.local == client.local_addr().unwrap() {
                own.push(socket);
            }
        })
        .unwrap();
        assert_eq!(own.len(), 1);
        let judged = network.owners.judge(&own).unwrap();
        assert!(
            judged.iter().all(|connection| connection.whose == owners::Whose::Own),
            "{judged:?}"
        );
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
