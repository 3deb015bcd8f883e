//! The real agent in the simulated world: the `agentd` binary as a child process, seen from outside.

mod launch;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::instance::{Instance, State};
use crate::procfs::Machine;
use crate::socket::{Client, SocketError};
use crate::world::World;

pub(crate) use launch::leashed;
pub use launch::{BINARY_VARIABLE, CTL_VARIABLE, beside_agent, binary, dead_address};

/// How often a condition is looked at: less often than an ordinary user may ask.
const LOOK: Duration = Duration::from_millis(60);
/// For as long a condition is waited for. Much longer than any test's durations: a loaded machine is not a failure.
const PATIENCE: Duration = Duration::from_mins(1);

/// The configuration of short tests: quiet after 2 s, action after 6 s, warnings 3 s and 1 s before.
pub const QUICK: &str = r#"
mode = "enforce"
[idle]
quiet_after = "2s"
act_after = "6s"
warn_before = ["3s", "1s"]
boot_grace = "0s"
resume_grace = "2s"
verify_after = "30s"
"#;

/// [`QUICK`] with more: keys of `[idle]` first, then further tables.
pub fn quick_with(more: &str) -> String {
    format!("{QUICK}{more}\n")
}

/// [`QUICK`] for an agent that only observes.
pub fn quick_observing() -> String {
    QUICK.replace("enforce", "observe")
}

/// Why the agent could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The binary is not there.
    #[error("find the binary '{0}': build it with `cargo build --workspace`")]
    NoBinary(PathBuf),
    /// Something of the operating system failed.
    #[error("{doing}: {cause}")]
    Io {
        /// What was done.
        doing: &'static str,
        /// Why it failed.
        cause: io::Error,
    },
    /// The socket did not give what was asked for.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A condition did not come true in time.
    #[error("see {what} within {} s; the last answer: {last}\n--- what EC2 was asked ---\n{calls}--- the agent's log ---\n{log}", .limit.as_secs())]
    Late {
        /// The condition.
        what: String,
        /// How long it was waited for.
        limit: Duration,
        /// The last status or error.
        last: String,
        /// The EC2 log.
        calls: String,
        /// The agent's log.
        log: String,
    },
}

fn doing(doing: &'static str) -> impl Fn(io::Error) -> AgentError {
    move |cause| AgentError::Io { doing, cause }
}

/// The real agent, its world and its machine. Everything ends with this value.
#[derive(Debug)]
pub struct Agent {
    /// The services.
    pub world: World,
    /// The machine it believes to run on; none: the real one.
    machine: Option<Machine>,
    folder: TempDir,
    extra: Vec<(String, String)>,
    arguments: Vec<OsString>,
    user: Option<u32>,
    child: Option<Child>,
}

impl Agent {
    /// An agent on a simulated idle machine, with a configuration. It is not started yet.
    pub fn on_idle_machine(instance: Instance, config: &str) -> Result<Self, AgentError> {
        let machine = Machine::idle().map_err(doing("build the machine"))?;
        Self::prepare(instance, Some(machine), config)
    }

    /// An agent on the machine that this program runs on. It is not started yet.
    pub fn on_this_machine(instance: Instance, config: &str) -> Result<Self, AgentError> {
        Self::prepare(instance, None, config)
    }

    fn prepare(
        instance: Instance,
        machine: Option<Machine>,
        config: &str,
    ) -> Result<Self, AgentError> {
        let world = World::start(instance).map_err(doing("start the simulated services"))?;
        let folder = tempfile::Builder::new().prefix("agentd-").tempdir();
        let folder = folder.map_err(doing("make a folder"))?;
        let agent = Self {
            world,
            machine,
            folder,
            extra: Vec::new(),
            arguments: Vec::new(),
            user: None,
            child: None,
        };
        fs::create_dir_all(agent.state_dir()).map_err(doing("make the state folder"))?;
        agent.configure(config)?;
        Ok(agent)
    }

    /// Writes the configuration file. A running agent reads it at its next reload.
    pub fn configure(&self, config: &str) -> Result<(), AgentError> {
        fs::write(self.config_file(), config).map_err(doing("write the configuration"))
    }

    /// Sets an environment variable for the next start.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.extra.push((name.to_owned(), value.to_owned()));
    }

    /// Adds an argument for every start from now on.
    pub fn add_argument(&mut self, argument: impl Into<OsString>) {
        self.arguments.push(argument.into());
    }

    /// Starts it as this user and group from now on, with a binary and folders of its own. Only root may do that.
    pub fn run_as(&mut self, id: u32) -> Result<(), AgentError> {
        let own = self.folder.path().join("agentd");
        fs::copy(binary("agentd", BINARY_VARIABLE)?, &own).map_err(doing("copy the agent"))?;
        for path in [self.folder.path(), &self.state_dir(), &self.config_file(), &own] {
            chown(path, Some(id), Some(id)).map_err(doing("give the agent its folders"))?;
        }
        self.user = Some(id);
        Ok(())
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("agentd.toml")
    }

    /// The state folder.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The socket.
    pub fn socket_path(&self) -> PathBuf {
        self.folder.path().join("agentd.sock")
    }

    /// A folder for the test's own files, on the same file system.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The simulated machine.
    ///
    /// # Panics
    /// On an agent of the real machine.
    #[expect(clippy::expect_used, reason = "a test that confuses the two must fail")]
    pub fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("the agent has a simulated machine")
    }

    /// The state of the simulated instance now.
    pub fn instance_state(&self) -> State {
        self.world.instance.snapshot().state
    }

    /// How often EC2 was asked to stop the instance so far, refused or not, dry runs apart.
    pub fn stops(&self) -> usize {
        self.world.ec2.log().stops().len()
    }

    /// The value of one of the instance's tags.
    pub fn tag(&self, key: &str) -> Option<String> {
        self.world.instance.snapshot().tags.remove(key)
    }

    /// Resident memory of the agent's process in kibibytes (`VmRSS` of `proc_pid_status(5)`).
    pub fn resident_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    }

    /// Everything that the agent wrote to its standard error since it was made, over all starts.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The command that starts the agent.
    fn command(&self) -> Result<Command, AgentError> {
        let program = match self.user {
            None => binary("agentd", BINARY_VARIABLE)?,
            Some(_) => self.folder.path().join("agentd"),
        };
        let mut command = leashed(&program);
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        command.arg("--config").arg(self.config_file()).arg("--state-dir").arg(self.state_dir());
        if let Some(machine) = &self.machine {
            command.arg("--host-root").arg(machine.root());
        }
        command.args(&self.arguments);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let foreign =
                ["AWS_", "AGENTD_", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_", "JOURNAL_STREAM"];
            if foreign.iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        command.env("AGENTD_SOCKET", self.socket_path());
        command.envs(self.world.environment()).envs(self.extra.iter().cloned());
        Ok(command)
    }

    /// Starts the agent. Whether it came up is seen at its socket.
    pub fn start(&mut self) -> Result<(), AgentError> {
        self.kill();
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.map_err(doing("open the log"))?;
        let out = log.try_clone().map_err(doing("open the log"))?;
        let mut command = self.command()?;
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        self.child = Some(command.spawn().map_err(doing("start the agent"))?);
        Ok(())
    }

    /// Starts the agent and waits until it answers.
    pub fn start_and_greet(&mut self) -> Result<Value, AgentError> {
        self.start()?;
        self.wait_for("an answer from the agent", |_| true)
    }

    /// Kills the agent as `kill -9` does, and waits for its end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _already_gone = child.kill();
            let _already_gone = child.wait();
        }
    }

    /// Asks the agent to end, as systemd does, and waits. None: it did not end in time and was killed.
    pub fn terminate(&mut self) -> Result<Option<ExitStatus>, AgentError> {
        self.signal(Signal::SIGTERM)?;
        let ended = self.wait_for_exit(Duration::from_secs(10))?;
        self.kill();
        Ok(ended)
    }

    /// Sends the agent a signal.
    pub fn signal(&self, signal: Signal) -> Result<(), AgentError> {
        let Some(pid) = self.pid() else { return Ok(()) };
        kill(Pid::from_raw(pid.cast_signed()), signal)
            .map_err(io::Error::from)
            .map_err(doing("send the agent a signal"))
    }

    /// The agent's process id while it was started and not ended by this program.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Waits for the agent to end by itself.
    pub fn wait_for_exit(&mut self, limit: Duration) -> Result<Option<ExitStatus>, AgentError> {
        let start = Instant::now();
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        loop {
            let ended = child.try_wait().map_err(doing("wait for the agent"))?;
            if ended.is_some() || start.elapsed() > limit {
                return Ok(ended);
            }
            thread::sleep(LOOK);
        }
    }

    /// Whether the agent runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// A client of the agent's socket.
    pub fn client(&self) -> Client {
        Client::new(&self.socket_path())
    }

    /// The status document.
    pub fn status(&self) -> Result<Value, AgentError> {
        Ok(self.client().get("/v1/status")?)
    }

    /// Runs `agentctl` with these arguments against this agent and waits for its end.
    pub fn ctl(&self, arguments: &[&str]) -> Result<Output, AgentError> {
        let mut command = Command::new(binary("agentctl", CTL_VARIABLE)?);
        command.args(arguments).env("AGENTD_SOCKET", self.socket_path()).stdin(Stdio::null());
        command.output().map_err(doing("run agentctl"))
    }

    /// Waits until the status fulfils a condition, and returns it.
    pub fn wait_for(
        &self,
        what: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Value, AgentError> {
        let mut last = Value::Null;
        self.wait_until(what, || {
            last = match self.status() {
                Ok(status) => status,
                Err(why) => json!(why.to_string()),
            };
            (last.is_object() && condition(&last)).then(|| last.clone())
        })
    }

    /// Waits until the agent is in this stage.
    pub fn wait_for_stage(&self, stage: &str) -> Result<Value, AgentError> {
        self.wait_for(&format!("stage {stage}"), |status| status["stage"] == stage)
    }

    /// Waits until something outside is so.
    pub fn wait_until<T>(
        &self,
        what: &str,
        mut found: impl FnMut() -> Option<T>,
    ) -> Result<T, AgentError> {
        let start = Instant::now();
        loop {
            if let Some(found) = found() {
                return Ok(found);
            }
            if start.elapsed() > PATIENCE {
                return Err(self.late(what, PATIENCE));
            }
            thread::sleep(LOOK);
        }
    }

    /// Watches for so long that the world stays as `holds` says; the first breach is an error.
    pub fn stays(
        &self,
        what: &str,
        span: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), AgentError> {
        let start = Instant::now();
        while start.elapsed() < span {
            if !holds(self) {
                return Err(self.late(what, start.elapsed()));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The error that something was not seen, with everything that helps to find out why.
    pub fn late(&self, what: &str, limit: Duration) -> AgentError {
        let last = self.status().map_or_else(|why| why.to_string(), |status| status.to_string());
        let calls = self.world.ec2.log().lines();
        AgentError::Late { what: what.into(), limit, last, calls, log: self.log() }
    }

    /// Waits until EC2 has been asked to stop the instance so many times in all.
    pub fn wait_for_stops(&self, count: usize) -> Result<(), AgentError> {
        self.wait_until(&format!("{count} StopInstances"), || (self.stops() >= count).then_some(()))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_was_not_started_has_folders_and_no_process() {
        let mut agent = Agent::on_idle_machine(Instance::default(), QUICK).unwrap();
        assert!(agent.config_file().is_file() && agent.state_dir().is_dir());
        assert!(!agent.is_running() && agent.pid().is_none() && agent.log().is_empty());
        assert!(agent.status().is_err());
        assert!(agent.wait_for_exit(Duration::ZERO).unwrap().is_none());
    }
}
