//! A folder that looks like a machine: what `agentd --host-root` reads in place of `/`.
//!
//! The machine is a Debian with systemd on a unified cgroup hierarchy. Its counters are files that a test moves on:
//! each is replaced as a whole (written aside, then renamed), so that a reader never sees half of one. Terminals are real
//! pseudo-terminals of this program, linked into the folder: their access time is the last key press, and what is
//! written to them can be read as on a screen.

mod meters;
mod process;
mod screen;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use tempfile::TempDir;

pub use meters::{Connection, Meters, Whole};
pub use process::Process;
use screen::Screen;

use crate::locked;

/// The unified hierarchy's mount point.
const CGROUPS: &str = "sys/fs/cgroup";
/// How often a [`Burner`] moves its counter on.
const BURN_STEP: Duration = Duration::from_millis(50);

/// A machine in a temporary folder, which is removed with it. It may be used from many threads.
#[derive(Clone, Debug)]
pub struct Machine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: TempDir,
    /// CPU time by cgroup, microseconds.
    cpu: Mutex<BTreeMap<String, u64>>,
    /// The terminals by their numbers.
    screens: Mutex<BTreeMap<u32, Screen>>,
    next_pid: AtomicU32,
    next_session: AtomicU32,
}

/// Somebody's login: a session scope with a shell on a terminal.
#[derive(Clone, Debug)]
pub struct Session {
    /// The scope, as `user.slice/user-1000.slice/session-3.scope`.
    pub cgroup: String,
    /// The terminal's number in `/dev/pts`.
    pub pts: u32,
    /// The shell.
    pub shell: u32,
}

impl Machine {
    /// An idle machine: systemd, its services, nobody logged in, and a cloud-init that has finished.
    pub fn idle() -> io::Result<Self> {
        let inner = Inner {
            folder: tempfile::Builder::new().prefix("machine-").tempdir()?,
            cpu: Mutex::default(),
            screens: Mutex::default(),
            next_pid: AtomicU32::new(1_000),
            next_session: AtomicU32::new(1),
        };
        let machine = Self { inner: Arc::new(inner) };
        fs::set_permissions(machine.root(), fs::Permissions::from_mode(0o755))?;
        machine.furnish()?;
        Ok(machine)
    }

    /// The folder that stands for `/`.
    pub fn root(&self) -> &Path {
        self.inner.folder.path()
    }

    /// A path of the machine, without its leading slash.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root().join(inside.trim_start_matches('/'))
    }

    /// Replaces a file as a whole, with its folders.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>) -> io::Result<()> {
        let path = self.path(inside);
        let folder = path.parent().unwrap_or(self.root());
        fs::create_dir_all(folder)?;
        let aside = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        fs::write(aside.path(), content)?;
        fs::set_permissions(aside.path(), fs::Permissions::from_mode(0o644))?;
        aside.persist(path)?;
        Ok(())
    }

    /// Removes a file or a folder.
    pub fn remove(&self, inside: &str) -> io::Result<()> {
        let path = self.path(inside);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    fn furnish(&self) -> io::Result<()> {
        self.new_boot()?;
        self.write("proc/uptime", "90000.00 170000.00\n")?;
        self.write("proc/loadavg", "0.00 0.00 0.00 1/120 1500\n")?;
        self.write("proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:   15000000 kB\nSwapTotal:      17000000 kB\n")?;
        self.write(
            "proc/swaps",
            "Filename\tType\tSize\tUsed\tPriority\n/swap file 17000000 0 -2\n",
        )?;
        self.write(
            "proc/cmdline",
            "root=/dev/nvme0n1p1 resume=/dev/nvme0n1p1 resume_offset=8192\n",
        )?;
        self.write("proc/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")?;
        self.write("proc/locks", "")?;
        self.write("proc/diskstats", "")?;
        self.write(
            "proc/stat",
            "cpu  900 0 900 900000 0 0 0 0 0 0\ncpu0 900 0 900 900000 0 0 0 0 0 0\n",
        )?;
        self.write(
            "proc/net/dev",
            "Inter-|   Receive\n face |bytes\n    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
        )?;
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nada:x:1000:1000:Ada:/home/ada:/bin/bash\ngrace:x:1001:1001::/home/grace:/bin/bash\n")?;
        self.write("etc/group", "root:x:0:\nagentd:x:990:\nada:x:1000:\n")?;
        self.write("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n")?;
        for lock in ["lib/dpkg/lock-frontend", "lib/dpkg/lock", "lib/apt/lists/lock"] {
            self.write(&format!("var/{lock}"), "")?;
        }
        self.write(
            "run/cloud-init/result.json",
            "{\"v1\": {\"datasource\": \"DataSourceEc2Local\", \"errors\": []}}\n",
        )?;
        self.write("run/cloud-init/status.json", "{\"v1\": {\"stage\": null}}\n")?;
        fs::create_dir_all(self.path("run/systemd/system"))?;
        fs::create_dir_all(self.path("dev/pts"))?;
        self.write("dev/pts/ptmx", "")?;
        fs::create_dir_all(self.path("sys/class/net"))?;
        fs::create_dir_all(self.path("sys/block"))?;
        self.cgroup("")?;
        self.write(&format!("{CGROUPS}/cgroup.controllers"), "cpuset cpu io memory pids\n")?;
        for cgroup in ["system.slice", "user.slice", "init.scope"] {
            self.cgroup(cgroup)?;
        }
        self.spawn(&Process::new(1, "systemd", "/init.scope"))?;
        self.spawn(&Process::new(2, "kthreadd", "/").kernel())?;
        for (pid, name) in [(300, "systemd-journal"), (410, "cron"), (420, "sshd")] {
            let unit = format!("system.slice/{name}.service");
            self.cgroup(&unit)?;
            self.spawn(&Process::new(pid, name, &format!("/{unit}")))?;
        }
        self.cgroup("system.slice/agentd.service")?;
        self.write("proc/self/cgroup", "0::/system.slice/agentd.service\n")
    }

    /// A new boot: another `boot_id`.
    pub fn new_boot(&self) -> io::Result<()> {
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        self.write("proc/sys/kernel/random/boot_id", id)
    }

    /// Makes a cgroup with its counters at zero.
    pub fn cgroup(&self, cgroup: &str) -> io::Result<()> {
        let folder = format!("{CGROUPS}/{cgroup}");
        fs::create_dir_all(self.path(&folder))?;
        self.write(&format!("{folder}/cgroup.procs"), "")?;
        self.write(&format!("{folder}/io.stat"), "")?;
        // The top group of a machine has none (cgroups(7)); by that it is told from a container's.
        if !cgroup.is_empty() {
            self.write(&format!("{folder}/cgroup.events"), "populated 1\nfrozen 0\n")?;
        }
        locked(&self.inner.cpu).entry(cgroup.to_owned()).or_default();
        self.write_cpu(cgroup, 0)
    }

    fn write_cpu(&self, cgroup: &str, used: u64) -> io::Result<()> {
        let text = format!(
            "usage_usec {used}\nuser_usec {used}\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"
        );
        self.write(&format!("{CGROUPS}/{cgroup}/cpu.stat"), text)
    }

    /// Starts a process: its `/proc` entry, and its line in its cgroup. Returns its id.
    pub fn spawn(&self, process: &Process) -> io::Result<u32> {
        let pid = match process.pid {
            0 => self.inner.next_pid.fetch_add(1, Ordering::Relaxed),
            given => given,
        };
        process.write_to(self, pid)?;
        let procs = format!("{CGROUPS}{}/cgroup.procs", process.cgroup);
        if self.path(&procs).exists() {
            let mut members = fs::read_to_string(self.path(&procs))?;
            members += &pid.to_string();
            members.push('\n');
            self.write(&procs, members)?;
        }
        Ok(pid)
    }

    /// Writes a running process's files anew, after a change of its times or its name.
    pub fn update(&self, pid: u32, process: &Process) -> io::Result<()> {
        process.write_to(self, pid)
    }

    /// Writes a running process's times, and what is in the foreground of its terminal, anew.
    pub fn update_stat(&self, pid: u32, process: &Process) -> io::Result<()> {
        process.write_stat(self, pid)
    }

    /// Takes the control groups away, as on a machine without systemd.
    pub fn lose_cgroups(&self) -> io::Result<()> {
        self.remove(CGROUPS)?;
        fs::create_dir_all(self.path(CGROUPS))
    }

    /// Ends a process.
    pub fn end(&self, pid: u32) -> io::Result<()> {
        let cgroup = fs::read_to_string(self.path(&format!("proc/{pid}/cgroup")))?;
        let cgroup = cgroup.trim().strip_prefix("0::").unwrap_or("/").to_owned();
        self.remove(&format!("proc/{pid}"))?;
        let procs = format!("{CGROUPS}{cgroup}/cgroup.procs");
        if !self.path(&procs).exists() {
            return Ok(());
        }
        let members = fs::read_to_string(self.path(&procs))?;
        let gone = format!("{pid}\n");
        let left = members.split_inclusive('\n').filter(|line| *line != gone);
        self.write(&procs, left.collect::<String>())
    }

    /// Somebody logs in over ssh: a session scope, a shell and a terminal that was just used.
    pub fn log_in(&self, uid: u32) -> io::Result<Session> {
        let number = self.inner.next_session.fetch_add(1, Ordering::Relaxed);
        let slice = format!("user.slice/user-{uid}.slice");
        let cgroup = format!("{slice}/session-{number}.scope");
        self.cgroup(&slice)?;
        self.cgroup(&cgroup)?;
        let screen = Screen::open()?;
        let pts = screen.number();
        symlink(screen.path(), self.path(&format!("dev/pts/{pts}")))?;
        locked(&self.inner.screens).insert(pts, screen);
        self.press_key(pts)?;
        let place = format!("/{cgroup}");
        self.spawn(&Process::new(0, "sshd", &place).of_user(uid))?;
        let shell = self.spawn(&Process::new(0, "bash", &place).of_user(uid).on_terminal(pts))?;
        Ok(Session { cgroup, pts, shell })
    }

    /// Opens a terminal that is called by `number` on this machine, and starts `shell` on it. A number of one's own is the
    /// same in every run. Returns the shell's id and the terminal's own number.
    pub fn open_terminal(&self, number: u32, shell: Process) -> io::Result<(u32, u32)> {
        self.open_groups(shell.cgroup.trim_start_matches('/'))?;
        let screen = Screen::open()?;
        let device = screen.number();
        let link = self.path(&format!("dev/pts/{number}"));
        symlink(screen.path(), link)?;
        locked(&self.inner.screens).insert(number, screen);
        Ok((self.spawn(&shell.on_terminal(device))?, device))
    }

    /// Closes a terminal and ends its shell.
    pub fn close_terminal(&self, number: u32, shell: u32) -> io::Result<()> {
        fs::remove_file(self.path(&format!("dev/pts/{number}")))?;
        locked(&self.inner.screens).remove(&number);
        self.end(shell)
    }

    /// Makes a cgroup and those above it, where they are missing.
    pub fn open_groups(&self, cgroup: &str) -> io::Result<()> {
        let ends = cgroup.match_indices('/').map(|(end, _)| end).chain([cgroup.len()]);
        for path in ends.filter_map(|end| cgroup.get(..end)) {
            if !self.path(&format!("{CGROUPS}/{path}")).exists() {
                self.cgroup(path)?;
            }
        }
        Ok(())
    }

    /// The session ends: its processes, its terminal and its scope go.
    pub fn log_out(&self, session: &Session) -> io::Result<()> {
        let procs = self.path(&format!("{CGROUPS}/{}/cgroup.procs", session.cgroup));
        for pid in fs::read_to_string(procs)?.lines() {
            self.remove(&format!("proc/{pid}"))?;
        }
        fs::remove_file(self.path(&format!("dev/pts/{}", session.pts)))?;
        locked(&self.inner.screens).remove(&session.pts);
        locked(&self.inner.cpu).remove(&session.cgroup);
        self.remove(&format!("{CGROUPS}/{}", session.cgroup))
    }

    /// A key is pressed on a terminal now.
    pub fn press_key(&self, pts: u32) -> io::Result<()> {
        self.press_key_at(pts, SystemTime::now())
    }

    /// A key was pressed on a terminal then. Only the access time changes, as when a program reads its input.
    pub fn press_key_at(&self, pts: u32, at: SystemTime) -> io::Result<()> {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let path = self.path(&format!("dev/pts/{pts}"));
        let kept = TimeSpec::UTIME_OMIT;
        let follow = UtimensatFlags::FollowSymlink;
        Ok(utimensat(nix::fcntl::AT_FDCWD, &path, &TimeSpec::from_duration(since), &kept, follow)?)
    }

    /// What was written to a terminal so far; empty when there is no such terminal.
    pub fn on_screen(&self, pts: u32) -> io::Result<String> {
        locked(&self.inner.screens).get_mut(&pts).map_or(Ok(String::new()), Screen::read)
    }

    /// A cgroup, and those above it, use so much CPU time more.
    pub fn burn(&self, cgroup: &str, time: Duration) -> io::Result<()> {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let mut cpu = locked(&self.inner.cpu);
        for (known, used) in cpu.iter_mut() {
            let below = cgroup.strip_prefix(known.as_str());
            let above = known.is_empty()
                || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            if above {
                *used += micros;
                self.write_cpu(known, *used)?;
            }
        }
        Ok(())
    }

    /// Keeps so many cores busy in a cgroup until the returned value is dropped.
    pub fn keep_busy(&self, cgroup: &str, cores: f64) -> Burner {
        let (machine, cgroup) = (self.clone(), cgroup.to_owned());
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                thread::sleep(BURN_STEP);
                // The cgroup may be gone by now, as with a real process that outlives its session's end.
                let _gone = machine.burn(&cgroup, BURN_STEP.mul_f64(cores));
            }
        });
        Burner { ended, thread: Some(thread) }
    }

    /// A scope of a user's own, with a process that runs without a terminal (`nohup`). Returns its cgroup.
    pub fn start_job(&self, uid: u32, name: &str) -> io::Result<String> {
        let number = self.inner.next_session.fetch_add(1, Ordering::Relaxed);
        let slice = format!("user.slice/user-{uid}.slice");
        let cgroup = format!("{slice}/session-{number}.scope");
        self.cgroup(&slice)?;
        self.cgroup(&cgroup)?;
        self.spawn(&Process::new(0, name, &format!("/{cgroup}")).of_user(uid))?;
        Ok(cgroup)
    }
}

/// Work that goes on until this value is dropped.
#[derive(Debug)]
pub struct Burner {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
