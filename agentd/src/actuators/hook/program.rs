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
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::output::Tail;
use super::{Occasion, Times};
use crate::host::logind::BusMode;

/// The only path that a program is given.
pub(in crate::actuators) const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long output is still read after the program has ended, while something that it left behind keeps the pipe open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// systemd-run(1).
pub(in crate::actuators) const SYSTEMD_RUN: &str = "/usr/bin/systemd-run";

/// systemctl(1).
const SYSTEMCTL: &str = "/usr/bin/systemctl";

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

/// Runs the program, which reads `input` where there is one. When its time is over its process group, or its unit, is told
/// to end, and later it is killed. The times may come nearer while it runs.
pub(super) async fn run(
    starter: Starter,
    path: &Path,
    user: Option<&str>,
    occasion: &Occasion,
    input: Option<&str>,
    times: &mut watch::Receiver<Times>,
) -> Outcome {
    let shown = path.display();
    let fail = |error: String| Outcome::Failed { error, retry: Retry::Never };
    let mut command = match starter {
        Starter::Agent => command(path, occasion),
        Starter::Systemd => unit(path, user, occasion, *times.borrow(), Instant::now()),
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
    let feeding = input.zip(child.stdin.take()).map(|(input, pipe)| feed(pipe, input.to_owned()));
    let group = match starter {
        Starter::Agent => Whole::group(&child),
        Starter::Systemd => Whole::Unit(format!("{}.service", occasion.unit)),
    };
    let mut talk =
        Talk { out: child.stdout.take(), err: child.stderr.take(), tail: Tail::default() };
    let in_time = tokio::select! {
        biased;
        status = talk.until_end(&mut child) => Some(status),
        () = over(times, |times| times.end) => None,
    };
    let limit = { *times.borrow() };
    let limit = limit.end.saturating_duration_since(limit.from);
    let (status, late) = match in_time {
        Some(status) => (status, false),
        None => (stop(&mut child, &mut talk, &group, times).await, true),
    };
    if let Some(feeding) = feeding {
        // Whoever still has the pipe open has read as much as it wanted.
        feeding.abort();
    }
    // What it printed begins on a line of its own (`HookOutput::split`).
    let said = match talk.tail.text() {
        silence if silence.is_empty() => silence,
        words => format!("\n{words}"),
    };
    match status {
        Ok(status) if late => {
            let seconds = (limit.as_secs_f64() * 10.0).round() / 10.0;
            fail(format!("finish the hook '{shown}' within {seconds} s ({status}){said}"))
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

/// Until the time that `which` names, however often it changes.
pub(super) async fn over(times: &mut watch::Receiver<Times>, which: fn(&Times) -> Instant) {
    loop {
        let at = which(&times.borrow_and_update());
        tokio::select! {
            () = tokio::time::sleep_until(at) => return,
            changed = times.changed() => if changed.is_err() {
                // Nobody can change them any more.
                return tokio::time::sleep_until(at).await;
            },
        }
    }
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

/// How long systemd leaves the ending of a unit to the agent. If the agent is gone by then, systemd does it.
const BACKSTOP: Duration = Duration::from_millis(500);

/// The same through systemd. It ends the unit by itself when the agent is gone.
fn unit(
    path: &Path,
    user: Option<&str>,
    occasion: &Occasion,
    times: Times,
    now: Instant,
) -> Command {
    let limit = times.end.saturating_duration_since(now) + BACKSTOP;
    // Zero would mean no limit.
    let kill_after = (times.kill.saturating_duration_since(times.end)).saturating_sub(BACKSTOP);
    let kill_after = kill_after.max(Duration::from_millis(100));
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

/// Everything that belongs to the program.
enum Whole {
    /// A process group of the agent's own. None: the child is reaped already.
    Group(Option<Pid>),
    /// A unit of systemd.
    Unit(String),
}

impl Whole {
    /// The id of the child is that of its group, and while the child is not reaped nobody else can have it.
    fn group(child: &Child) -> Self {
        Self::Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    /// Sends a signal to all of it. Where nothing of it is left, that is no fault.
    fn send(&self, signal: Signal) {
        match self {
            Self::Group(group) => {
                let _ = group.map(|group| killpg(group, signal));
            }
            Self::Unit(name) => {
                // Nobody waits for it; the runtime collects what it leaves.
                let _ = signal_unit(name, signal).spawn();
            }
        }
    }
}

/// systemctl(1): the agent itself may not signal others (decision 0003), and systemd may.
fn signal_unit(name: &str, signal: Signal) -> Command {
    let mut command = Command::new(SYSTEMCTL);
    command
        .env_clear()
        .env("PATH", PATH)
        .args(["kill", "--signal", signal.as_str(), "--", name])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// How long systemd is given to report the end of a unit that was killed.
const REPORT: Duration = Duration::from_secs(1);

/// Ends the whole program: first politely, then not.
async fn stop(
    child: &mut Child,
    talk: &mut Talk,
    whole: &Whole,
    times: &mut watch::Receiver<Times>,
) -> io::Result<ExitStatus> {
    whole.send(Signal::SIGTERM);
    let polite = tokio::select! {
        biased;
        status = talk.until_end(child) => Some(status),
        () = over(times, |times| times.kill) => None,
    };
    // Also when the program has ended: its children may have ignored the word. A unit has ended with all of them.
    if matches!(whole, Whole::Group(_)) || polite.is_none() {
        whole.send(Signal::SIGKILL);
    }
    if let Some(status) = polite {
        return status;
    }
    if let Ok(status) = timeout(REPORT, talk.until_end(child)).await {
        return status;
    }
    // Only a unit comes here, perhaps because it was not there yet when it was killed, or a process that the kernel holds.
    whole.send(Signal::SIGKILL);
    if let Ok(status) = timeout(REPORT, talk.until_end(child)).await {
        return status;
    }
    Whole::group(child).send(Signal::SIGKILL);
    timeout(REPORT, child.wait()).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, "it was killed and does not end"))
    })
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
            unit: "agentd-pre-stop".to_owned(),
            about: "Pre-stop hook of agentd",
            environment: vec![
                ("AGENTD_ACTION", "hibernate".to_owned()),
                ("AGENTD_SECONDS_LEFT", "90".to_owned()),
            ],
        }
    }

    #[test]
    fn systemd_gets_limit_user_environment_and_the_bare_path() {
        let now = Instant::now();
        let times = Times::after(now, Duration::from_secs(90), Duration::from_secs(95));
        let given =
            words(&unit(Path::new("/usr/local/sbin/save"), Some("alice"), &occasion(), times, now));
        assert_eq!(given.first().map(String::as_str), Some("/usr/bin/systemd-run"));
        for word in [
            "--wait",
            "--pipe",
            "--unit=agentd-pre-stop",
            "--property=RuntimeMaxSec=90500ms",
            "--property=TimeoutStopSec=4500ms",
            "--setenv=AGENTD_ACTION=hibernate",
            "--setenv=AGENTD_SECONDS_LEFT=90",
            "--uid=alice",
        ] {
            assert!(given.iter().any(|other| other == word), "{word} is missing in {given:?}");
        }
        assert!(given.ends_with(&["--".to_owned(), "/usr/local/sbin/save".to_owned()]));
    }

    #[test]
    fn a_unit_whose_time_came_nearer_is_signalled_through_systemd() {
        assert_eq!(
            words(&signal_unit("agentd-interruption-7.service", Signal::SIGTERM)),
            [
                "/usr/bin/systemctl",
                "kill",
                "--signal",
                "SIGTERM",
                "--",
                "agentd-interruption-7.service"
            ]
        );
    }

    #[test]
    fn a_unit_without_time_left_still_has_a_limit() {
        let now = Instant::now();
        let times = Times::after(now, Duration::ZERO, Duration::ZERO);
        let given = words(&unit(Path::new("/bin/save"), None, &occasion(), times, now));
        for word in ["--property=RuntimeMaxSec=500ms", "--property=TimeoutStopSec=100ms"] {
            assert!(given.iter().any(|other| other == word), "{word} is missing in {given:?}");
        }
    }

    #[test]
    fn without_the_system_bus_the_agent_starts_it_itself() {
        assert_eq!(Starter::here(&BusMode::None), Starter::Agent);
        let other = BusMode::Address("unix:path=/nowhere".to_owned());
        assert_eq!(Starter::here(&other), Starter::Agent);
        assert_eq!(words(&command(Path::new("/bin/save"), &occasion())), ["/bin/save"]);
    }
}
