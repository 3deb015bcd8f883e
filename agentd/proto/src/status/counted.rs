//! What runs and is not counted, what keeps the machine up, and the lines of configuration that correct a judgement.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that runs and is not counted as use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uncounted {
    /// The source.
    pub source: String,
    /// The subject as the source names it.
    pub subject: String,
    /// Its name for people: the unit without its path.
    pub name: String,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How it counts: see [`Signal::role`](super::Signal::role).
    #[serde(default)]
    pub role: String,
    /// How much of it runs, in `unit`.
    pub value: f64,
    /// From where on it would count; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// The unit.
    #[serde(default)]
    pub unit: String,
}

/// A judgement that a person may have to correct, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The source.
    pub source: String,
    /// The subject as the source names it.
    pub subject: String,
    /// How it counts and how much of it there is, one line.
    pub about: String,
    /// The lines of configuration that change that.
    #[serde(default)]
    pub lines: Vec<ConfigLine>,
}

/// A line of configuration. It is whole: it can stand alone in a file of `/etc/agentd/config.d`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigLine {
    /// When it is right: `if it is work`.
    pub when: String,
    /// The line.
    pub line: String,
}

/// What has kept the machine up for hours by itself, while nobody was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptUp {
    /// The source that told of it last.
    pub source: String,
    /// The subject as the source names it.
    pub subject: String,
    /// Its name for people.
    pub name: String,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// For how long.
    pub for_seconds: f64,
    /// The lines of configuration that would end it.
    #[serde(default)]
    pub lines: Vec<ConfigLine>,
}

/// Whether a source's total holds everything that ran, so that what nothing explains is seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The source.
    pub source: String,
    /// Of what: `CPU time`, `network`, `disk`.
    pub of: String,
    /// Whether it can be closed.
    pub closed: bool,
    /// The total that is used, or why it cannot be closed.
    #[serde(default)]
    pub detail: String,
    /// What would close it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}
