//! What the CPUs of the machine did, from `/proc/stat` (`proc_stat(5)`) and `/proc/schedstat`
//! (`Documentation/scheduler/sched-stats.rst`).
//!
//! The busy columns of `/proc/stat` are samples: whoever runs at the moment of a clock tick is booked the whole tick. Work
//! that is driven by a timer runs between the ticks and is not in them, or twice. Two counters lose nothing: the seventh
//! number of a CPU in `/proc/schedstat`, nanoseconds in which tasks ran on it, kernel threads and ended processes
//! included; and the idle column, which the kernel measures where it stops the tick of an idle CPU (`NO_HZ`).

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use super::process::number;
use super::{HostError, HostRoot};

/// The most of `/proc/stat` that is read: its line of interrupts is long on a large machine.
const LIMIT: usize = 4 << 20;
/// The file.
pub const PATH: &str = "/proc/stat";
/// The file of the scheduler; a kernel without `CONFIG_SCHEDSTATS` has none.
pub const SCHEDSTAT: &str = "/proc/schedstat";
/// The versions of that file whose lines of CPUs are the same: 15 since Linux 2.6.30, 17 since 6.15.
const VERSIONS: std::ops::RangeInclusive<u64> = 15..=17;

/// What the first lines say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stolen {
    /// Time that the hypervisor gave to others while a CPU of this machine wanted to run, microseconds over all CPUs
    /// since boot.
    pub steal_us: u64,
    /// How many CPUs are on line. A CPU that comes or goes takes its times with it.
    pub cpus: usize,
}

/// Times of all CPUs together since boot, in microseconds, as the line `cpu` gives them in steps of 10 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// In which they were idle, whether or not they waited for a disk. The part of waiting alone may go backwards.
    pub idle_us: u64,
    /// Interrupts and what the kernel does right after them, as samples; without `IRQ_TIME_ACCOUNTING` whoever was
    /// interrupted is booked them too.
    pub interrupts_us: u64,
    /// Given to others while a CPU of this machine wanted to run.
    pub steal_us: u64,
    /// All columns together.
    pub all_us: u64,
    /// How many CPUs are on line.
    pub cpus: usize,
    /// When they were read (`CLOCK_MONOTONIC`), microseconds; nothing where the file is not the machine's.
    pub read_us: Option<u64>,
}

/// Time in which tasks ran, from the scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Microseconds over all CPUs since boot. A task is booked when it leaves its CPU.
    pub us: u64,
    /// How many CPUs are on line.
    pub cpus: usize,
}

/// Reads the stolen time.
pub fn stolen(root: &HostRoot) -> Result<Stolen, HostError> {
    let times = times(root)?;
    Ok(Stolen { steal_us: times.steal_us, cpus: times.cpus })
}

/// Reads the times.
pub fn times(root: &HostRoot) -> Result<Times, HostError> {
    let mut text = Vec::new();
    root.read_into(PATH, LIMIT, &mut text)?;
    let read_us = root.is_real().then(monotonic_us).flatten();
    let hertz = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let hertz = hertz.and_then(|hertz| u64::try_from(hertz).ok()).filter(|hertz| *hertz > 0);
    let times = parse(&text, 1_000_000 / hertz.unwrap_or(100))
        .ok_or_else(|| HostError::malformed(PATH, "no line 'cpu' with eight times in it"))?;
    Ok(Times { read_us, ..times })
}

/// Reads the time in which tasks ran; nothing where the kernel does not keep it, or in a form that is not known.
pub fn ran(root: &HostRoot) -> Result<Option<Ran>, HostError> {
    let mut text = Vec::new();
    match root.read_into(SCHEDSTAT, LIMIT, &mut text) {
        Err(error) if error.is_missing() => return Ok(None),
        other => other?,
    }
    let mut lines = text.split(|byte| *byte == b'\n');
    let version = lines.next().and_then(|line| line.strip_prefix(b"version ")).and_then(number);
    if !version.is_some_and(|version| VERSIONS.contains(&version)) {
        return Ok(None);
    }
    let mut ran = Ran::default();
    let mut sum_ns = 0_u64;
    for line in lines.filter(|line| line.starts_with(b"cpu")) {
        let field = line.split(|byte| *byte == b' ').nth(7).and_then(number);
        let field = field.ok_or_else(|| HostError::malformed(SCHEDSTAT, "a CPU without a time"))?;
        sum_ns = sum_ns.saturating_add(field);
        ran.cpus += 1;
    }
    ran.us = sum_ns / 1000;
    if ran.cpus == 0 {
        return Err(HostError::malformed(SCHEDSTAT, "no CPU in it"));
    }
    Ok(Some(ran))
}

/// `CLOCK_MONOTONIC` of `clock_gettime(2)`, by which the kernel measures idle time, microseconds.
fn monotonic_us() -> Option<u64> {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
    let micros = time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_nsec() / 1000);
    u64::try_from(micros).ok()
}

/// `cpu user nice system idle iowait irq softirq steal …`, then one line a CPU.
fn parse(text: &[u8], tick_us: u64) -> Option<Times> {
    let mut lines = text.split(|byte| *byte == b'\n');
    let all = lines.next()?.strip_prefix(b"cpu ")?.split(|byte| *byte == b' ');
    let mut fields = all.filter(|field| !field.is_empty()).map(number);
    let mut columns = [0; 8];
    for column in &mut columns {
        *column = fields.next()??;
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = columns;
    let all = [user, nice, system, idle, iowait, irq, softirq, steal];
    let micros = |a: u64, b: u64| a.saturating_add(b).saturating_mul(tick_us);
    let cpus = lines.take_while(|line| line.starts_with(b"cpu")).count();
    (cpus > 0).then(|| Times {
        idle_us: micros(idle, iowait),
        interrupts_us: micros(irq, softirq),
        steal_us: micros(steal, 0),
        all_us: micros(all.into_iter().fold(0, u64::saturating_add), 0),
        cpus,
        read_us: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;

    #[test]
    fn the_eighth_time_is_what_was_stolen() {
        let text = b"cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1 2 3 4 5 6 7 40 9 10\ncpu1 0 0 0 0 0 0 0 40 0 0\nintr 5\n";
        let times = parse(text, 10_000).unwrap();
        assert_eq!((times.steal_us, times.cpus), (800_000, 2));
        assert_eq!((times.idle_us, times.interrupts_us), (90_000, 130_000));
    }

    const SCHED: &str = "version 15\ntimestamp 4295\ncpu0 0 0 9 8 7 6 5000 4 3\ndomain0 3 1 2 3\ncpu1 0 0 9 8 7 6 2500 4 3\ndomain0 3 1\n";

    #[test]
    fn the_scheduler_tells_how_long_tasks_ran_in_nanoseconds() {
        let tree = Tree::new();
        assert_eq!(ran(&tree.root()).unwrap(), None, "a kernel without it");
        tree.file(SCHEDSTAT, SCHED);
        assert_eq!(ran(&tree.root()).unwrap(), Some(Ran { us: 7, cpus: 2 }));
        for version in ["version 14", "version 18", "version", ""] {
            tree.file(SCHEDSTAT, SCHED.replace("version 15", version));
            assert_eq!(ran(&tree.root()).unwrap(), None, "{version} may mean anything");
        }
        tree.file(SCHEDSTAT, SCHED.replace("version 15", "version 17"));
        assert!(ran(&tree.root()).unwrap().is_some());
    }

    #[test]
    fn a_garbled_scheduler_file_is_an_error_and_no_idle_machine() {
        let tree = Tree::new();
        for text in
            ["version 15\n", "version 15\ncpu0 0 0 9\n", "version 15\ncpu0 0 0 9 8 7 6 -5 4 3\n"]
        {
            tree.file(SCHEDSTAT, text);
            assert!(ran(&tree.root()).unwrap_err().to_string().contains(SCHEDSTAT), "{text}");
        }
    }

    #[test]
    fn garbage_and_old_kernels_are_refused() {
        for text in [
            &b""[..],
            b"cpu",
            b"cpu  1 2 3 4 5 6 7\ncpu0 1 2 3 4 5 6 7\n",
            b"cpu  1 2 3 4 5 6 7 x\ncpu0 1\n",
            b"cpu  1 2 3 4 5 6 7 -8\ncpu0 1\n",
            b"cpu  1 2 3 4 5 6 7 8\nintr 5\n",
            b"intr 5\ncpu  1 2 3 4 5 6 7 8\n",
        ] {
            assert_eq!(parse(text, 10_000), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(stolen(&HostRoot::real()).unwrap().cpus > 0);
        let error = stolen(&Tree::new().root()).unwrap_err();
        assert!(error.is_missing() && error.to_string().contains(PATH), "{error}");
    }
}
