//! What the engine knows beyond its own life: the durable part, and the idle clock of this boot.

use serde::{Deserialize, Serialize};

use crate::action::{Power, Refusal};
use crate::hold::Holds;
use crate::interruption::Interruptions;
use crate::reading::SourceName;
use crate::stamp::Stamp;
use crate::verdict::LastAction;

/// Who started an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The idle policy.
    Idle,
    /// An administrator, by `agentctl stop` or `agentctl hibernate`.
    Operator,
}

/// How far the pre-stop hook of an intent came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookState {
    /// Not started.
    #[default]
    NotStarted,
    /// Saved before the hook starts: from here on it may have run, so it is never started again.
    Started,
    /// Ended, or given up.
    Ended,
    /// There is none to run.
    NotConfigured,
}

/// How far the call of an intent came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallState {
    /// Not sent.
    #[default]
    NotSent,
    /// Saved before the call is sent: from here on it may have been carried out.
    Sent,
    /// EC2 accepted it.
    Accepted,
}

/// An action that was decided and is not closed yet. It is on disk before its hook or its call starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Hibernate or stop.
    pub power: Power,
    /// Who started it.
    pub origin: Origin,
    /// Why, one line.
    pub because: String,
    /// What ran and was not counted, one line; none when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
    /// When it was decided.
    pub since: Stamp,
    /// The hook.
    pub hook: HookState,
    /// The call.
    pub call: CallState,
}

/// A refusal that EC2 gave to a call; it stands until it expires, whatever preflight says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// What was refused.
    pub power: Power,
    /// Why.
    pub refusal: Refusal,
    /// When it is forgotten.
    pub until: Stamp,
}

/// The durable part: `state.json`. It is saved before any destructive action runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The holds.
    pub holds: Holds,
    /// The open intent.
    pub intent: Option<Intent>,
    /// The last action.
    pub last_action: Option<LastAction>,
    /// Actions that failed one after the other; each doubles the idle time before the next.
    pub failures: u32,
    /// Idleness before this moment of this boot counts no more: an action was tried then.
    #[serde(default)]
    pub idle_from: Option<Stamp>,
    /// Refusals of EC2.
    pub refusals: Vec<Standing>,
    /// Keys below this one may have been given already.
    pub next_key: u64,
    /// How the machine came back after stops of the agent's own, the oldest first.
    #[serde(default)]
    pub cycles: Vec<Cycle>,
    /// When it came back on this boot, if it did after a stop of the agent's own.
    #[serde(default)]
    pub came_back: Option<Stamp>,
    /// What EC2 announced.
    #[serde(default)]
    pub interruptions: Interruptions,
}

/// A stop of the agent's own, and what came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// When the machine was back, wall milliseconds since 1970.
    pub back_wall_ms: i64,
    /// A person touched it soon after that.
    pub person: bool,
}

/// The idle clock: kept in `/run`, so that it dies with the boot. It is saved after every round of readings, and before
/// the durable part whenever that is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdleClock {
    /// When it was saved.
    pub at: Stamp,
    /// Known idleness at that time, milliseconds.
    pub quiet_ms: u64,
    /// Since when a source was blind, if one was.
    #[serde(default)]
    pub blind_from: Option<Stamp>,
    /// When the machine was last resumed.
    pub resumed_at: Option<Stamp>,
    /// When the open intent was decided, if one was open: the durable part may tell of one that is long closed, when its
    /// end could not be saved.
    #[serde(default)]
    pub intent: Option<Stamp>,
    /// A person was seen on this boot.
    #[serde(default)]
    pub people: bool,
    /// The marks (terminals) that were known: source, subject, mark.
    pub marks: Vec<(SourceName, String, u64)>,
}

/// What an earlier run of the agent left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The durable part; none on a first start or when it was corrupt.
    pub memory: Option<Memory>,
    /// The durable part was saved on this boot (same `boot_id`).
    pub same_boot: bool,
    /// The idle clock, if it was saved on this boot.
    pub clock: Option<IdleClock>,
}
