//! A machine as the sources of agentd see it: from the signals of a scenario to raw readings.
//!
//! Attribution is what the sources can know. Processor time is by control group: sessions, containers and transient
//! units count, services of the system and the helpers of editors are shown and ignored, kernel threads are in no group. Traffic
//! of connections is by owner; strangers at sshd, agents and services of the system are not people's. Disk traffic is by
//! group. What no source reads (packets, load averages, rows of `who`) is in no reading.

use agent_core::reading::{Reading, Signal, Value};

use crate::signals::{Foreground, Jupyter, Place, Signals};

/// The sources that readings are made for.
pub const SOURCES: &[&str] =
    &["cpu", "disk", "network", "gpu", "input", "packages", "cloudinit", "inhibitors"];

/// The kernel notes the access time of a terminal in steps of eight seconds.
const QUANTUM_MS: i64 = 8000;
const HOUR_MS: u64 = 3_600_000;

/// Running sums and terminals.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    user_us: f64,
    ide_us: f64,
    sys_us: f64,
    work_bytes: f64,
    ssh_bytes: f64,
    system_bytes: f64,
    disk_work: f64,
    disk_system: f64,
    /// The mark of each pseudo-terminal.
    marks: Vec<i64>,
}

impl Machine {
    /// So many seconds pass.
    pub fn pass(&mut self, signals: &Signals, seconds: f64) {
        self.user_us += signals.user_cpu * seconds * 1e6;
        self.ide_us += signals.ide_cpu * seconds * 1e6;
        self.sys_us += signals.sys_cpu * seconds * 1e6;
        let ssh = signals.ssh_estab > 0;
        let payload = session_payload(signals) * seconds;
        let work = (signals.net_user * seconds, payload);
        // A copy over ssh is traffic of sshd's connection.
        let (of_work, of_ssh) = if ssh { (0.0, work.0.max(work.1)) } else { (work.0.max(work.1), 0.0) };
        self.work_bytes += of_work;
        self.ssh_bytes += of_ssh;
        self.system_bytes += (signals.net * seconds - of_work - of_ssh).max(0.0);
        self.disk_work += signals.disk_user * seconds;
        self.disk_system += (signals.disk - signals.disk_user).max(0.0) * seconds;
    }

    /// Terminals are opened and closed.
    pub fn open(&mut self, signals: &Signals, at_ms: i64) {
        self.marks.resize(signals.pts as usize, at_ms);
    }

    /// A key is read from the newest terminal.
    pub fn key(&mut self, at_ms: i64) {
        if let Some(mark) = self.marks.last_mut() {
            *mark = at_ms - at_ms.rem_euclid(QUANTUM_MS);
        }
    }

    /// The kernel's counters begin anew.
    pub fn reset_counters(&mut self) {
        let marks = core::mem::take(&mut self.marks);
        *self = Self { marks, ..Self::default() };
    }

    /// What a source gives. `now_ms` is the time of the scenario.
    pub fn reading(&self, source: &str, signals: &Signals, now_ms: i64) -> Reading {
        if signals.blind.contains(&source) {
            return Reading::blind("read it: input/output error");
        }
        match source {
            "cpu" => self.cpu(signals),
            "disk" => self.disk(),
            "network" => self.network(),
            "gpu" => gpu(signals),
            "input" => self.input(now_ms),
            "packages" => blocks(signals.dpkg, "/var/lib/dpkg/lock-frontend", 2),
            "cloudinit" => blocks(signals.cloudinit, "cloud-init", 2),
            "inhibitors" => blocks(signals.inhibit, "backup (shutdown:sleep, pid 812)", 24),
            _ => Reading::absent("no scenario has it"),
        }
    }

    fn cpu(&self, signals: &Signals) -> Reading {
        let group = match signals.place {
            Place::Session => "user.slice/user-1000.slice/session-4.scope",
            Place::Container => "system.slice/docker-4f2a.scope",
            Place::Transient => "system.slice/run-u12.service",
        };
        let work = counter(group, self.user_us).owned_by("alice");
        let editors = counter("editor servers of alice", self.ide_us).ignored();
        Reading::Signals(vec![work, editors, counter("system.slice", self.sys_us).ignored()])
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
    let connected = signals.ssh_estab > 0
        || signals.rx_client > 0.0
        || signals.jup == Jupyter::Active;
    if connected { (signals.net - Signals::base().net).max(signals.rx_client) } else { 0.0 }
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
        let level = match percent {
            Some(percent) => *percent,
            None if signals.gpu_procs == 0 => 0.0,
            None => {
                return Reading::blind(format!(
                    "measure GPU {index}: it is partitioned, and {} processes use it",
                    signals.gpu_procs
                ));
            }
        };
        list.push(Signal::new(format!("gpu {index}"), Value::Level { value: level }));
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

/// Whether a program runs in the foreground of a terminal.
#[expect(dead_code, reason = "read by the source of sessions")]
fn job(signals: &Signals) -> bool {
    signals.pts > 0 && signals.fg == Foreground::Job
}
