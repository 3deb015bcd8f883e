//! People's sessions: terminals and what runs in their foreground, connections of ssh and Systems Manager, servers of
//! development environments.
//!
//! A session that was left open is no use, so none of this keeps the machine up for ever: while somebody is connected
//! the machine must be idle for longer, and for longest while a job runs in the foreground of a terminal. A terminal
//! that a multiplexer keeps without a client, at its prompt, is nothing; a job left on it, in the background too, is still a job.
//!
//! Neither utmp nor logind is asked who is there. Debian 13 has no utmp, logind there knows no terminal of a session,
//! and a restart of sshd parts its sessions from the daemon; processes, their terminals and sshd's titles are the same
//! everywhere. logind's files only add desktops, which have no terminal.
//!
//! What somebody left running when they went is a job, too (`left`).
//!
//! What cannot be told without the right to look into others' processes: to which of a user's servers a client of tmux
//! is attached (any client counts for all of that user's), and whether a screen session whose client runs as another
//! user is attached.

mod command;
mod left;
mod record;
mod renewed;
mod running;
mod scan;
mod service;
mod title;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Stretch, Value};
use agent_core::stamp::Stamp;

use super::pace::Pace;
use super::{Context, Lane, Opened, Source, SourceSpec, blind};
use crate::host::logins::{self, Login};
use crate::host::users::Users;
use crate::host::{HostError, HostRoot, terminal};
use command::{Kind, Multiplexer};
use left::{Ends, Job};
use renewed::Renewed;
use running::{Looker, Running};
use scan::{Carrier, Client, Connection, Found, Line, Scanner, Server, Terminal};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "sessions",
    about: "People's sessions: while somebody is connected, or a job runs on a terminal or was left running, the machine must be \
            idle for longer.",
    unit: "",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 0.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_secs(1),
    options: &[],
    open: |context| Opened::Blocking(Box::new(Sessions::new(context))),
};

/// A look at all processes that nothing called for comes so many times more seldom than one that something did.
const ROUTINE: usize = 3;
/// A program on a terminal that is on another one is followed so far.
const DEPTH: usize = 4;

#[derive(Debug)]
struct Sessions {
    root: HostRoot,
    users: Users,
    scanner: Scanner,
    looker: Looker,
    /// When the next look at all processes comes by itself, and when it may come if something calls for it.
    routine: Pace,
    called: Pace,
    found: Found,
    /// What runs on each terminal, in the order of `found.terminals`, with the group in its foreground.
    running: Vec<(u32, Option<Running>)>,
    /// Pseudo-terminals that nobody was found to lead; they are not searched for again.
    leaderless: HashSet<u32>,
    renewed: Renewed,
    ends: Ends,
    logins: Vec<Login>,
    version: Option<(i64, i64)>,
}

impl Sessions {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        Self {
            users: Users::new(root.clone()),
            scanner: Scanner::new(root.clone()),
            looker: Looker::new(root.clone()),
            root,
            routine: Pace::default(),
            called: Pace::default(),
            found: Found::default(),
            running: Vec::new(),
            leaderless: HashSet::new(),
            renewed: Renewed::default(),
            ends: Ends::default(),
            logins: Vec::new(),
            version: None,
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Vec<Signal>, HostError> {
        let open = terminal::open(&self.root)?;
        self.looker.begin()?;
        let result = self.follow(now, &open);
        self.looker.finish();
        if result.is_err() {
            // What was found may be incomplete now.
            self.routine.reset();
        }
        result
    }

    fn follow(&mut self, now: Stamp, open: &[u32]) -> Result<Vec<Signal>, HostError> {
        self.forget_ended()?;
        let version = logins::version(&self.root)?;
        self.leaderless.retain(|number| open.contains(number));
        let strange = |number: &u32| {
            self.terminal(*number).is_none() && !self.leaderless.contains(number)
        };
        let called = version != self.version || open.iter().any(strange);
        if self.routine.due(now) || (called && self.called.due(now)) {
            self.logins = logins::read(&self.root)?;
            let (found, count) = self.scanner.scan(now)?;
            self.found = found;
            self.running.clear();
            self.version = version;
            self.routine.walked(now, count.saturating_mul(ROUTINE));
            self.called.walked(now, count);
            let led = |number: &u32| self.terminal(*number).is_some();
            self.leaderless = open.iter().copied().filter(|number| !led(number)).collect();
        }
        self.judge_terminals()?;
        let mut signals = Stretches::default();
        self.say_terminals(&mut signals)?;
        self.say_connections(now, &mut signals)?;
        self.say_servers(&mut signals);
        self.say_jobs(now, &mut signals)?;
        Ok(signals.into_signals())
    }

    /// Drops connections, servers, jobs and clients that ended. Terminals are dropped when they are judged.
    fn forget_ended(&mut self) -> Result<(), HostError> {
        let looker = &mut self.looker;
        retain(&mut self.found.connections, |it: &Connection| looker.lives(it.process))?;
        retain(&mut self.found.servers, |it: &Server| looker.lives(it.process))?;
        retain(&mut self.found.jobs, |it: &Job| looker.lives(it.process))?;
        retain(&mut self.found.clients, |it: &Client| looker.lives(it.process))
    }

    /// Finds out what runs on each terminal, where the group in its foreground is another than at the last look.
    fn judge_terminals(&mut self) -> Result<(), HostError> {
        let terminals = std::mem::take(&mut self.found.terminals);
        let mut before = std::mem::take(&mut self.running).into_iter();
        for on in terminals {
            let known = before.next();
            let Some(group) = self.looker.foreground(&on)? else { continue };
            let running = match known.filter(|(known, _)| *known == group) {
                // A job may have come to its pager by now.
                Some((_, running)) if !is_job(running.as_ref()) => running,
                _ => self.looker.judge(&on, group)?,
            };
            self.found.terminals.push(on);
            self.running.push((group, running));
        }
        Ok(())
    }

    /// Whether a person can be at the other end of a terminal.
    fn is_attached(&self, on: &Terminal, depth: usize) -> bool {
        match on.line {
            Line::Live => true,
            Line::Container => false,
            Line::Kept(multiplexer) => {
                depth > 0
                    && (self.has_client(multiplexer, on, depth)
                        || self.shows_client(multiplexer, on, depth))
            }
            Line::Ide => self.may_have_ide_client(on.uid),
            Line::Inner(outer) => match self.terminal(outer) {
                Some(outer) if depth > 0 => self.is_attached(outer, depth - 1),
                _ => true,
            },
        }
    }

    fn has_client(&self, of: Multiplexer, on: &Terminal, depth: usize) -> bool {
        self.found.clients.iter().filter(|it| it.of == of && it.uid == on.uid).any(|client| {
            match self.terminal(client.terminal) {
                Some(place) if place.number != on.number => self.is_attached(place, depth - 1),
                Some(_) => false,
                None => true,
            }
        })
    }

    /// A client that came after the last look at all processes shows in the foreground of its terminal.
    fn shows_client(&self, of: Multiplexer, on: &Terminal, depth: usize) -> bool {
        self.found.terminals.iter().zip(&self.running).any(|(place, (_, running))| {
            let client = running.as_ref().is_some_and(|it| it.command.kind == Kind::Client(of));
            let other = place.number != on.number && place.uid == on.uid;
            client && other && self.is_attached(place, depth - 1)
        })
    }

    /// A client reaches its server through a connection of the same user, or one forwarded by Systems Manager.
    fn may_have_ide_client(&self, uid: u32) -> bool {
        self.found.connections.iter().any(|it| match it.carrier {
            Carrier::Ssh => it.uid == uid,
            Carrier::Ssm => true,
            Carrier::SsmCommand => false,
        })
    }

    fn terminal(&self, number: u32) -> Option<&Terminal> {
        let outside = |it: &&Terminal| it.number == number && it.line != Line::Container;
        self.found.terminals.iter().find(outside)
    }

    /// Whose a terminal is: what `sudo` runs on a terminal of its own is done by who typed it.
    fn owner(&self, on: &Terminal) -> u32 {
        let mut on = on;
        for _ in 0..DEPTH {
            let Line::Inner(outer) = on.line else { break };
            let Some(outer) = self.terminal(outer) else { break };
            on = outer;
        }
        on.uid
    }

    fn say_terminals(&mut self, signals: &mut Stretches) -> Result<(), HostError> {
        let mut left: BTreeMap<(u32, &'static str), f64> = BTreeMap::new();
        let mut said = Vec::new();
        for (on, (_, running)) in self.found.terminals.iter().zip(&self.running) {
            let Some(running) = running else { continue };
            let uid = self.owner(on);
            let by = match running.command.kind {
                Kind::Login => continue,
                Kind::Job => Stretch::Job,
                _ if self.is_attached(on, DEPTH) => Stretch::Connected,
                kind => {
                    let left_there = kind == Kind::Prompt && on.line != Line::Container;
                    if left_there && let Some(behind) = self.looker.behind(on)? {
                        said.push((on.subject.clone(), Stretch::Job, uid, behind.words()));
                        continue;
                    }
                    let keeper = match on.line {
                        Line::Kept(multiplexer) => multiplexer.as_str(),
                        Line::Ide => "a development environment",
                        _ => "a container",
                    };
                    *left.entry((uid, keeper)).or_default() += 1.0;
                    continue;
                }
            };
            said.push((on.subject.clone(), by, uid, running.words()));
        }
        for (subject, by, uid, words) in said {
            signals.stretch(subject, by, &self.users.name(uid), &words);
        }
        for ((uid, keeper), count) in left {
            let user = self.users.name(uid);
            let owner = format!("{user}, nobody is seen attached");
            signals.show(format!("terminals of {user} in {keeper}"), count, owner);
        }
        Ok(())
    }

    fn say_connections(
        &mut self,
        now: Stamp,
        signals: &mut Stretches,
    ) -> Result<(), HostError> {
        let ssh = self.found.connections.iter().filter(|it| it.is_tunnel());
        let carriers: Vec<_> = ssh.map(|it| it.process).collect();
        self.renewed.look(now, &carriers);
        for connection in self.found.connections.iter().filter(|it| !it.terminal) {
            let user = self.users.name(connection.uid);
            let Connection { subject, process, uid, .. } = connection;
            let subject = if connection.is_tunnel() {
                self.renewed.name(now, *process, *uid, subject)
            } else {
                subject.clone()
            };
            let carried = match connection.carrier {
                Carrier::Ssh => self.looker.carried(connection.process.pid)?,
                Carrier::Ssm | Carrier::SsmCommand => None,
            };
            let (by, words) = match carried {
                Some(running) => (Stretch::Job, running.words()),
                None if connection.carrier == Carrier::SsmCommand => {
                    (Stretch::Job, "a command of Systems Manager".to_owned())
                }
                None => (Stretch::Connected, "without a terminal".to_owned()),
            };
            signals.stretch(subject, by, &user, &words);
        }
        for (subject, uid) in self.renewed.gone(now) {
            let user = self.users.name(uid);
            let words = "without a terminal, gone within two minutes";
            signals.stretch(subject.to_owned(), Stretch::Connected, &user, words);
        }
        for login in self.logins.iter().filter(|login| login.is_desktop()) {
            let user = self.users.name(login.uid);
            let subject = format!("desktop session {} of {user}", login.id);
            signals.stretch(subject, Stretch::Connected, &user, &login.kind);
        }
        Ok(())
    }

    fn say_servers(&mut self, signals: &mut Stretches) {
        for server in &self.found.servers {
            let user = self.users.name(server.uid);
            let client = if self.may_have_ide_client(server.uid) {
                "a client may be connected"
            } else {
                "no client is connected"
            };
            let subject = format!("{} server of {user}", server.product);
            signals.show(subject, 1.0, format!("{user}, {client}"));
        }
    }
}

impl Sessions {
    /// Jobs that were left running. One that is shown for a moment proves no use when it goes.
    fn say_jobs(&mut self, now: Stamp, signals: &mut Stretches) -> Result<(), HostError> {
        let looker = &mut self.looker;
        let silent = self.ends.look(now, &self.found.jobs, |process| looker.lives(process))?;
        for job in &self.found.jobs {
            let user = self.users.name(job.uid);
            signals.present.insert(job.subject.clone(), (Stretch::Job, user));
        }
        for job in silent {
            let user = self.users.name(job.uid);
            signals.show(job.subject, 0.0, format!("{user}, nobody waits for it"));
        }
        Ok(())
    }
}

impl Source for Sessions {
    fn read(&mut self, now: Stamp) -> Reading {
        match self.look(now) {
            Ok(signals) => Reading::Signals(signals),
            Err(error) => blind(&error),
        }
    }

    fn refresh(&mut self) {
        self.routine.reset();
    }
}

/// Signals with one entry a subject: two containers may call their terminals the same.
#[derive(Debug, Default)]
struct Stretches {
    present: BTreeMap<String, (Stretch, String)>,
    shown: BTreeMap<String, (f64, String)>,
}

impl Stretches {
    fn stretch(&mut self, subject: String, by: Stretch, user: &str, words: &str) {
        let new = (by, format!("{user}, {words}"));
        let known = self.present.entry(subject).or_insert_with(|| new.clone());
        if known.0 < by {
            *known = new;
        }
    }

    fn show(&mut self, subject: String, value: f64, owner: String) {
        self.shown.insert(subject, (value, owner));
    }

    fn into_signals(self) -> Vec<Signal> {
        let present = self.present.into_iter().map(|(subject, (by, owner))| {
            Signal::new(subject, Value::Stretches { by }).owned_by(owner)
        });
        let shown = self.shown.into_iter().map(|(subject, (value, owner))| {
            Signal::new(subject, Value::Shown { value }).owned_by(owner).ignored()
        });
        present.chain(shown).collect()
    }
}

fn is_job(running: Option<&Running>) -> bool {
    running.is_some_and(|running| running.command.kind == Kind::Job)
}

/// `Vec::retain` with a question that can fail.
fn retain<T>(
    list: &mut Vec<T>,
    mut keep: impl FnMut(&T) -> Result<bool, HostError>,
) -> Result<(), HostError> {
    for item in std::mem::take(list) {
        if keep(&item)? {
            list.push(item);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
