//! A machine as the sources of agentd see it: from the signals of a scenario to raw readings.
//!
//! Attribution is what the sources can know. Processor time is by control group: sessions, containers, units of users,
//! transient units and the jobs that daemons start are people's; other services are by their unit's origin; what keeps a
//! machine is upkeep; the helpers of editors and programs that only show are ignored; kernel threads are an account of
//! their own, and a small rest is explained by nothing. Traffic of connections is by owner; strangers at sshd are
//! nobody's. Disk traffic is by group. What no source reads (packets, load averages, rows of `who`) is in no reading.

mod accounts;

use std::collections::BTreeMap;

use agent_core::reading::{Reading, Signal, Stretch, Value};

use crate::signals::{Desktop, Foreground, Jupyter, Signals};
use accounts::Accounts;

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

/// The kernel notes the access time of a terminal in steps of eight seconds.
const QUANTUM_MS: i64 = 8000;
const HOUR_MS: u64 = 3_600_000;
/// A user's timer that is due within this keeps the machine up, seconds.
const TIMER_SOON: i64 = 90 * 60;
/// A connection that was there for so long has arrived…
const ARRIVED_MS: i64 = 60_000;
/// …and one that comes back within this after it was never away.
const LINGER_MS: i64 = 120_000;
/// Time that the hypervisor took counts only while work wants to run, cores.
const RUNS: f64 = 0.005;
/// A GPU on which processes only draw counts from here on, percent.
const DRAWING_ABOVE: f64 = 10.0;

/// A connection of ssh without a terminal of its own.
#[derive(Clone, Copy, Debug)]
struct Tunnel {
    since_ms: i64,
    seen_ms: i64,
    /// It has no terminals, as an editor's has; where it has, they stand for it.
    bare: bool,
}

impl Tunnel {
    /// Whether it is taken for still there after it went: it may be renewed.
    const fn lingers(self, now_ms: i64) -> bool {
        let arrived = self.seen_ms - self.since_ms >= ARRIVED_MS;
        self.bare && arrived && now_ms - self.seen_ms <= LINGER_MS
    }
}

/// Running sums and terminals.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    cpu: Accounts,
    network: Accounts,
    disk: Accounts,
    /// What the talking client has sent on its connection, and the connection.
    client_bytes: f64,
    client_port: u32,
    /// The same for connections that are followed one by one.
    conns: BTreeMap<String, f64>,
    /// A connection without a terminal, or what was one a little while ago.
    tunnel: Option<Tunnel>,
    stalled_us: f64,
    stolen_us: f64,
    /// The mark of each pseudo-terminal.
    marks: Vec<i64>,
}

impl Machine {
    /// So many seconds pass.
    pub(super) fn pass(&mut self, signals: &Signals, seconds: f64) {
        self.cpu.pass(accounts::cpu(signals), seconds * 1e6);
        self.network.pass(accounts::network(signals), seconds);
        self.disk.pass(accounts::disk(signals), seconds);
        self.client_bytes += signals.rx_client * seconds;
        self.stalled_us += signals.mem_full / 100.0 * seconds * 1e6;
        if signals.user_cpu >= RUNS {
            self.stolen_us += signals.steal * seconds * 1e6;
        }
        for conn in &signals.conns {
            if let Some(bytes) = self.conns.get_mut(&conn.key) {
                *bytes += conn.received * seconds;
            }
        }
    }

    /// Terminals and connections are opened and closed.
    pub(super) fn open(&mut self, signals: &Signals, at_ms: i64) {
        self.marks.resize(signals.pts as usize, at_ms);
        self.tunnel = match self.tunnel {
            before if signals.ssh_notty > 0 => {
                let since_ms = before.map_or(at_ms, |before| before.since_ms);
                Some(Tunnel { since_ms, seen_ms: at_ms, bare: signals.pts == 0 })
            }
            Some(gone) if gone.lingers(at_ms) => Some(gone),
            _ => None,
        };
        if connections(signals) == 0 && self.client_bytes > 0.0 {
            // Who comes back comes by a new connection.
            self.client_bytes = 0.0;
            self.client_port += 1;
        }
        let stays = |key: &str| signals.conns.iter().any(|conn| conn.key == key);
        self.conns.retain(|key, _| stays(key));
        for conn in &signals.conns {
            self.conns.entry(conn.key.clone()).or_default();
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
            "cpu" => self.cpu.reading(),
            "disk" => self.disk.reading(),
            "network" => self.network.reading(),
            "gpu" => gpu(signals),
            "clients" => self.clients(signals),
            "sessions" => sessions(signals, self.tunnel.is_some()),
            "pressure" => Reading::Signals(vec![counter("memory", self.stalled_us)]),
            "steal" => Reading::Signals(vec![counter("hypervisor", self.stolen_us)]),
            "timers" => timers(signals, now_ms),
            "batch" => batch(signals),
            "cron" => blocks(due(signals.cron_until, now_ms), "/etc/cron.d/nightly", 2),
            "input" => self.input(now_ms),
            "packages" => blocks(signals.dpkg, "/var/lib/dpkg/lock-frontend", 2),
            "cloudinit" => blocks(signals.cloudinit, "cloud-init", 2),
            "inhibitors" => blocks(signals.inhibit, "backup (shutdown:sleep, pid 812)", 24),
            _ => Reading::absent("no scenario has it"),
        }
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
        for (key, bytes) in &self.conns {
            list.push(counter(&format!("203.0.113.9 {key}"), *bytes).owned_by("alice"));
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

/// What connections of people carry in both directions: what lies above the noise of a machine that nobody uses.
fn session_payload(signals: &Signals) -> f64 {
    let connected =
        signals.ssh_estab > 0 || signals.rx_client > 0.0 || signals.jup == Jupyter::Active;
    if connected { (signals.net - Signals::base().net).max(signals.rx_client) } else { 0.0 }
}

/// The clients of people that are no ssh: browsers, rather than programs that talk to a service of the system.
pub(super) fn app_clients(signals: &Signals) -> u32 {
    if let Some(said) = signals.people_app {
        return said;
    }
    let of_people = signals.rx_client > 0.0 || signals.jup != Jupyter::Off;
    let followed = u32::try_from(signals.conns.len()).unwrap_or(u32::MAX);
    if of_people { signals.estab_app.max(followed) } else { followed }
}

/// The connections on which the talking client may be.
fn connections(signals: &Signals) -> u32 {
    signals.ssh_estab + if signals.conns.is_empty() { app_clients(signals) } else { 0 }
}

/// Whether somebody comes over a relay that the machine itself has called: its tunnel is connected.
fn is_relayed(signals: &Signals) -> bool {
    signals.itemised && signals.vscode_srv && signals.ssh_estab == 0 && signals.net_user > 0.0
}

/// Who is connected and what runs in the foreground of the terminals.
fn sessions(signals: &Signals, tunnel: bool) -> Reading {
    let mut list = Vec::new();
    let mut present = |subject: &str, by: Stretch| {
        list.push(Signal::new(subject, Value::Stretches { by }).owned_by("alice"));
    };
    let by = if signals.fg == Foreground::Job { Stretch::Job } else { Stretch::Connected };
    // A terminal that a multiplexer keeps without a client is nothing, unless a job runs on it.
    let attached = signals.ssh_pts > 0 || signals.ssm || signals.who > 0;
    if !signals.sess.is_empty() {
        for (subject, by) in &signals.sess {
            present(subject, *by);
        }
    } else if signals.pts > 0 && (attached || by == Stretch::Job) {
        present("pts/0", by);
    }
    if is_relayed(signals) {
        present("code tunnel", Stretch::Connected);
    }
    // A tunnel that is renewed was never away.
    if tunnel {
        let carries_a_command = signals.pts == 0 && by == Stretch::Job;
        let by = if carries_a_command { Stretch::Job } else { Stretch::Connected };
        present("ssh from 203.0.113.9", by);
    }
    if signals.left.is_job() {
        present("python3[900], left running", Stretch::Job);
    }
    if signals.dcv != Desktop::Off {
        present("desktop session 3 of alice", Stretch::Connected);
    }
    Reading::Signals(list)
}

/// Whether a moment is still to come.
fn due(until: Option<u32>, now_ms: i64) -> bool {
    until.is_some_and(|until| i64::from(until) > now_ms / 1000)
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
