//! What the engine makes of a notice, and keeps until it has passed.

use serde::{Deserialize, Serialize};

use super::{Notice, TargetState};
use crate::stamp::Stamp;

/// How far one hook of a drain came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Its turn has not come.
    #[default]
    Waiting,
    /// Saved before it starts: from here on it may have run, so it is never started again.
    Started,
    /// It ended well.
    Done,
    /// It failed, took too long or was refused.
    Failed,
    /// It was started by an earlier run of the agent, and nobody saw its end.
    Lost,
    /// There was no time left for it, or the drain ended before.
    Skipped,
}

impl RunState {
    /// The word for people and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Lost => "lost",
            Self::Skipped => "skipped",
        }
    }
}

/// One hook of a drain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookRun {
    /// As it is configured.
    pub hook: String,
    /// How far it came.
    pub state: RunState,
    /// When it was started.
    pub started: Option<Stamp>,
    /// How long it took, milliseconds.
    pub took_ms: Option<u64>,
    /// Its exit status and the end of its output.
    pub detail: String,
}

/// The hooks of one alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// When it began.
    pub since: Stamp,
    /// When a hook that still runs is told to end (SIGTERM).
    pub end_at: Stamp,
    /// When it is killed (SIGKILL).
    pub kill_at: Stamp,
    /// The hooks, in order.
    pub runs: Vec<HookRun>,
    /// When the last of them ended.
    pub ended: Option<Stamp>,
}

/// A notice that was seen, until it has passed. It is kept over restarts and over a reboot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What makes it the same ([`Notice::id`]).
    pub id: String,
    /// What is announced.
    pub notice: Notice,
    /// An administrator's drill: nothing happens to the instance.
    pub drill: bool,
    /// When it was first seen.
    pub seen: Stamp,
    /// When it was last read with another time than before.
    pub last_seen: Stamp,
    /// When it is due, on this boot's clock and, for people, on the wall as EC2 said it. It only moves earlier.
    pub due: Option<Stamp>,
    /// It was long past when it was first read: it is shown and nothing is done.
    pub stale: bool,
    /// The hooks, once they are run for it.
    pub drain: Option<Drain>,
    /// Its hooks ran for another alert a moment before, which this is part of.
    pub joined: Option<String>,
    /// Auto Scaling was told that the instance may go, or needs not be told.
    pub completed: bool,
}

/// How an alert ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertEnd {
    /// The machine was down, and has booted again.
    StartedAgain,
    /// The machine was hibernated, and was resumed with its memory.
    Resumed,
    /// EC2 took it back, or its time has passed and nothing happened.
    NeverCame,
    /// EC2 cancelled it, or it was completed.
    Withdrawn,
    /// A recommendation that was old.
    Expired,
    /// A drill that is over.
    DrillOver,
}

impl AlertEnd {
    /// The words for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartedAgain => "the instance went down and was started again",
            Self::Resumed => "the instance was hibernated and resumed",
            Self::NeverCame => "its time passed and nothing happened",
            Self::Withdrawn => "EC2 withdrew it",
            Self::Expired => "it expired",
            Self::DrillOver => "the drill is over",
        }
    }
}

/// An alert that has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastAlert {
    /// The alert as it was last.
    pub alert: Alert,
    /// When it was closed.
    pub closed: Stamp,
    /// How.
    pub end: AlertEnd,
}

/// Everything about interruptions that must survive: part of the durable memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruptions {
    /// What is announced now, the oldest first.
    pub alerts: Vec<Alert>,
    /// The target state that the Auto Scaling group gave last.
    pub target: Option<TargetState>,
    /// What has passed, the latest last; so many as people may want to see.
    pub past: Vec<PastAlert>,
    /// Notices that were closed and may still be readable.
    pub closed: Vec<String>,
    /// When hooks were last run for a recommendation, wall milliseconds since 1970.
    pub rebalance_drained_wall_ms: Option<i64>,
    /// The group has put this instance on standby on the agent's request, so that it can be stopped.
    #[serde(default)]
    pub standby: bool,
}
