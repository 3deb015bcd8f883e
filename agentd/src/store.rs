//! Where the engine's memory is kept: `state.json` and the ledger in the state folder, the idle clock in the runtime
//! folder.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use agent_core::decision::Decision;
use agent_core::input::Input;
use agent_core::memory::{IdleClock, Memory, Recovery};
use agent_core::policy::Policy;
use agent_core::stamp::Stamp;
use serde::{Deserialize, Serialize};

use crate::config::RecorderSettings;
use crate::events::{self, ShellEvent};
use crate::ledger::recorder::Recorder;
use crate::ledger::reports::Reports;
use crate::ledger::state::{Loaded, StateFile};
use crate::ledger::{self, Entry, Ledger, LedgerError, Record};
use crate::shell::{Report, Store};

/// The version of `state.json`.
const STATE_VERSION: u32 = 1;

/// The durable part of the engine with the boot that it was saved on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Saved {
    boot_id: String,
    memory: Memory,
}

/// The idle clock with the boot that it counts on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedClock {
    boot_id: String,
    clock: IdleClock,
}

/// The files of one agent.
#[derive(Debug)]
pub struct Files {
    boot_id: String,
    state: StateFile<Saved>,
    clock: PathBuf,
    /// The idle clock as it was written last: an unchanged one is not written again.
    last_clock: Option<Vec<u8>>,
    ledger: Ledger,
    reports: Reports,
    recording: Option<Recording>,
}

/// The recorder, and how it is to record: a reload changes it.
#[derive(Debug)]
struct Recording {
    recorder: Recorder,
    settings: Rc<Cell<RecorderSettings>>,
}

impl Files {
    /// Opens the files below `state` (durable) and `runtime` (of this boot), and reads what an earlier run left.
    pub fn open(
        state: &Path,
        runtime: &Path,
        boot_id: &str,
        now: Stamp,
    ) -> Result<(Self, Recovery), LedgerError> {
        let (ledger, torn) = Ledger::open(&ledger_folder(state))?;
        if let Some(torn) = torn {
            let kept = torn.kept.map(|path| path.display().to_string());
            events::emit(ShellEvent::LedgerTorn { bytes: torn.bytes, kept });
        }
        let file: StateFile<Saved> = StateFile::new(state.join("state.json"), STATE_VERSION);
        let saved = match file.load(now) {
            Loaded::Good(saved) => Some(saved),
            Loaded::Fresh => None,
            Loaded::Corrupt { moved_to, why } => {
                let kept = moved_to.map(|path| path.display().to_string());
                let because = format!("'{}': {why}", file.path().display());
                events::emit(ShellEvent::StateCorrupt { because, kept });
                None
            }
        };
        let clock = runtime.join("idle.json");
        let same_boot = saved.as_ref().is_some_and(|s| s.boot_id == boot_id);
        // A corrupt or missing state may hide an open intent: without it the idle clock starts again, too.
        let kept_clock = saved.as_ref().and_then(|_| read_clock(&clock, boot_id));
        let recovery = Recovery { memory: saved.map(|s| s.memory), same_boot, clock: kept_clock };
        let boot_id = boot_id.to_owned();
        let reports = Reports::new(state.join("reports"));
        let files = Self {
            boot_id,
            state: file,
            clock,
            last_clock: None,
            ledger,
            reports,
            recording: None,
        };
        Ok((files, recovery))
    }

    /// Records from now on what is put into an engine that begins at `start` with this policy and recovery.
    pub fn start_recorder(
        &mut self,
        settings: Rc<Cell<RecorderSettings>>,
        start: Stamp,
        policy: &Policy,
        recovery: &Recovery,
    ) {
        let state = crate::durable::folder_of(self.state.path());
        let recorder = Recorder::new(state, settings.get(), start, &self.boot_id, policy, recovery);
        self.recording = Some(Recording { recorder, settings });
    }

    fn remember(&mut self, memory: Option<&Memory>, clock: Option<&IdleClock>) {
        if let Some(Recording { recorder, .. }) = &mut self.recording {
            recorder.remember(memory, clock);
        }
    }
}

fn ledger_folder(state: &Path) -> PathBuf {
    state.join("ledger")
}

/// What was decided last, the oldest first: the story goes on over a restart.
pub fn history(state: &Path, most: usize) -> Vec<Entry> {
    // A ledger that cannot be read was told of when it was opened.
    ledger::tail(&ledger_folder(state), most).unwrap_or_default()
}

/// The idle clock of this boot, if there is a whole one.
fn read_clock(path: &Path, boot_id: &str) -> Option<IdleClock> {
    /// No idle clock is longer.
    const LIMIT: u64 = 1 << 20;
    if std::fs::metadata(path).ok()?.len() > LIMIT {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    let saved: SavedClock = serde_json::from_slice(&bytes).ok()?;
    (saved.boot_id == boot_id).then_some(saved.clock)
}

impl Store for Files {
    fn save_memory(&mut self, _now: Stamp, memory: &Memory) -> Result<(), String> {
        self.remember(Some(memory), None);
        let saved = Saved { boot_id: self.boot_id.clone(), memory: memory.clone() };
        self.state.save(&saved).map_err(|error| error.to_string())
    }

    fn save_clock(&mut self, clock: &IdleClock) -> Result<(), String> {
        self.remember(None, Some(clock));
        let saved = SavedClock { boot_id: self.boot_id.clone(), clock: clock.clone() };
        let bytes = serde_json::to_vec(&saved).map_err(|error| error.to_string())?;
        if self.last_clock.as_ref() == Some(&bytes) {
            return Ok(());
        }
        // Replaced whole but not synced: it dies with the boot anyway, and it is written every few seconds.
        let fresh = self.clock.with_extension("new");
        std::fs::write(&fresh, &bytes)
            .and_then(|()| std::fs::rename(&fresh, &self.clock))
            .map_err(|error| format!("failed to write '{}': {error}", self.clock.display()))?;
        self.last_clock = Some(bytes);
        Ok(())
    }

    fn report(&mut self, now: Stamp, kind: &str, report: &Report<'_>) -> Result<String, String> {
        let written = self.reports.write(kind, now, report);
        written.map(|path| path.display().to_string()).map_err(|error| error.to_string())
    }

    fn append(&mut self, now: Stamp, decision: &Decision, durable: bool) -> Result<(), String> {
        let record = Record {
            at: now,
            boot_id: &self.boot_id,
            stage: decision.stage,
            events: &decision.events,
            actions: &decision.actions,
        };
        let appended =
            self.ledger.append(record, durable).map(|_| ()).map_err(|error| error.to_string());
        if durable && let Some(Recording { recorder, .. }) = &mut self.recording {
            // What comes next may end the machine.
            recorder.hand_on(now);
        }
        appended
    }

    fn record(&mut self, now: Stamp, input: &Input) {
        if let Some(Recording { recorder, settings }) = &mut self.recording {
            if matches!(input, Input::PolicyChanged(_)) {
                recorder.configure(settings.get());
            }
            recorder.record(now, input);
        }
    }

    fn rest(&mut self, now: Stamp) {
        if let Some(Recording { recorder, .. }) = &mut self.recording {
            recorder.rest(now);
        }
    }

    fn close(&mut self, now: Stamp) {
        if let Some(Recording { recorder, .. }) = &mut self.recording {
            recorder.close(now);
        }
    }
}
