//! The message of the day: what somebody reads who logs in while a countdown runs, or after a hibernation.
//!
//! `pam_motd(8)` shows every file of `/run/motd.d`, on Debian and Ubuntu at every login by ssh and on a console. The files
//! are replaced in one step, so that nobody reads half of one, and they die with the boot.

use core::time::Duration;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use agent_core::action::{Power, Warning};
use agent_core::stamp::Stamp;

use super::{ChannelSpec, Told, WarnSettings, Word, not_counted};
use crate::actuators::text::{escaped, rfc3339, spoken};

pub(super) const SPEC: ChannelSpec = ChannelSpec {
    name: "motd",
    about: "tells whoever logs in meanwhile, in the message of the day (/run/motd.d)",
    deadline: Duration::from_secs(1),
};

/// The folder that `pam_motd(8)` reads.
const FOLDER: &str = "/run/motd.d";
/// While a countdown runs.
const COUNTDOWN: &str = "50-agentd";
/// After a hibernation, for the rest of the boot.
const BACK: &str = "40-agentd-back";

/// Writes messages of the day.
#[derive(Debug)]
pub(super) struct Channel {
    folder: PathBuf,
}

impl Channel {
    pub(super) fn new(settings: &WarnSettings) -> Self {
        Self { folder: settings.host.path(FOLDER) }
    }

    #[expect(clippy::unused_async, reason = "every channel is asked in the same way")]
    pub(super) async fn tell(&self, _now: Stamp, word: &Word<'_>) -> Told {
        if !self.folder.is_dir() {
            // A machine whose logins show no such messages.
            return Told::default();
        }
        match word {
            Word::Warned(warning) => match self.write(COUNTDOWN, &countdown(warning)) {
                Ok(()) => Told::reached("the message of the day"),
                Err(error) => Told::missed(format!("the message of the day ({error})")),
            },
            Word::CalledOff { .. } => match self.remove(COUNTDOWN) {
                Ok(true) => Told::reached("the message of the day"),
                Ok(false) => Told::default(),
                Err(error) => Told::missed(format!("the message of the day ({error})")),
            },
        }
    }

    /// Tells of a hibernation until the next boot.
    pub(super) fn came_back(&self, now: Stamp, slept_ms: u64) -> Result<(), String> {
        if !self.folder.is_dir() {
            return Ok(());
        }
        let after = match slept_ms {
            0 => String::new(),
            ms => format!(", after {}", spoken(ms)),
        };
        let text = format!(
            "agentd: this machine came back from hibernation at {}{after}. See 'agentctl events'.\n",
            rfc3339(now.wall_ms)
        );
        // The countdown that led to it is over.
        self.clear();
        self.write(BACK, &text).map_err(|error| {
            format!("write the message of the day '{}': {error}", self.folder.join(BACK).display())
        })
    }

    /// Takes back a countdown of an agent that was killed.
    pub(super) fn clear(&self) {
        // What cannot be removed is replaced by the next countdown, or dies with the boot.
        let _ = self.remove(COUNTDOWN);
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let fresh = self.folder.join(format!(".{name}.new"));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&fresh)?;
        // Everybody who logs in reads it, whatever the agent's umask is.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&fresh, self.folder.join(name))
    }

    fn remove(&self, name: &str) -> io::Result<bool> {
        match fs::remove_file(self.folder.join(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn countdown(warning: &Warning) -> String {
    let memory = match warning.power {
        Power::Hibernate => "Memory would be kept.",
        Power::Stop => "Unsaved work would be lost.",
    };
    let not_counted = not_counted(warning).map(|line| format!("{line}\n")).unwrap_or_default();
    format!(
        "agentd: nobody used this machine, so it is to {} at {}. {memory}\nWhy: {}\n{not_counted}A session with a terminal calls that \
         off. To keep the machine up for longer: agentctl hold 2h\n",
        warning.power.verb(),
        rfc3339(warning.at_wall_ms),
        escaped(&warning.because, 300),
    )
}
