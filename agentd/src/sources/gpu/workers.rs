//! The processes on a GPU, and whether those on a GPU that tells no utilisation are at work.
//!
//! NVML tells no utilisation of a partitioned GPU (MIG), and some virtual ones tell none either. There a process counts
//! as using the GPU while it uses CPU time, however little: whoever feeds a GPU uses some microseconds for each piece of
//! work. A process that holds memory and waits uses nearly none (an idle Python kernel was measured at a ten-thousandth of
//! a core), so five ten-thousandths over two minutes are the limit. A job whose pieces of work take seconds each, and
//! which sleeps meanwhile, can stay below that; it needs a hold.

use std::collections::HashMap;
use std::time::Duration;

use agent_core::stamp::Stamp;
use nvml_wrapper::device::Device;
use nvml_wrapper::error::NvmlError;

use crate::host::process::Processes;
use crate::host::{HostError, HostRoot};

/// A process that used less than [`LEAST_US`] in this long waits…
const STANDSTILL: Duration = Duration::from_mins(2);
/// …which is 0.0005 core.
const LEAST_US: u64 = 60_000;

/// The processes on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists {
    compute: Vec<u32>,
    graphics: Vec<u32>,
}

impl Lists {
    /// Asks for them, those on its partitions included.
    pub(super) fn of(device: &Device<'_>) -> Result<Self, NvmlError> {
        let mut compute = device.running_compute_processes()?;
        if device.mig_mode().is_ok_and(|mode| mode.current != 0) {
            for index in 0..device.mig_device_count()? {
                match device.mig_device_by_index(index) {
                    Ok(partition) => compute.extend(partition.running_compute_processes()?),
                    // Partitions that were not made.
                    Err(NvmlError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let graphics = device.running_graphics_processes().unwrap_or_default();
        let pids = |list: Vec<nvml_wrapper::struct_wrappers::device::ProcessInfo>| {
            let mut pids: Vec<u32> = list.into_iter().map(|process| process.pid).collect();
            pids.sort_unstable();
            pids.dedup();
            pids
        };
        Ok(Self { compute: pids(compute), graphics: pids(graphics) })
    }

    /// Whether there are processes, and all of them only draw.
    pub(super) fn only_draw(&self) -> bool {
        self.compute.is_empty() && !self.graphics.is_empty()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<u32> {
        let mut pids = [self.compute.as_slice(), &self.graphics].concat();
        pids.sort_unstable();
        pids.dedup();
        pids
    }
}

/// Follows the CPU time of processes on GPUs.
#[derive(Debug)]
pub(super) struct Workers {
    processes: Processes,
    seen: HashMap<u32, Worker>,
    look: u64,
}

#[derive(Clone, Copy, Debug)]
struct Worker {
    start: u64,
    /// CPU time at the beginning of the span that is measured, and when that was.
    base_us: u64,
    base: Stamp,
    /// When it was last seen to work.
    moved: Stamp,
    look: u64,
}

impl Workers {
    /// Nothing is read yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self { processes: Processes::new(root), seen: HashMap::new(), look: 0 }
    }

    /// Begins a look: forgets those whom the last one did not meet.
    pub(super) fn begin(&mut self) {
        let look = self.look;
        self.seen.retain(|_, worker| worker.look == look);
        self.look += 1;
    }

    /// Those of `pids` that are at work. One that is new is, and so is one that cannot be looked at: it may be in
    /// another namespace of processes.
    pub(super) fn at_work(&mut self, now: Stamp, pids: &[u32]) -> Result<Vec<u32>, HostError> {
        let proc = self.processes.open()?;
        let mut working = Vec::new();
        for pid in pids.iter().copied() {
            let Some(stat) = self.processes.read_any(&proc, pid)? else {
                working.push(pid);
                continue;
            };
            // The driver may still list what has ended and waits to be reaped; it does nothing any more.
            if stat.dead {
                continue;
            }
            let used_us = stat.own_us.saturating_add(stat.children_us);
            let look = self.look;
            let fresh = Worker { start: stat.start, base_us: used_us, base: now, moved: now, look };
            let known = self.seen.get(&pid).filter(|known| known.start == stat.start);
            let worker = match known.copied() {
                // Enough in less than the whole span.
                Some(known) if used_us.saturating_sub(known.base_us) >= LEAST_US => fresh,
                Some(known) if now.since(known.base) >= STANDSTILL => {
                    Worker { moved: known.moved, ..fresh }
                }
                Some(known) => Worker { look, ..known },
                None => fresh,
            };
            self.seen.insert(pid, worker);
            if now.since(worker.moved) < STANDSTILL {
                working.push(pid);
            }
        }
        Ok(working)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};

    struct Machine {
        tree: Tree,
        workers: Workers,
        now: Stamp,
    }

    impl Machine {
        fn new() -> Self {
            let tree = Tree::new();
            let workers = Workers::new(tree.root());
            Self { tree, workers, now: Stamp::new(1_000_000, 0, 0) }
        }

        fn process(&self, pid: u32, own: u64) {
            self.tree.process(&Process::new(pid, "python3").with(|p| p.own = own));
        }

        fn look(&mut self, after: u64, pids: &[u32]) -> Vec<u32> {
            self.now = self.now.after(Duration::from_secs(after));
            self.workers.begin();
            self.workers.at_work(self.now, pids).unwrap()
        }
    }

    #[test]
    fn a_process_is_at_work_while_it_uses_cpu_time_and_two_minutes_longer() {
        let mut machine = Machine::new();
        for ticks in 0..10 {
            machine.process(7, ticks * 6);
            assert_eq!(machine.look(100, &[7]), [7]);
        }
        assert_eq!(machine.look(119, &[7]), [7]);
        assert!(machine.look(1, &[7]).is_empty());
        machine.process(7, 60);
        assert_eq!(machine.look(5, &[7]), [7]);
    }

    /// CPU time in steps of 10 ms, looks every 10 seconds: in how many of the last 100 looks it was at work.
    fn at_work_with(core: f64) -> usize {
        let mut machine = Machine::new();
        let mut ticks = 0.0;
        let mut working = 0;
        for look in 0..400 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            machine.process(7, ticks as u64);
            ticks += core * 1000.0;
            working += usize::from(!machine.look(10, &[7]).is_empty() && look >= 300);
        }
        working
    }

    #[test]
    fn a_kernel_at_rest_is_told_from_a_job() {
        assert_eq!(at_work_with(0.0), 0);
        assert_eq!(at_work_with(0.0001), 0, "an idle interpreter");
        assert_eq!(at_work_with(0.0003), 0);
        assert_eq!(at_work_with(0.0006), 100);
        assert_eq!(at_work_with(0.3), 100);
    }

    #[test]
    fn a_process_that_is_new_or_has_a_used_number_is_at_work() {
        let mut machine = Machine::new();
        machine.process(7, 3);
        machine.look(0, &[7]);
        machine.process(8, 3);
        assert_eq!(machine.look(200, &[7, 8]), [8]);
        machine.tree.process(&Process::new(7, "other").with(|p| (p.own, p.start) = (3, 99)));
        assert_eq!(machine.look(1, &[7, 8]), [7, 8]);
        machine.look(1, &[8]);
        assert_eq!(machine.look(200, &[7, 8]), [7], "it was away in between");
    }

    #[test]
    fn one_that_cannot_be_looked_at_is_at_work_for_ever() {
        let mut machine = Machine::new();
        for _ in 0..100 {
            assert_eq!(machine.look(600, &[7]), [7]);
        }
    }

    #[test]
    fn garbage_is_an_error_that_names_the_process() {
        let mut machine = Machine::new();
        machine.tree.file("/proc/7/stat", "garbage");
        machine.workers.begin();
        let error = machine.workers.at_work(machine.now, &[7]).unwrap_err().to_string();
        assert!(error.contains("/proc/7/stat"), "{error}");
    }

    #[test]
    fn processes_that_draw_are_told_from_those_that_compute() {
        let lists = |compute: &[u32], graphics: &[u32]| Lists {
            compute: compute.to_vec(),
            graphics: graphics.to_vec(),
        };
        assert!(lists(&[], &[5]).only_draw());
        assert!(!lists(&[5], &[5]).only_draw());
        assert!(!lists(&[], &[]).only_draw(), "somebody who is not listed uses it");
        assert_eq!(lists(&[5, 7], &[3, 5]).all(), [3, 5, 7]);
    }
}
