//! The kinds of notice.

use std::time::Duration;

use super::Setting;

/// A kind of notice, with an item of the metadata service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Spot interruptions.
    Spot,
    /// Rebalance recommendations.
    Rebalance,
    /// Scheduled events.
    Maintenance,
    /// The target state of the Auto Scaling group.
    AutoScaling,
}

/// The events that are over; read beside the list of those to come.
pub(super) const HISTORY: &str = "meta-data/events/maintenance/history";

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Spot, Self::Rebalance, Self::Maintenance, Self::AutoScaling];

    /// The word for people and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Rebalance => "rebalance",
            Self::Maintenance => "maintenance",
            Self::AutoScaling => "autoscaling",
        }
    }

    /// The item, below `/latest/` (EC2 User Guide: "Instance metadata categories").
    pub const fn path(self) -> &'static str {
        match self {
            Self::Spot => "meta-data/spot/instance-action",
            Self::Rebalance => "meta-data/events/recommendations/rebalance",
            Self::Maintenance => "meta-data/events/maintenance/scheduled",
            Self::AutoScaling => "meta-data/autoscaling/target-lifecycle-state",
        }
    }

    /// How often it is asked. A spot instance has two minutes, so each second counts; EC2 recommends five seconds.
    pub const fn every(self) -> Duration {
        match self {
            Self::Spot => Duration::from_secs(2),
            Self::Rebalance | Self::AutoScaling => Duration::from_secs(5),
            Self::Maintenance => Duration::from_mins(1),
        }
    }

    /// Why it is not watched, if it is not. An instance whose life cycle is unknown is taken for spot.
    pub(super) const fn off(self, setting: &Setting) -> Option<&'static str> {
        if !setting.enabled {
            return Some("interruption.enabled is false");
        }
        match self {
            Self::Spot | Self::Rebalance if !setting.life_cycle.may_be_spot() => {
                Some("this is no spot instance")
            }
            _ => None,
        }
    }

    /// Whether it is the one that is asked most often, by which the service's health is known.
    pub(super) const fn leads(self, setting: &Setting) -> bool {
        match self {
            Self::Spot => true,
            Self::AutoScaling => Self::Spot.off(setting).is_some(),
            _ => false,
        }
    }

    /// How long without a good answer is told as blindness.
    pub(super) const fn patience(self) -> Duration {
        const BLIND: Duration = Duration::from_secs(15);
        if self.every().as_secs() < BLIND.as_secs() {
            BLIND
        } else {
            BLIND.saturating_add(self.every())
        }
    }
}
