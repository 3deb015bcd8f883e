//! A machine as the sources of agentd see it: from the signals of a scenario to raw readings.
//!
//! Attribution is what the sources can know. Processor time is by control group: sessions, containers and transient
//! units count, services of the system and the helpers of editors are shown and ignored, kernel threads are in no
//! group. Traffic of connections is by owner; strangers at sshd, agents and services of the system are not people's. Disk traffic is by
//! group. What no source reads (packets, load averages, rows of `who`) is in no reading.

use agent_core::reading::{Reading, Signal, Stretch, Value};

use crate::signals::{Desktop, Foreground, Jupyter, Place, Signals};

/// The sources that readings are made for.
pub const SOURCES: &[&str] = &[
    "batch",
    "clients",
    "cloudinit",
    "cpu",
    "cron",
    "disk",
    "exec",
    "gpu",
    "inhibitors",
    "input",
    "jupyter",
    "network",
    "packages",
    "pressure",
    "sessions",
    "steal",
    "timers",
];

/// The control groups of people's work, by [`Place`].
const GROUPS: [&str; 3] = [
    "user.slice/user-1000.slice/session-4.scope",
    "system.slice/docker-4f2a.scope",
    "system.slice/run-u12.service",
];

const fn place(place: Place) -> usize {
    match place {
        Place::Session => 0,
        Place::Container => 1,
        Place::Transient => 2,
    }
}

/// The kernel notes the access time of a terminal in steps of eight seconds.
const QUANTUM_MS: i64 = 8000;
const HOUR_MS: u64 = 3_600_000;
/// A user's timer that is due within this keeps the machine up, seconds.
const TIMER_SOON: i64 = 90 * 60;
/// Time that the hypervisor took counts only while work wants to run, cores.
const RUNS: f64 = 0.005;
/// What a terminal takes to redraw itself, bytes a second.
const REDRAW: f64 = 16_384.0;
/// A GPU on which processes only draw counts from here on, percent.
const DRAWING_ABOVE: f64 = 10.0;

/// Running sums and terminals.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    user_us: [f64; 3],
    ide_us: f64,
    sys_us: f64,
    work_bytes: f64,
    ssh_bytes: f64,
    system_bytes: f64,
    disk_work: f64,
    disk_system: f64,
    /// What the talking client has sent on its connection, and the connection.
    client_bytes: f64,
    client_port: u32,
    stalled_us: f64,
    stolen_us: f64,
    /// The mark of each pseudo-terminal.
    marks: Vec<i64>,
}

impl Machine {
    /// So many seconds pass.
    pub(super) fn pass(&mut self, signals: &Signals, seconds: f64) {
        self.user_us[place(signals.place)] += signals.user_cpu * seconds * 1e6;
        self.ide_us += signals.ide_cpu * seconds * 1e6;
        self.sys_us += signals.sys_cpu * seconds * 1e6;
        let carried = session_payload(signals).max(signals.net_user);
        let (of_work, of_ssh) = match signals.ssh_estab {
            // A copy over ssh is traffic of sshd's connection.
            0 => (carried, 0.0),
            connections => (0.0, beyond_redraws(carried, signals.rx_client, connections)),
        };
        self.work_bytes += of_work * seconds;
        self.ssh_bytes += of_ssh * seconds;
        self.system_bytes += (signals.net - carried).max(0.0) * seconds;
        self.client_bytes += signals.rx_client * seconds;
        self.stalled_us += signals.mem_full / 100.0 * seconds * 1e6;
        if signals.user_cpu >= RUNS {
            self.stolen_us += signals.steal * seconds * 1e6;
        }
        self.disk_work += signals.disk_user * seconds;
        self.disk_system += (signals.disk - signals.disk_user).max(0.0) * seconds;
    }

    /// Terminals and connections are opened and closed.
    pub(super) fn open(&mut self, signals: &Signals, at_ms: i64) {
        self.marks.resize(signals.pts as usize, at_ms);
        if connections(signals) == 0 && self.client_bytes > 0.0 {
            // Who comes back comes by a new connection.
            self.client_bytes = 0.0;
            self.client_port += 1;
        }
    }

    /// A key is read from the newest terminal.
    pub(super) fn key(&mut self, at_ms: i64) {
        if let Some(mark) = self.marks.last_mut() {
            *mark = at_ms - at_ms.rem_euclid(QUANTUM_MS);
        }
    }

    /// The kernel's counters begin anew.
    pub(super) fn reset_counters(&mut self) {
        let marks = core::mem::take(&mut self.marks);
        *self = Self { marks, ..Self::default() };
    }

    /// What a source gives. `now_ms` is the time of the scenario.
    pub(super) fn reading(&self, source: &str, signals: &Signals, now_ms: i64) -> Reading {
        if signals.blind.contains(&source) {
            return Reading::blind("read it: input/output error");
        }
        match source {
            "cpu" => self.cpu(),
            "disk" => self.disk(),
            "network" => self.network(),
            "gpu" => gpu(signals),
            "clients" => self.clients(signals),
            "sessions" => sessions(signals),
            "pressure" => Reading::Signals(vec![counter("memory", self.stalled_us)]),
            "steal" => Reading::Signals(vec![counter("hypervisor", self.stolen_us)]),
            "timers" => timers(signals, now_ms),
            "batch" => batch(signals),
            "cron" => Reading::Signals(Vec::new()),
            "input" => self.input(now_ms),
            "packages" => blocks(signals.dpkg, "/var/lib/dpkg/lock-frontend", 2),
            "cloudinit" => blocks(signals.cloudinit, "cloud-init", 2),
            "inhibitors" => blocks(signals.inhibit, "backup (shutdown:sleep, pid 812)", 24),
            _ => Reading::absent("no scenario has it"),
        }
    }

    fn cpu(&self) -> Reading {
        let mut list = vec![counter("editor servers of alice", self.ide_us).ignored()];
        for (group, used) in GROUPS.into_iter().zip(self.user_us) {
            list.push(counter(group, used).owned_by("alice"));
        }
        list.push(counter("system.slice", self.sys_us).ignored());
        Reading::Signals(list)
    }

    fn disk(&self) -> Reading {
        let work = counter("user.slice", self.disk_work);
        Reading::Signals(vec![work, counter("system.slice", self.disk_system).ignored()])
    }

    fn network(&self) -> Reading {
        let work = counter("connections of alice", self.work_bytes);
        let ssh = counter("SSH connections", self.ssh_bytes);
        let system = counter("system.slice", self.system_bytes).ignored();
        Reading::Signals(vec![work, ssh, system])
    }

    fn clients(&self, signals: &Signals) -> Reading {
        let mut list = Vec::new();
        for number in 0..connections(signals) {
            let (port, bytes) = match number {
                0 => (51_544 + self.client_port, self.client_bytes),
                silent => (40_000 + silent, 0.0),
            };
            list.push(counter(&format!("203.0.113.9:{port}"), bytes));
        }
        for number in 0..app_clients(signals) {
            let by = Stretch::Connected;
            list.push(Signal::new(format!("client {number}"), Value::Stretches { by }));
        }
        Reading::Signals(list)
    }

    fn input(&self, now_ms: i64) -> Reading {
        let terminals = (0..).zip(&self.marks).map(|(number, mark): (u32, _)| {
            let age_ms = u64::try_from(now_ms - mark).ok();
            // Times before the scenario are negative; a mark only has to differ.
            let mark = mark.cast_unsigned();
            Signal::new(format!("pts/{number}"), Value::Mark { mark, age_ms }).owned_by("alice")
        });
        Reading::Signals(terminals.collect())
    }
}

/// What counts of the connections of sshd: of what they send, only what is more than a terminal takes to redraw itself.
fn beyond_redraws(carried: f64, received: f64, connections: u32) -> f64 {
    let sent = (carried - received).max(0.0);
    carried - sent.min(f64::from(connections) * REDRAW)
}

/// What connections of people carry in both directions: what lies above the noise of a machine that nobody uses.
fn session_payload(signals: &Signals) -> f64 {
    let connected =
        signals.ssh_estab > 0 || signals.rx_client > 0.0 || signals.jup == Jupyter::Active;
    if connected { (signals.net - Signals::base().net).max(signals.rx_client) } else { 0.0 }
}

/// The clients of people that are no ssh: browsers, rather than programs that talk to a service of the system.
pub(super) fn app_clients(signals: &Signals) -> u32 {
    let of_people = signals.rx_client > 0.0 || signals.jup != Jupyter::Off;
    if of_people { signals.estab_app } else { 0 }
}

fn connections(signals: &Signals) -> u32 {
    signals.ssh_estab + app_clients(signals)
}

/// Who is connected and what runs in the foreground of the terminals.
fn sessions(signals: &Signals) -> Reading {
    let mut list = Vec::new();
    let mut present = |subject: &str, by: Stretch| {
        list.push(Signal::new(subject, Value::Stretches { by }).owned_by("alice"));
    };
    let by = if signals.fg == Foreground::Job { Stretch::Job } else { Stretch::Connected };
    // A terminal that a multiplexer keeps without a client is nothing, unless a job runs on it.
    let attached = signals.ssh_pts > 0 || signals.ssm || signals.who > 0;
    if signals.pts > 0 && (attached || by == Stretch::Job) {
        present("pts/0", by);
    }
    if signals.ssh_notty > 0 {
        let carries_a_command = signals.pts == 0 && by == Stretch::Job;
        let by = if carries_a_command { Stretch::Job } else { Stretch::Connected };
        present("ssh from 203.0.113.9", by);
    }
    if signals.dcv != Desktop::Off {
        present("desktop session 3 of alice", Stretch::Connected);
    }
    Reading::Signals(list)
}

fn timers(signals: &Signals, now_ms: i64) -> Reading {
    let due_in = signals.timer_at.map(|at| i64::from(at) - now_ms / 1000);
    blocks(due_in.is_some_and(|left| (0..=TIMER_SOON).contains(&left)), "alice's backup.timer", 2)
}

fn batch(signals: &Signals) -> Reading {
    if signals.batch {
        let job = Signal::new("slurmstepd[4711]", Value::Level { value: 1.0 });
        return Reading::Signals(vec![job.owned_by("alice")]);
    }
    Reading::absent("no batch scheduler runs")
}

fn gpu(signals: &Signals) -> Reading {
    if signals.gpus.is_empty() {
        return Reading::absent("there is no '/dev/nvidia0'");
    }
    if signals.gpu_err {
        return Reading::blind("measure GPU 0: the driver lost it");
    }
    let mut list = Vec::new();
    for (index, percent) in signals.gpus.iter().enumerate() {
        // Where a GPU does not tell, it is in use while processor time of a process on it moves.
        let at_work = signals.gpu_procs > 0 && signals.user_cpu > 0.0;
        let level = percent.unwrap_or(if at_work { 100.0 } else { 0.0 });
        let signal = Signal::new(format!("gpu {index}"), Value::Level { value: level });
        let only_drawn = signals.gfx && level < DRAWING_ABOVE;
        list.push(if only_drawn { signal.ignored() } else { signal });
    }
    Reading::Signals(list)
}

fn blocks(present: bool, subject: &str, cap_hours: u64) -> Reading {
    let cap_ms = cap_hours * HOUR_MS;
    let block = Signal::new(subject, Value::Blocks { cap_ms });
    Reading::Signals(if present { vec![block] } else { Vec::new() })
}

fn counter(subject: &str, total: f64) -> Signal {
    Signal::new(subject, Value::Counter { total: whole(total) })
}

/// A sum as a counter shows it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums are positive and far below 2^64; a counter shows whole units"
)]
fn whole(total: f64) -> u64 {
    total as u64
}
