//! The hook as a program.

use core::future::pending;
use core::time::Duration;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use agent_core::action::{Outcome, Retry};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User, geteuid};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::Occasion;
use super::output::Tail;
use crate::host::logind::BusMode;

/// The only path that a program is given.
pub(in crate::actuators) const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long output is still read after the program has ended, while something that it left behind keeps the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// systemd-run(1).
pub(in crate::actuators) const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";

/// Who starts the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actuators) enum Starter {
    /// The agent itself: a child with the agent's user and in its sandbox.
    Agent,
    /// systemd, as a transient unit: the program may write where it must and has its own limits.
    Systemd,
}

impl Starter {
    /// systemd where the agent is a service of it; its private socket is open to root alone.
    pub(in crate::actuators) fn here(bus: &BusMode) -> Self {
        let service = *bus == BusMode::System
            && geteuid().is_root()
            && Path::new("/run/systemd/private").exists()
            && Path::new(SYSTEMD_RUN).exists();
        if service { Self::Systemd } else { Self::Agent }
    }
}

/// Runs the program, which reads `input` where there is one. At the first of `limits` its process group is told to end,
/// and after the second it is killed.
pub(super) async fn run(
    starter: Starter,
    path: &Path,
    user: Option<&str>,
    occasion: &Occasion,
    input: Option<&str>,
    (limit, kill_after): (Duration, Duration),
) -> Outcome {
    let shown = path.display();
    let fail = |error: String| Outcome::Failed { error, retry: Retry::Never };
    let mut command = match starter {
        Starter::Agent => command(path, occasion),
        Starter::Systemd => unit(path, user, occasion, limit, kill_after),
    };
    if let (Starter::Agent, Some(user)) = (starter, user) {
        match account(user).await {
            Ok(account) => {
                command.uid(account.uid.as_raw()).gid(account.gid.as_raw()).env("HOME", account.dir)
            }
            Err(error) => return fail(format!("run the hook '{shown}' as {user}: {error}")),
        };
    }
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return fail(format!("start the hook '{shown}': {error}")),
    };
    let until = Instant::now() + limit;
    let feeding = input.zip(child.stdin.take()).map(|(input, pipe)| feed(pipe, input.to_owned()));
    let mut talk =
        Talk { out: child.stdout.take(), err: child.stderr.take(), tail: Tail::default() };
    let (status, late) = match timeout_at(until, talk.until_end(&mut child)).await {
        Ok(status) => (status, false),
        Err(_) => (stop(&mut child, &mut talk, kill_after).await, true),
    };
    if let Some(feeding) = feeding {
        // Whoever still has the pipe open has read as much as it wanted.
        feeding.abort();
    }
    let said = match talk.tail.text() {
        silence if silence.is_empty() => silence,
        words => format!(": {words}"),
    };
    match status {
        Ok(_) if late => {
            fail(format!("finish the hook '{shown}' within {} s{said}", limit.as_secs_f64()))
        }
        Ok(status) if status.success() => Outcome::Done { detail: format!("exit status 0{said}") },
        Ok(status) => fail(format!("run the hook '{shown}': {status}{said}")),
        Err(error) => fail(format!("wait for the hook '{shown}': {error}")),
    }
}

/// Writes to a program that may read slowly or not at all, without ever waiting for it here.
fn feed(mut pipe: ChildStdin, input: String) -> JoinHandle<()> {
    tokio::spawn(async move {
        // A program that does not read it all closes the pipe, which is its right.
        let _ = pipe.write_all(input.as_bytes()).await;
    })
}

fn command(path: &Path, occasion: &Occasion) -> Command {
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("PATH", PATH)
        .envs(occasion.environment.iter().map(|(name, value)| (name, value)));
    piped(&mut command);
    command
}

/// The same through systemd. It ends the unit at `limit` by itself, also when the agent is gone by then.
fn unit(
    path: &Path,
    user: Option<&str>,
    occasion: &Occasion,
    limit: Duration,
    kill_after: Duration,
) -> Command {
    let mut command = Command::new(SYSTEMD_RUN);
    command.env_clear().env("PATH", PATH);
    command.args(["--wait", "--pipe", "--quiet", "--collect", "--service-type=exec"]);
    command
        .arg(format!("--unit={}", occasion.unit))
        .arg(format!("--description={}", occasion.about));
    command.arg(format!("--property=RuntimeMaxSec={}ms", limit.as_millis()));
    command.arg(format!("--property=TimeoutStopSec={}ms", kill_after.as_millis()));
    for (name, value) in &occasion.environment {
        command.arg(format!("--setenv={name}={value}"));
    }
    if let Some(user) = user {
        command.arg(format!("--uid={user}"));
    }
    command.arg("--").arg(path);
    piped(&mut command);
    command
}

fn piped(command: &mut Command) {
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
}

/// Looks a user up. The look-up may ask a directory server, so it runs beside the loop and has a deadline.
async fn account(name: &str) -> io::Result<User> {
    let name = name.to_owned();
    let found = tokio::task::spawn_blocking(move || User::from_name(&name));
    match timeout(Duration::from_secs(5), found).await {
        Ok(Ok(Ok(Some(user)))) => Ok(user),
        Ok(Ok(Ok(None))) => Err(io::Error::new(io::ErrorKind::NotFound, "there is no such user")),
        Ok(Ok(Err(errno))) => Err(errno.into()),
        Ok(Err(_)) | Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, "the user cannot be looked up"))
        }
    }
}

/// What the program says, and through which pipes.
struct Talk {
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    tail: Tail,
}

impl Talk {
    /// Reads until the program has ended and has said everything. It may be dropped and begun again.
    async fn until_end(&mut self, child: &mut Child) -> io::Result<ExitStatus> {
        let (mut from_out, mut from_err) = ([0; 1024], [0; 1024]);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                count = piece(&mut self.out, &mut from_out) => self.tail.push(from_out.get(..count).unwrap_or_default()),
                count = piece(&mut self.err, &mut from_err) => self.tail.push(from_err.get(..count).unwrap_or_default()),
            }
        };
        let rest = async {
            while self.out.is_some() || self.err.is_some() {
                tokio::select! {
                    count = piece(&mut self.out, &mut from_out) => {
                        self.tail.push(from_out.get(..count).unwrap_or_default());
                    }
                    count = piece(&mut self.err, &mut from_err) => {
                        self.tail.push(from_err.get(..count).unwrap_or_default());
                    }
                }
            }
        };
        // What the program left running may keep the pipes open for ever; that is not waited for.
        let _ = timeout(LAST_WORDS, rest).await;
        status
    }
}

/// The next bytes of a pipe. At its end it is closed, and from then on this never returns.
async fn piece(pipe: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    let Some(open) = pipe else { return pending().await };
    match open.read(buffer).await {
        Ok(count) if count > 0 => count,
        _ => {
            *pipe = None;
            0
        }
    }
}

/// Ends the whole process group: first politely, then not.
async fn stop(child: &mut Child, talk: &mut Talk, kill_after: Duration) -> io::Result<ExitStatus> {
    // The id of the child is that of its group, and while the child is not reaped nobody else can have it.
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    // A group that is gone needs no signal.
    let send = |signal| group.map(|group| killpg(group, signal));
    send(Signal::SIGTERM);
    let polite = timeout(kill_after, talk.until_end(child)).await;
    // Also when the program has ended: its children may have ignored the word.
    send(Signal::SIGKILL);
    match polite {
        Ok(status) => status,
        Err(_) => talk.until_end(child).await,
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

    fn occasion() -> Occasion {
        Occasion {
            unit: "agentd-pre-stop",
            about: "Pre-stop hook of agentd",
            environment: vec![
                ("AGENTD_ACTION", "hibernate".to_owned()),
                ("AGENTD_SECONDS_LEFT", "90".to_owned()),
            ],
        }
    }

    #[test]
    fn systemd_gets_limit_user_environment_and_the_bare_path() {
        let minute = Duration::from_secs(90);
        let given = words(&unit(
            Path::new("/usr/local/sbin/save"),
            Some("alice"),
            &occasion(),
            minute,
            Duration::from_secs(5),
        ));
        assert_eq!(given.first().map(String::as_str), Some("/usr/bin/systemd-run"));
        for word in [
            "--wait",
            "--pipe",
            "--unit=agentd-pre-stop",
            "--property=RuntimeMaxSec=90000ms",
            "--property=TimeoutStopSec=5000ms",
            "--setenv=AGENTD_ACTION=hibernate",
            "--setenv=AGENTD_SECONDS_LEFT=90",
            "--uid=alice",
        ] {
            assert!(given.iter().any(|other| other == word), "{word} is missing in {given:?}");
        }
        assert!(given.ends_with(&["--".to_owned(), "/usr/local/sbin/save".to_owned()]));
    }

    #[test]
    fn without_the_system_bus_the_agent_starts_it_itself() {
        assert_eq!(Starter::here(&BusMode::None), Starter::Agent);
        let other = BusMode::Address("unix:path=/nowhere".to_owned());
        assert_eq!(Starter::here(&other), Starter::Agent);
        assert_eq!(words(&command(Path::new("/bin/save"), &occasion())), ["/bin/save"]);
    }
}
