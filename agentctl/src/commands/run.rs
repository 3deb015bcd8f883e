//! `run`: a hold for as long as a command runs.
//!
//! The hold is a lease that is renewed while the command lives and ends with its process. Should this program be
//! killed, the command keeps its hold until the lease runs out; should the command end in whatever way, the agent sees
//! it.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode as ProcessCode, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use agent_proto::client::Client;
use agent_proto::command::{HoldRequest, RenewRequest};
use agent_proto::limits::REASON_CHARS;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use super::Done;
use crate::cli::RunArgs;
use crate::failure::Failure;
use crate::screen::Screen;

/// How long the hold lasts without a renewal.
const LEASE: Duration = Duration::from_mins(15);

/// Between two renewals: two may fail before the lease runs out.
const RENEWAL: Duration = Duration::from_mins(5);

/// Before a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// What the command also gets when this program gets it.
const FORWARDED: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// `agentctl run`: the exit code of the command, as the shell gives it.
pub(super) fn run(client: &Client, screen: &Screen, args: &RunArgs) -> Done {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::usage("cannot run: there is no command"));
    };
    let reason = reason(args);
    // Held before the command starts, so that a command that needs the machine never runs without.
    let first = hold(client, &reason, std::process::id())?;
    let signals =
        signals().map_err(|error| Failure::local(format!("cannot watch signals: {error}")))?;
    let mut child = match Command::new(program).args(arguments).spawn() {
        Ok(child) => child,
        Err(error) => {
            end(client, screen, first);
            let name = program.to_string_lossy();
            screen.say(&format!("error: cannot run '{name}': {error}\n"));
            return Ok(ProcessCode::from(not_started(&error)));
        }
    };
    // From now on the hold belongs to the command. The first one keeps the machine up should this fail.
    let mut lease = Lease::new(client, screen, reason, child.id(), first);
    lease.hand_over();
    let status = wait(&mut child, &signals, &mut lease);
    lease.end();
    let status =
        status.map_err(|error| Failure::local(format!("cannot wait for the command: {error}")))?;
    Ok(ProcessCode::from(code(status)))
}

/// The command itself where no reason is given, within what the agent takes.
fn reason(args: &RunArgs) -> String {
    let command = || {
        let words: Vec<_> = args.command.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    };
    let text = args.reason.clone().unwrap_or_else(command);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS).collect()
}

fn hold(client: &Client, reason: &str, pid: u32) -> Result<u64, Failure> {
    let request =
        HoldRequest { for_seconds: LEASE.as_secs_f64(), reason: reason.to_owned(), pid: Some(pid) };
    client.hold(&request).map(|reply| reply.id).map_err(|error| Failure::asking("hold", &error))
}

fn end(client: &Client, screen: &Screen, hold: u64) {
    if let Err(error) = client.release(Some(hold)) {
        // It ends with the process or with its lease in any case.
        screen
            .say(&format!("warning: hold {hold} ends by itself: failed to release it: {error}\n"));
    }
}

/// The hold while the command runs.
struct Lease<'a> {
    client: &'a Client,
    screen: &'a Screen,
    reason: String,
    pid: u32,
    hold: u64,
    renew_at: Instant,
    warned: bool,
}

impl<'a> Lease<'a> {
    fn new(client: &'a Client, screen: &'a Screen, reason: String, pid: u32, hold: u64) -> Self {
        Self {
            client,
            screen,
            reason,
            pid,
            hold,
            renew_at: Instant::now() + RENEWAL,
            warned: false,
        }
    }

    /// Replaces the hold of this program by one of the command.
    fn hand_over(&mut self) {
        if let Ok(hold) = hold(self.client, &self.reason, self.pid) {
            end(self.client, self.screen, std::mem::replace(&mut self.hold, hold));
        }
    }

    /// Prolongs the hold, or makes a new one where the agent does not know it any more.
    fn renew(&mut self) {
        let request = RenewRequest { for_seconds: LEASE.as_secs_f64() };
        let renewed = match self.client.renew(self.hold, request) {
            Ok(_) => Ok(self.hold),
            Err(_) => hold(self.client, &self.reason, self.pid),
        };
        match renewed {
            Ok(hold) => {
                self.hold = hold;
                self.warned = false;
                self.renew_at = Instant::now() + RENEWAL;
            }
            Err(failure) => {
                if !self.warned {
                    self.screen.say(&format!(
                        "warning: the machine may not be held: {}\n",
                        failure.message
                    ));
                }
                self.warned = true;
                self.renew_at = Instant::now() + RETRY;
            }
        }
    }

    fn end(self) {
        end(self.client, self.screen, self.hold);
    }
}

/// Catches the signals that matter. A handler, unlike a blocked signal, is not inherited by the command (execve(2)).
fn signals() -> io::Result<Receiver<Origin>> {
    let numbers = FORWARDED.into_iter().chain([Signal::SIGCHLD]).map(|signal| signal as i32);
    let mut caught = SignalsInfo::<WithOrigin>::new(numbers)?;
    let (sender, receiver) = channel();
    std::thread::Builder::new().spawn(move || {
        for origin in caught.forever() {
            if sender.send(origin).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Waits for the end of the command, passes signals on and renews the lease.
fn wait(
    child: &mut Child,
    signals: &Receiver<Origin>,
    lease: &mut Lease<'_>,
) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        let left = lease.renew_at.saturating_duration_since(Instant::now());
        match signals.recv_timeout(left) {
            Ok(origin) => {
                if let Some(signal) = for_command(&origin) {
                    forward(child, signal);
                }
            }
            Err(RecvTimeoutError::Timeout) => lease.renew(),
            // Without signals the command still ends; only nobody passes any on.
            Err(RecvTimeoutError::Disconnected) => return child.wait(),
        }
    }
}

/// The signal to pass on, if it is one. What the terminal sends (Ctrl-C comes from the kernel) goes to the whole
/// foreground job, so the command has it already.
fn for_command(origin: &Origin) -> Option<Signal> {
    let signal = Signal::try_from(origin.signal).ok()?;
    (FORWARDED.contains(&signal) && !matches!(origin.cause, Cause::Kernel)).then_some(signal)
}

fn forward(child: &Child, signal: Signal) {
    // It has not been waited for, so its id is its own; it may have ended, and then there is nobody to tell.
    if let Ok(pid) = i32::try_from(child.id()) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// The exit code for a command that could not be started (POSIX.1-2024, XCU 2.8.2).
fn not_started(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

/// The exit code of the shell: the command's own, or 128 and the number of the signal that ended it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_shell() {
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(
            code(ExitStatus::from_raw(194 << 8)),
            194,
            "the command's own code is not ours to change"
        );
        assert_eq!(code(ExitStatus::from_raw(15)), 143);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
        assert_eq!(not_started(&io::ErrorKind::NotFound.into()), 127);
        assert_eq!(not_started(&io::ErrorKind::PermissionDenied.into()), 126);
    }

    #[test]
    fn the_reason_is_what_the_agent_takes() {
        let args = |reason: Option<&str>, command: &[&str]| RunArgs {
            reason: reason.map(str::to_owned),
            command: command.iter().map(Into::into).collect(),
        };
        assert_eq!(reason(&args(None, &["make", "-k", "test"])), "make -k test");
        assert_eq!(reason(&args(Some("run\n12"), &["make"])), "run 12");
        let long = "x".repeat(900);
        assert_eq!(reason(&args(None, &[&long])).chars().count(), REASON_CHARS);
    }

    #[test]
    fn two_renewals_may_fail() {
        assert!(RENEWAL * 3 <= LEASE);
    }
}
