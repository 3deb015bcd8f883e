//! What the group is asked, in which state.

use super::*;
use crate::aws::testautoscaling::{FakeGroup, Group, error};
use crate::aws::testserver::Reply;

const QUICK: Patience =
    Patience { most: Duration::from_millis(60), look: Duration::from_millis(5) };

async fn asked(group: Group, what: GroupCall) -> (Outcome, FakeGroup) {
    let fake = FakeGroup::start(group).await;
    let outcome = call(&fake.cloud, what, QUICK).await;
    (outcome, fake)
}

#[track_caller]
fn done(outcome: &Outcome, words: &str) {
    assert!(matches!(outcome, Outcome::Done { detail } if detail.contains(words)), "{outcome:?}");
}

#[track_caller]
fn already_so(outcome: &Outcome, words: &str) {
    assert!(
        matches!(outcome, Outcome::Already { detail } if detail.contains(words)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn every_terminating_hook_is_completed_and_no_other() {
    let (outcome, fake) = asked(Group::of(&["Terminating:Wait"]), GroupCall::Complete).await;
    done(&outcome, "drain, backup");
    let seen = fake.api.seen();
    let names: Vec<String> = seen
        .iter()
        .filter(|seen| seen.parameter("Action").as_deref() == Some("CompleteLifecycleAction"))
        .filter_map(|seen| seen.parameter("LifecycleHookName"))
        .collect();
    assert_eq!(names, ["drain", "backup"]);
}

#[tokio::test]
async fn a_heartbeat_goes_to_every_terminating_hook() {
    let (outcome, fake) = asked(Group::of(&["Terminating:Wait"]), GroupCall::Heartbeat).await;
    done(&outcome, "waits");
    assert_eq!(fake.api.calls("RecordLifecycleActionHeartbeat"), 2);
    assert_eq!(fake.api.calls("CompleteLifecycleAction"), 0);
}

#[tokio::test]
async fn without_hooks_without_a_group_and_without_a_wait_there_is_nothing_to_complete() {
    let group = Group { hooks: Vec::new(), ..Group::of(&["Terminating"]) };
    let (outcome, _) = asked(group, GroupCall::Complete).await;
    already_so(&outcome, "no terminating lifecycle hook");
    let group = Group { name: None, ..Group::of(&["Terminating"]) };
    already_so(&asked(group, GroupCall::Complete).await.0, "no Auto Scaling group");
    let over = error(400, "ValidationError", "No active Lifecycle Action found with instance ID i");
    let group = Group::of(&["InService"]).fault("CompleteLifecycleAction", over);
    already_so(&asked(group, GroupCall::Complete).await.0, "wait for nothing");
}

#[tokio::test]
async fn the_instance_goes_on_standby_and_is_waited_for() {
    let states = ["InService", "InService", "EnteringStandby", "Standby"];
    let (outcome, fake) = asked(Group::of(&states), GroupCall::EnterStandby).await;
    done(&outcome, "standby");
    assert_eq!(fake.api.calls("EnterStandby"), 1);
    assert_eq!(fake.api.calls("DescribeAutoScalingInstances"), 4);
}

#[tokio::test]
async fn standby_is_asked_for_once() {
    let (outcome, fake) = asked(Group::of(&["Standby"]), GroupCall::EnterStandby).await;
    already_so(&outcome, "standby");
    assert_eq!(fake.api.calls("EnterStandby"), 0);
    let (outcome, fake) =
        asked(Group::of(&["EnteringStandby", "Standby"]), GroupCall::EnterStandby).await;
    done(&outcome, "standby");
    assert_eq!(fake.api.calls("EnterStandby"), 0);
}

#[tokio::test]
async fn a_group_that_takes_too_long_is_asked_again_later() {
    let group = Group::of(&["InService", "EnteringStandby"]);
    let (outcome, _) = asked(group, GroupCall::EnterStandby).await;
    assert!(
        matches!(&outcome, Outcome::Failed { retry: Retry::After { .. }, error } if error.contains("EnteringStandby")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_group_at_its_least_size_refuses() {
    let message = "AutoScalingGroup web has min-size=1, max-size=1, and desired-size=1. To place into standby 1 \
                   instance, please update the AutoScalingGroup sizes appropriately.";
    let group =
        Group::of(&["InService"]).fault("EnterStandby", error(400, "ValidationError", message));
    let (outcome, _) = asked(group, GroupCall::EnterStandby).await;
    assert!(
        matches!(&outcome, Outcome::Refused(refusal) if refusal.code == "auto-scaling-min-size"),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_instance_comes_back_from_standby_and_from_nothing_else() {
    let (outcome, fake) = asked(Group::of(&["Standby"]), GroupCall::ExitStandby).await;
    done(&outcome, "back into service");
    assert_eq!(fake.api.calls("ExitStandby"), 1);
    for group in [Group::of(&["InService"]), Group { name: None, ..Group::of(&["Standby"]) }] {
        let (outcome, fake) = asked(group, GroupCall::ExitStandby).await;
        already_so(&outcome, "");
        assert_eq!(fake.api.calls("ExitStandby"), 0);
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let group = Group::of(&["InService"]).fault("DescribeAutoScalingInstances", Reply::Drop);
    for what in [GroupCall::Complete, GroupCall::EnterStandby, GroupCall::ExitStandby] {
        let (outcome, _) = asked(group.clone(), what).await;
        assert!(
            matches!(outcome, Outcome::Failed { retry: Retry::After { .. }, .. }),
            "{outcome:?}"
        );
    }
}
