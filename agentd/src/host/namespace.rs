//! Network namespaces of other processes (`network_namespaces(7)`), as far as `/proc` shows them to everybody.
//!
//! `/proc/PID/net` shows the namespace of that process, and no privilege is asked for (`proc_net_ns` and
//! `get_proc_task_net` of `fs/proc/proc_net.c`), while entering a namespace or reading the link `/proc/PID/ns/net` takes
//! one. Every namespace has files of its own there, so the inode of `net/dev` tells namespaces apart.

use std::os::unix::fs::MetadataExt;

use super::process::number;
use super::{HostError, HostRoot};

/// The most of `/proc/PID/net/dev` that is read: thousands of interfaces.
const LIMIT: usize = 1 << 20;

/// What interfaces carried since they were made, in one direction or in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes, link headers included.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

impl Traffic {
    /// Adds what another one carried.
    pub fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets = self.packets.saturating_add(other.packets);
    }
}

/// What interfaces carried, by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// What came.
    pub received: Traffic,
    /// What went.
    pub sent: Traffic,
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    /// Its name.
    pub(super) name: String,
    /// What came.
    pub(super) received: Traffic,
    /// What went.
    pub(super) sent: Traffic,
}

/// A number for the network namespace of a process; none if the process ended. Two processes that live at the same time
/// have the same number only if they share a namespace.
pub fn of(root: &HostRoot, pid: u32) -> Result<Option<u64>, HostError> {
    Ok(root.inspect(&file(pid))?.map(|metadata| metadata.ino()))
}

/// The same for this process; none if the machine is a folder that does not tell.
pub fn own(root: &HostRoot) -> Result<Option<u64>, HostError> {
    Ok(root.inspect("/proc/self/net/dev")?.map(|metadata| metadata.ino()))
}

/// The traffic of the namespace of a process, `lo` left out; none if the process ended.
pub fn traffic(root: &HostRoot, pid: u32) -> Result<Option<Carried>, HostError> {
    let Some(found) = interfaces(root, &file(pid))? else { return Ok(None) };
    let mut sum = Carried::default();
    for one in found.iter().filter(|one| one.name != "lo") {
        sum.received.add(one.received);
        sum.sent.add(one.sent);
    }
    Ok(Some(sum))
}

/// The interfaces of a namespace from its `net/dev`; none if there is no such file.
pub(super) fn interfaces(
    root: &HostRoot,
    path: &str,
) -> Result<Option<Vec<Interface>>, HostError> {
    let mut text = Vec::new();
    match root.read_into(path, LIMIT, &mut text) {
        Ok(()) => {}
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    }
    // Two lines of headings, then `NAME: ` with eight numbers of what was received and eight of what was sent.
    let mut lines = text.split(|byte| *byte == b'\n');
    if !lines.by_ref().take(2).all(|line| line.contains(&b'|')) {
        return Err(HostError::malformed(path, "no headings"));
    }
    let read = |line: &[u8]| {
        interface(line).ok_or_else(|| {
            HostError::malformed(path, format!("'{}'", String::from_utf8_lossy(line).trim()))
        })
    };
    lines.filter(|line| !line.is_empty()).map(read).collect::<Result<_, _>>().map(Some)
}

fn interface(line: &[u8]) -> Option<Interface> {
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let (name, rest) = (line.get(..colon)?, line.get(colon + 1..)?);
    let words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let numbers: Vec<u64> = words.map(number).collect::<Option<_>>()?;
    let of = |index: usize| numbers.get(index).copied();
    Some(Interface {
        name: String::from_utf8_lossy(name.trim_ascii()).into_owned(),
        received: Traffic { bytes: of(0)?, packets: of(1)? },
        sent: Traffic { bytes: of(8)?, packets: of(9)? },
    })
}

fn file(pid: u32) -> String {
    format!("/proc/{pid}/net/dev")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn the_interfaces_but_the_loopback_are_summed() {
        let tree = Tree::new();
        let lines = "    lo: 900 9 0 0 0 0 0 0 900 9 0 0 0 0 0 0\n  eth0: 100 2 0 0 0 0 0 0 30 1 0 0 0 0 0 0\neth0:1:7 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n";
        tree.file("/proc/7/net/dev", format!("Inter-|\n face |\n{lines}"));
        let found = traffic(&tree.root(), 7).unwrap().unwrap();
        let received = Traffic { bytes: 107, packets: 3 };
        assert_eq!(found, Carried { received, sent: Traffic { bytes: 35, packets: 2 } });
        assert_eq!(traffic(&tree.root(), 8).unwrap(), None);
        assert_eq!(of(&tree.root(), 8).unwrap(), None);
        assert_eq!(own(&tree.root()).unwrap(), None);
    }

    #[test]
    fn garbage_is_an_error_that_names_the_file() {
        let tree = Tree::new();
        for line in ["eth0 1 2", "eth0: 1 2 3", "eth0: -1 2 0 0 0 0 0 0 1 1 0 0 0 0 0 0"] {
            tree.file("/proc/7/net/dev", format!("Inter-|\n face |\n{line}\n"));
            let error = traffic(&tree.root(), 7).unwrap_err().to_string();
            assert!(error.contains("/proc/7/net/dev"), "{error}");
        }
    }

    #[test]
    fn a_file_without_headings_is_no_absence_of_traffic() {
        let tree = Tree::new();
        for text in ["", "\n", "garbage", "Inter-|\n"] {
            tree.file("/proc/7/net/dev", text);
            assert!(traffic(&tree.root(), 7).is_err(), "{text}");
        }
    }

    #[test]
    fn this_process_and_its_children_share_a_namespace() {
        let root = HostRoot::real();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mine = own(&root).unwrap();
        assert!(mine.is_some());
        assert_eq!(of(&root, std::process::id()).unwrap(), mine);
        assert_eq!(of(&root, child.id()).unwrap(), mine);
        assert!(traffic(&root, child.id()).unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(of(&root, child.id()).unwrap(), None);
    }

    #[test]
    fn another_namespace_has_another_number() {
        let started =
            std::process::Command::new("unshare").args(["--user", "--net", "sleep", "60"]).spawn();
        let Ok(mut child) = started else { return };
        let root = HostRoot::real();
        let mine = own(&root).unwrap();
        // Between the fork and its own namespace the child is in this one.
        let apart = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            of(&root, child.id()).unwrap().is_some_and(|found| Some(found) != mine)
        });
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            apart || ended,
            "unprivileged namespaces are allowed here, but this one looks like ours"
        );
    }
}
