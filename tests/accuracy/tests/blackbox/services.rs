//! The services of a scenario: their units, who brought them, and the jobs that they started.
//!
//! Whose they are is left to the program: it finds the unit's file, the package's list and the processes, as on a real
//! machine.

use std::io;

use agent_accuracy::scenario;
use agent_accuracy::scenario::Scenario;
use agent_accuracy::second::{self, Schedule};
use agent_accuracy::signals::{Service, Signals};
use agent_tests::procfs::{Connection, Machine, Meters, Process};

use super::course::WALL_MS;
use super::plant::{ADA, HOUSEKEEPING, JOBS, ticks};

/// Daemons that start others' work, as every machine has them.
const CRON: u32 = 410;
/// The first process of a job.
const JOB: u32 = 8000;

/// The services of one scenario.
#[derive(Debug)]
pub(crate) struct Services {
    machine: Machine,
    group: &'static str,
    /// The group is that of a daemon, and a job in it computes: its process, below which it runs, and how long.
    job: Option<Job>,
    /// It serves somebody.
    serves: bool,
    /// A job of ada's that cron started.
    ada: Option<Job>,
    /// The file of a job of at that has not begun.
    spooled: Option<String>,
    connection: Option<u64>,
}

/// A job in the group of the daemon that started it.
#[derive(Debug)]
struct Job {
    /// What starts it, and goes with it: the worker of Run Command.
    starter: Option<Process>,
    process: Process,
    seconds: f64,
    runs: bool,
}

impl Job {
    fn new(pid: u32, parent: u32, group: &str, words: &[&str]) -> Self {
        let process = Process::new(pid, "sh", &format!("/{group}")).below(parent).called(words);
        Self { starter: None, process, seconds: 0.0, runs: false }
    }

    /// The process is there while it has something to do.
    fn show(&mut self, machine: &Machine, busy: bool) -> io::Result<()> {
        self.process.ticks = ticks(self.seconds);
        let pid = self.process.pid;
        match (busy, self.runs) {
            (true, false) => {
                if let Some(starter) = &self.starter {
                    machine.spawn(starter)?;
                }
                machine.spawn(&self.process)?;
            }
            (false, true) => {
                machine.end(pid)?;
                if let Some(starter) = &self.starter {
                    machine.end(starter.pid)?;
                }
            }
            (true, true) => machine.update_stat(pid, &self.process)?,
            (false, false) => {}
        }
        self.runs = busy;
        Ok(())
    }
}

/// Writes down when a job of ada's runs, where files tell it. They lie open here; who reads them for the agent where they are
/// closed is tested in the end-to-end ring. Gives the file of a job of at.
fn schedule(machine: &Machine, due: second::Due) -> io::Result<Option<String>> {
    let minute = scenario::seconds(due.at) / 60;
    match due.by {
        Schedule::Crontab => {
            let line = format!("{} {} * * * papermill x\n", minute % 60, 8 + minute / 60);
            machine.write("var/spool/cron/crontabs/ada", &line)?;
            Ok(None)
        }
        Schedule::At => {
            let minutes = WALL_MS / 60_000 + i64::from(minute);
            let file = format!("var/spool/cron/atjobs/a00001{minutes:08x}");
            machine.write(&file, "")?;
            Ok(Some(file))
        }
        Schedule::Timer => Ok(None),
    }
}

/// The group of a service of which the scenario says no more than whose it is.
fn unnamed(service: Service) -> &'static str {
    match service {
        Service::Upkeep => HOUSEKEEPING,
        Service::Server => "system.slice/postgresql.service",
        Service::Local => "system.slice/train.service",
        Service::People => "system.slice/cloud-final.service",
    }
}

impl Services {
    /// Brings the units of a scenario onto the machine.
    pub(crate) fn new(machine: &Machine, scenario: &Scenario) -> io::Result<Self> {
        let mut services = scenario.segments.iter().map(|it| scenario.signals_at(it.from).service);
        let service = services.find(|it| *it != Service::Upkeep).unwrap_or_default();
        let group = second::group(scenario.id).unwrap_or_else(|| unnamed(service));
        machine.open_groups(group)?;
        packages(machine)?;
        let unit = group.rsplit('/').next().unwrap_or_default();
        match service {
            Service::Server => packaged(machine, unit)?,
            Service::Local => {
                let text = "[Service]\nExecStart=/opt/own/run\n";
                machine.write(&format!("etc/systemd/system/{unit}"), text)?;
            }
            Service::Upkeep | Service::People => {}
        }
        let mut job = None;
        if service == Service::People && group == JOBS {
            job = Some(Job::new(JOB, CRON, group, &["/bin/sh", "-c", "/opt/etl --all"]));
        } else if group.ends_with("amazon-ssm-agent.service") {
            job = Some(run_command(machine, group)?);
        } else if !machine.path(&format!("sys/fs/cgroup/{group}/cgroup.procs")).exists()
            || service != Service::Upkeep
        {
            // What user-data started is there while it works (`left`).
            if !scenario.segments.iter().any(|it| scenario.signals_at(it.from).left.is_job()) {
                machine.spawn(&Process::new(JOB, "main", &format!("/{group}")))?;
            }
        }
        if scenario.id == "S11" {
            // The scenario begins at 08:00: it is due in an hour.
            machine.write("etc/cron.d/scan", "0 9 * * * root /usr/bin/clamscan -r /\n")?;
        }
        let mut spooled = None;
        if let Some(due) = second::due(scenario.id) {
            spooled = schedule(machine, due)?;
        }
        let rate = |t| scenario.signals_at(t);
        let serves = scenario.segments.iter().map(|it| rate(it.from)).any(|signals| {
            signals.itemised && signals.net > signals.items() + Signals::base().net + 1.0
        });
        Ok(Self {
            machine: machine.clone(),
            group,
            job,
            serves,
            ada: None,
            spooled,
            connection: None,
        })
    }

    /// The connection on which the service serves.
    pub(crate) fn listen(&mut self, meters: &mut Meters) {
        let connection = Connection {
            local: "10.0.0.7:5432".to_owned(),
            remote: "198.51.100.20:44000".to_owned(),
            uid: 0,
            cgroup: self.group.to_owned(),
            received: 0.0,
            sent: 0.0,
        };
        if self.serves && self.group != HOUSEKEEPING {
            self.connection = Some(meters.connect(connection));
        }
    }

    /// Its number.
    pub(crate) fn connection(&self) -> Option<u64> {
        self.connection
    }

    /// Its control group.
    pub(crate) fn group(&self) -> &'static str {
        self.group
    }

    /// The service, or the job that it started, used so many seconds.
    pub(crate) fn compute(&mut self, meters: &mut Meters, seconds: f64) {
        meters.compute(self.group, seconds);
        if let Some(job) = &mut self.job {
            job.seconds += seconds;
        }
    }

    /// A job of ada's that cron started used so many seconds.
    pub(crate) fn job_of_ada(&mut self, seconds: f64) {
        let new = || {
            let mut job = Job::new(JOB + 100, CRON, JOBS, &["/bin/sh", "-c", "papermill x"]);
            job.process = job.process.of_user(ADA);
            job
        };
        self.ada.get_or_insert_with(new).seconds += seconds;
    }

    /// Writes the processes of the jobs.
    pub(crate) fn show(&mut self, signals: &Signals) -> io::Result<()> {
        let base = Signals::base();
        if let Some(job) = &mut self.job {
            job.show(&self.machine, signals.sys_cpu > base.sys_cpu)?;
        }
        if let Some(job) = &mut self.ada {
            let begins = signals.place == agent_accuracy::signals::Place::People;
            job.show(&self.machine, begins)?;
            if let Some(file) = self.spooled.take_if(|_| begins) {
                // at gives what it runs the queue `=`.
                std::fs::remove_file(self.machine.path(&file))?;
            }
        }
        Ok(())
    }
}

/// What every Debian has: the packages of the daemons.
fn packages(machine: &Machine) -> io::Result<()> {
    for unit in ["cron.service", "ssh.service", "systemd-journald.service"] {
        packaged(machine, unit)?;
    }
    Ok(())
}

/// A unit that a package brought, with the package's list.
fn packaged(machine: &Machine, unit: &str) -> io::Result<()> {
    // `postgresql@15-main.service` is an instance of `postgresql@.service`.
    let file = match unit.split_once('@') {
        Some((template, _)) => format!("{template}@.service"),
        None => unit.to_owned(),
    };
    let text = "[Service]\nExecStart=/usr/sbin/daemon\n";
    machine.write(&format!("usr/lib/systemd/system/{file}"), text)?;
    let package = file.trim_end_matches(".service").replace('@', "");
    let list = format!("/.\n/lib/systemd/system/{file}\n/usr/sbin/daemon\n");
    machine.write(&format!("var/lib/dpkg/info/{package}.list"), list)
}

/// The processes of Run Command: the agent, its worker, and the job.
fn run_command(machine: &Machine, group: &str) -> io::Result<Job> {
    let place = format!("/{group}");
    let agent = machine.spawn(&Process::new(0, "amazon-ssm-agen", &place))?;
    let worker = Process::new(JOB - 1, "ssm-document-wo", &place).below(agent);
    let worker = worker.called(&["/usr/bin/ssm-document-worker", "0a1b"]);
    let words = ["sh", "-c", "/var/lib/amazon/ssm/x/_script.sh"];
    Ok(Job { starter: Some(worker), ..Job::new(JOB, JOB - 1, group, &words) })
}
