//! The real agent under a clock that the test moves: hours pass in seconds.
//!
//! The agent is started with `--virtual-clock` and asks this program what time it is. Between two moments it stands
//! still, so a test writes the machine's files for a moment, moves the clock there, and looks at what the agent did.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::agent::{Agent, AgentError};
use crate::instance::State;

/// For as long an agent may take to start or to come to rest: a hung source takes two seconds of it.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often a starting agent is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// A moment, as the kernel's clocks would show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_BOOTTIME`, milliseconds.
    pub boot_ms: u64,
    /// Of it asleep, milliseconds.
    pub asleep_ms: u64,
    /// `CLOCK_REALTIME`, milliseconds since 1970.
    pub wall_ms: i64,
}

impl Moment {
    /// The moment so many milliseconds later, if the machine does not sleep and nobody sets its clock.
    #[must_use]
    pub fn after(self, ms: u64) -> Self {
        Self { boot_ms: self.boot_ms + ms, wall_ms: self.wall_ms + ms.cast_signed(), ..self }
    }

    /// The machine sleeps for so many milliseconds.
    #[must_use]
    pub fn asleep_for(self, ms: u64) -> Self {
        Self { asleep_ms: self.asleep_ms + ms, ..self.after(ms) }
    }

    /// Somebody sets the clock.
    #[must_use]
    pub fn clock_set_by(self, ms: i64) -> Self {
        Self { wall_ms: self.wall_ms + ms, ..self }
    }

    /// The wall time in whole seconds.
    pub fn wall_seconds(self) -> i64 {
        self.wall_ms.div_euclid(1000)
    }
}

/// Lets the folders of this program's agents and machines live in memory from now on: files that live for seconds need
/// no disk, and hours of decisions are made durable within seconds.
pub fn keep_files_in_memory() {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        // The first call counts.
        let _set_before = tempfile::env::override_temp_dir(memory);
    }
}

/// Hours of polls every few seconds are not hours within seconds: where the configuration does not speak of
/// interruptions, they are not watched for.
fn watch_no_notices(agent: &Agent) -> io::Result<()> {
    let file = agent.config_file();
    let config = std::fs::read_to_string(&file)?;
    if config.contains("[interruption]") {
        return Ok(());
    }
    std::fs::write(file, format!("{config}\n[interruption]\nenabled = false\n"))
}

/// An agent and its clock.
#[derive(Debug)]
pub struct Timelapse {
    /// The agent.
    pub agent: Agent,
    /// Now.
    pub now: Moment,
    /// When the agent wants to be woken next, by `boot_ms`.
    pub next: Option<u64>,
    listener: UnixListener,
    line: Option<BufReader<UnixStream>>,
}

impl Timelapse {
    /// Puts an agent that was not started yet under a clock that stands at `now`.
    pub fn new(mut agent: Agent, now: Moment) -> io::Result<Self> {
        watch_no_notices(&agent)?;
        let socket = agent.folder().join("clock.sock");
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        agent.add_argument("--virtual-clock");
        agent.add_argument(socket);
        Ok(Self { agent, now, next: None, listener, line: None })
    }

    /// Starts the agent, also after [`kill`](Self::kill), and waits until it has nothing left to do.
    pub fn start(&mut self) -> Result<(), AgentError> {
        self.agent.start()?;
        let begin = Instant::now();
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(cause) if cause.kind() != ErrorKind::WouldBlock => {
                    return Err(AgentError::Io { doing: "wait for the agent", cause });
                }
                Err(_) if !self.agent.is_running() || begin.elapsed() > PATIENCE => {
                    return Err(self.agent.late("the agent at its clock", begin.elapsed()));
                }
                Err(_) => thread::sleep(LOOK),
            }
        };
        let prepared =
            stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
        prepared.map_err(|cause| AgentError::Io { doing: "prepare the clock", cause })?;
        self.line = Some(BufReader::new(stream));
        self.go_to(self.now)
    }

    /// Kills the agent as `kill -9` does.
    pub fn kill(&mut self) {
        self.line = None;
        self.agent.kill();
    }

    /// Moves the clock to a moment and waits until the agent has nothing left to do.
    pub fn go_to(&mut self, moment: Moment) -> Result<(), AgentError> {
        self.now = moment;
        let Some(line) = &mut self.line else { return Ok(()) };
        let Moment { boot_ms, asleep_ms, wall_ms } = moment;
        let told = writeln!(line.get_mut(), "{boot_ms} {asleep_ms} {wall_ms}");
        let mut answer = String::new();
        let read = told.and_then(|()| line.read_line(&mut answer));
        let Some(next) = read.ok().and_then(|_| answer.trim_end().strip_prefix("settled ")) else {
            return Err(self.agent.late("the agent at rest", PATIENCE));
        };
        self.next = next.parse().ok();
        Ok(())
    }

    /// Lets time pass up to `boot_ms`, through every moment at which the agent wants to be woken. Before each the machine is
    /// shown to `prepare`, with the moment. It ends early once the instance goes down.
    pub fn pass(
        &mut self,
        boot_ms: u64,
        prepare: &mut dyn FnMut(Moment) -> io::Result<()>,
    ) -> Result<(), AgentError> {
        while self.now.boot_ms < boot_ms && !self.has_stopped() {
            let next = self.next.map_or(boot_ms, |next| next.min(boot_ms));
            let ms = next.saturating_sub(self.now.boot_ms).max(1);
            let moment = self.now.after(ms);
            prepare(moment)
                .map_err(|cause| AgentError::Io { doing: "write the machine's files", cause })?;
            self.go_to(moment)?;
        }
        Ok(())
    }

    /// Whether EC2 accepted a stop.
    pub fn has_stopped(&self) -> bool {
        self.agent.world.instance.with(|instance| instance.state != State::Running)
    }
}
