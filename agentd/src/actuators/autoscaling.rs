//! Talks with the Auto Scaling group of this instance: a drain goes on, a drain is over, out of service and back.
//!
//! The group is found from the instance's own identity, so nobody can name another one.

use core::time::Duration;

use agent_core::action::{Outcome, Retry};
use agent_core::interruption::GroupCall;
use tokio::time::{Instant, sleep};

use super::{ActuatorSpec, again};
use crate::aws::Cloud;
use crate::aws::autoscaling::{AutoScaling, Membership, outcome};
use crate::aws::errors::CallError;

pub(super) const SPEC: ActuatorSpec = ActuatorSpec {
    name: "autoscaling",
    about: "tells the instance's Auto Scaling group that it drains, that it may go, and takes it out of service",
    iam: &[
        "autoscaling:CompleteLifecycleAction",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLifecycleHooks",
        "autoscaling:EnterStandby",
        "autoscaling:ExitStandby",
        "autoscaling:RecordLifecycleActionHeartbeat",
    ],
    deadline: Duration::from_secs(90),
};

/// How long the group may take to put the instance on standby: it drains the load balancers first.
const STANDBY: Duration = Duration::from_mins(1);
/// Between two looks at it.
const LOOK: Duration = Duration::from_secs(3);

/// How long and how often standby is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    most: Duration,
    look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { most: STANDBY, look: LOOK }
    }
}

/// Makes one request of the group.
pub(super) async fn call(cloud: &Cloud, call: GroupCall, patience: Patience) -> Outcome {
    let identity = match cloud.identify().await {
        Ok(identity) => identity,
        Err(error) => return again(error.to_string()),
    };
    let client = cloud.auto_scaling(&identity);
    let result = match call {
        GroupCall::Heartbeat => each_hook(&client, Sign::Heartbeat).await,
        GroupCall::Complete => each_hook(&client, Sign::Complete).await,
        GroupCall::EnterStandby => enter_standby(&client, patience).await,
        GroupCall::ExitStandby => exit_standby(&client).await,
    };
    result.unwrap_or_else(|error| outcome(&error))
}

/// What a lifecycle hook is told.
#[derive(Clone, Copy)]
enum Sign {
    Heartbeat,
    Complete,
}

fn already(detail: impl Into<String>) -> Outcome {
    Outcome::Already { detail: detail.into() }
}

/// Tells every terminating hook of the group. One that fails does not keep the others from being told.
async fn each_hook(client: &AutoScaling, sign: Sign) -> Result<Outcome, CallError> {
    let Some(group) = client.group().await? else {
        return Ok(already("the instance is in no Auto Scaling group"));
    };
    let hooks = client.terminating_hooks(&group).await?;
    if hooks.is_empty() {
        return Ok(already("the group has no terminating lifecycle hook"));
    }
    let (mut told, mut nothing, mut worst) = (Vec::new(), Vec::new(), None);
    for hook in &hooks {
        let sent = match sign {
            Sign::Heartbeat => client.heartbeat(&group, &hook.name).await,
            Sign::Complete => client.complete(&group, &hook.name).await,
        };
        match sent.as_ref().map_err(outcome) {
            Ok(()) => told.push(hook.name.as_str()),
            Err(Outcome::Already { .. }) => nothing.push(hook.name.as_str()),
            Err(failed) => worst = Some(failed),
        }
    }
    Ok(match worst {
        Some(failed) => failed,
        None if told.is_empty() => {
            already(format!("the hooks of {group} wait for nothing: {}", nothing.join(", ")))
        }
        None => {
            let what = match sign {
                Sign::Heartbeat => "waits on",
                Sign::Complete => "lets the instance go",
            };
            Outcome::Done { detail: format!("{group} {what}: {}", told.join(", ")) }
        }
    })
}

/// Takes the instance out of service, and waits until it is.
async fn enter_standby(client: &AutoScaling, patience: Patience) -> Result<Outcome, CallError> {
    let Some(Membership { group, state }) = client.membership().await? else {
        return Ok(already("the instance is in no Auto Scaling group"));
    };
    match state.as_str() {
        "Standby" => return Ok(already(format!("the instance is on standby in {group}"))),
        // Asked for before; only the wait is left.
        "EnteringStandby" => {}
        _ => client.enter_standby(&group).await?,
    }
    let until = Instant::now() + patience.most;
    let mut seen = state;
    loop {
        match client.membership().await {
            Ok(Some(now)) if now.state == "Standby" => {
                return Ok(Outcome::Done {
                    detail: format!("{group} put the instance on standby"),
                });
            }
            Ok(Some(now)) => seen = now.state,
            Ok(None) => return Ok(already("the instance is in no Auto Scaling group any more")),
            // What passes is waited for; the rest is told.
            Err(error) => match outcome(&error) {
                Outcome::Failed { retry: Retry::After { .. }, .. } => {}
                other => return Ok(other),
            },
        }
        if Instant::now() + patience.look > until {
            let waited = patience.most.as_secs();
            return Ok(again(format!(
                "put the instance on standby in {group} within {waited} s: it is {seen}"
            )));
        }
        sleep(patience.look).await;
    }
}

/// Puts the instance back into service.
async fn exit_standby(client: &AutoScaling) -> Result<Outcome, CallError> {
    let Some(Membership { group, state }) = client.membership().await? else {
        return Ok(already("the instance is in no Auto Scaling group"));
    };
    match state.as_str() {
        "Standby" => {
            client.exit_standby(&group).await?;
            Ok(Outcome::Done { detail: format!("{group} takes the instance back into service") })
        }
        // It cannot be taken back before it is there.
        "EnteringStandby" => {
            Ok(again(format!("take the instance back from {group}: it is {state}")))
        }
        _ => Ok(already(format!("the instance is {state} in {group}"))),
    }
}

#[cfg(test)]
mod tests;
