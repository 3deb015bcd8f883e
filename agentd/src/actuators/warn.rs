//! Tells people what is about to happen, and that it was called off, on every channel at once.
//!
//! A channel is a file in `warn/` with its `SPEC`, its `new` and its `tell`, and a word in `channels!`. All of them run
//! side by side, each within its own deadline; that one fails or hangs delays no other, and no decision.

mod command;
mod motd;
mod signal;
pub(crate) mod terminals;

use core::time::Duration;

use agent_core::action::{Outcome, Warning};
use agent_core::stamp::Stamp;
use tokio::time::timeout;

use super::ActuatorSpec;
use super::text::escaped;
use crate::bus::Voice;
use crate::host::HostRoot;
use crate::host::logind::BusMode;

pub use terminals::write_from_stdin;

pub(super) const SPEC: ActuatorSpec = ActuatorSpec {
    name: "warn",
    about: "warns people on their terminals, in the message of the day, on the system bus and by a command",
    iam: &[],
    // The longest of the channels, and a little more.
    deadline: Duration::from_secs(20),
};

/// The longest text of others in a message, characters.
const BECAUSE_LIMIT: usize = 300;

/// What a channel is, for documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelSpec {
    /// Its name.
    pub name: &'static str,
    /// Whom it reaches and how, one line.
    pub about: &'static str,
    /// How long it may take.
    pub deadline: Duration,
}

/// What the channels are built from.
#[derive(Clone, Debug)]
pub(super) struct WarnSettings {
    /// Where `/dev` and `/run` are.
    pub(super) host: HostRoot,
    /// The name of this machine.
    pub(super) hostname: String,
    /// Where systemd is reached.
    pub(super) bus: BusMode,
    /// Where signals are sent.
    pub(super) voice: Voice,
    /// The command, a path or a unit.
    pub(super) command: Option<String>,
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// An action is due.
    Warned(&'a Warning),
    /// It was called off.
    CalledOff {
        /// Why, one line.
        because: &'a str,
    },
}

/// What a channel did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Whom or what it reached; none when there was nobody to reach.
    pub(crate) reached: Option<String>,
    /// Whom or what it did not reach, and why.
    pub(crate) missed: Option<String>,
}

impl Told {
    pub(crate) fn reached(whom: impl Into<String>) -> Self {
        Self { reached: Some(whom.into()), missed: None }
    }

    pub(crate) fn missed(why: impl Into<String>) -> Self {
        Self { reached: None, missed: Some(why.into()) }
    }
}

/// Lists the channels by module.
macro_rules! channels {
    ($($name:ident),+ $(,)?) => {
        /// Every channel.
        pub const CHANNELS: &[ChannelSpec] = &[$($name::SPEC),+];

        /// The channels.
        #[derive(Debug)]
        pub(super) struct Warner {
            $($name: $name::Channel,)+
        }

        impl Warner {
            /// Channels that have told nothing yet.
            pub(super) fn new(settings: &WarnSettings) -> Self {
                Self { $($name: $name::Channel::new(settings),)+ }
            }

            /// Tells it on every channel at once. The outcome says who was reached and who was not; that nobody was there
            /// to be told is fine.
            pub(super) async fn tell(&self, now: Stamp, word: &Word<'_>) -> Outcome {
                let ($($name,)+) = tokio::join!($(within(&$name::SPEC, self.$name.tell(now, word))),+);
                sum(&[$($name),+])
            }
        }
    };
}

channels! { terminals, motd, signal, command }

impl Warner {
    /// The machine came back from hibernation: whoever logs in from now on is told.
    pub(super) fn came_back(&self, now: Stamp, slept_ms: u64) -> Result<(), String> {
        self.motd.came_back(now, slept_ms)
    }

    /// Takes back what an agent that was killed left behind.
    pub(super) fn clear(&self) {
        self.motd.clear();
    }
}

/// What ran and was not counted as use, as a line of its own; none when nothing did.
fn not_counted(warning: &Warning) -> Option<String> {
    let text = warning.not_counted.as_ref()?;
    Some(format!("Not counted as use: {}", escaped(text, BECAUSE_LIMIT)))
}

async fn within(spec: &ChannelSpec, telling: impl Future<Output = Told>) -> Told {
    let late =
        || Told::missed(format!("{} took longer than {} s", spec.name, spec.deadline.as_secs()));
    timeout(spec.deadline, telling).await.unwrap_or_else(|_| late())
}

fn sum(all: &[Told]) -> Outcome {
    let join = |texts: Vec<&str>| texts.join("; ");
    let reached = join(all.iter().filter_map(|told| told.reached.as_deref()).collect());
    let missed = join(all.iter().filter_map(|told| told.missed.as_deref()).collect());
    let reached = if reached.is_empty() { "nobody".to_owned() } else { reached };
    let detail =
        if missed.is_empty() { reached } else { format!("{reached}; not reached: {missed}") };
    Outcome::Done { detail }
}

#[cfg(test)]
mod tests;
