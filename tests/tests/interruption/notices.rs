//! A real notice is acted on: soon, once, in order, with what the hooks need to know.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use agent_tests::agent::dead_address;
use agent_tests::ec2::CallFault;
use agent_tests::fault::{Fault, Times};
use agent_tests::imds::{Imds, notice};
use agent_tests::instance::Instance;
use agent_tests::table;
use jiff::Timestamp;

use crate::rig::{Done, SPOT, Scene, best_of_three, first_told, now};

fn spot_scene(hooks: &[&str]) -> Result<Scene, Box<dyn std::error::Error>> {
    Scene::new(Instance::on_spot("persistent"), hooks, "")
}

#[test]
fn a_notice_that_is_there_at_the_start_is_acted_on_within_half_a_second() -> Done {
    best_of_three(Duration::from_millis(500), || {
        let mut scene = spot_scene(&["save"])?;
        scene.step("spot terminate in 120s")?;
        let start = now();
        scene.agent.start()?;
        let runs = scene.wait_for_runs(1)?;
        scene.assert_tokens();
        Ok(runs[0].at.saturating_sub(start))
    })
}

#[test]
fn a_notice_that_comes_later_is_acted_on_within_two_and_a_half_seconds() -> Done {
    best_of_three(Duration::from_millis(2_500), || {
        let mut scene = spot_scene(&["save"])?;
        scene.settle()?;
        let comes = now();
        scene.step("spot terminate in 120s")?;
        let runs = scene.wait_for_runs(1)?;
        scene.assert_tokens();
        Ok(runs[0].at.saturating_sub(comes))
    })
}

#[test]
fn hooks_run_in_order_and_once_and_are_told_what_comes_and_the_report_tells_of_them() -> Done {
    let mut scene = spot_scene(&["third", "first", "second"])?;
    scene.settle()?;
    let due = Timestamp::from_second(Timestamp::now().as_second() + 120)?;
    let text = notice::spot("stop", due);
    scene.agent.world.instance.with(|instance| instance.spot_action = Some(text));
    scene.wait_for_runs(3)?;
    let drained = scene.agent.wait_until("the end of the drain", || {
        let first = scene.spot()["notices"][0].clone();
        (first["state"] == "drained").then_some(first)
    })?;
    scene.agent.stays("three runs", Duration::from_secs(6), |_| scene.runs().len() == 3)?;
    let runs = scene.runs();
    let names: Vec<_> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["third", "first", "second"]);
    for run in &runs {
        assert_eq!((run.event.as_str(), run.action.as_str()), ("spot-interruption", "stop"));
        assert_eq!(run.deadline.parse::<Timestamp>()?, due, "{run:?}");
        assert!((112..=120).contains(&run.seconds_left), "{run:?}");
    }
    assert!(drained["hooks"].as_array().is_some_and(|hooks| hooks.len() == 3), "{drained:#}");
    let log = scene.agent.log();
    assert!(log.contains("spot interruption (stop)"), "nothing is in the journal:\n{log}");
    let status = scene.agent.status()?;
    assert_eq!(status["interruption"]["state"], "drained", "{status:#}");
    Ok(())
}

#[test]
fn a_deadline_that_runs_away_leads_to_one_run() -> Done {
    let mut scene = spot_scene(&["save"])?;
    scene.step("spot terminate moving 120s")?;
    scene.agent.start_and_greet()?;
    scene.wait_for_runs(1)?;
    scene.agent.stays("one run", Duration::from_mins(1), |_| scene.runs().len() == 1)?;
    let notices = scene.spot()["notices"].clone();
    assert_eq!(notices.as_array().map(Vec::len), Some(1), "{notices:#}");
    let left = notices[0]["seconds_left"].as_f64().unwrap_or(999.0);
    assert!(left < 70.0, "the deadline moved away: {notices:#}");
    scene.assert_tokens();
    Ok(())
}

#[test]
fn the_remaining_time_is_told_by_the_clock_of_ec2() -> Done {
    let shifts = ["+1h", "-1h", "+1d", "-1d"].map(|shift| (format!("{shift} off"), shift));
    table::each(shifts, |shift| {
        let mut scene = spot_scene(&["save"])?;
        scene.step(&format!("imds clock {shift}"))?;
        scene.step("spot terminate in 120s")?;
        scene.agent.start()?;
        let told = scene.wait_for_runs(1)?;
        let late = first_told(&scene.agent, SPOT)
            .map_or(Duration::ZERO, |at| told[0].at.saturating_sub(at));
        let right = 120 - i64::try_from(late.as_secs()).unwrap_or(0);
        assert!((right - 2..=right + 1).contains(&told[0].seconds_left), "{told:?}");
        scene.assert_tokens();
        Done::Ok(())
    })
    .map_err(Into::into)
}

#[test]
fn when_everything_else_hangs_the_hook_starts_within_a_tenth_of_a_second_after_the_reading() -> Done
{
    best_of_three(Duration::from_millis(100), || {
        let instance = Instance::on_spot("persistent");
        let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
        let webhook = format!("http://{}/", silent.local_addr()?);
        let tables = format!(
            "[notify]\nwebhook = \"{webhook}\"\nsns_topic = \"arn:aws:sns:{}:{}:ops\"\n",
            instance.region, instance.account
        );
        let mut scene = Scene::new(instance, &["save"], &tables)?;
        scene.agent.world.ec2.fault("*", CallFault::Instead(Fault::Hang), Times::Always);
        scene.settle()?;
        scene.step("spot terminate in 120s")?;
        let runs = scene.wait_for_runs(1)?;
        let told = first_told(&scene.agent, SPOT).ok_or("the notice was not read")?;
        Ok(runs[0].at.saturating_sub(told))
    })
}

#[test]
fn a_hibernation_runs_the_fast_hooks_alone() -> Done {
    let mut scene = spot_scene(&["slow"])?;
    let fast = crate::rig::script(
        scene.folder(),
        "fast",
        &format!("echo fast >> '{}'", scene.folder().join("fast-runs").display()),
    )?;
    let slow = scene.folder().join("slow");
    scene.agent.configure(&format!(
        "mode = \"enforce\"\n[idle]\nenabled = false\n[interruption]\nhooks = [{slow:?}]\nfast_hooks = [{fast:?}]\n"
    ))?;
    scene.step("spot hibernate in 0s")?;
    scene.agent.start()?;
    let notes = scene.folder().join("fast-runs");
    scene.agent.wait_until("the fast hook", || notes.is_file().then_some(()))?;
    scene.agent.stays("no slow hook", Duration::from_secs(3), |_| scene.runs().is_empty())?;
    Ok(())
}

#[test]
fn the_connection_may_be_kept_or_closed_and_a_proxy_or_ipv6_changes_nothing() -> Done {
    let proxy = format!("http://{}", dead_address()?);
    let ways = ["closed", "kept", "proxy", "ipv6"].map(|way| (way.to_owned(), way));
    table::each(ways, |way| {
        let mut scene = spot_scene(&["save"])?;
        let mut ipv6 = None;
        match way {
            "kept" => scene.step("imds keep-alive")?,
            "proxy" => {
                for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"] {
                    scene.agent.set_variable(name, &proxy);
                }
            }
            "ipv6" => {
                let shared = scene.agent.world.instance.clone();
                let Ok(imds) = Imds::of_shared(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), shared)
                else {
                    eprintln!("SKIPPED: there is no IPv6 loopback");
                    return Done::Ok(());
                };
                scene.agent.set_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT", &imds.endpoint());
                ipv6 = Some(imds);
            }
            _ => {}
        }
        scene.settle()?;
        scene.step("spot terminate in 120s")?;
        scene.wait_for_runs(1)?;
        let seen = ipv6.as_ref().unwrap_or(&scene.agent.world.imds).seen();
        assert_eq!((seen.tokenless, seen.doubled), (0, 0), "{way}");
        Ok(())
    })
    .map_err(Into::into)
}

#[test]
fn an_unreadable_life_cycle_is_taken_for_spot_until_it_is_known() -> Done {
    let mut scene = Scene::new(Instance::default(), &["save"], "")?;
    scene.step("imds fault /latest/meta-data/instance-life-cycle status=503")?;
    scene.agent.start_and_greet()?;
    scene.wait_for_monitor("spot", "no-notice")?;
    let polls = |scene: &Scene| scene.agent.world.imds.seen().of_path(SPOT).len();
    let before = polls(&scene);
    std::thread::sleep(Duration::from_millis(4_500));
    assert!(polls(&scene) >= before + 2, "it is not polled at the pace of spot");
    scene.step("imds heal")?;
    scene.agent.wait_until("the life cycle", || {
        (scene.spot()["life_cycle"] == "on-demand").then_some(())
    })?;
    let before = polls(&scene);
    std::thread::sleep(Duration::from_secs(6));
    assert!(polls(&scene) <= before + 1, "it is polled as if it were spot");
    scene.assert_tokens();
    Ok(())
}
