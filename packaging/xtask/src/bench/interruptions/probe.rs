//! One agent in a world of its own, and how long it takes to see one notice and to start its hook.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use agent_tests::ec2::CallFault;
use agent_tests::fault::{Fault, Times};
use agent_tests::instance::Instance;
use agent_tests::procfs::Machine;
use agent_tests::world::World;
use jiff::{SignedDuration, Timestamp};

use super::hook::Hook;
use super::moment::{Moment, wait};
use super::relay::{Death, Relay};

/// What the line of a notice says.
const ANNOUNCED: &str = "EC2 announces: ";
/// The item of the metadata service with the notice.
pub(super) const ITEM: &str = "/meta-data/spot/instance-action";
/// The beginning of an agent's configuration.
const CONFIG: &str = "mode = \"enforce\"\n[idle]\nenabled = false\n[interruption]\n";
/// Longer than anything that is measured here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is bad around an agent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trial {
    /// So many of a hundred requests for metadata fail: half with 503, half with a reset.
    pub(super) faults_percent: u64,
    /// They are drawn from this.
    pub(super) seed: u64,
    /// EC2 and a webhook take every call and never answer.
    pub(super) others_hang: bool,
}

/// The moments of one notice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// It could be read from here on.
    readable: Moment,
    /// The metadata service had the first answer with it.
    answered: Moment,
    /// The agent's line about it.
    event: Moment,
    /// The hook ran.
    hook: Moment,
}

impl Sample {
    /// From the notice to the agent's event.
    pub(super) fn to_event(self) -> Duration {
        self.event.since(self.readable)
    }

    /// From the notice to the hook's own first look at the clock.
    pub(super) fn to_hook(self) -> Duration {
        self.hook.since(self.readable)
    }

    /// From the answer of the metadata service to the hook.
    pub(super) fn answer_to_hook(self) -> Duration {
        self.hook.since(self.answered)
    }
}

/// What the agent said, as it said it.
#[derive(Debug, Default)]
struct Said {
    announced: Option<Moment>,
    last: Vec<String>,
}

/// One agent and its world. Both end with this value.
#[derive(Debug)]
pub(super) struct Probe {
    /// What lies between the agent and its metadata service.
    pub(super) relay: Relay,
    world: World,
    hook: Hook,
    said: Arc<Mutex<Said>>,
    child: Child,
    _machine: Machine,
    _mute: TcpListener,
    folder: PathBuf,
}

impl Probe {
    /// Starts an agent in a folder of its own.
    pub(super) fn start(
        agentd: &Path,
        folder: PathBuf,
        instance: Instance,
        trial: Trial,
    ) -> io::Result<Self> {
        fs::create_dir_all(folder.join("state"))?;
        let hook = Hook::plant(&folder)?;
        let config = folder.join("agentd.toml");
        let world = World::start(instance)?;
        let relay = Relay::start(world.imds.addr(), trial.faults_percent, trial.seed)?;
        // Nobody accepts here: the kernel does, and then nothing comes.
        let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut text = format!("{CONFIG}hooks = [\"{}\"]\n", hook.path.display());
        if trial.others_hang {
            world.ec2.fault("*", CallFault::Instead(Fault::Hang), Times::Always);
            let webhook = format!("[notify]\nwebhook = \"http://{}/\"\n", mute.local_addr()?);
            text.push_str(&webhook);
        }
        fs::write(&config, text)?;
        let machine = Machine::idle()?;
        let mut command = Command::new(agentd);
        command.arg("--config").arg(&config).arg("--state-dir").arg(folder.join("state"));
        command.arg("--host-root").arg(machine.root());
        command
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", relay.endpoint())
            .env("AWS_ENDPOINT_URL", world.ec2.endpoint())
            .env("AWS_ENDPOINT_URL_EC2", world.ec2.endpoint())
            .env("AGENTD_SOCKET", folder.join("agentd.sock"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let said = Arc::new(Mutex::new(Said::default()));
        if let Some(stderr) = child.stderr.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || listen(BufReader::new(stderr), &said));
        }
        Ok(Self { relay, world, hook, said, child, _machine: machine, _mute: mute, folder })
    }

    /// Waits until the agent has once been told that there is no notice.
    pub(super) fn greet(&self) -> Result<(), String> {
        let looked = wait(PATIENCE, || self.relay.first(ITEM, 404, Moment(0)));
        looked.map(|_| ()).ok_or_else(|| self.complaint("never asked for a notice"))
    }

    /// Lets `phase` pass, or first the service be dead for so long, gives notice, and waits for the hook.
    pub(super) fn interrupt(
        &mut self,
        outage: Option<(Death, Duration)>,
        phase: Duration,
    ) -> Result<Sample, String> {
        if let Some((death, span)) = outage {
            self.relay.die(death);
            thread::sleep(span / 2);
            self.announce();
            thread::sleep(span / 2 + phase);
        } else {
            thread::sleep(phase);
            self.announce();
        }
        let readable = Moment::now();
        self.relay.revive().map_err(|error| format!("failed to open the port again: {error}"))?;
        let all = wait(PATIENCE, || {
            let announced = self.said().announced?;
            let hook = self.hook.runs().first().copied()?;
            Some((announced, hook))
        });
        let (event, hook) = all.ok_or_else(|| self.complaint("ran no hook"))?;
        if self.hook.runs().len() > 1 {
            return Err(self.complaint("ran the hook more than once"));
        }
        let answered = self.relay.first(ITEM, 200, Moment(0));
        let answered = answered.ok_or_else(|| self.complaint("read the notice elsewhere"))?;
        Ok(Sample { readable, answered, event, hook })
    }

    /// EC2 terminates the instance in two minutes.
    fn announce(&self) {
        let now = Timestamp::now();
        let due = now.saturating_add(SignedDuration::from_mins(2)).unwrap_or(now);
        let text = format!("{{\"action\":\"terminate\",\"time\":\"{due:.0}\"}}");
        self.world.instance.with(|instance| instance.spot_action = Some(text));
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complaint(&self, what: &str) -> String {
        let last = self.said().last.join("\n");
        format!("the agent {what}; its last lines:\n{last}")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
        let _left_behind = fs::remove_dir_all(&self.folder);
    }
}

fn listen(lines: impl BufRead, said: &Mutex<Said>) {
    /// So many lines explain a failure.
    const KEPT: usize = 12;
    for line in lines.lines().map_while(Result::ok) {
        let now = Moment::now();
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if line.contains(ANNOUNCED) && said.announced.is_none() {
            said.announced = Some(now);
        }
        if said.last.len() == KEPT {
            said.last.remove(0);
        }
        said.last.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_about_a_notice_is_the_event_and_the_last_lines_are_kept() {
        let said = Mutex::new(Said::default());
        let many = "x\n".repeat(20);
        let text = format!("{many}EC2 announces: spot interruption\nlast");
        listen(text.as_bytes(), &said);
        let said = said.into_inner().unwrap();
        assert!(said.announced.is_some());
        assert_eq!((said.last.len(), said.last.last().map(String::as_str)), (12, Some("last")));
    }
}
