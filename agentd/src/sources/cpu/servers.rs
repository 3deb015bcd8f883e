//! CPU time of the servers of development environments inside people's groups, which is taken out of their work.
//!
//! A group's counter holds everything that ran in it. Where a server of a development environment runs, the growth of
//! the own time of its helpers is subtracted from the growth of the counter. Only what living helpers used themselves
//! is: the time of their children that ended may be somebody's (a terminal's, a build's), so it stays work. Time that
//! a helper used before it was met stays work too. So a helper is never counted as more than it used, and work is
//! hidden by at most [`SLACK_US`], the skew between reading the group and reading its processes.
//!
//! The same is done for displays in the foreground of a terminal (`displays`). What they show is made by programs that they
//! start and wait for, so the time of their children that ended is theirs, too: a `watch` uses hardly any of its own.
//!
//! The same again is done for the control plane of a Kubernetes in containers (`planes`), whose parts are upkeep.
//!
//! Helpers are looked for at a pace, and in groups without a server only among processes that came since; their time
//! is read with every reading of the group.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::fd::OwnedFd;
use std::time::Duration;

use agent_core::reading::{Role, Signal, Value};
use agent_core::stamp::Stamp;

use super::people::members;
use super::planes;
use crate::host::cgroup::Hierarchy;
use crate::host::logins::Greeters;
use crate::host::process::{self, ProcessStat, Processes};
use crate::host::users::Users;
use crate::host::{HostError, HostRoot};
use crate::sources::displays;
use crate::sources::ide::{Asked, Part, Tools};
use crate::sources::ownership::is_in_container;
use crate::sources::pace::Pace;

/// The most of somebody's CPU time that a helper's may hide, in microseconds.
const SLACK_US: i64 = 1_000_000;
/// Listing processes costs so many times less than reading them.
const LISTING: usize = 8;
/// After so many searches every process is looked at anew: a pid may have been given to another process.
const ANEW: u64 = 16;
/// A display takes at most this part of a core. `watch` runs what somebody wants to see again and again, and what takes more than
/// that is a job.
const DRAWS_AT_MOST: u64 = 2;
/// In place of a user for what belongs to none: what is in containers, and in units of the system.
const CONTAINERS: u32 = u32::MAX;
const SERVICES: u32 = u32::MAX - 1;
/// How deep groups may lie in a group.
const DEPTH: usize = 8;

/// Finds helpers and subtracts their time.
#[derive(Debug)]
pub(super) struct Helpers {
    processes: Processes,
    tools: Tools,
    pace: Pace,
    proc: Option<OwnedFd>,
    now: Stamp,
    /// The time since the look before.
    since: Duration,
    searches: u64,
    searching: bool,
    read: usize,
    groups: BTreeMap<String, Group>,
    buffer: Vec<u8>,
    totals: BTreeMap<(Kind, u32), u64>,
    root: HostRoot,
    greeters: Greeters,
}

/// Why a process's time is nobody's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// It belongs to a server of a development environment.
    Server,
    /// It shows something.
    Display,
    /// It is this part of the control plane of a Kubernetes.
    Plane(&'static str),
}

impl Kind {
    /// The counter of what those of a user used, or what a part of a control plane did, which is nobody's.
    fn signal(self, total: u64, user: impl FnOnce() -> String) -> Signal {
        let value = Value::Counter { total };
        let (of, user) = match self {
            Self::Plane(part) => {
                return Signal::new(format!("Kubernetes: {part}"), value).of(Role::Upkeep);
            }
            Self::Server => ("IDE servers of", user()),
            Self::Display => ("displays of", user()),
        };
        Signal::new(format!("{of} {user}"), value).owned_by(user).ignored()
    }

    /// Whether it is what runs a node of Kubernetes.
    fn runs_node(self) -> bool {
        matches!(self, Self::Plane(part) if planes::runs_node(part.as_bytes()))
    }

    /// Whom those of a group are summed up for.
    fn whose(self, path: &str, uid: Option<u32>) -> u32 {
        let in_unit = path.starts_with("system.slice/") && !is_in_container(path);
        let nobody = if in_unit { SERVICES } else { CONTAINERS };
        if matches!(self, Self::Plane(_)) { CONTAINERS } else { uid.unwrap_or(nobody) }
    }
}

/// One group.
#[derive(Debug, Default)]
struct Group {
    /// The processes that are known not to be a server's; for groups without one.
    others: HashSet<u32>,
    /// A Kubernetes runs in it.
    plane: bool,
    split: Option<Split>,
    /// Met in this look.
    met: bool,
}

/// A group in which a server runs, or ran.
#[derive(Debug, Default)]
struct Split {
    helpers: BTreeMap<u32, Helper>,
    /// The group's own counter at the last look.
    raw_us: u64,
    /// What was not helpers' since the last look and could not be told yet. Never above 0.
    balance_us: i64,
    /// What is reported.
    work_us: u64,
}

#[derive(Clone, Copy, Debug)]
struct Helper {
    kind: Kind,
    start: u64,
    /// What is subtracted when it grows: its own time, and of a display that of its children that ended.
    used_us: u64,
}

impl Helper {
    fn new(kind: Kind, stat: &ProcessStat<'_>) -> Self {
        Self { kind, start: stat.start, used_us: kind.used_us(stat) }
    }
}

impl Kind {
    fn used_us(self, stat: &ProcessStat<'_>) -> u64 {
        match self {
            Self::Server | Self::Plane(_) => stat.own_us,
            Self::Display => stat.own_us.saturating_add(stat.children_us),
        }
    }
}

impl Helpers {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self {
            processes: Processes::new(root.clone()),
            tools: Tools::new(root.clone()),
            root,
            greeters: Greeters::default(),
            pace: Pace::default(),
            proc: None,
            now: Stamp::default(),
            since: Duration::ZERO,
            searches: 0,
            searching: false,
            read: 0,
            groups: BTreeMap::new(),
            buffer: Vec::new(),
            totals: BTreeMap::new(),
        }
    }

    /// Makes the next look search for helpers anew.
    pub(super) fn refresh(&mut self) {
        self.pace.reset();
        for group in self.groups.values_mut() {
            group.others.clear();
        }
    }

    /// Begins a look.
    pub(super) fn begin(&mut self, now: Stamp) -> Result<(), HostError> {
        self.since = now.since(self.now);
        self.now = now;
        self.read = 0;
        self.searching = self.pace.due(now);
        self.proc = Some(self.processes.open()?);
        self.greeters.look(&self.root);
        if self.searching {
            self.tools.begin();
            self.searches += 1;
            if self.searches.is_multiple_of(ANEW) {
                self.groups.values_mut().for_each(|group| group.others.clear());
            }
        }
        Ok(())
    }

    /// What of a group's counter is work, as a counter that never falls unless the group's does. The counter was read
    /// just before. `uid` is whose the group is.
    pub(super) fn work(
        &mut self,
        hierarchy: &Hierarchy,
        path: &str,
        raw_us: u64,
        uid: Option<u32>,
    ) -> Result<u64, HostError> {
        let mut group = self.groups.remove(path).unwrap_or_default();
        group.met = true;
        let used = match &mut group.split {
            Some(split) => self.used(split)?,
            None => BTreeMap::new(),
        };
        if self.searching {
            self.search(hierarchy, path, raw_us, &mut group)?;
        }
        let mut work_us = raw_us;
        if let Some(split) = &mut group.split {
            work_us = split.update(raw_us, used.values().fold(0, |sum, used| sum.saturating_add(*used)));
            let there: BTreeSet<Kind> = split.helpers.values().map(|helper| helper.kind).collect();
            for kind in there {
                let total = self.totals.entry((kind, kind.whose(path, uid))).or_default();
                *total = total.saturating_add(used.get(&kind).copied().unwrap_or(0));
            }
        }
        self.groups.insert(path.to_owned(), group);
        Ok(work_us)
    }

    /// What was left out of a group's counter so far, microseconds.
    pub(super) fn left_out_us(&self, path: &str) -> u64 {
        let split = self.groups.get(path).and_then(|group| group.split.as_ref());
        split.map_or(0, |split| split.raw_us.saturating_sub(split.work_us))
    }

    /// Whether a process of a group is one whose time is left out.
    pub(super) fn holds(&self, path: &str, pid: u32) -> bool {
        let split = self.groups.get(path).and_then(|group| group.split.as_ref());
        split.is_some_and(|split| split.helpers.contains_key(&pid))
    }

    /// How what a user's groups use counts: the screen at which nobody has logged in yet is upkeep.
    pub(super) fn role(&self, uid: Option<u32>) -> Role {
        let greets = uid.is_some_and(|uid| self.greeters.contains(uid));
        if greets { Role::Upkeep } else { Role::Workload }
    }

    /// Ends a look.
    pub(super) fn finish(&mut self) {
        self.proc = None;
        self.groups.retain(|_, group| std::mem::take(&mut group.met));
        if self.searching {
            self.tools.finish();
            self.pace.walked(self.now, self.read);
        }
        let splits = self.groups.values().filter_map(|group| group.split.as_ref());
        let kinds: BTreeSet<Kind> = splits.flat_map(|it| it.helpers.values()).map(|it| it.kind).collect();
        self.totals.retain(|(kind, _), _| kinds.contains(kind));
    }

    /// One counter for each user who has such servers, one for each who has displays, and one for each part of a control plane.
    pub(super) fn signals(&self, users: &mut Users) -> Vec<Signal> {
        let each = self.totals.iter();
        let mut name = |uid| match uid {
            CONTAINERS => "containers".to_owned(),
            SERVICES => "services".to_owned(),
            uid => users.name(uid),
        };
        each.map(|((kind, uid), total)| kind.signal(*total, || name(*uid))).collect()
    }

    /// What the known helpers used since the last look.
    fn used(&mut self, split: &mut Split) -> Result<BTreeMap<Kind, u64>, HostError> {
        let mut used = BTreeMap::new();
        let Some(proc) = &self.proc else { return Ok(used) };
        let mut ended = Vec::new();
        let since = u64::try_from(self.since.as_micros()).unwrap_or(u64::MAX);
        let most_us = since / DRAWS_AT_MOST;
        for (pid, helper) in &mut split.helpers {
            // What a helper used at last is told until it is reaped.
            let stat = self.processes.read_any(proc, *pid)?;
            // A display that went into the background, or became another program, shows nothing any more.
            let still = |stat: &ProcessStat<'_>| {
                stat.start == helper.start
                    && (helper.kind != Kind::Display || displays::may_draw(stat))
            };
            match stat.filter(still) {
                Some(stat) => {
                    let now_us = helper.kind.used_us(&stat);
                    let grown = now_us.saturating_sub(helper.used_us);
                    let sum: &mut u64 = used.entry(helper.kind).or_default();
                    if helper.kind != Kind::Display || grown <= most_us {
                        *sum = sum.saturating_add(grown);
                    }
                    helper.used_us = helper.used_us.max(now_us);
                }
                None => ended.push(*pid),
            }
        }
        for pid in ended {
            split.helpers.remove(&pid);
        }
        Ok(used)
    }

    /// Looks for helpers in a group.
    fn search(
        &mut self,
        hierarchy: &Hierarchy,
        path: &str,
        raw_us: u64,
        group: &mut Group,
    ) -> Result<(), HostError> {
        let mut pids = Vec::new();
        members(hierarchy, path, DEPTH, &mut pids)?;
        self.read += pids.len() / LISTING + 1;
        let listed: HashSet<u32> = pids.iter().copied().collect();
        group.others.retain(|pid| listed.contains(pid));
        let serves = |group: &Group| group.split.as_ref().is_some_and(|it| it.has(Kind::Server));
        let before = serves(group);
        // Without its kubelet a control plane is none.
        let runs = |split: &Split| split.helpers.values().any(|helper| helper.kind.runs_node());
        group.plane = planes::has_pods(path) || group.split.as_ref().is_some_and(runs);
        let planned = group.plane;
        self.search_among(path, &pids, before, raw_us, group)?;
        let found = serves(group) && !before;
        if found || (group.plane && !planned) {
            // What stands below a server is a helper too if it is known as one, whatever its name, and what is beside a kubelet is
            // part of a control plane.
            group.others.clear();
            self.search_among(path, &pids, serves(group), raw_us, group)?;
        }
        if let Some(split) = &mut group.split {
            split.helpers.retain(|pid, _| listed.contains(pid));
        }
        Ok(())
    }

    fn search_among(
        &mut self,
        path: &str,
        pids: &[u32],
        thorough: bool,
        raw_us: u64,
        group: &mut Group,
    ) -> Result<(), HostError> {
        for pid in pids {
            if group.others.contains(pid) {
                continue;
            }
            let Some(proc) = &self.proc else { return Ok(()) };
            self.read += 1;
            let stat = self.processes.read(proc, *pid)?.filter(|stat| !stat.kernel);
            let Some(stat) = stat else { continue };
            group.plane |= is_in_container(path) && planes::runs_node(stat.comm);
            let part = planes::part(stat.comm, path).filter(|_| group.plane);
            let asked = Asked::from(&stat);
            let may_draw = displays::may_draw(&stat);
            let [server, display] = [Kind::Server, Kind::Display].map(|kind| Helper::new(kind, &stat));
            let helper = if let Some(part) = part {
                Some(Helper { kind: Kind::Plane(part), ..server })
            } else if may_draw && self.draws(&asked)? {
                Some(display)
            } else if thorough || asked.may_serve() {
                let tool = self.tools.of(self.now, &asked)?;
                tool.filter(|tool| tool.part == Part::Helper).map(|_| server)
            } else {
                None
            };
            if let Some(helper) = helper {
                let fresh = || Split { raw_us, work_us: raw_us, ..Split::default() };
                let split = group.split.get_or_insert_with(fresh);
                let same = |it: &Helper| it.start == helper.start && it.kind == helper.kind;
                let known = split.helpers.get(pid).is_some_and(same);
                if !known {
                    split.helpers.insert(*pid, helper);
                }
            } else {
                if let Some(split) = &mut group.split {
                    split.helpers.remove(pid);
                }
                // In a group with a server every process is looked at each time: its parent must be known.
                // A display in the background may come back.
                let may_return = asked.terminal && displays::may_draw_by_name(asked.name());
                if !thorough && !may_return && !asked.is_young(self.now) {
                    group.others.insert(*pid);
                }
            }
        }
        Ok(())
    }

    /// Whether a process that may draw does.
    fn draws(&mut self, asked: &Asked) -> Result<bool, HostError> {
        self.processes.arguments(asked.pid, &mut self.buffer)?;
        Ok(displays::draws(asked.name(), &process::words(&self.buffer)))
    }
}

impl Split {
    /// Whether one of that kind is in the group.
    fn has(&self, kind: Kind) -> bool {
        self.helpers.values().any(|helper| helper.kind == kind)
    }

    /// Takes in the group's counter and what its helpers used since the last look; what is work of it so far.
    fn update(&mut self, raw_us: u64, helpers_us: u64) -> u64 {
        let Some(grown) = raw_us.checked_sub(self.raw_us) else {
            // The group's counter ran backwards. That is passed on as it is.
            *self = Self { helpers: std::mem::take(&mut self.helpers), ..Self::default() };
            (self.raw_us, self.work_us) = (raw_us, raw_us);
            return raw_us;
        };
        self.raw_us = raw_us;
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.balance_us = self
            .balance_us
            .saturating_add(signed(grown))
            .saturating_sub(signed(helpers_us))
            .max(-SLACK_US);
        if let Ok(work) = u64::try_from(self.balance_us) {
            self.work_us = self.work_us.saturating_add(work);
            self.balance_us = 0;
        }
        self.work_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split() -> Split {
        Split { raw_us: 5_000, work_us: 5_000, ..Split::default() }
    }

    #[test]
    fn what_is_not_helpers_is_work() {
        let mut split = split();
        assert_eq!(split.update(10_005_000, 10_000_000), 5_000);
        assert_eq!(split.update(20_005_000, 4_000_000), 6_005_000);
        assert_eq!(split.update(20_005_000, 0), 6_005_000);
    }

    #[test]
    fn skew_between_two_readings_adds_up_to_nothing() {
        let mut split = split();
        let mut raw = 5_000;
        for step in 0..1000 {
            raw += 10_000_000;
            let skew: u64 = if step % 2 == 0 { 10_300_000 } else { 9_700_000 };
            split.update(raw, skew);
        }
        assert_eq!(split.work_us, 5_000);
    }

    #[test]
    fn helpers_never_hide_more_than_the_slack() {
        let mut split = split();
        split.update(5_000, 500_000_000);
        assert_eq!(split.update(2_005_000, 0), 1_005_000);
    }

    #[test]
    fn a_counter_that_runs_backwards_is_passed_on() {
        let mut split = split();
        assert_eq!(split.update(10, 0), 10);
        assert_eq!(split.update(500, 0), 500);
    }

    proptest::proptest! {
        /// Work never falls, and never grows by more than the group did.
        #[test]
        fn work_is_monotone(steps in proptest::collection::vec((0_u64..5_000_000, 0_u64..5_000_000), 1..100)) {
            let mut split = Split::default();
            let (mut raw, mut work, mut helped) = (0, 0, 0);
            for (grown, helpers) in steps {
                raw += grown;
                helped += helpers;
                let now = split.update(raw, helpers);
                proptest::prop_assert!(now >= work && now <= raw);
                proptest::prop_assert!(now + helped >= raw);
                work = now;
            }
        }
    }
}
