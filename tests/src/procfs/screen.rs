//! A terminal with somebody in front of it: a pseudo-terminal whose other end this program holds (pty(7)).

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};

/// The most that is read at once, bytes.
const BLOCK: usize = 4096;

/// A terminal.
#[derive(Debug)]
pub(super) struct Screen {
    master: PtyMaster,
    /// Kept open as a shell keeps it: without it nothing could be written.
    _slave: File,
    path: PathBuf,
    number: u32,
    text: String,
}

impl Screen {
    /// Opens a new terminal.
    pub(super) fn open() -> io::Result<Self> {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = PathBuf::from(ptsname_r(&master)?);
        let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        let number = number.ok_or_else(|| io::Error::other("a terminal without a number"))?;
        let without_owning = OFlag::O_NOCTTY.bits();
        let slave =
            OpenOptions::new().read(true).write(true).custom_flags(without_owning).open(&path)?;
        Ok(Self { master, _slave: slave, path, number, text: String::new() })
    }

    /// The number in the real `/dev/pts`.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The real device.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that was shown so far.
    pub(super) fn read(&mut self) -> io::Result<String> {
        let mut block = [0; BLOCK];
        loop {
            match self.master.read(&mut block) {
                Ok(0) => break,
                Ok(count) => {
                    let shown = block.get(..count).unwrap_or_default();
                    self.text.push_str(&String::from_utf8_lossy(shown));
                }
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => break,
                Err(cause) => return Err(cause),
            }
        }
        Ok(self.text.clone())
    }
}
