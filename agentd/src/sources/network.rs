//! Payload of connections, datagrams and everything else that the machine says to others.
//!
//! The counters of network cards cannot tell a download from the agents, scanners and keep-alives that reach every
//! instance. The kernel's socket diagnosis counts payload by TCP connection, and a connection has an owner
//! (`owners`). TCP keep-alive is no payload at all; what applications send to keep a connection open (a hundred bytes
//! every few seconds) stays far below the limit. The kernel tells of connections that end, too, so that many short ones
//! count as one long one does (`payload`).
//!
//! What nobody booked is found by an account with the counters of the cards, which lose nothing (`account`): UDP, for which
//! the kernel has no counter by socket (`datagrams`), and what nothing explains.
//!
//! Socket diagnosis knows the agent's network namespace only. What containers and other work send in namespaces of
//! their own is counted by namespace (`namespaces`), all protocols together.

mod account;
mod datagrams;
mod gateways;
pub(super) mod namespaces;
pub(super) mod owners;
pub(super) mod payload;
mod quiet;

use std::net::SocketAddr;
use std::time::Duration;

use agent_core::policy::{Combine, RoleLimits};
use agent_core::reading::{Reading, Role, Signal, Value};
use agent_core::stamp::Stamp;

use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::tcp::ended::Ended;
use crate::host::tcp::{self, TcpSocket};
use crate::host::{HostError, HostRoot};
use account::{Account, Booked, Open};
use namespaces::Namespaces;
use owners::Owners;
use payload::Payload;

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "network",
    about: "Data that is sent and received, by whose it is: connections, datagrams, containers, and what none of them explains.",
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
        about: "Services of the system whose connections count as people's work.",
    }],
    open: |context| Opened::Blocking(Box::new(Network::new(context))),
};

/// Where that is counted which no connection, datagram or container explains.
const UNEXPLAINED: &str = "traffic of no connection";
/// What is shown where the account cannot be closed.
const ACCOUNT: &str = "account of network";

#[derive(Debug)]
struct Network {
    root: HostRoot,
    owners: Owners,
    namespaces: Namespaces,
    payload: Payload,
    account: Account,
    /// The ends of connections; none where they are not told.
    ended: Option<Ended>,
    /// Those of one look.
    ends: Vec<TcpSocket>,
}

impl Network {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        let (units, upkeep) = (context.list("units"), context.list("upkeep"));
        Self {
            owners: Owners::new(root.clone(), units.clone(), upkeep.clone()),
            namespaces: Namespaces::new(root.clone(), units, upkeep),
            payload: Payload::default(),
            account: Account::default(),
            ended: None,
            ends: Vec::new(),
            root,
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Option<Vec<Signal>>, HostError> {
        // Whoever listens before the first look misses no end of what is met there.
        if self.ended.is_none() {
            // Without it the account says what is missing.
            self.ended = Ended::open(&self.root).unwrap_or_default();
        }
        let Some(dump) = tcp::of_round(&self.root, now.boot_ms)? else { return Ok(None) };
        let owners = self.owners.judge(now, &dump)?;
        self.ends.clear();
        let whole = match &mut self.ended {
            Some(ended) => Some(ended.take(&mut |socket| self.ends.push(socket))?),
            None => None,
        };
        let outside = &self.account.outside;
        self.payload.take(
            now,
            dump.connections.iter().zip(owners),
            &self.ends,
            |socket| self.owners.ended(now, socket),
            |socket| outside.is_inside(socket.remote.ip()),
        )?;
        let mut apart = (0_u64, 0_u64);
        for grown in self.namespaces.look(now, self.payload.attempts())? {
            self.payload.add(&grown.subject, grown.role, grown.counted);
            apart = (apart.0.saturating_add(grown.received), apart.1.saturating_add(grown.sent));
        }
        let why = self.close(now, apart, whole)?;
        let mut signals: Vec<_> = self.payload.totals().map(signal).collect();
        signals.extend(why.map(|why| {
            Signal::new(ACCOUNT, Value::Shown { value: 0.0 }).owned_by(why).ignored()
        }));
        Ok(Some(signals))
    }

    /// Compares what was booked with the counters of the cards, and books the rest. Why it cannot, or not wholly.
    fn close(
        &mut self,
        now: Stamp,
        apart: (u64, u64),
        whole: Option<bool>,
    ) -> Result<Option<&'static str>, HostError> {
        let moved = self.payload.moved();
        let booked = Booked { moved, apart, whole: whole == Some(true) };
        let rest = match self.account.look(&self.root, now, &booked)? {
            Ok(rest) => rest,
            Err(Open::Untold) => return Ok(Some("the machine tells no counters of its interfaces")),
            Err(Open::Wrong) => {
                return Ok(Some("the interfaces carried less than the connections: UDP and what is passed on is not counted"));
            }
        };
        if rest.datagrams > 0 {
            let (subject, role) = datagrams::whose(&self.root, now, &mut self.owners)?;
            self.payload.add(&subject, role, rest.datagrams);
        }
        if rest.unexplained > 0 {
            self.payload.add(UNEXPLAINED, Role::Unexplained, rest.unexplained);
        }
        Ok(match whole {
            None => Some("the kernel does not tell of connections that end: short ones are seen by the bytes of the interfaces"),
            Some(false) => Some("more connections ended than the kernel could tell: they are seen by the bytes of the interfaces"),
            Some(true) => None,
        })
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
        self.owners.refresh();
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
mod real;
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
        let mut dump = tcp::dump(&HostRoot::real()).unwrap().unwrap();
        dump.connections.retain(|socket| socket.local == here);
        let owners = network.owners.judge(Stamp::default(), &dump).unwrap();
        let whose: Vec<_> = owners.into_iter().map(|owner| owner.whose).collect();
        assert_eq!(whose, [owners::Whose::Own]);
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
