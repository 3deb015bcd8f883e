//! What EC2 announces, in its own words.

use core::fmt;

use serde::{Deserialize, Serialize};

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
