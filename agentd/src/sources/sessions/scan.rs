//! One look at all processes: who has a terminal, who is connected, what keeps terminals.
//!
//! Everything is told by ancestry and names, which `/proc/PID/stat` shows of everybody's processes, not by open files,
//! which only their owners may see.

use std::collections::HashSet;

use agent_core::stamp::Stamp;

use super::command::{self, Multiplexer};
use super::left::{Job, Left};
use super::record::{Id, Record, Role, find, role};
use super::title;
use crate::host::process::{self, ProcessStat, Processes};
use crate::host::{HostError, HostRoot, terminal};
use crate::sources::ide::{Asked, Part, Tools};

/// Ancestors are followed this far.
const GENERATIONS: usize = 32;
/// The most of a container's name that is shown.
const NAME: usize = 24;

/// What is at the other end of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A connection or a keyboard: it is there as long as the terminal. This is assumed where nothing else is known.
    Live,
    /// A multiplexer, which may have clients.
    Kept(Multiplexer),
    /// A server of a development environment, which may have a client.
    Ide,
    /// A container; whether anybody is attached to its terminal cannot be seen from outside.
    Container,
    /// A program on another terminal: `sudo`, `script`.
    Inner(u32),
}

/// A terminal with a session on it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Terminal {
    /// Its name: `pts/3`, `pts/0 in docker-0123456789ab`.
    pub(super) subject: String,
    /// Its device number.
    pub(super) number: u32,
    /// The leader of the session.
    pub(super) leader: Id,
    /// The leader's user.
    pub(super) uid: u32,
    /// What is at the other end.
    pub(super) line: Line,
}

/// How somebody is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// sshd.
    Ssh,
    /// A session of Systems Manager.
    Ssm,
    /// A command of Systems Manager.
    SsmCommand,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// Its name: `ssh session 42 of alice`.
    pub(super) subject: String,
    /// The process that carries it.
    pub(super) process: Id,
    /// The user of that process.
    pub(super) uid: u32,
    /// How.
    pub(super) carrier: Carrier,
    /// Whether it has a terminal, which then stands for it.
    pub(super) terminal: bool,
}

impl Connection {
    /// Whether it is one of ssh without a terminal: a tunnel, an editor, a command.
    pub(super) fn is_tunnel(&self) -> bool {
        self.carrier == Carrier::Ssh && !self.terminal
    }
}

/// A server of a development environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// `VS Code`.
    pub(super) product: &'static str,
    /// Whose it is.
    pub(super) uid: u32,
    /// One of its processes.
    pub(super) process: Id,
}

/// A client of a multiplexer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Of which.
    pub(super) of: Multiplexer,
    /// Whose it is.
    pub(super) uid: u32,
    /// The process.
    pub(super) process: Id,
    /// The terminal that it is on, 0 for none.
    pub(super) terminal: u32,
}

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Terminals with sessions.
    pub(super) terminals: Vec<Terminal>,
    /// Connections.
    pub(super) connections: Vec<Connection>,
    /// Servers of development environments, one entry for each product and user.
    pub(super) servers: Vec<Server>,
    /// Clients of multiplexers.
    pub(super) clients: Vec<Client>,
    /// Jobs that were left running.
    pub(super) jobs: Vec<Job>,
}

/// Looks.
#[derive(Debug)]
pub(super) struct Scanner {
    root: HostRoot,
    processes: Processes,
    tools: Tools,
    left: Left,
    records: Vec<Record>,
    candidates: Vec<Asked>,
    buffer: Vec<u8>,
}

impl Scanner {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self {
            processes: Processes::new(root.clone()),
            tools: Tools::new(root.clone()),
            left: Left::new(root.clone()),
            root,
            records: Vec::new(),
            candidates: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Looks at all processes; what was found, and how many there are.
    pub(super) fn scan(&mut self, now: Stamp) -> Result<(Found, usize), HostError> {
        if process::hides_others(&self.root)? {
            return Err(HostError::malformed(
                "/proc",
                process::HIDDEN,
            ));
        }
        let count = self.walk()?;
        if count == 0 {
            return Err(HostError::malformed("/proc", "no process is in it"));
        }
        let mut found = Found::default();
        self.find_servers(now, &mut found)?;
        let mut carriers = HashSet::new();
        for index in 0..self.records.len() {
            let Some(record) = self.records.get(index).copied() else { break };
            if record.session == record.pid && record.tty != 0 {
                self.add_terminal(&record, &mut carriers, &mut found)?;
            }
            self.add_client(&record, &mut found)?;
        }
        for index in 0..self.records.len() {
            let Some(record) = self.records.get(index).copied() else { break };
            self.add_connection(&record, &carriers, &mut found)?;
        }
        found.jobs = self.left.find(now, &self.records)?;
        Ok((found, count))
    }

    fn walk(&mut self) -> Result<usize, HostError> {
        self.records.clear();
        self.candidates.clear();
        let (records, candidates) = (&mut self.records, &mut self.candidates);
        let count = self.processes.walk(&mut |stat: &ProcessStat<'_>| {
            let role = role(stat.comm);
            let mut comm = [0; 16];
            for (to, from) in comm.iter_mut().zip(stat.comm) {
                *to = *from;
            }
            records.push(Record {
                pid: stat.pid,
                ppid: stat.ppid,
                session: stat.session,
                tty: stat.tty,
                start: stat.start,
                comm,
                role,
            });
            if role == Role::Other {
                let asked = Asked::from(stat);
                if asked.may_serve() {
                    candidates.push(asked);
                }
            }
        })?;
        self.records.sort_unstable_by_key(|record| record.pid);
        Ok(count)
    }

    fn find_servers(&mut self, now: Stamp, found: &mut Found) -> Result<(), HostError> {
        self.tools.begin();
        for asked in std::mem::take(&mut self.candidates) {
            let tool = self.tools.of(now, &asked)?;
            let Some(tool) = tool.filter(|tool| tool.part == Part::Helper) else { continue };
            let index = find(&self.records, asked.pid);
            let Some(record) = index.and_then(|index| self.records.get_mut(index)) else { continue };
            record.role = Role::Ide(tool.product);
            let process = record.id();
            let Some(uid) = self.processes.uid(asked.pid)? else { continue };
            let product = tool.product;
            let known = |server: &Server| server.product == product && server.uid == uid;
            if !found.servers.iter().any(known) {
                found.servers.push(Server { product, uid, process });
            }
        }
        self.tools.finish();
        Ok(())
    }

    fn record(&self, pid: u32) -> Option<&Record> {
        self.records.get(find(&self.records, pid)?)
    }

    /// Who made a terminal, by the ancestors of its session's leader.
    fn line(&self, leader: &Record, carriers: &mut HashSet<u32>) -> Line {
        let mut parent = leader.ppid;
        for _ in 0..GENERATIONS {
            let Some(record) = self.record(parent) else { break };
            match record.role {
                Role::Sshd
                | Role::SsmSession
                | Role::Mosh
                | Role::Console
                | Role::Tailscale => {
                    carriers.insert(record.pid);
                    return Line::Live;
                }
                Role::TmuxServer => return Line::Kept(Multiplexer::Tmux),
                Role::Screen => return Line::Kept(Multiplexer::Screen),
                Role::Zellij => return Line::Kept(Multiplexer::Zellij),
                Role::Runtime => return Line::Container,
                Role::Ide(_) => return Line::Ide,
                Role::Other
                | Role::TmuxClient
                | Role::SsmCommand
                | Role::Desktop
                | Role::Starter
                | Role::Schedule => {}
            }
            if record.tty != 0 && record.tty != leader.tty {
                return Line::Inner(record.tty);
            }
            parent = record.ppid;
        }
        Line::Live
    }

    fn add_terminal(
        &mut self,
        record: &Record,
        carriers: &mut HashSet<u32>,
        found: &mut Found,
    ) -> Result<(), HostError> {
        let Some(identity) = self.processes.identity(record.pid)? else { return Ok(()) };
        let line = if identity.contained { Line::Container } else { self.line(record, carriers) };
        let mut subject = terminal::name(record.tty);
        if line == Line::Container {
            let group = self.processes.control_group(record.pid)?.unwrap_or_default();
            subject = format!("{subject} in {}", container(&group));
        }
        found.terminals.push(Terminal {
            subject,
            number: record.tty,
            leader: record.id(),
            uid: identity.uid,
            line,
        });
        Ok(())
    }

    fn add_client(&mut self, record: &Record, found: &mut Found) -> Result<(), HostError> {
        let of = match record.role {
            Role::TmuxClient => Multiplexer::Tmux,
            // The server of screen and that of Zellij have no terminal of their own.
            Role::Screen if record.tty != 0 => {
                self.processes.arguments(record.pid, &mut self.buffer)?;
                if command::is_screen_server(&process::words(&self.buffer)) {
                    return Ok(());
                }
                Multiplexer::Screen
            }
            Role::Zellij if record.tty != 0 => Multiplexer::Zellij,
            _ => return Ok(()),
        };
        if let Some(uid) = self.processes.uid(record.pid)? {
            found.clients.push(Client { of, uid, process: record.id(), terminal: record.tty });
        }
        Ok(())
    }

    fn add_connection(
        &mut self,
        record: &Record,
        carriers: &HashSet<u32>,
        found: &mut Found,
    ) -> Result<(), HostError> {
        let carrier = match record.role {
            Role::Sshd => Carrier::Ssh,
            Role::SsmSession => Carrier::Ssm,
            Role::SsmCommand => Carrier::SsmCommand,
            _ => return Ok(()),
        };
        self.processes.arguments(record.pid, &mut self.buffer)?;
        let mut terminal = carriers.contains(&record.pid);
        let subject = if carrier == Carrier::Ssh {
            let Some(login) = title::parse(&self.buffer) else { return Ok(()) };
            terminal |= login.terminal;
            let group = self.processes.control_group(record.pid)?.unwrap_or_default();
            format!("ssh session {} of {}", session(&group, record.pid), login.user)
        } else {
            let words = process::words(&self.buffer);
            let id = words.get(1).map(|word| String::from_utf8_lossy(word).into_owned());
            let id = id.unwrap_or_else(|| format!("of process {}", record.pid));
            let what = if carrier == Carrier::Ssm { "session" } else { "command" };
            format!("SSM {what} {id}")
        };
        if let Some(uid) = self.processes.uid(record.pid)? {
            found.connections.push(Connection {
                subject,
                process: record.id(),
                uid,
                carrier,
                terminal,
            });
        }
        Ok(())
    }
}

/// The number that people know a session by, from its scope: 42 of `…/session-42.scope`. Without one, its process.
fn session(group: &str, pid: u32) -> String {
    let scope = group.split('/').find_map(|part| {
        part.strip_prefix("session-")?.strip_suffix(".scope").filter(|id| !id.is_empty())
    });
    scope.map_or_else(|| format!("of process {pid}"), str::to_owned)
}

/// A short name of a container from its control group: `docker-0123456789abcdef0`.
fn container(group: &str) -> String {
    let mut parts = group.split('/').filter(|part| !part.is_empty());
    let named = parts.clone().find(|part| {
        let scope = part.strip_suffix(".scope").is_some() && !part.starts_with("session-");
        scope || part.starts_with("systemd-nspawn@")
    });
    let part = named.or(parts.next_back()).unwrap_or("a container");
    let stem = part.strip_suffix(".scope").or(part.strip_suffix(".service")).unwrap_or(part);
    stem.chars().take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_the_number_of_its_scope() {
        assert_eq!(session("user.slice/user-1000.slice/session-42.scope", 7), "42");
        assert_eq!(session("user.slice/user-1000.slice/session-c5.scope/x", 7), "c5");
        assert_eq!(session("system.slice/ssh.service", 7), "of process 7");
    }

    #[test]
    fn a_container_has_a_short_name() {
        for (group, name) in [
            ("system.slice/docker-0123456789abcdef0123456789.scope", "docker-0123456789abcdef0"),
            ("machine.slice/libpod-99.scope/container", "libpod-99"),
            ("machine.slice/systemd-nspawn@deb.service/payload", "systemd-nspawn@deb"),
            ("kubepods/pod1/c2", "c2"),
            ("", "a container"),
        ] {
            assert_eq!(container(group), name);
        }
    }
}
