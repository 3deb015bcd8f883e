//! What can be seen of a machine, as rates and states. Every rule reads its part of it.

use agent_core::reading::Stretch;
use serde::Deserialize;

use crate::second::Conn;

/// A notebook server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jupyter {
    /// None runs.
    #[default]
    Off,
    /// Somebody runs cells.
    Active,
    /// Its kernels wait.
    Idle,
    /// A kernel computes and prints.
    Busy,
    /// A kernel says that it is busy and prints nothing.
    BusySilent,
}

/// A remote desktop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desktop {
    /// None.
    #[default]
    Off,
    /// A session exists, and nobody moves the mouse.
    #[serde(rename = "away")]
    Open,
    /// Somebody uses it: input every two minutes.
    Active,
}

/// What runs in the foreground of the terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Foreground {
    /// The shell, at its prompt.
    #[default]
    Prompt,
    /// Something that only shows: htop, watch, less.
    Display,
    /// An editor.
    Editor,
    /// A program.
    Job,
    /// A server that is known by its name: alone it is nobody.
    #[serde(skip)]
    Server,
}

/// Where the workload's processes run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In a session of a user.
    #[default]
    Session,
    /// In a container with a group of its own.
    Container,
    /// In a unit made by `systemd-run`.
    Transient,
    /// In a unit of a user's manager.
    UserUnit,
    /// In the group of a daemon that starts people's jobs: cron.
    People,
}

/// Whose the services are that use more than a resting machine's, by who started them and in which unit they run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Service {
    /// The list of what keeps a machine: agents, cron's daemon, systemd.
    #[default]
    Upkeep,
    /// A package's server.
    Server,
    /// A unit that no package brought.
    Local,
    /// People's jobs in the group of a daemon: user-data, Run Command, a crontab that no package brought.
    People,
}

/// What was left running without a terminal, by who started it how: what `ps` and the control groups show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Left {
    /// Nothing.
    #[default]
    Nothing,
    /// By nohup, after the logout.
    Nohup,
    /// In a unit that `systemd-run` made, of the system or of a user's manager.
    SystemdRun,
    /// By user-data, in the unit of cloud-init's last stage.
    UserData,
    /// By a schedule that no package brought.
    Schedule,
    /// A server: it is known by its name, or by the port that it listens at alone in its group.
    Server,
}

impl Left {
    /// Whether it is a job, for which somebody waits.
    pub const fn is_job(self) -> bool {
        !matches!(self, Self::Nothing | Self::Server)
    }
}

/// The signals of one step. Processor time is in cores, traffic in bytes a second.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent states of a machine")]
pub struct Signals {
    /// Processor time of people's work.
    pub user_cpu: f64,
    /// Processor time of the servers of editors, their indexers and language servers.
    pub ide_cpu: f64,
    /// Processor time of the system's services.
    pub sys_cpu: f64,
    /// Whose the services are, as far as they use more than on a resting machine.
    pub service: Service,
    /// The helpers of the editor lie in a folder of a known editor.
    pub ide_seen: bool,
    /// Processor time in containers, beside that of people's work.
    pub cont_cpu: f64,
    /// That is the control plane of a Kubernetes, and nobody's pod.
    pub plane: bool,
    /// Processor time of kernel threads.
    pub kthr: f64,
    /// Processor time lost in waiting for disks.
    pub iowait: f64,
    /// Processor time that was wanted and not given.
    pub steal: f64,
    /// Tasks in uninterruptible sleep.
    pub dstate: u32,
    /// Traffic of the network card.
    pub net: f64,
    /// Of it, in connections of people's work.
    pub net_user: f64,
    /// Every part of the card's traffic is named: what is not in another of these words is the services'.
    pub itemised: bool,
    /// Of it, in connections of people that neither a client opened nor a job of theirs in the background.
    pub net_other: f64,
    /// Of it, in containers.
    pub net_cont: f64,
    /// Of it, datagrams that are answered.
    pub udp: f64,
    /// Payload that clients of people send.
    pub rx_client: f64,
    /// Payload that sshd sends to clients.
    pub ssh_tx: f64,
    /// Connections that are followed one by one.
    pub conns: Vec<Conn>,
    /// Packets a second.
    pub pkts: f64,
    /// Traffic of the disks.
    pub disk: f64,
    /// Of it, of people's work.
    pub disk_user: f64,
    /// Percent of time that each GPU computes; none where it does not tell.
    pub gpus: Vec<Option<f64>>,
    /// NVML fails.
    pub gpu_err: bool,
    /// The GPU is partitioned.
    pub mig: bool,
    /// Only graphics run on the GPU.
    pub gfx: bool,
    /// Processes that compute on the GPUs.
    pub gpu_procs: u32,
    /// Rows of `who`.
    pub who: u32,
    /// Pseudo-terminals.
    pub pts: u32,
    /// Of them, of ssh.
    pub ssh_pts: u32,
    /// Connections of ssh without a terminal.
    pub ssh_notty: u32,
    /// Established connections to sshd.
    pub ssh_estab: u32,
    /// Established connections to other services.
    pub estab_app: u32,
    /// Of them, to programs of people, where that is said.
    pub people_app: Option<u32>,
    /// Who is connected and which jobs run, where that is said.
    pub sess: Vec<(String, Stretch)>,
    /// A server of VS Code runs.
    pub vscode_srv: bool,
    /// A session of Systems Manager.
    pub ssm: bool,
    /// A server of tmux or screen runs.
    pub tmux: bool,
    /// A notebook server.
    pub jup: Jupyter,
    /// A remote desktop.
    pub dcv: Desktop,
    /// Somebody blocks shutdown or sleep.
    pub inhibit: bool,
    /// The package manager's lock is held.
    pub dpkg: bool,
    /// cloud-init has not finished.
    pub cloudinit: bool,
    /// What runs in the foreground.
    pub fg: Foreground,
    /// Where the workload runs.
    pub place: Place,
    /// What was left running.
    pub left: Left,
    /// A user's timer is due at this second.
    pub timer_at: Option<u32>,
    /// A job of cron is due, or runs, until this second.
    pub cron_until: Option<u32>,
    /// Requests a second that a service answers.
    pub svc_req: f64,
    /// `CloudWatch` has no data.
    pub cw_gap: bool,
    /// EC2 refuses to read and write tags.
    pub tag_denied: bool,
    /// The network card has a name that starts with neither `eth0` nor `ens`.
    pub odd_card: bool,
    /// Somebody reads status and metrics every so many seconds.
    pub poll: Option<u32>,
    /// A job of the queue of `SkyPilot` runs.
    pub sky_job: bool,
    /// A job of a batch scheduler runs.
    pub batch: bool,
    /// Percent of time in which every task waits for memory.
    pub mem_full: f64,
    /// Sources that cannot be read.
    pub blind: Vec<&'static str>,
    /// The metadata service does not answer.
    pub imds_down: bool,
}

impl Signals {
    /// A machine that nobody uses.
    #[expect(clippy::too_many_lines, reason = "it has a line for each word, and nothing else")]
    pub fn base() -> Self {
        Self {
            user_cpu: 0.0,
            ide_cpu: 0.0,
            sys_cpu: 0.02,
            service: Service::Upkeep,
            ide_seen: true,
            cont_cpu: 0.0,
            plane: false,
            kthr: 0.005,
            iowait: 0.0,
            steal: 0.0,
            dstate: 0,
            net: 450.0,
            net_user: 0.0,
            itemised: false,
            net_other: 0.0,
            net_cont: 0.0,
            udp: 0.0,
            rx_client: 0.0,
            ssh_tx: 0.0,
            conns: Vec::new(),
            pkts: 4.0,
            disk: 6000.0,
            disk_user: 0.0,
            gpus: Vec::new(),
            gpu_err: false,
            mig: false,
            gfx: false,
            gpu_procs: 0,
            who: 0,
            pts: 0,
            ssh_pts: 0,
            ssh_notty: 0,
            ssh_estab: 0,
            estab_app: 0,
            people_app: None,
            sess: Vec::new(),
            vscode_srv: false,
            ssm: false,
            tmux: false,
            jup: Jupyter::Off,
            dcv: Desktop::Off,
            inhibit: false,
            dpkg: false,
            cloudinit: false,
            fg: Foreground::Prompt,
            place: Place::Session,
            left: Left::Nothing,
            timer_at: None,
            cron_until: None,
            svc_req: 0.0,
            cw_gap: false,
            tag_denied: false,
            odd_card: false,
            poll: None,
            sky_job: false,
            batch: false,
            mem_full: 0.0,
            blind: Vec::new(),
            imds_down: false,
        }
    }

    /// An interactive session of ssh.
    pub fn ssh(&mut self) {
        self.who = 1;
        self.pts = 1;
        self.ssh_pts = 1;
        self.ssh_estab = 1;
    }

    /// A person at a shell over ssh.
    pub fn shell(&mut self) {
        self.ssh();
        self.user_cpu = 0.03;
        self.rx_client = 40.0;
    }

    /// VS Code over ssh, with little and with much to do.
    pub fn vscode(&mut self, ide_cpu: f64, rx_client: f64, net: f64) {
        self.ssh_notty = 1;
        self.ssh_estab = 1;
        self.vscode_srv = true;
        self.ide_cpu = ide_cpu;
        self.rx_client = rx_client;
        self.net = net;
    }

    /// So many GPUs with one utilisation.
    pub fn gpu(&mut self, count: usize, percent: f64) {
        self.gpus = vec![Some(percent); count];
    }

    /// The parts of the card's traffic that are named one by one, bytes a second.
    pub fn items(&self) -> f64 {
        let people = self.net_user + self.net_other + self.rx_client + self.ssh_tx;
        people + self.net_cont + self.udp
    }

    /// Processor time that somebody wants or gets, in cores: what a hypervisor sees.
    pub fn busy(&self) -> f64 {
        self.user_cpu + self.ide_cpu + self.cont_cpu + self.sys_cpu + self.kthr
    }

    /// What the busiest processor does, as a share of one.
    pub fn busiest_core(&self) -> f64 {
        [self.user_cpu, self.ide_cpu, self.cont_cpu, self.sys_cpu, self.kthr]
            .into_iter()
            .fold(0.0, f64::max)
            .min(1.0)
    }

    /// The tasks that the load average counts.
    pub fn runnable(&self) -> f64 {
        self.busy() + self.steal + f64::from(self.dstate)
    }
}
