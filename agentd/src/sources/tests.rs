use super::*;
use crate::host::tree::{Process, Tree};
use agent_core::reading::{Role, Signal, Value};
use std::collections::BTreeSet;

#[test]
fn every_source_has_its_own_name() {
    let names: BTreeSet<_> = ALL.iter().map(|spec| spec.name).collect();
    assert_eq!(names.len(), ALL.len());
    for name in names {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{name}");
    }
}

#[test]
fn every_text_for_people_is_a_sentence() {
    let options = ALL.iter().flat_map(|spec| spec.options).map(|option| option.about);
    for about in ALL.iter().map(|spec| spec.about).chain(options) {
        assert!(about.ends_with('.') && !about.ends_with(".."), "{about}");
        assert!(about.starts_with(|first: char| first.is_uppercase()), "{about}");
        assert!(!about.contains('\n'), "{about}");
    }
}

#[test]
fn every_default_is_toml_of_its_kind() {
    for option in ALL.iter().flat_map(|spec| spec.options) {
        let table: toml::Table = toml::from_str(&format!("x = {}", option.default)).unwrap();
        let value = &table["x"];
        let fits = match option.kind {
            OptionKind::Duration | OptionKind::Text => value.is_str(),
            OptionKind::Bool => value.is_bool(),
            OptionKind::TextList | OptionKind::Units | OptionKind::Programs => value.is_array(),
            OptionKind::Number => value.is_float() || value.is_integer(),
        };
        assert!(fits, "{}: {}", option.key, option.default);
    }
}

#[test]
fn no_source_may_keep_the_loop_longer_than_two_seconds() {
    for spec in ALL {
        assert!(spec.deadline <= Duration::from_secs(2), "{}", spec.name);
        assert!(!spec.deadline.is_zero(), "{}", spec.name);
        assert!(spec.scale > 0.0 && spec.busy_above >= 0.0, "{}", spec.name);
    }
}

#[test]
fn every_source_opens_in_its_lane() {
    let tree = Tree::new();
    let context = Context { host: tree.root(), options: toml::Table::new(), bus: BusMode::None };
    for spec in ALL {
        let opened = (spec.open)(&context);
        let asynchronous = matches!(opened, Opened::Async(_));
        assert_eq!(asynchronous, spec.lane == Lane::Async, "{}", spec.name);
    }
}

#[test]
fn options_are_read_and_missing_ones_are_empty() {
    let options = toml::from_str("units = ['a', 'b']\nlibrary = '/x'").unwrap();
    let host = HostRoot::at("/nowhere");
    let context = Context { host, options, bus: BusMode::None };
    assert_eq!(context.list("units"), ["a", "b"]);
    assert_eq!(context.text("library"), "/x");
    assert!(context.list("none").is_empty());
    assert_eq!(context.text("none"), "");
}

/// A machine on which every blocking source has something to say.
fn machine() -> Tree {
    let tree = Tree::new();
    tree.file("/etc/passwd", "alice:x:1000:1000::/:/bin/sh\n");
    tree.file("/proc/self/cgroup", "0::/system.slice/agentd.service\n");
    for (group, pids) in [
        ("init.scope", &[1][..]),
        ("system.slice", &[]),
        ("system.slice/cron.service", &[400, 402]),
        ("user.slice", &[]),
        ("user.slice/user-1000.slice/session-3.scope", &[812]),
    ] {
        tree.cgroup(group, 1_000_000, pids);
        tree.file(&format!("/sys/fs/cgroup/{group}/io.stat"), "259:0 rbytes=5 wbytes=7\n");
    }
    tree.process(&Process::new(1, "systemd"));
    tree.process(&Process::new(400, "cron"));
    tree.process(&Process::new(402, "make").with(|p| p.uid = 1000));
    tree.file(
        "/proc/net/sock_diag",
        "1 LISTEN [::]:22\n2 ESTAB 10.0.0.5:22 203.0.113.5:9 0 7 - 5 6 7\n",
    );
    for (process, bytes) in [("self", 0), ("812", 100)] {
        let numbers = format!("{bytes} 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0");
        tree.file(
            &format!("/proc/{process}/net/dev"),
            format!("Inter-|\n face |\neth0: {numbers}\n"),
        );
    }
    tree.process(&Process::new(812, "bash").with(|p| {
        (p.uid, p.tty, p.foreground) = (1000, 34_816, 812);
    }));
    tree.file("/proc/diskstats", " 259 0 nvme0n1 1 0 10 0 1 0 10 0 0 0 0\n");
    tree.folder("/sys/block/nvme0n1/device");
    tree.file("/dev/pts/0", "");
    tree.file("/dev/tty1", "");
    tree.file("/var/lib/dpkg/lock-frontend", "");
    tree.file("/var/lib/dpkg/lock", "");
    tree.file("/run/cloud-init/status.json", "{}");
    tree.file("/proc/stat", "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\n");
    for file in ["/proc/pressure/memory", "/sys/fs/cgroup/user.slice/memory.pressure"] {
        tree.file(file, "some avg10=0.00 total=5\nfull avg10=0.00 total=5\n");
    }
    tree.file("/var/spool/cron/crontabs/alice", "0 3 * * * backup\n");
    tree.process(&Process::new(70, "atd"));
    tree
}

/// Every file of a machine, as paths of the machine.
fn files(tree: &Tree) -> Vec<String> {
    let mut folders = vec![String::new()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(tree.path(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// Reads every blocking source once; there is no GPU.
fn readings(tree: &Tree) -> Vec<(&'static str, Reading)> {
    let context = Context { host: tree.root(), options: toml::Table::new(), bus: BusMode::None };
    let read = |spec: &SourceSpec| match (spec.open)(&context) {
        Opened::Blocking(mut source) => {
            Some((spec.name, source.read(Stamp::new(1_000_000, 0, 1_700_000_000_000))))
        }
        Opened::Async(_) => None,
    };
    ALL.iter().filter_map(read).collect()
}

fn reading(tree: &Tree, name: &str) -> Reading {
    readings(tree).into_iter().find(|(source, _)| *source == name).unwrap().1
}

#[test]
fn a_healthy_machine_is_read() {
    let tree = machine();
    for (name, reading) in readings(&tree) {
        match name {
            "gpu" | "jupyter" => {
                assert!(matches!(reading, Reading::Absent { .. }), "{name}");
            }
            "packages" | "batch" => assert_eq!(reading, Reading::Signals(Vec::new())),
            _ => assert!(
                matches!(&reading, Reading::Signals(signals) if !signals.is_empty()),
                "{name}: {reading:?}"
            ),
        }
    }
}

#[test]
fn no_file_of_a_machine_can_make_a_source_panic() {
    for index in 0..files(&machine()).len() {
        let tree = machine();
        let path = files(&tree)[index].clone();
        for damage in ["", "\n", "garbage", "-1", "99999999999999999999999999", "\u{0}\u{ff}"] {
            tree.file(&path, damage);
            readings(&tree);
        }
        tree.file(&path, vec![b'x'; (1 << 20) + 1]);
        readings(&tree);
        tree.remove(&path);
        readings(&tree);
        tree.folder(&path);
        readings(&tree);
    }
}

#[test]
fn damage_is_told_by_the_source_that_it_hits() {
    for (path, name) in [
        ("/sys/fs/cgroup/init.scope/cpu.stat", "cpu"),
        ("/sys/fs/cgroup/system.slice/cpu.stat", "cpu"),
        ("/sys/fs/cgroup/user.slice/cpu.stat", "cpu"),
        ("/sys/fs/cgroup/user.slice/user-1000.slice/session-3.scope/cpu.stat", "cpu"),
        ("/sys/fs/cgroup/system.slice/cron.service/cgroup.procs", "cpu"),
        ("/proc/402/stat", "cpu"),
        ("/proc/402/status", "cpu"),
        ("/proc/812/stat", "input"),
        ("/proc/812/stat", "sessions"),
        ("/proc/812/status", "sessions"),
        ("/sys/fs/cgroup/user.slice/io.stat", "disk"),
        ("/proc/net/sock_diag", "network"),
        ("/proc/net/sock_diag", "clients"),
        ("/proc/812/net/dev", "network"),
        ("/sys/fs/cgroup/user.slice/memory.pressure", "pressure"),
        ("/proc/pressure/memory", "pressure"),
        ("/proc/stat", "steal"),
        ("/proc/70/stat", "batch"),
    ] {
        for damage in ["rbytes=garbage usage_usec garbage", "1 (bash) S 1 1 1 1 x rbytes=-1"] {
            let tree = machine();
            tree.file(path, damage);
            let Reading::Blind { why } = reading(&tree, name) else {
                panic!("{name} does not tell of {path}");
            };
            assert!(why.contains(path), "{why}");
            assert!(why.starts_with("failed to "), "{why}");
        }
    }
}

#[test]
fn files_that_are_too_long_are_refused() {
    for (path, name) in [
        ("/sys/fs/cgroup/user.slice/cpu.stat", "cpu"),
        ("/sys/fs/cgroup/user.slice/io.stat", "disk"),
    ] {
        let tree = machine();
        tree.file(path, "usage_usec 5\n".repeat(1 << 20));
        let reading = reading(&tree, name);
        assert!(matches!(&reading, Reading::Blind { why } if why.contains(path)), "{reading:?}");
    }
}

#[test]
fn without_proc_and_sys_nothing_is_idle() {
    let tree = machine();
    tree.remove("/proc");
    tree.remove("/sys");
    tree.remove("/dev/pts");
    for name in ["cpu", "input", "sessions", "disk"] {
        let reading = reading(&tree, name);
        assert!(matches!(reading, Reading::Blind { .. }), "{name}: {reading:?}");
    }
}

#[test]
fn reading_changes_nothing_on_the_machine() {
    let tree = machine();
    let before: Vec<_> = files(&tree)
        .into_iter()
        .map(|path| (std::fs::read(tree.path(&path)).unwrap(), path))
        .collect();
    readings(&tree);
    readings(&tree);
    let after: Vec<_> = files(&tree)
        .into_iter()
        .map(|path| (std::fs::read(tree.path(&path)).unwrap(), path))
        .collect();
    assert_eq!(before, after);
}

#[test]
fn a_blocking_set_up_and_a_busy_session_are_told_apart_from_upkeep() {
    let tree = machine();
    let Reading::Signals(signals) = reading(&tree, "cpu") else { panic!("not read") };
    let role = |subject: &str| signals.iter().find(|s| s.subject == subject).map(|s| s.role);
    assert_eq!(role("user.slice/user-1000.slice/session-3.scope"), Some(Role::Workload));
    assert_eq!(role("init.scope"), Some(Role::Upkeep));
    let Reading::Signals(signals) = reading(&tree, "cloudinit") else { panic!("not read") };
    let blocks = |signal: &Signal| matches!(signal.value, Value::Blocks { .. });
    assert!(signals.iter().all(blocks) && signals.len() == 1);
}

/// What the engine with its defaults makes of one source that is read each ten seconds.
pub(in crate::sources) struct Judge {
    engine: agent_core::engine::Engine,
    source: agent_core::reading::SourceName,
}

impl Judge {
    /// It was never read.
    pub(in crate::sources) fn of(source: &str, now: Stamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agentd.toml");
        std::fs::write(&file, "mode = 'enforce'\nsampling.interval = '10s'\n").unwrap();
        let known = crate::config_command::known_sources();
        let loaded = crate::config::load(&crate::config::LoadFrom::File(file), &known).unwrap();
        let mut policy = loaded.settings.policy;
        policy.sources.retain(|name, _| name.as_str() == source);
        let source = policy.sources.keys().next().unwrap().clone();
        let recovery = agent_core::memory::Recovery::default();
        Self { engine: agent_core::engine::Engine::new(policy, recovery, now), source }
    }

    /// Whether a reading shows use.
    pub(in crate::sources) fn is_use(&mut self, now: Stamp, reading: Reading) -> bool {
        use agent_core::input::Input;
        let observation = agent_core::reading::Observation { source: self.source.clone(), reading };
        self.engine.step(now, Input::Observed(observation));
        self.engine.step(now, Input::Tick);
        self.engine.last_use_at() == Some(now)
    }
}
