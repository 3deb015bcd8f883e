//! Tells the people who are logged in what is about to happen, on every terminal of theirs.
//!
//! The text is written straight to the pseudo-terminals: no `wall`, no utmp (which newer systems do not keep), and `mesg n`
//! does not keep it away, because unsaved work is at stake. Writing moves a terminal's modification time only, so a
//! warning is never mistaken for input. A terminal that takes nothing (stopped with Ctrl-S, its reader gone) is left
//! alone at the deadline and never blocks the agent.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use agent_core::action::{Outcome, Retry, Warning};
use agent_core::stamp::Stamp;
use nix::fcntl::OFlag;
use tokio::time::Instant;

use super::ActuatorSpec;
use super::text::{escaped, rfc3339, spoken, time_of_day};
use crate::host::terminal::{Terminal, consoles, pseudo};
use crate::host::{HostRoot, users};

pub(super) const SPEC: ActuatorSpec = ActuatorSpec {
    name: "warn",
    about: "writes warnings to the terminals of the people who are logged in",
    iam: &[],
    deadline: Duration::from_secs(5),
};

/// How long all terminals together may take.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long a terminal that takes nothing is left alone before it is tried again.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest reason that is shown, characters.
const BECAUSE_LIMIT: usize = 300;

/// Writes to terminals.
#[derive(Debug)]
pub(super) struct Crier {
    host: HostRoot,
    hostname: String,
    deadline: Duration,
}

/// A terminal that has not taken the whole text yet.
struct Pending {
    file: File,
    written: usize,
}

impl Crier {
    /// A writer to the terminals below `host`.
    pub(super) fn new(host: HostRoot, hostname: &str) -> Self {
        Self { host, hostname: escaped(hostname, 64), deadline: DEADLINE }
    }

    /// The text of a warning.
    pub(super) fn warning(&self, now: Stamp, warning: &Warning) -> String {
        let because = escaped(&warning.because, BECAUSE_LIMIT);
        let memory = match warning.power {
            agent_core::action::Power::Hibernate => "Memory will be kept.",
            agent_core::action::Power::Stop => "Unsaved work will be lost.",
        };
        self.message(
            now,
            &[
                &format!(
                    "This machine will {} in {}, at {}. {memory}",
                    warning.power.verb(),
                    spoken(warning.in_ms),
                    time_of_day(warning.at_wall_ms)
                ),
                &format!("Why: {because}"),
                "To stop this: press a key, or run `agentctl hold 2h`.",
            ],
        )
    }

    /// The text that calls a warning off.
    pub(super) fn call_off(&self, now: Stamp, because: &str) -> String {
        let because = escaped(because, BECAUSE_LIMIT);
        self.message(now, &[&format!("Called off, this machine stays up: {because}")])
    }

    /// Lines as a terminal in raw mode needs them, with a bell, set apart from what stands on the screen.
    fn message(&self, now: Stamp, lines: &[&str]) -> String {
        let from = format!("Message from agentd@{} ({}):", self.hostname, rfc3339(now.wall_ms));
        let lines = lines.join("\r\n  ");
        format!("\r\n\x07{from}\r\n  {lines}\r\n\r\n")
    }

    /// Writes the text to every terminal of people. The outcome says how many took it. When nobody is logged in that
    /// is fine: there is nobody to warn.
    pub(super) async fn tell(&self, text: &str) -> Outcome {
        let terminals = match pseudo(&self.host) {
            Ok(terminals) => terminals,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => return Outcome::Failed { error: error.to_string(), retry: Retry::Never },
        };
        let mut named = terminals;
        named.extend(
            consoles(&self.host).unwrap_or_default().into_iter().filter(is_used_by_a_person),
        );
        let paths: Vec<_> = named
            .iter()
            .map(|terminal| self.host.path(&format!("/dev/{}", terminal.name)))
            .collect();
        let reached =
            write_all(paths.iter().map(AsRef::as_ref), text.as_bytes(), self.deadline).await;
        Outcome::Done { detail: format!("reached {reached} of {} terminals", paths.len()) }
    }
}

/// Login hands a console to the person who logs in, and back to root at the end. A pseudo-terminal exists only while
/// somebody has it open, so it needs no such rule (and the ones of root are people's, too).
fn is_used_by_a_person(console: &Terminal) -> bool {
    users::is_ordinary(console.uid)
}

/// Writes to all of them at once and returns how many took everything within the deadline.
async fn write_all<'a>(
    paths: impl Iterator<Item = &'a Path>,
    text: &[u8],
    deadline: Duration,
) -> usize {
    let until = Instant::now() + deadline;
    let mut pending: Vec<Pending> =
        paths.filter_map(open).map(|file| Pending { file, written: 0 }).collect();
    let mut reached = 0;
    loop {
        pending.retain_mut(|terminal| match terminal.write(text) {
            Progress::Finished => {
                reached += 1;
                false
            }
            Progress::Lost => false,
            Progress::Waits => true,
        });
        if pending.is_empty() || Instant::now() >= until {
            return reached;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How far a terminal is.
enum Progress {
    Finished,
    Waits,
    Lost,
}

impl Pending {
    /// Writes as much as the terminal takes now.
    fn write(&mut self, text: &[u8]) -> Progress {
        while let Some(rest) = text.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.file.write(rest) {
                Ok(0) => return Progress::Waits,
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Progress::Waits,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Progress::Lost,
            }
        }
        Progress::Finished
    }
}

/// Opens a terminal without making it ours and without ever waiting. Anything that is no character device is not opened.
fn open(path: &Path) -> Option<File> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let is_device = |metadata: std::fs::Metadata| metadata.file_type().is_char_device();
    // Looked at before it is opened, because opening a FIFO would do something; and again after, because a name can change.
    std::fs::metadata(path).ok().filter(|metadata| metadata.file_type().is_char_device())?;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits()).open(path).ok()?;
    file.metadata().is_ok_and(is_device).then_some(file)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, symlink};

    use agent_core::action::Power;
    use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
    use nix::sys::termios::{FlowArg, tcflow};

    use super::*;
    use crate::host::tree::Tree;

    /// A real pseudo-terminal, named in a folder that stands for the machine, so that no terminal of anybody is written to.
    struct Pty {
        master: PtyMaster,
        /// Kept open as a shell keeps it.
        slave: File,
    }

    fn pty(tree: &Tree, number: usize) -> Pty {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname_r(&master).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlag::O_NOCTTY.bits())
            .open(&name)
            .unwrap();
        let folder = tree.path("/dev/pts");
        std::fs::create_dir_all(&folder).unwrap();
        symlink(&name, folder.join(number.to_string())).unwrap();
        Pty { master, slave }
    }

    fn read(pty: &mut Pty) -> String {
        let mut buffer = [0; 8192];
        let count = pty.master.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    fn crier(tree: &Tree) -> Crier {
        let mut crier = Crier::new(tree.root(), "box");
        crier.deadline = Duration::from_millis(150);
        crier
    }

    fn now() -> Stamp {
        Stamp::new(0, 0, 1_795_262_400_000)
    }

    fn warning(power: Power, because: &str) -> Warning {
        Warning {
            power,
            in_ms: 600_000,
            at_wall_ms: 1_795_263_000_000,
            because: because.to_owned(),
        }
    }

    #[test]
    fn the_warning_says_what_when_why_and_how_to_stop_it() {
        let text =
            crier(&Tree::new()).warning(now(), &warning(Power::Hibernate, "idle for 30 minutes"));
        assert_eq!(
            text,
            "\r\n\x07Message from agentd@box (2026-11-21T12:00:00Z):\r\n  This machine will hibernate in 10 minutes, at \
             12:10:00 UTC. Memory will be kept.\r\n  Why: idle for 30 minutes\r\n  To stop this: press a key, or run \
             `agentctl hold 2h`.\r\n\r\n"
        );
        let stop = crier(&Tree::new()).warning(now(), &warning(Power::Stop, "x"));
        assert!(stop.contains("will stop") && stop.contains("will be lost"));
    }

    #[test]
    fn a_reason_cannot_steer_the_terminal() {
        let text =
            crier(&Tree::new()).warning(now(), &warning(Power::Stop, "\x1b]0;owned\x07\r\nroot#"));
        assert!(!text.contains('\x1b') && text.matches('\x07').count() == 1, "{text:?}");
        assert!(text.contains("\\u{1b}]0;owned\\u{7}\\r\\nroot#"));
        assert!(!crier(&Tree::new()).call_off(now(), "\x1b[2J").contains('\x1b'));
    }

    #[tokio::test]
    async fn every_terminal_gets_it() {
        let tree = Tree::new();
        let mut terminals = [pty(&tree, 0), pty(&tree, 7)];
        let crier = crier(&tree);
        let outcome = crier.tell(&crier.call_off(now(), "ada typed")).await;
        assert_eq!(outcome, Outcome::Done { detail: "reached 2 of 2 terminals".to_owned() });
        for pty in &mut terminals {
            assert!(read(pty).contains("Called off, this machine stays up: ada typed"));
        }
    }

    #[tokio::test]
    async fn a_warning_is_not_input() {
        let tree = Tree::new();
        let pty = pty(&tree, 0);
        let accessed =
            |pty: &Pty| pty.slave.metadata().map(|data| (data.atime(), data.atime_nsec())).unwrap();
        let before = accessed(&pty);
        crier(&tree).tell("x").await;
        assert_eq!(accessed(&pty), before);
    }

    #[tokio::test]
    async fn a_stopped_terminal_is_given_up_at_the_deadline_and_holds_up_nobody() {
        let tree = Tree::new();
        let (stopped, mut free) = (pty(&tree, 0), pty(&tree, 1));
        tcflow(&stopped.slave, FlowArg::TCOOFF).unwrap();
        let begun = std::time::Instant::now();
        let outcome = crier(&tree).tell("hello").await;
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(outcome, Outcome::Done { detail: "reached 1 of 2 terminals".to_owned() });
        assert!(read(&mut free).contains("hello"));
    }

    #[tokio::test]
    async fn what_is_no_terminal_is_not_written_to() {
        let tree = Tree::new();
        tree.file("/dev/pts/3", "untouched");
        nix::unistd::mkfifo(&tree.path("/dev/pts/4"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let outcome = crier(&tree).tell("hello").await;
        assert_eq!(outcome, Outcome::Done { detail: "reached 0 of 2 terminals".to_owned() });
        assert_eq!(std::fs::read_to_string(tree.path("/dev/pts/3")).unwrap(), "untouched");
    }

    #[tokio::test]
    async fn nobody_logged_in_is_fine() {
        let outcome = crier(&Tree::new()).tell("hello").await;
        assert_eq!(outcome, Outcome::Done { detail: "reached 0 of 0 terminals".to_owned() });
    }

    #[tokio::test]
    async fn a_terminal_that_is_gone_is_left_out() {
        let tree = Tree::new();
        drop(pty(&tree, 0));
        assert_eq!(
            write_all([tree.path("/dev/pts/0").as_ref()].into_iter(), b"x", DEADLINE).await,
            0
        );
    }
}
