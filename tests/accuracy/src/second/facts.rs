//! What only the title of a machine says.
//!
//! `sys_cpu` is "of services as the title says": who started the work and in which unit it runs, and from these follows
//! whose it is, by the order in which the agent asks. It must never follow from the label.

use crate::scenario::{Event, History};
use crate::signals::{Left, Service};

/// The facts of one machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Whose the services are that use more than a resting machine's.
    pub(super) service: Service,
    /// The program in the foreground of a terminal is a server that is known by its name.
    pub(super) serves: bool,
    /// What was left running, while any segment of the machine holds.
    pub(super) left: Left,
    /// What happens, by minute.
    pub(super) events: &'static [(f64, Event)],
    /// What came before, where the title says it.
    pub(super) history: Option<History>,
    /// The job of a user's that is due.
    pub(super) due: Option<Due>,
    /// What is in containers is the control plane of a Kubernetes.
    pub(super) plane: bool,
    /// The sources that the machine is said to hide from see all the same.
    pub(super) sees: bool,
}

/// A job of a user's that is due from minute 0 on: whoever can read the schedule knows it from there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Due {
    /// Where it is written.
    pub by: Schedule,
    /// The minute in which it begins.
    pub at: f64,
    /// The minute in which it has ended.
    pub until: f64,
}

/// Where users write down when their jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// The user's table of cron.
    Crontab,
    /// The spool of at.
    At,
    /// The user's manager.
    Timer,
}

const NOTHING: Facts = Facts {
    service: Service::Upkeep,
    serves: false,
    left: Left::Nothing,
    events: &[],
    history: None,
    due: None,
    plane: false,
    sees: false,
};

/// The facts of a machine; one that is not in the list has no services but upkeep.
pub(super) fn facts(id: &str) -> Facts {
    if id == "L02" {
        // "Suspended for 40 min at idle minute 20": the idle minutes count from the last use, at the beginning.
        let events = &[(20.0, Event::Sleep(2400))];
        return Facts { events, history: Some(History::Used), ..NOTHING };
    }
    if id == "J50" {
        // "python -m http.server in a detached tmux".
        return Facts { serves: true, ..NOTHING };
    }
    if id == "J38" {
        // "kind cluster without pods of anybody (control plane in a container)".
        return Facts { plane: true, ..NOTHING };
    }
    if id == "S13" {
        // "/proc with hidepid=2": without a `gid=` the kernel exempts group 0 (fs/proc/base.c, has_pid_permissions()), in which
        // the agent is. That no source is blind there is measured: the cells hidepid-2-idle and hidepid-2-in-use.
        return Facts { sees: true, ..NOTHING };
    }
    let service = SERVICES.iter().find(|(known, ..)| *known == id);
    let left = LEFT.iter().find(|(known, _)| *known == id);
    Facts {
        service: service.map_or(NOTHING.service, |(_, service, _)| *service),
        left: left.map_or(NOTHING.left, |(_, left)| *left),
        due: due(id),
        ..NOTHING
    }
}

/// Machines on which something runs without a terminal that somebody started to go on without them, and how.
const LEFT: &[(&str, Left)] = &[
    // "Factorio server (UDP, user unit)": alone in its unit, and it listens at a port.
    ("P01", Left::Server),
    // "Streamlit dashboard (nohup)".
    ("P35", Left::Server),
    // "papermill in a user's crontab", which runs it.
    ("J04", Left::Schedule),
    // "at job of a user".
    ("J06", Left::Schedule),
    // "systemd-run --user --on-active=70min": the service that the timer starts.
    ("J08", Left::SystemdRun),
    // "sweep: trials of 6 min on 2 cores, pauses of 35 min, nohup".
    ("J10", Left::Nohup),
    // "aws s3 sync at 400 KB/s, nohup, 2 h".
    ("J14", Left::Nohup),
    // "evaluation over an LLM's API, one call at a time, no streaming, nohup, 3 h".
    ("J32", Left::Nohup),
    // "Airflow standalone without a DAG run (nohup)".
    ("J42", Left::Server),
    // "the same under nohup": tests that wait for a remote browser.
    ("J46", Left::Nohup),
    // "MLflow server (nohup)".
    ("S01", Left::Server),
    // "user-data starts a simulation with nohup as root (stays in cloud-final.service)".
    ("X01", Left::UserData),
    // "user-data runs the simulation in the foreground, cloud-init does not end".
    ("X02", Left::UserData),
    // "/etc/cron.d: an ETL by root": a table that no package brought. Each run is a job of its own.
    ("X07", Left::Schedule),
];

/// Schedules that only the title tells of: when the job runs, how long, and who starts it.
const SCHEDULES: &[(&str, Due)] = &[
    // "papermill in a user's crontab due in 50 min, runs 30 min".
    ("J04", Due { by: Schedule::Crontab, at: 50.0, until: 80.0 }),
    // "at job of a user due in 70 min, 10 min".
    ("J06", Due { by: Schedule::At, at: 70.0, until: 80.0 }),
    // "systemd-run --user --on-active=70min, then 20 min".
    ("J08", Due { by: Schedule::Timer, at: 70.0, until: 90.0 }),
];

/// The job that a user of a machine has scheduled, where its title names one.
pub fn due(id: &str) -> Option<Due> {
    SCHEDULES.iter().find(|(known, _)| *known == id).map(|(_, due)| *due)
}

#[cfg(test)]
pub(super) fn is_known(id: &str) -> bool {
    SERVICES.iter().any(|(known, ..)| *known == id)
}

/// Machines with services, whose these are, and the control group in which a real machine has them.
const SERVICES: &[(&str, Service, &str)] = &[
    // "rsync daemon (package's unit)".
    ("J02", Service::Server, "system.slice/rsync.service"),
    // "Grafana (package)".
    ("S03", Service::Server, "system.slice/grafana-server.service"),
    // "Postgres standby (package)".
    ("S05", Service::Server, "system.slice/system-postgresql.slice/postgresql@15-main.service"),
    // "JupyterHub (root)": no package of the system brings its unit, pip does not either.
    ("S07", Service::Local, "system.slice/jupyterhub.service"),
    // "clamscan in an administrator's /etc/cron.d": a table that no package brought.
    ("S11", Service::People, "system.slice/cron.service"),
    // The boot itself: units of systemd.
    ("L04", Service::Upkeep, "init.scope"),
    // "user-data … with nohup as root (stays in cloud-final.service)".
    ("X01", Service::People, "system.slice/cloud-final.service"),
    // "user-data runs the simulation in the foreground".
    ("X02", Service::People, "system.slice/cloud-final.service"),
    // "train.service without User= (root)": a unit that no package brought.
    ("X03", Service::Local, "system.slice/train.service"),
    // "Run Command of Systems Manager": a child of its worker.
    ("X04", Service::People, "system.slice/amazon-ssm-agent.service"),
    // "Jenkins agent of the package (user jenkins, uid 113)".
    // What it starts is a build, and nothing of the controller is in its time.
    ("X05", Service::People, "system.slice/jenkins.service"),
    // "Postgres of the package".
    ("X06", Service::Server, "system.slice/system-postgresql.slice/postgresql@15-main.service"),
    // "/etc/cron.d: an ETL by root": a table that no package brought.
    ("X07", Service::People, "system.slice/cron.service"),
    // "train.service without User= (root)".
    ("X08", Service::Local, "system.slice/train.service"),
];

/// The control group of the services of a machine, where its title names any.
pub fn group(id: &str) -> Option<&'static str> {
    SERVICES.iter().find(|(known, ..)| *known == id).map(|(_, _, group)| *group)
}
