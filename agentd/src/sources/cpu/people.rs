//! People's processes inside the system's services.
//!
//! Jobs of cron and at, the shell of an SSM session and a daemon's workers live in the group of the service that
//! started them. A process counts as somebody's if it runs as an ordinary user or has a controlling terminal; a
//! service all of whose processes run as ordinary users (`User=alice`) counts as a whole, with what ended in it. In
//! the root group, which systemd leaves empty, every process counts.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;

use agent_core::reading::{Signal, Value};
use agent_core::stamp::Stamp;

use super::tally::{Part, Tally};
use crate::host::cgroup::Hierarchy;
use crate::host::process::{self, Processes};
use crate::host::users::{Users, is_ordinary};
use crate::host::{HostError, HostRoot};
use crate::sources::pace::Pace;

/// A process here costs so many times what it does in a walk: its user is looked up too.
const WEIGHT: usize = 4;
/// How deep groups may lie in a service.
const DEPTH: usize = 4;

/// Finds and counts them.
#[derive(Debug)]
pub(super) struct People {
    own: Option<u32>,
    processes: Processes,
    pace: Pace,
    walked: bool,
    tallies: BTreeMap<String, Tally>,
    services: BTreeMap<String, u32>,
    uids: HashMap<u32, Known>,
    look: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    start: u64,
    uid: u32,
    look: u64,
}

impl People {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self {
            own: process::own_pid(&root),
            processes: Processes::new(root),
            pace: Pace::default(),
            walked: false,
            tallies: BTreeMap::new(),
            services: BTreeMap::new(),
            uids: HashMap::new(),
            look: 0,
        }
    }

    /// The services that count as a whole, and as whose, as of the last look.
    pub(super) fn services(&self) -> &BTreeMap<String, u32> {
        &self.services
    }

    /// Makes the next look a real one.
    pub(super) fn refresh(&mut self) {
        self.pace.reset();
    }

    /// Looks into `groups`, if it is time to.
    pub(super) fn look(
        &mut self,
        now: Stamp,
        hierarchy: &Hierarchy,
        groups: &[String],
    ) -> Result<(), HostError> {
        if !self.pace.due(now) {
            return Ok(());
        }
        self.look += 1;
        let proc = self.processes.open()?;
        let mut count = 0;
        for group in groups {
            let mut pids = Vec::new();
            members(hierarchy, group, DEPTH, &mut pids)?;
            count += pids.len();
            self.census(&proc, group, &pids)?;
        }
        self.tallies.retain(|group, _| groups.contains(group));
        self.services.retain(|group, _| groups.contains(group));
        let look = self.look;
        self.uids.retain(|_, known| known.look == look);
        self.walked = true;
        self.pace.walked(now, count * WEIGHT);
        Ok(())
    }

    fn census(&mut self, proc: &OwnedFd, group: &str, pids: &[u32]) -> Result<(), HostError> {
        let unmanaged = group.is_empty();
        let own = self.own;
        let mut found = Vec::new();
        let mut ordinary = None;
        let mut only_ordinary = true;
        for pid in pids.iter().copied().filter(|pid| Some(*pid) != own) {
            let Some((start, terminal)) = self.glance(proc, pid)? else { continue };
            let Some(uid) = self.uid(pid, start)? else { continue };
            let person = unmanaged || is_ordinary(uid) || terminal;
            only_ordinary &= is_ordinary(uid);
            ordinary = ordinary.or(Some(uid));
            found.push((pid, person));
        }
        let whole = ordinary.filter(|_| only_ordinary && !unmanaged);
        match whole {
            Some(uid) => self.services.insert(group.to_owned(), uid),
            None => self.services.remove(group),
        };
        // A group in which nobody ever was needs no memory.
        if !self.tallies.contains_key(group) && !found.iter().any(|(_, person)| *person) {
            return Ok(());
        }
        let mut tally = self.tallies.remove(group).unwrap_or_else(|| Tally::new(self.walked));
        tally.begin();
        for (pid, person) in found {
            let part = if person && whole.is_none() { Part::Full } else { Part::None };
            if let Some(stat) = self.processes.read(proc, pid)? {
                tally.add(&stat, part);
            }
        }
        tally.finish();
        self.tallies.insert(group.to_owned(), tally);
        Ok(())
    }

    /// Start time and whether there is a controlling terminal; none for kernel threads and what ended.
    fn glance(&mut self, proc: &OwnedFd, pid: u32) -> Result<Option<(u64, bool)>, HostError> {
        let stat = self.processes.read(proc, pid)?;
        Ok(stat.filter(|stat| !stat.kernel).map(|stat| (stat.start, stat.tty != 0)))
    }

    /// The real user of a process. One of the system may become a user's (cron's and sshd's children do), so it is
    /// asked for again each time; the other way round does not happen without a new program.
    fn uid(&mut self, pid: u32, start: u64) -> Result<Option<u32>, HostError> {
        let known = self.uids.get(&pid).filter(|known| known.start == start);
        let uid = match known.map(|known| known.uid).filter(|uid| is_ordinary(*uid)) {
            Some(uid) => Some(uid),
            None => self.processes.uid(pid)?,
        };
        if let Some(uid) = uid.filter(|uid| is_ordinary(*uid)) {
            self.uids.insert(pid, Known { start, uid, look: self.look });
        }
        Ok(uid)
    }

    /// One counter for each group in which people's processes used time.
    pub(super) fn signals(&mut self, users: &mut Users) -> Vec<Signal> {
        let mut signals = Vec::new();
        for (group, tally) in &self.tallies {
            if tally.total_us() == 0 {
                continue;
            }
            let place = if group.is_empty() { "no control group" } else { group.as_str() };
            let value = Value::Counter { total: tally.total_us() };
            let signal = Signal::new(format!("people's processes in {place}"), value);
            let owner = top_owner(tally, &mut self.processes, users);
            signals.push(Signal { owner, ..signal });
        }
        signals
    }
}

/// The user and the process that used most, as `alice, make[812]`.
pub(super) fn top_owner(
    tally: &Tally,
    processes: &mut Processes,
    users: &mut Users,
) -> Option<String> {
    let top = tally.top()?;
    let user = processes.uid(top.pid).ok().flatten().map(|uid| users.name(uid));
    let process = format!("{}[{}]", top.name, top.pid);
    Some(user.map_or(process.clone(), |user| format!("{user}, {process}")))
}

/// The processes of a group and of those below it. Those of the root group are its own only.
fn members(
    hierarchy: &Hierarchy,
    group: &str,
    depth: usize,
    pids: &mut Vec<u32>,
) -> Result<(), HostError> {
    pids.extend(hierarchy.pids(group)?);
    if !group.is_empty() && depth > 1 {
        for name in hierarchy.children(group)? {
            members(hierarchy, &format!("{group}/{name}"), depth - 1, pids)?;
        }
    }
    Ok(())
}
