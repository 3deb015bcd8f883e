//! Which instance can do what.

use std::collections::BTreeMap;

use super::*;
use crate::aws::identity::{InstanceId, LifeCycle, Region};
use crate::aws::testec2::{Fake, ID, World, error};
use crate::aws::testserver::{Reply, Server};

/// An ordinary on-demand instance with hibernation and every permission.
fn good() -> Findings {
    Findings {
        identity: Identity {
            instance_id: InstanceId::parse(ID).unwrap(),
            region: Region::parse("eu-central-1").unwrap(),
            availability_zone: None,
            instance_type: None,
            account_id: None,
            pending_ms: None,
        },
        circumstances: Circumstances {
            life_cycle: LifeCycle::OnDemand,
            hibernation_configured: Some(true),
            auto_scaling: AutoScaling::NotMember,
            tag_keys: None,
            unread: Vec::new(),
        },
        permission: Ok(()),
        description: Ok(description()),
        attributes: Ok(Attributes { stop_protection: false, shutdown_terminates: false }),
        spot_request: None,
    }
}

fn description() -> Description {
    Description {
        state: InstanceState::Running,
        hibernation_configured: true,
        instance_store_root: false,
        is_spot: false,
        spot_request: None,
        tags: BTreeMap::new(),
        hop_limit: Some(1),
        state_reason: None,
    }
}

fn with(change: impl FnOnce(&mut Findings)) -> Preflight {
    let mut findings = good();
    change(&mut findings);
    judge(&findings, false)
}

fn described(change: impl FnOnce(&mut Description)) -> Preflight {
    let mut description = description();
    change(&mut description);
    with(|findings| findings.description = Ok(description))
}

fn tagged(key: &str) -> Preflight {
    described(|description| drop(description.tags.insert(key.to_owned(), "x".to_owned())))
}

#[track_caller]
fn refused(preflight: &Preflight, code: &str) {
    for ability in [&preflight.abilities.hibernate, &preflight.abilities.stop] {
        let Ability::Cannot(refusal) = ability else { panic!("{ability:?}") };
        assert_eq!(refusal.code, code);
        assert!(!refusal.hibernation_only && !refusal.detail.is_empty());
    }
}

#[track_caller]
fn unknown(preflight: &Preflight) {
    assert_eq!(preflight.abilities.hibernate, Ability::Unknown);
    assert_eq!(preflight.abilities.stop, Ability::Unknown);
    assert!(!preflight.unknown.is_empty());
}

fn lost() -> CallError {
    CallError::Lost { action: "DescribeInstances", why: "reset".to_owned() }
}

#[test]
fn an_ordinary_instance_can_do_both() {
    let preflight = judge(&good(), false);
    assert_eq!(preflight.abilities.instance_id.as_deref(), Some(ID));
    assert_eq!(
        (preflight.abilities.hibernate, preflight.abilities.stop),
        (Ability::Can, Ability::Can)
    );
    assert!(preflight.unknown.is_empty());
}

#[test]
fn without_hibernation_it_can_only_be_stopped() {
    let preflight = described(|description| description.hibernation_configured = false);
    let Ability::Cannot(refusal) = preflight.abilities.hibernate else { panic!() };
    assert!(refusal.hibernation_only);
    assert_eq!(refusal.code, "hibernation-not-configured");
    assert_eq!(preflight.abilities.stop, Ability::Can);
}

#[test]
fn members_of_groups_and_fleets_are_refused() {
    let target = |state: &str| AutoScaling::Member(state.to_owned());
    refused(
        &with(|findings| findings.circumstances.auto_scaling = target("InService")),
        "auto-scaling-member",
    );
    refused(&tagged(AUTO_SCALING_TAG), "auto-scaling-member");
    for tag in FLEET_TAGS {
        refused(&tagged(tag), "fleet-member");
    }
}

#[test]
fn a_refused_member_is_told_its_group_and_what_to_set() {
    let preflight = tagged(AUTO_SCALING_TAG);
    let Ability::Cannot(refusal) = &preflight.abilities.stop else { panic!() };
    assert!(refusal.detail.contains("group \"x\""), "{}", refusal.detail);
    assert!(refusal.detail.contains("idle.autoscaling = \"standby\""), "{}", refusal.detail);
}

#[test]
fn a_member_that_may_go_on_standby_can_be_stopped_and_not_hibernated() {
    let mut findings = good();
    findings.circumstances.auto_scaling = AutoScaling::Member("InService".to_owned());
    let preflight = judge(&findings, true);
    assert_eq!(preflight.abilities.stop, Ability::Can);
    let Ability::Cannot(refusal) = &preflight.abilities.hibernate else { panic!() };
    assert!(refusal.hibernation_only && refusal.code == "auto-scaling-member", "{refusal:?}");
    // The policy is about groups alone, and no reason is forgotten for it.
    assert_eq!(judge(&good(), true), judge(&good(), false));
    findings.attributes = Ok(Attributes { stop_protection: true, shutdown_terminates: false });
    refused(&judge(&findings, true), "stop-protection");
    let mut findings = good();
    let mut fleet = description();
    fleet.tags.insert(FLEET_TAGS[0].to_owned(), "fleet-1".to_owned());
    findings.description = Ok(fleet);
    refused(&judge(&findings, true), "fleet-member");
}

#[test]
fn an_unreadable_target_state_is_settled_by_the_tags() {
    let unread =
        |findings: &mut Findings| findings.circumstances.auto_scaling = AutoScaling::Unknown;
    assert_eq!(with(unread).abilities.stop, Ability::Can);
}

#[test]
fn spot_instances_are_stopped_only_when_persistent_and_active() {
    let spot = |persistent, state: &str| {
        let request = SpotRequest { persistent, state: state.to_owned() };
        with(|findings| findings.spot_request = Some(Ok(request)))
    };
    assert_eq!(spot(true, "active").abilities.stop, Ability::Can);
    refused(&spot(false, "active"), "spot-one-time");
    refused(&spot(true, "cancelled"), "spot-request-state");
    unknown(&spot(true, "open"));
    unknown(&with(|findings| findings.spot_request = Some(Err(lost()))));
    unknown(&described(|description| description.is_spot = true));
}

#[test]
fn protections_are_respected() {
    let attributes = |stop_protection, shutdown_terminates| {
        with(|findings| {
            findings.attributes = Ok(Attributes { stop_protection, shutdown_terminates });
        })
    };
    refused(&attributes(true, false), "stop-protection");
    refused(&attributes(false, true), "shutdown-terminates");
    refused(
        &described(|description| description.instance_store_root = true),
        "instance-store-root",
    );
    unknown(&with(|findings| findings.attributes = Err(lost())));
}

#[test]
fn a_missing_permission_is_a_refusal_with_its_name() {
    let denied = |action| {
        let (code, message) = ("UnauthorizedOperation".to_owned(), "no".to_owned());
        CallError::Api { action, code, message, status: 403 }
    };
    refused(&with(|findings| findings.permission = Err(denied("StopInstances"))), "unauthorized");
    let preflight = with(|findings| findings.description = Err(denied("DescribeInstances")));
    refused(&preflight, "unauthorized");
    let Ability::Cannot(refusal) = preflight.abilities.stop else { panic!() };
    assert!(refusal.detail.contains("ec2:DescribeInstances"));
}

#[test]
fn a_refusal_weighs_more_than_what_is_unknown() {
    let preflight = with(|findings| {
        findings.permission = Err(lost());
        findings.circumstances.auto_scaling = AutoScaling::Member("InService".to_owned());
    });
    refused(&preflight, "auto-scaling-member");
}

#[test]
fn a_lost_description_leaves_everything_unknown() {
    unknown(&with(|findings| findings.description = Err(lost())));
    unknown(&described(|description| description.state = InstanceState::Pending));
}

#[tokio::test]
async fn the_whole_way_over_the_wire() {
    let fake = Fake::start(World::default()).await;
    let preflight = preflight(&fake.cloud, false).await;
    assert_eq!(preflight.abilities.hibernate, Ability::Can, "{:?}", preflight.unknown);
    let stops = fake
        .ec2
        .seen()
        .into_iter()
        .filter(|seen| seen.parameter("Action").as_deref() == Some("StopInstances"));
    for stop in stops {
        assert_eq!(
            stop.parameter("DryRun").as_deref(),
            Some("true"),
            "preflight never stops anything"
        );
    }
}

#[tokio::test]
async fn each_refusal_over_the_wire_stops_nothing() {
    let worlds = [
        (World { spot: Some(("one-time", "active")), ..World::default() }, "spot-one-time"),
        (
            World { tags: vec![(AUTO_SCALING_TAG, "web")], ..World::default() },
            "auto-scaling-member",
        ),
        (World { tags: vec![(FLEET_TAGS[0], "fleet-1")], ..World::default() }, "fleet-member"),
        (World { stop_protection: true, ..World::default() }, "stop-protection"),
        (World { shutdown: "terminate", ..World::default() }, "shutdown-terminates"),
        (
            World::default().fault("StopInstances", error(403, "UnauthorizedOperation", "no")),
            "unauthorized",
        ),
    ];
    for (world, code) in worlds {
        let fake = Fake::start(world).await;
        refused(&preflight(&fake.cloud, false).await, code);
    }
}

#[tokio::test]
async fn no_identity_means_no_call_and_no_id() {
    let fake =
        Fake::start_with(World::default(), &[("dynamic/instance-identity/document", "<html>")])
            .await;
    let preflight = preflight(&fake.cloud, false).await;
    assert_eq!(preflight.abilities, Abilities::default());
    assert_eq!(preflight.unknown.len(), 1);
    assert_eq!(fake.ec2.seen().len(), 0);
}

#[tokio::test]
async fn an_unreachable_ec2_leaves_it_unknown_with_one_reason() {
    let fake = Fake::start(World::default().fault("DescribeInstances", Reply::Drop)).await;
    let preflight = preflight(&fake.cloud, false).await;
    unknown(&preflight);
    assert_eq!(preflight.abilities.instance_id.as_deref(), Some(ID));
    assert_eq!(preflight.unknown.len(), 1, "{:?}", preflight.unknown);
    assert_eq!(fake.ec2.seen().len(), 1, "the other calls are not made");
}

#[tokio::test]
async fn garbage_from_ec2_is_never_a_permission_to_act() {
    for body in ["", "<html/>", "<DescribeInstancesResponse/>", "{}"] {
        let server = Server::start(move |_| Reply::ok(body)).await;
        let fake = Fake::start(World::default()).await;
        let cloud = crate::aws::testec2::cloud(&fake.imds.url(), &server.url());
        assert_ne!(preflight(&cloud, false).await.abilities.stop, Ability::Can, "{body}");
    }
}

#[test]
fn a_mounted_instance_store_refuses_both_actions_unless_something_better_does() {
    let store = || MountedStore { device: "/dev/nvme1n1".to_owned(), folder: "/data".to_owned() };
    let able = || Preflight {
        abilities: Abilities {
            hibernate: Ability::Can,
            stop: Ability::Can,
            ..Abilities::default()
        },
        ..Preflight::default()
    };
    let mut preflight = able();
    preflight.spare(Ok(Vec::new()));
    assert_eq!(preflight, able());
    preflight.spare(Ok(vec![store(), store()]));
    for ability in [&preflight.abilities.stop, &preflight.abilities.hibernate] {
        let Ability::Cannot(refusal) = ability else { panic!("{ability:?}") };
        assert_eq!(refusal.code, "instance-store-mounted");
        assert!(!refusal.hibernation_only, "a plain stop is no way out");
        assert!(refusal.detail.contains("/data and 1 more"), "{refusal:?}");
        assert!(refusal.detail.contains("idle.instance_store = \"allow\""), "{refusal:?}");
    }
    let mut unknown = able();
    unknown.spare(Err(HostError::malformed("/sys/block", "garbage")));
    assert_eq!(unknown.abilities.stop, Ability::Unknown);
    assert_eq!(unknown.unknown.len(), 1);
    let other = Refusal { code: "x".to_owned(), detail: String::new(), hibernation_only: false };
    let mut refused = able();
    refused.abilities.stop = Ability::Cannot(other.clone());
    refused.spare(Ok(vec![store()]));
    assert_eq!(refused.abilities.stop, Ability::Cannot(other));
}
