//! Writing to many terminals without ever waiting for one.
//!
//! Anybody may open thousands of them, so only some are open at once: the agent's other files, its hooks' above all, have room beside
//! them. Where there is no room all the same it is tried again until the deadline.

use core::time::Duration;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::libc;
use tokio::time::Instant;

/// How long a terminal that takes nothing is left alone before it is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// The most terminals that are open at once. The unit of the agent allows 1,024 files (`LimitNOFILE=`).
const AT_ONCE: usize = 64;

/// Why a terminal was not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// It does not let others write (`mesg n`).
    Denied,
    /// It took nothing until the deadline.
    Stuck,
    /// It is closed, or no terminal.
    Gone,
    /// The agent had no room for one more open file, or no time left.
    NoRoom,
    /// Anything else.
    Failed,
}

impl Miss {
    /// For people.
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Denied => "it takes no messages: mesg n",
            Self::Stuck => "its output is stopped",
            Self::Gone => "it is closed",
            Self::NoRoom => "the agent had no room for one more open file",
            Self::Failed => "it cannot be written to",
        }
    }
}

/// A terminal that has not taken the whole text yet.
struct Pending {
    file: File,
    index: usize,
    written: usize,
}

/// Writes the text to all of them, the first ones first, until the deadline. One result for each, in their order.
pub(super) async fn write_all(
    paths: &[PathBuf],
    text: &[u8],
    deadline: Duration,
) -> Vec<Result<(), Miss>> {
    let until = Instant::now() + deadline;
    let mut results = vec![Err(Miss::NoRoom); paths.len()];
    let mut waiting: VecDeque<(usize, &PathBuf)> = paths.iter().enumerate().collect();
    let mut pending: Vec<Pending> = Vec::new();
    let mut end = |index: usize, end| {
        if let Some(result) = results.get_mut(index) {
            *result = end;
        }
    };
    loop {
        // Most terminals take everything at once and are closed again; one that does not keeps its place.
        while pending.len() < AT_ONCE
            && let Some((index, path)) = waiting.pop_front()
        {
            match open(path) {
                Err(Miss::NoRoom) => {
                    waiting.push_front((index, path));
                    break;
                }
                Err(miss) => end(index, Err(miss)),
                Ok(file) => {
                    let mut terminal = Pending { file, index, written: 0 };
                    if let Some(result) = terminal.write(text) {
                        end(index, result);
                    } else {
                        end(index, Err(Miss::Stuck));
                        pending.push(terminal);
                    }
                }
            }
        }
        if (pending.is_empty() && waiting.is_empty()) || Instant::now() >= until {
            return results;
        }
        tokio::time::sleep(PAUSE).await;
        pending.retain_mut(|terminal| {
            let Some(result) = terminal.write(text) else { return true };
            end(terminal.index, result);
            false
        });
    }
}

impl Pending {
    /// Writes as much as the terminal takes now; how it ended, if it did.
    fn write(&mut self, text: &[u8]) -> Option<Result<(), Miss>> {
        while let Some(rest) = text.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return None,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The other end hung up (EIO, tty_io.c).
                Err(_) => return Some(Err(Miss::Gone)),
            }
        }
        Some(Ok(()))
    }
}

/// Opens a terminal without making it ours and without ever waiting. Anything that is no character device is not opened.
fn open(path: &Path) -> Result<File, Miss> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let is_device = |metadata: std::fs::Metadata| metadata.file_type().is_char_device();
    // Looked at before it is opened, because opening a FIFO would do something; and again after, because a name can change.
    if !std::fs::metadata(path).is_ok_and(is_device) {
        return Err(Miss::Gone);
    }
    let opened = OpenOptions::new().write(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|error| match (error.kind(), error.raw_os_error()) {
        (_, Some(libc::EMFILE | libc::ENFILE)) => Miss::NoRoom,
        (ErrorKind::PermissionDenied, _) => Miss::Denied,
        (ErrorKind::NotFound, _) => Miss::Gone,
        _ => Miss::Failed,
    })?;
    if file.metadata().is_ok_and(is_device) { Ok(file) } else { Err(Miss::Gone) }
}
