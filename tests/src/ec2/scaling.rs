//! Auto Scaling: the calls that an instance makes about itself, with the rules and messages of the real service (Auto Scaling
//! API Reference). A group here has one instance; without one nothing is a member.

use std::time::Instant;

use super::query::Query;
use super::refusal::Refusal;
use super::xml::{Node, text, tree};
use crate::instance::Instance;

/// The whole time of a lifecycle action is this many times the hook's timeout, and never more than two days.
const HEARTBEATS: u64 = 100;
const LONGEST: u64 = 48 * 3_600;

/// Carries out one call.
pub(super) fn carry_out(
    action: &str,
    query: &Query,
    instance: &mut Instance,
    now: Instant,
) -> Result<Vec<Node>, Refusal> {
    match action {
        "DescribeAutoScalingInstances" => Ok(describe(query, instance)),
        "DescribeLifecycleHooks" => hooks(query, instance),
        "RecordLifecycleActionHeartbeat" => {
            let hook = lifecycle_hook(query, instance)?;
            active(instance.heartbeat(&hook, now), query)
        }
        "CompleteLifecycleAction" => {
            let result = query.get("LifecycleActionResult").unwrap_or_default();
            if !matches!(result, "CONTINUE" | "ABANDON") {
                return Err(invalid(format!(
                    "1 validation error detected: Value '{result}' at 'lifecycleActionResult' is not valid"
                )));
            }
            let hook = lifecycle_hook(query, instance)?;
            active(instance.complete(&hook, now), query)
        }
        "EnterStandby" => enter_standby(query, instance),
        "ExitStandby" => exit_standby(query, instance),
        other => Err(Refusal::new(
            "InvalidAction",
            400,
            format!("Could not find operation {other} for version 2011-01-01"),
        )),
    }
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("ValidationError", 400, message)
}

/// The named group must be the instance's own.
fn group(query: &Query, instance: &Instance) -> Result<String, Refusal> {
    let named = query.get("AutoScalingGroupName").unwrap_or_default();
    if instance.auto_scaling_group.as_deref() == Some(named) {
        return Ok(named.to_owned());
    }
    Err(invalid("AutoScalingGroup name not found - null"))
}

fn lifecycle_hook(query: &Query, instance: &Instance) -> Result<String, Refusal> {
    group(query, instance)?;
    let hook = query.get("LifecycleHookName").unwrap_or_default();
    if query.get("InstanceId") == Some(&instance.id) || query.get("LifecycleActionToken").is_some()
    {
        return Ok(hook.to_owned());
    }
    active(false, query).map(|_| String::new())
}

/// What heartbeats and completions answer.
fn active(found: bool, query: &Query) -> Result<Vec<Node>, Refusal> {
    let id = query.get("InstanceId").unwrap_or("null");
    let none = || invalid(format!("No active Lifecycle Action found with instance ID {id}"));
    found.then(Vec::new).ok_or_else(none)
}

fn describe(query: &Query, instance: &Instance) -> Vec<Node> {
    let asked = query.list("InstanceIds.member");
    let wanted = asked.is_empty() || asked.contains(&&*instance.id);
    let member = instance.auto_scaling_group.as_ref().filter(|_| wanted).map(|group| {
        tree(
            "member",
            vec![
                text("InstanceId", &*instance.id),
                text("InstanceType", &*instance.instance_type),
                text("AutoScalingGroupName", &**group),
                text("AvailabilityZone", instance.availability_zone()),
                text("LifecycleState", &*instance.group.lifecycle_state),
                text("HealthStatus", "HEALTHY"),
                text("ProtectedFromScaleIn", "false"),
            ],
        )
    });
    vec![tree("AutoScalingInstances", member.into_iter().collect())]
}

fn hooks(query: &Query, instance: &Instance) -> Result<Vec<Node>, Refusal> {
    let group = group(query, instance)?;
    let asked = query.list("LifecycleHookNames.member");
    let wanted = |name: &str| asked.is_empty() || asked.contains(&name);
    let known = instance.group.hooks.iter().filter(|hook| wanted(&hook.name)).map(|hook| {
        let timeout = hook.heartbeat_timeout.as_secs();
        tree(
            "member",
            vec![
                text("LifecycleHookName", &*hook.name),
                text("AutoScalingGroupName", &*group),
                text("LifecycleTransition", "autoscaling:EC2_INSTANCE_TERMINATING"),
                text("HeartbeatTimeout", timeout.to_string()),
                text("GlobalTimeout", (timeout * HEARTBEATS).min(LONGEST).to_string()),
                text("DefaultResult", "ABANDON"),
            ],
        )
    });
    Ok(vec![tree("LifecycleHooks", known.collect())])
}

/// The call names the instance, which is in this state.
fn in_state(query: &Query, instance: &Instance, state: &str) -> Result<(), Refusal> {
    let named = query.list("InstanceIds.member");
    let id = named.first().copied().unwrap_or("null");
    if id != instance.id {
        return Err(invalid(format!(
            "The instance {id} is not part of Auto Scaling group {}.",
            query.get("AutoScalingGroupName").unwrap_or_default()
        )));
    }
    let right = instance.group.lifecycle_state == state;
    right.then_some(()).ok_or_else(|| invalid(format!("The instance {id} is not in {state}.")))
}

fn enter_standby(query: &Query, instance: &mut Instance) -> Result<Vec<Node>, Refusal> {
    let name = group(query, instance)?;
    in_state(query, instance, "InService")?;
    let group = &mut instance.group;
    match query.get("ShouldDecrementDesiredCapacity") {
        None => return Err(invalid("ShouldDecrementDesiredCapacity is required")),
        Some("true") if group.desired_capacity <= group.min_size => {
            return Err(invalid(format!(
                "AutoScalingGroup {name} has min-size={}, max-size={}, and desired-size={}. To place into standby 1 instance, \
                 please update the AutoScalingGroup sizes appropriately.",
                group.min_size, group.max_size, group.desired_capacity
            )));
        }
        Some("true") => group.desired_capacity -= 1,
        Some(_) => {}
    }
    group.lifecycle_state = "Standby".into();
    instance.target_lifecycle_state = Some("Standby".into());
    Ok(activity(instance, "Moving EC2 instance to Standby"))
}

fn exit_standby(query: &Query, instance: &mut Instance) -> Result<Vec<Node>, Refusal> {
    let name = group(query, instance)?;
    in_state(query, instance, "Standby")?;
    let group = &mut instance.group;
    if group.desired_capacity >= group.max_size {
        return Err(invalid(format!(
            "AutoScalingGroup {name} has min-size={}, max-size={}, and desired-size={}. To move 1 instance out of standby, \
             please update the AutoScalingGroup sizes appropriately.",
            group.min_size, group.max_size, group.desired_capacity
        )));
    }
    group.desired_capacity += 1;
    group.lifecycle_state = "InService".into();
    instance.target_lifecycle_state = Some("InService".into());
    Ok(activity(instance, "Moving EC2 instance out of Standby"))
}

fn activity(instance: &Instance, what: &str) -> Vec<Node> {
    let member = vec![
        text("ActivityId", "00000000-0000-4000-8000-00000000ac71"),
        text("AutoScalingGroupName", instance.auto_scaling_group.clone().unwrap_or_default()),
        text("Description", format!("{what}: {}", instance.id)),
        text("Cause", "simulated"),
        text("StartTime", "2026-01-01T00:00:00.000Z"),
        text("StatusCode", "InProgress"),
        text("Progress", "50"),
    ];
    vec![tree("Activities", vec![tree("member", member)])]
}
