//! Jobs of batch schedulers and build runners.
//!
//! What counts is the process of a job, never the daemon that waits for one: a scheduler's job may wait for hours on a
//! licence or a file and use nothing meanwhile. Jobs are told by their names and their parents: a `slurmstepd` that holds
//! a step, what `pbs_mom`, `atd`, `gitlab-runner`, `buildkite-agent` or a runner of Forgejo or Gitea started, a
//! `Runner.Worker` of `GitHub`, an `Agent.Worker` of Azure Pipelines, a `condor_starter`, an `sge_shepherd`, and what the
//! agents of Jenkins and `TeamCity` started, which are told by their command lines (`java`). A worker of Ray with a task in its title counts; one that holds an actor makes the
//! machine wait longer, because nobody can tell from outside whether that actor waits or works.
//!
//! Where none of them is, processes are looked through about once a minute only.

mod java;

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Stretch, Value};
use agent_core::stamp::Stamp;

use super::pace::Pace;
use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind};
use crate::host::process::{self, ProcessStat, Processes};
use crate::host::users::Users;
use crate::host::{HostError, HostRoot};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "batch",
    about: "Jobs of Slurm, PBS, Grid Engine, HTCondor, Ray, at, and of the runners and agents of CI systems.",
    unit: "job",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 1.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_secs(1),
    options: &[OptionSpec {
        key: "daemons",
        kind: OptionKind::Programs,
        default: "[]",
        about: "Names of further programs whose child processes are jobs, at most 15 characters each.",
    }],
    open: |context| Opened::Blocking(Box::new(Batch::new(context))),
};

/// Daemons whose children are jobs. Names are cut to 15 bytes by the kernel: `woodpecker-agent`, `drone-runner-exec`.
const DAEMONS: [&str; 11] = [
    "pbs_mom",
    "atd",
    "gitlab-runner",
    "buildkite-agent",
    "sge_execd",
    "condor_startd",
    "act_runner",
    "forgejo-runner",
    "gitea-runner",
    "woodpecker-agen",
    "drone-runner-ex",
];
/// Daemons whose children count by their own names only.
const LISTENERS: [&str; 5] =
    ["slurmd", "Runner.Listener", "Agent.Listener", "raylet", "condor_master"];
/// Children of daemons that are none of their jobs, by the beginning of their names: a runner of `GitLab`'s asks a plugin for machines
/// as long as it lives (`GitLab` Runner, "Fleet scaling"; `fleeting-plugin-aws`).
const PLUGINS: [(&str, &str); 1] = [("gitlab-runner", "fleeting-plugin")];
/// Processes that are a job wherever they are. The last is what Jenkins leaves at a step that runs a script.
const JOBS: [&str; 5] =
    ["sge_shepherd", "condor_starter", "Runner.Worker", "Agent.Worker", "durable_task_mo"];
/// The keeper of one step of a job of Slurm, and its command line where it keeps a group only.
const STEP: &str = "slurmstepd";
const KEEPER: &str = "infinity";
/// A worker of Ray.
const RAY: &str = "ray::";
/// Titles of workers and actors that wait for work all the time.
const WAITING: [&str; 6] = ["IDLE", "SPILL_", "RESTORE_", "Serve", "Proxy", "HTTPProxy"];

/// Without any daemon, processes are looked through this often at most…
const SELDOM: Duration = Duration::from_mins(1);
/// …and no more often than this for each process.
const SELDOM_EACH: Duration = Duration::from_millis(36);
/// Why there are none.
const NONE: &str = "no batch scheduler and no runner is on the machine";
/// The most jobs that are shown one by one.
const SHOWN: usize = 100;

#[derive(Debug)]
struct Batch {
    root: HostRoot,
    processes: Processes,
    users: Users,
    daemons: Vec<String>,
    pace: Pace,
    next: Option<Stamp>,
    found: Found,
    agents: java::Agents,
}

/// What the last walk gave.
#[derive(Clone, Debug, Default)]
struct Found {
    /// Whether a scheduler or one of its jobs is there.
    any: bool,
    signals: Vec<Signal>,
}

/// A process that may be a job.
#[derive(Clone, Debug)]
struct Candidate {
    pid: u32,
    /// Its name, where it counts by that.
    name: String,
    /// The daemon whose child it is, where it counts by that.
    of: Option<String>,
}

impl Batch {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        Self {
            processes: Processes::new(root.clone()),
            users: Users::new(root.clone()),
            daemons: context.list("daemons"),
            root,
            pace: Pace::default(),
            next: None,
            found: Found::default(),
            agents: java::Agents::default(),
        }
    }

    fn look(&mut self, now: Stamp) -> Result<(), HostError> {
        let due = self.next.is_none_or(|next| now.boot_ms >= next.boot_ms);
        if !(due && self.pace.due(now)) {
            return Ok(());
        }
        if process::hides_others(&self.root)? {
            return Err(HostError::malformed(
                "/proc",
                process::HIDDEN,
            ));
        }
        // Nothing is known until the walk has come to its end.
        self.next = None;
        self.pace.reset();
        let daemons = self.daemons.clone();
        let mut roll = Roll::new(&daemons);
        let count = self.processes.walk(&mut |stat| roll.call(stat))?;
        let java = std::mem::take(&mut roll.java);
        let shells = std::mem::take(&mut roll.shells);
        let agents = self.agents.among(&self.processes, &java)?;
        for pid in self.agents.scripts(&self.processes, &agents, &shells)? {
            roll.jobs.push(Candidate { pid, name: "jenkins script".to_owned(), of: None });
        }
        roll.daemons.extend(agents.into_iter().map(|(pid, name)| (pid, name.to_owned())));
        let any = roll.any();
        self.found = Found { any, signals: self.signals(roll)? };
        self.pace.walked(now, count);
        let seldom = SELDOM_EACH.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        self.next = (!any).then(|| now.after(seldom.max(SELDOM)));
        Ok(())
    }

    fn signals(&mut self, roll: Roll<'_>) -> Result<Vec<Signal>, HostError> {
        let proc = self.processes.open()?;
        let mut signals = Vec::new();
        for Candidate { pid, name, of } in roll.jobs() {
            let name = match of {
                None => name,
                Some(daemon) => match self.processes.read(&proc, pid)? {
                    Some(stat) if is_plugin(&daemon, &stat.name()) => continue,
                    Some(stat) => format!("{daemon}: {}", shown(&stat.name())),
                    None => continue,
                },
            };
            let title = if name == STEP || name.starts_with(RAY) {
                let Some(title) = self.processes.command_line(&proc, pid)? else { continue };
                title
            } else {
                String::new()
            };
            let Some(value) = judge(&name, &title) else { continue };
            let Some(uid) = self.processes.uid(pid)? else { continue };
            let signal = Signal::new(format!("{name}[{pid}]"), value);
            signals.push(signal.owned_by(self.users.name(uid)));
            if signals.len() >= SHOWN {
                break;
            }
        }
        Ok(signals)
    }
}

/// Whether a child of a daemon serves that daemon and is no job.
fn is_plugin(daemon: &str, name: &str) -> bool {
    PLUGINS.iter().any(|(of, plugin)| *of == daemon && name.starts_with(plugin))
}

/// What a job's process comes to; nothing if it only waits for one.
fn judge(name: &str, title: &str) -> Option<Value> {
    let job = Value::Level { value: 1.0 };
    if name == STEP {
        return (!title.split(' ').any(|word| word == KEEPER)).then_some(job);
    }
    if !name.starts_with(RAY) {
        return Some(job);
    }
    // A title that cannot be had is no reason to believe that nothing runs.
    let task = title.strip_prefix(RAY).unwrap_or(name.trim_start_matches(RAY));
    if WAITING.iter().any(|word| task.starts_with(word)) {
        return None;
    }
    // "ray::Actor.method" or, in older versions, "ray::task()".
    let runs = task.contains(['.', '(']);
    Some(if runs { job } else { Value::Stretches { by: Stretch::Job } })
}

/// The processes that matter, collected in one walk.
struct Roll<'a> {
    further: &'a [String],
    daemons: BTreeMap<u32, String>,
    listeners: bool,
    jobs: Vec<Candidate>,
    /// Parent and number of every other process, since a child may be met before its parent.
    children: Vec<(u32, u32)>,
    /// Processes of Java, which are told by their command lines.
    java: Vec<java::Machine>,
    /// Shells without a parent of their own.
    shells: Vec<java::Machine>,
}

impl<'a> Roll<'a> {
    fn new(further: &'a [String]) -> Self {
        Self {
            further,
            daemons: BTreeMap::new(),
            listeners: false,
            jobs: Vec::new(),
            children: Vec::new(),
            java: Vec::new(),
            shells: Vec::new(),
        }
    }

    fn call(&mut self, stat: &ProcessStat<'_>) {
        let is = |names: &[&str]| names.iter().any(|name| name.as_bytes() == stat.comm);
        let wanted = || self.further.iter().any(|name| name.as_bytes() == stat.comm);
        if is(&JOBS) || is(&[STEP]) || stat.comm.starts_with(RAY.as_bytes()) {
            self.jobs.push(Candidate { pid: stat.pid, name: shown(&stat.name()), of: None });
        } else if is(&LISTENERS) {
            self.listeners = true;
        } else {
            if is(&DAEMONS) || wanted() {
                self.daemons.insert(stat.pid, stat.name());
            } else if stat.comm == b"java" {
                self.java.push(java::Machine::of(stat));
            } else if stat.ppid == 1 && is(&["sh", "bash", "dash"]) {
                self.shells.push(java::Machine::of(stat));
            }
            // Pid 1 is nobody's scheduler, and most processes are its children or those of daemons.
            if stat.ppid > 1 {
                self.children.push((stat.ppid, stat.pid));
            }
        }
    }

    fn any(&self) -> bool {
        self.listeners || !self.daemons.is_empty() || !self.jobs.is_empty()
    }

    /// Every process that may be a job, the children of daemons among them.
    fn jobs(self) -> Vec<Candidate> {
        let (daemons, mut jobs) = (self.daemons, self.jobs);
        jobs.extend(self.children.into_iter().filter_map(|(parent, pid)| {
            let daemon = daemons.get(&parent)?;
            // Some keep jobs by processes that are counted by their names.
            let by_name = ["sge_execd", "condor_startd"].contains(&daemon.as_str());
            let of = Some(daemon.clone());
            (!by_name).then(|| Candidate { pid, name: String::new(), of })
        }));
        jobs.sort_by_key(|job| job.pid);
        jobs
    }
}

/// Any user may choose these names.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(64).collect()
}

impl Source for Batch {
    fn read(&mut self, now: Stamp) -> Reading {
        match self.look(now) {
            Ok(()) if self.found.any => Reading::Signals(self.found.signals.clone()),
            Ok(()) => Reading::absent(NONE),
            Err(error) => blind(&error),
        }
    }

    fn standing(&mut self, now: Stamp) -> Option<Reading> {
        let stands = self.next.is_some_and(|next| now.boot_ms < next.boot_ms);
        stands.then(|| Reading::absent(NONE))
    }

    fn refresh(&mut self) {
        self.next = None;
        self.pace.reset();
    }
}

#[cfg(test)]
mod tests;
