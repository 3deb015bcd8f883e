//! What EC2 announces about this instance, and what is done about it.
//!
//! A notice is one announcement: a spot interruption, a rebalance recommendation, a scheduled event, a target state of the
//! Auto Scaling group. The engine makes an alert of it, which lives until it has passed; an alert may lead to a drain, which
//! runs the hooks. (EC2 User Guide: "Spot Instance interruption notices", "EC2 instance rebalance recommendations",
//! "Scheduled events for your instances"; Auto Scaling User Guide: "Retrieve the target lifecycle state through instance
//! metadata".)

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Key;
use crate::stamp::Stamp;

/// What EC2 does to an interrupted spot instance (`action` of `spot/instance-action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpotAction {
    /// It is terminated.
    Terminate,
    /// It is stopped.
    Stop,
    /// It is hibernated, which begins at once: there are no two minutes.
    Hibernate,
}

impl SpotAction {
    /// The word that EC2 uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
        }
    }
}

/// What a scheduled event does (`Code` of `events/maintenance/scheduled`; `InstanceStatusEvent` of the EC2 API).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventCode {
    /// The instance is rebooted; it can be rebooted by its owner before.
    InstanceReboot,
    /// The host is rebooted, and the instance with it; only a stop and start before moves it away.
    SystemReboot,
    /// The host's network or power is worked on. The instance goes on, perhaps with a pause.
    SystemMaintenance,
    /// The host is failing: the instance is stopped, or terminated where its root is an instance store.
    InstanceRetirement,
    /// The instance is stopped, because its host is failing.
    InstanceStop,
}

impl EventCode {
    /// The word that EC2 uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InstanceReboot => "instance-reboot",
            Self::SystemReboot => "system-reboot",
            Self::SystemMaintenance => "system-maintenance",
            Self::InstanceRetirement => "instance-retirement",
            Self::InstanceStop => "instance-stop",
        }
    }

    /// The word for what happens to the instance, as hooks are told (`AGENTD_ACTION`).
    pub const fn action(self) -> &'static str {
        match self {
            Self::InstanceReboot | Self::SystemReboot => "reboot",
            Self::SystemMaintenance => "maintenance",
            Self::InstanceRetirement => "retire",
            Self::InstanceStop => "stop",
        }
    }

    /// Whether the instance goes down, so that a drain before it makes sense.
    pub const fn takes_it_down(self) -> bool {
        !matches!(self, Self::SystemMaintenance)
    }
}

/// The state that the Auto Scaling group is bringing this instance to (`autoscaling/target-lifecycle-state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TargetState {
    /// It leaves the group and goes on.
    Detached,
    /// It serves.
    InService,
    /// It stays in the group and does not serve.
    Standby,
    /// It is terminated.
    Terminated,
    /// In the warm pool, hibernated.
    #[serde(rename = "Warmed:Hibernated")]
    WarmedHibernated,
    /// In the warm pool, running.
    #[serde(rename = "Warmed:Running")]
    WarmedRunning,
    /// In the warm pool, stopped.
    #[serde(rename = "Warmed:Stopped")]
    WarmedStopped,
    /// It is terminated out of the warm pool.
    #[serde(rename = "Warmed:Terminated")]
    WarmedTerminated,
}

impl TargetState {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Detached,
        Self::InService,
        Self::Standby,
        Self::Terminated,
        Self::WarmedHibernated,
        Self::WarmedRunning,
        Self::WarmedStopped,
        Self::WarmedTerminated,
    ];

    /// The word that Auto Scaling uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Detached => "Detached",
            Self::InService => "InService",
            Self::Standby => "Standby",
            Self::Terminated => "Terminated",
            Self::WarmedHibernated => "Warmed:Hibernated",
            Self::WarmedRunning => "Warmed:Running",
            Self::WarmedStopped => "Warmed:Stopped",
            Self::WarmedTerminated => "Warmed:Terminated",
        }
    }

    /// Whether the instance is about to be terminated.
    pub const fn is_termination(self) -> bool {
        matches!(self, Self::Terminated | Self::WarmedTerminated)
    }

    /// Whether the group still counts on this instance: what stops it then makes the group replace it.
    pub const fn is_member(self) -> bool {
        !matches!(self, Self::Detached | Self::Standby)
    }
}

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Notice {
    /// EC2 takes a spot instance back (`spot/instance-action`).
    Spot {
        /// What it does.
        action: SpotAction,
    },
    /// EC2 expects to take a spot instance back (`events/recommendations/rebalance`).
    Rebalance {
        /// When it was said, wall milliseconds since 1970: the same recommendation is read for ever.
        said_wall_ms: i64,
    },
    /// A scheduled event (`events/maintenance/scheduled`).
    Maintenance {
        /// Its id, `instance-event-…`.
        event: String,
        /// What it does.
        code: EventCode,
        /// EC2's words.
        description: String,
        /// The beginning of its window, wall milliseconds since 1970: a moved event has the same id.
        not_before_wall_ms: i64,
    },
    /// A new target state of the Auto Scaling group.
    AutoScaling {
        /// The state.
        target: TargetState,
    },
}

impl Notice {
    /// What makes two readings the same notice. The deadline of a spot notice moves, so it is no part of it.
    pub fn id(&self) -> String {
        match self {
            Self::Spot { action } => format!("spot-{}", action.as_str()),
            Self::Rebalance { said_wall_ms } => format!("rebalance-{said_wall_ms}"),
            Self::Maintenance { event, not_before_wall_ms, .. } => {
                format!("{event}@{not_before_wall_ms}")
            }
            Self::AutoScaling { target } => format!("autoscaling-{}", target.as_str()),
        }
    }

    /// The event, as hooks are told (`AGENTD_EVENT`).
    pub const fn event(&self) -> &'static str {
        match self {
            Self::Spot { .. } => "spot-interruption",
            Self::Rebalance { .. } => "rebalance-recommendation",
            Self::Maintenance { .. } => "scheduled-event",
            Self::AutoScaling { .. } => "autoscaling",
        }
    }

    /// What happens to the instance, as hooks are told (`AGENTD_ACTION`).
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Spot { action } => action.as_str(),
            Self::Rebalance { .. } => "rebalance",
            Self::Maintenance { code, .. } => code.action(),
            Self::AutoScaling { target } if target.is_termination() => "terminate",
            Self::AutoScaling { target } => target.as_str(),
        }
    }
}

/// The notice for people: `spot interruption (terminate)`.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spot { action } => write!(f, "spot interruption ({})", action.as_str()),
            Self::Rebalance { .. } => f.write_str("rebalance recommendation"),
            Self::Maintenance { event, code, .. } => {
                write!(f, "scheduled event {event} ({})", code.as_str())
            }
            Self::AutoScaling { target } => {
                write!(f, "Auto Scaling target state {}", target.as_str())
            }
        }
    }
}

/// When something is due, by EC2's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// What EC2 says, wall milliseconds since 1970.
    pub wall_ms: i64,
    /// How far away that was when it was read, milliseconds by the `Date` of the answer (RFC 9110 §6.6.1), or by this
    /// machine's clock where the answer had none. Negative: it has passed.
    pub left_ms: i64,
}

/// A notice as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noticed {
    /// What is announced.
    pub notice: Notice,
    /// When it is due, where EC2 says so.
    pub due: Option<Due>,
    /// The answer told no time by which to judge it: staleness is by this machine's clock.
    #[serde(default)]
    pub own_clock: bool,
}

/// What is done about a kind of notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// People and programs are told.
    #[default]
    Notify,
    /// The hooks run, too.
    Drain,
}

/// What is done about interruptions, `[interruption]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterruptionPolicy {
    /// Whether anything is watched for and done at all.
    pub enabled: bool,
    /// What a drain runs, in this order: an absolute path, `UNIT.service` or `start UNIT`, `stop UNIT`.
    pub hooks: Vec<String>,
    /// What is run instead where the instance is hibernated at once; two seconds for all of them.
    pub fast_hooks: Vec<String>,
    /// What a rebalance recommendation leads to.
    pub rebalance: Reaction,
    /// A recommendation is forgotten after this long.
    pub rebalance_expires: Duration,
    /// Between two drains for recommendations.
    pub rebalance_interval: Duration,
    /// What a scheduled event that takes the instance down leads to.
    pub maintenance: Reaction,
    /// The drain begins this long before the event's window.
    pub maintenance_lead: Duration,
    /// What the target state `Terminated` leads to.
    pub autoscaling: Reaction,
    /// A drain for Auto Scaling may take this long.
    pub autoscaling_drain: Duration,
}

impl Default for InterruptionPolicy {
    /// Nothing is watched for and nothing is run: the policy of a recording that knows of none.
    fn default() -> Self {
        Self {
            enabled: false,
            hooks: Vec::new(),
            fast_hooks: Vec::new(),
            rebalance: Reaction::Notify,
            rebalance_expires: Duration::from_hours(1),
            rebalance_interval: Duration::from_hours(1),
            maintenance: Reaction::Notify,
            maintenance_lead: Duration::from_mins(10),
            autoscaling: Reaction::Drain,
            autoscaling_drain: Duration::from_mins(10),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_of_a_spot_notice_is_no_part_of_its_identity_and_the_window_of_an_event_is() {
        let stop = Notice::Spot { action: SpotAction::Stop };
        assert_eq!((stop.id(), stop.action()), ("spot-stop".to_owned(), "stop"));
        let event = |not_before_wall_ms| Notice::Maintenance {
            event: "instance-event-1".to_owned(),
            code: EventCode::SystemReboot,
            description: String::new(),
            not_before_wall_ms,
        };
        assert_ne!(event(1).id(), event(2).id());
        assert_eq!(event(1).action(), "reboot");
    }

    #[test]
    fn target_states_are_written_as_auto_scaling_writes_them() {
        for state in TargetState::ALL {
            let text = serde_json::to_string(&state).unwrap();
            assert_eq!(text, format!("\"{}\"", state.as_str()));
        }
    }
}
