//! The agent, the instance that it runs on, and where both are told from.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ImdsState;

/// The agent's process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// The boot that it runs in (`/proc/sys/kernel/random/boot_id`).
    #[serde(default)]
    pub boot_id: String,
    /// When it was started.
    pub started: Timestamp,
    /// For how long it runs.
    pub up_seconds: f64,
}

/// The instance as the metadata service tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// `i-…`.
    pub instance_id: String,
    /// `g5.2xlarge` …
    #[serde(default)]
    pub instance_type: String,
    /// `us-east-1` …
    #[serde(default)]
    pub region: String,
    /// `us-east-1a` …
    #[serde(default)]
    pub availability_zone: String,
    /// `on-demand`, `spot` …
    #[serde(default)]
    pub life_cycle: String,
    /// The `Name` tag, where tags are readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How the metadata service does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imds {
    /// It answered when last asked.
    pub ok: bool,
    /// What it said or how it failed, one line.
    #[serde(default)]
    pub detail: String,
    /// When it last answered.
    #[serde(default)]
    pub last_good: Option<Timestamp>,
    /// In one word, with the watch for interruptions; none from an agent that does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ImdsState>,
}

/// Where the configuration comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The files, in the order in which they were read.
    #[serde(default)]
    pub files: Vec<String>,
    /// Why the newest files are not in force.
    #[serde(default)]
    pub problem: Option<String>,
}
