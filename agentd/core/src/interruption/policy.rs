//! What is done about it, `[interruption]`.

use core::time::Duration;

use serde::{Deserialize, Serialize};

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
