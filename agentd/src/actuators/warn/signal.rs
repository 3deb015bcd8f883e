//! The system bus: the signals `IdleWarning` and `CalledOff` of `org.agentd.Agent1`, for desktops and other programs.

use core::time::Duration;

use agent_core::action::Warning;
use agent_core::stamp::Stamp;

use super::{ChannelSpec, Told, WarnSettings, Word};
use crate::actuators::text::stripped;
use crate::bus::{Spoken, Voice};

pub(super) const SPEC: ChannelSpec = ChannelSpec {
    name: "signal",
    about: "tells programs by a signal of org.agentd.Agent1 on the system bus",
    deadline: Duration::from_secs(1),
};

/// The longest reason that is sent, characters.
const BECAUSE_LIMIT: usize = 300;

/// Sends signals.
#[derive(Debug)]
pub(super) struct Channel {
    voice: Voice,
}

/// The reason, and what ran and was not counted: the signature of the signal has no other place for it.
fn reason(warning: &Warning) -> String {
    let because = stripped(&warning.because, BECAUSE_LIMIT);
    match &warning.not_counted {
        Some(text) => format!("{because}; not counted: {}", stripped(text, BECAUSE_LIMIT)),
        None => because,
    }
}

impl Channel {
    pub(super) fn new(settings: &WarnSettings) -> Self {
        Self { voice: settings.voice.clone() }
    }

    pub(super) async fn tell(&self, now: Stamp, word: &Word<'_>) -> Told {
        let spoken = match word {
            Word::Warned(warning) => Spoken::IdleWarning {
                action: warning.power.verb(),
                seconds_left: warning.in_ms / 1000,
                at_wall_usec: now
                    .wall_ms
                    .saturating_add_unsigned(warning.in_ms)
                    .saturating_mul(1000),
                because: reason(warning),
            },
            Word::CalledOff { because } => {
                Spoken::CalledOff { because: stripped(because, BECAUSE_LIMIT) }
            }
        };
        match self.voice.say(&spoken).await {
            Ok(true) => Told::reached("the system bus"),
            Ok(false) => Told::default(),
            Err(error) => Told::missed(format!("the system bus ({error})")),
        }
    }
}
