//! Requests that change something, and their answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spot::Notice;
use crate::status::Power;

/// The schema of a [`HoldReply`].
pub const HOLD_SCHEMA: &str = "agentd/hold/v1";

/// The schema of a [`ReleaseReply`].
pub const RELEASE_SCHEMA: &str = "agentd/release/v1";

/// The schema of a [`PowerReply`].
pub const POWER_SCHEMA: &str = "agentd/power/v1";

/// The schema of a [`DrillReply`].
pub const DRILL_SCHEMA: &str = "agentd/drill/v1";

/// `POST /v1/hold`: keep the machine up for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// For how long; the agent shortens it to what the caller may have.
    pub for_seconds: f64,
    /// Why, for people: one line.
    #[serde(default)]
    pub reason: String,
    /// A process that the hold ends with, in the agent's process id namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
}

/// `POST /v1/hold/ID/renew`: prolong a hold, counted from now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// For how long from now.
    pub for_seconds: f64,
}

/// `POST /v1/stop` and `POST /v1/hibernate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PowerRequest {
    /// Decide and report only.
    #[serde(default)]
    pub dry_run: bool,
}

/// What EC2 does to an interrupted spot instance, and what a drill goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpotAction {
    /// It is terminated.
    #[default]
    Terminate,
    /// It is stopped.
    Stop,
    /// It is hibernated.
    Hibernate,
}

impl SpotAction {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Hibernate => "hibernate",
        }
    }
}

/// `POST /v1/spot/drill`: go through a spot interruption without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillRequest {
    /// As if EC2 did this.
    #[serde(default)]
    pub action: SpotAction,
    /// As if it did it in so many seconds; two minutes unless it is said.
    #[serde(default)]
    pub in_seconds: Option<f64>,
}

/// A drill has begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrillReply {
    /// [`DRILL_SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// The id of its alert.
    pub alert: String,
    /// So many hooks run, one after the other.
    pub hooks: u32,
    /// Its deadline.
    pub deadline: Timestamp,
    /// How it went: only from `agentctl spot drill --json`, which waits for its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<Notice>>,
}

/// A hold was made or prolonged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReply {
    /// [`HOLD_SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// The hold's id.
    pub id: u64,
    /// When it ends.
    pub until: Timestamp,
    /// It was shortened to what the caller may have.
    #[serde(default)]
    pub capped: bool,
}

/// Holds were ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseReply {
    /// [`RELEASE_SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// How many.
    pub released: u64,
}

/// An action was started, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerReply {
    /// [`POWER_SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// Which.
    pub power: Power,
    /// Nothing was done.
    #[serde(default)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_dry_run_is_an_error_and_not_a_stop() {
        let error = serde_json::from_str::<PowerRequest>(r#"{"dryrun":true}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `dryrun`"), "{error}");
        assert!(!serde_json::from_str::<PowerRequest>("{}").unwrap().dry_run);
    }

    #[test]
    fn a_hold_needs_a_length() {
        assert!(serde_json::from_str::<HoldRequest>(r#"{"reason":"x"}"#).is_err());
        let hold: HoldRequest = serde_json::from_str(r#"{"for_seconds":90}"#).unwrap();
        assert!((hold.for_seconds - 90.0).abs() < f64::EPSILON);
        assert_eq!(hold.pid, None);
    }

    #[test]
    fn a_drill_is_of_a_termination_unless_it_is_said_and_nothing_is_misspelt() {
        let drill: DrillRequest = serde_json::from_str("{}").unwrap();
        assert_eq!((drill.action, drill.in_seconds), (SpotAction::Terminate, None));
        for wrong in [r#"{"action":"reboot"}"#, r#"{"in":5}"#, r#"{"in_seconds":"5"}"#] {
            assert!(serde_json::from_str::<DrillRequest>(wrong).is_err(), "{wrong}");
        }
        let text = serde_json::to_string(&SpotAction::Hibernate).unwrap();
        assert_eq!(text, format!("\"{}\"", SpotAction::Hibernate.as_str()));
    }

    #[test]
    fn replies_ignore_what_a_newer_agent_adds() {
        let text = r#"{"id":7,"until":"2026-01-02T03:04:05Z","colour":"red"}"#;
        let reply: HoldReply = serde_json::from_str(text).unwrap();
        assert_eq!((reply.id, reply.capped), (7, false));
    }
}
