//! Bytes that the workload reads from and writes to disks.
//!
//! Where the io controller is on, the counters of the control groups tell whose bytes they are. (The agent's unit turns
//! it on for the whole of `system.slice` and `user.slice` by `IOAccounting=yes`.) `/proc/PID/io` is not used: reading
//! other users' would take the privilege to trace any process.
//!
//! Elsewhere nobody can say whose bytes they are. Then all bytes of all disks count: a copy that waits for its disk
//! most of the time may use too little CPU to be seen otherwise, while a machine at rest writes far less than the limit.

use std::time::Duration;

use agent_core::policy::{Combine, RoleLimits};
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::ownership::{Class, Ownership};
use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::cgroup::{Hierarchy, Version};
use crate::host::{HostError, HostRoot, block};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "disk",
    about: "Disk traffic of people's sessions, containers and other work, or of the whole machine where the kernel does not tell whose it is.",
    unit: "B/s",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 262_144.0,
    limits: Some(RoleLimits {
        local_above: 524_288.0,
        server_above: 1_048_576.0,
        upkeep_above: 4_194_304.0,
        upkeep_together: 8_388_608.0,
        unexplained_above: 262_144.0,
    }),
    average: Duration::from_mins(2),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[OptionSpec {
        key: "units",
        kind: OptionKind::Units,
        default: "[]",
        about: "Services of the system whose disk traffic counts as work too.",
    }],
    open: |context| Opened::Blocking(Box::new(Disk::new(context))),
};

#[derive(Debug)]
struct Disk {
    root: HostRoot,
    units: Vec<String>,
}

impl Disk {
    fn new(context: &Context) -> Self {
        Self { root: context.host.clone(), units: context.list("units") }
    }

    fn look(&self) -> Result<Vec<Signal>, HostError> {
        if let Some(groups) = Hierarchy::find(&self.root)?
            && groups.version() == Version::Unified
            && let Some(signals) = self.by_group(&groups)?
        {
            return Ok(signals);
        }
        let disks = block::disks(&self.root)?;
        Ok(disks.into_iter().map(|disk| counter(&disk.name, disk.bytes)).collect())
    }

    /// The counters of the groups, or nothing if one that counts has none.
    fn by_group(&self, groups: &Hierarchy) -> Result<Option<Vec<Signal>>, HostError> {
        let ownership = Ownership::new(&self.root, groups.own()?, self.units.clone(), Vec::new());
        let mut signals = Vec::new();
        let mut known = true;
        let mut add = |path: &str, class: Class| -> Result<(), HostError> {
            match (groups.io_bytes(path)?, class) {
                (Some(bytes), Class::People) => signals.push(counter(path, bytes)),
                (Some(_), Class::Own) => {}
                (Some(bytes), _) => signals.push(counter(path, bytes).ignored()),
                // The group may have ended just now; if not, the controller is off.
                (None, Class::People) => known &= !groups.exists(path)?,
                (None, _) => {}
            }
            Ok(())
        };
        for top in groups.children("")? {
            // For a whole slice: who is below user.slice and machine.slice is all work.
            add(&top, ownership.of(&top).class)?;
        }
        for unit in groups.children("system.slice")? {
            let path = format!("system.slice/{unit}");
            if ownership.of(&path).class == Class::People {
                add(&path, Class::People)?;
            }
        }
        Ok((known && !signals.is_empty()).then_some(signals))
    }
}

impl Source for Disk {
    fn read(&mut self, _now: Stamp) -> Reading {
        match self.look() {
            Ok(signals) if signals.is_empty() => {
                Reading::absent("the machine has no disk of its own")
            }
            Ok(signals) => Reading::Signals(signals),
            Err(error) => blind(&error),
        }
    }
}

fn counter(subject: &str, bytes: u64) -> Signal {
    Signal::new(subject, Value::Counter { total: bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use crate::sources::BusMode;
    use agent_core::reading::Role;

    fn read(tree: &Tree, units: &[&str]) -> Reading {
        let mut options = toml::Table::new();
        options.insert("units".to_owned(), units.to_vec().into());
        Disk::new(&Context { host: tree.root(), options, bus: BusMode::None })
            .read(Stamp::default())
    }

    fn group(tree: &Tree, path: &str, bytes: Option<u64>) {
        tree.cgroup(path, 0, &[]);
        if let Some(bytes) = bytes {
            let line = format!("259:0 rbytes={bytes} wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n");
            tree.file(&format!("/sys/fs/cgroup/{path}/io.stat"), line);
        }
    }

    fn whole_disk(tree: &Tree) {
        tree.file("/proc/diskstats", " 259 0 nvme0n1 1 0 10 0 1 0 10 0 0 0 0\n");
        tree.folder("/sys/block/nvme0n1/device");
    }

    fn by_subject(reading: Reading) -> Vec<(String, Role, u64)> {
        let Reading::Signals(signals) = reading else { panic!("{reading:?}") };
        let part = |signal: Signal| match signal.value {
            Value::Counter { total } => (signal.subject, signal.role, total),
            other => panic!("{other:?}"),
        };
        signals.into_iter().map(part).collect()
    }

    #[test]
    fn groups_tell_whose_bytes_they_are() {
        let tree = Tree::new();
        tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
        whole_disk(&tree);
        for (path, bytes) in [
            ("init.scope", 1),
            ("system.slice", 2),
            ("system.slice/agentd.service", 3),
            ("system.slice/docker-1.scope", 4),
            ("system.slice/ssh.service", 5),
            ("system.slice/slurmd.service", 6),
            ("user.slice", 7),
        ] {
            group(&tree, path, Some(bytes));
        }
        let signals = by_subject(read(&tree, &["slurmd"]));
        let expected = [
            ("init.scope", Role::Ignored, 1),
            ("system.slice", Role::Ignored, 2),
            ("user.slice", Role::Workload, 7),
            ("system.slice/docker-1.scope", Role::Workload, 4),
            ("system.slice/slurmd.service", Role::Workload, 6),
        ]
        .map(|(subject, role, total)| (subject.to_owned(), role, total));
        assert_eq!(signals, expected);
    }

    #[test]
    fn one_group_without_a_counter_makes_every_byte_count() {
        let tree = Tree::new();
        whole_disk(&tree);
        group(&tree, "system.slice", Some(2));
        group(&tree, "user.slice", Some(7));
        group(&tree, "docker", None);
        let expected = [("nvme0n1".to_owned(), Role::Workload, 20 * 512)];
        assert_eq!(by_subject(read(&tree, &[])), expected);
    }

    #[test]
    fn without_the_controller_or_without_groups_every_byte_counts() {
        let tree = Tree::new();
        whole_disk(&tree);
        let expected = [("nvme0n1".to_owned(), Role::Workload, 20 * 512)];
        assert_eq!(by_subject(read(&tree, &[])), expected);
        group(&tree, "system.slice", None);
        group(&tree, "user.slice", None);
        assert_eq!(by_subject(read(&tree, &[])), expected);
        let old = Tree::new();
        whole_disk(&old);
        old.cgroup_v1("system.slice", 1, &[]);
        assert_eq!(by_subject(read(&old, &[])), expected);
    }

    #[test]
    fn what_cannot_be_read_is_blind() {
        let tree = Tree::new();
        assert!(matches!(read(&tree, &[]), Reading::Blind { why } if why.contains("diskstats")));
        group(&tree, "user.slice", Some(7));
        tree.file("/sys/fs/cgroup/user.slice/io.stat", "259:0 rbytes=-1\n");
        assert!(matches!(read(&tree, &[]), Reading::Blind { why } if why.contains("io.stat")));
    }

    #[test]
    fn a_machine_without_a_disk_of_its_own_has_none() {
        let tree = Tree::new();
        tree.file("/proc/diskstats", " 7 0 loop0 1 0 10 0 1 0 10 0 0 0 0\n");
        assert!(matches!(read(&tree, &[]), Reading::Absent { .. }));
    }
}
