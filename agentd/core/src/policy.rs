//! The validated thresholds that the engine decides by. Durations are whole milliseconds.

use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::action::Power;
use crate::interruption::InterruptionPolicy;
use crate::reading::{Role, SourceName};

/// Whether the engine may act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Decide and report only.
    #[default]
    Observe,
    /// Act.
    Enforce,
}

/// How one source is judged. It comes from the source's `SPEC` and from `[source.NAME]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourcePolicy {
    /// A disabled source is neither read nor required.
    pub enabled: bool,
    /// The limit, in `unit`: at or above it is activity. Unused for marks and blocks.
    pub busy_above: f64,
    /// The unit for people: `core`, `B/s`, `%`.
    pub unit: String,
    /// A counter's base unit in `unit`: 1e-6 turns CPU microseconds a second into cores.
    pub scale: f64,
    /// Counters are averaged over at most this long before they are compared with the limit.
    pub average: Duration,
    /// How often it is read. A reading older than three of these is stale, and stale is blind.
    pub interval: Duration,
    /// Whether the limit is for all counters of the source together or for each.
    #[serde(default)]
    pub combine: Combine,
    /// The limits of what is not people's work. None: everything that counts has `busy_above`, and upkeep does not count.
    #[serde(default)]
    pub limits: Option<Limits>,
}

impl SourcePolicy {
    /// The limit of one subject: its own, if it has one, else that of its role; in `unit`. None: it has none, because it
    /// does not count.
    ///
    /// A limit of a subject's own is by the last part of its path: a unit, a container.
    pub fn limit_of(&self, subject: &str, role: Role) -> Option<f64> {
        let Some(limits) = &self.limits else {
            return (!matches!(role, Role::Ignored | Role::Upkeep)).then_some(self.busy_above);
        };
        if role == Role::Ignored {
            return None;
        }
        let last = subject.rsplit('/').next().unwrap_or(subject);
        let own = limits.units.get(last).copied();
        Some(own.unwrap_or(match role {
            Role::Workload | Role::Ignored => self.busy_above,
            Role::Local => limits.roles.local_above,
            Role::Server => limits.roles.server_above,
            Role::Upkeep => limits.roles.upkeep_above,
            Role::Unexplained => limits.roles.unexplained_above,
        }))
    }
}

/// The limits of roles other than people's work, in the source's unit. What counts is weighed by them: a server at half
/// of its limit and people's work at half of theirs are a use together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Those of the roles.
    #[serde(flatten)]
    pub roles: RoleLimits,
    /// Units and containers with a limit of their own, by name.
    #[serde(default)]
    pub units: BTreeMap<String, f64>,
}

/// The limit of each role, in the source's unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoleLimits {
    /// A unit that no package brought.
    pub local_above: f64,
    /// A server that a package brought.
    pub server_above: f64,
    /// What keeps the machine counts as a server from here on, each by itself…
    pub upkeep_above: f64,
    /// …and all of it from here on.
    pub upkeep_together: f64,
    /// What no account explains is work from here on.
    pub unexplained_above: f64,
}

/// What the rates of a source's counters are compared with its limit as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Combine {
    /// Their sum: ten small jobs are a load.
    #[default]
    Sum,
    /// Each by itself: ten connections that are merely kept open are no use.
    Each,
}

/// The idle policy, `[idle]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub struct IdlePolicy {
    /// Whether idleness leads to an action at all.
    pub enabled: bool,
    /// Idle for this long is shown and tagged as quiet.
    pub quiet_after: Duration,
    /// Idle for this long is acted on.
    pub act_after: Duration,
    /// The same while somebody is connected and silent ([`crate::reading::Stretch::Connected`]).
    pub connected_after: Duration,
    /// The same while a job runs in the foreground of a terminal or was left running without one ([`crate::reading::Stretch::Job`]).
    pub job_after: Duration,
    /// No action this soon after a start or resume that followed a stop of the agent's own: no loop of stopping and
    /// starting is faster than this.
    pub least_run: Duration,
    /// What is done. None: nothing, idleness is only reported.
    pub action: Option<Power>,
    /// Whether a plain stop takes the place of a hibernation that is impossible.
    pub fallback_stop: bool,
    /// Warnings, this long before the action, longest first.
    pub warn_before: Vec<Duration>,
    /// No action this soon after boot.
    pub boot_grace: Duration,
    /// No action this soon after a resume.
    pub resume_grace: Duration,
    /// Whether a pre-stop hook is configured.
    pub hook: bool,
    /// A member of an Auto Scaling group is put on standby and then acted on. Without it an action is refused there,
    /// because the group would replace the instance.
    #[serde(default)]
    pub standby: bool,
    /// After an accepted call the instance must have gone within this long, or it is reported as never stopped.
    pub verify_after: Duration,
}

/// Who may hold for how long, `[hold]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldPolicy {
    /// The longest hold of an ordinary user.
    pub user_max: Duration,
    /// The longest hold of an administrator.
    pub admin_max: Duration,
}

/// Tagging, `[tags]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagPolicy {
    /// Whether tags are written (in enforce mode only).
    pub enabled: bool,
    /// At most one call in this long; what changes in between is written once, at its end.
    pub interval: Duration,
}

/// The whole policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// Observe or enforce.
    pub mode: Mode,
    /// The profile's name, shown.
    pub profile: String,
    /// A pause between two inputs longer than this restarts every window: the agent cannot know what happened in it.
    pub gap: Duration,
    /// Idleness.
    pub idle: IdlePolicy,
    /// Holds.
    pub hold: HoldPolicy,
    /// Tags.
    pub tags: TagPolicy,
    /// Interruptions.
    #[serde(default)]
    pub interruption: InterruptionPolicy,
    /// The sources by name.
    pub sources: BTreeMap<SourceName, SourcePolicy>,
}

/// Where a person was seen, an action is announced at least this long before.
const NOTICE: Duration = Duration::from_mins(2);
/// A period that is shorter than this leaves no room for that. It is one of a demonstration: the configuration warns.
const LEAST_PERIOD: Duration = Duration::from_mins(5);

impl Policy {
    /// The least time between the first warning and the action: the longest warning, at most two minutes.
    pub fn least_notice(&self) -> Duration {
        let longest = self.idle.warn_before.iter().max().copied().unwrap_or(Duration::ZERO);
        longest.min(NOTICE)
    }

    /// The same where a person was seen on this boot: two minutes, whatever `warn_before` says. Only an `act_after` of less
    /// than five minutes leaves it at what is configured.
    pub fn least_notice_to_people(&self) -> Duration {
        if self.idle.act_after >= LEAST_PERIOD { NOTICE } else { self.least_notice() }
    }
}
