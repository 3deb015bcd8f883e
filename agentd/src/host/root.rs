//! The folder under which the host's files are looked up, and bounded reads below it.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;
use thiserror::Error;

use super::{tcp, units};

/// The error codes of a file that is not, or no longer, there.
const GONE: [i32; 4] = [nix::libc::ENOENT, nix::libc::ESRCH, nix::libc::ENODEV, nix::libc::ENOTDIR];

/// What can go wrong when a file of the host is read.
#[derive(Debug, Error)]
pub enum HostError {
    /// The kernel refused.
    #[error("{doing} '{path}': {error}")]
    Io {
        /// The verb: `read`, `list`, `inspect`.
        doing: &'static str,
        /// The file.
        path: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The file is longer than any sound version of it.
    #[error("read '{path}': longer than {limit} bytes")]
    TooLong {
        /// The file.
        path: String,
        /// The most that is read.
        limit: usize,
    },
    /// The content is not what the kernel documents.
    #[error("understand '{path}': {what}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong with it.
        what: String,
    },
}

impl HostError {
    /// An I/O error on a file.
    pub fn io(doing: &'static str, path: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.into(), error: error.into() }
    }

    /// A file that is not what it should be.
    pub fn malformed(path: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Malformed { path: path.into(), what: what.into() }
    }

    /// Whether the file does not exist, or ceased to exist while it was read: `ENOENT`, `ESRCH` (a process that ended
    /// between open and read), `ENODEV` (a cgroup that was removed in the same way) or `ENOTDIR`.
    pub fn is_missing(&self) -> bool {
        let Self::Io { error, .. } = self else { return false };
        error.raw_os_error().is_some_and(|code| GONE.contains(&code))
    }

    /// Whether the kernel refused for lack of permission.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// The folder that stands for `/`.
///
/// On a real machine it is `/`; a test hands in a folder with its own `proc`, `sys`, `dev`, `run` and `var`.
#[derive(Clone, Debug)]
pub struct HostRoot {
    base: Arc<Path>,
    real: bool,
    sockets: Arc<tcp::Shared>,
    units: Arc<units::Shared>,
}

impl HostRoot {
    /// The machine it runs on.
    pub fn real() -> Self {
        Self::at("/")
    }

    /// The folder `base`. It counts as the machine only if it is `/` itself.
    pub fn at(base: impl AsRef<Path>) -> Self {
        let base = base.as_ref();
        Self {
            base: Arc::from(base),
            real: base == Path::new("/"),
            sockets: Arc::default(),
            units: Arc::default(),
        }
    }

    /// Whether this is the running machine, so that what the kernel says through system calls belongs to it too.
    pub fn is_real(&self) -> bool {
        self.real
    }

    /// The connections that were last asked for.
    pub(super) fn sockets(&self) -> &tcp::Shared {
        &self.sockets
    }

    /// What is known of the units of systemd.
    pub(super) fn units(&self) -> &units::Shared {
        &self.units
    }

    /// Drops what is kept of the machine for the rest of a round of readings.
    pub fn forget(&self) {
        self.sockets.forget();
    }

    /// Where the absolute `path` of the host lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.base.join(path.trim_start_matches('/'))
    }

    /// Reads a whole file of at most `limit` bytes into `buffer`, which is emptied first.
    pub fn read_into(
        &self,
        path: &str,
        limit: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), HostError> {
        buffer.clear();
        let file =
            File::open(self.path(path)).map_err(|error| HostError::io("read", path, error))?;
        Self::take(path, file, limit, buffer)
    }

    /// Reads a whole file of somebody who is not trusted: a regular file itself, never what a link leads to, and without
    /// ever waiting for one.
    pub fn read_plain(
        &self,
        path: &str,
        limit: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<(), HostError> {
        buffer.clear();
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let opened = File::options().read(true).custom_flags(flags.bits()).open(self.path(path));
        let file = opened.map_err(|error| HostError::io("read", path, error))?;
        let metadata = file.metadata().map_err(|error| HostError::io("inspect", path, error))?;
        if !metadata.is_file() {
            return Err(HostError::malformed(path, "it is no regular file"));
        }
        Self::take(path, file, limit, buffer)
    }

    fn take(path: &str, file: File, limit: usize, buffer: &mut Vec<u8>) -> Result<(), HostError> {
        let bound = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        file.take(bound).read_to_end(buffer).map_err(|error| HostError::io("read", path, error))?;
        if buffer.len() > limit {
            buffer.clear();
            return Err(HostError::TooLong { path: path.to_owned(), limit });
        }
        Ok(())
    }

    /// Reads a whole text file of at most `limit` bytes.
    pub fn read_text(&self, path: &str, limit: usize) -> Result<String, HostError> {
        let mut buffer = Vec::new();
        self.read_into(path, limit, &mut buffer)?;
        String::from_utf8(buffer).map_err(|_| HostError::malformed(path, "it is not UTF-8"))
    }

    /// The metadata of what `path` leads to, or nothing if it does not exist.
    pub fn inspect(&self, path: &str) -> Result<Option<Metadata>, HostError> {
        match std::fs::metadata(self.path(path)) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) => {
                let error = HostError::io("inspect", path, error);
                if error.is_missing() { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Whether `path` exists. A path that may not be looked at is an error, not an absence.
    pub fn exists(&self, path: &str) -> Result<bool, HostError> {
        Ok(self.inspect(path)?.is_some())
    }

    /// Whether there is something at `path` itself, also a link that leads nowhere.
    pub fn is_entry(&self, path: &str) -> Result<bool, HostError> {
        match std::fs::symlink_metadata(self.path(path)) {
            Ok(_) => Ok(true),
            Err(error) => {
                let error = HostError::io("inspect", path, error);
                if error.is_missing() { Ok(false) } else { Err(error) }
            }
        }
    }

    /// The names in a folder, sorted, at most `limit`; more are an error.
    pub fn names(&self, path: &str, limit: usize) -> Result<Vec<String>, HostError> {
        whole(path, limit, self.select(path, limit, |_| true)?)
    }

    /// Some names in a folder, sorted, at most `limit`, and whether those are all.
    pub fn some_names(&self, path: &str, limit: usize) -> Result<(Vec<String>, bool), HostError> {
        self.select(path, limit, |_| true)
    }

    /// The names of the folders in a folder, sorted, at most `limit`; more are an error.
    pub fn folders(&self, path: &str, limit: usize) -> Result<Vec<String>, HostError> {
        let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|it| it.is_dir());
        whole(path, limit, self.select(path, limit, is_folder)?)
    }

    fn select(
        &self,
        path: &str,
        limit: usize,
        wanted: impl Fn(&std::fs::DirEntry) -> bool,
    ) -> Result<(Vec<String>, bool), HostError> {
        let failed = |error| HostError::io("list", path, error);
        let (mut names, mut all) = (Vec::new(), true);
        for entry in std::fs::read_dir(self.path(path)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !wanted(&entry) {
                continue;
            }
            if names.len() >= limit {
                all = false;
                break;
            }
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok((names, all))
    }
}

/// The names of a folder, if those are all.
fn whole(
    path: &str,
    limit: usize,
    (names, all): (Vec<String>, bool),
) -> Result<Vec<String>, HostError> {
    if all {
        Ok(names)
    } else {
        Err(HostError::malformed(path, format!("more than {limit} entries")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn every_path_is_looked_up_below_the_root() {
        let root = HostRoot::at("/somewhere");
        assert_eq!(root.path("/proc/stat"), Path::new("/somewhere/proc/stat"));
        assert_eq!(root.path("proc/stat"), Path::new("/somewhere/proc/stat"));
        assert_eq!(HostRoot::real().path("/proc/stat"), Path::new("/proc/stat"));
    }

    #[test]
    fn only_the_slash_is_this_machine() {
        assert!(HostRoot::real().is_real());
        assert!(HostRoot::at("/").is_real());
        assert!(!HostRoot::at("/somewhere").is_real());
    }

    #[test]
    fn a_file_longer_than_the_limit_is_refused_and_not_kept() {
        let tree = Tree::new();
        tree.file("/proc/stat", "x".repeat(11));
        let mut buffer = Vec::new();
        assert!(tree.root().read_into("/proc/stat", 11, &mut buffer).is_ok());
        let error = tree.root().read_into("/proc/stat", 10, &mut buffer).unwrap_err();
        assert!(matches!(error, HostError::TooLong { limit: 10, .. }));
        assert!(buffer.is_empty());
    }

    #[test]
    fn of_somebody_only_a_regular_file_itself_is_read() {
        let tree = Tree::new();
        tree.file("/spool/alice", "0 3 * * * x\n");
        std::os::unix::fs::symlink(tree.path("/spool/alice"), tree.path("/spool/link")).unwrap();
        nix::unistd::mkfifo(&tree.path("/spool/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut buffer = Vec::new();
        let root = tree.root();
        assert!(root.read_plain("/spool/alice", 12, &mut buffer).is_ok());
        assert_eq!(buffer, b"0 3 * * * x\n");
        assert!(root.read_plain("/spool/alice", 11, &mut buffer).is_err());
        for path in ["/spool/link", "/spool/pipe", "/spool"] {
            assert!(root.read_plain(path, 12, &mut buffer).is_err(), "{path}");
        }
        assert!(root.read_plain("/spool/bob", 12, &mut buffer).unwrap_err().is_missing());
    }

    #[test]
    fn a_missing_file_is_told_apart_from_one_that_fails() {
        let tree = Tree::new();
        tree.file("/proc/stat", "");
        let root = tree.root();
        assert!(root.read_text("/proc/none", 10).unwrap_err().is_missing());
        assert!(root.read_text("/proc/stat/below", 10).unwrap_err().is_missing());
        let error = root.read_text("/proc", 10).unwrap_err();
        assert!(!error.is_missing(), "{error}");
        let vanished = HostError::io("read", "/proc/1/stat", nix::errno::Errno::ESRCH);
        assert!(vanished.is_missing());
        let denied = HostError::io("read", "/proc/1/stat", nix::errno::Errno::EACCES);
        assert!(denied.is_denied() && !denied.is_missing());
    }

    #[test]
    fn an_error_names_the_file_after_failed_to() {
        let error = Tree::new().root().read_text("/proc/none", 10).unwrap_err();
        assert!(error.to_string().starts_with("read '/proc/none': "), "{error}");
    }

    #[test]
    fn names_are_sorted_and_bounded() {
        let tree = Tree::new();
        tree.file("/d/b", "");
        tree.file("/d/a", "");
        tree.file("/d/c/x", "");
        let root = tree.root();
        assert_eq!(root.names("/d", 3).unwrap(), ["a", "b", "c"]);
        assert_eq!(root.folders("/d", 3).unwrap(), ["c"]);
        assert!(root.names("/d", 2).is_err());
        assert_eq!(
            root.some_names("/d", 3).unwrap(),
            (["a", "b", "c"].map(str::to_owned).to_vec(), true)
        );
        let (some, all) = root.some_names("/d", 2).unwrap();
        assert!(some.len() == 2 && !all);
        assert!(root.names("/e", 2).unwrap_err().is_missing());
    }

    #[test]
    fn text_that_is_not_utf8_is_malformed() {
        let tree = Tree::new();
        tree.file("/f", [0xff, 0xfe]);
        assert!(matches!(
            tree.root().read_text("/f", 10).unwrap_err(),
            HostError::Malformed { .. }
        ));
    }
}
