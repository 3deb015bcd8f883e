//! A package manager at work, or a shutdown that is already on its way.
//!
//! A machine that is stopped in the middle of an upgrade may not boot again. dpkg and APT leave their lock files lying
//! about, so only a lock that the kernel knows a holder of counts; dnf and yum write their number into a file, which counts
//! while that process lives. The services that upgrade unattended count while they have processes, also between
//! two locks. (`unattended-upgrades.service` itself is a daemon that only waits for shutdowns.)
//!
//! A shutdown or reboot that somebody scheduled (shutdown(8)) and that is due soon is not forestalled either.

use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::{Lane, Opened, Source, SourceSpec, blind};
use crate::actuators::text;
use crate::host::cgroup::Hierarchy;
use crate::host::{HostError, HostRoot, lock};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "packages",
    about: "A package manager that installs or updates right now, or a shutdown that is scheduled soon.",
    unit: "",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 0.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[],
    open: |context| Opened::Blocking(Box::new(Packages::new(context.host.clone()))),
};

/// A lock that is held for longer is stuck and no upgrade: two hours, in milliseconds.
const CAP_MS: u64 = 2 * 60 * 60 * 1000;
/// A shutdown that is due later than this is not waited for; one that is so much overdue will not come.
const SHUTDOWN_WITHIN_MS: i64 = 2 * 60 * 60 * 1000;
const OVERDUE_MS: i64 = 10 * 60 * 1000;
/// The most of a small file that is read.
const SMALL: usize = 64 << 10;

/// The folders whose presence tells that the package manager is in use, and its lock files. (dpkg(1) and APT's
/// `Dir::State::lists`, `Dir::Cache::archives`; rpm's `%_rpmlock_path`, which moved to `/usr` in newer Fedoras.)
const LOCKS: [(&str, &[&str]); 3] = [
    (
        "/var/lib/dpkg",
        &[
            "/var/lib/dpkg/lock-frontend",
            "/var/lib/dpkg/lock",
            "/var/lib/apt/lists/lock",
            "/var/cache/apt/archives/lock",
        ],
    ),
    ("/var/lib/rpm", &["/var/lib/rpm/.rpm.lock"]),
    ("/usr/lib/sysimage/rpm", &["/usr/lib/sysimage/rpm/.rpm.lock"]),
];

/// Files into which dnf and yum write their number (dnf's `lock.py`; yum.conf(5)).
const PIDS: [&str; 5] = [
    "/run/yum.pid",
    "/run/dnf.pid",
    "/var/cache/dnf/metadata_lock.pid",
    "/var/cache/dnf/download_lock.pid",
    "/var/lib/dnf/rpmdb_lock.pid",
];
/// What such a process may be called: the file may be left over, and its number another program's by now.
const MANAGERS: [&str; 6] = ["dnf", "yum", "python", "packagekit", "microdnf", "rpm"];

/// The services that upgrade by themselves, as cgroups.
const SERVICES: [&str; 6] = [
    "apt-daily.service",
    "apt-daily-upgrade.service",
    "dnf-automatic.service",
    "dnf-automatic-install.service",
    "dnf5-automatic.service",
    "packagekit-offline-update.service",
];

/// What logind, or shutdown(8) of older systemds, keeps of a scheduled shutdown.
const SHUTDOWN: &str = "/run/systemd/shutdown/scheduled";

#[derive(Debug)]
struct Packages {
    root: HostRoot,
    /// A package manager was there before, so its absence is a fault.
    seen: bool,
}

impl Packages {
    fn new(root: HostRoot) -> Self {
        Self { root, seen: false }
    }

    fn look(&mut self, now: Stamp) -> Result<Option<Vec<Signal>>, HostError> {
        let mut known = false;
        let mut signals = Vec::new();
        for (folder, locks) in LOCKS {
            if !self.root.exists(folder)? {
                continue;
            }
            known = true;
            for path in locks {
                let Some(holder) = lock::writer(&self.root, path)? else { continue };
                let owner = match (holder.name, holder.pid) {
                    (Some(name), Some(pid)) => Some(format!("{name}[{pid}]")),
                    (None, Some(pid)) => Some(format!("pid {pid}")),
                    (_, None) => None,
                };
                signals.push(Signal { owner, ..block(path) });
            }
        }
        for path in PIDS {
            signals.extend(self.writer(path)?);
        }
        signals.extend(self.services()?);
        signals.extend(self.shutdown(now)?);
        if self.seen && !known {
            return Err(HostError::malformed("/var/lib/dpkg", "it was there before"));
        }
        self.seen |= known;
        Ok((known || !signals.is_empty()).then_some(signals))
    }

    /// The package manager that wrote its number into a file and still lives.
    fn writer(&self, path: &str) -> Result<Option<Signal>, HostError> {
        let Some(text) = self.small(path)? else { return Ok(None) };
        // A file that is just being written is empty.
        if text.trim().is_empty() {
            return Ok(None);
        }
        let pid: u32 = text
            .trim()
            .parse()
            .map_err(|_| HostError::malformed(path, "no number of a process is in it"))?;
        let Some(name) = self.small(&format!("/proc/{pid}/comm"))? else { return Ok(None) };
        let name = name.trim_end();
        let manager = MANAGERS.iter().any(|manager| name.starts_with(manager));
        Ok(manager.then(|| block(path).owned_by(format!("{name}[{pid}]"))))
    }

    /// The services that have processes.
    fn services(&self) -> Result<Vec<Signal>, HostError> {
        let Some(groups) = Hierarchy::find(&self.root)? else { return Ok(Vec::new()) };
        let mut signals = Vec::new();
        for service in SERVICES {
            if let Some(pid) = groups.pids(&format!("system.slice/{service}"))?.first() {
                signals.push(block(service).owned_by(format!("pid {pid}")));
            }
        }
        Ok(signals)
    }

    /// A scheduled shutdown. One whose time makes no sense is taken for soon.
    fn shutdown(&self, now: Stamp) -> Result<Option<Signal>, HostError> {
        let Some(text) = self.small(SHUTDOWN)? else { return Ok(None) };
        let value = |key: &str| {
            let lines = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            lines.map(|value| value.trim_matches('"'))
        };
        let mode = text::stripped(value("MODE").unwrap_or("shutdown"), 20);
        let signal = block(&format!("scheduled {mode}"));
        let at = value("USEC").and_then(|usec| usec.parse::<i64>().ok()).map(|usec| usec / 1000);
        let Some(at) = at else { return Ok(Some(signal)) };
        let wait = at.saturating_sub(now.wall_ms);
        let soon = (-OVERDUE_MS..=SHUTDOWN_WITHIN_MS).contains(&wait);
        Ok(soon.then(|| signal.owned_by(format!("due {}", text::time_of_day(at)))))
    }

    /// A small file; none if it is not there.
    fn small(&self, path: &str) -> Result<Option<String>, HostError> {
        let mut text = Vec::new();
        match self.root.read_into(path, SMALL, &mut text) {
            Ok(()) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn block(subject: &str) -> Signal {
    Signal::new(subject, Value::Blocks { cap_ms: CAP_MS })
}

impl Source for Packages {
    fn read(&mut self, now: Stamp) -> Reading {
        match self.look(now) {
            Ok(Some(signals)) => Reading::Signals(signals),
            Ok(None) => Reading::absent("neither '/var/lib/dpkg' nor '/var/lib/rpm' exists"),
            Err(error) => blind(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    use std::fs::File;

    fn read(tree: &Tree) -> Reading {
        Packages::new(tree.root()).read(now())
    }

    fn now() -> Stamp {
        Stamp::new(1_000_000, 0, 1_700_000_000_000)
    }

    fn blocking(reading: Reading) -> Vec<String> {
        let Reading::Signals(signals) = reading else { panic!("{reading:?}") };
        let line = |signal: Signal| match signal.value {
            Value::Blocks { cap_ms: 7_200_000 } => {
                format!("{} ({})", signal.subject, signal.owner.unwrap_or_default())
            }
            other => panic!("{other:?}"),
        };
        signals.into_iter().map(line).collect()
    }

    fn hold(tree: &Tree, path: &str) -> File {
        let file = File::options().read(true).write(true).open(tree.path(path)).unwrap();
        let lock = libc::flock {
            l_type: i16::try_from(libc::F_WRLCK).unwrap(),
            l_whence: 0,
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        file
    }

    #[test]
    fn a_machine_without_a_package_manager_has_none() {
        assert!(matches!(read(&Tree::new()), Reading::Absent { .. }));
    }

    #[test]
    fn a_lock_file_without_a_holder_does_not_block() {
        let tree = Tree::new();
        tree.folder("/var/lib/dpkg");
        assert_eq!(read(&tree), Reading::Signals(Vec::new()));
        tree.file("/var/lib/dpkg/lock-frontend", "");
        tree.file("/var/lib/apt/lists/lock", "");
        assert_eq!(read(&tree), Reading::Signals(Vec::new()));
    }

    #[test]
    fn each_lock_blocks_while_it_is_held_for_at_most_two_hours() {
        for (folder, locks) in LOCKS {
            for path in locks {
                let tree = Tree::new();
                tree.folder(folder);
                tree.file(path, "");
                let file = hold(&tree, path);
                let blocks = Value::Blocks { cap_ms: 7_200_000 };
                assert_eq!(read(&tree), Reading::Signals(vec![Signal::new(*path, blocks)]));
                drop(file);
                assert_eq!(read(&tree), Reading::Signals(Vec::new()));
            }
        }
    }

    #[test]
    fn a_lock_that_cannot_be_looked_at_is_blind() {
        let tree = Tree::new();
        tree.folder("/var/lib/dpkg");
        // A loop of links cannot be followed, and it is not an absence.
        std::os::unix::fs::symlink("lock", tree.path("/var/lib/dpkg/lock")).unwrap();
        let Reading::Blind { why } = read(&tree) else { panic!("not blind") };
        assert!(why.contains("/var/lib/dpkg/lock"), "{why}");
    }

    #[test]
    fn dnf_and_yum_block_while_the_process_that_wrote_its_number_lives() {
        for path in PIDS {
            let tree = Tree::new();
            tree.folder("/var/lib/rpm");
            tree.file(path, "812\n");
            assert!(blocking(read(&tree)).is_empty(), "{path}: it ended");
            tree.file("/proc/812/comm", "nginx\n");
            assert!(blocking(read(&tree)).is_empty(), "{path}: the number is another's");
            tree.file("/proc/812/comm", "dnf\n");
            assert_eq!(blocking(read(&tree)), [format!("{path} (dnf[812])")]);
            tree.file(path, "");
            assert!(blocking(read(&tree)).is_empty(), "{path} is just being written");
            tree.file(path, "garbage");
            let Reading::Blind { why } = read(&tree) else { panic!("{path} is believed") };
            assert!(why.contains(path), "{why}");
        }
    }

    #[test]
    fn a_service_that_upgrades_blocks_while_it_has_processes() {
        let tree = Tree::new();
        tree.folder("/var/lib/dpkg");
        tree.cgroup("system.slice", 0, &[]);
        tree.cgroup("system.slice/unattended-upgrades.service", 0, &[600]);
        tree.cgroup("system.slice/apt-daily-upgrade.service", 0, &[]);
        assert!(blocking(read(&tree)).is_empty());
        tree.cgroup("system.slice/apt-daily-upgrade.service", 0, &[700, 701]);
        assert_eq!(blocking(read(&tree)), ["apt-daily-upgrade.service (pid 700)"]);
    }

    #[test]
    fn a_shutdown_that_is_due_soon_is_not_forestalled() {
        let tree = Tree::new();
        tree.folder("/var/lib/dpkg");
        for (minutes, mode, expected) in [
            (5, "reboot", Some("scheduled reboot (due 22:18:20 UTC)")),
            (119, "poweroff", Some("scheduled poweroff (due 00:12:20 UTC)")),
            (121, "poweroff", None),
            (-9, "reboot", Some("scheduled reboot (due 22:04:20 UTC)")),
            (-11, "reboot", None),
        ] {
            let usec = (now().wall_ms + minutes * 60_000) * 1000;
            tree.file(SHUTDOWN, format!("USEC={usec}\nWARN_WALL=1\nMODE={mode}\n"));
            assert_eq!(blocking(read(&tree)), Vec::from_iter(expected), "{minutes}");
        }
        tree.file(SHUTDOWN, "garbage");
        assert_eq!(blocking(read(&tree)), ["scheduled shutdown ()"]);
    }

    #[test]
    fn a_package_manager_that_vanishes_is_blind() {
        let tree = Tree::new();
        tree.folder("/var/lib/dpkg");
        let mut packages = Packages::new(tree.root());
        packages.read(now());
        tree.remove("/var/lib/dpkg");
        assert!(matches!(packages.read(now()), Reading::Blind { .. }));
    }
}
