//! The processes in the group of a daemon that starts others' work: which are the daemon's own, and which belong to a job that
//! a package brought. All others are somebody's.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use super::jobs::{Jobs, Step};
use super::upkeep::{is_one_process, starts_work};
use crate::host::process::{self, Processes};
use crate::host::units::Registry;
use crate::host::{HostError, HostRoot};

/// Ancestors are followed this far.
const GENERATIONS: usize = 32;

/// What a process of a package's job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sources) enum OfPackage {
    /// The job, or something that it started.
    Job,
    /// What starts the scripts of a folder, of packages and of people.
    Runner,
}

/// Who is in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sources) struct Inmates {
    /// Packages' jobs.
    pub(in crate::sources) packages: bool,
    /// Somebody's processes.
    pub(in crate::sources) others: bool,
}

/// Tells them apart.
#[derive(Debug)]
pub(in crate::sources) struct Started {
    root: HostRoot,
    processes: Processes,
    jobs: Jobs,
    buffer: Vec<u8>,
}

impl Started {
    /// Nothing is read yet.
    pub(in crate::sources) fn new(root: HostRoot) -> Self {
        let processes = Processes::new(root.clone());
        Self { root, processes, jobs: Jobs::default(), buffer: Vec::new() }
    }

    /// Reads the tables of packages.
    pub(in crate::sources) fn begin(&mut self, registry: &Registry) -> Result<(), HostError> {
        self.jobs = Jobs::read(&self.root, registry)?;
        Ok(())
    }

    /// Which processes belong to a package's job.
    pub(in crate::sources) fn of_packages(
        &mut self,
        proc: &OwnedFd,
        registry: &Registry,
        pids: &[u32],
    ) -> Result<HashMap<u32, OfPackage>, HostError> {
        let mut steps = HashMap::new();
        for pid in pids {
            let Some(stat) = self.processes.read(proc, *pid)? else { continue };
            let parent = stat.ppid;
            self.processes.arguments(*pid, &mut self.buffer)?;
            let words = process::words(&self.buffer);
            steps.insert(*pid, (parent, self.jobs.step(&words, registry)));
        }
        let of_package = |pid: u32| {
            let mut at = pid;
            for depth in 0..GENERATIONS {
                match steps.get(&at) {
                    Some((_, Step::Packaged)) => return Some(OfPackage::Job),
                    // What starts scripts is nobody's job, and what it starts is judged by itself.
                    Some((_, Step::Runner)) => return (depth == 0).then_some(OfPackage::Runner),
                    Some((parent, Step::Other)) => at = *parent,
                    None => break,
                }
            }
            None
        };
        Ok(steps.keys().filter_map(|pid| Some((*pid, of_package(*pid)?))).collect())
    }

    /// Who is among the processes of a unit. Nobody, where its daemon does not start others' work.
    pub(in crate::sources) fn inmates(
        &mut self,
        unit: &str,
        registry: &Registry,
        pids: &[u32],
    ) -> Result<Inmates, HostError> {
        let Some(own) = starts_work(unit) else { return Ok(Inmates::default()) };
        let proc = self.processes.open()?;
        let jobs = self.of_packages(&proc, registry, pids)?;
        let mut all = HashMap::new();
        for pid in pids {
            if let Some(stat) = self.processes.read_any(&proc, *pid)?.filter(|stat| !stat.kernel) {
                all.insert(*pid, (stat.ppid, stat.comm.to_vec()));
            }
        }
        let others = all.iter().any(|(pid, (parent, name))| {
            let parent = all.get(parent).map(|(_, name)| name.as_slice());
            !jobs.contains_key(pid) && !is_daemons(unit, own, name, parent)
        });
        Ok(Inmates { packages: !jobs.is_empty(), others })
    }
}

/// Whether a process of a daemon that starts others' work is the daemon's, by its name and that of its parent in the same group. A
/// job may have the name of the daemon, but then something else of the job started it.
pub(in crate::sources) fn is_daemons(
    unit: &str,
    own: &[&str],
    name: &[u8],
    parent: Option<&[u8]>,
) -> bool {
    let named = |it: &[u8]| own.iter().any(|name| name.as_bytes() == it);
    named(name) && parent.is_none_or(|parent| named(parent) && !is_one_process(unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::{Process, Tree};

    #[test]
    fn the_daemon_a_packages_job_and_somebodys_are_told_apart() {
        let tree = Tree::new();
        tree.file("/var/lib/dpkg/info/x.list", "/etc/cron.d/sysstat\n");
        tree.file("/etc/cron.d/sysstat", "* * * * * root sa1 1 1\n");
        let process = |pid, parent, name: &str, line: &[&str]| {
            tree.process(&Process::new(pid, name).with(|p| {
                p.ppid = parent;
                p.arguments = line.iter().map(|word| (*word).to_owned()).collect();
            }));
        };
        process(5, 1, "cron", &["/usr/sbin/cron", "-f"]);
        process(6, 5, "cron", &["/usr/sbin/CRON", "-f"]);
        process(7, 6, "sh", &["/bin/sh", "-c", "sa1 1 1"]);
        process(8, 7, "sadc", &["sadc"]);
        process(9, 6, "etl", &["/opt/etl"]);
        let registry = Registry::of(&tree.root());
        let mut started = Started::new(tree.root());
        started.begin(&registry).unwrap();
        let mut look = |unit: &str, pids: &[u32]| started.inmates(unit, &registry, pids).unwrap();
        let inmates = |packages, others| Inmates { packages, others };
        assert_eq!(look("cron.service", &[5, 6]), inmates(false, false));
        assert_eq!(look("cron.service", &[5, 6, 7, 8, 99]), inmates(true, false));
        assert_eq!(look("cron.service", &[5, 6, 7, 8, 9]), inmates(true, true));
        assert_eq!(look("postgresql.service", &[9]), inmates(false, false));
    }
}
