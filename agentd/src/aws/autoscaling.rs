//! The Auto Scaling calls of the agent. Every one that changes anything is about this instance alone: the id is fixed when
//! the client is made.
//!
//! The SDK's retries are off: the engine decides whether a call is made again. (Amazon EC2 Auto Scaling API Reference,
//! version 2011-01-01.)

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use agent_core::action::{Outcome, Refusal, Retry};
use aws_sdk_autoscaling::Client;

use super::budget::Budget;
use super::client::client_config;
use super::credentials::CredentialSource;
use super::ec2::Ec2Settings;
use super::errors::CallError;
use super::http::Transport;
use super::identity::{Identity, InstanceId};
use super::imds::BootClock;
use super::lost::call_error;

/// Calls that may be made at once: going on standby looks for a minute.
const BURST: u32 = 40;
/// One more call in this long: a heartbeat is due every few minutes at most.
const REFILL: Duration = Duration::from_secs(15);
/// For one call.
const TIMEOUT: Duration = Duration::from_secs(5);
/// After a call that failed in passing.
const PAUSE: Duration = Duration::from_secs(5);
/// The transition of the hooks that hold a termination back.
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// This instance as its group sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group's name.
    pub group: String,
    /// `LifecycleState`: `InService`, `Terminating:Wait`, `Standby` …
    pub state: String,
}

/// A lifecycle hook that holds the termination of a member back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminatingHook {
    /// Its name.
    pub name: String,
    /// `HeartbeatTimeout`: so long it waits for a sign.
    pub heartbeat: Option<Duration>,
}

/// The Auto Scaling client of this instance.
pub struct AutoScaling {
    client: Client,
    instance_id: InstanceId,
    clock: BootClock,
    budget: Mutex<Budget>,
    group: Mutex<Option<String>>,
}

impl core::fmt::Debug for AutoScaling {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AutoScaling")
            .field("instance_id", &self.instance_id)
            .finish_non_exhaustive()
    }
}

impl AutoScaling {
    /// A client for the instance with this identity, at `endpoint` or at the Region's own. Nothing is sent or loaded yet.
    pub fn new(
        identity: &Identity,
        endpoint: Option<&str>,
        settings: &Ec2Settings,
        credentials: CredentialSource,
        transport: Transport,
        clock: BootClock,
    ) -> Self {
        let region = settings.region.as_ref().unwrap_or(&identity.region);
        let config = client_config!(
            aws_sdk_autoscaling,
            region,
            endpoint,
            settings,
            credentials,
            transport,
            TIMEOUT
        );
        Self {
            client: Client::from_conf(config),
            instance_id: identity.instance_id.clone(),
            budget: Mutex::new(Budget::new(BURST, REFILL, clock())),
            clock,
            group: Mutex::new(None),
        }
    }

    /// The same client with a limit of its own, so that whoever uses it cannot use up this one's.
    #[must_use]
    pub fn with_own_limit(&self) -> Self {
        Self {
            client: self.client.clone(),
            instance_id: self.instance_id.clone(),
            budget: Mutex::new(Budget::new(BURST, REFILL, (self.clock)())),
            clock: self.clock.clone(),
            group: Mutex::new(None),
        }
    }

    fn id(&self) -> &str {
        self.instance_id.as_str()
    }

    fn charge(&self, action: &'static str) -> Result<(), CallError> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.take((self.clock)()).map_err(|room_in| CallError::Budget { action, room_in })
    }

    /// `DescribeAutoScalingInstances` of this instance; none: it is no member of a group.
    pub async fn membership(&self) -> Result<Option<Membership>, CallError> {
        const ACTION: &str = "DescribeAutoScalingInstances";
        self.charge(ACTION)?;
        let request = self.client.describe_auto_scaling_instances().instance_ids(self.id());
        let output = request.send().await.map_err(|error| call_error(ACTION, &error))?;
        let mut instances = output.auto_scaling_instances().iter();
        let found = instances.find(|one| one.instance_id() == Some(self.id()));
        let membership = match found {
            None => None,
            Some(one) => match (one.auto_scaling_group_name(), one.lifecycle_state()) {
                (Some(group), Some(state)) if !group.is_empty() => {
                    Some(Membership { group: group.to_owned(), state: state.to_owned() })
                }
                _ => {
                    let why = "it does not contain the group and the state of this instance";
                    return Err(CallError::Garbled { action: ACTION, why: why.to_owned() });
                }
            },
        };
        let group = membership.as_ref().map(|membership| membership.group.clone());
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = group;
        Ok(membership)
    }

    /// The name of the group, asked for once: an instance does not change from one group to another while it is
    /// terminated.
    pub async fn group(&self) -> Result<Option<String>, CallError> {
        let known = self.group.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(group) => Ok(Some(group)),
            None => Ok(self.membership().await?.map(|membership| membership.group)),
        }
    }

    /// `DescribeLifecycleHooks`: those that hold a termination back.
    pub async fn terminating_hooks(&self, group: &str) -> Result<Vec<TerminatingHook>, CallError> {
        const ACTION: &str = "DescribeLifecycleHooks";
        self.charge(ACTION)?;
        let request = self.client.describe_lifecycle_hooks().auto_scaling_group_name(group);
        let output = request.send().await.map_err(|error| call_error(ACTION, &error))?;
        let holds = output
            .lifecycle_hooks()
            .iter()
            .filter(|hook| hook.lifecycle_transition() == Some(TERMINATING));
        let named = holds.filter_map(|hook| {
            let seconds = hook.heartbeat_timeout().and_then(|seconds| u64::try_from(seconds).ok());
            let heartbeat = seconds.map(Duration::from_secs);
            Some(TerminatingHook { name: hook.lifecycle_hook_name()?.to_owned(), heartbeat })
        });
        Ok(named.collect())
    }

    /// `RecordLifecycleActionHeartbeat`: the hook waits for its whole time again.
    pub async fn heartbeat(&self, group: &str, hook: &str) -> Result<(), CallError> {
        const ACTION: &str = "RecordLifecycleActionHeartbeat";
        self.charge(ACTION)?;
        let request = self
            .client
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(group)
            .lifecycle_hook_name(hook)
            .instance_id(self.id());
        request.send().await.map(drop).map_err(|error| call_error(ACTION, &error))
    }

    /// `CompleteLifecycleAction` with `CONTINUE`. Either result ends in the termination; this one lets the other hooks of
    /// the group go on. It is never held back by the agent's own limit.
    pub async fn complete(&self, group: &str, hook: &str) -> Result<(), CallError> {
        const ACTION: &str = "CompleteLifecycleAction";
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).take_anyway((self.clock)());
        let request = self
            .client
            .complete_lifecycle_action()
            .auto_scaling_group_name(group)
            .lifecycle_hook_name(hook)
            .instance_id(self.id())
            .lifecycle_action_result("CONTINUE");
        request.send().await.map(drop).map_err(|error| call_error(ACTION, &error))
    }

    /// `EnterStandby`. The group gets smaller by one, so that it starts no other instance for this one.
    pub async fn enter_standby(&self, group: &str) -> Result<(), CallError> {
        const ACTION: &str = "EnterStandby";
        self.charge(ACTION)?;
        let request = self
            .client
            .enter_standby()
            .auto_scaling_group_name(group)
            .instance_ids(self.id())
            .should_decrement_desired_capacity(true);
        request.send().await.map(drop).map_err(|error| call_error(ACTION, &error))
    }

    /// `ExitStandby`. The group gets larger by one again.
    pub async fn exit_standby(&self, group: &str) -> Result<(), CallError> {
        const ACTION: &str = "ExitStandby";
        self.charge(ACTION)?;
        let request =
            self.client.exit_standby().auto_scaling_group_name(group).instance_ids(self.id());
        request.send().await.map(drop).map_err(|error| call_error(ACTION, &error))
    }
}

/// The table: a failed call as the engine takes it. Each of these calls is harmless when it is repeated, so an answer that was
/// lost is asked for again.
pub fn outcome(error: &CallError) -> Outcome {
    if let CallError::Api { code, message, .. } = error {
        match code.as_str() {
            "ValidationError" => return invalid(error, message),
            // Another activity of the group, or a call of somebody else, is under way.
            "ScalingActivityInProgress" | "ResourceContention" | "ResourceContentionFault" => {
                return again(error);
            }
            _ => {}
        }
    }
    match error.outcome() {
        Outcome::Failed { retry: Retry::InDoubt, .. } => again(error),
        other => other,
    }
}

fn again(error: &CallError) -> Outcome {
    Outcome::Failed { error: error.to_string(), retry: Retry::after(PAUSE) }
}

/// `ValidationError` by its message. The texts are as the public callers of Auto Scaling quote them; only the words that
/// carry the meaning are looked for.
fn invalid(error: &CallError, message: &str) -> Outcome {
    let text = message.to_ascii_lowercase();
    let says = |words: &str| text.contains(words);
    if says("no active lifecycle action found") {
        return Outcome::Already { detail: message.to_owned() };
    }
    // "AutoScalingGroup X has min-size=1, max-size=1, and desired-size=1. To place into standby 1 instance, please update the
    // AutoScalingGroup sizes appropriately."
    let sizes = says("autoscalinggroup sizes") || says("min size") || says("minsize");
    if sizes || (says("min-size=") && says("desired-size=")) {
        return refused(
            "auto-scaling-min-size",
            format!(
                "{message}; lower the group's minimum size by one, or idle.autoscaling = \"refuse\""
            ),
        );
    }
    if says("max size") || says("max-size") || says("maxsize") {
        return refused(
            "auto-scaling-max-size",
            format!("{message}; raise the group's maximum size by one"),
        );
    }
    // The lifecycle state is another one for the moment: Pending, EnteringStandby, Terminating.
    if says("is not in inservice") || says("is not in standby") || says("not in correct state") {
        return again(error);
    }
    Outcome::Failed { error: error.to_string(), retry: Retry::Never }
}

fn refused(code: &str, detail: String) -> Outcome {
    Outcome::Refused(Refusal { code: code.to_owned(), detail, hibernation_only: false })
}

#[cfg(test)]
mod tests;
