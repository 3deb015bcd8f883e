//! The command of `idle.warn_command`: a program of root's or a systemd unit, as `idle.pre_stop` is.
//!
//! It learns from `AGENTD_EVENT` what happened: `warned`, with `AGENTD_ACTION` (`hibernate`, `stop`), `AGENTD_SECONDS_LEFT`,
//! `AGENTD_AT` (RFC 3339), `AGENTD_BECAUSE` and `AGENTD_NOT_COUNTED` (what ran and was not counted as use; may be empty); or `called-off`, with `AGENTD_BECAUSE`. A unit takes no environment, so it is
//! started for a warning only. That it fails is told and changes nothing.

use core::time::Duration;

use agent_core::action::{HookOutput, Outcome};
use agent_core::stamp::Stamp;

use super::{ChannelSpec, Told, WarnSettings, Word};
use crate::actuators::hook::{Occasion, carry_out};
use crate::actuators::text::{escaped, rfc3339};
use crate::host::logind::BusMode;

pub(super) const SPEC: ChannelSpec = ChannelSpec {
    name: "command",
    about: "runs the program or unit of idle.warn_command",
    deadline: Duration::from_secs(15),
};

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The time between SIGTERM and SIGKILL.
const KILL_AFTER: Duration = Duration::from_secs(2);
/// The longest reason that it is told, characters.
const BECAUSE_LIMIT: usize = 300;

/// Runs the command.
#[derive(Debug)]
pub(super) struct Channel {
    command: Option<String>,
    bus: BusMode,
    limit: Duration,
}

impl Channel {
    pub(super) fn new(settings: &WarnSettings) -> Self {
        Self { command: settings.command.clone(), bus: settings.bus.clone(), limit: LIMIT }
    }

    pub(super) async fn tell(&self, _now: Stamp, word: &Word<'_>) -> Told {
        let Some(command) = &self.command else { return Told::default() };
        let is_program = command.starts_with('/');
        if !is_program && matches!(word, Word::CalledOff { .. }) {
            return Told::default();
        }
        let occasion = occasion(word);
        match carry_out(&self.bus, command, None, &occasion, self.limit, KILL_AFTER).await {
            Outcome::Done { .. } | Outcome::Already { .. } => Told::reached(command.clone()),
            Outcome::Refused(refusal) => Told::missed(refusal.detail),
            Outcome::Withheld { because } => Told::missed(because),
            Outcome::Failed { error, .. } => Told::missed(HookOutput::split(&error).0),
        }
    }

    #[cfg(test)]
    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }
}

fn occasion(word: &Word<'_>) -> Occasion {
    let reason = |because: &str| ("AGENTD_BECAUSE", escaped(because, BECAUSE_LIMIT));
    match word {
        Word::Warned(warning) => Occasion {
            unit: "agentd-warned".to_owned(),
            about: "Warning command of agentd",
            environment: vec![
                ("AGENTD_EVENT", "warned".to_owned()),
                ("AGENTD_ACTION", warning.power.verb().to_owned()),
                ("AGENTD_SECONDS_LEFT", (warning.in_ms / 1000).to_string()),
                ("AGENTD_AT", rfc3339(warning.at_wall_ms)),
                reason(&warning.because),
                (
                    "AGENTD_NOT_COUNTED",
                    escaped(warning.not_counted.as_deref().unwrap_or_default(), BECAUSE_LIMIT),
                ),
            ],
        },
        Word::CalledOff { because } => Occasion {
            unit: "agentd-called-off".to_owned(),
            about: "Warning command of agentd, after a call-off",
            environment: vec![("AGENTD_EVENT", "called-off".to_owned()), reason(because)],
        },
    }
}
