//! Everything that can change a decision. There is no other way into the engine.

use serde::{Deserialize, Serialize};

use crate::action::{InstanceState, Key, Outcome, Power, Refusal};
use crate::interruption::{Noticed, SpotAction};
use crate::policy::Policy;
use crate::reading::Observation;

/// Who asked, by kernel identity (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user id.
    pub uid: u32,
    /// Whether local policy makes this user an administrator of the agent (root or group `agentd`).
    pub admin: bool,
    /// The user's name, for people.
    pub name: String,
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Keep the machine up for a while.
    Hold {
        /// For how long, milliseconds.
        for_ms: u64,
        /// Why, for people.
        reason: String,
        /// The hold ends with this process (`agentctl run`), or with the lease below.
        pid: Option<u32>,
    },
    /// End a hold early: this one, or all of the caller's.
    Release {
        /// The hold's id; none means all that the caller may end.
        hold: Option<u64>,
    },
    /// Prolong a hold (`agentctl run` does it while its command lives).
    Renew {
        /// The hold's id.
        hold: u64,
        /// From now, milliseconds.
        for_ms: u64,
    },
    /// Hibernate or stop now, through the same gates.
    Act {
        /// Which.
        power: Power,
        /// Decide and report only.
        dry_run: bool,
    },
    /// Go through a spot interruption without one: hooks and notifiers run, marked as a drill.
    Drill {
        /// As if EC2 did this.
        action: SpotAction,
        /// As if it did it in so many milliseconds.
        in_ms: u64,
    },
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denial {
    /// The caller may not do this.
    NotPermitted(String),
    /// Local policy or a guard forbids it.
    Policy(String),
    /// A required source or the instance's identity is unknown.
    Blind(String),
    /// The request names something that does not exist or is out of range.
    Invalid(String),
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// A hold was made or prolonged.
    Held {
        /// Its id.
        hold: u64,
        /// When it ends, wall time in milliseconds since 1970.
        until_wall_ms: i64,
        /// The hold was shortened to what the caller may have.
        capped: bool,
    },
    /// So many holds were ended.
    Released(u64),
    /// The action was started, or would be (dry run).
    Acting {
        /// Which.
        power: Power,
        /// Nothing was done.
        dry_run: bool,
    },
    /// The drill has begun.
    Drilling {
        /// The alert's id.
        alert: String,
        /// So many hooks run, one after the other.
        hooks: u32,
        /// Its deadline, wall time in milliseconds since 1970.
        deadline_wall_ms: i64,
    },
    /// Not carried out.
    Denied(Denial),
}

/// What one power action can do on this instance, from preflight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ability {
    /// Not found out yet: no action.
    #[default]
    Unknown,
    /// Every check passed.
    Can,
    /// It cannot, and why.
    Cannot(Refusal),
}

/// What preflight found out about this instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// The instance id, once IMDS told it. Without it nothing is ever done.
    pub instance_id: Option<String>,
    /// Hibernation.
    pub hibernate: Ability,
    /// Plain stop.
    pub stop: Ability,
    /// The instance is a member of an Auto Scaling group, by its tags or by the metadata service.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub member: bool,
}

/// What the tags of the instance ask for. They can only make the agent more careful.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// Idle for at least this long before an action, milliseconds. Shorter than the policy's has no effect.
    pub act_after_ms: Option<u64>,
    /// Decide and report only.
    pub observe: bool,
    /// Keep the machine up until then, wall milliseconds since 1970; at most `hold.admin_max` from when it is seen.
    pub hold_until_wall_ms: Option<i64>,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Input {
    /// The alarm that the last decision asked for, or the regular tick.
    Tick,
    /// A source was read.
    Observed(Observation),
    /// The policy was reloaded.
    PolicyChanged(Box<Policy>),
    /// Preflight found something out.
    Abilities(Abilities),
    /// The tags of the instance were read.
    Wished(Wishes),
    /// An action ended.
    Finished {
        /// Which.
        key: Key,
        /// How.
        outcome: Outcome,
    },
    /// EC2 said what state the instance is in, answering `Describe`.
    Described {
        /// The request's key.
        key: Key,
        /// The state.
        state: InstanceState,
    },
    /// EC2 announces something.
    Noticed(Noticed),
    /// What EC2 announced was cancelled or completed: the id of the notice.
    Withdrawn {
        /// [`crate::interruption::Notice::id`].
        id: String,
        /// How EC2 says it, one line.
        because: String,
    },
    /// The kernel or logind said that the machine was resumed (`PrepareForSleep(false)`).
    Resumed,
    /// An operator's command. The answer is in the decision.
    Command {
        /// Who.
        actor: Actor,
        /// What.
        command: Command,
    },
    /// The process that owned a hold is gone.
    ProcessGone {
        /// Its pid.
        pid: u32,
    },
}
