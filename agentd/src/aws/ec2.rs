//! The EC2 calls of the agent. Every one that changes anything is about this instance alone: the id is fixed when the
//! client is made, and no call takes another.
//!
//! The SDK's retries are off for everything that changes something: the engine decides whether a call is made again.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use agent_core::action::{InstanceState, Power};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    AttributeBooleanValue, HibernationOptions, Instance, InstanceAttributeName,
    InstanceMetadataOptionsResponse, InstanceStateName, Reservation, SpotInstanceType, Tag,
};

use super::budget::Budget;
use super::client::client_config;
use super::credentials::CredentialSource;
use super::errors::CallError;
use super::http::{Gate, Transport, gated};
use super::identity::{Identity, InstanceId, Region};
use super::imds::BootClock;
use super::lost::call_error;

/// Calls that may be made at once: a preflight takes six, a round of `doctor` ten.
const BURST: u32 = 24;
/// One more call in this long.
const REFILL: Duration = Duration::from_secs(30);

/// Where and how EC2 is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ec2Settings {
    /// `AWS_ENDPOINT_URL_EC2` or `AWS_ENDPOINT_URL`; none: the Region's own.
    pub endpoint: Option<String>,
    /// `AWS_REGION`; none: the instance's own.
    pub region: Option<Region>,
    /// `AWS_USE_FIPS_ENDPOINT`.
    pub fips: bool,
    /// `AWS_USE_DUALSTACK_ENDPOINT`.
    pub dual_stack: bool,
}

/// A permission that the agent needs, as it is probed by a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To hibernate and to stop.
    StopInstances,
    /// To write tags.
    CreateTags,
    /// To look.
    DescribeInstances,
    /// To know the protections.
    DescribeInstanceAttribute,
    /// To know whether a spot instance can be stopped.
    DescribeSpotInstanceRequests,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 5] = [
        Self::StopInstances,
        Self::CreateTags,
        Self::DescribeInstances,
        Self::DescribeInstanceAttribute,
        Self::DescribeSpotInstanceRequests,
    ];

    /// The API action, which is also the IAM action after `ec2:`.
    pub const fn action(self) -> &'static str {
        match self {
            Self::StopInstances => "StopInstances",
            Self::CreateTags => "CreateTags",
            Self::DescribeInstances => "DescribeInstances",
            Self::DescribeInstanceAttribute => "DescribeInstanceAttribute",
            Self::DescribeSpotInstanceRequests => "DescribeSpotInstanceRequests",
        }
    }
}

/// This instance as `DescribeInstances` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its state.
    pub state: InstanceState,
    /// `HibernationOptions.Configured`.
    pub hibernation_configured: bool,
    /// The root volume is an instance store, which cannot be stopped.
    pub instance_store_root: bool,
    /// `InstanceLifecycle` is `spot`.
    pub is_spot: bool,
    /// The spot request, where there is one.
    pub spot_request: Option<String>,
    /// The tags.
    pub tags: BTreeMap<String, String>,
    /// `MetadataOptions.HttpPutResponseHopLimit`.
    pub hop_limit: Option<i32>,
    /// `StateReason`, `Client.UserInitiatedHibernate: …`.
    pub state_reason: Option<String>,
}

/// What of the instance's attributes matters for stopping it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// `disableApiStop`.
    pub stop_protection: bool,
    /// `instanceInitiatedShutdownBehavior` is `terminate`: a shutdown from inside destroys the instance.
    pub shutdown_terminates: bool,
}

/// The spot request of this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpotRequest {
    /// Persistent requests can be stopped, one-time requests cannot.
    pub persistent: bool,
    /// `active`, `cancelled` …
    pub state: String,
}

/// The EC2 client of this instance.
#[derive(Debug)]
pub struct Ec2 {
    client: Client,
    instance_id: InstanceId,
    clock: BootClockDebug,
    budget: Mutex<Budget>,
}

/// The clock, with the `Debug` that a function does not have.
struct BootClockDebug(BootClock);

impl core::fmt::Debug for BootClockDebug {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("BootClock")
    }
}

impl Ec2 {
    /// A client for the instance with this identity. Nothing is sent or loaded yet.
    pub fn new(
        identity: &Identity,
        settings: &Ec2Settings,
        credentials: CredentialSource,
        transport: Transport,
        clock: BootClock,
    ) -> Self {
        let region = settings.region.as_ref().unwrap_or(&identity.region);
        let limit = Duration::from_secs(25);
        let endpoint = settings.endpoint.clone();
        let config =
            client_config!(aws_sdk_ec2, region, endpoint, settings, credentials, transport, limit);
        let budget = Mutex::new(Budget::new(BURST, REFILL, clock()));
        Self {
            client: Client::from_conf(config),
            instance_id: identity.instance_id.clone(),
            clock: BootClockDebug(clock),
            budget,
        }
    }

    /// The same client with a limit of its own, so that whoever uses it cannot use up this one's.
    #[must_use]
    pub fn with_own_limit(&self) -> Self {
        let clock = self.clock.0.clone();
        Self {
            client: self.client.clone(),
            instance_id: self.instance_id.clone(),
            budget: Mutex::new(Budget::new(BURST, REFILL, clock())),
            clock: BootClockDebug(clock),
        }
    }

    /// The instance that every call is about.
    pub fn instance_id(&self) -> &InstanceId {
        &self.instance_id
    }

    fn id(&self) -> &str {
        self.instance_id.as_str()
    }

    /// Takes one call from the agent's own limit.
    fn charge(&self, action: &'static str) -> Result<(), CallError> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.take((self.clock.0)()).map_err(|room_in| CallError::Budget { action, room_in })
    }

    /// `StopInstances`, once. The answer is the state that EC2 reports. It is never held back by the agent's own
    /// limit; an answer that does not mention this instance is an error, because then nobody knows what happened.
    pub async fn stop(&self, power: Power) -> Result<InstanceState, CallError> {
        const ACTION: &str = "StopInstances";
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).take_anyway((self.clock.0)());
        let request = self
            .client
            .stop_instances()
            .instance_ids(self.id())
            .hibernate(power == Power::Hibernate);
        let output = request.send().await.map_err(|error| call_error(ACTION, &error))?;
        let change = output
            .stopping_instances()
            .iter()
            .find(|change| change.instance_id() == Some(self.id()));
        let state = change.and_then(|change| change.current_state()).and_then(|state| state.name());
        state.and_then(instance_state).ok_or_else(|| missing(ACTION, "the state of this instance"))
    }

    /// The same, unless `gate` forbids it at the last moment before the request leaves the machine.
    pub async fn stop_through(&self, power: Power, gate: Gate) -> Result<InstanceState, CallError> {
        gated(gate, self.stop(power)).await
    }

    /// `CreateTags` with all of these at once.
    pub async fn create_tags(&self, tags: &[(String, String)]) -> Result<(), CallError> {
        const ACTION: &str = "CreateTags";
        self.charge(ACTION)?;
        let tags =
            tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let request = self.client.create_tags().resources(self.id()).set_tags(Some(tags));
        request.send().await.map(drop).map_err(|error| call_error(ACTION, &error))
    }

    /// `DescribeInstances` of this instance.
    pub async fn describe(&self) -> Result<Description, CallError> {
        const ACTION: &str = "DescribeInstances";
        self.charge(ACTION)?;
        let request = self.client.describe_instances().instance_ids(self.id());
        let output = request.send().await.map_err(|error| call_error(ACTION, &error))?;
        let mut instances = output.reservations().iter().flat_map(Reservation::instances);
        let instance = instances.find(|instance| instance.instance_id() == Some(self.id()));
        let instance = instance.ok_or_else(|| missing(ACTION, "this instance"))?;
        describe(instance).ok_or_else(|| missing(ACTION, "a known state of this instance"))
    }

    /// `DescribeInstanceAttribute`, one call for each of the two attributes.
    pub async fn attributes(&self) -> Result<Attributes, CallError> {
        const ACTION: &str = "DescribeInstanceAttribute";
        let ask = async |name| {
            self.charge(ACTION)?;
            let request =
                self.client.describe_instance_attribute().instance_id(self.id()).attribute(name);
            request.send().await.map_err(|error| call_error(ACTION, &error))
        };
        let stop = ask(InstanceAttributeName::DisableApiStop).await?;
        let stop_protection = stop.disable_api_stop().and_then(AttributeBooleanValue::value);
        let shutdown = ask(InstanceAttributeName::InstanceInitiatedShutdownBehavior).await?;
        let behavior =
            shutdown.instance_initiated_shutdown_behavior().and_then(|value| value.value());
        Ok(Attributes {
            stop_protection: stop_protection.ok_or_else(|| missing(ACTION, "disableApiStop"))?,
            shutdown_terminates: match behavior {
                Some("stop") => false,
                Some("terminate") => true,
                _ => return Err(missing(ACTION, "instanceInitiatedShutdownBehavior")),
            },
        })
    }

    /// `DescribeSpotInstanceRequests` of the request that launched this instance.
    pub async fn spot_request(&self, id: &str) -> Result<SpotRequest, CallError> {
        const ACTION: &str = "DescribeSpotInstanceRequests";
        self.charge(ACTION)?;
        let request = self.client.describe_spot_instance_requests().spot_instance_request_ids(id);
        let output = request.send().await.map_err(|error| call_error(ACTION, &error))?;
        let found = output
            .spot_instance_requests()
            .iter()
            .find(|one| one.spot_instance_request_id() == Some(id));
        let found = found.ok_or_else(|| missing(ACTION, "the spot request of this instance"))?;
        Ok(SpotRequest {
            persistent: found.r#type() == Some(&SpotInstanceType::Persistent),
            state: found
                .state()
                .map_or_else(|| "unknown".to_owned(), |state| state.as_str().to_owned()),
        })
    }

    /// Asks whether the role has a permission, without doing anything. (`DryRun`: EC2 answers with the error
    /// `DryRunOperation` where the call would have been permitted.)
    ///
    /// A policy may allow certain tag keys only, so `CreateTags` is tried with the keys that will be written.
    pub async fn dry_run(
        &self,
        permission: Permission,
        tag_keys: &[String],
    ) -> Result<(), CallError> {
        let action = permission.action();
        self.charge(action)?;
        match self.send_dry_run(permission, tag_keys).await {
            Err(error) if error.is_dry_run_success() => Ok(()),
            Err(error) => Err(error),
            // Looking for real changes nothing, so an endpoint that ignores the flag there has shown the same.
            Ok(()) if action.starts_with("Describe") => Ok(()),
            Ok(()) => Err(CallError::Garbled {
                action,
                why: "the endpoint does not honour DryRun".to_owned(),
            }),
        }
    }

    async fn send_dry_run(
        &self,
        permission: Permission,
        tag_keys: &[String],
    ) -> Result<(), CallError> {
        let (client, id, action) = (&self.client, self.id(), permission.action());
        match permission {
            Permission::StopInstances => {
                let sent = client.stop_instances().instance_ids(id).dry_run(true).send().await;
                sent.map(drop).map_err(|error| call_error(action, &error))
            }
            Permission::CreateTags => {
                let tag = |key: &String| Tag::builder().key(key).value("").build();
                let tags = Some(tag_keys.iter().map(tag).collect());
                let request = client.create_tags().resources(id).set_tags(tags).dry_run(true);
                let sent = request.send().await;
                sent.map(drop).map_err(|error| call_error(action, &error))
            }
            Permission::DescribeInstances => {
                let sent = client.describe_instances().instance_ids(id).dry_run(true).send().await;
                sent.map(drop).map_err(|error| call_error(action, &error))
            }
            Permission::DescribeInstanceAttribute => {
                let name = InstanceAttributeName::DisableApiStop;
                let request = client.describe_instance_attribute().instance_id(id).attribute(name);
                request
                    .dry_run(true)
                    .send()
                    .await
                    .map(drop)
                    .map_err(|error| call_error(action, &error))
            }
            Permission::DescribeSpotInstanceRequests => {
                let sent = client.describe_spot_instance_requests().dry_run(true).send().await;
                sent.map(drop).map_err(|error| call_error(action, &error))
            }
        }
    }
}

fn missing(action: &'static str, what: &str) -> CallError {
    CallError::Garbled { action, why: format!("it does not contain {what}") }
}

fn describe(instance: &Instance) -> Option<Description> {
    let tags = instance
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
    let reason = instance.state_reason().map(|reason| {
        let (code, message) =
            (reason.code().unwrap_or_default(), reason.message().unwrap_or_default());
        if message.starts_with(code) { message.to_owned() } else { format!("{code}: {message}") }
    });
    Some(Description {
        state: instance.state().and_then(|state| state.name()).and_then(instance_state)?,
        hibernation_configured: instance
            .hibernation_options()
            .and_then(HibernationOptions::configured)
            == Some(true),
        instance_store_root: instance
            .root_device_type()
            .is_some_and(|kind| kind.as_str() == "instance-store"),
        is_spot: instance.instance_lifecycle().is_some_and(|cycle| cycle.as_str() == "spot"),
        spot_request: instance
            .spot_instance_request_id()
            .filter(|id| !id.is_empty())
            .map(str::to_owned),
        tags: tags.collect(),
        hop_limit: instance
            .metadata_options()
            .and_then(InstanceMetadataOptionsResponse::http_put_response_hop_limit),
        state_reason: reason.filter(|text| text != ": "),
    })
}

fn instance_state(name: &InstanceStateName) -> Option<InstanceState> {
    Some(match name {
        InstanceStateName::Pending => InstanceState::Pending,
        InstanceStateName::Running => InstanceState::Running,
        InstanceStateName::Stopping => InstanceState::Stopping,
        InstanceStateName::Stopped => InstanceState::Stopped,
        InstanceStateName::ShuttingDown => InstanceState::ShuttingDown,
        InstanceStateName::Terminated => InstanceState::Terminated,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
