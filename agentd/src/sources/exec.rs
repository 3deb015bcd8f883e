//! A probe of the administrator's own: a program whose exit status says whether the machine is in use.
//!
//! The statuses are those of monitoring plug-ins (Nagios): 0 nothing, 1 in use, 2 nothing may be done to the machine now (for
//! at most a day), 3 and everything else unknown. A probe that cannot be run, takes too long or ends by a signal is
//! unknown as well, and unknown is never idle. The first line that it says is shown.
//!
//! The program runs without a shell and without arguments. It must belong to root along its whole path. Where the agent
//! is a service of systemd, systemd starts it as the transient unit `agentd-probe`, outside of the agent's sandbox and as
//! the user that is configured. It runs no more often than `every`, but always before an action.

mod probe;

use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{AsyncSource, Context, Lane, Opened, OptionKind, OptionSpec, Pending, SourceSpec};
use probe::{Plan, Said, Verdict};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "exec",
    about: "A program of your own that says by its exit status whether the machine is in use.",
    unit: "exit status",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 1.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Async,
    deadline: Duration::from_secs(2),
    options: &[
        OptionSpec {
            key: "command",
            kind: OptionKind::Text,
            default: "\"\"",
            about: "The absolute path of a program that belongs to root: exit status 0 not in use, 1 in use, 2 nothing may be done now, anything else unknown. Empty for none.",
        },
        OptionSpec {
            key: "every",
            kind: OptionKind::Duration,
            default: "\"60s\"",
            about: "The program runs no more often than this.",
        },
        OptionSpec {
            key: "timeout",
            kind: OptionKind::Duration,
            default: "\"10s\"",
            about: "A program that takes longer is killed, and its answer is unknown.",
        },
        OptionSpec {
            key: "user",
            kind: OptionKind::Text,
            default: "\"\"",
            about: "The user that the program runs as. Empty for root.",
        },
    ],
    open: |context| Opened::Async(Box::new(Exec::new(context))),
};

/// Of the time that one look may take, this much is spent on waiting for the program.
const PATIENCE: Duration = Duration::from_millis(1500);
/// A probe that forbids everything for longer is forgotten: 24 hours, in milliseconds.
const CAP_MS: u64 = 24 * 60 * 60 * 1000;
/// The defaults of the options.
const EVERY: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Exec {
    plan: Plan,
    every: Duration,
    /// Since when, and what will tell how it ended.
    running: Option<(Stamp, JoinHandle<Said>)>,
    /// When the run began whose answer this is.
    last: Option<(Stamp, Said)>,
    /// The next look must run it.
    anew: bool,
}

impl Exec {
    fn new(context: &Context) -> Self {
        let user = context.text("user");
        Self {
            plan: Plan {
                command: context.text("command").to_owned(),
                user: (!user.is_empty()).then(|| user.to_owned()),
                limit: context.duration("timeout", TIMEOUT),
                bus: context.bus.clone(),
            },
            every: context.duration("every", EVERY),
            running: None,
            last: None,
            anew: false,
        }
    }

    async fn look(&mut self, now: Stamp) -> Reading {
        if self.plan.command.is_empty() {
            return Reading::absent("no command is configured");
        }
        let due = self.last.as_ref().is_none_or(|(began, _)| now.since(*began) >= self.every);
        if self.running.is_none() && (due || self.anew) {
            self.running = Some((now, tokio::spawn(probe::run(self.plan.clone()))));
            self.anew = false;
        }
        if let Some((began, task)) = &mut self.running
            && let Ok(ended) = timeout(PATIENCE, task).await
        {
            let said = ended.unwrap_or_else(|error| Said::unknown(format!("run it: {error}")));
            self.last = Some((*began, said));
            self.running = None;
        }
        // An answer stands until the next one is due, and while that is waited for.
        let stands = self.every.saturating_add(self.plan.limit).saturating_add(PATIENCE * 2);
        match &self.last {
            Some((began, said)) if now.since(*began) <= stands => self.reading(said),
            _ => Reading::blind(format!("the probe '{}' has not answered yet", self.plan.command)),
        }
    }

    fn reading(&self, said: &Said) -> Reading {
        let command = &self.plan.command;
        let value = match &said.verdict {
            Verdict::Unused => Value::Level { value: 0.0 },
            Verdict::Used => Value::Level { value: 1.0 },
            Verdict::Forbids => Value::Blocks { cap_ms: CAP_MS },
            Verdict::Unknown(why) => {
                return Reading::blind(format!("the probe '{command}' failed to {why}"));
            }
        };
        let signal = Signal::new(command.as_str(), value);
        let owner = (!said.line.is_empty()).then(|| said.line.clone());
        Reading::Signals(vec![Signal { owner, ..signal }])
    }
}

impl AsyncSource for Exec {
    fn read(&mut self, now: Stamp) -> Pending<'_> {
        Box::pin(self.look(now))
    }

    fn refresh(&mut self) {
        self.anew = true;
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        if let Some((_, task)) = &self.running {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
