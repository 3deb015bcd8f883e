//! A machine that thrashes: the work on it waits for memory most of the time.
//!
//! A job that is paged in and out all the time uses next to no CPU, and yet it is at work. What counts is the time in
//! which *every* task of a group that does work waited for memory (`full` of `memory.pressure`,
//! `Documentation/accounting/psi.rst`). Pressure on disks and CPU is shown and never counts: a hung network file system
//! gives full pressure for ever without a byte being moved, and the bytes themselves are the disk source's.
//!
//! Where the kernel keeps no pressure of groups, that of the whole machine counts in its place.

use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::ownership::Ownership;
use super::{Context, Lane, Opened, Source, SourceSpec, blind, workgroups};
use crate::host::cgroup::{Hierarchy, Version};
use crate::host::psi;
use crate::host::{HostError, HostRoot};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "pressure",
    about: "Work that waits for memory: the share of time in which all of it was being paged in.",
    unit: "%",
    // Microseconds of waiting a second are millionths; a hundred of them are a hundredth of a percent.
    scale: 1e-4,
    combine: Combine::Each,
    busy_above: 10.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[],
    open: |context| Opened::Blocking(Box::new(Pressure::new(context))),
};

/// The pressure of the whole machine.
const MEMORY: &str = "/proc/pressure/memory";
/// What is shown only.
const SHOWN: [(&str, &str); 2] = [("cpu", "/proc/pressure/cpu"), ("io", "/proc/pressure/io")];

#[derive(Debug)]
struct Pressure {
    root: HostRoot,
    /// The kernel told it before, so its absence is a fault.
    seen: bool,
}

impl Pressure {
    fn new(context: &Context) -> Self {
        Self { root: context.host.clone(), seen: false }
    }

    fn look(&mut self) -> Result<Option<Vec<Signal>>, HostError> {
        let Some(memory) = psi::read(&self.root, MEMORY)? else {
            let gone = "the kernel told it before and does not any more";
            return if self.seen { Err(HostError::malformed(MEMORY, gone)) } else { Ok(None) };
        };
        self.seen = true;
        let mut signals = self.of_groups()?;
        let machine = counter("memory, the whole machine", memory.full_us.unwrap_or(0));
        signals.push(if signals.is_empty() { machine } else { machine.ignored() });
        for (name, path) in SHOWN {
            if let Some(pressure) = psi::read(&self.root, path)? {
                let subject = format!("{name}, the whole machine");
                signals.push(counter(&subject, pressure.some_us).ignored());
            }
        }
        Ok(Some(signals))
    }

    /// The groups that do work; none at all unless every one of them is told.
    fn of_groups(&self) -> Result<Vec<Signal>, HostError> {
        let groups = Hierarchy::find(&self.root)?;
        let Some(groups) = groups.filter(|groups| groups.version() == Version::Unified) else {
            return Ok(Vec::new());
        };
        let ownership = Ownership::new(&self.root, groups.own()?, Vec::new(), Vec::new());
        let mut signals = Vec::new();
        for path in workgroups::of(&groups, &ownership)? {
            match groups.pressure(&path, "memory")?.and_then(|pressure| pressure.full_us) {
                Some(full_us) => signals.push(counter(&format!("memory, {path}"), full_us)),
                None if groups.exists(&path)? => return Ok(Vec::new()),
                // It ended just now.
                None => {}
            }
        }
        Ok(signals)
    }
}

impl Source for Pressure {
    fn read(&mut self, _now: Stamp) -> Reading {
        match self.look() {
            Ok(Some(signals)) => Reading::Signals(signals),
            Ok(None) => Reading::absent(format!(
                "the kernel keeps no pressure stall information ('{MEMORY}' cannot be had)"
            )),
            Err(error) => blind(&error),
        }
    }
}

fn counter(subject: &str, us: u64) -> Signal {
    Signal::new(subject, Value::Counter { total: us })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use crate::sources::BusMode;
    use agent_core::reading::Role;

    fn source(tree: &Tree) -> Pressure {
        let (host, bus) = (tree.root(), BusMode::None);
        Pressure::new(&Context { host, options: toml::Table::new(), bus })
    }

    fn file(tree: &Tree, path: &str, some: u64, full: u64) {
        let text = format!(
            "some avg10=0.00 avg60=0.00 avg300=0.00 total={some}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total={full}\n"
        );
        tree.file(path, text);
    }

    fn machine() -> Tree {
        let tree = Tree::new();
        file(&tree, "/proc/pressure/memory", 500, 300);
        file(&tree, "/proc/pressure/io", 900, 800);
        tree.file("/proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=70\n");
        tree
    }

    fn group(tree: &Tree, path: &str, full: u64) {
        tree.cgroup(path, 0, &[]);
        file(tree, &format!("/sys/fs/cgroup/{path}/memory.pressure"), full * 2, full);
    }

    fn told(reading: Reading) -> Vec<(String, Role, u64)> {
        let Reading::Signals(signals) = reading else { panic!("{reading:?}") };
        let part = |signal: Signal| match signal.value {
            Value::Counter { total } => (signal.subject, signal.role, total),
            other => panic!("{other:?}"),
        };
        signals.into_iter().map(part).collect()
    }

    fn expected(list: &[(&str, Role, u64)]) -> Vec<(String, Role, u64)> {
        list.iter().map(|(name, role, total)| ((*name).to_owned(), *role, *total)).collect()
    }

    #[test]
    fn a_kernel_without_it_has_none_and_one_that_stops_telling_is_blind() {
        let tree = Tree::new();
        assert!(matches!(source(&tree).read(Stamp::default()), Reading::Absent { .. }));
        let tree = machine();
        let mut source = source(&tree);
        source.read(Stamp::default());
        tree.remove("/proc/pressure");
        let Reading::Blind { why } = source.read(Stamp::default()) else { panic!("not blind") };
        assert!(why.contains(MEMORY), "{why}");
    }

    #[test]
    fn without_groups_the_memory_of_the_machine_counts_and_nothing_else() {
        let tree = machine();
        let machine = [
            ("memory, the whole machine", Role::Workload, 300),
            ("cpu, the whole machine", Role::Ignored, 70),
            ("io, the whole machine", Role::Ignored, 900),
        ];
        assert_eq!(told(source(&tree).read(Stamp::default())), expected(&machine));
        tree.cgroup("user.slice", 0, &[]);
        assert_eq!(told(source(&tree).read(Stamp::default())), expected(&machine));
    }

    #[test]
    fn only_groups_that_do_work_count() {
        let tree = machine();
        for (path, full) in [
            ("init.scope", 1),
            ("system.slice", 2),
            ("system.slice/docker-1.scope", 3),
            ("system.slice/snapd.service", 4),
            ("user.slice", 5),
        ] {
            group(&tree, path, full);
        }
        let signals = [
            ("memory, user.slice", Role::Workload, 5),
            ("memory, system.slice/docker-1.scope", Role::Workload, 3),
            ("memory, the whole machine", Role::Ignored, 300),
            ("cpu, the whole machine", Role::Ignored, 70),
            ("io, the whole machine", Role::Ignored, 900),
        ];
        assert_eq!(told(source(&tree).read(Stamp::default())), expected(&signals));
    }

    #[test]
    fn garbage_is_blind_and_names_the_file() {
        for path in ["/proc/pressure/io", "/sys/fs/cgroup/user.slice/memory.pressure"] {
            let tree = machine();
            group(&tree, "user.slice", 5);
            tree.file(path, "garbage");
            let Reading::Blind { why } = source(&tree).read(Stamp::default()) else {
                panic!("{path} is believed");
            };
            assert!(why.contains(path), "{why}");
        }
    }
}
