//! Jobs that somebody left running: what outlives the login that started it, by nohup(1), setsid(1) or a closed terminal, what
//! `systemd-run` started, and what user-data, Run Command and schedules of one's own run.
//!
//! Such a job may sleep for longer than a machine stays up, or wait for another one, and nothing measures that. That it was
//! left running is a wish, so the machine waits for it as for a job in the foreground of a terminal. Servers, agents of a
//! login and whatever only shows are none. `decisions/0016-jobs-left-running.md` says what is told how, and why.
//!
//! A job is a tree: the process at its top is told, and its children belong to it, whatever they do.

mod ends;
mod known;
mod names;
mod place;
mod sockets;

use std::collections::{HashMap, HashSet};

use agent_core::stamp::Stamp;

use super::record::{Id, Record, Role, find};
use crate::host::process::Processes;
use crate::host::units::Registry;
use crate::host::users::is_ordinary;
use crate::host::{HostError, HostRoot};
use crate::sources::ownership::{Jobs, Step, starts_work};
pub(super) use ends::Ends;
use known::{Known, What};
pub(super) use names::is_helper;
use place::Place;

/// A process is looked at when it has lived for so long. What ends sooner is a step of something else, and what has just been
/// started may still become another program.
const SETTLED_MS: u64 = 10_000;
/// Ancestors are followed this far.
const GENERATIONS: usize = 64;
/// Scripts are followed so far to what they wait for.
const DEPTH: usize = 4;
/// The most jobs that are told, the oldest.
const MOST: usize = 64;

/// A job that was left running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    /// The process at its top.
    pub(super) process: Id,
    /// Whose it is.
    pub(super) uid: u32,
    /// What it is called: `python3[812] under nohup`. It keeps this name.
    pub(super) subject: String,
    /// The program alone.
    pub(super) name: String,
}

/// What a process is to the job that it may belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It starts others' work or takes in orphans: what is below it stands for itself.
    Begins,
    /// The same, and packages have their jobs run by it, too.
    Schedules,
    /// It belongs to a terminal, a connection, an editor or a desktop, which is told by itself. Only nohup takes a process out.
    Bound,
    /// It is part of something else: a service, a container, a helper.
    Other,
    /// It is part of the job with this process at its top.
    Part(u32),
}

/// Finds them.
#[derive(Debug)]
pub(super) struct Left {
    root: HostRoot,
    processes: Processes,
    registry: Registry,
    jobs: Option<Jobs>,
    known: HashMap<u32, Known>,
    buffer: Vec<u8>,
    look: u64,
}

/// One look at all processes.
struct Look<'a> {
    now: Stamp,
    records: &'a [Record],
    standing: Vec<Option<Standing>>,
    /// Ancestors that are looked at now; kept to save allocations.
    line: Vec<usize>,
    /// The tops of jobs, and whose they are.
    tops: Vec<(Record, u32)>,
    /// Who has a desktop: what runs there has no terminal and nobody left it.
    desktops: HashSet<u32>,
}

impl Left {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self {
            processes: Processes::new(root.clone()),
            registry: Registry::of(&root),
            root,
            jobs: None,
            known: HashMap::new(),
            buffer: Vec::new(),
            look: 0,
        }
    }

    /// The jobs among all processes, which are sorted by pid.
    pub(super) fn find(
        &mut self,
        now: Stamp,
        records: &[Record],
    ) -> Result<Vec<Job>, HostError> {
        self.look += 1;
        self.jobs = None;
        let standing = vec![None; records.len()];
        let desktops = HashSet::new();
        let (line, tops) = (Vec::new(), Vec::new());
        let mut look = Look { now, records, standing, line, tops, desktops };
        for record in records.iter().filter(|record| record.role == Role::Desktop) {
            if !names::is_log_in(&record.name()) {
                look.desktops.extend(self.identity(record)?.map(|identity| identity.uid));
            }
        }
        for index in 0..records.len() {
            self.stand(&mut look, index)?;
        }
        let mut tops = std::mem::take(&mut look.tops);
        tops.sort_unstable_by_key(|(record, _)| (record.start, record.pid));
        let mut found = Vec::new();
        for (record, uid) in tops {
            if found.len() < MOST && !self.only_serves(&look, &record, DEPTH)? {
                found.push((record, uid));
            }
        }
        let served = self.serving(&look, &found)?;
        found.retain(|(record, _)| !served.contains(&record.pid));
        let look = self.look;
        self.known.retain(|_, known| known.look == look);
        Ok(found.into_iter().filter_map(|(record, uid)| self.job(&record, uid)).collect())
    }

    fn job(&self, record: &Record, uid: u32) -> Option<Job> {
        let known = self.known.get(&record.pid)?;
        let subject = known.subject.clone()?;
        Some(Job { process: record.id(), uid, subject, name: known.name.clone() })
    }

    /// Finds out what a process stands for, from the oldest ancestor of which that is not known yet.
    fn stand(&mut self, look: &mut Look<'_>, index: usize) -> Result<(), HostError> {
        if look.standing.get(index).is_some_and(Option::is_some) {
            return Ok(());
        }
        let mut line = std::mem::take(&mut look.line);
        line.push(index);
        let mut parent = None;
        for _ in 0..GENERATIONS {
            let at = line.last().and_then(|at| look.records.get(*at));
            let above =
                at.filter(|at| at.ppid != at.pid).and_then(|at| find(look.records, at.ppid));
            let Some(above) = above else { break };
            if let Some(standing) = look.standing.get(above).copied().flatten() {
                parent = Some((above, standing));
                break;
            }
            line.push(above);
        }
        while let Some(at) = line.pop() {
            let standing = match look.standing.get(at).copied().flatten() {
                Some(standing) => standing,
                None => self.judge(look, at, parent)?,
            };
            if let Some(place) = look.standing.get_mut(at) {
                *place = Some(standing);
            }
            parent = Some((at, standing));
        }
        look.line = line;
        Ok(())
    }

    fn judge(
        &mut self,
        look: &mut Look<'_>,
        index: usize,
        parent: Option<(usize, Standing)>,
    ) -> Result<Standing, HostError> {
        let Some(record) = look.records.get(index).copied() else { return Ok(Standing::Other) };
        if record.pid == 1 {
            return Ok(Standing::Begins);
        }
        match record.role {
            Role::Other => {}
            Role::Runtime => return Ok(Standing::Other),
            Role::Starter => return Ok(Standing::Begins),
            Role::Schedule => return Ok(Standing::Schedules),
            _ => return Ok(Standing::Bound),
        }
        // Who lost its parent in this moment stands for itself, as it will in the next.
        match parent.map_or(Standing::Begins, |(_, standing)| standing) {
            Standing::Bound => self.taken_out(look, &record, parent.map(|(above, _)| above)),
            Standing::Begins if record.tty != 0 => self.taken_out(look, &record, None),
            Standing::Begins => self.by_itself(look, &record, false),
            Standing::Schedules => self.by_itself(look, &record, true),
            part_or_other => Ok(part_or_other),
        }
    }

    /// A process that belongs to a terminal or a connection, and may have been started by nohup there.
    fn taken_out(
        &mut self,
        look: &mut Look<'_>,
        record: &Record,
        parent: Option<usize>,
    ) -> Result<Standing, HostError> {
        if is_young(look.now, record) || !self.ignores_hangup(record)? {
            return Ok(Standing::Bound);
        }
        // What an ancestor was started by passes the ignored signal on.
        let above = parent.and_then(|above| look.records.get(above).copied());
        if let Some(above) = above
            && self.ignores_hangup(&above)?
        {
            return Ok(Standing::Bound);
        }
        if record.tty != 0 && self.is_in_front(record)? {
            return Ok(Standing::Bound);
        }
        let found = self.top(look, record, "under nohup")?;
        Ok(found.unwrap_or(Standing::Bound))
    }

    /// A process that nothing stands above.
    fn by_itself(
        &mut self,
        look: &mut Look<'_>,
        record: &Record,
        scheduled: bool,
    ) -> Result<Standing, HostError> {
        if is_young(look.now, record) {
            return Ok(Standing::Other);
        }
        let place = self.place(record)?;
        if scheduled && place != Place::Nobody {
            match self.step(record)? {
                Step::Packaged => return Ok(Standing::Other),
                Step::Runner => return Ok(Standing::Schedules),
                Step::Other => {}
            }
        }
        let words = match place {
            Place::Nobody => return Ok(Standing::Other),
            // The daemon itself.
            Place::Unit(unit) if is_own(&unit, record) => return Ok(Standing::Other),
            Place::Unit(unit) => format!("in {unit}"),
            Place::Login(session) => {
                let Some(identity) = self.identity(record)? else { return Ok(Standing::Other) };
                match (identity.ignores_hangup, look.desktops.contains(&identity.uid)) {
                    (true, _) => "under nohup".to_owned(),
                    (false, true) => return Ok(Standing::Other),
                    (false, false) => format!("left by {session}"),
                }
            }
            Place::Unknown => {
                let identity = self.identity(record)?;
                let nohup = identity.is_some_and(|it| it.ignores_hangup && is_ordinary(it.uid));
                if !nohup {
                    return Ok(Standing::Other);
                }
                "under nohup".to_owned()
            }
        };
        Ok(self.top(look, record, &words)?.unwrap_or(Standing::Other))
    }

    /// A process at the top of a job, unless it is a server, a helper or in a container.
    fn top(
        &mut self,
        look: &mut Look<'_>,
        record: &Record,
        words: &str,
    ) -> Result<Option<Standing>, HostError> {
        let Some(identity) = self.identity(record)?.filter(|it| !it.contained) else {
            return Ok(None);
        };
        if self.what(record)? == What::Nobody {
            return Ok(None);
        }
        let known = self.known(record);
        let name = &known.name;
        let subject = format!("{name}[{}] {words}", record.pid);
        known.subject.get_or_insert(subject);
        look.tops.push((*record, identity.uid));
        Ok(Some(Standing::Part(record.pid)))
    }

    /// Whether a script only waits for servers, displays and helpers: then it is as idle as they are.
    fn only_serves(
        &mut self,
        look: &Look<'_>,
        record: &Record,
        depth: usize,
    ) -> Result<bool, HostError> {
        match self.what(record)? {
            What::Nobody => return Ok(true),
            What::Launcher if depth > 0 => {}
            _ => return Ok(false),
        }
        let mut waits = false;
        for child in look.records.iter().filter(|child| child.ppid == record.pid) {
            if !self.only_serves(look, child, depth - 1)? {
                return Ok(false);
            }
            waits = true;
        }
        Ok(waits)
    }
}

/// Whether a process is a daemon's that starts others' work in this unit.
fn is_own(unit: &str, record: &Record) -> bool {
    starts_work(unit).is_some_and(|own| own.contains(&record.name().as_str()))
}

fn is_young(now: Stamp, record: &Record) -> bool {
    // Start times are in ticks of 10 ms since boot.
    now.boot_ms < record.start.saturating_mul(10).saturating_add(SETTLED_MS)
}

#[cfg(test)]
mod tests;
