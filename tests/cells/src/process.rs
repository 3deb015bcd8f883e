//! Processes of a cell: where they are, who they are, what they are called and what they do.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::parts::{PART, PLACE};

/// The control groups of a cell.
const GROUPS: &str = "/sys/fs/cgroup";
/// This program, in a cell.
pub(crate) const SELF: &str = "/opt/cell/part";

/// One process, before it is started.
#[derive(Clone, Debug)]
pub struct Process {
    group: String,
    uid: u32,
    path: PathBuf,
    arguments: Vec<String>,
    load: Option<String>,
}

impl Process {
    /// A process of root in this control group that does as the words of [`load`](crate::load) say. `name` is what the
    /// kernel and `ps` call it: a path, or the name of a program whose path does not matter.
    pub fn new(group: &str, name: &str, load: &str) -> Self {
        let path = path_of(name);
        Self { group: group.into(), uid: 0, path, arguments: Vec::new(), load: Some(load.into()) }
    }

    /// A line of the shell, run by root in this group.
    pub fn shell(group: &str, line: &str) -> Self {
        let arguments = vec!["-c".to_owned(), line.to_owned()];
        Self { group: group.into(), uid: 0, path: "/bin/sh".into(), arguments, load: None }
    }

    /// The same as another user.
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = uid;
        self
    }

    /// The same with these arguments on its command line; a load takes no notice of them.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts it. Nobody waits for it: it ends with its cell at the latest.
    pub fn start(&self) -> io::Result<()> {
        fs::create_dir_all(Path::new(GROUPS).join(&self.group))?;
        if self.load.is_some() {
            disguise(&self.path)?;
        }
        let mut command = Command::new(SELF);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/home/alice");
        command.env(PLACE, format!("/{} {}", self.group, self.uid));
        if let Some(load) = &self.load {
            command.env(PART, format!("load {load}"));
        }
        command.arg(&self.path).arg(&self.path).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir("/");
        command.spawn()?;
        Ok(())
    }
}

/// Moves the calling process into a control group of the cell.
pub(crate) fn join(group: &str) -> io::Result<()> {
    let folder = Path::new(GROUPS).join(group);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("cgroup.procs"), "0")
}

/// Where a program of this name is in a cell.
pub(crate) fn path_of(name: &str) -> PathBuf {
    if name.starts_with('/') { name.into() } else { Path::new("/opt/cell/as").join(name) }
}

/// Lets a path lead to this program. The kernel calls a process by the last part of the path it was started by, also if
/// that is a link (`proc_pid_comm(5)`).
pub(crate) fn disguise(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match symlink(SELF, path) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
