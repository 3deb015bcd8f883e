//! One run of the probe.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::actuators::text;
use crate::host::logind::BusMode;
use crate::host::program::{self, SEARCH_PATH, SYSTEMD_RUN};

/// The unit of a program that systemd starts. One name: a second one cannot start while one runs.
const UNIT: &str = "agentd-probe";
/// The most of what it says that is kept, bytes.
const KEPT: usize = 4096;
/// The most of its first line that is shown, characters.
const SHOWN: usize = 200;
/// How long output is still read after the program has ended, while something that it left behind keeps the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// systemd ends the unit by itself; only if it does not, its client is killed so much later.
const GRACE: Duration = Duration::from_secs(2);

/// What is to be run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The program.
    pub(super) command: String,
    /// As whom; none is root.
    pub(super) user: Option<String>,
    /// For how long at most.
    pub(super) limit: Duration,
    /// Which message bus there is: systemd starts the program where it can.
    pub(super) bus: BusMode,
}

/// What its exit status means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 0.
    Unused,
    /// 1.
    Used,
    /// 2.
    Forbids,
    /// Everything else, and why, to be said after "failed to".
    Unknown(String),
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// Its exit status.
    pub(super) verdict: Verdict,
    /// The first line that it said, made harmless.
    pub(super) line: String,
}

impl Said {
    /// Nothing that can be used.
    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown(why.into()), line: String::new() }
    }
}

/// Runs the program to its end, or kills it.
pub(super) async fn run(plan: Plan) -> Said {
    let path = PathBuf::from(&plan.command);
    // On a thread of its own: the path may lie on a file system that hangs.
    let checked = tokio::task::spawn_blocking(move || program::inspect(&path, "probe"));
    match checked.await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => return Said::unknown(format!("be safe: {why}")),
        Err(error) => return Said::unknown(format!("be looked at: {error}")),
    }
    let by_systemd = program::starts_by_systemd(&plan.bus);
    let mut command = match command(&plan, by_systemd).await {
        Ok(command) => command,
        Err(error) => return Said::unknown(format!("find its user: {error}")),
    };
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Said::unknown(format!("start: {error}")),
    };
    let limit = if by_systemd { plan.limit.saturating_add(GRACE) } else { plan.limit };
    watch(child, limit, by_systemd).await
}

async fn watch(mut child: Child, limit: Duration, by_systemd: bool) -> Said {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut said = (Vec::new(), Vec::new());
    let ended = async {
        // The pipes are read beside the waiting, so that a talkative program does not block.
        let talk = async { tokio::join!(keep(out, &mut said.0), keep(err, &mut said.1)) };
        tokio::pin!(talk);
        let mut silent = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                _ = &mut talk, if !silent => silent = true,
            }
        };
        // What the program left running may keep the pipes open for ever; that is not waited for.
        if !silent {
            let _ = timeout(LAST_WORDS, talk).await;
        }
        status
    };
    let Ok(status) = timeout(limit, ended).await else {
        // The child was not reaped yet, so nobody else can have its number.
        if let Some(group) = group {
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = timeout(GRACE, child.wait()).await;
        return Said::unknown(format!("end within {} s", limit.as_secs_f64()));
    };
    judge(status, &said.0, &said.1, by_systemd)
}

fn judge(status: io::Result<ExitStatus>, out: &[u8], err: &[u8], by_systemd: bool) -> Said {
    let line = first_line(if out.trim_ascii().is_empty() { err } else { out });
    let status = match status {
        Ok(status) => status,
        Err(error) => return Said::unknown(format!("be waited for: {error}")),
    };
    // systemd-run ends with 1 as well when it cannot start the unit; the program then said nothing.
    let never_ran = by_systemd && out.is_empty() && err.starts_with(b"Failed to ");
    let verdict = match status.code() {
        Some(1) if never_ran => Verdict::Unknown(format!("start: {line}")),
        Some(0) => Verdict::Unused,
        Some(1) => Verdict::Used,
        Some(2) => Verdict::Forbids,
        _ if line.is_empty() => Verdict::Unknown(format!("tell ({status})")),
        _ => Verdict::Unknown(format!("tell ({status}): {line}")),
    };
    Said { verdict, line }
}

/// The first line without what monitoring systems put behind a bar.
fn first_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let line = text.trim_start().lines().next().unwrap_or_default();
    text::stripped(line.split('|').next().unwrap_or_default(), SHOWN)
}

async fn command(plan: &Plan, by_systemd: bool) -> io::Result<Command> {
    let mut command;
    if by_systemd {
        command = Command::new(SYSTEMD_RUN);
        command.args(["--wait", "--pipe", "--quiet", "--collect", "--service-type=exec"]);
        command.arg(format!("--unit={UNIT}")).arg("--description=Probe of agentd");
        command.arg(format!("--property=RuntimeMaxSec={}ms", plan.limit.as_millis()));
        command.arg("--property=TimeoutStopSec=1s").arg("--setenv=AGENTD_EVENT=probe");
        command.args(plan.user.iter().map(|user| format!("--uid={user}")));
        command.arg("--").arg(&plan.command).env_clear();
    } else {
        command = Command::new(&plan.command);
        command.env_clear().env("AGENTD_EVENT", "probe");
        if let Some(user) = &plan.user {
            let account = account(user).await?;
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw()).env("HOME", account.dir);
        }
    }
    command
        .env("PATH", SEARCH_PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

async fn account(name: &str) -> io::Result<User> {
    let name = name.to_owned();
    match tokio::task::spawn_blocking(move || User::from_name(&name)).await {
        Ok(Ok(Some(user))) => Ok(user),
        Ok(Ok(None)) => Err(io::Error::new(io::ErrorKind::NotFound, "there is no such user")),
        Ok(Err(errno)) => Err(errno.into()),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Reads a pipe to its end and keeps the beginning.
async fn keep(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = [0; 1024];
    while let Ok(count) = pipe.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(count.min(room)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> Vec<String> {
        let command = command.as_std();
        let all = std::iter::once(command.get_program()).chain(command.get_args());
        all.map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn systemd_gets_limit_user_and_the_bare_path() {
        let plan = Plan {
            command: "/usr/local/sbin/in-use".to_owned(),
            user: Some("alice".to_owned()),
            limit: Duration::from_secs(7),
            bus: BusMode::System,
        };
        let given = words(&command(&plan, true).await.unwrap());
        assert_eq!(given.first().map(String::as_str), Some("/usr/bin/systemd-run"));
        for word in ["--wait", "--unit=agentd-probe", "--property=RuntimeMaxSec=7000ms", "--uid=alice"] {
            assert!(given.iter().any(|other| other == word), "{word} is missing in {given:?}");
        }
        assert!(given.ends_with(&["--".to_owned(), "/usr/local/sbin/in-use".to_owned()]));
    }

    #[test]
    fn only_a_harmless_first_line_is_kept() {
        assert_eq!(first_line(b"\nIN USE - 3 jobs | jobs=3\nmore"), "IN USE - 3 jobs");
        let line = first_line(format!("\u{1b}[31m{}", "x".repeat(500)).as_bytes());
        assert!(line.chars().count() == 200 && !line.contains('\u{1b}'), "{line}");
    }
}
