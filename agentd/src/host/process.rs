//! Processes, from `/proc/PID/stat` (`proc_pid_stat(5)`).
//!
//! A walk over a thousand processes costs what the kernel needs for `openat`, `read` and `close`, and little more: one
//! buffer is used again and again, nothing is allocated for a process, and no descriptor is kept. What it costs on the
//! machine is measured with every walk, in CPU time of the thread, so that those who walk can pace themselves.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use super::{HostError, HostRoot};

/// `PF_KTHREAD` of `include/linux/sched.h`: a kernel thread.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// A stat line has 52 numbers of at most 20 digits and a name of at most 64 bytes.
const LINE: usize = 2048;
/// The most of `/proc/PID/status` that is read.
const STATUS: usize = 64 << 10;
/// The most of a command line that is read.
const ARGUMENTS: u64 = 8 << 10;
/// The most of `/proc/PID/cgroup` and of a list of children.
const LIST: usize = 64 << 10;

/// What reading one process cost in the last walk, nanoseconds. At first a guess on the high side.
static COST: AtomicU64 = AtomicU64::new(7000);
/// What it can be: below, the clock is not to be trusted; above, nobody would walk any more.
const COSTS: (u64, u64) = (1000, 50_000);
/// A walk over fewer processes says too little about one.
const ENOUGH: u64 = 100;

/// What it costs to read one process in a walk, in CPU time.
pub fn cost() -> Duration {
    Duration::from_nanos(COST.load(Ordering::Relaxed))
}

/// `CLOCK_THREAD_CPUTIME_ID` of `clock_gettime(2)`, nanoseconds.
fn cpu_time() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok();
    let nanos =
        time.map(|it| it.tv_sec().saturating_mul(1_000_000_000).saturating_add(it.tv_nsec()));
    nanos.and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or(0)
}

/// What one process cost in a walk over so many, nanoseconds; none if they were too few to tell.
fn cost_of_one(nanos: u64, processes: usize) -> Option<u64> {
    let processes = u64::try_from(processes).unwrap_or(u64::MAX);
    (processes >= ENOUGH).then(|| (nanos / processes).clamp(COSTS.0, COSTS.1))
}

/// What `/proc/PID/stat` says of a process. Times are microseconds of CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat<'a> {
    /// Process id.
    pub pid: u32,
    /// The name of the executable, at most 15 bytes (64 for kernel workers).
    pub comm: &'a [u8],
    /// Parent process id.
    pub ppid: u32,
    /// Process group id: the pid of the group's leader.
    pub group: u32,
    /// Session id: the pid of the session leader.
    pub session: u32,
    /// Controlling terminal as a device number (`makedev(3)` with a minor of up to 20 bits), 0 for none.
    pub tty: u32,
    /// The process group in the foreground of that terminal (tcgetpgrp(3)), 0 for none.
    pub foreground: u32,
    /// Whether it is a kernel thread.
    pub kernel: bool,
    /// Whether it has ended and only waits to be reaped (state `Z` or `X`): it is nobody, but its CPU time is still here and
    /// moves to its parent later. One whose first thread alone has ended lives.
    pub dead: bool,
    /// User and system time of all its threads, also of those that ended.
    pub own_us: u64,
    /// User and system time of the children that it waited for, and of theirs.
    pub children_us: u64,
    /// When it started, in clock ticks since boot. With the pid it names a process for ever.
    pub start: u64,
}

impl ProcessStat<'_> {
    /// The name as text.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(self.comm).into_owned()
    }
}

/// Reads processes with one buffer.
#[derive(Debug)]
pub struct Processes {
    root: HostRoot,
    buffer: Vec<u8>,
    tick_us: u64,
}

impl Processes {
    /// The processes under `root`. Nothing is read yet.
    pub fn new(root: HostRoot) -> Self {
        let hertz = sysconf(SysconfVar::CLK_TCK).ok().flatten();
        let hertz = hertz.and_then(|hertz| u64::try_from(hertz).ok()).filter(|hertz| *hertz > 0);
        Self { root, buffer: vec![0; LINE], tick_us: 1_000_000 / hertz.unwrap_or(100) }
    }

    /// Opens `/proc`, to read processes from it.
    pub fn open(&self) -> Result<OwnedFd, HostError> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::open(&self.root.path("/proc"), flags, Mode::empty())
            .map_err(|errno| HostError::io("list", "/proc", errno))
    }

    /// Reads one process; none if it ended, also if nobody has reaped it yet. `proc` is what [`open`](Self::open) gave.
    pub fn read(&mut self, proc: &OwnedFd, pid: u32) -> Result<Option<ProcessStat<'_>>, HostError> {
        Ok(self.read_any(proc, pid)?.filter(|stat| !stat.dead))
    }

    /// The same, and a process that waits to be reaped is read too: for those who count CPU time.
    pub fn read_any(
        &mut self,
        proc: &OwnedFd,
        pid: u32,
    ) -> Result<Option<ProcessStat<'_>>, HostError> {
        let mut name = [0_u8; 16];
        let failed = |errno: Errno| HostError::io("read", format!("/proc/{pid}/stat"), errno);
        let length = match read_at(proc, stat_name(pid, &mut name), &mut self.buffer) {
            Ok(length) => length,
            Err(Errno::ENOENT | Errno::ESRCH) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let line = self.buffer.get(..length).unwrap_or_default();
        match parse(line, self.tick_us) {
            Some(stat) if stat.pid == pid => Ok(Some(stat)),
            _ => Err(HostError::malformed(
                format!("/proc/{pid}/stat"),
                format!("'{}'", String::from_utf8_lossy(line.get(..60).unwrap_or(line)).trim()),
            )),
        }
    }

    /// Hands every living process that is not a kernel thread to `each`, and says how many processes there are in all.
    ///
    /// A process that ends in between is left out; one that cannot be read or understood is an error, because the
    /// walk would be incomplete without saying so.
    pub fn walk(&mut self, each: &mut dyn FnMut(&ProcessStat<'_>)) -> Result<usize, HostError> {
        self.walk_any(&mut |stat| {
            if !stat.dead {
                each(stat);
            }
        })
    }

    /// The same, those that wait to be reaped included: for those who count CPU time.
    pub fn walk_any(&mut self, each: &mut dyn FnMut(&ProcessStat<'_>)) -> Result<usize, HostError> {
        let failed = |errno| HostError::io("list", "/proc", errno);
        let begun = cpu_time();
        let proc = self.open()?;
        let listing = proc.try_clone().map_err(|error| HostError::io("list", "/proc", error))?;
        let mut listing = Dir::from_fd(listing).map_err(failed)?;
        let mut count = 0;
        for entry in listing.iter() {
            let entry = entry.map_err(failed)?;
            let Some(pid) = decimal(entry.file_name().to_bytes()) else { continue };
            count += 1;
            if let Some(stat) = self.read_any(&proc, pid)?
                && !stat.kernel
            {
                each(&stat);
            }
        }
        if self.root.is_real() {
            // Tests count on the pauses that they were written with, whatever machine they run on.
            let cost = cost_of_one(cpu_time().saturating_sub(begun), count);
            if let Some(cost) = cost.filter(|_| !cfg!(test)) {
                COST.store(cost, Ordering::Relaxed);
            }
        }
        Ok(count)
    }

    /// The words of a process's command line, joined by spaces; none if it ended, empty if it has none. At most the
    /// beginning is read: programs may have written megabytes there (`proc_pid_cmdline(5)`).
    pub fn command_line(&mut self, proc: &OwnedFd, pid: u32) -> Result<Option<String>, HostError> {
        let name = format!("{pid}/cmdline");
        let length = match read_at(proc, name.as_bytes(), &mut self.buffer) {
            Ok(length) => length,
            Err(Errno::ENOENT | Errno::ESRCH) => return Ok(None),
            Err(errno) => return Err(HostError::io("read", format!("/proc/{name}"), errno)),
        };
        let line = self.buffer.get(..length).unwrap_or_default();
        let text = String::from_utf8_lossy(line).replace('\0', " ");
        Ok(Some(text.trim_end().to_owned()))
    }

    /// The real user id of a process from `/proc/PID/status`; none if it ended.
    pub fn uid(&mut self, pid: u32) -> Result<Option<u32>, HostError> {
        Ok(self.identity(pid)?.map(|identity| identity.uid))
    }

    /// Whose a process is and where it runs, from `/proc/PID/status`; none if it ended.
    pub fn identity(&mut self, pid: u32) -> Result<Option<Identity>, HostError> {
        let path = format!("/proc/{pid}/status");
        let Some(text) = self.optional(&path, STATUS)? else { return Ok(None) };
        let fields = |name: &[u8]| {
            let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default()
                .split(u8::is_ascii_whitespace)
                .filter(|field| !field.is_empty())
                .collect::<Vec<_>>()
        };
        let uid = fields(b"Uid:").first().and_then(|field| decimal(field));
        let uid = uid.ok_or_else(|| HostError::malformed(path, "no 'Uid:' line"))?;
        // One number for each nested pid namespace. Kernels before 4.1 have no such line.
        // Bit 0 is signal 1.
        let ignored = fields(b"SigIgn:").first().and_then(|mask| mask.last().copied());
        let ignores_hangup = ignored.is_some_and(|digit| {
            char::from(digit).to_digit(16).is_some_and(|digit| digit & 1 == 1)
        });
        let contained = fields(b"NSpid:").len() > 1;
        Ok(Some(Identity { uid, contained, ignores_hangup }))
    }

    /// The children of a process (`/proc/PID/task/PID/children` of proc(5)), those of its main thread. Nothing where
    /// the kernel was built without that file or the process ended.
    pub fn children(&self, pid: u32) -> Result<Vec<u32>, HostError> {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = self.optional(&path, LIST)?.unwrap_or_default();
        let pids = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        pids.map(decimal)
            .collect::<Option<_>>()
            .ok_or_else(|| HostError::malformed(path, "a child is not a pid"))
    }

    /// The arguments of a process, each ended by a zero byte, in `buffer`, which is emptied first: at most 8192
    /// bytes. Nothing if it ended. A process may have written anything there, as sshd does.
    pub fn arguments(&self, pid: u32, buffer: &mut Vec<u8>) -> Result<(), HostError> {
        buffer.clear();
        let path = format!("/proc/{pid}/cmdline");
        let failed = |error| HostError::io("read", path.as_str(), error);
        let read = File::open(self.root.path(&path))
            .and_then(|file| file.take(ARGUMENTS).read_to_end(buffer))
            .map_err(failed);
        match read {
            Err(error) if error.is_missing() => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// The control group of a process in the hierarchy that systemd uses (`/proc/PID/cgroup`, cgroups(7)), without a
    /// leading slash; none if it ended or has none.
    pub fn control_group(&self, pid: u32) -> Result<Option<String>, HostError> {
        let path = format!("/proc/{pid}/cgroup");
        let Some(text) = self.optional(&path, LIST)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&text);
        let group = |name: &str| {
            text.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let found = parts.next()? == name;
                parts.next().filter(|path| found && *path != "/")
            })
        };
        // The unified hierarchy, or that of systemd's own where version 1 is in use.
        let found = group("").or_else(|| group("name=systemd"));
        Ok(found.map(|path| path.trim_start_matches('/').to_owned()))
    }

    fn optional(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, HostError> {
        let mut text = Vec::new();
        match self.root.read_into(path, limit, &mut text) {
            Ok(()) => Ok(Some(text)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whose a process is and where it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its real user id.
    pub uid: u32,
    /// Whether it lives in a pid namespace of its own (`NSpid:`): in a container.
    pub contained: bool,
    /// Whether it ignores SIGHUP (`SigIgn:`), as what nohup(1) starts does and hands on to its children.
    pub ignores_hangup: bool,
}

/// The arguments in what [`Processes::arguments`] read, without trailing empty ones.
pub fn words(arguments: &[u8]) -> Vec<&[u8]> {
    let end = arguments.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let used = arguments.get(..end).unwrap_or_default();
    if used.is_empty() { Vec::new() } else { used.split(|byte| *byte == 0).collect() }
}

/// Why nobody else's process can be seen, and what to do.
pub const HIDDEN: &str = "it hides other users' processes (hidepid=); mount it with hidepid=0 or with gid= of a group that \
                          the agent's service is in (SupplementaryGroups=)";

/// Whether `/proc` hides processes of other users from this one (`hidepid=` of proc(5)).
///
/// Members of the group of `gid=` see everything, and without that option it is group 0 (`has_pid_permissions` of
/// `fs/proc/base.c`), in which the agent is: only another group, or the level `ptraceable`, hides anything from it. Where
/// several are mounted one over the other (`ProtectProc=` of systemd.exec(5) mounts one of the unit's own) it is the last one's.
pub fn hides_others(root: &HostRoot) -> Result<bool, HostError> {
    let mut text = Vec::new();
    match root.read_into("/proc/self/mounts", 1 << 20, &mut text) {
        Ok(()) => {}
        Err(error) if error.is_missing() => return Ok(false),
        Err(error) => return Err(error),
    }
    // Of another machine it is not known in which groups the agent would be there.
    let mine = |gid: u32| root.is_real() && in_group(gid);
    let text = String::from_utf8_lossy(&text);
    let mut options = text.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let proc = fields.next() == Some("/proc") && fields.next() == Some("proc");
        fields.next().filter(|_| proc)
    });
    Ok(options.next_back().is_some_and(|options| hides(options, &mine)))
}

/// Whether a `/proc` with these options hides others from a process that is in those groups.
fn hides(options: &str, mine: &dyn Fn(u32) -> bool) -> bool {
    let value =
        |key: &str| options.split(',').filter_map(|option| option.strip_prefix(key)).next_back();
    match value("hidepid=") {
        None | Some("0" | "off") => false,
        Some("4" | "ptraceable") => true,
        Some(_) => !value("gid=").map_or(Some(0), |gid| gid.parse().ok()).is_some_and(mine),
    }
}

fn in_group(gid: u32) -> bool {
    let further = || nix::unistd::getgroups().unwrap_or_default();
    nix::unistd::getegid().as_raw() == gid || further().iter().any(|group| group.as_raw() == gid)
}

/// This process's id as `/proc` shows it, or none where `root` is not the machine.
pub fn own_pid(root: &HostRoot) -> Option<u32> {
    root.is_real().then(std::process::id)
}

/// `PID/stat` in `buffer`.
fn stat_name(pid: u32, buffer: &mut [u8; 16]) -> &[u8] {
    let mut digits = [0_u8; 10];
    let mut rest = pid;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    let number = digits.get(digits.len() - used..).unwrap_or_default();
    let name = number.iter().chain(b"/stat");
    for (to, from) in buffer.iter_mut().zip(name) {
        *to = *from;
    }
    buffer.get(..used + 5).unwrap_or_default()
}

fn read_at(folder: &OwnedFd, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
    let file = openat(folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::read(&file, buffer)
}

fn decimal(text: &[u8]) -> Option<u32> {
    u32::try_from(number(text)?).ok()
}

/// A decimal number without sign that fills the whole text.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Understands a stat line. The name stands in parentheses and may itself hold spaces and parentheses, so the fields
/// begin after the *last* closing one.
fn parse(line: &[u8], tick_us: u64) -> Option<ProcessStat<'_>> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let pid = decimal(line.get(..open)?.strip_suffix(b" ")?)?;
    let comm = line.get(open + 1..close)?;
    let rest = line.get(close + 2..)?;
    let mut fields = rest.split(|byte| matches!(byte, b' ' | b'\n'));
    let state = fields.next().filter(|state| state.len() == 1)?;
    let parent = decimal(fields.next()?)?;
    let group = decimal(fields.next()?)?;
    let session = decimal(fields.next()?)?;
    let tty = decimal(fields.next()?)?;
    // -1 where there is no terminal; a group in another namespace shows as 0.
    let foreground = fields.next()?;
    let foreground = if foreground == b"-1" { 0 } else { decimal(foreground)? };
    let flags = number(fields.next()?)?;
    let user = number(fields.nth(4)?)?;
    let system = number(fields.next()?)?;
    let children_user = number(fields.next()?)?;
    let children_system = number(fields.next()?)?;
    // Priority and niceness, which may be negative, stand before the threads; a timer that is always 0 after them.
    let threads = number(fields.nth(2)?)?;
    let start = number(fields.nth(1)?)?;
    // A first thread that has ended shows as a zombie while others go on (fs/proc/array.c, kernel/exit.c).
    let dead = matches!(state, b"Z" | b"X" | b"x") && threads <= 1;
    let micros = |a: u64, b: u64| a.saturating_add(b).saturating_mul(tick_us);
    Some(ProcessStat {
        pid,
        comm,
        ppid: parent,
        group,
        session,
        tty,
        foreground,
        kernel: flags & KERNEL_THREAD != 0,
        dead,
        own_us: micros(user, system),
        children_us: micros(children_user, children_system),
        start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};

    const BASH: &[u8] = b"812 (bash) S 811 812 812 34816 830 4194560 1 2 3 4 7 5 40 2 20 0 1 0 9912 9 9 18446744073709551615 1 1 0 0\n";

    #[test]
    fn a_line_is_understood() {
        let stat = parse(BASH, 10_000).unwrap();
        assert_eq!(stat.pid, 812);
        assert_eq!(stat.comm, b"bash");
        assert_eq!((stat.ppid, stat.session, stat.tty), (811, 812, 34_816));
        assert_eq!((stat.group, stat.foreground), (812, 830));
        assert_eq!((stat.own_us, stat.children_us), (120_000, 420_000));
        assert_eq!(stat.start, 9912);
        assert!(!stat.kernel);
    }

    #[test]
    fn who_waits_to_be_reaped_is_dead_unless_other_threads_go_on() {
        for (state, threads, dead) in [
            ("S", 1, false),
            ("R", 1, false),
            ("D", 1, false),
            ("T", 1, false),
            ("I", 1, false),
            ("Z", 1, true),
            ("Z", 0, true),
            ("Z", 2, false),
            ("X", 1, true),
            ("x", 0, true),
        ] {
            let line = String::from_utf8_lossy(BASH);
            let line = line.replace(") S ", &format!(") {state} "));
            let line = line.replace(" 20 0 1 0 9912 ", &format!(" 20 0 {threads} 0 9912 "));
            let stat = parse(line.as_bytes(), 10_000).unwrap();
            assert_eq!((stat.dead, stat.start), (dead, 9912), "{state} {threads}");
        }
    }

    #[test]
    fn a_child_that_nobody_reaped_is_dead_on_this_machine_and_its_time_is_still_told() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(id), flags).unwrap();
        let mut processes = Processes::new(HostRoot::real());
        let proc = processes.open().unwrap();
        assert!(processes.read_any(&proc, child.id()).unwrap().unwrap().dead);
        assert_eq!(processes.read(&proc, child.id()).unwrap(), None);
        let mut met = false;
        processes.walk(&mut |stat| met |= stat.pid == child.id()).unwrap();
        assert!(!met, "a walk hands out the living only");
        child.wait().unwrap();
    }

    #[test]
    fn a_name_may_hold_spaces_and_parentheses() {
        for name in ["tmux: server", "a) S 1 1 1 0", "((", "))", "", "x (y"] {
            let line = String::from_utf8_lossy(BASH).replace("(bash)", &format!("({name})"));
            let stat = parse(line.as_bytes(), 10_000).unwrap();
            assert_eq!(stat.comm, name.as_bytes());
            assert_eq!(stat.own_us, 120_000, "{name}");
        }
    }

    #[test]
    fn every_truncation_and_garbage_is_refused() {
        let needed = BASH.windows(4).position(|four| four == b"9912").unwrap();
        for length in 0..needed {
            assert_eq!(parse(&BASH[..length], 10_000), None, "{length}");
        }
        for line in [
            &b"812 bash S 1"[..],
            b"() S",
            b"x (bash) S 811 812 812 0 0 0 1 2 3 4 7 5 40 2 20 0 1 0 9 ",
            b"812 (bash) S 811 812 812 0 0 0 1 2 3 4 -7 5 40 2 20 0 1 0 9 ",
            b"812 )bash( S 811",
            b"99999999999 (bash) S 811 812 812 0 0 0 1 2 3 4 7 5 40 2 20 0 1 0 9 ",
            b"\xff\xfe\x00",
        ] {
            assert_eq!(parse(line, 10_000), None, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_huge_counter_saturates() {
        let line = String::from_utf8_lossy(BASH).replace(" 7 5 ", " 18446744073709551615 5 ");
        assert_eq!(parse(line.as_bytes(), 10_000).unwrap().own_us, u64::MAX);
    }

    #[test]
    fn numbers_do_not_wrap() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b"18446744073709551616"[..], b"", b"-1", b"+1", b"1 ", b"0x1"] {
            assert_eq!(number(bad), None);
        }
    }

    #[test]
    fn the_name_of_the_file_is_right_for_every_length() {
        for pid in [0, 7, 10, 4_194_304, u32::MAX] {
            let mut buffer = [0; 16];
            assert_eq!(stat_name(pid, &mut buffer), format!("{pid}/stat").as_bytes());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_makes_the_parser_panic(line in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            parse(&line, 10_000);
        }

        #[test]
        fn what_the_kernel_writes_is_understood(
            comm in "[ -~]{0,15}",
            pid in 1_u32..4_194_304,
            times in proptest::array::uniform4(0_u64..1 << 40),
            tty in 0_u32..1 << 24,
            start in 0_u64..1 << 50,
        ) {
            let [user, system, children_user, children_system] = times;
            let line = format!(
                "{pid} ({comm}) R 7 {pid} 8 {tty} -1 4194304 0 0 0 0 {user} {system} {children_user} {children_system} 20 0 1 0 {start} 0 0\n"
            );
            let stat = parse(line.as_bytes(), 10_000).unwrap();
            proptest::prop_assert_eq!(stat.comm, comm.as_bytes());
            proptest::prop_assert_eq!((stat.pid, stat.ppid, stat.session, stat.tty), (pid, 7, 8, tty));
            proptest::prop_assert_eq!(stat.own_us, (user + system) * 10_000);
            proptest::prop_assert_eq!(stat.children_us, (children_user + children_system) * 10_000);
            proptest::prop_assert_eq!(stat.start, start);
        }
    }

    fn walked(tree: &Tree) -> Result<Vec<(u32, String)>, HostError> {
        let mut found = Vec::new();
        Processes::new(tree.root()).walk(&mut |stat| found.push((stat.pid, stat.name())))?;
        found.sort();
        Ok(found)
    }

    #[test]
    fn a_walk_sees_living_processes_and_no_kernel_threads() {
        let tree = Tree::new();
        tree.process(&Process::new(32, "Runner.Worker").with(|p| p.state = 'Z'));
        tree.process(&Process::new(1, "systemd"));
        tree.process(&Process::new(2, "kthreadd").with(|p| p.flags = 0x0020_8040));
        tree.process(&Process::new(30, "tmux: server"));
        tree.file("/proc/meminfo", "");
        tree.folder("/proc/31");
        let found = walked(&tree).unwrap();
        assert_eq!(found, [(1, "systemd".to_owned()), (30, "tmux: server".to_owned())]);
    }

    #[test]
    fn the_cost_of_a_walk_is_measured_and_kept_within_reason() {
        assert_eq!(cost_of_one(5_000_000, 99), None, "too few processes");
        for (nanos, expected) in [(900_000, 9000), (0, 1000), (u64::MAX, 50_000), (700_000, 7000)] {
            assert_eq!(cost_of_one(nanos, 100), Some(expected));
        }
        assert_eq!(cost(), Duration::from_micros(7), "before the first walk");
        let begun = cpu_time();
        let sum: u64 = (0..1_000_000).map(std::hint::black_box).sum();
        assert!(cpu_time() > begun, "{sum}");
    }

    #[test]
    fn a_walk_over_garbage_is_an_error_that_names_the_process() {
        let tree = Tree::new();
        tree.process(&Process::new(1, "systemd"));
        tree.file("/proc/77/stat", "garbage");
        let error = walked(&tree).unwrap_err().to_string();
        assert!(error.contains("/proc/77/stat"), "{error}");
        tree.file("/proc/77/stat", String::from_utf8_lossy(BASH).as_ref());
        assert!(walked(&tree).is_err(), "the line of another process must not be believed");
    }

    #[test]
    fn a_machine_without_proc_is_an_error() {
        let tree = Tree::new();
        tree.remove("/proc");
        assert!(walked(&tree).unwrap_err().is_missing());
    }

    #[test]
    fn this_machine_shows_this_process() {
        let root = HostRoot::real();
        let mut processes = Processes::new(root.clone());
        let proc = processes.open().unwrap();
        let pid = own_pid(&root).unwrap();
        let stat = processes.read(&proc, pid).unwrap().unwrap();
        assert_eq!(stat.ppid, std::os::unix::process::parent_id());
        let uid = processes.uid(pid).unwrap().unwrap();
        assert_eq!(uid, nix::unistd::getuid().as_raw());
        assert_eq!(processes.read(&proc, u32::MAX).unwrap(), None);
    }

    #[test]
    fn the_user_comes_from_the_status_file() {
        let tree = Tree::new();
        tree.process(&Process::new(30, "make").with(|p| p.uid = 1000));
        let mut processes = Processes::new(tree.root());
        assert_eq!(processes.uid(30).unwrap(), Some(1000));
        assert_eq!(processes.uid(31).unwrap(), None);
        tree.file("/proc/30/status", "Name:\tmake\n");
        assert!(processes.uid(30).is_err());
    }

    #[test]
    fn what_nohup_started_ignores_sighup() {
        let tree = Tree::new();
        let mut processes = Processes::new(tree.root());
        let mut ignores = |mask: &str| {
            tree.file(
                "/proc/30/status",
                format!("Uid:\t5\t5\t5\t5\n{mask}SigCgt:\t0000000000000001\n"),
            );
            processes.identity(30).unwrap().unwrap().ignores_hangup
        };
        assert!(ignores("SigIgn:\t0000000000000001\n") && ignores("SigIgn:\t0000000000001007\n"));
        assert!(!ignores("SigIgn:\t0000000000001006\n") && !ignores("SigIgn:\t0000000000000000\n"));
        assert!(!ignores(""));
        let mut nohup = std::process::Command::new("nohup");
        let nohup = nohup.args(["sleep", "60"]).stdin(std::process::Stdio::null());
        let mut child = nohup.stdout(std::process::Stdio::null()).spawn().unwrap();
        let mut real = Processes::new(HostRoot::real());
        let seen = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            real.identity(child.id()).unwrap().is_some_and(|identity| identity.ignores_hangup)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(seen);
    }

    #[test]
    fn a_process_with_two_pids_is_in_a_container() {
        let tree = Tree::new();
        tree.process(&Process::new(30, "make").with(|p| p.uid = 1000));
        tree.process(&Process::new(31, "make").with(|p| p.contained = true));
        let mut processes = Processes::new(tree.root());
        let identity = Identity { uid: 1000, contained: false, ignores_hangup: false };
        assert_eq!(processes.identity(30).unwrap(), Some(identity));
        assert!(processes.identity(31).unwrap().unwrap().contained);
        tree.file("/proc/31/status", "Uid:\t5\t5\t5\t5\n");
        assert!(!processes.identity(31).unwrap().unwrap().contained);
    }

    #[test]
    fn arguments_children_and_group_are_read_and_may_be_missing() {
        let tree = Tree::new();
        let processes = Processes::new(tree.root());
        let mut buffer = vec![1];
        processes.arguments(30, &mut buffer).unwrap();
        assert!(words(&buffer).is_empty());
        assert!(processes.children(30).unwrap().is_empty());
        assert_eq!(processes.control_group(30).unwrap(), None);
        tree.file("/proc/30/cmdline", "sh\0-c\0\0a b\0\0\0");
        tree.file("/proc/30/task/30/children", "31 32 ");
        tree.file("/proc/30/cgroup", "0::/user.slice/x.scope\n");
        processes.arguments(30, &mut buffer).unwrap();
        assert_eq!(words(&buffer), [&b"sh"[..], b"-c", b"", b"a b"]);
        assert_eq!(processes.children(30).unwrap(), [31, 32]);
        assert_eq!(processes.control_group(30).unwrap().as_deref(), Some("user.slice/x.scope"));
        tree.file("/proc/30/cgroup", "4:cpu:/\n1:name=systemd:/user.slice/y\n0::/\n");
        assert_eq!(processes.control_group(30).unwrap().as_deref(), Some("user.slice/y"));
        tree.file("/proc/30/cmdline", vec![b'x'; 100_000]);
        processes.arguments(30, &mut buffer).unwrap();
        assert_eq!(buffer.len(), 8192);
        tree.file("/proc/30/task/30/children", "31 x");
        assert!(processes.children(30).is_err());
    }

    #[test]
    fn whoever_is_in_the_group_of_the_mount_sees_everybody() {
        let in_groups = |gid: u32| [0, 27].contains(&gid);
        for (options, hidden) in [
            ("rw", false),
            ("rw,hidepid=0", false),
            ("rw,hidepid=1", false),
            ("rw,hidepid=invisible", false),
            ("rw,gid=27,hidepid=2", false),
            ("rw,gid=4,hidepid=2", true),
            ("rw,gid=x,hidepid=2", true),
            ("rw,hidepid=4", true),
            ("rw,gid=27,hidepid=ptraceable", true),
        ] {
            assert_eq!(hides(options, &in_groups), hidden, "{options}");
        }
        assert!(hides("rw,hidepid=2", &|_| false));
        assert!(in_group(nix::unistd::getegid().as_raw()));
    }

    #[test]
    fn hidden_processes_are_noticed() {
        let tree = Tree::new();
        let root = tree.root();
        assert!(!hides_others(&root).unwrap());
        for (options, hidden) in [
            ("rw,nosuid", false),
            ("rw,hidepid=0", false),
            ("rw,hidepid=off", false),
            ("rw,hidepid=2", true),
            ("rw,gid=4,hidepid=invisible", true),
        ] {
            let mount = |options: &str| format!("proc /proc proc {options} 0 0\n");
            tree.file("/proc/self/mounts", mount(options));
            assert_eq!(hides_others(&root).unwrap(), hidden, "{options}");
            for below in ["rw", "rw,gid=4,hidepid=2"] {
                tree.file("/proc/self/mounts", mount(below) + &mount(options));
                assert_eq!(hides_others(&root).unwrap(), hidden, "{options} over {below}");
            }
        }
    }
}
