//! The files of the recording: `NUMBER-WALL.jsonl` while it grows, `NUMBER-WALL.jsonl.gz` once it is closed, where
//! `WALL` is the wall time of the first line in milliseconds since 1970. The oldest go when the time or the space is up.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::config::RecorderSettings;
use crate::durable::{Disk, Kernel, private_folder, replace_on};
use crate::ledger::{line, prune};

/// At most so many torn ends are kept for people to look at.
const MOST_TORN: usize = 4;

/// Text that belongs together.
#[derive(Debug)]
pub(super) struct Piece {
    /// It begins a file, at this wall time in milliseconds since 1970.
    pub(super) begins: Option<i64>,
    /// Whole lines.
    pub(super) text: String,
}

/// The files, open for writing. There is one writer.
#[derive(Debug)]
pub(super) struct Folder<D: Disk = Kernel> {
    path: PathBuf,
    disk: D,
    /// The number of the next file; none before the folder was looked at.
    next: Option<u64>,
    current: Option<(PathBuf, File)>,
    failed: bool,
}

/// A file of the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shelved {
    pub(super) number: u64,
    /// The wall time of its first line.
    pub(super) wall_ms: i64,
    pub(super) path: PathBuf,
    /// Compressed, so nothing is added any more.
    pub(super) closed: bool,
}

impl Folder<Kernel> {
    pub(super) fn new(path: &Path) -> Self {
        Self::on(Kernel, path)
    }
}

impl<D: Disk> Folder<D> {
    pub(super) fn on(disk: D, path: &Path) -> Self {
        Self { path: path.to_owned(), disk, next: None, current: None, failed: false }
    }

    /// Whether the last writing failed. It is told once.
    pub(super) fn failed(&mut self) -> bool {
        core::mem::take(&mut self.failed)
    }

    /// Writes pieces in order, and removes what is too old or too much. Where it fails, all of them are lost.
    pub(super) fn write(&mut self, pieces: &[Piece], limits: RecorderSettings, wall_ms: i64) {
        let written = self.try_write(pieces, limits, wall_ms);
        if let Err(error) = &written {
            tracing::debug!(%error, path = %self.path.display(), "not recorded, proceeding without it");
            self.current = None;
        }
        self.failed = written.is_err();
    }

    fn try_write(
        &mut self,
        pieces: &[Piece],
        limits: RecorderSettings,
        wall_ms: i64,
    ) -> io::Result<()> {
        let mut next = match self.next {
            Some(next) => next,
            None => self.take_over()?,
        };
        let coming = pieces.iter().map(|piece| piece.text.len()).sum::<usize>();
        self.make_room(limits, wall_ms, u64::try_from(coming).unwrap_or(u64::MAX))?;
        for piece in pieces {
            if let Some(begins) = piece.begins {
                if let Some((path, file)) = self.current.take() {
                    drop(file);
                    self.close(&path)?;
                }
                let path = self.path.join(format!("{next:08}-{:015}.jsonl", begins.max(0)));
                next = next.saturating_add(1);
                self.next = Some(next);
                self.current = Some((path.clone(), self.disk.append_to(&path)?));
            }
            let Some((path, file)) = &mut self.current else {
                return Err(io::Error::other("there is no file to go on with"));
            };
            let before = file.metadata()?.len();
            if let Err(error) = self.disk.write(file, piece.text.as_bytes()) {
                // Half a line is of no use, and an empty file neither.
                let _ = self.disk.truncate(file, before);
                if before == 0 {
                    let _ = self.disk.remove(path);
                }
                return Err(error);
            }
        }
        self.make_room(limits, wall_ms, 0)
    }

    /// Closes what an earlier run left open; the number of the next file.
    fn take_over(&mut self) -> io::Result<u64> {
        private_folder(&self.path).map_err(io::Error::other)?;
        let files = shelved(&self.path)?;
        for file in files.iter().filter(|file| !file.closed) {
            self.close(&file.path)?;
        }
        let next = files.last().map_or(1, |last| last.number.saturating_add(1));
        self.next = Some(next);
        Ok(next)
    }

    /// Compresses a file. What a crash tore is set aside.
    fn close(&self, path: &Path) -> io::Result<()> {
        let bytes = fs::read(path)?;
        let good = line::last_good(&bytes);
        let (whole, torn) = bytes.split_at_checked(good).unwrap_or((&bytes, &[]));
        if !torn.is_empty() {
            // Evidence for people: losing it is no reason to lose the recording.
            let _ = replace_on(&self.disk, &path.with_extension("torn"), torn);
            let _ = prune(&self.disk, &self.path, "torn", MOST_TORN);
        }
        if !whole.is_empty() {
            let mut packed = GzEncoder::new(Vec::new(), Compression::default());
            packed.write_all(whole)?;
            let packed = packed.finish()?;
            replace_on(&self.disk, &path.with_extension("jsonl.gz"), &packed)
                .map_err(io::Error::other)?;
        }
        self.disk.remove(path)
    }

    /// Removes the oldest files until all of them and `coming` bytes are within the limits.
    fn make_room(&self, limits: RecorderSettings, wall_ms: i64, coming: u64) -> io::Result<()> {
        let files = shelved(&self.path)?;
        let sizes =
            files.iter().map(|file| fs::metadata(&file.path).map_or(0, |about| about.len()));
        let sizes: Vec<u64> = sizes.collect();
        let mut total = sizes.iter().sum::<u64>().saturating_add(coming);
        let oldest_ms = wall_ms.saturating_sub(millis(limits.max_age));
        let current = self.current.as_ref().map(|(path, _)| path);
        for (place, (file, size)) in files.iter().zip(sizes).enumerate() {
            // A file ends where the next begins.
            let ended = files.get(place + 1).map(|next| next.wall_ms);
            let old = ended.is_some_and(|ended| ended < oldest_ms);
            if current == Some(&file.path) || !(old || total > limits.max_size) {
                break;
            }
            self.disk.remove(&file.path)?;
            total = total.saturating_sub(size);
        }
        Ok(())
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The files of the recording in a folder, the oldest first. One that is there open and closed, because a crash came
/// in between, is given once.
pub(super) fn shelved(folder: &Path) -> io::Result<Vec<Shelved>> {
    let mut files: Vec<Shelved> = Vec::new();
    for (extension, closed) in [("gz", true), ("jsonl", false)] {
        for path in crate::ledger::listed(folder, extension)? {
            let Some((number, wall_ms)) = path.file_name().and_then(named) else { continue };
            if closed || !files.iter().any(|file| file.number == number) {
                files.push(Shelved { number, wall_ms, path, closed });
            }
        }
    }
    files.sort_by_key(|file| file.number);
    Ok(files)
}

/// The number and the wall time in a file's name.
fn named(name: &std::ffi::OsStr) -> Option<(u64, i64)> {
    let name = name.to_str()?;
    let stem = name.strip_suffix(".gz").unwrap_or(name).strip_suffix(".jsonl")?;
    let (number, wall_ms) = stem.split_once('-')?;
    Some((number.parse().ok()?, wall_ms.parse().ok()?))
}
