//! What the shell is asked to do about an interruption.

use serde::{Deserialize, Serialize};

use super::HookRun;
use crate::action::Key;

/// One hook to run, [`crate::action::ActionKind::Drain`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookOrder {
    /// The alert.
    pub alert: String,
    /// The hook as it is configured: an absolute path, `UNIT.service`, `start UNIT` or `stop UNIT`.
    pub hook: String,
    /// Its place in the drain, from 0.
    pub index: u32,
    /// `AGENTD_EVENT`.
    pub event: String,
    /// `AGENTD_ACTION`.
    pub action: String,
    /// `AGENTD_DEADLINE`: when EC2 acts, wall milliseconds since 1970.
    pub deadline_wall_ms: i64,
    /// `AGENTD_SECONDS_LEFT`, in milliseconds.
    pub left_ms: u64,
    /// From now until it is told to end (SIGTERM), milliseconds.
    pub end_in_ms: u64,
    /// From now until it is killed (SIGKILL), milliseconds.
    pub kill_in_ms: u64,
    /// A drill: `AGENTD_DRILL=1`.
    pub drill: bool,
    /// What a hook did is undone: nobody waits for it and nothing follows from its end.
    pub undo: bool,
}

/// A deadline that moved while a hook runs, [`crate::action::ActionKind::Hurry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hurry {
    /// The key of the hook's action.
    pub hook: Key,
    /// From now until it is told to end, milliseconds.
    pub end_in_ms: u64,
    /// From now until it is killed, milliseconds.
    pub kill_in_ms: u64,
}

/// What is asked of Auto Scaling, [`crate::action::ActionKind::AutoScaling`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupCall {
    /// The drain goes on (`RecordLifecycleActionHeartbeat`).
    Heartbeat,
    /// The drain is over (`CompleteLifecycleAction` with `CONTINUE`).
    Complete,
    /// Take the instance out of service, so that it can be stopped (`EnterStandby`).
    EnterStandby,
    /// Put it back (`ExitStandby`).
    ExitStandby,
}

/// What is told to people and programs, [`crate::action::ActionKind::Notify`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Which moment of the alert this is.
    pub moment: Moment,
    /// The alert's id.
    pub alert: String,
    /// `AGENTD_EVENT`.
    pub event: String,
    /// `AGENTD_ACTION`.
    pub action: String,
    /// The notice for people.
    pub what: String,
    /// When EC2 acts, wall milliseconds since 1970, where it says so.
    pub deadline_wall_ms: Option<i64>,
    /// How far away that is, milliseconds.
    pub left_ms: Option<u64>,
    /// One line for people: what will happen, or what happened.
    pub because: String,
    /// A drill: nothing happens to the instance.
    pub drill: bool,
    /// The hooks, where they ran.
    pub hooks: Vec<HookRun>,
}

/// The moments of an alert at which somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// It was read.
    Noticed,
    /// The hooks have ended.
    Drained,
    /// EC2 took it back, or it expired.
    Withdrawn,
    /// The machine is back after it.
    CameBack,
    /// Nothing happened.
    NeverCame,
}

impl Moment {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noticed => "noticed",
            Self::Drained => "drained",
            Self::Withdrawn => "withdrawn",
            Self::CameBack => "came-back",
            Self::NeverCame => "never-came",
        }
    }
}
