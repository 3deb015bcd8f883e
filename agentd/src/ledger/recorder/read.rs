//! Reads traces: a file, standard input, or the agent's own recording; compressed or not, with checksums or without.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_core::trace::{Decoder, Line, Record};
use flate2::bufread::MultiGzDecoder;

use super::MOST_LINE;
use super::folder::shelved;
use crate::ledger::line;

/// Why a trace could not be read. The texts fit after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// A file or folder could not be read.
    #[error("read the trace {name}: {cause}")]
    Io {
        /// Which.
        name: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A line is no line of a trace.
    #[error("read the trace {name}:{line}: {why}")]
    Line {
        /// The file.
        name: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong, with the column and the key where they are known.
        why: String,
    },
}

/// What is done with lines that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// They are an error: a trace that somebody hands in says what is wrong with it.
    Refuse,
    /// They are passed over with a note, up to the next line that begins anew: what a crash left.
    PassOver,
}

/// The records of one trace, in order.
pub struct Records {
    name: String,
    from: Box<dyn BufRead>,
    damage: Damage,
    decoder: Decoder,
    line: u64,
    bytes: Vec<u8>,
    headed: bool,
    /// The line before could not be read: what follows from it is not told again.
    lost: bool,
    notes: Vec<String>,
    ended: bool,
}

impl core::fmt::Debug for Records {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut shown = f.debug_struct("Records");
        shown.field("name", &self.name).field("line", &self.line).finish_non_exhaustive()
    }
}

impl Records {
    /// The records of a file.
    pub fn open(path: &Path, damage: Damage) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::of(&name, file, damage),
            Err(cause) => Err(TraceError::Io { name, cause }),
        }
    }

    /// The records of whatever can be read; `name` is for messages.
    pub fn of(name: &str, from: impl Read + 'static, damage: Damage) -> Result<Self, TraceError> {
        let fail = |cause| TraceError::Io { name: name.to_owned(), cause };
        let mut from = BufReader::new(from);
        // RFC 1952, 2.3.1.
        let packed = from.fill_buf().map_err(fail)?.starts_with(&[0x1f, 0x8b]);
        let from: Box<dyn BufRead> = if packed {
            Box::new(BufReader::new(MultiGzDecoder::new(from)))
        } else {
            Box::new(from)
        };
        Ok(Self {
            name: name.to_owned(),
            from,
            damage,
            decoder: Decoder::default(),
            line: 0,
            bytes: Vec::new(),
            headed: false,
            lost: false,
            notes: Vec::new(),
            ended: false,
        })
    }

    /// What was passed over, for people; asked when the records are at their end.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn next_record(&mut self) -> Result<Option<Record>, TraceError> {
        while !self.ended {
            self.bytes.clear();
            let most = u64::try_from(MOST_LINE).unwrap_or(u64::MAX).saturating_add(1);
            let mut bounded = (&mut self.from).take(most);
            let torn = match bounded.read_until(b'\n', &mut self.bytes) {
                Ok(0) => break,
                Ok(_) => !self.bytes.ends_with(b"\n"),
                // The end of a compressed file is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => true,
                Err(cause) => return Err(TraceError::Io { name: self.name.clone(), cause }),
            };
            self.line += 1;
            self.ended = torn;
            if self.bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match self.understand() {
                Ok(record) => {
                    self.lost = false;
                    if record.is_some() {
                        return Ok(record);
                    }
                }
                Err(_) if torn && self.bytes.len() <= MOST_LINE && self.headed => {
                    self.note("the last line is torn off and left out");
                }
                Err(why) if self.damage == Damage::PassOver => {
                    self.decoder.lost();
                    if !core::mem::replace(&mut self.lost, true) {
                        self.note(&format!("{why}; left out up to the next line that begins anew"));
                    }
                }
                Err(why) => {
                    self.ended = true;
                    return Err(TraceError::Line { name: self.name.clone(), line: self.line, why });
                }
            }
        }
        if !self.headed && self.damage == Damage::Refuse {
            self.headed = true;
            let why = "it is empty; a trace begins with {\"trace\":\"agentd/trace/v1\"}".to_owned();
            return Err(TraceError::Line { name: self.name.clone(), line: 1, why });
        }
        Ok(None)
    }

    fn understand(&mut self) -> Result<Option<Record>, String> {
        if self.bytes.len() > MOST_LINE {
            self.ended = true;
            return Err(format!("it is longer than {} KiB", MOST_LINE / 1024));
        }
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let json = if line::is_framed(bytes) {
            line::payload(bytes).ok_or("its checksum is wrong: it is damaged")?
        } else {
            core::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?
        };
        let parsed: Line = serde_json::from_str(json).map_err(|error| placed(&error))?;
        if !self.headed && !matches!(parsed, Line::Header(_)) {
            return Err("the first line is no header: a trace begins with \
                        {\"trace\":\"agentd/trace/v1\"}"
                .to_owned());
        }
        self.headed = true;
        self.decoder.record(parsed)
    }

    fn note(&mut self, what: &str) {
        /// More notes than this help nobody.
        const MOST: usize = 20;
        if self.notes.len() < MOST {
            self.notes.push(format!("{}:{}: {what}", self.name, self.line));
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}

/// An error of JSON with its column; the line is the trace's own.
fn placed(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    if error.column() == 0 { what.to_owned() } else { format!("column {}: {what}", error.column()) }
}

/// The files of the agent's recording that tell of the last `since` before `wall_ms`, the oldest first.
pub fn recorded(
    folder: &Path,
    since: Option<Duration>,
    wall_ms: i64,
) -> Result<Vec<PathBuf>, TraceError> {
    let fail = |cause| TraceError::Io { name: folder.display().to_string(), cause };
    // Unlike a folder that is not there, one that may not be entered is an error.
    if let Err(error) = std::fs::read_dir(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(fail(error));
    }
    let files = shelved(folder).map_err(fail)?;
    let from_ms = since.map_or(i64::MIN, |since| {
        wall_ms.saturating_sub(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    });
    let ends = files.iter().skip(1).map(|next| next.wall_ms).chain([i64::MAX]);
    let wanted = files.iter().zip(ends).filter(|(_, end)| *end >= from_ms);
    Ok(wanted.map(|(file, _)| file.path.clone()).collect())
}
