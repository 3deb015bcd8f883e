//! A package manager at work: its locks, if somebody really holds them.
//!
//! A machine that is stopped in the middle of an upgrade may not boot again. dpkg and APT leave their lock files lying
//! about, so only a lock that the kernel knows a holder of counts.

use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::{Lane, Opened, Source, SourceSpec, blind};
use crate::host::{HostError, HostRoot, lock};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "packages",
    about: "A package manager that installs or updates right now.",
    unit: "",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 0.0,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[],
    open: |context| Opened::Blocking(Box::new(Packages { root: context.host.clone() })),
};

/// A lock that is held for longer is stuck and no upgrade: two hours, in milliseconds.
const CAP_MS: u64 = 2 * 60 * 60 * 1000;

/// The folders whose presence tells that the package manager is in use, and its lock files. (dpkg(1) and APT's
/// `Dir::State::lists`, `Dir::Cache::archives`; rpm's `%_rpmlock_path`.)
const LOCKS: [(&str, &[&str]); 2] = [
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
];

#[derive(Debug)]
struct Packages {
    root: HostRoot,
}

impl Packages {
    fn look(&self) -> Result<Option<Vec<Signal>>, HostError> {
        let mut known = false;
        let mut signals = Vec::new();
        for (folder, locks) in LOCKS {
            if !self.root.exists(folder)? {
                continue;
            }
            known = true;
            for path in locks {
                let Some(holder) = lock::writer(&self.root, path)? else { continue };
                let signal = Signal::new(*path, Value::Blocks { cap_ms: CAP_MS });
                let owner = match (holder.name, holder.pid) {
                    (Some(name), Some(pid)) => Some(format!("{name}[{pid}]")),
                    (None, Some(pid)) => Some(format!("pid {pid}")),
                    (_, None) => None,
                };
                signals.push(Signal { owner, ..signal });
            }
        }
        Ok(known.then_some(signals))
    }
}

impl Source for Packages {
    fn read(&mut self, _now: Stamp) -> Reading {
        match self.look() {
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
        Packages { root: tree.root() }.read(Stamp::default())
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
}
