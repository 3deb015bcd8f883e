//! Processes, from `/proc/PID/stat` (`proc_pid_stat(5)`).
//!
//! A walk over a thousand processes costs what the kernel needs for `openat`, `read` and `close`, and little more: one
//! buffer is used again and again, nothing is allocated for a process, and no descriptor is kept. What it costs on the
//! machine is measured with every walk, in CPU time of the thread, so that those who walk can pace themselves.

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

/// Notes what a walk over so many processes cost.
fn note_cost(nanos: u64, processes: usize) {
    let processes = u64::try_from(processes).unwrap_or(u64::MAX);
    if processes >= ENOUGH {
        COST.store((nanos / processes).clamp(COSTS.0, COSTS.1), Ordering::Relaxed);
    }
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
    /// Session id: the pid of the session leader.
    pub session: u32,
    /// Controlling terminal as a device number (`makedev(3)` with a minor of up to 20 bits), 0 for none.
    pub tty: u32,
    /// Whether it is a kernel thread.
    pub kernel: bool,
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

    /// Reads one process; none if it ended. `proc` is what [`open`](Self::open) gave.
    pub fn read(&mut self, proc: &OwnedFd, pid: u32) -> Result<Option<ProcessStat<'_>>, HostError> {
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

    /// Hands every process that is not a kernel thread to `each`, and says how many processes there are in all.
    ///
    /// A process that ends in between is left out; one that cannot be read or understood is an error, because the
    /// walk would be incomplete without saying so.
    pub fn walk(&mut self, each: &mut dyn FnMut(&ProcessStat<'_>)) -> Result<usize, HostError> {
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
            if let Some(stat) = self.read(&proc, pid)?
                && !stat.kernel
            {
                each(&stat);
            }
        }
        if self.root.is_real() {
            note_cost(cpu_time().saturating_sub(begun), count);
        }
        Ok(count)
    }

    /// The real user id of a process from `/proc/PID/status`; none if it ended.
    pub fn uid(&mut self, pid: u32) -> Result<Option<u32>, HostError> {
        let path = format!("/proc/{pid}/status");
        let mut text = Vec::new();
        match self.root.read_into(&path, STATUS, &mut text) {
            Ok(()) => {}
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        }
        let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"));
        let first = line.and_then(|line| {
            line.split(u8::is_ascii_whitespace).find(|field| !field.is_empty()).and_then(decimal)
        });
        first.map(Some).ok_or_else(|| HostError::malformed(path, "no 'Uid:' line"))
    }
}

/// Whether `/proc` hides processes of other users from this one (`hidepid=` of proc(5)).
pub fn hides_others(root: &HostRoot) -> Result<bool, HostError> {
    let mut text = Vec::new();
    match root.read_into("/proc/self/mounts", 1 << 20, &mut text) {
        Ok(()) => {}
        Err(error) if error.is_missing() => return Ok(false),
        Err(error) => return Err(error),
    }
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        let proc = fields.next() == Some("/proc") && fields.next() == Some("proc");
        let options = fields.next().unwrap_or_default();
        let hidden = |option: &str| {
            option.strip_prefix("hidepid=").is_some_and(|level| !["0", "off"].contains(&level))
        };
        proc && options.split(',').any(hidden)
    }))
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
    fields.next().filter(|state| state.len() == 1)?;
    let parent = decimal(fields.next()?)?;
    let session = decimal(fields.nth(1)?)?;
    let tty = decimal(fields.next()?)?;
    let flags = number(fields.nth(1)?)?;
    let user = number(fields.nth(4)?)?;
    let system = number(fields.next()?)?;
    let children_user = number(fields.next()?)?;
    let children_system = number(fields.next()?)?;
    let start = number(fields.nth(4)?)?;
    let micros = |a: u64, b: u64| a.saturating_add(b).saturating_mul(tick_us);
    Some(ProcessStat {
        pid,
        comm,
        ppid: parent,
        session,
        tty,
        kernel: flags & KERNEL_THREAD != 0,
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
        assert_eq!((stat.own_us, stat.children_us), (120_000, 420_000));
        assert_eq!(stat.start, 9912);
        assert!(!stat.kernel);
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
    fn a_walk_sees_processes_and_no_kernel_threads() {
        let tree = Tree::new();
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
        note_cost(5_000_000, 99);
        assert_eq!(cost(), Duration::from_nanos(7000), "too few processes");
        for (nanos, expected) in [(900_000, 9000), (0, 1000), (u64::MAX, 50_000), (700_000, 7000)] {
            note_cost(nanos, 100);
            assert_eq!(cost(), Duration::from_nanos(expected));
        }
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
            tree.file("/proc/self/mounts", format!("proc /proc proc {options} 0 0\n"));
            assert_eq!(hides_others(&root).unwrap(), hidden, "{options}");
        }
    }
}
