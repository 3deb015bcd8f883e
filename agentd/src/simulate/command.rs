//! The command: which trace, which policy, and where the answer goes.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use agent_core::stamp::Stamp;
use agent_core::trace::Record;
use jiff::tz::TimeZone;

use super::text::{Look, text};
use super::{Policies, export, run};
use crate::clock::Clock;
use crate::config::{self, ConfigError, LoadFrom};
use crate::config_command::{EXIT_CONFIG, known_sources};
use crate::ledger::recorder::folder;
use crate::ledger::recorder::read::{Damage, Records, TraceError, recorded};

/// The caller may not read the recording.
const EXIT_NOT_PERMITTED: u8 = 4;
/// The largest trace on standard input.
const MOST_STDIN: u64 = 1 << 30;
/// Progress is told this often on a terminal …
const TELL_EVERY: Duration = Duration::from_secs(1);
/// … and this often in a file.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What `agentd simulate` is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulateRequest {
    /// The trace; none is the agent's own recording, `-` standard input.
    pub trace: Option<PathBuf>,
    /// Of the recording only this last while.
    pub since: Option<Duration>,
    /// What is done with it.
    pub task: SimulateTask,
}

/// What is done with a trace.
#[derive(Clone, Debug, PartialEq)]
pub enum SimulateTask {
    /// Replay it.
    Replay {
        /// A configuration over the one of this machine.
        policy: Option<PathBuf>,
        /// What an hour of the instance costs, US dollars.
        price: Option<f64>,
        /// Show everything.
        all: bool,
        /// One JSON document.
        json: bool,
        /// Times in UTC.
        utc: bool,
    },
    /// Write it to a file.
    Export(ExportRequest),
}

/// How a trace is written to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRequest {
    /// The file; `-` is standard output.
    pub to: PathBuf,
    /// Names are replaced.
    pub anonymise: bool,
}

/// Why it could not be done. The texts fit after "failed to".
#[derive(Debug, thiserror::Error)]
pub(super) enum SimulateError {
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error("read the configuration: {0}")]
    Config(#[from] ConfigError),
    #[error("find a recording in {}", .0.display())]
    Nothing(PathBuf),
    #[error("find a record in the trace {0}: it has none")]
    Empty(String),
    #[error("write the trace {}: {cause}", path.display())]
    Write { path: PathBuf, cause: io::Error },
}

impl SimulateError {
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_CONFIG,
            Self::Trace(TraceError::Io { cause, .. })
                if cause.kind() == io::ErrorKind::PermissionDenied =>
            {
                EXIT_NOT_PERMITTED
            }
            _ => 1,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Trace(TraceError::Io { cause, .. })
                if cause.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some(
                    "the recording is for root alone: run it with sudo, or give a file with --trace",
                )
            }
            Self::Nothing(_) => Some(
                "agentd records while it runs, unless [recorder] enabled = false; a file is simulated with --trace FILE",
            ),
            _ => None,
        }
    }
}

/// Answers `agentd simulate` on standard output.
pub fn simulate(from: &LoadFrom, state_dir: &Path, request: &SimulateRequest) -> ExitCode {
    let result = Source::open(state_dir, request).and_then(|mut source| match &request.task {
        SimulateTask::Export(export) => export::export(&mut source, export),
        SimulateTask::Replay { .. } => replayed(from, &mut source, &request.task),
    });
    match result {
        Ok(answer) => {
            let _ = io::stdout().write_all(answer.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let hint = error.hint().map_or_else(String::new, |hint| format!("hint: {hint}\n"));
            let _ = io::stderr().write_all(format!("error: failed to {error}\n{hint}").as_bytes());
            ExitCode::from(error.code())
        }
    }
}

fn replayed(
    from: &LoadFrom,
    source: &mut Source,
    task: &SimulateTask,
) -> Result<String, SimulateError> {
    let SimulateTask::Replay { policy, price, all, json, utc } = task else {
        return Ok(String::new());
    };
    let known = known_sources();
    let own = config::load(from, &known)?.settings.policy;
    let tried = match policy {
        Some(file) => {
            let over = LoadFrom::Over { base: Box::new(from.clone()), file: file.clone() };
            Some(config::load(&over, &known)?.settings.policy)
        }
        // The recording is this machine's, so its configuration is meant as it is now.
        None if source.own => Some(own.clone()),
        None => None,
    };
    let mut progress = Progress::new();
    let policies = Policies { tried, own };
    let done = run(&mut *source, policies, &mut |at| progress.at(at));
    progress.end();
    let Some(mut simulation) = done? else { return Err(SimulateError::Empty(source.name.clone())) };
    simulation.notes.extend(source.notes());
    let under = match policy {
        Some(file) => format!("{} over the configuration of this machine", file.display()),
        None if simulation.carried => "that of the trace".to_owned(),
        None => "the configuration of this machine".to_owned(),
    };
    if *json {
        return Ok(format!("{}\n", simulation.document(&source.name, &under, *price)));
    }
    let zone = if *utc { TimeZone::UTC } else { TimeZone::system() };
    let look = Look { zone, all: *all, price: *price };
    Ok(text(&simulation, &source.name, &under, &look))
}

/// The records of a trace of one or more files.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: String,
    /// The agent's own recording.
    own: bool,
    files: std::vec::IntoIter<PathBuf>,
    current: Option<Records>,
    notes: Vec<String>,
}

impl Source {
    fn open(state_dir: &Path, request: &SimulateRequest) -> Result<Self, SimulateError> {
        let Some(trace) = &request.trace else {
            let folder = folder(state_dir);
            let files = recorded(&folder, request.since, Clock.now().wall_ms)?;
            if files.is_empty() {
                return Err(SimulateError::Nothing(folder));
            }
            let name = folder.display().to_string();
            let files = files.into_iter();
            return Ok(Self { name, own: true, files, current: None, notes: Vec::new() });
        };
        let records = if trace == Path::new("-") {
            let from = io::stdin().take(MOST_STDIN);
            Records::of("standard input", from, Damage::Refuse)?
        } else {
            Records::open(trace, Damage::Refuse)?
        };
        let name = if trace == Path::new("-") {
            "standard input".to_owned()
        } else {
            trace.display().to_string()
        };
        let files = Vec::new().into_iter();
        Ok(Self { name, own: false, files, current: Some(records), notes: Vec::new() })
    }

    /// What was passed over, for people.
    pub(super) fn notes(&mut self) -> Vec<String> {
        core::mem::take(&mut self.notes)
    }
}

impl Iterator for Source {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(records) = &mut self.current {
                if let Some(record) = records.next() {
                    return Some(record);
                }
                self.notes.extend(records.notes().iter().cloned());
            }
            self.current = None;
            let path = self.files.next()?;
            match Records::open(&path, Damage::PassOver) {
                Ok(records) => self.current = Some(records),
                // The agent removes the oldest, and closes the newest, while they are read.
                Err(TraceError::Io { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                    let closed = path.with_extension("jsonl.gz");
                    self.current = Records::open(&closed, Damage::PassOver).ok();
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Tells on standard error how far it is, when it takes long.
#[derive(Debug)]
struct Progress {
    told: Stamp,
    terminal: bool,
    shown: bool,
    count: u32,
}

impl Progress {
    /// The clock is asked once in so many records.
    const LOOK_EVERY: u32 = 512;

    fn new() -> Self {
        let terminal = io::stderr().is_terminal();
        Self { told: Clock.now(), terminal, shown: false, count: 0 }
    }

    fn at(&mut self, at: Stamp) {
        self.count = self.count.wrapping_add(1);
        if !self.count.is_multiple_of(Self::LOOK_EVERY) {
            return;
        }
        let now = Clock.now();
        if now.since(self.told) < if self.terminal { TELL_EVERY } else { LOG_EVERY } {
            return;
        }
        self.told = now;
        self.shown = true;
        let day = jiff::Timestamp::from_millisecond(at.wall_ms)
            .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string());
        let (before, after) = if self.terminal { ("\r", "") } else { ("", "\n") };
        let _ = io::stderr().write_all(format!("{before}simulated up to {day}{after}").as_bytes());
    }

    fn end(&self) {
        if self.shown && self.terminal {
            let _ = io::stderr().write_all(b"\n");
        }
    }
}
