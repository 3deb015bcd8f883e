//! One process of a simulated machine.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::geteuid;

use super::Machine;

/// `PF_KTHREAD` of the kernel's `include/linux/sched.h`.
const KERNEL_THREAD: u32 = 0x0020_0000;
/// The major number of UNIX98 PTY slaves (the kernel's `Documentation/admin-guide/devices.txt`).
const PTS_MAJOR: u32 = 136;

/// A process to be started.
#[derive(Clone, Debug)]
pub struct Process {
    /// The id; 0 lets the machine choose one.
    pub pid: u32,
    /// The parent.
    pub parent: u32,
    /// The name, at most 15 bytes.
    pub name: String,
    /// The cgroup, with a leading slash.
    pub cgroup: String,
    /// The owner.
    pub uid: u32,
    /// The controlling terminal in `/dev/pts`.
    pub terminal: Option<u32>,
    /// `PF_*` flags.
    pub flags: u32,
    /// User time, clock ticks.
    pub ticks: u64,
    /// The arguments; empty: its name alone.
    pub arguments: Vec<String>,
    /// The session, by its leader; 0: it leads one.
    pub session: u32,
    /// The process group in the foreground of its terminal; 0: its own.
    pub foreground: u32,
    /// Whether it ignores SIGHUP, as what nohup(1) starts does.
    pub nohup: bool,
    /// When it started, clock ticks since boot; none: soon after the boot, in the order of the pids.
    pub start: Option<u64>,
}

impl Process {
    /// A process of root without a terminal.
    pub fn new(pid: u32, name: &str, cgroup: &str) -> Self {
        Self {
            pid,
            parent: 1,
            name: name.into(),
            cgroup: cgroup.into(),
            uid: 0,
            terminal: None,
            flags: 0,
            ticks: 0,
            arguments: Vec::new(),
            session: 0,
            foreground: 0,
            nohup: false,
            start: None,
        }
    }

    /// The same process of another user.
    #[must_use]
    pub fn of_user(mut self, uid: u32) -> Self {
        self.uid = uid;
        self
    }

    /// The same process on a terminal.
    #[must_use]
    pub fn on_terminal(mut self, pts: u32) -> Self {
        self.terminal = Some(pts);
        self
    }

    /// The same process, started by another one.
    #[must_use]
    pub fn below(mut self, parent: u32) -> Self {
        self.parent = parent;
        self
    }

    /// The same process with these arguments.
    #[must_use]
    pub fn called(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The same process, started now by the clock of the machine below.
    #[must_use]
    pub fn just_started(mut self) -> Self {
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
        self.start = u64::try_from(boot.as_millis() / 10).ok();
        self
    }

    /// The same process, started by nohup(1).
    #[must_use]
    pub fn under_nohup(mut self) -> Self {
        self.nohup = true;
        self
    }

    /// A thread of the kernel.
    #[must_use]
    pub fn kernel(mut self) -> Self {
        self.flags |= KERNEL_THREAD;
        self.parent = 0;
        self
    }

    /// Writes `/proc/PID/stat` alone.
    pub(super) fn write_stat(&self, machine: &Machine, pid: u32) -> io::Result<()> {
        let Self { parent, name, flags, ticks, session, .. } = self;
        // `new_encode_dev` of the kernel's `include/linux/kdev_t.h`.
        let device = |pts: u32| (pts & 0xff) | (PTS_MAJOR << 8) | ((pts & !0xff) << 12);
        let tty = self.terminal.map_or(0, device);
        let session = if *session == 0 { pid } else { *session };
        let since = self.start.unwrap_or_else(|| u64::from(pid));
        let foreground = match (tty, self.foreground) {
            (0, _) => "-1".to_owned(),
            (_, 0) => pid.to_string(),
            (_, group) => group.to_string(),
        };
        let stat = format!(
            "{pid} ({name}) S {parent} {pid} {session} {tty} {foreground} {flags} 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {since} 8192000 \
             500 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        machine.write(&format!("proc/{pid}/stat"), stat)
    }

    /// Writes the files of `/proc/PID` (`proc_pid_stat(5)` and its neighbours).
    pub(super) fn write_to(&self, machine: &Machine, pid: u32) -> io::Result<()> {
        let at = |file: &str| format!("proc/{pid}/{file}");
        let Self { name, uid, parent, .. } = self;
        self.write_stat(machine, pid)?;
        machine.write(&at("comm"), format!("{name}\n"))?;
        let mut line = String::new();
        if self.flags & KERNEL_THREAD == 0 {
            let alone = [name.clone()];
            let words = if self.arguments.is_empty() { &alone[..] } else { &self.arguments[..] };
            line.extend(words.iter().flat_map(|word| [word.as_str(), "\0"]));
        }
        machine.write(&at("cmdline"), line)?;
        machine.write(&at("cgroup"), format!("0::{}\n", self.cgroup))?;
        machine.write(&at("io"), "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n")?;
        let ids = format!("{uid}\t{uid}\t{uid}\t{uid}");
        machine.write(
            &at("status"),
            format!(
                "Name:\t{name}\nPid:\t{pid}\nPPid:\t{parent}\nUid:\t{ids}\nGid:\t{ids}\nSigIgn:\t{:016x}\n",
                u8::from(self.nohup)
            ),
        )?;
        machine.write(&at("loginuid"), "4294967295")?;
        fs::create_dir_all(machine.path(&at("fd")))?;
        if geteuid().is_root() {
            chown(machine.path(&format!("proc/{pid}")), Some(*uid), Some(*uid))?;
            chown(machine.path(&at("stat")), Some(*uid), Some(*uid))?;
        }
        Ok(())
    }
}
