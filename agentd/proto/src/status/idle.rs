//! Idleness, and who or what stands in its way.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Idleness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Idle {
    /// Since when nothing has been used; none while something is.
    pub since: Option<Timestamp>,
    /// For how long it was known to be idle, without the time that a source was blind.
    pub idle_seconds: f64,
    /// After how long the agent acts.
    pub act_after_seconds: f64,
    /// What makes that longer than the policy's own time, if something that is present does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stretch: Option<Stretch>,
    /// The use that was seen last, whatever came after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_use: Option<LastUse>,
}

/// What makes the agent wait longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// `connected`: somebody is there and silent; `job`: a job runs in the foreground of a terminal or was left running.
    pub by: String,
    /// The source that tells of it.
    pub source: String,
    /// The terminal or the connection.
    pub subject: String,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// A use that was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastUse {
    /// The source.
    pub source: String,
    /// What was used, how much, and from where on that is a use: `cpu 0.22 core, limit 0.08 (train.service)`. Empty from an
    /// agent that does not tell.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What was used, the largest share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How much, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// From where on that is a use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// The unit.
    #[serde(default)]
    pub unit: String,
    /// When.
    pub at: Timestamp,
    /// How long ago.
    pub age_seconds: f64,
}

/// One person, or one owner of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// The name.
    pub user: String,
    /// How long ago they last used the machine; none if they only are there.
    pub last_activity_seconds: Option<f64>,
    /// What of theirs keeps the machine up, or makes the agent wait longer, now.
    #[serde(default)]
    pub keeps_up: Vec<String>,
}
