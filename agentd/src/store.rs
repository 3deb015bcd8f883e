//! Where the engine's memory is kept: `state.json` and the ledger in the state folder, the idle clock in the runtime
//! folder. The alerts are noted in the runtime folder, too, where it takes no time.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use agent_core::decision::Decision;
use agent_core::input::Input;
use agent_core::interruption::Interruptions;
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

/// The alerts with the boot on which they were noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SavedAlerts {
    boot_id: String,
    interruptions: Interruptions,
}

/// The files of one agent.
#[derive(Debug)]
pub struct Files {
    boot_id: String,
    state: StateFile<Saved>,
    clock: PathBuf,
    alerts: PathBuf,
    /// The alerts stand in the runtime folder and may be newer than the durable part.
    alerts_noted: bool,
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
        let alerts = runtime.join("alerts.json");
        let noted = read_alerts(&alerts, boot_id);
        let alerts_noted = noted.is_some();
        let recovery = Recovery { memory: saved.map(|s| s.memory), same_boot, clock: kept_clock };
        let recovery = with_alerts(recovery, noted);
        let boot_id = boot_id.to_owned();
        let reports = Reports::new(state.join("reports"));
        let files = Self {
            boot_id,
            state: file,
            clock,
            alerts,
            alerts_noted,
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

/// The alerts that were noted on this boot, if there is a whole note.
fn read_alerts(path: &Path, boot_id: &str) -> Option<Interruptions> {
    /// No note is longer.
    const LIMIT: u64 = 1 << 20;
    if std::fs::metadata(path).ok()?.len() > LIMIT {
        return None;
    }
    let saved: SavedAlerts = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (saved.boot_id == boot_id).then_some(saved.interruptions)
}

/// What an earlier run left, with the alerts as it noted them last. The note is taken away once the durable part says
/// the same, so where it stands it is newer.
fn with_alerts(recovery: Recovery, noted: Option<Interruptions>) -> Recovery {
    let Some(interruptions) = noted else { return recovery };
    match recovery.memory {
        Some(memory) if recovery.same_boot => {
            Recovery { memory: Some(Memory { interruptions, ..memory }), ..recovery }
        }
        // Saved on an earlier boot, or lost: what this boot noted is known, and nothing else of it.
        memory => {
            let next_key = memory.map_or(0, |memory| memory.next_key);
            let memory = Memory { interruptions, next_key, ..Memory::default() };
            Recovery { memory: Some(memory), same_boot: true, clock: None }
        }
    }
}

impl Store for Files {
    fn save_memory(&mut self, _now: Stamp, memory: &Memory) -> Result<(), String> {
        self.remember(Some(memory), None);
        let saved = Saved { boot_id: self.boot_id.clone(), memory: memory.clone() };
        self.state.save(&saved).map_err(|error| error.to_string())?;
        if self.alerts_noted {
            // What stays although it is told durably would be taken for newer by the next run.
            match std::fs::remove_file(&self.alerts) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("failed to remove '{}': {error}", self.alerts.display()));
                }
                _ => self.alerts_noted = false,
            }
        }
        Ok(())
    }

    fn save_alerts(&mut self, interruptions: &Interruptions) -> Result<(), String> {
        let saved =
            SavedAlerts { boot_id: self.boot_id.clone(), interruptions: interruptions.clone() };
        let bytes = serde_json::to_vec(&saved).map_err(|error| error.to_string())?;
        let fresh = self.alerts.with_extension("new");
        std::fs::write(&fresh, &bytes)
            .and_then(|()| std::fs::rename(&fresh, &self.alerts))
            .map_err(|error| format!("failed to write '{}': {error}", self.alerts.display()))?;
        self.alerts_noted = true;
        Ok(())
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

#[cfg(test)]
mod tests {
    use agent_core::interruption::TargetState;
    use agent_core::memory::Memory;

    use super::*;

    fn opened(state: &Path, boot: &str) -> (Files, Recovery) {
        Files::open(state, state, boot, Stamp::new(1, 0, 1)).unwrap()
    }

    fn noted(target: TargetState) -> Interruptions {
        Interruptions { target: Some(target), ..Interruptions::default() }
    }

    fn target(recovery: &Recovery) -> Option<TargetState> {
        recovery.memory.as_ref().and_then(|memory| memory.interruptions.target)
    }

    #[test]
    fn alerts_that_were_noted_after_the_last_saving_are_those_that_count() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, _) = opened(folder.path(), "a");
        let memory = Memory { failures: 3, ..Memory::default() };
        files.save_memory(Stamp::default(), &memory).unwrap();
        files.save_alerts(&noted(TargetState::Terminated)).unwrap();
        let (_, recovery) = opened(folder.path(), "a");
        assert_eq!(target(&recovery), Some(TargetState::Terminated));
        assert_eq!(recovery.memory.map(|memory| memory.failures), Some(3));
    }

    #[test]
    fn alerts_that_were_saved_durably_are_not_taken_back_by_an_older_note() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, _) = opened(folder.path(), "a");
        files.save_alerts(&noted(TargetState::Terminated)).unwrap();
        let interruptions = noted(TargetState::InService);
        let memory = Memory { interruptions, ..Memory::default() };
        files.save_memory(Stamp::default(), &memory).unwrap();
        let (_, recovery) = opened(folder.path(), "a");
        assert_eq!(target(&recovery), Some(TargetState::InService));
    }

    #[test]
    fn alerts_are_known_without_a_state_and_begin_no_idle_clock() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, _) = opened(folder.path(), "a");
        files.save_alerts(&noted(TargetState::Terminated)).unwrap();
        std::fs::write(folder.path().join("state.json"), "{").unwrap();
        let (_, recovery) = opened(folder.path(), "a");
        assert_eq!(target(&recovery), Some(TargetState::Terminated));
        assert!(recovery.same_boot && recovery.clock.is_none());
    }

    #[test]
    fn a_note_of_another_boot_or_half_a_note_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut files, _) = opened(folder.path(), "a");
        files.save_alerts(&noted(TargetState::Terminated)).unwrap();
        assert_eq!(target(&opened(folder.path(), "b").1), None);
        std::fs::write(folder.path().join("alerts.json"), "{\"boot_id\":\"a\"").unwrap();
        assert_eq!(target(&opened(folder.path(), "a").1), None);
    }
}
