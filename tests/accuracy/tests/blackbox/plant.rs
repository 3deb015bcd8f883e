//! From the signals of a scenario to the files of a machine.
//!
//! It does for the real program what `ours/machine.rs` does for the engine alone: the same rates, but as the kernel shows
//! them, so that the sources have to read, attribute and subtract by themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::left::Leftovers;
use super::people::People;
use super::services::Services;
use agent_accuracy::scenario::Scenario;
use agent_accuracy::signals::{Foreground, Jupyter, Place, Signals};
use agent_tests::procfs::{Connection, Machine, Meters, Process, Whole};
use agent_tests::timelapse::Moment;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Whose work it is, by [`Place`].
pub(crate) const SESSION: &str = "user.slice/user-1000.slice/session-4.scope";
const CONTAINER: &str = "system.slice/docker-4f2a.scope";
pub(crate) const TRANSIENT: &str = "system.slice/run-u12.service";
pub(crate) const USER_UNIT: &str =
    "user.slice/user-1000.slice/user@1000.service/app.slice/game.service";
/// Housekeeping. Not a daemon that starts jobs: what no process of such a daemon is seen to do is a job's.
pub(crate) const HOUSEKEEPING: &str = "system.slice/systemd-journald.service";
/// Where cron's jobs run.
pub(crate) const JOBS: &str = "system.slice/cron.service";
const SSHD: &str = "system.slice/ssh.service";
const DATABASE: &str = "system.slice/postgresql.service";
const AGENTS: &str = "system.slice/amazon-ssm-agent.service";
/// A group whose counters cannot be read while a scenario says so.
const BROKEN: &str = "user.slice/user-1000.slice/session-9.scope";
/// The user.
pub(crate) const ADA: u32 = 1000;
/// The part of what a server carries that its client sends.
const ASKED: f64 = 0.02;
/// Kernel threads that use more than this look after a disk, cores.
const KEEPS: f64 = 0.03;
/// The first process on the GPUs.
const FIRST_ON_GPU: u32 = 7000;
/// What started those: a multiplexer that nobody is attached to.
const STARTED_BY: u32 = 6900;

/// Connections to one port.
#[derive(Debug)]
struct Pool {
    local: &'static str,
    cgroup: &'static str,
    uid: u32,
    cookies: Vec<u64>,
    opened: u32,
}

impl Pool {
    fn new(local: &'static str, cgroup: &'static str, uid: u32) -> Self {
        Self { local, cgroup, uid, cookies: Vec::new(), opened: 0 }
    }

    fn first(&self) -> Option<u64> {
        self.cookies.first().copied()
    }

    fn resize(&mut self, meters: &mut Meters, count: usize) {
        while self.cookies.len() > count {
            self.cookies.pop().into_iter().for_each(|cookie| meters.close(cookie));
        }
        while self.cookies.len() < count {
            self.opened += 1;
            self.cookies.push(meters.connect(self.next()));
        }
    }

    /// A connection from a port that was not used yet.
    fn next(&self) -> Connection {
        Connection {
            local: self.local.to_owned(),
            remote: format!("203.0.113.9:{}", 50_000 + self.opened % 10_000),
            uid: self.uid,
            cgroup: self.cgroup.to_owned(),
            received: 0.0,
            sent: 0.0,
        }
    }
}

/// A machine that does what a scenario says.
#[derive(Debug)]
pub(crate) struct Plant {
    pub(crate) machine: Machine,
    meters: Meters,
    people: People,
    left: Leftovers,
    work: u64,
    system: u64,
    ssh: Pool,
    /// Browsers at something of a person's.
    tabs: Pool,
    /// Programs at a service of the system.
    programs: Pool,
    /// Connections that are followed one by one, by their keys.
    conns: BTreeMap<String, u64>,
    services: Services,
    lock: Option<File>,
    /// Processor time of the processes on the GPUs, seconds, and how many there are.
    gpu_time: f64,
    gpu_procs: u32,
    /// What starts them is there.
    started: bool,
    /// The file that tells the GPUs, and what it tells.
    gpus: Option<(PathBuf, String)>,
    broken: bool,
    unfinished: bool,
    /// What the kernel does by itself, and for how many seconds it did.
    thread: (u32, Process),
    thread_time: f64,
    /// The parts of a control plane in the container, each with its part of what is done there.
    plane: Vec<(u32, Process, f64)>,
    plane_time: f64,
}

/// The control plane of a scenario that has one in its container.
fn plane(machine: &Machine, scenario: &Scenario) -> io::Result<Vec<(u32, Process, f64)>> {
    let mut parts = Vec::new();
    if scenario.segments.iter().any(|it| scenario.signals_at(it.from).plane) {
        for (name, of) in [("kubelet", 0.25), ("kube-apiserver", 0.5), ("etcd", 0.25)] {
            let process = Process::new(0, name, &format!("/{CONTAINER}"));
            parts.push((machine.spawn(&process)?, process, of));
        }
    }
    Ok(parts)
}

impl Plant {
    /// A machine for a scenario. With GPUs their state is told in `gpus`.
    pub(crate) fn new(
        machine: &Machine,
        scenario: &Scenario,
        gpus: Option<PathBuf>,
    ) -> io::Result<Self> {
        let mut services = Services::new(machine, scenario)?;
        let keeps = scenario.segments.iter().any(|it| scenario.signals_at(it.from).kthr > KEEPS);
        let name = if keeps { "ext4lazyinit" } else { "kworker/0:1" };
        let thread = Process::new(0, name, "/").kernel();
        let thread_pid = machine.spawn(&thread)?;
        for group in
            [SESSION, CONTAINER, TRANSIENT, USER_UNIT, SSHD, DATABASE, AGENTS, HOUSEKEEPING, JOBS]
        {
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
        services.listen(&mut meters);
        if gpus.is_some() {
            machine.write("dev/nvidia0", "")?;
            machine.write("dev/nvidiactl", "")?;
        }
        Ok(Self {
            machine: machine.clone(),
            meters,
            people: People::new(machine),
            left: Leftovers::new(machine),
            work,
            system,
            ssh: Pool::new("10.0.0.7:22", SSHD, 0),
            tabs: Pool::new("10.0.0.7:8888", SESSION, ADA),
            programs: Pool::new("10.0.0.7:5432", DATABASE, 114),
            conns: BTreeMap::new(),
            services,
            lock: None,
            gpu_time: 0.0,
            gpu_procs: 0,
            started: false,
            gpus: gpus.map(|file| (file, String::new())),
            broken: false,
            unfinished: false,
            thread: (thread_pid, thread),
            thread_time: 0.0,
            plane: plane(machine, scenario)?,
            plane_time: 0.0,
        })
    }

    /// So many seconds pass.
    pub(crate) fn pass(&mut self, signals: &Signals, seconds: f64) {
        let place = match signals.place {
            Place::Session => SESSION,
            Place::Container => CONTAINER,
            Place::Transient => TRANSIENT,
            Place::UserUnit => USER_UNIT,
            Place::People => JOBS,
        };
        let base = Signals::base();
        self.meters.compute(place, signals.user_cpu * seconds);
        if signals.place == Place::People {
            self.services.job_of_ada(signals.user_cpu * seconds);
        }
        if signals.fg == Foreground::Display {
            self.people.show_off(signals.user_cpu * seconds);
        }
        self.meters.compute(SESSION, signals.ide_cpu * seconds);
        self.people.edit(signals.ide_cpu * seconds);
        self.meters.compute(CONTAINER, signals.cont_cpu * seconds);
        let upkeep = signals.sys_cpu.min(base.sys_cpu);
        self.meters.compute(HOUSEKEEPING, upkeep * seconds);
        self.services.compute(&mut self.meters, (signals.sys_cpu - upkeep) * seconds);
        self.meters.move_bytes(SESSION, signals.disk_user * seconds);
        let beside = (signals.disk - signals.disk_user).max(0.0);
        let upkeep = beside.min(base.disk);
        self.meters.move_bytes(HOUSEKEEPING, upkeep * seconds);
        // A thread of the kernel's looks after a disk, in no group.
        let keeps = signals.kthr > KEEPS;
        let rest = beside - upkeep;
        if !keeps {
            self.meters.move_bytes(self.services.group(), rest * seconds);
        }
        self.meters.pass(
            seconds,
            &Whole {
                kernel_cpu: signals.kthr,
                iowait: signals.iowait,
                steal: signals.steal,
                net: signals.net,
                kernel_disk: if keeps { rest } else { 0.0 },
                memory_stall: signals.mem_full / 100.0,
            },
        );
        self.thread_time += signals.kthr * seconds;
        if signals.plane {
            self.plane_time += signals.cont_cpu * seconds;
        }
        if signals.gpu_procs > 0 {
            self.gpu_time += signals.user_cpu * seconds;
        }
        self.talk(signals, seconds);
    }

    /// What connections carry.
    fn talk(&mut self, signals: &Signals, seconds: f64) {
        let count = |number: u32| usize::try_from(number).unwrap_or(0);
        self.connect(signals);
        let browsers = has_app_clients(signals);
        let (tabs, programs) = if !signals.conns.is_empty() {
            (0, 0)
        } else if browsers {
            (signals.estab_app, 0)
        } else {
            (0, signals.estab_app)
        };
        self.ssh.resize(&mut self.meters, count(signals.ssh_estab));
        self.tabs.resize(&mut self.meters, count(tabs));
        self.programs.resize(&mut self.meters, count(programs));
        if signals.itemised {
            return self.talk_by_items(signals, seconds);
        }
        let payload = signals.net_user.max(session_payload(signals));
        let client = self.ssh.first().or(self.tabs.first());
        let rest = (signals.net - payload).max(0.0);
        // A copy over ssh is traffic of sshd's connection.
        let carried = [(client.unwrap_or(self.work), payload), (self.system, rest)];
        for (cookie, rate) in carried {
            if let Some(connection) = self.meters.connection(cookie) {
                let of_client = if Some(cookie) == client { signals.rx_client } else { 0.0 };
                connection.received += of_client * seconds;
                connection.sent += (rate - of_client).max(0.0) * seconds;
            }
        }
    }

    /// The same where every part of the traffic is named.
    fn talk_by_items(&mut self, signals: &Signals, seconds: f64) {
        let mut carry = |cookie: Option<u64>, received: f64, sent: f64| {
            if let Some(connection) = cookie.and_then(|cookie| self.meters.connection(cookie)) {
                connection.received += received * seconds;
                connection.sent += sent * seconds;
            }
        };
        carry(self.ssh.first(), signals.rx_client, signals.ssh_tx);
        let clients: f64 = signals.conns.iter().map(|conn| conn.received).sum();
        let served = !signals.conns.is_empty();
        // What a server of somebody's carries it carries for its clients.
        let (own, sent) = if served {
            (0.0, (signals.net_user - clients).max(0.0))
        } else {
            (signals.net_user, 0.0)
        };
        carry(Some(self.work), 0.0, own + signals.net_other);
        let services = (signals.net - signals.items()).max(0.0);
        let upkeep = services.min(Signals::base().net);
        carry(Some(self.system), 0.0, upkeep);
        // A client asks with little and gets much.
        let served = services - upkeep;
        carry(self.services.connection(), ASKED * served, (1.0 - ASKED) * served);
        let count = f64::from(u32::try_from(signals.conns.len()).unwrap_or(1).max(1));
        for conn in &signals.conns {
            carry(self.conns.get(&conn.key).copied(), conn.received, sent / count);
        }
    }

    /// Connections that are followed one by one come and go.
    fn connect(&mut self, signals: &Signals) {
        let stays = |key: &str| signals.conns.iter().any(|conn| conn.key == key);
        let gone: Vec<String> = self.conns.keys().filter(|key| !stays(key)).cloned().collect();
        for key in gone {
            self.conns.remove(&key).into_iter().for_each(|cookie| self.meters.close(cookie));
        }
        for conn in &signals.conns {
            if !self.conns.contains_key(&conn.key) {
                self.tabs.opened += 1;
                let cookie = self.meters.connect(self.tabs.next());
                self.conns.insert(conn.key.clone(), cookie);
            }
        }
    }

    /// The counters of the kernel begin anew.
    pub(crate) fn reset_counters(&mut self) {
        self.meters.reset();
    }

    /// People come and go.
    pub(crate) fn come(&mut self, signals: &Signals, now: Moment) -> io::Result<()> {
        self.people.come(signals, now)
    }

    /// A key is read from the newest terminal.
    pub(crate) fn key(&mut self, at: Moment) -> io::Result<()> {
        self.people.key(at)
    }

    /// Writes the files.
    pub(crate) fn show(&mut self, signals: &Signals) -> io::Result<()> {
        self.left.show(signals, &mut self.meters)?;
        self.meters.show()?;
        self.show_gpus(signals)?;
        self.show_gpu_processes(signals)?;
        self.people.show(signals)?;
        self.services.show(signals)?;
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
        for (pid, process, of) in &mut self.plane {
            process.ticks = ticks(*of * self.plane_time);
            self.machine.update_stat(*pid, process)?;
        }
        let (pid, thread) = &mut self.thread;
        thread.ticks = ticks(self.thread_time);
        self.machine.update_stat(*pid, thread)?;
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

    /// The processes on the GPUs. Their times matter only where a GPU does not tell how busy it is.
    fn show_gpu_processes(&mut self, signals: &Signals) -> io::Result<()> {
        let place = format!("/{SESSION}");
        let process =
            |pid: u32| Process::new(pid, "python3", &place).of_user(ADA).below(STARTED_BY);
        if self.gpu_procs == 0 && signals.gpu_procs > 0 && !self.started {
            self.started = true;
            let starter = Process::new(STARTED_BY, "tmux: server", &place).of_user(ADA);
            self.machine.spawn(&starter.called(&["tmux"]))?;
        }
        while self.gpu_procs > signals.gpu_procs {
            self.gpu_procs -= 1;
            self.machine.end(FIRST_ON_GPU + self.gpu_procs)?;
        }
        while self.gpu_procs < signals.gpu_procs {
            self.machine.spawn(&process(FIRST_ON_GPU + self.gpu_procs))?;
            self.gpu_procs += 1;
        }
        if self.gpu_procs > 0 && signals.gpus.iter().any(Option::is_none) {
            let mut first = process(FIRST_ON_GPU);
            first.ticks = ticks(self.gpu_time);
            self.machine.update(FIRST_ON_GPU, &first)?;
        }
        Ok(())
    }

    fn show_gpus(&mut self, signals: &Signals) -> io::Result<()> {
        let Some((file, told)) = &mut self.gpus else { return Ok(()) };
        // Something draws where only graphics run.
        let count = signals.gpu_procs.max(u32::from(signals.gfx));
        let pids: Vec<String> = (0..count).map(|n| (FIRST_ON_GPU + n).to_string()).collect();
        let pids = pids.join(",");
        let mut text = String::new();
        if signals.gpu_err {
            // NVML_ERROR_GPU_IS_LOST
            text += "count 15\n";
        }
        for percent in &signals.gpus {
            let list = if pids.is_empty() { String::new() } else { format!("={pids}") };
            let _ = match percent {
                Some(percent) if signals.gfx => {
                    writeln!(text, "device util={percent:.0} graphics{list}")
                }
                Some(percent) => writeln!(text, "device util={percent:.0} compute{list}"),
                // NVML_ERROR_NOT_SUPPORTED
                None => writeln!(text, "device util=!3 mig=1 instance{list}"),
            };
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

/// Whether somebody's browser is connected, rather than a program to a service.
fn has_app_clients(signals: &Signals) -> bool {
    signals.estab_app > 0 && (signals.rx_client > 0.0 || signals.jup != Jupyter::Off)
}

fn kind(value: i32) -> libc::c_short {
    libc::c_short::try_from(value).unwrap_or_default()
}

/// Clock ticks of so many seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "hours of processor time; a counter shows whole ticks"
)]
pub(crate) fn ticks(seconds: f64) -> u64 {
    (seconds * 100.0) as u64
}
