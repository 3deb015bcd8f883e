//! A service that cannot be read is never taken for one that has nothing to say.

use std::time::Duration;

use agent_tests::fault::{Fault, Times};
use agent_tests::instance::Instance;
use agent_tests::table;

use crate::rig::{Done, Scene, now};

/// Blindness and its end are shown within so long.
const SHOWN: Duration = Duration::from_secs(3);
/// What a loaded machine adds to that.
const SLACK: Duration = Duration::from_secs(2);

#[test]
fn every_way_to_be_blind_is_shown_in_status_and_exit_code_and_ends_when_it_ends() -> Done {
    let ways = [
        "imds refuse",
        "imds disable",
        "imds fault /latest/* hang",
        "imds fault /latest/* reset",
        "imds fault /latest/* status=503",
        "imds fault /latest/meta-data/spot/instance-action status=429",
        "imds fault /latest/meta-data/spot/instance-action html",
        "imds fault /latest/meta-data/* status=401",
    ];
    table::each(ways.map(|way| (way.to_owned(), way)), |way| {
        let mut scene = Scene::new(Instance::on_spot("one-time"), &["save"], "")?;
        scene.settle()?;
        let begins = now();
        scene.step(way)?;
        let status = scene.agent.wait_for("blindness", |status| {
            status["imds"]["state"] == "blind" && status["interruption"]["state"] == "blind"
        })?;
        let took = now().saturating_sub(begins);
        assert!(took < SHOWN + SLACK, "it took {took:?}");
        assert!(status["interruption"]["blind_since"].is_string(), "{status:#}");
        let told = scene.agent.ctl(&["status", "--json"])?;
        assert_eq!(told.status.code(), Some(6), "{}", String::from_utf8_lossy(&told.stdout));
        let heals = now();
        scene.step("imds heal")?;
        scene.wait_for_monitor("spot", "no-notice")?;
        let took = now().saturating_sub(heals);
        assert!(took < SHOWN + SLACK, "the recovery took {took:?}");
        scene.assert_untouched();
        Done::Ok(())
    })
    .map_err(Into::into)
}

#[test]
fn a_notice_that_came_during_an_outage_is_acted_on_right_after_it() -> Done {
    let mut scene = Scene::new(Instance::on_spot("one-time"), &["save"], "")?;
    scene.settle()?;
    scene.step("imds refuse")?;
    std::thread::sleep(Duration::from_secs(10));
    scene.step("spot terminate in 120s")?;
    let heals = now();
    scene.step("imds heal")?;
    let runs = scene.wait_for_runs(1)?;
    let took = runs[0].at.saturating_sub(heals);
    assert!(took < Duration::from_millis(2_500), "it took {took:?}");
    scene.assert_tokens();
    Ok(())
}

#[test]
fn a_notice_once_read_is_not_forgotten_in_an_outage_or_taken_back_by_a_404() -> Done {
    let mut scene = Scene::new(Instance::on_spot("one-time"), &["save"], "")?;
    scene.step("spot terminate in 120s")?;
    scene.agent.start()?;
    scene.wait_for_runs(1)?;
    // The hook comes first, and is shown a moment later.
    scene.agent.wait_until("the notice to be shown", || {
        (scene.spot()["notices"].as_array()?.len() == 1).then_some(())
    })?;
    for step in ["spot gone", "imds fault /latest/* hang"] {
        scene.step(step)?;
        scene.agent.stays("the notice", Duration::from_secs(4), |_| {
            scene.spot()["notices"].as_array().is_none_or(|notices| notices.len() == 1)
        })?;
    }
    assert_eq!(scene.runs().len(), 1);
    Ok(())
}

#[test]
fn behind_a_router_and_with_revoked_tokens_version_1_is_never_used() -> Done {
    let mut scene = Scene::new(Instance::on_spot("one-time"), &["save"], "")?;
    scene.settle()?;
    scene.step("imds revoke")?;
    scene.step("imds hop-limit")?;
    scene.wait_for_monitor("spot", "blind")?;
    scene.agent.stays("no use of version 1", Duration::from_secs(5), |agent| {
        agent.world.imds.seen().tokenless == 0
    })?;
    scene.step("imds heal")?;
    scene.wait_for_monitor("spot", "no-notice")?;
    scene.assert_untouched();
    Ok(())
}

#[test]
fn one_request_of_three_that_fails_does_not_keep_a_notice_from_being_read() -> Done {
    let mut scene = Scene::new(Instance::on_spot("one-time"), &["save"], "")?;
    scene.agent.world.imds.seed(11);
    scene.agent.world.imds.fault("/latest/*", Fault::Status(503), Times::Chance(30));
    scene.agent.start_and_greet()?;
    scene.wait_for_monitor("spot", "no-notice")?;
    let comes = now();
    scene.step("spot terminate in 120s")?;
    let runs = scene.wait_for_runs(1)?;
    let took = runs[0].at.saturating_sub(comes);
    assert!(took < Duration::from_millis(4_500) + SLACK, "it took {took:?}");
    scene.assert_tokens();
    Ok(())
}
