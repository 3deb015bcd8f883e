//! The memory of decisions: what was decided and why, on disk before anything acts, readable after any crash.
//!
//! Every entry is a line of JSON with a checksum, in files of at most a mebibyte. A line that a crash tore is set
//! aside; what stands before it counts.

mod line;
pub mod recorder;
pub mod reports;
pub mod state;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use agent_core::action::ActionRequest;
use agent_core::reason::Event;
use agent_core::stamp::Stamp;
use agent_core::verdict::Stage;
use serde::{Deserialize, Serialize};

use crate::durable::{Disk, DurableError, Kernel, Step, folder_of, private_folder};

pub use line::MOST_LINE;

/// A file of the ledger does not grow beyond this.
pub const MOST_FILE: u64 = 1024 * 1024;

/// At most so many files are kept; the oldest goes first.
pub const MOST_FILES: usize = 16;

/// At most so many torn ends are kept for people to look at.
const MOST_TORN: usize = 4;

/// What one step of the engine decided, as it is written.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Record<'a> {
    /// When.
    pub at: Stamp,
    /// In which boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: &'a str,
    /// The stage after the step.
    pub stage: Stage,
    /// What happened.
    pub events: &'a [Event],
    /// What is to be done.
    pub actions: &'a [ActionRequest],
}

/// What one step of the engine decided, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The number of the entry, growing by one over restarts.
    pub seq: u64,
    /// When.
    pub at: Stamp,
    /// In which boot.
    pub boot_id: String,
    /// The stage after the step.
    pub stage: Stage,
    /// What happened.
    #[serde(default)]
    pub events: Vec<Event>,
    /// What was to be done.
    #[serde(default)]
    pub actions: Vec<ActionRequest>,
}

/// A record with its number, in the order in which [`Entry`] reads it.
#[derive(Debug, Serialize)]
struct Numbered<'a> {
    seq: u64,
    at: Stamp,
    boot_id: &'a str,
    stage: Stage,
    events: &'a [Event],
    actions: &'a [ActionRequest],
}

/// Why the ledger could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A step on a file failed.
    #[error("write the ledger: {0}")]
    Disk(#[from] DurableError),
    /// A folder or file could not be read.
    #[error("read the ledger {}: {cause}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// An entry is too large to be written.
    #[error("write the ledger: an entry of {bytes} bytes is larger than {MOST_LINE}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// An entry has no JSON form.
    #[error("write the ledger: {0}")]
    Form(String),
}

/// What was found torn when the ledger was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// Where the torn bytes are kept; none if they could not be.
    pub kept: Option<PathBuf>,
    /// How many bytes.
    pub bytes: u64,
}

/// The ledger, open for writing. There is one writer.
#[derive(Debug)]
pub struct Ledger<D: Disk = Kernel> {
    folder: PathBuf,
    disk: D,
    next: u64,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Ledger<Kernel> {
    /// Opens the ledger in a folder, making the folder if there is none, and sets aside what a crash tore.
    pub fn open(folder: &Path) -> Result<(Self, Option<Torn>), LedgerError> {
        Self::open_on(Kernel, folder)
    }
}

impl<D: Disk> Ledger<D> {
    /// [`Ledger::open`] on a given disk.
    pub fn open_on(disk: D, folder: &Path) -> Result<(Self, Option<Torn>), LedgerError> {
        private_folder(folder)?;
        let mut ledger = Self { folder: folder.to_path_buf(), disk, next: 1, current: None };
        let Some((first, path)) = files(folder)?.pop() else {
            return Ok((ledger, None));
        };
        let bytes = read_bounded(&path)?;
        let scan = line::scan(&bytes);
        ledger.next = scan.last_seq.map_or(first, |seq| seq.saturating_add(1)).max(first);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > MOST_FILE {
            // Not a file that this agent writes: leave it alone and begin another, numbered after all it can hold.
            ledger.next = ledger.next.saturating_add(size);
            return Ok((ledger, None));
        }
        let mut file = ledger.opened(&path)?;
        let torn = ledger.set_aside(&path, &mut file, &bytes, scan.good)?;
        let size = u64::try_from(scan.good).unwrap_or(u64::MAX);
        ledger.current = Some(Current { path, file, size });
        Ok((ledger, torn))
    }

    fn opened(&self, path: &Path) -> Result<File, DurableError> {
        self.disk.append_to(path).map_err(|cause| failed(Step::Create, path, cause))
    }

    /// Keeps what stands after the last good line in a file of its own and cuts it off.
    fn set_aside(
        &self,
        path: &Path,
        file: &mut File,
        bytes: &[u8],
        good: usize,
    ) -> Result<Option<Torn>, LedgerError> {
        let tail = bytes.get(good..).unwrap_or_default();
        if tail.is_empty() {
            return Ok(None);
        }
        let aside = self.folder.join(format!("{:020}.torn", self.next));
        // Evidence for people: losing it is no reason to lose the ledger.
        let kept = crate::durable::replace_on(&self.disk, &aside, tail).is_ok();
        let length = u64::try_from(good).unwrap_or(u64::MAX);
        self.disk.truncate(file, length).map_err(|cause| failed(Step::Truncate, path, cause))?;
        prune(&self.disk, &self.folder, "torn", MOST_TORN)?;
        let bytes = u64::try_from(tail.len()).unwrap_or(u64::MAX);
        Ok(Some(Torn { kept: kept.then_some(aside), bytes }))
    }

    /// The number that the next entry will have.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Writes an entry and gives its number. `durable`: it is on the disk when this returns. On an error the entry
    /// does not count and nothing that depends on it may be done.
    pub fn append(&mut self, record: Record<'_>, durable: bool) -> Result<u64, LedgerError> {
        let Record { at, boot_id, stage, events, actions } = record;
        let seq = self.next;
        let numbered = Numbered { seq, at, boot_id, stage, events, actions };
        let json = serde_json::to_string(&numbered)
            .map_err(|error| LedgerError::Form(error.to_string()))?;
        let line = line::framed(&json);
        if line.len() > MOST_LINE {
            return Err(LedgerError::TooLarge { bytes: line.len() });
        }
        let mut current = self.room_for(&line)?;
        let before = current.size;
        if let Err(error) = self.write(&mut current, line.as_bytes(), durable) {
            // What was written does not count. Where it cannot be cut off, its number is not given again. The next
            // entry begins another file: this one may be on a failing disk.
            if self.disk.truncate(&current.file, before).is_err() {
                self.next = seq.saturating_add(1);
            }
            return Err(error.into());
        }
        self.current = Some(current);
        self.next = seq.saturating_add(1);
        Ok(seq)
    }

    fn write(&self, current: &mut Current, line: &[u8], durable: bool) -> Result<(), DurableError> {
        let before = current.size;
        let written = self.disk.write(&mut current.file, line);
        written.map_err(|cause| failed(Step::Write, &current.path, cause))?;
        current.size = before.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        if durable {
            let synced = self.disk.sync_data(&current.file);
            synced.map_err(|cause| failed(Step::Sync, &current.path, cause))?;
            if before == 0 {
                let synced = self.disk.sync_folder(folder_of(&current.path));
                synced.map_err(|cause| failed(Step::SyncFolder, &current.path, cause))?;
            }
        }
        Ok(())
    }

    /// The current file if the line fits into it, else a new one; the oldest go.
    fn room_for(&mut self, line: &str) -> Result<Current, LedgerError> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if let Some(current) = self.current.take()
            && (current.size == 0 || current.size.saturating_add(length) <= MOST_FILE)
        {
            return Ok(current);
        }
        let path = self.folder.join(format!("{:020}.jsonl", self.next));
        let mut file = self.opened(&path)?;
        let mut size = file.metadata().map_or(0, |about| about.len());
        if size > 0 {
            // An earlier attempt at this entry failed half-way: end its line.
            self.disk.write(&mut file, b"\n").map_err(|cause| failed(Step::Write, &path, cause))?;
            size = size.saturating_add(1);
        }
        prune(&self.disk, &self.folder, "jsonl", MOST_FILES)?;
        Ok(Current { path, file, size })
    }
}

fn failed(step: Step, path: &Path, cause: io::Error) -> DurableError {
    DurableError { step, path: path.to_path_buf(), cause }
}

/// The last `most` entries in a folder, the oldest first. Lines that cannot be read are passed over.
pub fn tail(folder: &Path, most: usize) -> Result<Vec<Entry>, LedgerError> {
    let mut entries = Vec::new();
    for (_, path) in files(folder)?.into_iter().rev() {
        if entries.len() >= most {
            break;
        }
        let bytes = match read_bounded(&path) {
            // The writer may remove the oldest while they are read.
            Err(LedgerError::Read { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            read => read?,
        };
        let newest_first = bytes.rsplit(|byte| *byte == b'\n').filter_map(line::read);
        entries.extend(newest_first.take(most - entries.len()));
    }
    entries.reverse();
    Ok(entries)
}

/// The files of the ledger by the number of their first entry.
fn files(folder: &Path) -> Result<Vec<(u64, PathBuf)>, LedgerError> {
    let fail = |cause| LedgerError::Read { path: folder.to_path_buf(), cause };
    let mut files = Vec::new();
    for path in listed(folder, "jsonl").map_err(fail)? {
        let first =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(first) = first {
            files.push((first, path));
        }
    }
    Ok(files)
}

/// The files of a folder with an extension, by name.
pub(crate) fn listed(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Removes the first files by name until `most` are left.
pub(crate) fn prune(
    disk: &impl Disk,
    folder: &Path,
    extension: &str,
    most: usize,
) -> Result<(), DurableError> {
    let paths = listed(folder, extension).map_err(|cause| failed(Step::Remove, folder, cause))?;
    let surplus = paths.len().saturating_sub(most);
    for path in paths.iter().take(surplus) {
        disk.remove(path).map_err(|cause| failed(Step::Remove, path, cause))?;
    }
    Ok(())
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, LedgerError> {
    let fail = |cause| LedgerError::Read { path: path.to_path_buf(), cause };
    let most = MOST_FILE + u64::try_from(MOST_LINE).unwrap_or(0);
    let mut bytes = Vec::new();
    File::open(path).map_err(fail)?.take(most).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
