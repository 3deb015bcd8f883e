//! Whose bytes are counted.

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
