//! The simulated instance: one truth that the metadata service tells and the EC2 API changes.

mod group;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::locked;
pub use group::{Group, TerminatingHook, Waiting};

/// `InstanceStateName` of the EC2 API, with its codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Starting.
    Pending,
    /// Up.
    Running,
    /// Going down because of `StopInstances`.
    Stopping,
    /// Down.
    Stopped,
    /// Going away for good.
    ShuttingDown,
    /// Gone for good.
    Terminated,
}

impl State {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }

    /// The code in the API (`InstanceState.Code`).
    pub const fn code(self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }
}

/// A spot request as `DescribeSpotInstanceRequests` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpotRequest {
    /// `sir-…`.
    pub id: String,
    /// `one-time` or `persistent`.
    pub kind: String,
    /// `active`, `disabled`, `cancelled` …
    pub state: String,
    /// `hibernate`, `stop` or `terminate`.
    pub interruption_behavior: String,
}

/// Everything that is true of the instance. Fields are public: a test sets what its story needs.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the EC2 API of its own")]
pub struct Instance {
    /// `i-` and 17 hexadecimal digits.
    pub id: String,
    /// The account, twelve digits.
    pub account: String,
    /// The region.
    pub region: String,
    /// The availability zone's letter.
    pub zone: char,
    /// The instance type.
    pub instance_type: String,
    /// The image.
    pub image: String,
    /// The private IPv4 address.
    pub private_ip: String,
    /// `on-demand`, `spot` … as the metadata service tells it.
    pub life_cycle: String,
    /// The spot request behind it, if it is a spot instance.
    pub spot: Option<SpotRequest>,
    /// `HibernationOptions.Configured`.
    pub hibernation_configured: bool,
    /// Until then hibernation is answered with "not ready to hibernate yet".
    pub hibernation_ready_at: Option<Instant>,
    /// The Auto Scaling group that owns it.
    pub auto_scaling_group: Option<String>,
    /// What that group is like; without meaning where there is none.
    pub group: Group,
    /// `autoscaling/target-lifecycle-state` of the metadata service; none: 404.
    pub target_lifecycle_state: Option<String>,
    /// The fleet that owns it, `fleet-…`, and whether it is of a kind that forbids stops.
    pub fleet: Option<String>,
    /// `DisableApiStop`.
    pub stop_protected: bool,
    /// `DisableApiTermination`.
    pub termination_protected: bool,
    /// `InstanceInitiatedShutdownBehavior`: `stop` or `terminate`.
    pub shutdown_behavior: String,
    /// The tags without those of AWS.
    pub tags: BTreeMap<String, String>,
    /// `InstanceMetadataTags`: whether the metadata service tells the tags.
    pub tags_in_metadata: bool,
    /// The name of the role in `iam/security-credentials/`; none: 404.
    pub role: Option<String>,
    /// `spot/instance-action`; none: 404. Like the other notices it may hold a moving time, see
    /// [`notice`](crate::imds::notice).
    pub spot_action: Option<String>,
    /// `spot/termination-time`, where it does not tell what `spot/instance-action` does: stale, or no time at all.
    pub termination_time: Option<String>,
    /// `events/recommendations/rebalance`; none: 404.
    pub rebalance: Option<String>,
    /// `events/maintenance/scheduled`; none: 404. Where there are no events it is an empty list.
    pub maintenance: Option<String>,
    /// `events/maintenance/history`; none: 404.
    pub maintenance_history: Option<String>,
    /// The state, as of the last change.
    pub state: State,
    /// When a passing state passes, and into what.
    pub turns: Option<(Instant, State)>,
    /// `StateReason.Code` of the last change.
    pub state_reason: Option<String>,
    /// How long `pending` and `stopping` last.
    pub transition: Duration,
}

impl Default for Instance {
    /// A running on-demand instance for which hibernation was configured, with a role and no notices.
    fn default() -> Self {
        Self {
            id: "i-0a1b2c3d4e5f60718".into(),
            account: "123456789012".into(),
            region: "eu-central-1".into(),
            zone: 'a',
            instance_type: "r6i.large".into(),
            image: "ami-0123456789abcdef0".into(),
            private_ip: "10.0.0.7".into(),
            life_cycle: "on-demand".into(),
            spot: None,
            hibernation_configured: true,
            hibernation_ready_at: None,
            auto_scaling_group: None,
            group: Group::default(),
            target_lifecycle_state: None,
            fleet: None,
            stop_protected: false,
            termination_protected: false,
            shutdown_behavior: "stop".into(),
            tags: BTreeMap::from([("Name".into(), "research-01".into())]),
            tags_in_metadata: true,
            role: Some("agentd".into()),
            spot_action: None,
            termination_time: None,
            rebalance: None,
            maintenance: Some("[]".into()),
            maintenance_history: Some("[]".into()),
            state: State::Running,
            turns: None,
            state_reason: None,
            transition: Duration::from_millis(300),
        }
    }
}

impl Instance {
    /// A spot instance of this request type, `one-time` or `persistent`.
    pub fn on_spot(kind: &str) -> Self {
        let request = SpotRequest {
            id: "sir-abcd1234".into(),
            kind: kind.into(),
            state: "active".into(),
            interruption_behavior: "hibernate".into(),
        };
        Self { life_cycle: "spot".into(), spot: Some(request), ..Self::default() }
    }

    /// The availability zone.
    pub fn availability_zone(&self) -> String {
        format!("{}{}", self.region, self.zone)
    }

    /// The tags with those that AWS itself sets for group and fleet members.
    pub fn all_tags(&self) -> BTreeMap<String, String> {
        let mut tags = self.tags.clone();
        if let Some(group) = &self.auto_scaling_group {
            tags.insert("aws:autoscaling:groupName".into(), group.clone());
        }
        if let Some(fleet) = &self.fleet {
            tags.insert("aws:ec2:fleet-id".into(), fleet.clone());
        }
        tags
    }

    /// Lets a passing state pass when its time has come. A stopped member of an Auto Scaling group is an
    /// unhealthy one, which the group terminates and replaces; it looks away while the member is on standby.
    pub fn settle(&mut self, now: Instant) {
        self.settle_group(now);
        while let Some((at, next)) = self.turns.filter(|(at, _)| *at <= now) {
            self.state = next;
            self.turns = match next {
                State::ShuttingDown => Some((at + self.transition, State::Terminated)),
                State::Stopped
                    if self.auto_scaling_group.is_some()
                        && self.group.lifecycle_state != "Standby" =>
                {
                    Some((at + self.transition, State::ShuttingDown))
                }
                _ => None,
            };
        }
    }

    /// The state now.
    pub fn state_at(&mut self, now: Instant) -> State {
        self.settle(now);
        self.state
    }

    /// Goes into a passing state that ends in `last`.
    pub fn begin(&mut self, passing: State, last: State, reason: Option<&str>, now: Instant) {
        self.state = passing;
        self.turns = Some((now + self.transition, last));
        self.state_reason = reason.map(str::to_owned);
    }
}

/// The instance, shared between the services that tell of it.
#[derive(Clone, Debug, Default)]
pub struct SharedInstance(Arc<Mutex<Instance>>);

impl SharedInstance {
    /// Shares an instance.
    pub fn new(instance: Instance) -> Self {
        Self(Arc::new(Mutex::new(instance)))
    }

    /// Reads or changes it; whatever `change` returns is returned.
    pub fn with<T>(&self, change: impl FnOnce(&mut Instance) -> T) -> T {
        change(&mut locked(&self.0))
    }

    /// A copy of it as it is now.
    pub fn snapshot(&self) -> Instance {
        self.with(|instance| {
            instance.settle(Instant::now());
            instance.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_passes_through_stopping() {
        let mut instance = Instance::default();
        let start = Instant::now();
        instance.begin(
            State::Stopping,
            State::Stopped,
            Some("Client.UserInitiatedShutdown"),
            start,
        );
        assert_eq!(instance.state_at(start), State::Stopping);
        assert_eq!(instance.state_at(start + instance.transition), State::Stopped);
        assert_eq!(instance.state_at(start + Duration::from_hours(1)), State::Stopped);
    }

    #[test]
    fn a_stopped_group_member_is_terminated_by_its_group() {
        let mut instance =
            Instance { auto_scaling_group: Some("workers".into()), ..Instance::default() };
        let start = Instant::now();
        instance.begin(State::Stopping, State::Stopped, None, start);
        assert_eq!(instance.state_at(start + instance.transition * 9), State::Terminated);
        assert_eq!(instance.all_tags().get("aws:autoscaling:groupName").unwrap(), "workers");
    }

    #[test]
    fn a_member_on_standby_may_be_stopped() {
        let mut instance = Instance::in_group("workers", None);
        instance.group.lifecycle_state = "Standby".into();
        let start = Instant::now();
        instance.begin(State::Stopping, State::Stopped, None, start);
        assert_eq!(instance.state_at(start + Duration::from_hours(1)), State::Stopped);
    }

    #[test]
    fn clones_of_a_shared_instance_see_each_others_changes() {
        let shared = SharedInstance::new(Instance::default());
        let other = shared.clone();
        other.with(|instance| instance.region = "us-east-2".into());
        assert_eq!(shared.snapshot().availability_zone(), "us-east-2a");
    }
}
