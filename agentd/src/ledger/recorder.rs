//! The flight recorder: everything that was put into the engine, kept for a while, so that it can be asked later what
//! would have happened under another policy, and so that a bug report is a trace and a trace becomes a test.
//!
//! Recording is never a reason not to decide and never delays a decision. Lines are collected in memory; once a minute
//! a short-lived thread writes them, and a disk that is full or hangs costs the recording alone. Nothing is synced but
//! a file that is closed.

mod folder;
pub mod read;

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use agent_core::input::Input;
use agent_core::memory::{IdleClock, Memory, Recovery};
use agent_core::policy::Policy;
use agent_core::stamp::Stamp;
use agent_core::trace::{ACCOUNTS, Boot, Encoder, Header, Line, Record};

use crate::config::RecorderSettings;
use folder::{Folder, Piece};

/// A recording can be understood from here on after at most this long, whatever was lost before.
const ANEW_EVERY: Duration = Duration::from_mins(10);

/// Lines wait for at most this long until they are written.
const WRITE_EVERY: Duration = Duration::from_mins(1);

/// A file does not grow beyond this by much: it is closed at the next line that begins anew.
const MOST_FILE: usize = if cfg!(test) { 64 * 1024 } else { 512 * 1024 };

/// The longest line.
pub const MOST_LINE: usize = 1024 * 1024;

/// So many bytes may wait while the disk hangs; then they are given up.
const MOST_WAITING: usize = if cfg!(test) { 256 * 1024 } else { 2 * 1024 * 1024 };

/// The recorder of one agent.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    settings: RecorderSettings,
    boot: Boot,
    encoder: Encoder,
    /// What is to be written, in order.
    waiting: Vec<Piece>,
    /// The bytes of the file that the last piece belongs to, written or not.
    file_bytes: usize,
    /// When the last line that begins anew was made. None: nothing was recorded yet, or something was lost.
    anew_at: Option<Stamp>,
    /// When lines were handed on last.
    handed_at: Stamp,
    writer: Writer,
}

/// Who has the files.
#[derive(Debug)]
enum Writer {
    Here(Box<Folder>),
    Away(JoinHandle<Box<Folder>>),
    /// A thread took them along that could not be started or did not come back.
    Gone,
}

impl Recorder {
    /// A recorder below a state folder. `start` is the moment in which the engine begins with `policy` and `recovery`.
    pub fn new(
        state: &Path,
        settings: RecorderSettings,
        start: Stamp,
        boot_id: &str,
        policy: &Policy,
        recovery: &Recovery,
    ) -> Self {
        let path = folder(state);
        let boot = Boot {
            id: boot_id.to_owned(),
            accounts: ACCOUNTS,
            policy: Some(policy.clone()),
            memory: recovery.memory.clone(),
            same_boot: recovery.same_boot,
            clock: recovery.clock.clone(),
        };
        let mut recorder = Self {
            settings,
            boot,
            encoder: Encoder::default(),
            waiting: Vec::new(),
            file_bytes: 0,
            anew_at: None,
            handed_at: start,
            writer: Writer::Here(Box::new(Folder::new(&path))),
            path,
        };
        if settings.enabled {
            recorder.begin_file(start);
        }
        recorder
    }

    /// Goes on with other settings.
    pub fn configure(&mut self, settings: RecorderSettings) {
        if self.settings.enabled && !settings.enabled {
            self.hand_on(self.handed_at);
            self.give_up();
        }
        self.settings = settings;
    }

    /// Takes in what is put into the engine.
    pub fn record(&mut self, now: Stamp, input: &Input) {
        if let Input::PolicyChanged(policy) = input {
            self.boot.policy = Some(policy.as_ref().clone());
        }
        if !self.settings.enabled {
            return;
        }
        match self.anew_at {
            None => self.begin_file(now),
            // Also when the clock ran back.
            Some(at) if now.boot_ms < at.boot_ms || now.since(at) >= ANEW_EVERY => {
                let line = self.encoder.begin_anew();
                self.push(line);
                self.anew_at = Some(now);
                if self.file_bytes >= MOST_FILE {
                    self.begin_file(now);
                }
            }
            Some(_) => {}
        }
        let line = self.encoder.add(now, input);
        self.push(line);
    }

    /// Takes over what a file that begins now has to say of the engine.
    pub fn remember(&mut self, memory: Option<&Memory>, clock: Option<&IdleClock>) {
        if let Some(memory) = memory {
            self.boot.memory = Some(memory.clone());
            self.boot.same_boot = true;
        }
        if let Some(clock) = clock {
            self.boot.clock = Some(clock.clone());
        }
    }

    /// Nothing is pressing: writes what has waited for long enough.
    pub fn rest(&mut self, now: Stamp) {
        if now.since(self.handed_at) >= WRITE_EVERY {
            self.hand_on(now);
        }
    }

    /// Writes what there is, beside the loop. While an earlier write is not done it goes on waiting.
    pub fn hand_on(&mut self, now: Stamp) {
        self.handed_at = now;
        let line = self.encoder.end();
        self.push(line);
        let Some(mut folder) = self.folder() else { return };
        if self.waiting.is_empty() {
            self.writer = Writer::Here(folder);
            return;
        }
        let (pieces, settings) = (core::mem::take(&mut self.waiting), self.settings);
        let name = thread::Builder::new().name("recorder".to_owned());
        self.writer = match name.spawn(move || {
            folder.write(&pieces, settings, now.wall_ms);
            folder
        }) {
            Ok(handle) => Writer::Away(handle),
            // No thread to be had: the machine has other troubles than its recording.
            Err(_) => Writer::Gone,
        };
    }

    /// Writes what there is and waits for it: at the end of the agent, and in tests.
    pub fn close(&mut self, now: Stamp) {
        self.wait();
        self.hand_on(now);
        self.wait();
    }

    fn wait(&mut self) {
        self.writer = match core::mem::replace(&mut self.writer, Writer::Gone) {
            Writer::Away(handle) => handle.join().map_or(Writer::Gone, Writer::Here),
            other => other,
        };
    }

    /// The files, unless a writer still has them.
    fn folder(&mut self) -> Option<Box<Folder>> {
        let mut back = match core::mem::replace(&mut self.writer, Writer::Gone) {
            Writer::Here(folder) => Some(folder),
            Writer::Away(handle) if !handle.is_finished() => {
                self.writer = Writer::Away(handle);
                return None;
            }
            Writer::Away(handle) => handle.join().ok(),
            Writer::Gone => None,
        };
        if back.as_mut().is_none_or(|folder| folder.failed()) {
            // What was to be written last is lost, so what waits cannot be understood.
            self.give_up();
        }
        Some(back.unwrap_or_else(|| Box::new(Folder::new(&self.path))))
    }

    /// Begins a file: it can be understood without those before.
    fn begin_file(&mut self, now: Stamp) {
        let line = self.encoder.begin_anew();
        self.push(line);
        self.anew_at = Some(now);
        self.file_bytes = 0;
        self.waiting.push(Piece { begins: Some(now.wall_ms), text: String::new() });
        let by = concat!("agentd ", env!("CARGO_PKG_VERSION"));
        self.push(Some(Line::Header(Header::new(by))));
        self.push(Some(Line::Record(Record::boot(now, self.boot.clone()))));
    }

    fn push(&mut self, line: Option<Line>) {
        let Some(line) = line else { return };
        let Ok(json) = serde_json::to_string(&line) else { return self.give_up() };
        let text = super::line::framed(&json);
        if text.len() > MOST_LINE || self.waiting_bytes() + text.len() > MOST_WAITING {
            return self.give_up();
        }
        self.file_bytes += text.len();
        match self.waiting.last_mut() {
            Some(piece) => piece.text.push_str(&text),
            None => self.waiting.push(Piece { begins: None, text }),
        }
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|piece| piece.text.len()).sum()
    }

    /// Something is lost: what comes next begins a file.
    fn give_up(&mut self) {
        self.waiting.clear();
        self.encoder = Encoder::default();
        self.anew_at = None;
    }
}

/// The folder of the recording below a state folder.
pub fn folder(state: &Path) -> PathBuf {
    state.join("recording")
}

#[cfg(test)]
mod tests;
