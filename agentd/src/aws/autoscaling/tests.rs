//! What the calls say and what their errors mean.

use std::sync::Arc;

use super::*;
use crate::aws::testautoscaling::{FakeGroup, Group, error};
use crate::aws::testec2::ID;
use crate::aws::testserver::Reply;

async fn client(fake: &FakeGroup) -> Arc<AutoScaling> {
    fake.cloud.auto_scaling(&fake.cloud.identify().await.unwrap())
}

#[tokio::test]
async fn the_group_and_its_terminating_hooks_are_found() {
    let fake = FakeGroup::start(Group::of(&["InService"])).await;
    let client = client(&fake).await;
    let membership = client.membership().await.unwrap().unwrap();
    assert_eq!((membership.group.as_str(), membership.state.as_str()), ("web", "InService"));
    let hooks = client.terminating_hooks("web").await.unwrap();
    let names: Vec<&str> = hooks.iter().map(|hook| hook.name.as_str()).collect();
    assert_eq!(names, ["drain", "backup"]);
    assert_eq!(hooks[0].heartbeat, Some(Duration::from_mins(5)));
}

#[tokio::test]
async fn who_is_in_no_group_is_no_error() {
    let fake = FakeGroup::start(Group { name: None, ..Group::of(&["InService"]) }).await;
    assert_eq!(client(&fake).await.group().await, Ok(None));
}

#[tokio::test]
async fn the_name_of_the_group_is_asked_for_once() {
    let fake = FakeGroup::start(Group::of(&["InService"])).await;
    for _ in 0..3 {
        assert_eq!(client(&fake).await.group().await, Ok(Some("web".to_owned())));
    }
    assert_eq!(fake.api.calls("DescribeAutoScalingInstances"), 1);
}

#[tokio::test]
async fn changes_are_about_this_instance_and_say_no_more_than_they_must() {
    let fake = FakeGroup::start(Group::of(&["InService"])).await;
    let client = client(&fake).await;
    client.complete("web", "drain").await.unwrap();
    client.heartbeat("web", "drain").await.unwrap();
    client.enter_standby("web").await.unwrap();
    client.exit_standby("web").await.unwrap();
    let seen = fake.api.seen();
    for (request, instance) in seen.iter().zip([
        "InstanceId",
        "InstanceId",
        "InstanceIds.member.1",
        "InstanceIds.member.1",
    ]) {
        assert_eq!(request.parameter("AutoScalingGroupName").as_deref(), Some("web"));
        assert_eq!(request.parameter(instance).as_deref(), Some(ID));
        assert_eq!(request.parameter("LifecycleActionToken"), None);
    }
    assert_eq!(seen[0].parameter("LifecycleActionResult").as_deref(), Some("CONTINUE"));
    assert_eq!(seen[2].parameter("ShouldDecrementDesiredCapacity").as_deref(), Some("true"));
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn a_completion_is_not_held_back_by_the_agents_own_limit() {
    let fake = FakeGroup::start(Group::of(&["InService"])).await;
    let client = client(&fake).await;
    for _ in 0..BURST {
        client.charge("DescribeLifecycleHooks").unwrap();
    }
    assert!(matches!(client.heartbeat("web", "drain").await, Err(CallError::Budget { .. })));
    client.complete("web", "drain").await.unwrap();
}

async fn completing(reply: Reply) -> Outcome {
    let fake =
        FakeGroup::start(Group::of(&["InService"]).fault("CompleteLifecycleAction", reply)).await;
    outcome(&client(&fake).await.complete("web", "drain").await.unwrap_err())
}

#[tokio::test]
async fn what_passes_and_what_was_lost_is_tried_again_over_the_wire() {
    for reply in [
        error(400, "Throttling", "Rate exceeded"),
        error(500, "InternalFailure", "later"),
        error(503, "ServiceUnavailable", "later"),
        error(400, "ScalingActivityInProgress", "busy"),
        error(500, "ResourceContention", "busy"),
        Reply::status(502, "<html>Bad Gateway</html>"),
        Reply::Drop,
        Reply::Hang,
    ] {
        let outcome = completing(reply.clone()).await;
        assert!(
            matches!(&outcome, Outcome::Failed { retry: Retry::After { .. }, error }
                if error.contains("autoscaling:CompleteLifecycleAction")),
            "{reply:?}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let message = "User: arn:aws:sts::1:assumed-role/r/i is not authorized";
    let Outcome::Refused(refusal) = completing(error(403, "AccessDenied", message)).await else {
        panic!()
    };
    assert_eq!(refusal.code, "unauthorized");
    assert!(refusal.detail.contains("autoscaling:CompleteLifecycleAction"), "{}", refusal.detail);
}

#[tokio::test]
async fn an_action_that_waits_for_nothing_is_over() {
    let message = format!("No active Lifecycle Action found with instance ID {ID}");
    let outcome = completing(error(400, "ValidationError", &message)).await;
    assert_eq!(outcome, Outcome::Already { detail: message });
}

#[test]
fn a_group_that_would_get_too_small_refuses_with_a_remedy() {
    let invalid = |message: &str| {
        outcome(&CallError::Api {
            action: "EnterStandby",
            code: "ValidationError".to_owned(),
            message: message.to_owned(),
            status: 400,
        })
    };
    for message in [
        "AutoScalingGroup web has min-size=1, max-size=1, and desired-size=1. To place into standby 1 instance, please \
         update the AutoScalingGroup sizes appropriately.",
        "Currently, desiredSize equals minSize (1). Terminating instance without replacement will violate group's min \
         size constraint.",
    ] {
        let Outcome::Refused(refusal) = invalid(message) else { panic!("{message}") };
        assert_eq!(refusal.code, "auto-scaling-min-size");
        assert!(refusal.detail.contains("minimum size"), "{}", refusal.detail);
    }
    assert!(matches!(
        invalid("The instance i-1 is not in InService."),
        Outcome::Failed { retry: Retry::After { .. }, .. }
    ));
    assert!(matches!(invalid("Group name too long"), Outcome::Failed { retry: Retry::Never, .. }));
}
