//! Runs the pre-stop hook: a program of root's, or a systemd unit.
//!
//! The program is executed as it is, without a shell and without arguments, in a clean environment. Where the agent is a
//! service of systemd, systemd starts it as a transient unit, outside the agent's sandbox (decision 0003); elsewhere it is
//! a child in its own process group. Nothing of it outlives its time. It learns what it is for from `AGENTD_EVENT` (`idle`),
//! `AGENTD_ACTION` (`hibernate`, `stop`), `AGENTD_DEADLINE` (RFC 3339) and `AGENTD_SECONDS_LEFT`.

mod guard;
mod output;
pub(super) mod program;
pub(super) mod unit;

use core::time::Duration;
use std::path::PathBuf;

use agent_core::action::{Outcome, Power, Refusal};
use agent_core::stamp::Stamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ActuatorSpec;
use super::text::rfc3339;
use crate::host::logind::BusMode;

pub(super) const SPEC: ActuatorSpec = ActuatorSpec {
    name: "hook",
    about: "runs the pre-stop hook before the instance is hibernated or stopped",
    iam: &[],
    deadline: Duration::from_secs(10),
};

/// The time between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(5);

/// The pre-stop hook as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSettings {
    /// An absolute path, or the name of a `.service` unit. A unit should be `Type=oneshot`: the hook is over when its
    /// start job is.
    pub command: String,
    /// How long it may take, systemd's answer included, until it is told to end.
    pub timeout: Duration,
    /// Who runs the program; none is root. Not used for a unit, which has its own `User=`.
    pub user: Option<String>,
}

/// What a program is run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occasion {
    /// The unit that systemd makes of it, without `.service`. While one runs, a second one of the same name cannot start.
    pub(crate) unit: String,
    /// The unit's description.
    pub(crate) about: &'static str,
    /// What it is told.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// When a program that still runs is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Its time began.
    pub(super) from: Instant,
    /// It is told to end (SIGTERM).
    pub(super) end: Instant,
    /// It is killed (SIGKILL).
    pub(super) kill: Instant,
}

impl Times {
    /// So long after `now`.
    pub(super) fn after(now: Instant, end: Duration, kill: Duration) -> Self {
        Self { from: now, end: now + end, kill: now + kill.max(end) }
    }

    /// With the earlier of both ends, each by itself.
    pub(super) fn earlier(self, other: Self) -> Self {
        Self { end: self.end.min(other.end), kill: self.kill.min(other.kill), ..self }
    }
}

/// The hook.
#[derive(Debug)]
pub(super) struct Hook {
    settings: HookSettings,
    bus: BusMode,
    kill_after: Duration,
}

impl Hook {
    /// A hook that has not run.
    pub(super) fn new(settings: HookSettings, bus: BusMode) -> Self {
        Self { settings, bus, kill_after: KILL_AFTER }
    }

    /// Runs it to its end, or ends it. Exit status 0 is `Done`; everything else is `Failed` and is never tried again:
    /// a hook runs at most once.
    pub(super) async fn run(&self, now: Stamp, power: Power) -> Outcome {
        let HookSettings { command, timeout, user } = &self.settings;
        let occasion = Occasion {
            unit: "agentd-pre-stop".to_owned(),
            about: "Pre-stop hook of agentd",
            environment: vec![
                ("AGENTD_EVENT", "idle".to_owned()),
                ("AGENTD_ACTION", power.verb().to_owned()),
                ("AGENTD_DEADLINE", rfc3339(now.after(*timeout).wall_ms)),
                ("AGENTD_SECONDS_LEFT", timeout.as_secs().to_string()),
            ],
        };
        carry_out(&self.bus, command, user.as_deref(), &occasion, *timeout, self.kill_after).await
    }
}

/// Runs a program that only root can have changed, or starts a unit, within `limit`.
pub(super) async fn carry_out(
    bus: &BusMode,
    command: &str,
    user: Option<&str>,
    occasion: &Occasion,
    limit: Duration,
    kill_after: Duration,
) -> Outcome {
    carry_out_with(bus, command, user, occasion, None, (limit, kill_after)).await
}

/// The same for a program that reads `input` on its standard input. `limits` are the time until SIGTERM and from there to
/// SIGKILL.
pub(crate) async fn carry_out_with(
    bus: &BusMode,
    command: &str,
    user: Option<&str>,
    occasion: &Occasion,
    input: Option<&str>,
    limits: (Duration, Duration),
) -> Outcome {
    let (limit, kill_after) = limits;
    let times = Times::after(Instant::now(), limit, limit + kill_after);
    let (_fixed, mut times) = watch::channel(times);
    if command.starts_with('/') {
        return run_program(bus, command, user, occasion, input, &mut times).await;
    }
    if !unit::is_unit(command, ".service") {
        return refused(format!(
            "the hook '{command}' is neither an absolute path nor the name of a .service unit"
        ));
    }
    let systemd = unit::Systemd::default();
    // A future of its own, so that those of programs, of which many run, stay small.
    Box::pin(systemd.run(bus, (unit::Job::Start, command), &mut times)).await
}

/// Runs a program that only root can have changed, until its times are over; they may come nearer.
pub(super) async fn run_program(
    bus: &BusMode,
    command: &str,
    user: Option<&str>,
    occasion: &Occasion,
    input: Option<&str>,
    times: &mut watch::Receiver<Times>,
) -> Outcome {
    let path = PathBuf::from(command);
    if let Err(detail) = guard::inspect(&path) {
        return refused(detail);
    }
    program::run(program::Starter::here(bus), &path, user, occasion, input, times).await
}

pub(super) fn refused(detail: String) -> Outcome {
    Outcome::Refused(Refusal { code: "hook-unsafe".to_owned(), detail, hibernation_only: false })
}

#[cfg(test)]
pub(super) mod tests;
