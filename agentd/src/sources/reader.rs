//! Readers of what is closed to the agent: systemd starts the agent's own program for a moment, as somebody who may read it.
//!
//! The daemon is a root without capabilities (decision 0003), to whom the files of others are closed. A reader is a
//! transient unit with the one power that its task needs, in a sandbox that is tighter than the daemon's; it prints times and
//! owners and nothing else (decision 0015). What it prints follows from what users write, so it is bounded here and
//! believed as far as it asks for care. A reader that hangs, is refused, or prints nonsense is a fault that is told; it
//! makes nothing blind.

use std::future::Future;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::BusMode;
use crate::actuators::text;
use crate::host::program::{self, SEARCH_PATH, SYSTEMD_RUN};

/// The most that a reader may print, bytes.
const MOST: usize = 1 << 20;
/// The most of a complaint that is kept, bytes and characters.
const COMPLAINT: usize = 4096;
const SHOWN: usize = 160;
/// How long a reader may take with its start. systemd ends the unit a little earlier.
const LIMIT: Duration = Duration::from_secs(6);
/// The same for the unit.
const UNIT_LIMIT: &str = "--property=RuntimeMaxSec=4s";
/// How long a reader that was told to end is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// The sandbox of every reader, with words that systemd 247 knows. Without `LogLevelMax=` each run would leave two lines in
/// the journal.
const SANDBOX: &[&str] = &[
    "LogLevelMax=warning",
    "TimeoutStopSec=1s",
    "MemoryMax=64M",
    "TasksMax=16",
    "LimitCORE=0",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateNetwork=yes",
    "IPAddressDeny=any",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "ProtectProc=invisible",
    "RestrictAddressFamilies=AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "KeyringMode=private",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
];

/// A command that prints what is closed to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// What the names of its units begin with; None: it is no unit.
    unit: Option<String>,
    words: Vec<String>,
    limit: Duration,
}

impl Reader {
    /// A reader whose units' names begin with `unit`, with these properties beside the sandbox; `verb` are the words for the agent's own program.
    /// None where systemd does not start the agent's programs.
    pub(super) fn of(
        bus: &BusMode,
        unit: &str,
        properties: &[String],
        verb: &[&str],
    ) -> Option<Self> {
        if !program::starts_by_systemd(bus) {
            return None;
        }
        let program = std::env::current_exe().ok()?;
        Some(Self::unit(unit, properties, program.to_str()?, verb))
    }

    fn unit(unit: &str, properties: &[String], program: &str, verb: &[&str]) -> Self {
        let mut words = vec![SYSTEMD_RUN.to_owned()];
        let own = ["--wait", "--pipe", "--quiet", "--collect", "--service-type=exec", UNIT_LIMIT];
        words.extend(own.map(str::to_owned));
        words.push("--description=Times of jobs for agentd".to_owned());
        let sandbox = SANDBOX.iter().map(|property| (*property).to_owned());
        let properties = sandbox.chain(properties.iter().cloned());
        words.extend(properties.map(|property| format!("--property={property}")));
        words.extend(["--", program].into_iter().chain(verb.iter().copied()).map(str::to_owned));
        Self { unit: Some(unit.to_owned()), words, limit: LIMIT }
    }

    /// What it prints; or why it does not, to be said after "failed to".
    pub(super) fn ask(&self) -> impl Future<Output = Result<Vec<u8>, String>> + Send + 'static {
        let (unit, words, limit) =
            (self.unit.as_deref().map(of_this_run), self.words.clone(), self.limit);
        async move {
            let mut words = words.into_iter();
            let mut command = Command::new(words.next().unwrap_or_default());
            command
                .args(unit.map(|unit| format!("--unit={unit}")))
                .args(words)
                .env_clear()
                .env("PATH", SEARCH_PATH)
                .current_dir("/");
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let child = command.kill_on_drop(true).spawn();
            let mut child = child.map_err(|error| format!("start a reader: {error}"))?;
            let answer = timeout(limit, listen(&mut child)).await;
            answer.unwrap_or_else(|_| Err(format!("hear a reader within {} s", limit.as_secs())))
        }
    }
}

/// The name of one run's unit. No two runs share one: systemd keeps a list of the files of transient units, and complains to the
/// journal when it finds there a name whose last unit is gone. Nothing is wrong with two that run at once.
fn of_this_run(unit: &str) -> String {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    format!("{unit}-{}-{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed))
}

/// Hears a reader to its end. What still has its pipe open after that is not waited for.
async fn listen(child: &mut Child) -> Result<Vec<u8>, String> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let heard = tokio::try_join!(keep(out, &mut said, MOST), async {
        // Complaints that are too long are of no interest.
        let _ = keep(err, &mut complaint, COMPLAINT).await;
        Ok(())
    });
    let status = match heard {
        Ok(_) => timeout(GRACE, child.wait()).await,
        Err(why) => {
            // Its end of the pipe is closed with the child's.
            let _ = child.start_kill();
            return Err(why);
        }
    };
    match status {
        Ok(Ok(status)) if status.success() => Ok(said),
        Ok(Ok(status)) => {
            let complaint = String::from_utf8_lossy(&complaint);
            let line =
                text::stripped(complaint.trim_start().lines().next().unwrap_or_default(), SHOWN);
            Err(format!("run a reader ({status}){}{line}", if line.is_empty() { "" } else { ": " }))
        }
        Ok(Err(error)) => Err(format!("wait for a reader: {error}")),
        Err(_) => Err("wait for a reader: it does not end".to_owned()),
    }
}

/// Reads a pipe to its end; more than `most` bytes are an error.
async fn keep(
    pipe: Option<impl AsyncRead + Unpin>,
    kept: &mut Vec<u8>,
    most: usize,
) -> Result<(), String> {
    let Some(pipe) = pipe else { return Ok(()) };
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let read = pipe.take(bound).read_to_end(kept).await;
    read.map_err(|error| format!("hear a reader: {error}"))?;
    if kept.len() > most { Err(format!("hear a reader: more than {most} bytes")) } else { Ok(()) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Reader {
        /// A reader that a shell stands for.
        pub(in crate::sources) fn shell(script: &str) -> Self {
            let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
            Self { unit: None, words, limit: LIMIT }
        }

        /// The same with less patience.
        pub(in crate::sources) fn within(self, limit: Duration) -> Self {
            Self { limit, ..self }
        }
    }

    #[test]
    fn the_unit_has_a_limit_a_sandbox_and_the_bare_words() {
        let properties = ["CapabilityBoundingSet=CAP_DAC_READ_SEARCH".to_owned()];
        let words =
            Reader::unit("agentd-schedules", &properties, "/usr/sbin/agentd", &["read-schedules"])
                .words;
        assert_eq!(words.first().map(String::as_str), Some("/usr/bin/systemd-run"));
        for word in [
            "--collect",
            "--property=RuntimeMaxSec=4s",
            "--property=NoNewPrivileges=yes",
            "--property=ProtectSystem=strict",
            "--property=PrivateNetwork=yes",
            "--property=SystemCallFilter=@system-service",
            "--property=SystemCallFilter=~@privileged @resources",
            "--property=CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
        ] {
            assert!(words.iter().any(|other| other == word), "{word} is missing in {words:?}");
        }
        assert!(words.ends_with(&["--", "/usr/sbin/agentd", "read-schedules"].map(str::to_owned)));
    }

    #[tokio::test]
    async fn each_run_is_a_unit_with_a_name_of_its_own() {
        let words = ["/bin/echo", "--", "read"].map(str::to_owned).to_vec();
        let reader = Reader { unit: Some("agentd-timers-1000".to_owned()), words, limit: LIMIT };
        let first = String::from_utf8(reader.ask().await.unwrap()).unwrap();
        let second = String::from_utf8(reader.ask().await.unwrap()).unwrap();
        assert!(
            first.starts_with("--unit=agentd-timers-1000-") && first.ends_with(" -- read\n"),
            "{first}"
        );
        assert_ne!(first, second);
    }

    #[test]
    fn without_systemd_there_is_none() {
        assert_eq!(Reader::of(&BusMode::None, "agentd-schedules", &[], &["read-schedules"]), None);
    }

    #[tokio::test]
    async fn what_it_prints_is_heard_and_its_complaint_is_told() {
        let said = Reader::shell("echo heard; echo beside >&2").ask().await;
        assert_eq!(said.unwrap(), b"heard\n");
        let refused =
            "printf 'Failed to start transient service unit: \\033[1mAccess denied\\n' >&2; exit 1";
        let why = Reader::shell(refused).ask().await.unwrap_err();
        assert!(why.contains("Access denied") && !why.contains('\u{1b}'), "{why}");
        let words = vec!["/nowhere/systemd-run".to_owned()];
        let missing = Reader { unit: None, words, limit: LIMIT };
        assert!(missing.ask().await.unwrap_err().starts_with("start a reader"));
    }

    #[tokio::test]
    async fn one_that_hangs_or_says_too_much_is_given_up() {
        let hangs = Reader::shell("exec sleep 60").within(Duration::from_millis(50));
        assert!(hangs.ask().await.unwrap_err().contains("within"));
        let endless = Reader::shell("exec cat /dev/zero").ask().await;
        assert!(endless.unwrap_err().contains("more than 1048576 bytes"));
        let complains = Reader::shell("yes no | head -c 1000000 >&2; echo yes").ask().await;
        assert_eq!(complains.unwrap(), b"yes\n");
    }

    #[tokio::test]
    async fn one_that_leaves_its_pipe_to_another_is_not_waited_for_longer() {
        let script = "echo times; sleep 60 & exit 0";
        let left = Reader::shell(script).within(Duration::from_millis(100)).ask().await;
        assert!(left.unwrap_err().contains("within"));
    }
}
