//! Whose bytes are counted.

use super::*;
use crate::host::tree::{Process, Tree};
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
        Value::Counter { total } => Some((signal.subject, signal.role, total)),
        _ => None,
    };
    signals.into_iter().filter_map(part).filter(|(_, _, total)| *total > 0).collect()
}

/// The text of the account.
fn account(reading: &Reading) -> String {
    let Reading::Signals(signals) = reading else { panic!("{reading:?}") };
    let found = signals.iter().find(|it| it.subject.starts_with("account of disk")).unwrap();
    found.owner.clone().unwrap_or_default()
}

/// A machine that is looked at again and again.
struct Machine {
    tree: Tree,
    disk: Disk,
    now: Stamp,
}

impl Machine {
    fn new() -> Self {
        let tree = Tree::new();
        tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
        tree.file("/var/lib/dpkg/info/x.list", "/lib/systemd/system/postgresql.service\n");
        tree.file("/usr/lib/systemd/system/postgresql.service", "");
        let options = toml::Table::new();
        let disk = Disk::new(&Context { host: tree.root(), options, bus: BusMode::None });
        Self { tree, disk, now: Stamp::new(1_000_000, 0, 0) }
    }

    /// What the disk moved, in sectors of 512 bytes, and what groups did, bytes.
    fn look(&mut self, sectors: u64, groups: &[(&str, u64)]) -> Vec<(String, Role, u64)> {
        self.tree.file("/proc/diskstats", format!(" 259 0 nvme0n1 1 0 {sectors} 0 1 0 0 0 0 0 0\n"));
        self.tree.folder("/sys/block/nvme0n1/device");
        for (path, bytes) in groups {
            group(&self.tree, path, Some(*bytes));
        }
        self.now = self.now.after(Duration::from_secs(10));
        by_subject(self.disk.read(self.now))
    }
}

const MIB: u64 = 1 << 20;

#[test]
fn units_are_told_by_whose_they_are() {
    let mut machine = Machine::new();
    let units = [
        ("docker-1.scope", Role::Workload),
        ("train.service", Role::Local),
        ("postgresql.service", Role::Server),
        ("ssh.service", Role::Upkeep),
    ];
    let at = |bytes: u64| -> Vec<(String, u64)> {
        let mut list = vec![("system.slice".to_owned(), 5 * bytes), ("user.slice".to_owned(), bytes)];
        list.extend(units.map(|(unit, _)| (format!("system.slice/{unit}"), bytes)));
        list.push(("system.slice/agentd.service".to_owned(), bytes));
        list
    };
    for bytes in [0, 3 * MIB] {
        let list = at(bytes);
        let list: Vec<(&str, u64)> = list.iter().map(|(path, bytes)| (path.as_str(), *bytes)).collect();
        let signals = machine.look(6 * bytes / 512, &list);
        if bytes == 0 {
            continue;
        }
        for (unit, role) in units {
            let path = format!("system.slice/{unit}");
            assert!(signals.contains(&(path.clone(), role, bytes)), "{path}: {signals:?}");
        }
        assert!(signals.contains(&("user.slice".to_owned(), Role::Workload, bytes)));
        assert!(!signals.iter().any(|(path, ..)| path.contains("agentd")), "{signals:?}");
        assert!(!signals.iter().any(|(_, role, _)| *role == Role::Unexplained), "{signals:?}");
    }
}

#[test]
fn a_slice_counts_as_the_unit_in_it_that_counts_soonest_however_deep_it_lies() {
    let mut machine = Machine::new();
    let slice = "system.slice/system-jobs.slice";
    let (inner, unit) = (format!("{slice}/system-jobs-etl.slice"), format!("{slice}/system-jobs-etl.slice/etl.service"));
    for bytes in [0, 3 * MIB] {
        let groups = [("system.slice", bytes), (slice, bytes), (&*inner, bytes), (&*unit, bytes)];
        let told = machine.look(bytes / 512, &groups);
        assert!(bytes == 0 || told.contains(&(slice.to_owned(), Role::Local, bytes)), "{told:?}");
    }
}

#[test]
fn what_the_disk_moved_and_no_group_did_is_unexplained_beyond_the_kernels_share() {
    let unexplained = |moved: u64, booked: u64| {
        let mut machine = Machine::new();
        machine.look(0, &[("user.slice", 0), ("system.slice", 0)]);
        let signals = machine.look(moved / 512, &[("user.slice", booked), ("system.slice", 0)]);
        signals.iter().find(|(_, role, _)| *role == Role::Unexplained).map_or(0, |(.., bytes)| *bytes)
    };
    // A fifth for the journal is the kernel's.
    assert!(unexplained(100 * MIB, 80 * MIB) <= 262_144 * 10, "{}", unexplained(100 * MIB, 80 * MIB));
    assert!(unexplained(100 * MIB, 0) > 60 * MIB);
}

#[test]
fn what_the_kernel_moves_to_keep_a_disk_is_shown_and_does_not_count() {
    for (name, keeps) in [("md127_resync", true), ("ext4lazyinit", true), ("train", false)] {
        let mut machine = Machine::new();
        let process = Process::new(70, name);
        machine.tree.process(&process.with(|p| p.flags = if keeps { 0x0020_8040 } else { 0 }));
        machine.tree.cgroup("", 0, &[70]);
        machine.look(0, &[("user.slice", 0), ("system.slice", 0)]);
        let signals = machine.look(200 * MIB / 512, &[("user.slice", 0), ("system.slice", 0)]);
        let counts = signals.iter().any(|(_, role, _)| *role == Role::Unexplained);
        assert_eq!(counts, !keeps, "{name}: {signals:?}");
    }
}

#[test]
fn one_group_without_a_counter_makes_every_byte_count() {
    let tree = Tree::new();
    whole_disk(&tree);
    group(&tree, "system.slice", Some(2));
    group(&tree, "user.slice", Some(7));
    group(&tree, "docker", None);
    let expected = [("nvme0n1".to_owned(), Role::Workload, 20 * 512)];
    let reading = read(&tree, &[]);
    assert!(account(&reading).contains("the io controller is off for docker"), "{reading:?}");
    assert_eq!(by_subject(reading), expected);
}

#[test]
fn without_the_controller_or_without_groups_every_byte_counts_and_that_is_said() {
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
    let reading = read(&old, &[]);
    assert!(account(&reading).starts_with("cannot be kept: "), "{reading:?}");
    assert_eq!(by_subject(reading), expected);
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

#[test]
fn what_is_on_a_loop_device_is_not_counted_on_the_disk_below_once_more() {
    let mut machine = Machine::new();
    machine.tree.folder("/sys/dev/block/7:0");
    machine.tree.folder("/sys/dev/block/259:0/device");
    let at = |machine: &mut Machine, bytes: u64| {
        let stat = format!("7:0 rbytes=0 wbytes={bytes}\n259:0 rbytes=0 wbytes={bytes}\n");
        machine.tree.cgroup("system.slice", 0, &[]);
        machine.tree.file("/sys/fs/cgroup/system.slice/io.stat", &stat);
        machine.tree.cgroup("user.slice", 0, &[]);
        machine.tree.file("/sys/fs/cgroup/user.slice/io.stat", &stat);
        machine.look(2 * bytes / 512, &[])
    };
    at(&mut machine, 0);
    let signals = at(&mut machine, 50 * MIB);
    assert!(signals.contains(&("user.slice".to_owned(), Role::Workload, 50 * MIB)), "{signals:?}");
    let sum: u64 = signals.iter().map(|(.., bytes)| bytes).sum();
    assert_eq!(sum, 100 * MIB, "{signals:?}");
}

#[test]
fn a_rest_is_not_lost_where_nobody_can_look_for_the_kernels_threads() {
    let mut machine = Machine::new();
    machine.look(0, &[("user.slice", 0), ("system.slice", 0)]);
    machine.tree.cgroup("", 0, &[]);
    machine.tree.file("/sys/fs/cgroup/cgroup.procs", "x\n");
    let signals = machine.look(200 * MIB / 512, &[("user.slice", 0), ("system.slice", 0)]);
    let rest = signals.iter().find(|(_, role, _)| *role == Role::Unexplained);
    assert!(rest.is_some_and(|(.., bytes)| *bytes > 100 * MIB), "{signals:?}");
}

#[test]
fn it_is_said_which_total_cannot_be_read_and_a_containers_is_the_hosts() {
    let mut machine = Machine::new();
    machine.look(0, &[("user.slice", 0), ("system.slice", 0)]);
    machine.tree.remove("/proc/diskstats");
    let reading = machine.disk.read(machine.now);
    assert!(account(&reading).contains("/proc/diskstats"), "{reading:?}");
    machine.tree.file("/sys/fs/cgroup/cgroup.type", "domain\n");
    machine.look(0, &[("user.slice", 0), ("system.slice", 0)]);
    let reading = machine.disk.read(machine.now);
    assert!(account(&reading).contains("in a container"), "{reading:?}");
}

/// Whether the engine sees use at the end of half an hour in which a group and the disk moved so many bytes a second.
fn is_use(group: &str, booked: u64, moved: u64) -> bool {
    let mut machine = Machine::new();
    let mut judge = crate::sources::tests::Judge::of("disk", machine.now);
    let mut used = Vec::new();
    for seconds in (0..1800).step_by(10) {
        let bytes = booked * seconds;
        let mut groups = vec![("user.slice", 0), ("system.slice", 0), (group, bytes)];
        if group.starts_with("system.slice/") {
            groups[1].1 = bytes;
        }
        machine.look(moved * seconds / 512, &groups);
        machine.now = machine.now.after(Duration::from_millis(1));
        let reading = machine.disk.read(machine.now);
        used.push(judge.is_use(machine.now, reading));
    }
    let half = &used[used.len() / 2..];
    assert!(half.iter().all(|it| *it == half[0]), "{group}: it changes its mind: {half:?}");
    half[0]
}

#[test]
fn the_engine_compares_each_owner_with_its_own_limit() {
    for (group, rate, expected) in [
        ("system.slice/train.service", MIB, true),
        ("system.slice/train.service", 400_000, false),
        ("system.slice/ssh.service", 3 * MIB, false),
        ("system.slice/ssh.service", 5 * MIB, true),
        ("system.slice/postgresql.service", 900_000, false),
        ("system.slice/postgresql.service", 2 * MIB, true),
        ("user.slice", 300_000, true),
    ] {
        assert_eq!(is_use(group, rate, rate), expected, "{group} at {rate} B/s");
    }
}

#[test]
fn the_engine_sees_use_in_a_rest_above_a_share_and_above_the_limit_only() {
    // The journal of a server that is below its limit.
    assert!(!is_use("system.slice/postgresql.service", 800_000, 1_100_000));
    // A quarter of what is moved.
    assert!(!is_use("system.slice/ssh.service", 3 * MIB, 4 * MIB));
    // 250 kB/s: below the limit, though it is all there is.
    assert!(!is_use("system.slice/ssh.service", 0, 250_000));
    assert!(is_use("system.slice/ssh.service", 0, MIB));
    assert!(is_use("system.slice/ssh.service", 3 * MIB, 6 * MIB));
}

/// The role of a starter's unit after it moved four mebibytes, with these processes at the look before and at this one.
fn role_of_job(unit: &str, before: &[(u32, u32, &str, &str)], now: &[(u32, u32, &str, &str)]) -> Role {
    let path = format!("system.slice/{unit}");
    let mut machine = Machine::new();
    machine.tree.file("/var/lib/dpkg/info/y.list", "/etc/cron.d/sysstat\n");
    machine.tree.file("/etc/cron.d/sysstat", "* * * * * root sa1 1 1\n");
    let mut at = |bytes: u64, processes: &[(u32, u32, &str, &str)]| {
        let pids: Vec<u32> = processes.iter().map(|(pid, ..)| *pid).collect();
        for (pid, parent, name, line) in processes {
            let arguments = line.split('|').map(str::to_owned).collect();
            machine.tree.process(&Process::new(*pid, name).with(|p| (p.ppid, p.arguments) = (*parent, arguments)));
        }
        group(&machine.tree, &path, Some(bytes));
        machine.tree.cgroup(&path, 0, &pids);
        machine.look(bytes / 512, &[("system.slice", bytes)])
    };
    at(0, before);
    let told = at(4 * MIB, now);
    told.iter().find(|(subject, ..)| *subject == path).unwrap_or_else(|| panic!("{told:?}")).1
}

#[test]
fn what_a_job_moves_in_the_group_of_the_daemon_that_started_it_is_the_jobs() {
    const CRON: (u32, u32, &str, &str) = (5, 1, "cron", "cron|-f");
    const ETL: (u32, u32, &str, &str) = (7, 5, "rsync", "rsync|/a|/b");
    const SAR: (u32, u32, &str, &str) = (8, 5, "sh", "sh|-c|sa1 1 1");
    const SSM: (u32, u32, &str, &str) = (5, 1, "amazon-ssm-agen", "amazon-ssm-agent");
    for (unit, before, now, expected) in [
        ("cron.service", &[CRON][..], &[CRON, ETL][..], Role::Workload),
        ("cron.service", &[CRON, ETL], &[CRON], Role::Workload),
        // It lived for less than the time between two looks.
        ("cron.service", &[CRON], &[CRON], Role::Workload),
        ("cron.service", &[CRON], &[CRON, SAR], Role::Upkeep),
        ("cron.service", &[CRON, SAR], &[CRON], Role::Upkeep),
        ("cron.service", &[CRON, SAR], &[CRON, ETL], Role::Workload),
        ("amazon-ssm-agent.service", &[SSM], &[SSM, ETL], Role::Workload),
        ("amazon-ssm-agent.service", &[SSM], &[SSM], Role::Upkeep),
    ] {
        assert_eq!(role_of_job(unit, before, now), expected, "{unit} {before:?} {now:?}");
    }
}
