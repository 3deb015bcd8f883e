//! What people's clients send to the machine: keys, edits and uploads, as bytes received on each connection.
//!
//! Somebody who works without a terminal (an editor's server, a notebook in a browser, a desktop) is seen by what the
//! client sends. A connection counts if the other end opened it and it belongs to sshd, to work (`ownership`), or to a
//! service of the system that serves people (option `units`). Each connection is judged by itself: a hundred tabs that
//! are merely kept open are no use, while 4,000 bytes in a minute are. A few clients send more than that to keep a
//! connection open; they are known by their regularity (`beat`). For the figures behind both see
//! `agentd/decisions/0009-what-a-silent-client-sends.md`.
//!
//! A client that is connected and silent makes the agent wait longer, and no more than that. A peer that has not
//! acknowledged anything for five minutes is gone without having said so, and is not connected. Clients of sshd are not
//! shown as connected here: their sessions are.
//!
//! A unit that no package brought, and a package's server, are used by others in the same way, with limits of their own: a pool of
//! connections that is kept open, probes and scrapes send less. They show nobody as connected.
//!
//! Who comes over a relay that the machine itself has called is seen by what comes back on that connection (`relay`). Connections
//! that end between two looks are added up by client and port.
//!
//! Clients of containers with a network of their own are seen together (`containers`).
//!
//! Strangers who try passwords at a desktop or a data base are nobody (`refused`).
//!
//! What is not seen: clients over UDP (a desktop over QUIC, mosh); what they carry counts in `network`.

mod beat;
mod containers;
mod ledger;
mod refused;
mod relay;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use agent_core::policy::{Combine, RoleLimits};
use agent_core::reading::{Reading, Role, Signal, Stretch, Value};
use agent_core::stamp::Stamp;

use super::network::is_local;
use super::network::owners::{OF_USER, Owner, Owners, Whose};
use super::network::payload::SMALL;
use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::tcp::ended::Ended;
use crate::host::tcp::{self, TcpSocket};
use crate::host::{HostError, HostRoot};
use containers::Containers;
use ledger::{Client, Ledger, Server};
use relay::Relays;

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "clients",
    about: "Data that clients send to the machine: SSH, editors, notebooks, desktops and servers, each connection by itself.",
    unit: "B/s",
    scale: 1.0,
    combine: Combine::Each,
    // 4,000 bytes in a minute.
    busy_above: 66.7,
    limits: Some(RoleLimits {
        // 7,200 and 24,000 bytes in a minute: a scrape every 15 seconds sends 1,200, a ping of a pool 400, and a page that is
        // left open and asks every ten seconds 6,000.
        local_above: 120.0,
        server_above: 400.0,
        upkeep_above: 64_000.0,
        upkeep_together: 128_000.0,
        unexplained_above: 66.7,
    }),
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_secs(1),
    options: &[OptionSpec {
        key: "units",
        kind: OptionKind::Units,
        default: DEFAULT_UNITS,
        about: "Services of the system whose clients are people.",
    }],
    open: |context| Opened::Blocking(Box::new(Clients::new(context))),
};

/// Services that run for everybody but are used by hand.
const DEFAULT_UNITS: &str = r#"["rstudio-server", "jupyter", "jupyterhub", "jupyterlab", "jupyter-notebook", "code-server", "openvscode-server", "dcvserver", "xrdp", "vncserver", "tigervnc", "x11vnc", "guacd", "x2goserver", "nxserver"]"#;

/// A peer that was not heard of for so many milliseconds is gone.
const ALIVE_MS: u64 = 300_000;
/// A relay's connection that carries so many bytes a second, both ways, is somebody's. One that nobody uses carries 40.
const MOVES_PER_S: u64 = 60;
/// Over which that is.
const MINUTE: Duration = Duration::from_mins(1);
/// A client that connects again within this was never away.
const LINGER: Duration = Duration::from_mins(5);
/// What is shown as connected where more connections ended than the kernel could tell.
const LOST: &str = "connections that ended untold";
/// The most people that are shown as connected.
const PEOPLE: usize = 64;

#[derive(Debug)]
struct Clients {
    root: HostRoot,
    owners: Owners,
    relays: Relays,
    containers: Containers,
    /// The ends of connections; none where they are not told.
    ended: Option<Ended>,
    /// When a relay's connection was last measured, and what it had carried.
    moving: HashMap<u64, Moving>,
    ledger: Ledger,
    /// Whose silent clients were last seen when.
    connected: BTreeMap<String, Stamp>,
}

impl Clients {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        let mut units = context.list("units");
        if !context.options.contains_key("units") {
            units = default_units();
        }
        Self {
            containers: Containers::new(root.clone(), units.clone(), context.list("upkeep")),
            owners: Owners::new(root.clone(), units, context.list("upkeep")),
            relays: Relays::new(root.clone()),
            ended: None,
            moving: HashMap::new(),
            root,
            ledger: Ledger::default(),
            connected: BTreeMap::new(),
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Option<Vec<Signal>>, HostError> {
        if self.ended.is_none() {
            // Without it short connections are not seen; the source `network` says so.
            self.ended = Ended::open(&self.root).unwrap_or_default();
        }
        let Some(dump) = tcp::of_round(&self.root, now.boot_ms)? else { return Ok(None) };
        let owners = self.owners.judge(now, &dump)?;
        self.relays.begin(now);
        let mut clients = Vec::new();
        for (socket, owner) in dump.connections.iter().zip(&owners) {
            let found = match client(socket, owner) {
                None => self.over_relay(now, socket, owner)?,
                found => found,
            };
            clients.extend(found);
        }
        self.moving.retain(|_, moving| moving.seen == now);
        clients.extend(self.containers.look(now)?);
        let ended = self.ended(now)?;
        self.connect(now, &clients);
        self.connect(now, &ended);
        let mut signals = self.ledger.take(now, clients, ended);
        let present = |owner: &String| {
            let by = Stretch::Connected;
            Signal::new(format!("clients of {owner}"), Value::Stretches { by }).owned_by(owner)
        };
        signals.extend(self.connected.keys().map(present));
        Ok(Some(signals))
    }

    /// The clients whose connections ended since the last look.
    fn ended(&mut self, now: Stamp) -> Result<Vec<Client>, HostError> {
        let Some(ended) = &mut self.ended else { return Ok(Vec::new()) };
        let mut sockets = Vec::new();
        if !ended.take(&mut |socket| sockets.push(socket))? {
            // What was lost may have been somebody's, or a scan's: it is one more who is connected, whose coming and going are uses
            // once in four hours (`Visitors`), so strangers do not keep a machine up by it.
            self.connected.insert(LOST.to_owned(), now);
        }
        let mut clients = Vec::new();
        for socket in sockets {
            let owner = self.owners.ended(now, &socket)?;
            let client = owner.and_then(|owner| client(&socket, &owner));
            // Who asks on a new connection each time is as connected as who keeps one.
            let alive = |it: &Client| it.to == Server::Person && socket.bytes() >= SMALL;
            clients.extend(client.map(|it| Client { alive: alive(&it), ..it }));
        }
        Ok(clients)
    }

    /// A connection that was opened from here, if it is with a relay.
    fn over_relay(
        &mut self,
        now: Stamp,
        socket: &TcpSocket,
        owner: &Owner,
    ) -> Result<Option<Client>, HostError> {
        let Whose::Of(name, role) = &owner.whose else { return Ok(None) };
        let outside = !owner.incoming && !is_local(socket.local, socket.remote);
        let Some(group) = socket.cgroup.filter(|_| outside && *role != Role::Upkeep) else {
            return Ok(None);
        };
        let Some((hierarchy, path)) = self.owners.path(Some(group)) else { return Ok(None) };
        if !socket.established || !self.relays.is_one(now, group, hierarchy, path)? {
            return Ok(None);
        }
        let fresh = || Moving { since: now, bytes: socket.bytes(), moves: false, seen: now };
        let moving = self.moving.entry(socket.cookie).or_insert_with(fresh);
        moving.look(now, socket.bytes());
        Ok(Some(Client {
            cookie: socket.cookie,
            port: socket.local.port(),
            remote: socket.remote,
            received: socket.received,
            alive: moving.moves && u64::from(socket.silent_ms) < ALIVE_MS,
            owner: Some(name.strip_prefix(OF_USER).unwrap_or(name).to_owned()),
            to: Server::Relay,
        }))
    }

    /// Remembers who is connected.
    fn connect(&mut self, now: Stamp, clients: &[Client]) {
        for owner in clients.iter().filter(|client| client.alive).filter_map(|it| it.owner.as_ref())
        {
            if self.connected.contains_key(owner) || self.connected.len() < PEOPLE {
                self.connected.insert(owner.clone(), now);
            }
        }
        self.connected.retain(|_, seen| now.since(*seen) < LINGER);
    }
}

impl Source for Clients {
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
        self.containers.refresh();
    }
}

/// Whether a relay's connection moves: nobody is connected to one that is merely kept open.
#[derive(Clone, Copy, Debug)]
struct Moving {
    since: Stamp,
    bytes: u64,
    moves: bool,
    seen: Stamp,
}

impl Moving {
    /// Takes in what it carried so far, once a minute.
    fn look(&mut self, now: Stamp, bytes: u64) {
        self.seen = now;
        let span = now.since(self.since);
        if span >= MINUTE {
            let a_second = bytes.saturating_sub(self.bytes) / span.as_secs().max(1);
            *self = Self { since: now, bytes, moves: a_second >= MOVES_PER_S, seen: now };
        }
    }
}

/// A connection as a client's; none if it is nobody's.
fn client(socket: &TcpSocket, owner: &Owner) -> Option<Client> {
    let name = |name: &str| Some(name.strip_prefix(OF_USER).unwrap_or(name).to_owned());
    let (owner, to) = match &owner.whose {
        Whose::Of(_, _) if owner.incoming && refused::is_refused(socket) => return None,
        Whose::Of(of, role) if owner.incoming => match role {
            Role::Workload => (name(of), Server::Person),
            Role::Local | Role::Server => (name(of), Server::Unit(*role)),
            _ => (None, Server::Housekeeping),
        },
        // All of sshd's come from outside, also when it does not listen any more.
        Whose::Sshd => (None, Server::Sshd),
        _ => return None,
    };
    let recent = u64::from(socket.silent_ms) < ALIVE_MS;
    Some(Client {
        cookie: socket.cookie,
        port: socket.local.port(),
        remote: socket.remote,
        received: socket.received,
        alive: to == Server::Person && socket.established && recent,
        owner,
        to,
    })
}

fn default_units() -> Vec<String> {
    let table: toml::Table = toml::from_str(&format!("units = {DEFAULT_UNITS}")).unwrap_or_default();
    let array = table.get("units").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    array.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
