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
use crate::sources::ide::{self, Asked, Tools};
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
    tools: Tools,
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
            processes: Processes::new(root.clone()),
            tools: Tools::new(root),
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
        self.tools.begin();
        let proc = self.processes.open()?;
        let mut count = 0;
        for group in groups {
            let mut pids = Vec::new();
            members(hierarchy, group, DEPTH, &mut pids)?;
            count += pids.len();
            self.census(now, &proc, group, &pids)?;
        }
        self.tools.finish();
        self.tallies.retain(|group, _| groups.contains(group));
        self.services.retain(|group, _| groups.contains(group));
        let look = self.look;
        self.uids.retain(|_, known| known.look == look);
        self.walked = true;
        self.pace.walked(now, count * WEIGHT);
        Ok(())
    }

    fn census(
        &mut self,
        now: Stamp,
        proc: &OwnedFd,
        group: &str,
        pids: &[u32],
    ) -> Result<(), HostError> {
        let unmanaged = group.is_empty();
        let own = self.own;
        let mut found = Vec::new();
        let mut ordinary = None;
        let mut only_ordinary = true;
        for pid in pids.iter().copied().filter(|pid| Some(*pid) != own) {
            let Some((start, terminal, asked)) = self.glance(proc, pid)? else { continue };
            let Some(uid) = self.uid(pid, start)? else { continue };
            let mut person = unmanaged || is_ordinary(uid) || terminal;
            // A server of a development environment is nobody's work; what is run in it is.
            if person && asked.may_serve() {
                person = self.tools.of(now, &asked)?.is_none_or(|tool| tool.part != ide::Part::Helper);
            }
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
            if let Some(stat) = self.processes.read_any(proc, pid)? {
                tally.add(&stat, part);
            }
        }
        tally.finish();
        self.tallies.insert(group.to_owned(), tally);
        Ok(())
    }

    /// Start time, whether there is a controlling terminal, and what else tells what it is; none for kernel threads
    /// and what ended.
    fn glance(
        &mut self,
        proc: &OwnedFd,
        pid: u32,
    ) -> Result<Option<(u64, bool, Asked)>, HostError> {
        // One that waits to be reaped is looked at too: what it used is counted until its parent has it.
        let stat = self.processes.read_any(proc, pid)?.filter(|stat| !stat.kernel);
        Ok(stat.map(|stat| (stat.start, stat.tty != 0, Asked::from(&stat))))
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
pub(super) fn members(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};
    use std::time::Duration;

    const CRON: &str = "system.slice/cron.service";

    struct Machine {
        tree: Tree,
        people: People,
        now: Stamp,
    }

    impl Machine {
        fn new() -> Self {
            let tree = Tree::new();
            tree.file("/etc/passwd", "alice:x:1000:1000::/:/bin/sh\nbob:x:1001:1001::/:/bin/sh\n");
            tree.cgroup("system.slice", 0, &[]);
            let people = People::new(tree.root());
            Self { tree, people, now: Stamp::new(1_000_000, 0, 0) }
        }

        fn process(&self, pid: u32, uid: u32, own: u64) {
            self.tree.process(&Process::new(pid, "job").with(|p| (p.uid, p.own) = (uid, own)));
        }

        fn look(&mut self, groups: &[&str]) -> Result<(), HostError> {
            self.now = self.now.after(Duration::from_mins(2));
            let hierarchy = Hierarchy::find(&self.tree.root())?.unwrap();
            let groups: Vec<_> = groups.iter().map(|group| (*group).to_owned()).collect();
            self.people.look(self.now, &hierarchy, &groups)
        }

        fn total(&self, group: &str) -> Option<u64> {
            self.people.tallies.get(group).map(Tally::total_us)
        }
    }

    #[test]
    fn nobody_is_remembered_in_a_group_without_people() {
        let mut machine = Machine::new();
        machine.tree.cgroup(CRON, 0, &[5]);
        machine.process(5, 0, 100);
        machine.look(&[CRON]).unwrap();
        assert_eq!(machine.total(CRON), None);
        assert!(machine.people.services().is_empty());
        assert!(machine.people.signals(&mut Users::new(machine.tree.root())).is_empty());
    }

    #[test]
    fn who_comes_later_counts_from_the_start() {
        let mut machine = Machine::new();
        machine.tree.cgroup(CRON, 0, &[5]);
        machine.process(5, 0, 100);
        machine.look(&[CRON]).unwrap();
        machine.tree.cgroup(CRON, 0, &[5, 6]);
        machine.process(6, 1000, 30);
        machine.look(&[CRON]).unwrap();
        assert_eq!(machine.total(CRON), Some(300_000));
    }

    #[test]
    fn processes_below_a_service_belong_to_it() {
        let mut machine = Machine::new();
        machine.tree.cgroup(CRON, 0, &[5]);
        machine.process(5, 0, 0);
        let below = format!("{CRON}/payload/a");
        machine.tree.cgroup(&below, 0, &[6]);
        machine.process(6, 1000, 0);
        machine.look(&[CRON]).unwrap();
        machine.process(6, 1000, 4);
        machine.look(&[CRON]).unwrap();
        assert_eq!(machine.total(CRON), Some(40_000));
    }

    #[test]
    fn a_service_belongs_to_its_only_user_until_somebody_else_comes() {
        let mut machine = Machine::new();
        machine.tree.cgroup(CRON, 0, &[5, 6]);
        machine.process(5, 1000, 0);
        machine.process(6, 1001, 0);
        machine.look(&[CRON]).unwrap();
        assert_eq!(machine.people.services().get(CRON), Some(&1000));
        machine.process(5, 1000, 50);
        machine.look(&[CRON]).unwrap();
        assert_eq!(machine.total(CRON), Some(0), "the group's own counter has it");
        machine.tree.cgroup(CRON, 0, &[5, 6, 7]);
        machine.process(7, 0, 0);
        machine.process(5, 1000, 52);
        machine.look(&[CRON]).unwrap();
        assert!(machine.people.services().is_empty());
        assert_eq!(machine.total(CRON), Some(20_000));
    }

    #[test]
    fn a_group_that_is_gone_is_forgotten() {
        let mut machine = Machine::new();
        machine.tree.cgroup(CRON, 0, &[5]);
        machine.process(5, 1000, 0);
        machine.look(&[CRON]).unwrap();
        machine.look(&[]).unwrap();
        assert!(machine.people.services().is_empty());
        assert_eq!(machine.total(CRON), None);
        assert!(machine.people.uids.is_empty());
    }

    #[test]
    fn a_process_that_ends_in_between_is_no_error() {
        let mut machine = Machine::new();
        machine.tree.cgroup(CRON, 0, &[5, 6, 0]);
        machine.process(5, 1000, 0);
        machine.look(&[CRON]).unwrap();
        machine.tree.remove("/proc/5");
        machine.look(&[CRON]).unwrap();
        assert!(machine.people.services().is_empty());
    }

    #[test]
    fn a_process_whose_user_cannot_be_told_is_an_error() {
        let mut machine = Machine::new();
        machine.tree.cgroup(CRON, 0, &[5]);
        machine.process(5, 1000, 0);
        machine.tree.file("/proc/5/status", "Name:\tjob\nUid:\tx\n");
        let error = machine.look(&[CRON]).unwrap_err().to_string();
        assert!(error.contains("/proc/5/status"), "{error}");
    }

    #[test]
    fn a_reused_pid_is_asked_for_its_user_again() {
        let mut machine = Machine::new();
        machine.tree.cgroup(CRON, 0, &[5]);
        machine.process(5, 1000, 0);
        machine.look(&[CRON]).unwrap();
        machine.tree.process(&Process::new(5, "daemon").with(|p| (p.start, p.own) = (999, 70)));
        machine.look(&[CRON]).unwrap();
        assert!(machine.people.services().is_empty());
        assert_eq!(machine.total(CRON), Some(0));
    }
}
