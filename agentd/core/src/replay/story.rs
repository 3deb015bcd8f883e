//! What a replay tells.

use serde::{Deserialize, Serialize};

use super::Use;
use crate::action::Power;
use crate::reason::Event;
use crate::stamp::Stamp;

/// What happened in a replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Happening {
    /// When, on the clocks of the recorded machine.
    pub at: Stamp,
    /// What.
    pub what: What,
}

/// The kinds of what happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum What {
    /// The engine told of something: quiet, warned, called off, would act, a source became blind …
    Told(Event),
    /// EC2 was asked, and accepted: the machine would be down from here on.
    Acted {
        /// To do what.
        power: Power,
        /// Why, one line.
        because: String,
        /// For how long nothing had been used, milliseconds.
        idle_ms: u64,
        /// What ran and was not counted, one line; none when nothing did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_counted: Option<String>,
    },
    /// The first use that the trace shows after an action: somebody would have had to start the machine again.
    UsedAgain(Use),
    /// An agent started in the trace. No other boot than before: the agent alone was restarted.
    Booted {
        /// The boot's id.
        id: String,
        /// Whether it is another boot than before.
        fresh: bool,
    },
    /// An administrator asked for this in the trace. It is no doing of the policy, so it is only told.
    Asked {
        /// For what.
        power: Power,
        /// Who.
        by: String,
    },
}

/// What comes after an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    /// The replay is over.
    #[default]
    End,
    /// The machine is down until the trace shows a use, a boot or a resume; then it goes on as after a resume.
    GoOn,
}

/// A time in which the machine would have been down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Down {
    /// What was done.
    pub power: Power,
    /// Since when.
    pub from: Stamp,
    /// Until when; none while it lasts.
    pub until: Option<Stamp>,
    /// For so many milliseconds of it the recorded machine was up and awake: that is what would have been saved.
    pub saved_ms: u64,
    /// Every use that the trace shows in the ten minutes after the action, and what was in use when it came: what the
    /// action would have interrupted.
    pub interrupted: Vec<Use>,
}
