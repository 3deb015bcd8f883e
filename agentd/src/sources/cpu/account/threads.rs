//! Kernel threads, and processes that sit in the top control group.
//!
//! Kernel threads are in no group but the top one, and `cpu.stat` of a group leaves them out. Most keep the machine; those
//! of the kernel's own servers serve somebody.

use std::collections::{BTreeMap, HashMap};

use super::super::tally::{Part, Tally};
use crate::host::cgroup::Hierarchy;
use crate::host::process::Processes;
use crate::host::{HostError, HostRoot};

/// Threads of servers in the kernel, by the beginning of their names or of the queues that a worker works on: NFS, SMB,
/// `WireGuard`, iSCSI and `NVMe` targets, DRBD.
const SERVERS: [(&str, &str); 8] = [
    ("nfsd", "nfsd"),
    ("ksmbd", "ksmbd"),
    ("wg-crypt", "WireGuard"),
    ("iscsi_ttx", "iSCSI"),
    ("iscsi_trx", "iSCSI"),
    ("iscsi_np", "iSCSI"),
    ("nvmet", "NVMe"),
    ("drbd_", "DRBD"),
];

/// Follows them.
#[derive(Debug)]
pub(super) struct Threads {
    processes: Processes,
    known: HashMap<u32, Known>,
    tally: Tally,
    look: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    start: u64,
    used_us: u64,
    look: u64,
}

/// What one walk found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// What kernel threads used since the walk before, by whom they serve; under the empty name all others.
    pub(super) threads: BTreeMap<&'static str, Used>,
    /// How many kernel threads there are.
    pub(super) kernel: usize,
    /// The same of processes of the top group, with what ended below them, microseconds.
    pub(super) processes_us: u64,
    /// One of them, the busiest.
    pub(super) process: Option<String>,
    /// Processes of the top group that are in a namespace out of sight.
    pub(super) unseen: usize,
    /// How many were read.
    pub(super) read: usize,
}

/// CPU time of some threads.
#[derive(Debug, Default)]
pub(super) struct Used {
    /// Microseconds.
    pub(super) us: u64,
    /// The busiest.
    pub(super) top: String,
    most_us: u64,
}

impl Threads {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        let processes = Processes::new(root);
        Self { processes, known: HashMap::new(), tally: Tally::default(), look: 0 }
    }

    /// Reads all that is in the top group. In the first walk nothing was used yet.
    pub(super) fn walk(&mut self, hierarchy: &Hierarchy) -> Result<Walk, HostError> {
        let first = self.look == 0;
        self.look += 1;
        let mut walk = Walk::default();
        let before = self.tally.total_us();
        self.tally.begin();
        let proc = self.processes.open()?;
        for pid in hierarchy.pids("")? {
            if pid == 0 {
                walk.unseen += 1;
                continue;
            }
            walk.read += 1;
            let Some(stat) = self.processes.read(&proc, pid)? else { continue };
            if !stat.kernel {
                self.tally.add(&stat, Part::Full);
                continue;
            }
            walk.kernel += 1;
            let now = Known { start: stat.start, used_us: stat.own_us, look: self.look };
            let old = self.known.insert(pid, now).filter(|old| old.start == stat.start);
            let used = match old {
                Some(old) => stat.own_us.saturating_sub(old.used_us),
                None if first => 0,
                None => stat.own_us,
            };
            let entry = walk.threads.entry(serves(stat.comm)).or_default();
            entry.us = entry.us.saturating_add(used);
            if used > entry.most_us {
                (entry.top, entry.most_us) = (stat.name(), used);
            }
        }
        self.tally.finish();
        let look = self.look;
        self.known.retain(|_, known| known.look == look);
        walk.processes_us = self.tally.total_us() - before;
        walk.process = self.tally.top().map(|top| format!("{}[{}]", top.name, top.pid));
        Ok(walk)
    }
}

/// Whom a kernel thread serves; empty if it keeps the machine. A worker tells the queue that it last worked on behind a
/// dash: `kworker/1:2-wg-crypt-wg0`.
fn serves(comm: &[u8]) -> &'static str {
    let work = match comm.strip_prefix(b"kworker/") {
        Some(worker) => {
            let dash = worker.iter().position(|byte| *byte == b'-' || *byte == b'+');
            dash.and_then(|at| worker.get(at + 1..)).unwrap_or_default()
        }
        None => comm,
    };
    let found = SERVERS.iter().find(|(name, _)| work.starts_with(name.as_bytes()));
    found.map_or("", |(_, served)| *served)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};

    #[test]
    fn servers_in_the_kernel_are_known_by_name_and_by_queue() {
        for (comm, served) in [
            ("nfsd", "nfsd"),
            ("ksmbd:eth0", "ksmbd"),
            ("kworker/3:1-wg-crypt-wg0", "WireGuard"),
            ("kworker/3:1+wg-crypt-wg0", "WireGuard"),
            ("kworker/u8:0-nvmet_tcp_wq", "NVMe"),
            ("iscsi_trx", "iSCSI"),
            ("drbd_r_data", "DRBD"),
            ("kworker/0:1-events", ""),
            ("kworker/0:1H", ""),
            ("ksoftirqd/0", ""),
            ("md127_resync", ""),
            ("nfsiod", ""),
        ] {
            assert_eq!(serves(comm.as_bytes()), served, "{comm}");
        }
    }

    #[test]
    fn threads_and_processes_of_the_top_group_are_counted_apart_and_from_the_first_walk_on() {
        let tree = Tree::new();
        tree.cgroup("system.slice", 0, &[]);
        let set = |tree: &Tree, kernel: u64, nfs: u64, own: u64, children: u64| {
            let thread = |pid, name: &str, own| {
                tree.process(&Process::new(pid, name).with(|p| (p.flags, p.own) = (0x0020_8040, own)));
            };
            thread(2, "kthreadd", kernel);
            thread(9, "nfsd", nfs);
            tree.process(&Process::new(70, "stray").with(|p| (p.own, p.children) = (own, children)));
            tree.cgroup("", 0, &[0, 2, 9, 70, 71]);
        };
        let hierarchy = Hierarchy::find(&tree.root()).unwrap().unwrap();
        let mut threads = Threads::new(tree.root());
        set(&tree, 100, 100, 100, 100);
        let walk = threads.walk(&hierarchy).unwrap();
        assert!(walk.threads.values().all(|used| used.us == 0));
        assert_eq!((walk.kernel, walk.unseen, walk.processes_us), (2, 1, 0));
        set(&tree, 101, 103, 104, 107);
        let walk = threads.walk(&hierarchy).unwrap();
        assert_eq!((walk.threads[""].us, walk.threads["nfsd"].us), (10_000, 30_000));
        assert_eq!(walk.processes_us, 110_000, "with the children that it waited for");
        assert_eq!(walk.threads["nfsd"].top, "nfsd");
        assert_eq!(walk.process.as_deref(), Some("stray[70]"));
        // A worker that is new since then counts from its start.
        tree.process(&Process::new(71, "kworker/0:2").with(|p| (p.flags, p.own) = (0x0020_8040, 5)));
        assert_eq!(threads.walk(&hierarchy).unwrap().threads[""].us, 50_000);
    }
}
