//! A machine at rest on which somebody left a terminal open, and the agent under a clock.

use std::error::Error;

use agent_tests::agent::Agent;
use agent_tests::instance::Instance;
use agent_tests::procfs::{Machine, Meters, Process, Whole};
use agent_tests::timelapse::{Moment, Timelapse, keep_files_in_memory};
use serde_json::Value;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Done = Result<(), Failure>;

/// What an installation says that is allowed to act.
pub(crate) const CONFIG: &str = "mode = \"enforce\"\n";
pub(crate) const MINUTE: u64 = 60_000;
/// Sources are read every ten seconds.
pub(crate) const TICK: u64 = 10_000;
/// How long the machine has been up when the agent starts.
pub(crate) const UP: u64 = 600 * MINUTE;
/// A container that does nothing, and the session of the terminal.
pub(crate) const CONTAINER: &str = "system.slice/docker-4f2a.scope";
pub(crate) const SESSION: &str = "user.slice/user-1000.slice/session-4.scope";

/// The story so far.
pub(crate) struct Scene {
    pub(crate) lapse: Timelapse,
    pub(crate) meters: Meters,
    /// The shell on the terminal `pts/0`.
    pub(crate) shell: u32,
    /// What people compute now, cores.
    pub(crate) work: f64,
    shown: Moment,
}

impl Scene {
    /// Everything that could differ between two runs is the same: the boot, the processes, the name of the terminal.
    pub(crate) fn new(config: &str) -> Result<Self, Failure> {
        keep_files_in_memory();
        Self::of(Agent::on_idle_machine(Instance::default(), config)?)
    }

    /// The same around an agent that was prepared.
    pub(crate) fn of(agent: Agent) -> Result<Self, Failure> {
        let machine = agent.machine().clone();
        machine
            .write("proc/sys/kernel/random/boot_id", "6f1c1b1e-0000-4000-8000-000000000001\n")?;
        machine.open_groups(CONTAINER)?;
        // A detached tmux keeps the terminal: nobody is connected.
        machine.open_groups(SESSION)?;
        let process = |name| Process::new(0, name, &format!("/{SESSION}")).of_user(1000);
        let tmux = machine.spawn(&process("tmux: server"))?;
        let bash = process("bash").below(tmux).called(&["-bash"]);
        let (shell, _) = machine.open_terminal(0, bash)?;
        machine.press_key_at(
            0,
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_799_990_000),
        )?;
        let meters = Meters::new(&machine, 4)?;
        let now = Moment { boot_ms: UP, asleep_ms: 0, wall_ms: 1_800_000_000_000 };
        let lapse = Timelapse::new(agent, now)?;
        let mut scene = Self { lapse, meters, shell, work: 0.0, shown: now };
        scene.meters.show()?;
        scene.lapse.start()?;
        Ok(scene)
    }

    pub(crate) fn machine(&self) -> &Machine {
        self.lapse.agent.machine()
    }

    /// Milliseconds since the agent was started first.
    pub(crate) fn at(&self) -> u64 {
        self.lapse.now.boot_ms - UP
    }

    /// Time passes up to `to` milliseconds after the start, or until the machine is stopped.
    pub(crate) fn pass(&mut self, to: u64) -> Done {
        self.pass_with(to, &mut |_| Ok(()))
    }

    /// The same, and `each` is called before the agent looks.
    pub(crate) fn pass_with(
        &mut self,
        to: u64,
        each: &mut dyn FnMut(Moment) -> std::io::Result<()>,
    ) -> Done {
        let (meters, shown, work) = (&mut self.meters, &mut self.shown, self.work);
        self.lapse.pass(UP + to, &mut |moment| {
            let span = moment.boot_ms.saturating_sub(shown.boot_ms);
            let seconds = f64::from(u32::try_from(span).unwrap_or(0)) / 1000.0;
            *shown = moment;
            meters.compute("system.slice/cron.service", 0.02 * seconds);
            meters.move_bytes("system.slice/cron.service", 6000.0 * seconds);
            meters.compute(SESSION, work * seconds);
            meters.pass(seconds, &Whole { net: 450.0, kernel_cpu: 0.005, ..Whole::default() });
            meters.show()?;
            each(moment)
        })?;
        Ok(())
    }

    /// Lets time pass until the machine is stopped, and gives the moment; none if that takes longer than `to`.
    pub(crate) fn until_stopped(&mut self, to: u64) -> Result<Option<u64>, Failure> {
        self.pass(to)?;
        Ok(self.lapse.has_stopped().then(|| self.at()))
    }

    /// The clock jumps: the machine slept, or somebody set it.
    pub(crate) fn jump(&mut self, moment: Moment) -> Done {
        self.shown = moment;
        self.lapse.go_to(moment)?;
        Ok(())
    }

    pub(crate) fn status(&self) -> Result<Value, Failure> {
        Ok(self.lapse.agent.status()?)
    }

    pub(crate) fn idle_seconds(&self) -> Result<f64, Failure> {
        let status = self.status()?;
        status["idle"]["idle_seconds"].as_f64().ok_or_else(|| format!("{status:#}").into())
    }
}
