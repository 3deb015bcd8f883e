//! People's processes inside the system's services.
//!
//! Jobs of cron and at, the shell of an SSM session, what Run Command runs and a runner's builds live in the group of the service
//! that started them. There, every process counts that is not the daemon's own nor a job that a package brought. In other
//! services a process counts as somebody's if it runs as an ordinary user or has a controlling terminal; not so in a
//! package's server that runs as one user only, which may be its own, and not an agent by its own name. (`RStudio` Server, xrdp and
//! Slurm become the user whose session or step they start.) A local service all of whose processes
//! run as ordinary users (`User=alice`) counts as a whole, with what ended in it, and so does one with containers in it. In
//! the root group, which systemd leaves empty, every process counts.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;

use agent_core::reading::{Signal, Value};
use agent_core::stamp::Stamp;

use super::servers::Helpers;
use super::starters::{Apart, Counter, Others};
use super::tally::{Part, Tally};
use crate::host::cgroup::Hierarchy;
use crate::host::process::{self, Processes};
use crate::host::users::{Users, is_ordinary};
use crate::host::{HostError, HostRoot};
use crate::sources::ide::{self, Asked, Tools};
use crate::sources::ownership::{self, Class, Jobs, OfPackage, One, Ownership};
use crate::sources::pace::Pace;

/// A process here costs so many times what it does in a walk: its user is looked up too.
const WEIGHT: usize = 4;
/// How deep groups may lie in a service.
const DEPTH: usize = 4;

/// What is known of a group before its processes are looked at.
struct Kin<'a> {
    group: &'a str,
    class: Class,
    /// The names of the daemon's own processes, where the daemon starts others' work.
    own: Option<&'static [&'static str]>,
    /// Containers are in it.
    contains: bool,
}

/// Whose a process is, and what of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Persons,
    Packages(Part),
    Daemons(Part),
    /// What only shows something, or serves an editor, in a group out of whose counter it is left.
    Nobodys,
}

/// A process of a group, before it is told whose it is.
struct Seen {
    asked: Asked,
    uid: u32,
    terminal: bool,
    since: u64,
}

impl Seen {
    /// In the order in which they were started; several may have been in one tick.
    fn age(&self) -> (u64, u32) {
        (self.since, self.asked.pid)
    }
}

impl Kin<'_> {
    /// Whether a process is somebody's, among `all` that are in the group.
    fn is_persons(&self, one: &Seen, all: &[Seen]) -> bool {
        if self.group.is_empty() {
            return true;
        }
        let parent = all.iter().find(|other| other.asked.pid == one.asked.ppid);
        let process = One {
            name: one.asked.name(),
            parent: parent.map(|parent| parent.asked.name()),
            uid: one.uid,
            terminal: one.terminal,
            oldest: all.iter().all(|other| other.age() >= one.age()),
        };
        let one_user = all.iter().all(|other| other.uid == one.uid);
        ownership::is_persons(self.group, self.class, process, one_user)
    }

    /// What of the time of the daemon's processes is its own.
    fn part(&self) -> Part {
        let unit = self.group.rsplit('/').next().unwrap_or_default();
        if ownership::has_children_of_its_own(unit) { Part::Full } else { Part::Alone }
    }

    /// The counter of the group of a daemon that starts others' work, if it is still there.
    fn counter(
        &self,
        hierarchy: &Hierarchy,
        helpers: &Helpers,
    ) -> Result<Option<Counter>, HostError> {
        if self.own.is_none() || self.group.is_empty() {
            return Ok(None);
        }
        let Some(id) = hierarchy.id(self.group)? else { return Ok(None) };
        let left_out_us = helpers.left_out_us(self.group);
        let counter = |used_us: u64| Counter { id, used_us: used_us.saturating_sub(left_out_us) };
        Ok(hierarchy.cpu_us(self.group)?.map(counter))
    }
}

/// Finds and counts them.
#[derive(Debug)]
pub(super) struct People {
    root: HostRoot,
    own: Option<u32>,
    processes: Processes,
    users: Users,
    jobs: Jobs,
    buffer: Vec<u8>,
    tools: Tools,
    pace: Pace,
    walked: bool,
    tallies: BTreeMap<String, Tally>,
    others: BTreeMap<String, Others>,
    /// What is people's of each group, microseconds. It never falls.
    totals: BTreeMap<String, u64>,
    apart: BTreeMap<String, Apart>,
    services: BTreeMap<String, Option<u32>>,
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
            users: Users::new(root.clone()),
            jobs: Jobs::default(),
            buffer: Vec::new(),
            tools: Tools::new(root.clone()),
            root,
            pace: Pace::default(),
            walked: false,
            tallies: BTreeMap::new(),
            others: BTreeMap::new(),
            totals: BTreeMap::new(),
            apart: BTreeMap::new(),
            services: BTreeMap::new(),
            uids: HashMap::new(),
            look: 0,
        }
    }

    /// The services that count as a whole, and as whose, as of the last look. None: nobody can be named.
    pub(super) fn services(&self) -> &BTreeMap<String, Option<u32>> {
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
        ownership: &Ownership,
        helpers: &Helpers,
        groups: &[(String, Class)],
    ) -> Result<(), HostError> {
        if !self.pace.due(now) {
            return Ok(());
        }
        self.look += 1;
        self.tools.begin();
        self.jobs = Jobs::read(&self.root, ownership.registry())?;
        let proc = self.processes.open()?;
        let mut count = 0;
        for (group, class) in groups {
            let mut pids = Vec::new();
            let contains = members(hierarchy, group, DEPTH, &mut pids)?;
            count += pids.len();
            let unit = group.rsplit('/').next().unwrap_or_default();
            let kin = Kin { group, class: *class, own: ownership::starts_work(unit), contains };
            self.census(now, (&proc, hierarchy), &kin, (ownership, helpers), &pids)?;
        }
        self.tools.finish();
        let listed = |group: &String| groups.iter().any(|(it, _)| it == group);
        self.tallies.retain(|group, _| listed(group));
        self.others.retain(|group, _| listed(group));
        self.totals.retain(|group, _| listed(group));
        self.services.retain(|group, _| listed(group));
        let look = self.look;
        self.uids.retain(|_, known| known.look == look);
        self.walked = true;
        self.pace.walked(now, count * WEIGHT);
        Ok(())
    }

    fn census(
        &mut self,
        now: Stamp,
        (proc, hierarchy): (&OwnedFd, &Hierarchy),
        kin: &Kin<'_>,
        (ownership, helpers): (&Ownership, &Helpers),
        pids: &[u32],
    ) -> Result<(), HostError> {
        let group = kin.group;
        let counter = kin.counter(hierarchy, helpers)?;
        let jobs = match kin.own {
            Some(_) => self.of_packages(proc, ownership, pids)?,
            None => HashMap::new(),
        };
        let seen = self.glance(proc, pids)?;
        let mut found = Vec::new();
        for one in &seen {
            let asked = &one.asked;
            let whose = match jobs.get(&asked.pid) {
                Some(OfPackage::Job) => Whose::Packages(Part::Full),
                // It inherits the time of people's scripts, too.
                Some(OfPackage::Runner) => Whose::Packages(Part::Alone),
                None if !kin.is_persons(one, &seen) => Whose::Daemons(kin.part()),
                None if counter.is_some() && helpers.holds(group, asked.pid) => Whose::Nobodys,
                // A server of a development environment is nobody's work; what is run in it is.
                None if asked.may_serve() && self.is_helper(now, asked)? => Whose::Daemons(Part::Alone),
                None => Whose::Persons,
            };
            found.push((asked.pid, whose));
        }
        let ordinary = seen.iter().map(|one| one.uid).find(|uid| is_ordinary(*uid));
        let only_ordinary = seen.iter().all(|one| is_ordinary(one.uid));
        let whole = match ordinary.filter(|_| only_ordinary && kin.class == Class::Local) {
            Some(uid) => Some(Some(uid)),
            None if self.is_of_user(kin, &seen) => Some(ordinary),
            None => kin.contains.then_some(None),
        };
        match whole {
            Some(uid) => self.services.insert(group.to_owned(), uid),
            None => self.services.remove(group),
        };
        // A group in which nobody ever was needs no memory.
        let anybody = found.iter().any(|(_, whose)| *whose == Whose::Persons);
        if counter.is_none() && !self.tallies.contains_key(group) && !anybody {
            return Ok(());
        }
        self.book(proc, group, counter, whole.is_none(), &found)
    }

    /// Books the time of the processes of a group, each of which is somebody's. Where the group is people's as a `whole`, its own
    /// counter has it.
    fn book(
        &mut self,
        proc: &OwnedFd,
        group: &str,
        counter: Option<Counter>,
        apart: bool,
        found: &[(u32, Whose)],
    ) -> Result<(), HostError> {
        let mut tally = self.tallies.remove(group).unwrap_or_else(|| Tally::new(self.walked));
        let fresh = || Others::new(self.walked);
        let mut others =
            counter.map(|counter| (counter, self.others.remove(group).unwrap_or_else(fresh)));
        let before_us = tally.total_us();
        tally.begin();
        if let Some((_, others)) = &mut others {
            others.begin();
        }
        for (pid, whose) in found {
            let Some(stat) = self.processes.read_any(proc, *pid)? else { continue };
            let part = if apart && *whose == Whose::Persons { Part::Full } else { Part::None };
            tally.add(&stat, part);
            let Some((_, others)) = &mut others else { continue };
            match whose {
                Whose::Persons => others.person(&stat),
                Whose::Packages(part) => others.packaged(&stat, *part),
                Whose::Daemons(part) => others.own(&stat, *part),
                Whose::Nobodys => {}
            }
        }
        tally.finish();
        let mut used_us = tally.total_us().saturating_sub(before_us);
        if let Some((counter, mut others)) = others {
            used_us = others.finish(counter, used_us);
            self.others.insert(group.to_owned(), others);
        }
        self.tallies.insert(group.to_owned(), tally);
        let total = self.totals.entry(group.to_owned()).or_default();
        *total = total.saturating_add(used_us);
        Ok(())
    }

    /// Whether a package's unit is one that a user has for himself, by its instance (`code-server@alice.service`).
    fn is_of_user(&mut self, kin: &Kin<'_>, seen: &[Seen]) -> bool {
        let unit = kin.group.rsplit('/').next().unwrap_or_default();
        let instance = unit.strip_suffix(".service").and_then(|stem| stem.split_once('@'));
        let (Some((_, instance)), Some(first)) = (instance, seen.first()) else { return false };
        let one_user = is_ordinary(first.uid) && seen.iter().all(|one| one.uid == first.uid);
        one_user && kin.class == Class::Server && self.users.name(first.uid) == instance
    }

    /// Which processes of a daemon that starts jobs belong to a job that a package brought.
    fn of_packages(
        &mut self,
        proc: &OwnedFd,
        ownership: &Ownership,
        pids: &[u32],
    ) -> Result<HashMap<u32, OfPackage>, HostError> {
        let mut steps = HashMap::new();
        for pid in pids {
            let Some(stat) = self.processes.read(proc, *pid)? else { continue };
            let parent = stat.ppid;
            self.processes.arguments(*pid, &mut self.buffer)?;
            let words = process::words(&self.buffer);
            steps.insert(*pid, (parent, self.jobs.step(&words, ownership.registry())));
        }
        let of_package = |pid| ownership::of_package(pid, |pid| steps.get(&pid).copied());
        Ok(steps.keys().filter_map(|pid| Some((*pid, of_package(*pid)?))).collect())
    }

    fn is_helper(&mut self, now: Stamp, asked: &Asked) -> Result<bool, HostError> {
        Ok(self.tools.of(now, asked)?.is_some_and(|tool| tool.part == ide::Part::Helper))
    }

    /// What is known of each process at a glance; kernel threads, the agent and what ended are left out.
    fn glance(&mut self, proc: &OwnedFd, pids: &[u32]) -> Result<Vec<Seen>, HostError> {
        let own = self.own;
        let mut seen = Vec::new();
        for pid in pids.iter().copied().filter(|pid| Some(*pid) != own) {
            // One that waits to be reaped is looked at too: what it used is counted until its parent has it.
            let Some(stat) = self.processes.read_any(proc, pid)?.filter(|stat| !stat.kernel) else {
                continue;
            };
            let (asked, since, terminal) = (Asked::from(&stat), stat.start, stat.tty != 0);
            let Some(uid) = self.uid(pid, since)? else { continue };
            seen.push(Seen { asked, uid, terminal, since });
        }
        Ok(seen)
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

    /// Takes what is people's out of the counters of the units in which they are, since it is told by itself.
    pub(super) fn take_out(&mut self, signals: &mut [Signal]) {
        for signal in signals {
            let Some(people) = self.totals.get(&signal.subject).copied() else { continue };
            if let Value::Counter { total } = &mut signal.value {
                let apart = self.apart.entry(signal.subject.clone());
                *total = apart.or_insert_with(|| Apart::new(*total, people)).update(*total, people);
            }
        }
        let totals = &self.totals;
        self.apart.retain(|group, _| totals.contains_key(group));
    }

    /// One counter for each group in which people's processes used time.
    pub(super) fn signals(&mut self, users: &mut Users) -> Vec<Signal> {
        let mut signals = Vec::new();
        for (group, total) in self.totals.iter().filter(|(_, total)| **total > 0) {
            let place = if group.is_empty() { "no control group" } else { group.as_str() };
            let signal = Signal::new(format!("people's processes in {place}"), Value::Counter { total: *total });
            let tally = self.tallies.get(group);
            let owner = tally.and_then(|tally| top_owner(tally, &mut self.processes, users));
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

/// The processes of a group and of those below it; whether containers are among those. Those of the root group are its
/// own only.
pub(super) fn members(
    hierarchy: &Hierarchy,
    group: &str,
    depth: usize,
    pids: &mut Vec<u32>,
) -> Result<bool, HostError> {
    pids.extend(hierarchy.pids(group)?);
    let mut contains = false;
    if !group.is_empty() && depth > 1 {
        for name in hierarchy.children(group)? {
            contains |= ownership::is_payload(&name);
            contains |= members(hierarchy, &format!("{group}/{name}"), depth - 1, pids)?;
        }
    }
    Ok(contains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};
    use std::time::Duration;

    const LAB: &str = "system.slice/lab.service";

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
            let root = self.tree.root();
            let ownership = Ownership::new(&root, None, Vec::new(), Vec::new());
            let groups: Vec<_> = groups
                .iter()
                .map(|group| ((*group).to_owned(), ownership.of(group).class))
                .collect();
            let helpers = Helpers::new(root);
            self.people.look(self.now, &hierarchy, &ownership, &helpers, &groups)
        }

        fn total(&self, group: &str) -> Option<u64> {
            self.people.totals.get(group).copied()
        }
    }

    #[test]
    fn nobody_is_remembered_in_a_group_without_people() {
        let mut machine = Machine::new();
        machine.tree.cgroup(LAB, 0, &[5]);
        machine.process(5, 0, 100);
        machine.look(&[LAB]).unwrap();
        assert_eq!(machine.total(LAB), None);
        assert!(machine.people.services().is_empty());
        assert!(machine.people.signals(&mut Users::new(machine.tree.root())).is_empty());
    }

    #[test]
    fn who_comes_later_counts_from_the_start() {
        let mut machine = Machine::new();
        machine.tree.cgroup(LAB, 0, &[5]);
        machine.process(5, 0, 100);
        machine.look(&[LAB]).unwrap();
        machine.tree.cgroup(LAB, 0, &[5, 6]);
        machine.process(6, 1000, 30);
        machine.look(&[LAB]).unwrap();
        assert_eq!(machine.total(LAB), Some(300_000));
    }

    #[test]
    fn processes_below_a_service_belong_to_it() {
        let mut machine = Machine::new();
        machine.tree.cgroup(LAB, 0, &[5]);
        machine.process(5, 0, 0);
        let below = format!("{LAB}/payload/a");
        machine.tree.cgroup(&below, 0, &[6]);
        machine.process(6, 1000, 0);
        machine.look(&[LAB]).unwrap();
        machine.process(6, 1000, 4);
        machine.look(&[LAB]).unwrap();
        assert_eq!(machine.total(LAB), Some(40_000));
    }

    #[test]
    fn a_service_belongs_to_its_only_user_until_somebody_else_comes() {
        let mut machine = Machine::new();
        machine.tree.cgroup(LAB, 0, &[5, 6]);
        machine.process(5, 1000, 0);
        machine.process(6, 1001, 0);
        machine.look(&[LAB]).unwrap();
        assert_eq!(machine.people.services().get(LAB), Some(&Some(1000)));
        machine.process(5, 1000, 50);
        machine.look(&[LAB]).unwrap();
        assert_eq!(machine.total(LAB), Some(0), "the group's own counter has it");
        machine.tree.cgroup(LAB, 0, &[5, 6, 7]);
        machine.process(7, 0, 0);
        machine.process(5, 1000, 52);
        machine.look(&[LAB]).unwrap();
        assert!(machine.people.services().is_empty());
        assert_eq!(machine.total(LAB), Some(20_000));
    }

    #[test]
    fn a_group_that_is_gone_is_forgotten() {
        let mut machine = Machine::new();
        machine.tree.cgroup(LAB, 0, &[5]);
        machine.process(5, 1000, 0);
        machine.look(&[LAB]).unwrap();
        machine.look(&[]).unwrap();
        assert!(machine.people.services().is_empty());
        assert_eq!(machine.total(LAB), None);
        assert!(machine.people.uids.is_empty());
    }

    #[test]
    fn a_process_that_ends_in_between_is_no_error() {
        let mut machine = Machine::new();
        machine.tree.cgroup(LAB, 0, &[5, 6, 0]);
        machine.process(5, 1000, 0);
        machine.look(&[LAB]).unwrap();
        machine.tree.remove("/proc/5");
        machine.look(&[LAB]).unwrap();
        assert!(machine.people.services().is_empty());
    }

    #[test]
    fn a_process_whose_user_cannot_be_told_is_an_error() {
        let mut machine = Machine::new();
        machine.tree.cgroup(LAB, 0, &[5]);
        machine.process(5, 1000, 0);
        machine.tree.file("/proc/5/status", "Name:\tjob\nUid:\tx\n");
        let error = machine.look(&[LAB]).unwrap_err().to_string();
        assert!(error.contains("/proc/5/status"), "{error}");
    }

    #[test]
    fn a_reused_pid_is_asked_for_its_user_again() {
        let mut machine = Machine::new();
        machine.tree.cgroup(LAB, 0, &[5]);
        machine.process(5, 1000, 0);
        machine.look(&[LAB]).unwrap();
        machine.tree.process(&Process::new(5, "daemon").with(|p| (p.start, p.own) = (999, 70)));
        machine.look(&[LAB]).unwrap();
        assert!(machine.people.services().is_empty());
        assert_eq!(machine.total(LAB), Some(0));
    }

    const CRON: &str = "system.slice/cron.service";

    #[test]
    fn roots_job_of_cron_is_somebodys_and_a_packages_is_not() {
        let mut machine = Machine::new();
        machine.tree.file("/var/lib/dpkg/info/x.list", "/etc/cron.d/sysstat\n");
        machine.tree.file("/etc/cron.d/sysstat", "* * * * * root sa1 1 1\n");
        let process = |machine: &Machine, pid, parent, name: &str, line: &[&str], own| {
            machine.tree.process(&Process::new(pid, name).with(|p| {
                (p.ppid, p.own) = (parent, own);
                p.arguments = line.iter().map(|word| (*word).to_owned()).collect();
            }));
        };
        let all = |machine: &Machine, etl, sa, left| {
            process(machine, 5, 1, "cron", &["/usr/sbin/cron", "-f"], 90);
            process(machine, 6, 5, "cron", &["/usr/sbin/CRON", "-f"], 0);
            process(machine, 7, 6, "sh", &["/bin/sh", "-c", "/opt/etl"], 0);
            process(machine, 8, 7, "python3", &["python3", "/opt/etl"], etl);
            process(machine, 9, 6, "sh", &["/bin/sh", "-c", "sa1 1 1"], 0);
            process(machine, 10, 9, "sadc", &["sadc"], sa);
            process(machine, 11, 1, "python3", &["python3", "left.py"], left);
        };
        machine.tree.cgroup(CRON, 0, &[5, 6, 7, 8, 9, 10, 11]);
        all(&machine, 0, 0, 0);
        machine.look(&[CRON]).unwrap();
        all(&machine, 20, 700, 0);
        machine.look(&[CRON]).unwrap();
        assert_eq!(machine.total(CRON), Some(200_000), "the package's does not count");
        all(&machine, 20, 700, 30);
        machine.look(&[CRON]).unwrap();
        assert_eq!(machine.total(CRON), Some(500_000), "what lost its parent is somebody's");
    }

    #[test]
    fn a_job_with_the_name_of_the_daemon_that_started_it_is_a_job() {
        for (unit, daemon, between, expected) in [
            ("jenkins", "java", "sh", 300_000),
            ("jenkins", "java", "java", 300_000),
            ("cron", "cron", "sh", 300_000),
            // It changes its user before the job.
            ("cron", "cron", "cron", 0),
        ] {
            let group = format!("system.slice/{unit}.service");
            let mut machine = Machine::new();
            machine.tree.cgroup(&group, 0, &[5, 6, 7]);
            let all = |machine: &Machine, own| {
                for (pid, parent, name, own) in [(5, 1, daemon, own), (6, 5, between, 0), (7, 6, daemon, own)] {
                    let process = Process::new(pid, name);
                    machine.tree.process(&process.with(|p| (p.ppid, p.own) = (parent, own)));
                }
            };
            all(&machine, 0);
            machine.look(&[&group]).unwrap();
            all(&machine, 30);
            machine.look(&[&group]).unwrap();
            assert_eq!(machine.total(&group).unwrap_or(0), expected, "{unit} {daemon} {between}");
        }
    }

    #[test]
    fn a_session_that_a_packages_server_starts_is_its_users() {
        let mut machine = Machine::new();
        machine.tree.file("/var/lib/dpkg/info/x.list", "/lib/systemd/system/xrdp-sesman.service\n");
        machine.tree.file("/usr/lib/systemd/system/xrdp-sesman.service", "");
        let unit = "system.slice/xrdp-sesman.service";
        machine.tree.cgroup(unit, 0, &[5, 6]);
        machine.process(5, 0, 0);
        machine.process(6, 1000, 0);
        machine.look(&[unit]).unwrap();
        machine.process(5, 0, 500);
        machine.process(6, 1000, 30);
        machine.look(&[unit]).unwrap();
        assert_eq!(machine.total(unit), Some(300_000));
    }

    #[test]
    fn what_an_agent_of_management_starts_is_somebodys() {
        let unit = "system.slice/amazon-ssm-agent.service";
        let mut machine = Machine::new();
        machine.tree.cgroup(unit, 0, &[5, 6, 7]);
        let named = |machine: &Machine, pid, name: &str, own| {
            machine.tree.process(&Process::new(pid, name).with(|p| p.own = own));
        };
        named(&machine, 5, "amazon-ssm-agen", 0);
        named(&machine, 6, "ssm-document-wo", 0);
        named(&machine, 7, "sh", 0);
        machine.look(&[unit]).unwrap();
        named(&machine, 5, "amazon-ssm-agen", 500);
        named(&machine, 6, "ssm-document-wo", 500);
        named(&machine, 7, "sh", 30);
        machine.look(&[unit]).unwrap();
        assert_eq!(machine.total(unit), Some(300_000));
    }

    #[test]
    fn an_agents_user_is_nobody_and_what_else_runs_as_one_in_its_unit_is_somebody() {
        let unit = "system.slice/node_exporter.service";
        let mut machine = Machine::new();
        machine.tree.cgroup(unit, 0, &[5, 6]);
        let named = |machine: &Machine, pid, name: &str, own| {
            machine.tree.process(&Process::new(pid, name).with(|p| (p.uid, p.own) = (1001, own)));
        };
        named(&machine, 5, "node_exporter", 0);
        named(&machine, 6, "train", 0);
        machine.look(&[unit]).unwrap();
        named(&machine, 5, "node_exporter", 500);
        named(&machine, 6, "train", 30);
        machine.look(&[unit]).unwrap();
        assert_eq!(machine.total(unit), Some(300_000));
        assert!(machine.people.services().is_empty(), "it is not somebody's as a whole");
    }

    #[test]
    fn a_packages_server_does_not_become_a_persons_by_its_user() {
        let mut machine = Machine::new();
        machine.tree.file("/var/lib/dpkg/info/x.list", "/lib/systemd/system/game.service\n");
        machine.tree.file("/usr/lib/systemd/system/game.service", "");
        let unit = "system.slice/game.service";
        machine.tree.cgroup(unit, 0, &[5]);
        machine.process(5, 1001, 0);
        machine.look(&[unit]).unwrap();
        machine.process(5, 1001, 50);
        machine.look(&[unit]).unwrap();
        assert_eq!(machine.total(unit), None);
        assert!(machine.people.services().is_empty());
    }

    #[test]
    fn a_packages_unit_that_a_user_has_for_himself_is_that_users() {
        for (instance, whose) in [("alice", Some(Some(1000))), ("main", None)] {
            let mut machine = Machine::new();
            machine.tree.file("/var/lib/dpkg/info/x.list", "/lib/systemd/system/code-server@.service\n");
            machine.tree.file("/usr/lib/systemd/system/code-server@.service", "");
            let unit = format!("system.slice/code-server@{instance}.service");
            machine.tree.cgroup(&unit, 0, &[5]);
            machine.process(5, 1000, 0);
            machine.look(&[&unit]).unwrap();
            assert_eq!(machine.people.services().get(&unit).copied(), whose, "{instance}");
        }
    }

    #[test]
    fn a_daemon_of_a_build_that_left_its_parent_is_the_builds() {
        let unit = "system.slice/jenkins.service";
        let mut machine = Machine::new();
        machine.tree.cgroup(unit, 0, &[5, 6]);
        let all = |machine: &Machine, own| {
            machine.tree.process(&Process::new(5, "java").with(|p| (p.start, p.own) = (10, own)));
            machine.tree.process(&Process::new(6, "java").with(|p| (p.start, p.own) = (20, own)));
        };
        all(&machine, 0);
        machine.look(&[unit]).unwrap();
        all(&machine, 30);
        machine.look(&[unit]).unwrap();
        assert_eq!(machine.total(unit), Some(300_000));
    }

    #[test]
    fn an_agent_that_runs_as_an_ordinary_user_of_its_own_is_nobody() {
        let unit = "system.slice/SplunkForwarder.service";
        let mut machine = Machine::new();
        let text = "[Service]\nExecStart=/opt/splunkforwarder/bin/splunk\n";
        machine.tree.file("/etc/systemd/system/SplunkForwarder.service", text);
        machine.tree.cgroup(unit, 0, &[5]);
        machine.process(5, 1001, 0);
        machine.look(&[unit]).unwrap();
        machine.process(5, 1001, 50);
        machine.look(&[unit]).unwrap();
        assert_eq!(machine.total(unit), None);
    }

    #[test]
    fn a_unit_with_a_container_in_it_is_somebodys_as_a_whole() {
        let mut machine = Machine::new();
        machine.tree.file("/var/lib/dpkg/info/x.list", "/lib/systemd/system/web.service\n");
        machine.tree.file("/usr/lib/systemd/system/web.service", "");
        let unit = "system.slice/web.service";
        machine.tree.cgroup(unit, 0, &[5]);
        machine.tree.cgroup(&format!("{unit}/libpod-payload-7f"), 0, &[6]);
        machine.process(5, 0, 0);
        machine.process(6, 0, 0);
        machine.look(&[unit]).unwrap();
        assert_eq!(machine.people.services().get(unit), Some(&None));
    }
}
