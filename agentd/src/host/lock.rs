//! Who really holds a lock on a file (fcntl(2), "Advisory record locking"). A lock file without a holder is nothing.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::{HostError, HostRoot};

/// The most of `/proc/locks` that is read.
const LIMIT: usize = 4 << 20;

/// The holder of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, where the kernel tells it (not for locks of an open file description, nor of a process in a
    /// container).
    pub pid: Option<u32>,
    /// Its name, if it still runs.
    pub name: Option<String>,
}

/// Who holds a write lock on `path`; none if nobody does or if there is no such file.
///
/// The kernel is asked with `F_OFD_GETLK`, which changes nothing. Where the file may not be opened (dpkg's belong to
/// root alone), `/proc/locks` is searched for the file's inode.
pub fn writer(root: &HostRoot, path: &str) -> Result<Option<Holder>, HostError> {
    let pid = match File::open(root.path(path)) {
        Ok(file) => conflicting(&file, path)?,
        Err(error) => {
            let error = HostError::io("open", path, error);
            if error.is_missing() {
                return Ok(None);
            }
            if !error.is_denied() {
                return Err(error);
            }
            listed(root, path)?
        }
    };
    Ok(pid.map(|pid| {
        let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0);
        Holder { pid, name: pid.and_then(|pid| name(root, pid)) }
    }))
}

/// Asks the kernel who keeps a read lock on the whole file from being taken: only write locks do.
fn conflicting(file: &File, path: &str) -> Result<Option<i32>, HostError> {
    let mut lock = libc::flock {
        l_type: flag(libc::F_RDLCK),
        l_whence: flag(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock))
        .map_err(|errno| HostError::io("look for a lock on", path, errno))?;
    Ok((lock.l_type != flag(libc::F_UNLCK)).then_some(lock.l_pid))
}

fn flag(value: i32) -> i16 {
    i16::try_from(value).unwrap_or_default()
}

/// Searches `/proc/locks` (`proc_locks(5)`). Devices are not compared, since btrfs shows another number there than in
/// stat(2); a lock on the same inode number of another disk is an improbable false alarm on the safe side.
fn listed(root: &HostRoot, path: &str) -> Result<Option<i32>, HostError> {
    let Some(metadata) = root.inspect(path)? else { return Ok(None) };
    let text = root.read_text("/proc/locks", LIMIT)?;
    let inode = metadata.ino().to_string();
    Ok(text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // "1: POSIX ADVISORY WRITE 1234 fe:01:131075 0 EOF"; a waiter has "->" after the number and holds nothing.
        let [_, kind, _, "WRITE", pid, file, ..] = fields.as_slice() else { return None };
        let same = file.rsplit(':').next() == Some(inode.as_str());
        (same && ["POSIX", "OFDLCK"].contains(kind)).then(|| pid.parse().unwrap_or(-1))
    }))
}

fn name(root: &HostRoot, pid: u32) -> Option<String> {
    let text = root.read_text(&format!("/proc/{pid}/comm"), 4096).ok()?;
    Some(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    const LOCK: &str = "/var/lib/dpkg/lock-frontend";

    /// Takes a write lock as dpkg does, but owned by the open file, so that this process can see it as a stranger's.
    fn hold(tree: &Tree) -> File {
        let file = File::options().read(true).write(true).open(tree.path(LOCK)).unwrap();
        let lock = libc::flock {
            l_type: flag(libc::F_WRLCK),
            l_whence: flag(libc::SEEK_SET),
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        file
    }

    #[test]
    fn a_file_without_a_holder_is_free() {
        let tree = Tree::new();
        assert_eq!(writer(&tree.root(), LOCK).unwrap(), None);
        tree.file(LOCK, "");
        assert_eq!(writer(&tree.root(), LOCK).unwrap(), None);
    }

    #[test]
    fn a_held_lock_is_seen_until_it_is_released() {
        let tree = Tree::new();
        tree.file(LOCK, "");
        let file = hold(&tree);
        assert_eq!(writer(&tree.root(), LOCK).unwrap(), Some(Holder { pid: None, name: None }));
        drop(file);
        assert_eq!(writer(&tree.root(), LOCK).unwrap(), None);
    }

    #[test]
    fn a_lock_of_a_process_tells_its_pid() {
        let tree = Tree::new();
        tree.file(LOCK, "");
        let file = File::options().read(true).write(true).open(tree.path(LOCK)).unwrap();
        let lock = libc::flock {
            l_type: flag(libc::F_WRLCK),
            l_whence: flag(libc::SEEK_SET),
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_SETLK(&lock)).unwrap();
        let pid = std::process::id();
        tree.file(&format!("/proc/{pid}/comm"), "unattended-upgr\n");
        let holder = writer(&tree.root(), LOCK).unwrap().unwrap();
        assert_eq!(holder.pid, Some(pid));
        assert_eq!(holder.name.as_deref(), Some("unattended-upgr"));
    }

    #[test]
    fn the_list_of_locks_is_searched_by_inode() {
        let tree = Tree::new();
        tree.file(LOCK, "");
        let inode = std::fs::metadata(tree.path(LOCK)).unwrap().ino();
        let root = tree.root();
        assert!(listed(&root, LOCK).is_err(), "no list of locks: unknown, not free");
        for (line, expected) in [
            (format!("1: POSIX  ADVISORY  WRITE 812 fe:01:{inode} 0 EOF"), Some(812)),
            (format!("1: OFDLCK ADVISORY  WRITE -1 fe:01:{inode} 0 EOF"), Some(-1)),
            (format!("1: POSIX  ADVISORY  READ 812 fe:01:{inode} 0 EOF"), None),
            (format!("1: FLOCK  ADVISORY  WRITE 812 fe:01:{inode} 0 EOF"), None),
            (format!("1: -> POSIX  ADVISORY  WRITE 812 fe:01:{inode} 0 EOF"), None),
            (format!("1: POSIX  ADVISORY  WRITE 812 fe:01:{inode}9 0 EOF"), None),
            ("garbage".to_owned(), None),
        ] {
            tree.file("/proc/locks", format!("{line}\n"));
            assert_eq!(listed(&root, LOCK).unwrap(), expected, "{line}");
        }
    }
}
