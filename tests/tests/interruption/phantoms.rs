//! What is no notice, or not ours to act on, leads to nothing at all.

use std::time::Duration;

use agent_tests::fault::{Fault, Times};
use agent_tests::instance::Instance;
use agent_tests::table;

use crate::rig::{Done, SPOT, Scene};

/// A hostile reply is met for so long: several polls and their retries.
const MET: Duration = Duration::from_secs(4);

/// Replies in place of `spot/instance-action` that are no notice. A 404 whose page is cut off is not among them: its head
/// says all that there is to say.
pub(crate) fn hostile() -> Vec<Fault> {
    let mut all: Vec<Fault> =
        [400, 401, 403, 405, 408, 418, 429, 500, 502, 503, 504].map(Fault::Status).into();
    all.extend([
        Fault::Hang,
        Fault::Reset,
        Fault::Close,
        Fault::Garbage,
        Fault::Empty,
        Fault::Html,
        Fault::Drip(200),
        Fault::Late(5_000),
        Fault::Huge(1 << 28),
        Fault::Noise(200),
        Fault::Redirect("http://127.0.0.1:1/".into()),
    ]);
    let bodies = [
        "{}",
        "[]",
        "null",
        "true",
        "terminate",
        "{\"action\":\"terminate\"",
        "{\"action\":\"terminate\"}",
        "{\"action\":\"explode\",\"time\":\"2030-01-01T00:00:00Z\"}",
        "{\"action\":\"TERMINATE!\",\"time\":\"2030-01-01T00:00:00Z\"}",
        "{\"action\":null,\"time\":\"2030-01-01T00:00:00Z\"}",
        "{\"action\":[\"terminate\"],\"time\":\"2030-01-01T00:00:00Z\"}",
        "{\"action\":\"terminate\",\"time\":\"soon\"}",
        "{\"action\":\"terminate\",\"time\":\"2030-13-41T99:00:00Z\"}",
        "{\"action\":\"terminate\",\"time\":12}",
        "[{\"action\":\"terminate\",\"time\":\"2030-01-01T00:00:00Z\"}]",
        "\"{\\\"action\\\":\\\"terminate\\\"}\"",
    ];
    all.extend(bodies.map(|body| Fault::Body(body.into())));
    let heads = [
        "HTTP/1.1 99999 ?\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"action\":\"terminate\"",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "200 OK",
    ];
    all.extend(heads.map(|head| Fault::Raw(head.into())));
    all
}

#[test]
fn no_hostile_reply_is_a_notice_and_each_is_shown_and_got_over() -> Done {
    let kinds = hostile();
    assert!(kinds.len() >= 40, "{} kinds", kinds.len());
    table::each(kinds.into_iter().map(|fault| (fault.to_string(), fault)), |fault| {
        let mut scene = Scene::new(Instance::on_spot("one-time"), &["save"], "")?;
        scene.agent.start_and_greet()?;
        scene.wait_for_monitor("spot", "no-notice")?;
        scene.agent.world.imds.fault(SPOT, fault, Times::Always);
        scene.wait_for_monitor("spot", "blind")?;
        std::thread::sleep(MET);
        let status = scene.agent.status()?;
        assert_ne!(status["imds"]["state"], "ok", "{status:#}");
        scene.assert_untouched();
        scene.step("imds heal")?;
        scene.wait_for_monitor("spot", "no-notice")?;
        scene.assert_untouched();
        Done::Ok(())
    })
    .map_err(Into::into)
}

#[test]
fn a_notice_that_is_long_past_is_shown_and_not_acted_on() -> Done {
    let ways = [("told by the Date", ""), ("told by the own clock", "imds undate")];
    table::each(ways.map(|(name, way)| (name.to_owned(), way)), |way| {
        let mut scene = Scene::new(Instance::on_spot("one-time"), &["save"], "")?;
        if !way.is_empty() {
            scene.step(way)?;
        }
        scene.step("spot terminate ago 20m")?;
        scene.agent.start_and_greet()?;
        scene.agent.wait_until("the stale notice in the journal", || {
            scene.agent.log().contains("its time passed 20m ago").then_some(())
        })?;
        scene.agent.stays("no hook", MET, |_| scene.runs().is_empty())?;
        scene.assert_untouched();
        Done::Ok(())
    })
    .map_err(Into::into)
}

#[test]
fn an_agent_that_must_not_act_does_not() -> Done {
    let ways = [
        ("switched off", "mode = \"enforce\"\n[idle]\nenabled = false", "enabled = false"),
        ("observing", "mode = \"observe\"\n[idle]\nenabled = false", ""),
    ];
    table::each(ways.map(|(name, mode, more)| (name.to_owned(), (mode, more))), |(mode, more)| {
        let instance = Instance::in_group("workers", Some(Duration::from_mins(5)));
        let spot = Instance::on_spot("one-time");
        let instance = Instance { life_cycle: spot.life_cycle, spot: spot.spot, ..instance };
        let mut scene = Scene::with(instance, mode, &["save"], "true", more)?;
        for step in ["spot terminate in 120s", "rebalance", "group terminate"] {
            scene.step(step)?;
        }
        scene.step("event e-1 instance-stop in 1m")?;
        scene.agent.start_and_greet()?;
        scene.agent.stays("no hook", MET, |_| scene.runs().is_empty())?;
        scene.assert_untouched();
        Done::Ok(())
    })
    .map_err(Into::into)
}

#[test]
fn what_is_announced_for_later_or_only_feared_runs_no_hook_yet() -> Done {
    let mut scene = Scene::new(Instance::on_spot("one-time"), &["save"], "")?;
    scene.step("event e-1 instance-retirement in 2d")?;
    scene.step("rebalance")?;
    scene.agent.start_and_greet()?;
    scene.agent.wait_until("both notices", || {
        (scene.spot()["notices"].as_array()?.len() == 2).then_some(())
    })?;
    scene.agent.stays("no hook", MET, |_| scene.runs().is_empty())?;
    scene.assert_untouched();
    Ok(())
}
