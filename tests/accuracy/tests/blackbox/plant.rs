//! From the signals of a scenario to the files of a machine.
//!
//! It does for the real program what `ours/machine.rs` does for the engine alone: the same rates, but as the kernel shows
//! them, so that the sources have to read, attribute and subtract by themselves.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use agent_accuracy::scenario::Scenario;
use agent_accuracy::signals::{Jupyter, Place, Signals};
use agent_tests::procfs::{Connection, Machine, Meters, Whole};
use agent_tests::timelapse::Moment;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Whose work it is, by [`Place`].
const SESSION: &str = "user.slice/user-1000.slice/session-4.scope";
const CONTAINER: &str = "system.slice/docker-4f2a.scope";
const TRANSIENT: &str = "system.slice/run-u12.service";
/// Housekeeping.
const HOUSEKEEPING: &str = "system.slice/cron.service";
const SSHD: &str = "system.slice/ssh.service";
const AGENTS: &str = "system.slice/amazon-ssm-agent.service";
/// A group whose counters cannot be read while a scenario says so.
const BROKEN: &str = "user.slice/user-1000.slice/session-9.scope";
/// The user.
const ADA: u32 = 1000;
/// The kernel notes the access time of a terminal in steps of eight seconds.
const QUANTUM: i64 = 8;

/// A machine that does what a scenario says.
#[derive(Debug)]
pub(crate) struct Plant {
    pub(crate) machine: Machine,
    meters: Meters,
    /// The shells on the terminals.
    shells: Vec<u32>,
    work: u64,
    system: u64,
    ssh: Option<u64>,
    lock: Option<File>,
    /// The file that tells the GPUs, and what it tells.
    gpus: Option<(PathBuf, String)>,
    broken: bool,
    unfinished: bool,
}

impl Plant {
    /// A machine for a scenario. With GPUs their state is told in `gpus`.
    pub(crate) fn new(
        machine: &Machine,
        scenario: &Scenario,
        gpus: Option<PathBuf>,
    ) -> io::Result<Self> {
        for group in [SESSION, CONTAINER, TRANSIENT, SSHD, AGENTS] {
            machine.open_groups(group)?;
        }
        let mut meters = Meters::new(machine, scenario.ncpu)?;
        let open = |meters: &mut Meters, local: &str, remote: &str, uid, cgroup: &str| {
            meters.connect(Connection {
                local: local.to_owned(),
                remote: remote.to_owned(),
                uid,
                cgroup: cgroup.to_owned(),
                received: 0.0,
                sent: 0.0,
            })
        };
        let work = open(&mut meters, "10.0.0.7:40404", "198.51.100.7:443", ADA, SESSION);
        let system = open(&mut meters, "10.0.0.7:40406", "198.51.100.9:443", 0, AGENTS);
        if gpus.is_some() {
            machine.write("dev/nvidia0", "")?;
            machine.write("dev/nvidiactl", "")?;
        }
        Ok(Self {
            machine: machine.clone(),
            meters,
            shells: Vec::new(),
            work,
            system,
            ssh: None,
            lock: None,
            gpus: gpus.map(|file| (file, String::new())),
            broken: false,
            unfinished: false,
        })
    }

    /// So many seconds pass.
    pub(crate) fn pass(&mut self, signals: &Signals, seconds: f64) {
        let place = match signals.place {
            Place::Session => SESSION,
            Place::Container => CONTAINER,
            Place::Transient => TRANSIENT,
        };
        self.meters.compute(place, signals.user_cpu * seconds);
        self.meters.compute(HOUSEKEEPING, signals.sys_cpu * seconds);
        self.meters.move_bytes(SESSION, signals.disk_user * seconds);
        let beside = (signals.disk - signals.disk_user).max(0.0);
        self.meters.move_bytes(HOUSEKEEPING, beside * seconds);
        self.meters.pass(
            seconds,
            &Whole {
                kernel_cpu: signals.kthr,
                iowait: signals.iowait,
                steal: signals.steal,
                net: signals.net,
                kernel_disk: 0.0,
                memory_stall: signals.mem_full / 100.0,
            },
        );
        self.talk(signals, seconds);
    }

    /// What connections carry.
    fn talk(&mut self, signals: &Signals, seconds: f64) {
        let payload = signals.net_user.max(session_payload(signals));
        let by_ssh = signals.ssh_estab > 0;
        let of_ssh = if by_ssh { payload } else { 0.0 };
        let of_work = payload - of_ssh;
        let rest = (signals.net - payload).max(0.0);
        if !by_ssh {
            if let Some(cookie) = self.ssh.take() {
                self.meters.close(cookie);
            }
        } else if self.ssh.is_none() {
            self.ssh = Some(self.meters.connect(Connection {
                local: "10.0.0.7:22".to_owned(),
                remote: "203.0.113.9:51544".to_owned(),
                uid: 0,
                cgroup: SSHD.to_owned(),
                received: 0.0,
                sent: 0.0,
            }));
        }
        let ends = [(Some(self.work), of_work), (self.ssh, of_ssh), (Some(self.system), rest)];
        for (cookie, rate) in ends {
            if let Some(connection) = cookie.and_then(|cookie| self.meters.connection(cookie)) {
                let received = rate.min(signals.rx_client);
                connection.received += received * seconds;
                connection.sent += (rate - received) * seconds;
            }
        }
    }

    /// The counters of the kernel begin anew.
    pub(crate) fn reset_counters(&mut self) {
        self.meters.reset();
    }

    /// Terminals are opened and closed.
    pub(crate) fn open(&mut self, signals: &Signals, now: Moment) -> io::Result<()> {
        let wanted = usize::try_from(signals.pts).unwrap_or(0);
        while self.shells.len() > wanted {
            let last = self.shells.len() - 1;
            self.machine.close_terminal(number(last), self.shells.remove(last))?;
        }
        while self.shells.len() < wanted {
            let next = number(self.shells.len());
            self.shells.push(self.machine.open_terminal(next, SESSION, ADA)?);
            self.press(next, now.wall_seconds())?;
        }
        Ok(())
    }

    /// A key is read from the newest terminal.
    pub(crate) fn key(&mut self, at: Moment) -> io::Result<()> {
        let seconds = at.wall_seconds();
        match self.shells.len().checked_sub(1) {
            Some(newest) => self.press(number(newest), seconds - seconds.rem_euclid(QUANTUM)),
            None => Ok(()),
        }
    }

    fn press(&self, terminal: u32, wall_seconds: i64) -> io::Result<()> {
        let since = Duration::from_secs(u64::try_from(wall_seconds).unwrap_or(0));
        self.machine.press_key_at(terminal, SystemTime::UNIX_EPOCH + since)
    }

    /// Writes the files.
    pub(crate) fn show(&mut self, signals: &Signals) -> io::Result<()> {
        self.meters.show()?;
        self.show_gpus(signals)?;
        self.show_lock(signals.dpkg)?;
        if signals.cloudinit != self.unfinished {
            self.unfinished = signals.cloudinit;
            let result = "run/cloud-init/result.json";
            if self.unfinished {
                self.machine.remove(result)?;
            } else {
                self.machine.write(result, "{\"v1\": {\"errors\": []}}\n")?;
            }
        }
        let broken = signals.blind.contains(&"cpu");
        if broken != self.broken {
            self.broken = broken;
            self.show_broken()?;
        }
        Ok(())
    }

    /// A counter that cannot be read: reading the first byte of a process's memory is an input/output error.
    fn show_broken(&self) -> io::Result<()> {
        let folder = format!("sys/fs/cgroup/{BROKEN}");
        if !self.broken {
            return self.machine.remove(&folder);
        }
        self.machine.open_groups(BROKEN)?;
        let stat = self.machine.path(&format!("{folder}/cpu.stat"));
        fs::remove_file(&stat)?;
        symlink("/proc/self/mem", stat)
    }

    fn show_lock(&mut self, held: bool) -> io::Result<()> {
        if held == self.lock.is_some() {
            return Ok(());
        }
        self.lock = None;
        if held {
            let path = self.machine.path("var/lib/dpkg/lock-frontend");
            let file = File::options().read(true).write(true).open(path)?;
            let lock = libc::flock {
                l_type: kind(libc::F_WRLCK),
                l_whence: kind(libc::SEEK_SET),
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            fcntl(&file, FcntlArg::F_OFD_SETLK(&lock))?;
            self.lock = Some(file);
        }
        Ok(())
    }

    fn show_gpus(&mut self, signals: &Signals) -> io::Result<()> {
        let Some((file, told)) = &mut self.gpus else { return Ok(()) };
        let pids: Vec<String> = (0..signals.gpu_procs).map(|n| (7000 + n).to_string()).collect();
        let pids = pids.join(",");
        let mut text = String::new();
        if signals.gpu_err {
            // NVML_ERROR_GPU_IS_LOST
            text += "count 15\n";
        }
        for percent in &signals.gpus {
            let list = if pids.is_empty() { String::new() } else { format!("={pids}") };
            text += &match percent {
                Some(percent) if signals.gfx => format!("device util={percent:.0} graphics{list}"),
                Some(percent) => format!("device util={percent:.0} compute{list}"),
                // NVML_ERROR_NOT_SUPPORTED
                None => format!("device util=!3 mig=1 instance{list}"),
            };
            text.push('\n');
        }
        if *told != text {
            fs::write(file, &text)?;
            *told = text;
        }
        Ok(())
    }
}

/// What connections of people carry in both directions: what lies above the noise of a machine that nobody uses.
fn session_payload(signals: &Signals) -> f64 {
    let connected =
        signals.ssh_estab > 0 || signals.rx_client > 0.0 || signals.jup == Jupyter::Active;
    if connected { (signals.net - Signals::base().net).max(signals.rx_client) } else { 0.0 }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(0)
}

fn kind(value: i32) -> libc::c_short {
    libc::c_short::try_from(value).unwrap_or_default()
}
