//! Members of Auto Scaling groups: drained before they go, and not stopped behind the group's back.

use std::time::Duration;

use agent_tests::agent::quick_with;
use agent_tests::instance::{Instance, State};
use agent_tests::table;

use crate::rig::{Done, Scene};

#[test]
fn a_termination_by_the_group_is_drained_with_heartbeats_and_completed_once() -> Done {
    let instance = Instance::in_group("workers", Some(Duration::from_secs(30)));
    let beginning = "mode = \"enforce\"\n[idle]\nenabled = false";
    let mut scene = Scene::with(instance, beginning, &["save"], "sleep 34", "")?;
    scene.agent.start_and_greet()?;
    scene.agent.wait_for("no notice", |status| status["interruption"]["state"] == "none")?;
    scene.step("group terminate")?;
    scene.agent.wait_until("the end of the instance", || {
        (scene.agent.instance_state() != State::Running).then_some(())
    })?;
    let log = scene.agent.world.ec2.log();
    let complete = log.of("CompleteLifecycleAction");
    assert_eq!(complete.len(), 1, "{}", log.lines());
    assert_eq!(complete[0].parameter("LifecycleActionResult"), Some("CONTINUE"));
    assert!(!log.of("RecordLifecycleActionHeartbeat").is_empty(), "{}", log.lines());
    scene.agent.stays("one drain", Duration::from_secs(6), |agent| {
        agent.world.ec2.log().of("CompleteLifecycleAction").len() == 1
    })?;
    let runs = scene.runs();
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((runs[0].event.as_str(), runs[0].action.as_str()), ("autoscaling", "terminate"));
    scene.assert_tokens();
    Ok(())
}

#[test]
fn warm_pool_states_and_detaching_run_no_hook() -> Done {
    let states = [
        "Warmed:Stopped",
        "Warmed:Running",
        "Warmed:Hibernated",
        "Detached",
        "Standby",
        "Nonsense",
    ];
    table::each(states.map(|state| (state.to_owned(), state)), |state| {
        let mut scene = Scene::new(Instance::in_group("workers", None), &["save"], "")?;
        scene.step(&format!("target {state}"))?;
        scene.agent.start_and_greet()?;
        scene.agent.stays("no hook", Duration::from_secs(6), |_| scene.runs().is_empty())?;
        scene.assert_untouched();
        Done::Ok(())
    })
    .map_err(Into::into)
}

#[test]
fn an_idle_member_is_not_stopped_and_the_reason_is_told() -> Done {
    let instance = Instance::in_group("workers", None);
    let mut scene = Scene::with(instance, &quick_with(""), &[], "true", "")?;
    scene.agent.start_and_greet()?;
    scene.agent.stays("no stop", Duration::from_secs(12), |agent| agent.stops() == 0)?;
    let why = scene.agent.client().get("/v1/why")?.to_string();
    assert!(why.contains("Auto Scaling"), "{why}");
    scene.assert_untouched();
    Ok(())
}

#[test]
fn with_standby_an_idle_member_leaves_service_first_and_comes_back_after_its_start() -> Done {
    let instance = Instance::in_group("workers", None);
    let beginning = quick_with("autoscaling = \"standby\"");
    let mut scene = Scene::with(instance, &beginning, &[], "true", "")?;
    scene.agent.start_and_greet()?;
    scene.agent.wait_for_stops(1)?;
    let log = scene.agent.world.ec2.log();
    let order: Vec<_> = log.writes().iter().map(|call| call.action.clone()).collect();
    let place = |action: &str| order.iter().position(|known| known == action);
    assert!(place("EnterStandby") < place("StopInstances"), "{order:?}");
    assert!(place("EnterStandby").is_some(), "{order:?}");
    let enter = log.of("EnterStandby");
    assert_eq!(enter[0].parameter("ShouldDecrementDesiredCapacity"), Some("true"));
    scene.agent.wait_until("the stop", || {
        (scene.agent.instance_state() == State::Stopped).then_some(())
    })?;
    scene.agent.kill();
    scene.agent.machine().new_boot()?;
    scene.step("instance running")?;
    scene.agent.start_and_greet()?;
    scene.agent.wait_until("the return into service", || {
        let group = scene.agent.world.instance.snapshot().group;
        (group.lifecycle_state == "InService" && group.desired_capacity == 1).then_some(())
    })?;
    Ok(())
}

#[test]
fn a_group_that_needs_its_member_keeps_it() -> Done {
    let mut instance = Instance::in_group("workers", None);
    instance.group.min_size = 1;
    let beginning = quick_with("autoscaling = \"standby\"");
    let mut scene = Scene::with(instance, &beginning, &[], "true", "")?;
    scene.agent.start_and_greet()?;
    scene.agent.wait_until("the group's refusal", || {
        let log = scene.agent.world.ec2.log();
        log.of("EnterStandby").iter().any(|call| call.refused.is_some()).then_some(())
    })?;
    scene.agent.stays("no stop", Duration::from_secs(6), |agent| agent.stops() == 0)?;
    Ok(())
}
