//! A folder that looks like a machine, for tests.

use std::path::PathBuf;

use super::HostRoot;

/// A temporary folder with a `proc`, a `sys`, a `dev` …, removed when dropped.
#[derive(Debug)]
pub(crate) struct Tree {
    folder: tempfile::TempDir,
}

/// One process of a [`Tree`], as `/proc/PID/stat` tells it. Times are in clock ticks of 10 ms.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Process id.
    pub(crate) pid: u32,
    /// Parent.
    pub(crate) ppid: u32,
    /// Name, of at most 15 characters.
    pub(crate) comm: String,
    /// Process group id.
    pub(crate) group: u32,
    /// Session id.
    pub(crate) session: u32,
    /// Controlling terminal as a device number, 0 for none.
    pub(crate) tty: u32,
    /// The process group in the foreground of that terminal, 0 for none.
    pub(crate) foreground: u32,
    /// `PF_*` flags.
    pub(crate) flags: u32,
    /// Its state: `S`, `Z` …
    pub(crate) state: char,
    /// User and system time together, ticks.
    pub(crate) own: u64,
    /// The same of children that were waited for, ticks.
    pub(crate) children: u64,
    /// Start time, ticks since boot.
    pub(crate) start: u64,
    /// Real user id.
    pub(crate) uid: u32,
    /// Whether it is in a container.
    pub(crate) contained: bool,
    /// Whether it ignores SIGHUP.
    pub(crate) nohup: bool,
    /// Its arguments. None: there is no file that tells.
    pub(crate) arguments: Vec<String>,
}

impl Process {
    /// A process of root without a terminal, child of pid 1, that used no time.
    pub(crate) fn new(pid: u32, comm: &str) -> Self {
        Self {
            pid,
            ppid: 1,
            comm: comm.to_owned(),
            group: pid,
            session: pid,
            tty: 0,
            foreground: 0,
            flags: 0x0040_0000,
            state: 'S',
            own: 0,
            children: 0,
            start: u64::from(pid),
            uid: 0,
            contained: false,
            nohup: false,
            arguments: Vec::new(),
        }
    }

    /// The same process with arguments, separated by spaces.
    #[must_use]
    pub(crate) fn called(self, arguments: &str) -> Self {
        self.with(|p| p.arguments = arguments.split(' ').map(str::to_owned).collect())
    }

    /// The same process with other values.
    #[must_use]
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tree {
    /// An empty machine with a `/proc`.
    pub(crate) fn new() -> Self {
        let tree = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(tree.path("/proc")).unwrap();
        tree
    }

    /// The root to look things up under.
    pub(crate) fn root(&self) -> HostRoot {
        HostRoot::at(self.folder.path())
    }

    /// Where a path of the machine lies.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// Writes a file and the folders above it.
    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Makes a folder and those above it.
    pub(crate) fn folder(&self, path: &str) {
        std::fs::create_dir_all(self.path(path)).unwrap();
    }

    /// Removes a file or a folder with all that is in it.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }

    /// Writes a process.
    pub(crate) fn process(&self, p: &Process) {
        let foreground = if p.foreground == 0 { "-1".to_owned() } else { p.foreground.to_string() };
        let line = format!(
            "{} ({}) {} {} {} {} {} {foreground} {} 0 0 0 0 {} 0 {} 0 20 0 1 0 {} 1000 10 18446744073709551615 0 0 0 0\n",
            p.pid,
            p.comm,
            p.state,
            p.ppid,
            p.group,
            p.session,
            p.tty,
            p.flags,
            p.own,
            p.children,
            p.start
        );
        self.file(&format!("/proc/{}/stat", p.pid), line);
        let inner = if p.contained { "\t7" } else { "" };
        let status = format!(
            "Name:\t{}\nUid:\t{u}\t{u}\t{u}\t{u}\nNSpid:\t{}{inner}\nSigIgn:\t000000000000100{}\n",
            p.comm,
            p.pid,
            u8::from(p.nohup),
            u = p.uid
        );
        self.file(&format!("/proc/{}/status", p.pid), status);
        if !p.arguments.is_empty() {
            let ended: String = p.arguments.iter().flat_map(|word| [word.as_str(), "\0"]).collect();
            self.file(&format!("/proc/{}/cmdline", p.pid), ended);
        }
    }

    /// Writes which children a process has.
    pub(crate) fn children(&self, pid: u32, children: &[u32]) {
        let list: String =
            children.iter().flat_map(|child| [child.to_string(), " ".to_owned()]).collect();
        self.file(&format!("/proc/{pid}/task/{pid}/children"), list);
    }

    /// Writes a cgroup of the unified hierarchy with its CPU time in microseconds and its processes.
    pub(crate) fn cgroup(&self, path: &str, usage_us: u64, pids: &[u32]) {
        let folder = format!("/sys/fs/cgroup/{}", path.trim_matches('/'));
        self.file("/sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n");
        let stat = format!("usage_usec {usage_us}\nuser_usec {usage_us}\nsystem_usec 0\n");
        self.file(&format!("{folder}/cpu.stat"), stat);
        self.procs(&folder, pids);
    }

    /// Writes a cgroup of the version 1 hierarchy `cpu,cpuacct` with its CPU time in nanoseconds.
    pub(crate) fn cgroup_v1(&self, path: &str, usage_ns: u64, pids: &[u32]) {
        let folder = format!("/sys/fs/cgroup/cpu,cpuacct/{}", path.trim_matches('/'));
        self.file(&format!("{folder}/cpuacct.usage"), format!("{usage_ns}\n"));
        self.procs(&folder, pids);
    }

    fn procs(&self, folder: &str, pids: &[u32]) {
        let lines: String =
            pids.iter().flat_map(|pid| [pid.to_string(), "\n".to_owned()]).collect();
        self.file(&format!("{folder}/cgroup.procs"), lines);
    }
}
