//! Finds out whether this instance can be hibernated and stopped, before anybody depends on it.
//!
//! A refusal is certain: EC2 or the instance's own circumstances forbid the action, and trying would fail or destroy
//! something. What could not be found out leaves the ability unknown, which also means no action, and is looked at
//! again later.

use std::collections::BTreeMap;

use agent_core::action::{InstanceState, Outcome, Refusal};
use agent_core::input::{Abilities, Ability};

use super::Cloud;
use super::ec2::{Attributes, Description, Ec2, Permission, SpotRequest};
use super::errors::CallError;
use super::identity::{AutoScaling, Circumstances, Identity, circumstances};
use super::imds::Imds;
use crate::host::HostError;
use crate::host::volume::MountedStore;

/// The tag that an Auto Scaling group puts on its members.
pub const AUTO_SCALING_TAG: &str = "aws:autoscaling:groupName";
/// The tags of EC2 Fleet and Spot Fleet.
pub const FLEET_TAGS: [&str; 2] = ["aws:ec2:fleet-id", "aws:ec2spot:fleet-request-id"];

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Who the instance is.
    pub identity: Identity,
    /// In what circumstances, by the metadata service.
    pub circumstances: Circumstances,
    /// The dry run of `StopInstances`.
    pub permission: Result<(), CallError>,
    /// `DescribeInstances`.
    pub description: Result<Description, CallError>,
    /// `DescribeInstanceAttribute`.
    pub attributes: Result<Attributes, CallError>,
    /// `DescribeSpotInstanceRequests`; none when the instance has no spot request.
    pub spot_request: Option<Result<SpotRequest, CallError>>,
}

/// What preflight gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preflight {
    /// For the engine.
    pub abilities: Abilities,
    /// For people: why an ability is unknown, one line each.
    pub unknown: Vec<String>,
    /// The instance's tags, where EC2 told them.
    pub tags: Option<BTreeMap<String, String>>,
}

impl Preflight {
    /// Takes in which instance stores are mounted: a stop destroys what is on them, and so does a hibernation. Whether there are any
    /// must be known.
    pub fn spare(&mut self, mounted: Result<Vec<MountedStore>, HostError>) {
        let found = match mounted {
            Ok(stores) => match stores.split_first() {
                None => return,
                Some((first, more)) => Ability::Cannot(Refusal {
                    code: "instance-store-mounted".to_owned(),
                    detail: store_detail(first, more.len()),
                    hibernation_only: false,
                }),
            },
            Err(error) => {
                self.unknown.push(format!("failed to {error}"));
                Ability::Unknown
            }
        };
        // What is refused already is refused for the better reason.
        let lasting = |ability: &Ability| matches!(ability, Ability::Cannot(refusal) if !refusal.hibernation_only);
        for ability in [&mut self.abilities.stop, &mut self.abilities.hibernate] {
            if !lasting(ability) {
                *ability = found.clone();
            }
        }
    }
}

/// What of an instance store is in danger, and what to do, for people.
pub(crate) fn store_detail(first: &MountedStore, more: usize) -> String {
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!(
        "the instance store {} is mounted on {}{more}, and a stop or a hibernation destroys its data; unmount it, or set \
         idle.instance_store = \"allow\" if nothing on it is worth keeping",
        first.device, first.folder
    )
}

/// Looks at everything and judges it. It never fails: what cannot be read is unknown. With `standby` a member of an Auto
/// Scaling group is put on standby before it is stopped.
pub async fn preflight(cloud: &Cloud, standby: bool) -> Preflight {
    match cloud.identify().await {
        Ok(identity) => {
            let ec2 = cloud.ec2(&identity);
            judge(&look(cloud.imds(), &ec2, identity).await, standby)
        }
        Err(error) => {
            Preflight { unknown: vec![format!("failed to {error}")], ..Preflight::default() }
        }
    }
}

/// Everything that [`judge`] needs. `DescribeInstances` comes first: without it the other calls would tell nothing.
pub async fn look(imds: &Imds, ec2: &Ec2, identity: Identity) -> Findings {
    let circumstances = circumstances(imds).await;
    let description = ec2.describe().await;
    let (permission, attributes) = match &description {
        Err(error) if !error.is_unauthorized() => (Err(error.clone()), Err(error.clone())),
        _ => (ec2.dry_run(Permission::StopInstances, &[]).await, ec2.attributes().await),
    };
    let request =
        description.as_ref().ok().and_then(|description| description.spot_request.clone());
    let spot_request = match request {
        Some(id) => Some(ec2.spot_request(&id).await),
        None => None,
    };
    Findings { identity, circumstances, permission, description, attributes, spot_request }
}

/// What is certain, and what is not known.
#[derive(Default)]
struct Ground {
    refusals: Vec<Refusal>,
    unknown: Vec<String>,
}

impl Ground {
    fn refuse(&mut self, code: &str, detail: impl Into<String>) {
        let refusal =
            Refusal { code: code.to_owned(), detail: detail.into(), hibernation_only: false };
        self.refusals.push(refusal);
    }

    fn unknown(&mut self, why: impl Into<String>) {
        let why = why.into();
        if !self.unknown.contains(&why) {
            self.unknown.push(why);
        }
    }

    /// A failed call: a refusal where EC2's answer is final, else unknown.
    fn failed(&mut self, error: &CallError) {
        match error.outcome() {
            Outcome::Refused(refusal) if !refusal.hibernation_only => self.refusals.push(refusal),
            _ => self.unknown(format!("failed to {error}")),
        }
    }

    fn ability(&self) -> Ability {
        match self.refusals.first() {
            Some(refusal) => Ability::Cannot(refusal.clone()),
            None if self.unknown.is_empty() => Ability::Can,
            None => Ability::Unknown,
        }
    }
}

/// Judges the findings. Pure. `standby` is as for [`preflight`].
pub fn judge(findings: &Findings, standby: bool) -> Preflight {
    let mut ground = Ground::default();
    let group = group(findings);
    if let Some(group) = group.as_ref().filter(|_| !standby) {
        ground.refuse(
            "auto-scaling-member",
            format!(
                "{group} owns this instance and would terminate it when stopped; with idle.autoscaling = \"standby\" \
                 it is put on standby before"
            ),
        );
    }
    fleet(findings, &mut ground);
    spot(findings, &mut ground);
    protections(findings, &mut ground);
    if let Err(error) = &findings.permission {
        ground.failed(error);
    }
    match &findings.description {
        Ok(description) if description.state != InstanceState::Running => {
            ground.unknown(
                format!("EC2 shows this running instance as {:?}", description.state)
                    .to_lowercase(),
            );
        }
        Ok(_) => {}
        Err(error) => ground.failed(error),
    }
    let stop = ground.ability();
    let hibernate = match (&stop, &findings.description) {
        (Ability::Can, _) if let Some(group) = &group => Ability::Cannot(Refusal {
            code: "auto-scaling-member".to_owned(),
            detail: format!(
                "{group} owns this instance, and EC2 does not hibernate members of an Auto Scaling group; set \
                 idle.fallback = \"stop\""
            ),
            hibernation_only: true,
        }),
        (Ability::Can, Ok(description)) if !description.hibernation_configured => Ability::Cannot(Refusal {
            code: "hibernation-not-configured".to_owned(),
            detail: "the instance was launched without hibernation (HibernationOptions.Configured), which cannot be \
                     changed later; launch it with hibernation, or set idle.fallback = \"stop\""
                .to_owned(),
            hibernation_only: true,
        }),
        _ => stop.clone(),
    };
    let instance_id = Some(findings.identity.instance_id.to_string());
    let member = group.is_some();
    Preflight {
        abilities: Abilities { instance_id, hibernate, stop, member },
        unknown: ground.unknown,
        tags: findings.description.as_ref().ok().map(|description| description.tags.clone()),
    }
}

/// The Auto Scaling group of the instance, for people. It would replace a stopped member, and terminate it first. (EC2 User
/// Guide: "Prerequisites for EC2 instance hibernation": no instance in an Auto Scaling group.)
pub(crate) fn group(findings: &Findings) -> Option<String> {
    let tags = findings.description.as_ref().ok().map(|description| &description.tags);
    if let Some(group) = tags.and_then(|tags| tags.get(AUTO_SCALING_TAG)) {
        return Some(format!("the Auto Scaling group {group:?}"));
    }
    match &findings.circumstances.auto_scaling {
        AutoScaling::Member(state) => Some(format!("an Auto Scaling group (target state {state})")),
        AutoScaling::NotMember | AutoScaling::Unknown => None,
    }
}

/// A fleet would replace a stopped member.
fn fleet(findings: &Findings, ground: &mut Ground) {
    let Ok(description) = &findings.description else { return };
    if let Some((tag, fleet)) =
        FLEET_TAGS.iter().find_map(|tag| Some((tag, description.tags.get(*tag)?)))
    {
        ground.refuse(
            "fleet-member",
            format!("the fleet {fleet:?} owns this instance ({tag}) and would replace it"),
        );
    }
}

/// Only a persistent, active spot request can be stopped.
fn spot(findings: &Findings, ground: &mut Ground) {
    match &findings.spot_request {
        Some(Ok(request)) if !request.persistent => ground.refuse(
            "spot-one-time",
            "the instance belongs to a one-time spot request, which cannot be stopped; request it as persistent",
        ),
        Some(Ok(request)) if matches!(request.state.as_str(), "cancelled" | "closed" | "failed") => ground.refuse(
            "spot-request-state",
            format!("the spot request of this instance is {}; it can only be terminated", request.state),
        ),
        Some(Ok(request)) if request.state != "active" => {
            ground.unknown(format!("the spot request of this running instance is {}", request.state));
        }
        Some(Err(error)) => ground.failed(error),
        None if findings.description.as_ref().is_ok_and(|description| description.is_spot) => {
            ground.unknown("EC2 shows a spot instance without its spot request");
        }
        Some(Ok(_)) | None => {}
    }
}

fn protections(findings: &Findings, ground: &mut Ground) {
    match &findings.attributes {
        Ok(attributes) => {
            if attributes.stop_protection {
                ground.refuse(
                    "stop-protection",
                    "the instance is protected against being stopped (disableApiStop); the agent never clears it",
                );
            }
            if attributes.shutdown_terminates {
                ground.refuse(
                    "shutdown-terminates",
                    "a shutdown from inside terminates this instance (InstanceInitiatedShutdownBehavior is terminate); \
                     set it to stop",
                );
            }
        }
        Err(error) => ground.failed(error),
    }
    if findings.description.as_ref().is_ok_and(|description| description.instance_store_root) {
        ground.refuse(
            "instance-store-root",
            "the root volume is an instance store, which is lost by a stop",
        );
    }
}

#[cfg(test)]
mod tests;
