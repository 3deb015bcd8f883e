//! One process of a simulated machine.

use std::fs;
use std::io;
use std::os::unix::fs::chown;

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

    /// A thread of the kernel.
    #[must_use]
    pub fn kernel(mut self) -> Self {
        self.flags |= KERNEL_THREAD;
        self.parent = 0;
        self
    }

    /// Writes the files of `/proc/PID` (`proc_pid_stat(5)` and its neighbours).
    pub(super) fn write_to(&self, machine: &Machine, pid: u32) -> io::Result<()> {
        let at = |file: &str| format!("proc/{pid}/{file}");
        let Self { parent, name, uid, flags, ticks, .. } = self;
        // `new_encode_dev` of the kernel's `include/linux/kdev_t.h`.
        let device = |pts: u32| (pts & 0xff) | (PTS_MAJOR << 8) | ((pts & !0xff) << 12);
        let tty = self.terminal.map_or(0, device);
        let stat = format!(
            "{pid} ({name}) S {parent} {pid} {pid} {tty} -1 {flags} 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {pid} 8192000 500 \
             18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        );
        machine.write(&at("stat"), stat)?;
        machine.write(&at("comm"), format!("{name}\n"))?;
        let line =
            if self.flags & KERNEL_THREAD == 0 { format!("{name}\0") } else { String::new() };
        machine.write(&at("cmdline"), line)?;
        machine.write(&at("cgroup"), format!("0::{}\n", self.cgroup))?;
        machine.write(&at("io"), "rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n")?;
        let ids = format!("{uid}\t{uid}\t{uid}\t{uid}");
        machine.write(
            &at("status"),
            format!("Name:\t{name}\nPid:\t{pid}\nPPid:\t{parent}\nUid:\t{ids}\nGid:\t{ids}\n"),
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
