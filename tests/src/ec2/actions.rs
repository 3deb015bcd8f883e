//! The actions, each with the rules that EC2 applies to it.

use std::time::Instant;

use super::query::Query;
use super::refusal::Refusal;
use super::rules::{is_instance_id, named_instances, only_own};
use super::xml::{self, Node, text, tree};
use crate::instance::{Instance, State};
use crate::wire::Reply;

/// The most tags of a resource, those of AWS apart.
const MOST_TAGS: usize = 50;

/// Carries out one call on the account's only instance.
pub(super) fn carry_out(
    action: &str,
    query: &Query,
    instance: &mut Instance,
    now: Instant,
) -> Result<Reply, Refusal> {
    let children = match action {
        "StopInstances" => stop(query, instance, now)?,
        "StartInstances" => start(query, instance, now)?,
        "CreateTags" => create_tags(query, instance)?,
        "DescribeInstances" => describe(query, instance)?,
        "DescribeInstanceAttribute" => attribute(query, instance)?,
        "DescribeSpotInstanceRequests" => spot_requests(query, instance)?,
        other => {
            let message = format!("The action {other} is not valid for this web service.");
            return Err(Refusal::new("InvalidAction", 400, message));
        }
    };
    let body = xml::document(action, "00000000-0000-4000-8000-000000000000", &children);
    Ok(Reply::new(200, "text/xml;charset=UTF-8", body))
}

fn stop(query: &Query, instance: &mut Instance, now: Instant) -> Result<Vec<Node>, Refusal> {
    only_own(&named_instances(query), &instance.id, "InstanceId")?;
    let hibernate = query.get("Hibernate").is_some_and(|yes| yes.eq_ignore_ascii_case("true"));
    let id = instance.id.clone();
    if instance.spot.as_ref().is_some_and(|spot| spot.kind == "one-time") {
        return Err(Refusal::one_time_spot(&id));
    }
    if instance.fleet.is_some() {
        return Err(Refusal::in_fleet(&id));
    }
    if instance.stop_protected {
        return Err(Refusal::protected(&id));
    }
    if hibernate && !instance.hibernation_configured {
        return Err(Refusal::not_configured(&id));
    }
    let previous = instance.state;
    match previous {
        State::Running => {}
        // Stopping what stops or is stopped changes nothing and succeeds.
        State::Stopping | State::Stopped => return Ok(state_change(instance, previous)),
        State::Pending | State::ShuttingDown | State::Terminated => {
            return Err(Refusal::wrong_state(&id, "stopped"));
        }
    }
    if hibernate && instance.hibernation_ready_at.is_some_and(|ready| now < ready) {
        return Err(Refusal::not_ready(&id));
    }
    let reason =
        if hibernate { "Client.UserInitiatedHibernate" } else { "Client.UserInitiatedShutdown" };
    instance.begin(State::Stopping, State::Stopped, Some(reason), now);
    Ok(state_change(instance, previous))
}

fn start(query: &Query, instance: &mut Instance, now: Instant) -> Result<Vec<Node>, Refusal> {
    only_own(&named_instances(query), &instance.id, "InstanceId")?;
    if instance.spot.as_ref().is_some_and(|spot| spot.state == "disabled") {
        return Err(Refusal::usual("IncorrectSpotRequestState"));
    }
    let previous = instance.state;
    match previous {
        State::Pending | State::Running => {}
        State::Stopped => instance.begin(State::Pending, State::Running, None, now),
        State::Stopping | State::ShuttingDown | State::Terminated => {
            return Err(Refusal::wrong_state(&instance.id, "started"));
        }
    }
    Ok(state_change(instance, previous))
}

fn state_change(instance: &Instance, previous: State) -> Vec<Node> {
    let item = vec![
        text("instanceId", &*instance.id),
        state("currentState", instance.state),
        state("previousState", previous),
    ];
    vec![tree("instancesSet", vec![tree("item", item)])]
}

fn state(name: &'static str, state: State) -> Node {
    tree(name, vec![text("code", state.code().to_string()), text("name", state.name())])
}

fn create_tags(query: &Query, instance: &mut Instance) -> Result<Vec<Node>, Refusal> {
    only_own(&named_instances(query), &instance.id, "ResourceId")?;
    let mut tags = instance.tags.clone();
    for index in 1.. {
        let Some(key) = query.get(&format!("Tag.{index}.Key")) else { break };
        let value = query.get(&format!("Tag.{index}.Value")).unwrap_or_default();
        let wrong = |message: String| Refusal::new("InvalidParameterValue", 400, message);
        if key.starts_with("aws:") {
            return Err(wrong(
                "Tag keys starting with 'aws:' are reserved for internal use".into(),
            ));
        }
        if key.is_empty() || key.chars().count() > 127 {
            return Err(wrong(format!(
                "Tag key exceeds the maximum length of 127 characters: '{key}'"
            )));
        }
        if value.chars().count() > 256 {
            return Err(wrong(format!(
                "Tag value exceeds the maximum length of 256 characters: '{value}'"
            )));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    if query.get("Tag.1.Key").is_none() {
        return Err(Refusal::missing("Tag"));
    }
    if tags.len() > MOST_TAGS {
        return Err(Refusal::usual("TagLimitExceeded"));
    }
    instance.tags = tags;
    Ok(vec![text("return", "true")])
}

fn describe(query: &Query, instance: &Instance) -> Result<Vec<Node>, Refusal> {
    let named = named_instances(query);
    if !named.is_empty() {
        only_own(&named, &instance.id, "InstanceId")?;
    }
    let filtered = filter(query, "instance-id");
    if filtered.is_some_and(|ids| !ids.contains(&&*instance.id)) {
        return Ok(vec![tree("reservationSet", Vec::new())]);
    }
    let reservation = vec![
        text("reservationId", "r-0123456789abcdef0"),
        text("ownerId", &*instance.account),
        tree("groupSet", Vec::new()),
        tree("instancesSet", vec![tree("item", description(instance))]),
    ];
    Ok(vec![tree("reservationSet", vec![tree("item", reservation)])])
}

/// The values of one filter, `Filter.N.Name` and `Filter.N.Value.M`.
fn filter<'q>(query: &'q Query, wanted: &str) -> Option<Vec<&'q str>> {
    (1..)
        .map_while(|index| Some((index, query.get(&format!("Filter.{index}.Name"))?)))
        .find(|(_, name)| *name == wanted)
        .map(|(index, _)| query.list(&format!("Filter.{index}.Value")))
}

fn description(instance: &Instance) -> Vec<Node> {
    let mut item = vec![
        text("instanceId", &*instance.id),
        text("imageId", &*instance.image),
        state("instanceState", instance.state),
        text("privateIpAddress", &*instance.private_ip),
        text("instanceType", &*instance.instance_type),
        text("launchTime", "2026-01-01T00:00:00.000Z"),
        tree(
            "placement",
            vec![
                text("availabilityZone", instance.availability_zone()),
                text("tenancy", "default"),
            ],
        ),
        text("architecture", "x86_64"),
        text("bootMode", "legacy-bios"),
    ];
    if let Some(code) = &instance.state_reason {
        let message = format!("{code}: simulated");
        item.push(tree("stateReason", vec![text("code", &**code), text("message", message)]));
    }
    if let Some(spot) = &instance.spot {
        item.push(text("instanceLifecycle", "spot"));
        item.push(text("spotInstanceRequestId", &*spot.id));
    }
    let configured = instance.hibernation_configured.to_string();
    item.push(tree("hibernationOptions", vec![text("configured", configured)]));
    let tag =
        |(key, value): (String, String)| tree("item", vec![text("key", key), text("value", value)]);
    item.push(tree("tagSet", instance.all_tags().into_iter().map(tag).collect()));
    item
}

fn attribute(query: &Query, instance: &Instance) -> Result<Vec<Node>, Refusal> {
    only_own(&named_instances(query), &instance.id, "InstanceId")?;
    let value = |name, value: String| tree(name, vec![text("value", value)]);
    let found = match query.get("Attribute").ok_or_else(|| Refusal::missing("Attribute"))? {
        "disableApiStop" => value("disableApiStop", instance.stop_protected.to_string()),
        "disableApiTermination" => {
            value("disableApiTermination", instance.termination_protected.to_string())
        }
        "instanceInitiatedShutdownBehavior" => {
            value("instanceInitiatedShutdownBehavior", instance.shutdown_behavior.clone())
        }
        "instanceType" => value("instanceType", instance.instance_type.clone()),
        other => {
            let message = format!("Invalid value '{other}' for attribute");
            return Err(Refusal::new("InvalidParameterValue", 400, message));
        }
    };
    Ok(vec![text("instanceId", &*instance.id), found])
}

fn spot_requests(query: &Query, instance: &Instance) -> Result<Vec<Node>, Refusal> {
    let asked = query.list("SpotInstanceRequestId");
    let known = instance.spot.as_ref().map(|spot| spot.id.as_str());
    if let Some(unknown) = asked.iter().find(|id| Some(**id) != known) {
        let message = format!("The spot instance request ID '{unknown}' does not exist");
        return Err(Refusal::new("InvalidSpotInstanceRequestID.NotFound", 400, message));
    }
    let filtered = filter(query, "instance-id");
    let wanted = filtered.is_none_or(|ids| ids.contains(&&*instance.id));
    let spot = instance.spot.iter().filter(|_| wanted && is_instance_id(&instance.id));
    let item = spot.map(|spot| {
        tree(
            "item",
            vec![
                text("spotInstanceRequestId", &*spot.id),
                text("spotPrice", "0.126000"),
                text("type", &*spot.kind),
                text("state", &*spot.state),
                tree("status", vec![text("code", "fulfilled"), text("message", "fulfilled")]),
                text("instanceId", &*instance.id),
                text("instanceInterruptionBehavior", &*spot.interruption_behavior),
            ],
        )
    });
    Ok(vec![tree("spotInstanceRequestSet", item.collect())])
}
