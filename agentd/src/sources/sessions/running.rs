//! What runs on a terminal or over a connection right now.

use std::os::fd::OwnedFd;

use super::command::{self, Command, Kind};
use super::left::is_helper;
use super::record::Id;
use super::scan::{Line, Terminal};
use crate::host::process::{self, Processes};
use crate::host::{HostError, HostRoot, terminal};

/// How many processes are looked at to find the members of one group.
const MEMBERS: usize = 64;
/// How many children of one process are looked at.
const CHILDREN: usize = 16;

/// A command and the process that runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// The command.
    pub(super) command: Command,
    /// The process.
    pub(super) pid: u32,
}

impl Running {
    /// What is done, for people: `at the prompt`, `make[812]`.
    pub(super) fn words(&self) -> String {
        match self.command.kind {
            Kind::Prompt => "at the prompt".to_owned(),
            _ => format!("{}[{}]", self.command.name, self.pid),
        }
    }
}

/// A process as it is now.
#[derive(Clone, Debug)]
struct Now {
    ppid: u32,
    group: u32,
    tty: u32,
    foreground: u32,
    start: u64,
    comm: String,
}

/// Looks at single processes.
#[derive(Debug)]
pub(super) struct Looker {
    processes: Processes,
    proc: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl Looker {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self { processes: Processes::new(root), proc: None, buffer: Vec::new() }
    }

    /// Begins a look.
    pub(super) fn begin(&mut self) -> Result<(), HostError> {
        self.proc = Some(self.processes.open()?);
        Ok(())
    }

    /// Ends it.
    pub(super) fn finish(&mut self) {
        self.proc = None;
    }

    fn now(&mut self, pid: u32) -> Result<Option<Now>, HostError> {
        let Some(proc) = &self.proc else { return Ok(None) };
        let stat = self.processes.read(proc, pid)?;
        Ok(stat.map(|stat| Now {
            ppid: stat.ppid,
            group: stat.group,
            tty: stat.tty,
            foreground: stat.foreground,
            start: stat.start,
            comm: stat.name(),
        }))
    }

    /// Whether a process still lives.
    pub(super) fn lives(&mut self, id: Id) -> Result<bool, HostError> {
        Ok(self.now(id.pid)?.is_some_and(|now| now.start == id.start))
    }

    fn command(&mut self, pid: u32, comm: &str) -> Result<Command, HostError> {
        self.processes.arguments(pid, &mut self.buffer)?;
        Ok(command::judge(comm, &process::words(&self.buffer)))
    }

    /// The group in the foreground of a terminal, 0 for none; none at all if its session's leader ended or left it.
    pub(super) fn foreground(&mut self, on: &Terminal) -> Result<Option<u32>, HostError> {
        let leader = self.now(on.leader.pid)?;
        let same = leader.filter(|now| now.start == on.leader.start && now.tty == on.number);
        Ok(same.map(|now| now.foreground))
    }

    /// What a group in the foreground of a terminal is; none if it is nobody's doing.
    pub(super) fn judge(&mut self, on: &Terminal, group: u32) -> Result<Option<Running>, HostError> {
        // Nothing is in the foreground of a terminal that was hung up.
        if group == 0 {
            return Ok(None);
        }
        let job = || Command { kind: Kind::Job, name: "a command".to_owned() };
        let Some((pid, comm)) = self.member(on.leader.pid, group)? else {
            return Ok(Some(Running { command: job(), pid: group }));
        };
        let mut command = self.command(pid, &comm)?;
        let shell = command::is_shell(&process::words(&self.buffer));
        let itself = pid == on.leader.pid;
        if command.kind == Kind::Login {
            return Ok(None);
        }
        if command.kind == Kind::Job && itself && !shell {
            // The main program of a container with a terminal, a display server: it was not started from a shell.
            if on.line == Line::Container {
                return Ok(None);
            }
            if !terminal::is_pseudo(on.number) {
                command.kind = Kind::Display;
            }
        }
        // A program that shows its output in a pager, or lets its user edit, waits for him. A script may do so too
        // while it does something else.
        if command.kind == Kind::Job
            && !shell
            && let Some(waiting) = self.waiting(pid, group)?
        {
            return Ok(Some(waiting));
        }
        Ok(Some(Running { command, pid }))
    }

    /// The leader of a group or, if it ended, another member, which is sought among the descendants of the session's
    /// leader.
    fn member(&mut self, leader: u32, group: u32) -> Result<Option<(u32, String)>, HostError> {
        if let Some(now) = self.now(group)?.filter(|now| now.group == group) {
            return Ok(Some((group, now.comm)));
        }
        let mut queue = vec![leader];
        let mut at = 0;
        while let Some(parent) = queue.get(at).copied() {
            at += 1;
            for child in self.processes.children(parent)? {
                if queue.len() >= MEMBERS {
                    return Ok(None);
                }
                let Some(now) = self.now(child)? else { continue };
                if now.group == group {
                    return Ok(Some((child, now.comm)));
                }
                queue.push(child);
            }
        }
        Ok(None)
    }

    fn waiting(&mut self, pid: u32, group: u32) -> Result<Option<Running>, HostError> {
        for child in self.processes.children(pid)?.into_iter().take(CHILDREN) {
            let Some(now) = self.now(child)?.filter(|now| now.group == group) else { continue };
            let command = self.command(child, &now.comm)?;
            if command::waits_for_user(&command) {
                return Ok(Some(Running { command, pid: child }));
            }
        }
        Ok(None)
    }

    /// What a connection without a terminal carries, if it is a job.
    ///
    /// A shell that is fed through the connection, as development environments do, is none unless it runs something.
    pub(super) fn carried(&mut self, carrier: u32) -> Result<Option<Running>, HostError> {
        for (pid, comm) in self.offspring(carrier, 0)? {
            let command = self.command(pid, &comm)?;
            let shell = command::is_shell(&process::words(&self.buffer));
            match command.kind {
                Kind::Job if !shell => return Ok(Some(Running { command, pid })),
                Kind::Job => {
                    let (inner, waits) = self.inner(pid, 0)?;
                    // A script that only waits for a server or shows something is as idle as that.
                    if inner.is_some() || !waits {
                        let running = inner.unwrap_or(Running { command, pid });
                        return Ok(Some(running));
                    }
                }
                Kind::Prompt => {
                    let (inner, _) = self.inner(pid, 0)?;
                    let busy = inner.filter(|running| running.command.name != "sleep");
                    if busy.is_some() {
                        return Ok(busy);
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// A job that a shell at its prompt has in the background of its terminal.
    pub(super) fn behind(&mut self, on: &Terminal) -> Result<Option<Running>, HostError> {
        Ok(self.inner(on.leader.pid, on.number)?.0)
    }

    /// A job among the children of a shell, and whether it has other children.
    fn inner(&mut self, shell: u32, tty: u32) -> Result<(Option<Running>, bool), HostError> {
        let mut others = false;
        for (pid, comm) in self.offspring(shell, tty)? {
            let command = self.command(pid, &comm)?;
            // A prompt has helpers of its own; what a script runs is the script's.
            let helps = tty != 0 && is_helper(&comm, &process::words(&self.buffer));
            if command.kind == Kind::Job && !helps {
                return Ok((Some(Running { command, pid }), others));
            }
            others = true;
        }
        Ok((None, others))
    }

    /// The children of a process on a terminal, or on none.
    fn offspring(&mut self, parent: u32, tty: u32) -> Result<Vec<(u32, String)>, HostError> {
        let mut found = Vec::new();
        for pid in self.processes.children(parent)?.into_iter().take(CHILDREN) {
            if let Some(now) = self.now(pid)?.filter(|now| now.tty == tty && now.ppid == parent) {
                found.push((pid, now.comm));
            }
        }
        Ok(found)
    }
}
