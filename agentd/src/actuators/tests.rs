//! The actuators as the loop sees them.

use agent_core::action::{Key, Power, TagSet, TagState, Warning};
use agent_core::input::Ability;
use agent_core::interruption::{Moment, Notification};

use super::*;
use crate::aws::testec2::{Fake, ID, World};
use crate::aws::testserver::Reply;
use crate::host::tree::Tree;

fn clock() -> Stamp {
    Stamp::new(0, 0, 1_795_262_400_000)
}

pub(super) fn actuators(fake: &Fake, tree: &Tree) -> Actuators {
    let settings = ActuatorSettings {
        tag_prefix: "agentd:".to_owned(),
        tag_compat: Vec::new(),
        hook: None,
        standby: false,
        instance_store: false,
        drain_user: None,
        drains: Drains::default(),
        warn_command: None,
        notify: NotifySettings::default(),
        enforce: true,
        voice: Voice::default(),
        interlock: armed(tree),
        host: tree.root(),
        bus: BusMode::None,
        hostname: "box".to_owned(),
        clock,
    };
    Actuators::new(settings, fake.cloud.clone())
}

fn armed(tree: &Tree) -> Arc<Interlock> {
    let interlock = Interlock::new(tree.root());
    interlock.arm();
    interlock
}

async fn finish(fake: &Fake, kind: ActionKind) -> Finish {
    actuators(fake, &Tree::new()).run(&ActionRequest { key: Key(1), kind }).await
}

#[test]
fn every_actuator_is_described() {
    let names: Vec<&str> = SPECS.iter().map(|spec| spec.name).collect();
    assert_eq!(names, ["tag", "warn", "hook", "power", "describe", "drain", "autoscaling"]);
    for spec in SPECS {
        assert!(!spec.about.is_empty() && spec.deadline > Duration::ZERO, "{}", spec.name);
        let known = |action: &&str| ["ec2:", "autoscaling:"].iter().any(|s| action.starts_with(s));
        assert!(spec.iam.iter().all(known), "{}", spec.name);
    }
}

#[test]
fn the_permissions_are_those_that_are_probed() {
    let mut listed: Vec<String> =
        SPECS.iter().flat_map(|spec| spec.iam).map(|action| (*action).to_owned()).collect();
    let mut probed: Vec<String> = crate::aws::ec2::Permission::ALL
        .iter()
        .map(|one| format!("ec2:{}", one.action()))
        .collect();
    // Auto Scaling has no dry runs, and its permissions are a policy of their own.
    listed.retain(|action| action.starts_with("ec2:"));
    listed.sort();
    probed.sort();
    assert_eq!(listed, probed);
}

#[test]
fn the_policy_for_auto_scaling_lists_what_its_actuator_calls() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/iam/autoscaling.json");
    let policy: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let mut allowed = Vec::new();
    for statement in statements {
        let actions = statement["Action"].as_array().unwrap();
        let actions: Vec<&str> = actions.iter().map(|action| action.as_str().unwrap()).collect();
        let looks = actions.iter().all(|action| action.starts_with("autoscaling:Describe"));
        assert!(looks || statement["Resource"] != "*", "not limited to a group: {actions:?}");
        assert!(looks || !statement["Condition"].is_null(), "not limited to a tag: {actions:?}");
        allowed.extend(actions);
    }
    allowed.sort_unstable();
    assert_eq!(allowed, autoscaling::SPEC.iam);
}

#[tokio::test]
async fn each_request_finishes_in_its_own_form() {
    let fake = Fake::start(World::default()).await;
    assert_eq!(
        finish(&fake, ActionKind::Describe).await,
        Finish::Described(InstanceState::Running)
    );
    let Finish::Abilities(abilities, _) = finish(&fake, ActionKind::Preflight).await else {
        panic!()
    };
    assert_eq!((abilities.instance_id.as_deref(), abilities.stop), (Some(ID), Ability::Can));
    let power = finish(&fake, ActionKind::Power { power: Power::Stop }).await;
    assert!(matches!(power, Finish::Outcome(Outcome::Done { .. })), "{power:?}");
    let hook = finish(&fake, ActionKind::Hook { power: Power::Stop }).await;
    assert!(matches!(hook, Finish::Outcome(Outcome::Already { .. })), "{hook:?}");
    let reread = finish(&fake, ActionKind::Reread).await;
    assert!(
        matches!(reread, Finish::Outcome(Outcome::Failed { retry: Retry::Never, .. })),
        "{reread:?}"
    );
}

#[tokio::test]
async fn who_cannot_be_told_is_told_no_second_time() {
    let fake = Fake::start(World::default()).await;
    let notification = Notification {
        moment: Moment::CameBack,
        alert: "spot-stop".to_owned(),
        event: "spot-interruption".to_owned(),
        action: "stop".to_owned(),
        what: "spot interruption (stop)".to_owned(),
        deadline_wall_ms: None,
        left_ms: None,
        because: "it is back".to_owned(),
        drill: false,
        hooks: Vec::new(),
    };
    let tree = Tree::new();
    let mut actuators = actuators(&fake, &tree);
    let notify = NotifySettings {
        webhook: Some("http://127.0.0.1:1/s3cret".into()),
        ..NotifySettings::default()
    };
    let settings = NotifierSettings {
        notify,
        enforce: true,
        host: tree.root(),
        hostname: "box".to_owned(),
        bus: BusMode::None,
        voice: Voice::default(),
    };
    actuators.notifiers = Notifiers::new(&settings, fake.cloud.clone());
    let request = ActionRequest { key: Key(1), kind: ActionKind::Notify(notification) };
    let Finish::Outcome(Outcome::Done { detail }) = actuators.run(&request).await else { panic!() };
    assert!(detail.starts_with("webhook: not reached: http://127.0.0.1:1, failed to "), "{detail}");
}

#[tokio::test]
async fn warnings_and_tags_are_carried_out() {
    let fake = Fake::start(World::default()).await;
    let because = "idle".to_owned();
    let warning = Warning {
        power: Power::Stop,
        in_ms: 1,
        at_wall_ms: 1,
        because: because.clone(),
        not_counted: None,
    };
    for kind in [ActionKind::Warn(warning), ActionKind::CallOff { because: because.clone() }] {
        assert!(matches!(finish(&fake, kind).await, Finish::Outcome(Outcome::Done { .. })));
    }
    let set = TagSet {
        state: TagState::Quiet,
        since_wall_ms: 0,
        because,
        act_at_wall_ms: None,
        last_action: None,
        not_counted: None,
    };
    assert!(matches!(
        finish(&fake, ActionKind::Tag(set)).await,
        Finish::Outcome(Outcome::Done { .. })
    ));
    assert_eq!(fake.ec2.calls("CreateTags"), 1);
}

#[tokio::test]
async fn power_acts_only_for_the_instance_that_was_checked() {
    let fake = Fake::start(World::default()).await;
    let actuators = actuators(&fake, &Tree::new());
    actuators.switch.remember(Some("i-99999999"));
    let request = ActionRequest { key: Key(1), kind: ActionKind::Power { power: Power::Stop } };
    assert!(matches!(actuators.run(&request).await, Finish::Outcome(Outcome::Refused(_))));
    assert_eq!(fake.ec2.seen().len(), 0);
    let preflight = ActionRequest { key: Key(2), kind: ActionKind::Preflight };
    actuators.run(&preflight).await;
    assert!(matches!(actuators.run(&request).await, Finish::Outcome(Outcome::Done { .. })));
}

#[tokio::test]
async fn a_missed_deadline_of_the_power_call_is_in_doubt() {
    let spec = ActuatorSpec { deadline: Duration::from_millis(5), ..power::SPEC };
    let outcome = bounded(&spec, in_doubt, core::future::pending()).await;
    assert!(matches!(outcome, Outcome::Failed { retry: Retry::InDoubt, .. }), "{outcome:?}");
}

#[tokio::test]
async fn describe_tells_its_failure_as_an_outcome() {
    let fake =
        Fake::start(World::default().fault("DescribeInstances", Reply::status(500, ""))).await;
    let finish = finish(&fake, ActionKind::Describe).await;
    assert!(matches!(finish, Finish::Outcome(Outcome::Failed { .. })), "{finish:?}");
}
