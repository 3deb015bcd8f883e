//! Control groups (cgroups(7)): which there are, what CPU time and disk I/O they used, and which processes are in them.
//!
//! The counters of a group include those of the groups below it and of the processes that ended in it, and exclude
//! kernel threads (`Documentation/admin-guide/cgroup-v2.rst`, `cpu.stat` and `io.stat`). `usage_usec` is there whether
//! or not the cpu controller is enabled.

use std::os::unix::fs::{DirEntryExt, MetadataExt};

use super::process::number;
use super::psi::{self, Pressure};
use super::{HostError, HostRoot};

/// The most of any cgroup file that is read.
const LIMIT: usize = 1 << 20;
/// The most groups in one group.
const FOLDERS: usize = 8192;
/// The slices of which at least one is on every machine with systemd.
const SLICES: [&str; 2] = ["system.slice", "user.slice"];
/// Where hierarchies are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Which hierarchy accounts for CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The unified hierarchy: `cpu.stat`, microseconds.
    Unified,
    /// A hierarchy of version 1 with the controller cpuacct: `cpuacct.usage`, nanoseconds.
    Legacy,
}

/// A hierarchy in which systemd keeps its slices.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    root: HostRoot,
    base: String,
    version: Version,
}

impl Hierarchy {
    /// The hierarchy that accounts for CPU time: the unified one, else that of cpuacct. None if there is neither, or if
    /// systemd's slices are not in it: then groups say nothing about whose work is done.
    pub fn find(root: &HostRoot) -> Result<Option<Self>, HostError> {
        if root.exists("/sys/fs/cgroup/cgroup.controllers")? {
            return Self::with_slices(root, MOUNT.to_owned(), Version::Unified);
        }
        for controllers in ["cpu,cpuacct", "cpuacct"] {
            let found = Self::with_slices(root, format!("{MOUNT}/{controllers}"), Version::Legacy)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The unified hierarchy, by whose groups the kernel knows sockets: at the top, or beside those of version 1. None
    /// if systemd's slices are not in it.
    pub fn find_unified(root: &HostRoot) -> Result<Option<Self>, HostError> {
        for base in [MOUNT.to_owned(), format!("{MOUNT}/unified")] {
            if root.exists(&format!("{base}/cgroup.controllers"))? {
                return Self::with_slices(root, base, Version::Unified);
            }
        }
        Ok(None)
    }

    fn with_slices(
        root: &HostRoot,
        base: String,
        version: Version,
    ) -> Result<Option<Self>, HostError> {
        for slice in SLICES {
            if root.exists(&format!("{base}/{slice}"))? {
                return Ok(Some(Self { root: root.clone(), base, version }));
            }
        }
        Ok(None)
    }

    /// Which version it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether the top of what is mounted is not that of the kernel but somebody's group, as in a container: only the
    /// kernel's own has neither of these files (`Documentation/admin-guide/cgroup-v2.rst`).
    pub fn is_nested(&self) -> Result<bool, HostError> {
        for name in ["cgroup.events", "cgroup.type"] {
            if self.root.exists(&self.file("", name))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names of the groups directly below `path`, sorted; none if `path` is gone. `path` has no leading slash.
    pub fn children(&self, path: &str) -> Result<Vec<String>, HostError> {
        match self.root.folders(&self.file(path, ""), FOLDERS) {
            // The top is never gone as long as the hierarchy is mounted.
            Err(error) if error.is_missing() && !path.is_empty() => Ok(Vec::new()),
            other => other,
        }
    }

    /// The names of the groups at the top, sorted. A hierarchy in which systemd's slices were and are no more (it was
    /// unmounted) is an error: without them it would look like a machine on which nobody does anything.
    pub fn tops(&self) -> Result<Vec<String>, HostError> {
        let tops = self.children("")?;
        if tops.iter().any(|top| SLICES.contains(&top.as_str())) {
            return Ok(tops);
        }
        Err(HostError::malformed(self.base.as_str(), "systemd's slices are no longer in it"))
    }

    /// The CPU time used in a group since it was made, in microseconds; none if the group is gone.
    pub fn cpu_us(&self, path: &str) -> Result<Option<u64>, HostError> {
        let file = match self.version {
            Version::Unified => self.file(path, "cpu.stat"),
            Version::Legacy => self.file(path, "cpuacct.usage"),
        };
        let Some(text) = self.read(&file)? else {
            // Every group has it, so it is gone with its group only.
            let there = self.exists(path)?;
            let none = HostError::malformed(file, "the group has none");
            return if there { Err(none) } else { Ok(None) };
        };
        let usage = match self.version {
            Version::Unified => {
                lines(&text).find_map(|line| line.strip_prefix(b"usage_usec ")).and_then(number)
            }
            Version::Legacy => lines(&text).next().and_then(number).map(|ns| ns / 1000),
        };
        usage.map(Some).ok_or_else(|| HostError::malformed(file, "no CPU usage in it"))
    }

    /// The bytes read from and written to each block device by a group since it was made, by the device's number
    /// (`MAJ:MIN`), or none if the io controller is not enabled for it (or the group is gone).
    pub fn io_bytes(&self, path: &str) -> Result<Option<Vec<(String, u64)>>, HostError> {
        if self.version == Version::Legacy {
            return Ok(None);
        }
        let file = self.file(path, "io.stat");
        let Some(text) = self.read(&file)? else { return Ok(None) };
        let mut devices = Vec::new();
        if !text.is_empty() && !text.ends_with(b"\n") {
            return Err(HostError::malformed(file, "its last line has no end"));
        }
        for line in lines(&text) {
            let mut fields = line.split(|byte| *byte == b' ');
            let device = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
            let mut sum = 0_u64;
            for field in fields {
                let bytes = field.strip_prefix(b"rbytes=").or(field.strip_prefix(b"wbytes="));
                if let Some(bytes) = bytes {
                    let bytes = number(bytes)
                        .ok_or_else(|| HostError::malformed(file.as_str(), "a bad byte count"))?;
                    sum = sum.saturating_add(bytes);
                }
            }
            devices.push((device, sum));
        }
        Ok(Some(devices))
    }

    /// The pressure of `cpu`, `io` or `memory` on a group; none where the kernel does not keep it, or the group is gone.
    pub fn pressure(&self, path: &str, of: &str) -> Result<Option<Pressure>, HostError> {
        if self.version == Version::Legacy {
            return Ok(None);
        }
        psi::read(&self.root, &self.file(path, &format!("{of}.pressure")))
    }

    /// The processes in a group itself, not in those below it; none if the group is gone. A threaded group has none of
    /// its own: they are listed in the group above it that is not threaded.
    pub fn pids(&self, path: &str) -> Result<Vec<u32>, HostError> {
        let file = self.file(path, "cgroup.procs");
        let text = match self.read(&file) {
            Err(HostError::Io { error, .. })
                if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) =>
            {
                None
            }
            other => other?,
        };
        let Some(text) = text else { return Ok(Vec::new()) };
        text.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| number(line).and_then(|pid| u32::try_from(pid).ok()))
            .collect::<Option<_>>()
            .ok_or_else(|| HostError::malformed(file, "a line is not a pid"))
    }

    /// The processes in a group and in those below it, so many levels of groups in all.
    pub fn pids_within(&self, path: &str, levels: usize) -> Result<Vec<u32>, HostError> {
        let mut pids = self.pids(path)?;
        if levels > 1 {
            for name in self.children(path)? {
                pids.extend(self.pids_within(&format!("{path}/{name}"), levels - 1)?);
            }
        }
        Ok(pids)
    }

    /// The number by which the kernel calls a group, its inode; none if it is gone. A group that is made anew under the same
    /// name has another one.
    pub fn id(&self, path: &str) -> Result<Option<u64>, HostError> {
        Ok(self.root.inspect(&self.file(path, ""))?.map(|metadata| metadata.ino()))
    }

    /// Whether a group exists.
    pub fn exists(&self, path: &str) -> Result<bool, HostError> {
        self.root.exists(&self.file(path, ""))
    }

    /// Every group with the number by which the kernel calls it, its inode (`cgroup_id` of a socket or a task).
    pub fn ids(&self) -> Result<Vec<(u64, String)>, HostError> {
        let Some(top) = self.root.inspect(&self.file("", ""))? else { return Ok(Vec::new()) };
        let mut ids = vec![(top.ino(), String::new())];
        // The list is its own queue: what is below an entry is put behind it.
        let mut next = 0;
        while let Some((_, path)) = ids.get(next) {
            let separator = if path.is_empty() { "" } else { "/" };
            let prefix = format!("{path}{separator}");
            let folder = self.file(path, "");
            next += 1;
            for entry in std::fs::read_dir(self.root.path(&folder)).into_iter().flatten().flatten()
            {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let name = entry.file_name();
                    ids.push((entry.ino(), format!("{prefix}{}", name.to_string_lossy())));
                }
            }
            if ids.len() > FOLDERS {
                return Err(HostError::malformed(folder, format!("more than {FOLDERS} groups")));
            }
        }
        Ok(ids)
    }

    /// The group that this process is in, without a leading slash; none where that is not told.
    pub fn own(&self) -> Result<Option<String>, HostError> {
        let text = match self.root.read_text("/proc/self/cgroup", LIMIT) {
            Err(error) if error.is_missing() => return Ok(None),
            other => other?,
        };
        Ok(text.lines().find_map(|line| {
            let (number, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let mine = match self.version {
                Version::Unified => number == "0",
                Version::Legacy => controllers.split(',').any(|name| name == "cpuacct"),
            };
            mine.then(|| path.trim_start_matches('/').to_owned())
        }))
    }

    fn file(&self, path: &str, name: &str) -> String {
        let separator = if path.is_empty() { "" } else { "/" };
        format!("{}{separator}{path}/{name}", self.base)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, HostError> {
        let mut text = Vec::new();
        match self.root.read_into(file, LIMIT, &mut text) {
            Ok(()) => Ok(Some(text)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The lines that have an end: a number that was cut off is a smaller one.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn the_unified_hierarchy_is_preferred_and_read() {
        let tree = Tree::new();
        tree.cgroup_v1("system.slice", 1, &[]);
        tree.cgroup("system.slice/ssh.service", 1500, &[7, 8]);
        let groups = Hierarchy::find(&tree.root()).unwrap().unwrap();
        assert_eq!(groups.version(), Version::Unified);
        assert_eq!(groups.children("").unwrap(), ["cpu,cpuacct", "system.slice"]);
        assert_eq!(groups.children("system.slice").unwrap(), ["ssh.service"]);
        assert_eq!(groups.cpu_us("system.slice/ssh.service").unwrap(), Some(1500));
        assert_eq!(groups.pids("system.slice/ssh.service").unwrap(), [7, 8]);
        assert!(groups.exists("system.slice").unwrap());
    }

    #[test]
    fn the_legacy_hierarchy_counts_nanoseconds() {
        let tree = Tree::new();
        tree.cgroup_v1("user.slice/user-1000.slice", 2_000_999, &[9]);
        let groups = Hierarchy::find(&tree.root()).unwrap().unwrap();
        assert_eq!(groups.version(), Version::Legacy);
        assert_eq!(groups.cpu_us("user.slice/user-1000.slice").unwrap(), Some(2000));
        assert_eq!(groups.pids("user.slice/user-1000.slice").unwrap(), [9]);
        assert_eq!(groups.io_bytes("user.slice/user-1000.slice").unwrap(), None);
    }

    #[test]
    fn a_hierarchy_without_slices_says_nothing() {
        let tree = Tree::new();
        assert!(Hierarchy::find(&tree.root()).unwrap().is_none());
        tree.cgroup_v1("docker/abc", 1, &[]);
        assert!(Hierarchy::find(&tree.root()).unwrap().is_none());
        tree.cgroup("docker/abc", 1, &[]);
        assert!(Hierarchy::find(&tree.root()).unwrap().is_none());
    }

    #[test]
    fn the_top_of_a_container_is_told_from_the_kernels() {
        let tree = Tree::new();
        tree.cgroup("system.slice", 1, &[]);
        let groups = Hierarchy::find(&tree.root()).unwrap().unwrap();
        assert!(!groups.is_nested().unwrap());
        tree.file("/sys/fs/cgroup/cgroup.type", "domain\n");
        assert!(groups.is_nested().unwrap());
    }

    #[test]
    fn a_group_that_is_gone_is_no_error_and_no_zero() {
        let tree = Tree::new();
        tree.cgroup("system.slice", 1, &[]);
        let groups = Hierarchy::find(&tree.root()).unwrap().unwrap();
        assert_eq!(groups.cpu_us("user.slice/user-1.slice").unwrap(), None);
        assert_eq!(groups.io_bytes("user.slice").unwrap(), None);
        assert!(groups.pids("user.slice").unwrap().is_empty());
        assert!(groups.children("user.slice").unwrap().is_empty());
        assert!(!groups.exists("user.slice").unwrap());
    }

    #[test]
    fn groups_have_the_numbers_of_their_folders() {
        let tree = Tree::new();
        tree.cgroup("system.slice/a.service/sub", 1, &[]);
        let groups = Hierarchy::find_unified(&tree.root()).unwrap().unwrap();
        let ids = groups.ids().unwrap();
        let paths: Vec<_> = ids.iter().map(|(_, path)| path.as_str()).collect();
        let expected = ["", "system.slice", "system.slice/a.service", "system.slice/a.service/sub"];
        assert_eq!(paths, expected);
        for (id, path) in ids {
            let folder = tree.path(&format!("/sys/fs/cgroup/{path}"));
            assert_eq!(id, std::fs::metadata(folder).unwrap().ino(), "{path}");
        }
    }

    #[test]
    fn the_unified_hierarchy_is_found_beside_version_1() {
        let tree = Tree::new();
        tree.cgroup_v1("system.slice", 1, &[]);
        assert!(Hierarchy::find_unified(&tree.root()).unwrap().is_none());
        tree.file("/sys/fs/cgroup/unified/cgroup.controllers", "");
        assert!(Hierarchy::find_unified(&tree.root()).unwrap().is_none(), "no slices in it");
        tree.folder("/sys/fs/cgroup/unified/user.slice");
        let groups = Hierarchy::find_unified(&tree.root()).unwrap().unwrap();
        assert_eq!(groups.children("").unwrap(), ["user.slice"]);
    }

    #[test]
    fn garbage_is_an_error_that_names_the_file() {
        let tree = Tree::new();
        tree.cgroup("system.slice", 1, &[]);
        let groups = Hierarchy::find(&tree.root()).unwrap().unwrap();
        for content in ["", "usage_usec -5\n", "usage_usec \n", "nr_periods 4\n"] {
            tree.file("/sys/fs/cgroup/system.slice/cpu.stat", content);
            let error = groups.cpu_us("system.slice").unwrap_err().to_string();
            assert!(error.contains("system.slice/cpu.stat"), "{error}");
        }
        tree.file("/sys/fs/cgroup/system.slice/cgroup.procs", "12\nx\n");
        assert!(groups.pids("system.slice").is_err());
        tree.file("/sys/fs/cgroup/system.slice/io.stat", "259:0 rbytes=x wbytes=1\n");
        assert!(groups.io_bytes("system.slice").is_err());
    }

    #[test]
    fn io_is_told_by_device() {
        let tree = Tree::new();
        tree.cgroup("user.slice", 1, &[]);
        let groups = Hierarchy::find(&tree.root()).unwrap().unwrap();
        let line = "259:0 rbytes=100 wbytes=20 rios=4 wios=1 dbytes=999 dios=0\n253:0 \n";
        tree.file("/sys/fs/cgroup/user.slice/io.stat", format!("{line}8:0 rbytes=3 wbytes=0\n"));
        let devices = [("259:0", 120), ("253:0", 0), ("8:0", 3)];
        let devices = devices.map(|(device, bytes)| (device.to_owned(), bytes)).to_vec();
        assert_eq!(groups.io_bytes("user.slice").unwrap(), Some(devices));
        tree.file("/sys/fs/cgroup/user.slice/io.stat", "");
        assert_eq!(groups.io_bytes("user.slice").unwrap(), Some(Vec::new()));
    }

    #[test]
    fn the_own_group_is_that_of_the_hierarchy_in_use() {
        let tree = Tree::new();
        tree.file(
            "/proc/self/cgroup",
            "5:cpu,cpuacct:/system.slice/old.service\n1:name=systemd:/x\n0::/system.slice/agentd.service\n",
        );
        tree.cgroup_v1("system.slice", 1, &[]);
        let legacy = Hierarchy::find(&tree.root()).unwrap().unwrap();
        assert_eq!(legacy.own().unwrap().as_deref(), Some("system.slice/old.service"));
        tree.cgroup("system.slice", 1, &[]);
        let unified = Hierarchy::find(&tree.root()).unwrap().unwrap();
        assert_eq!(unified.own().unwrap().as_deref(), Some("system.slice/agentd.service"));
        tree.remove("/proc/self/cgroup");
        assert_eq!(unified.own().unwrap(), None);
    }
}
