//! Work that starves: the hypervisor gives its CPU to others.
//!
//! A burstable instance whose credits are spent gets a small share of a core. A job on it may use so little CPU that it
//! looks like nothing, while it wants all it can get. Stolen time (`/proc/stat`) is time in which a CPU of the machine
//! wanted to run and could not; it counts for the work on the machine in every interval in which that ran or waited
//! for a CPU. What is stolen while only housekeeping runs is shown.
//!
//! A CPU that comes or goes takes its times with it, and stolen time that falls cannot be: such an interval is blind.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::ownership::Ownership;
use super::{Context, Lane, Opened, Source, SourceSpec, blind, workgroups};
use crate::host::cgroup::Hierarchy;
use crate::host::stat::{self, Stolen};
use crate::host::{HostError, HostRoot};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "steal",
    about: "CPU time that the hypervisor withheld while somebody's work wanted to run: a burstable instance without credits.",
    unit: "core",
    scale: 1e-6,
    combine: Combine::Sum,
    busy_above: 0.3,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[],
    open: |context| Opened::Blocking(Box::new(Steal::new(context))),
};

/// Work ran when its groups used this share of a core: a tenth of what is use by itself.
const RAN: f64 = 0.005;
/// Work waited when some of it did for this share of the time.
const WAITED: f64 = 0.01;

#[derive(Debug)]
struct Steal {
    root: HostRoot,
    before: Option<Before>,
    /// Microseconds that count, since the source was opened. It never falls.
    counted_us: u64,
    /// All of them since then.
    all_us: u64,
    /// The group that wanted to run in the last interval that counted.
    owner: Option<String>,
}

/// The last look.
#[derive(Debug)]
struct Before {
    at: Stamp,
    stolen: Stolen,
    /// Nothing where groups do not tell whose work is done.
    groups: Option<BTreeMap<String, Wants>>,
}

/// How much a group wanted to run so far, microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Wants {
    ran_us: u64,
    waited_us: u64,
}

impl Steal {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        Self { root, before: None, counted_us: 0, all_us: 0, owner: None }
    }

    fn look(&mut self, now: Stamp) -> Result<Reading, HostError> {
        let stolen = stat::stolen(&self.root)?;
        let groups = self.groups()?;
        let after = Before { at: now, stolen, groups };
        let Some(before) = self.before.replace(after) else { return Ok(self.signals()) };
        if before.stolen.cpus != stolen.cpus {
            return Ok(Reading::blind(format!(
                "the number of CPUs in '{}' changed from {} to {}",
                stat::PATH,
                before.stolen.cpus,
                stolen.cpus
            )));
        }
        let Some(grown) = stolen.steal_us.checked_sub(before.stolen.steal_us) else {
            return Ok(Reading::blind(format!("stolen time in '{}' went backwards", stat::PATH)));
        };
        self.all_us = self.all_us.saturating_add(grown);
        if let Some(owner) = self.wanted(&before) {
            self.counted_us = self.counted_us.saturating_add(grown);
            self.owner = Some(owner);
        }
        Ok(self.signals())
    }

    fn signals(&self) -> Reading {
        let counted = Signal::new("withheld from work", Value::Counter { total: self.counted_us });
        let all = Signal::new("withheld in all", Value::Counter { total: self.all_us }).ignored();
        Reading::Signals(vec![Signal { owner: self.owner.clone(), ..counted }, all])
    }

    /// What the groups that do work used and waited; nothing where there are no groups to tell it.
    fn groups(&self) -> Result<Option<BTreeMap<String, Wants>>, HostError> {
        let Some(groups) = Hierarchy::find(&self.root)? else { return Ok(None) };
        let ownership = Ownership::new(&self.root, groups.own()?, Vec::new(), Vec::new());
        let mut wants = BTreeMap::new();
        for path in workgroups::of(&groups, &ownership)? {
            if let Some(ran_us) = groups.cpu_us(&path)? {
                let waited_us = groups.pressure(&path, "cpu")?.map_or(0, |cpu| cpu.some_us);
                wants.insert(path, Wants { ran_us, waited_us });
            }
        }
        Ok(Some(wants))
    }

    /// Who wanted to run since the look before; where nobody can tell, everybody did.
    fn wanted(&self, before: &Before) -> Option<String> {
        let after = self.before.as_ref()?;
        let (Some(now), Some(then)) = (&after.groups, &before.groups) else {
            return Some("the whole machine".to_owned());
        };
        let span = after.at.since(before.at).as_secs_f64();
        let share = |us: u64| Duration::from_micros(us).as_secs_f64() / span.max(0.001);
        let wanted = |(path, wants): &(&String, &Wants)| {
            let then = then.get(*path).copied().unwrap_or_default();
            share(wants.ran_us.saturating_sub(then.ran_us)) >= RAN
                || share(wants.waited_us.saturating_sub(then.waited_us)) >= WAITED
        };
        now.iter().find(wanted).map(|(path, _)| path.clone())
    }
}

impl Source for Steal {
    fn read(&mut self, now: Stamp) -> Reading {
        self.look(now).unwrap_or_else(|error| blind(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use crate::sources::BusMode;

    struct Machine {
        tree: Tree,
        source: Steal,
        now: Stamp,
    }

    impl Machine {
        fn new() -> Self {
            let tree = Tree::new();
            let (host, bus) = (tree.root(), BusMode::None);
            let source = Steal::new(&Context { host, options: toml::Table::new(), bus });
            Self { tree, source, now: Stamp::new(1_000_000, 0, 0) }
        }

        fn stolen(&self, ticks: u64, cpus: usize) {
            let one = |cpu| format!("cpu{cpu} 9 9 9 9 9 9 9 1 0 0\n");
            let each: String = (0..cpus).map(one).collect();
            let text = format!("cpu  9 9 9 9 9 9 9 {ticks} 0 0\n{each}intr 5\n");
            self.tree.file("/proc/stat", text);
        }

        fn used(&self, ms: u64) {
            self.tree.cgroup("user.slice", ms * 1000, &[]);
        }

        /// Ten seconds later: what counts and what is shown, in milliseconds.
        fn read(&mut self) -> Result<(u64, u64), String> {
            self.now = self.now.after(Duration::from_secs(10));
            let signals = match self.source.read(self.now) {
                Reading::Signals(signals) => signals,
                Reading::Blind { why } => return Err(why),
                Reading::Absent { why } => panic!("{why}"),
            };
            let total = |signal: &Signal| match signal.value {
                Value::Counter { total } => total / 1000,
                ref other => panic!("{other:?}"),
            };
            Ok((total(&signals[0]), total(&signals[1])))
        }
    }

    #[test]
    fn what_is_stolen_counts_while_work_runs() {
        let mut machine = Machine::new();
        machine.stolen(1000, 2);
        machine.used(0);
        assert_eq!(machine.read(), Ok((0, 0)));
        machine.stolen(1800, 2);
        machine.used(200);
        assert_eq!(machine.read(), Ok((8000, 8000)));
        machine.stolen(2600, 2);
        machine.used(240);
        assert_eq!(machine.read(), Ok((8000, 16_000)), "0.004 of a core is nobody's work");
    }

    #[test]
    fn work_that_only_waits_counts_too() {
        let mut machine = Machine::new();
        machine.stolen(0, 1);
        machine.used(0);
        machine.read().unwrap();
        machine.stolen(900, 1);
        let waits = "some avg10=0.00 avg60=0.00 avg300=0.00 total=100000\n";
        machine.tree.file("/sys/fs/cgroup/user.slice/cpu.pressure", waits);
        assert_eq!(machine.read(), Ok((9000, 9000)));
    }

    #[test]
    fn without_groups_everything_counts() {
        let mut machine = Machine::new();
        machine.stolen(0, 1);
        machine.read().unwrap();
        machine.stolen(500, 1);
        assert_eq!(machine.read(), Ok((5000, 5000)));
    }

    #[test]
    fn a_cpu_that_comes_or_goes_makes_one_reading_blind() {
        let mut machine = Machine::new();
        machine.stolen(1000, 4);
        machine.read().unwrap();
        machine.stolen(400, 2);
        let why = machine.read().unwrap_err();
        assert!(why.contains("from 4 to 2") && why.contains("/proc/stat"), "{why}");
        machine.stolen(500, 2);
        assert_eq!(machine.read(), Ok((1000, 1000)));
    }

    #[test]
    fn stolen_time_that_falls_makes_one_reading_blind_and_counts_nothing() {
        let mut machine = Machine::new();
        machine.stolen(1000, 2);
        machine.read().unwrap();
        machine.stolen(990, 2);
        assert!(machine.read().unwrap_err().contains("went backwards"));
        machine.stolen(990, 2);
        assert_eq!(machine.read(), Ok((0, 0)));
    }

    #[test]
    fn what_cannot_be_read_is_blind() {
        let mut machine = Machine::new();
        assert!(machine.read().unwrap_err().contains("/proc/stat"));
        machine.tree.file("/proc/stat", "garbage");
        assert!(machine.read().unwrap_err().contains("/proc/stat"));
        machine.stolen(0, 1);
        machine.tree.cgroup("user.slice", 0, &[]);
        machine.tree.file("/sys/fs/cgroup/user.slice/cpu.stat", "garbage");
        assert!(machine.read().unwrap_err().contains("cpu.stat"));
    }
}
