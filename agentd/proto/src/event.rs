//! One line of `GET /v1/events`: what happened.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The schema of an [`EventLine`].
pub const SCHEMA: &str = "agentd/event/v1";

/// The word of the line that says that events were missed.
pub const MISSED: &str = "missed";

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventLine {
    /// [`SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// Counts up from 1 since the agent was started; `?after=SEQ` continues behind it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// The kind, a kebab-case word.
    pub event: String,
    /// One sentence for people.
    #[serde(default)]
    pub text: String,
    /// The rest, by the names of the event's fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, serde_json::Value>,
}
