//! What the engine may ask the shell to do, and what the shell reports back.

use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::interruption::{GroupCall, HookOrder, Hurry, Notification};

/// Identifies a request over restarts of the agent: the same key is never carried out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub u64);

/// How an instance is taken out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// `StopInstances` with `Hibernate=true`: memory is kept.
    Hibernate,
    /// `StopInstances`: memory is lost.
    Stop,
}

impl Power {
    /// The verb, as in "will hibernate".
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Hibernate => "hibernate",
            Self::Stop => "stop",
        }
    }
}

/// What a hook or a check printed. It may hold secrets, and what the agent tells everybody may read: so it is no part of a reason, has
/// neither `Display` nor a telling `Debug`, and is left out of whatever is not for administrators.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HookOutput(String);

impl HookOutput {
    /// How a program ended and what it printed, from the text of its outcome: the ending is the first line.
    pub fn split(text: &str) -> (String, Self) {
        let (ending, output) = text.split_once('\n').unwrap_or((text, ""));
        (ending.to_owned(), Self(output.to_owned()))
    }

    /// The text, for administrators only.
    pub fn for_administrators(&self) -> &str {
        &self.0
    }

    /// Whether it printed nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl core::fmt::Debug for HookOutput {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "HookOutput({} bytes)", self.0.len())
    }
}

/// The value of the state tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagState {
    /// In use.
    Active,
    /// Idle for at least `quiet_after`.
    Quiet,
    /// A hold or a block keeps it up.
    Held,
    /// People were warned; an action is due.
    Warned,
    /// The hibernation was asked for.
    Hibernating,
    /// The stop was asked for.
    Stopping,
    /// A source is blind.
    Unknown,
    /// EC2 has announced that it takes the instance.
    Interrupted,
}

impl TagState {
    /// The tag's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Quiet => "quiet",
            Self::Held => "held",
            Self::Warned => "warned",
            Self::Hibernating => "hibernating",
            Self::Stopping => "stopping",
            Self::Unknown => "unknown",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether it says that nobody uses the machine.
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Quiet | Self::Warned | Self::Hibernating | Self::Stopping)
    }
}

/// What the tags are to say. The actuator adds prefix, version and the compatible names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagSet {
    /// The state.
    pub state: TagState,
    /// Since when, wall time in milliseconds since 1970.
    pub since_wall_ms: i64,
    /// Why, one line.
    pub because: String,
    /// When the action is due, wall time in milliseconds since 1970.
    pub act_at_wall_ms: Option<i64>,
    /// The last action and its outcome, one line.
    pub last_action: Option<String>,
    /// What ran and was not counted, one line; none when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
}

/// A warning to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What will happen.
    pub power: Power,
    /// How long from now.
    pub in_ms: u64,
    /// When, wall time in milliseconds since 1970.
    pub at_wall_ms: i64,
    /// Why, one line.
    pub because: String,
    /// What ran and was not counted, one line; none when nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
}

/// One thing to do. Whoever carries it out reports its end exactly once, also when it fails or takes too long: by
/// `Input::Finished`, and for [`Describe`](Self::Describe) by `Input::Described` where EC2 answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ActionKind {
    /// Read every enabled source now, not from a cache, and hand the observations in before the outcome.
    Reread,
    /// Write the instance's tags.
    Tag(TagSet),
    /// Warn the people who are logged in.
    Warn(Warning),
    /// Tell them that it was called off.
    CallOff {
        /// Why, one line.
        because: String,
    },
    /// Run the pre-stop hook. Durable: the intent is on disk before it starts.
    Hook {
        /// What comes after it.
        power: Power,
    },
    /// Ask EC2 to hibernate or stop this instance. Durable: the intent is on disk before the call.
    Power {
        /// Which.
        power: Power,
    },
    /// Withhold a call that was asked for, if it has not left the machine yet. Its outcome says whether that came in time.
    Withdraw {
        /// The key of the call.
        call: Key,
    },
    /// Ask EC2 for the state of this instance.
    Describe,
    /// Find out again what this instance can do (DryRun, DescribeInstances).
    Preflight,
    /// Run one hook of an interruption, at once. Its start is on record before it runs.
    Drain(HookOrder),
    /// The deadline of a hook that runs came nearer.
    Hurry(Hurry),
    /// Tell people and programs of an interruption, through every notifier side by side.
    Notify(Notification),
    /// Ask something of the Auto Scaling group.
    AutoScaling(GroupCall),
}

impl ActionKind {
    /// Whether it can destroy somebody's work, so that at most one may be outstanding and its intent must be durable.
    pub const fn is_destructive(&self) -> bool {
        matches!(
            self,
            Self::Hook { .. } | Self::Power { .. } | Self::AutoScaling(GroupCall::EnterStandby)
        )
    }

    /// Whether it must start before anything else is done, told or written to a disk: the machine has seconds left.
    pub const fn is_urgent(&self) -> bool {
        matches!(self, Self::Drain(HookOrder { undo: false, .. }) | Self::Hurry(_))
    }

    /// A short name for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Reread => "reread",
            Self::Tag(_) => "tag",
            Self::Warn(_) => "warn",
            Self::CallOff { .. } => "call-off",
            Self::Hook { .. } => "hook",
            Self::Power { power: Power::Hibernate } => "hibernate",
            Self::Power { power: Power::Stop } => "stop",
            Self::Withdraw { .. } => "withdraw",
            Self::Describe => "describe",
            Self::Preflight => "preflight",
            Self::Drain(_) => "drain",
            Self::Hurry(_) => "hurry",
            Self::Notify(_) => "notify",
            Self::AutoScaling(GroupCall::Heartbeat) => "autoscaling-heartbeat",
            Self::AutoScaling(GroupCall::Complete) => "autoscaling-complete",
            Self::AutoScaling(GroupCall::EnterStandby) => "autoscaling-enter-standby",
            Self::AutoScaling(GroupCall::ExitStandby) => "autoscaling-exit-standby",
        }
    }
}

/// An action with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionRequest {
    /// The key.
    pub key: Key,
    /// What to do.
    pub kind: ActionKind,
}

/// Why an action was refused for good: trying again changes nothing until a person or AWS changes something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A stable code: `hibernation-not-configured`, `unauthorized`, `auto-scaling-member` …
    pub code: String,
    /// What, on which object, and what to do, one line.
    pub detail: String,
    /// Only hibernation is impossible; a plain stop may work.
    pub hibernation_only: bool,
}

/// When a failed action may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// A passing condition (throttling, 5xx): again after this long, growing.
    After {
        /// Milliseconds.
        ms: u64,
    },
    /// EC2 says that the instance is "not ready to hibernate yet": again after this long, for at most ten minutes.
    NotReady {
        /// Milliseconds.
        ms: u64,
    },
    /// The answer was lost; the call may have been carried out. Look before trying again.
    InDoubt,
    /// Do not try again within this idle period.
    Never,
}

impl Retry {
    /// A retry after a span.
    pub fn after(span: Duration) -> Self {
        Self::After { ms: crate::stamp::millis(span) }
    }
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Carried out, with a detail for the report (the tail of a hook's output, the answer's state).
    Done {
        /// One or more lines.
        detail: String,
    },
    /// It was so already; nothing was changed.
    Already {
        /// One line.
        detail: String,
    },
    /// Not carried out: the machine was used, or the request was withdrawn, before anything left the machine.
    Withheld {
        /// What was seen, one line.
        because: String,
    },
    /// Refused for good.
    Refused(Refusal),
    /// Failed.
    Failed {
        /// What failed, on which object.
        error: String,
        /// Whether to try again.
        retry: Retry,
    },
}

/// The state of this instance as EC2 reports it. (`InstanceStateName` of the EC2 API.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// `pending`.
    Pending,
    /// `running`.
    Running,
    /// `stopping`.
    Stopping,
    /// `stopped`.
    Stopped,
    /// `shutting-down`.
    ShuttingDown,
    /// `terminated`.
    Terminated,
}
