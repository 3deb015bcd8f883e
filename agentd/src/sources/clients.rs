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
//! What is not seen: clients over UDP (a desktop over QUIC, mosh), those that reach the machine through a relay that
//! the machine itself has called, and a connection that is opened and closed between two looks.

mod beat;
mod ledger;

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Stretch, Value};
use agent_core::stamp::Stamp;

use super::network::owners::{Owners, Whose};
use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::tcp::{self, Dump, TcpSocket};
use crate::host::{HostError, HostRoot};
use ledger::{Client, Ledger, Server};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "clients",
    about: "Data that a person's client sends to the machine: SSH, editors, notebooks and desktops, each connection by itself.",
    unit: "B/s",
    scale: 1.0,
    combine: Combine::Each,
    // 4,000 bytes in a minute.
    busy_above: 66.7,
    limits: None,
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

/// A peer that was not heard of for so long is gone.
const ALIVE: Duration = Duration::from_mins(5);
/// A client that connects again within this was never away.
const LINGER: Duration = Duration::from_mins(5);
/// The most people that are shown as connected.
const PEOPLE: usize = 64;
/// How `network` calls what belongs to a user.
const OF_USER: &str = "connections of ";

#[derive(Debug)]
struct Clients {
    root: HostRoot,
    owners: Owners,
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
            owners: Owners::new(root.clone(), units),
            root,
            ledger: Ledger::default(),
            connected: BTreeMap::new(),
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Option<Vec<Signal>>, HostError> {
        let Some(dump) = tcp::of_round(&self.root, now.boot_ms)? else { return Ok(None) };
        let owners = self.owners.judge(&dump.connections)?;
        let clients: Vec<_> = dump
            .connections
            .iter()
            .zip(&owners)
            .filter_map(|(socket, whose)| client(&dump, socket, whose))
            .collect();
        self.connect(now, &clients);
        let mut signals = self.ledger.take(now, clients);
        let present = |owner: &String| {
            let by = Stretch::Connected;
            Signal::new(format!("clients of {owner}"), Value::Stretches { by }).owned_by(owner)
        };
        signals.extend(self.connected.keys().map(present));
        Ok(Some(signals))
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
    }
}

/// A connection as a client's; none if it is nobody's.
fn client(dump: &Dump, socket: &TcpSocket, whose: &Whose) -> Option<Client> {
    let incoming = || dump.is_incoming(socket);
    let (owner, to) = match whose {
        Whose::Work(name) if incoming() => {
            (Some(name.strip_prefix(OF_USER).unwrap_or(name).to_owned()), Server::Person)
        }
        // All of sshd's come from outside, also when it does not listen any more.
        Whose::Sshd => (None, Server::Sshd),
        Whose::Housekeeping if incoming() => (None, Server::Housekeeping),
        _ => return None,
    };
    let recent = Duration::from_millis(u64::from(socket.silent_ms)) < ALIVE;
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
