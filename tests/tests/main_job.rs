//! The main job with the real binary: an idle machine is warned, tagged and hibernated once; a used one never.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use agent_tests::agent::{Agent, QUICK, quick_observing, quick_with};
use agent_tests::instance::{Instance, State};
use agent_tests::table;
use serde_json::{Value, json};

type Done = Result<(), Box<dyn Error>>;

/// An action that were to come would have come after so long.
const WHOLE_WINDOW: Duration = Duration::from_secs(10);

fn agent(config: &str) -> Result<Agent, Box<dyn Error>> {
    Ok(Agent::on_idle_machine(Instance::default(), config)?)
}

fn source<'s>(status: &'s Value, name: &str) -> &'s Value {
    let all = status["sources"].as_array().into_iter().flatten();
    all.into_iter().find(|source| source["source"] == name).unwrap_or(&Value::Null)
}

#[test]
fn an_idle_machine_is_warned_tagged_and_hibernated_once() -> Done {
    let mut agent = agent(QUICK)?;
    let session = agent.machine().log_in(1000)?;
    agent.machine().press_key_at(session.pts, SystemTime::now() - Duration::from_hours(1))?;
    let started = Instant::now();
    agent.start_and_greet()?;
    let warned = agent.wait_for_stage("warned")?;
    assert_eq!(warned["outlook"]["prospect"], "will-act", "{warned:#}");
    assert_eq!(warned["outlook"]["power"], "hibernate", "{warned:#}");
    let left = warned["outlook"]["in_seconds"].as_f64().unwrap_or(99.0);
    assert!((0.0..=3.5).contains(&left), "{left} s left with warnings 3 s before");
    agent.wait_for_stops(1)?;
    assert!(started.elapsed() >= Duration::from_secs(6), "it acted after {:?}", started.elapsed());
    agent.wait_until("the tag of the hibernation", || {
        (agent.tag("agentd:state").as_deref() == Some("hibernating")).then_some(())
    })?;
    agent.wait_until("the end", || (agent.instance_state() == State::Stopped).then_some(()))?;
    agent.stays("one stop only", Duration::from_secs(3), |agent| agent.stops() == 1)?;

    let log = agent.world.ec2.log();
    let stop = log.stops()[0];
    assert!(stop.hibernates(), "{:?}", stop.parameters);
    assert_eq!(stop.parameter("InstanceId.1"), Some("i-0a1b2c3d4e5f60718"));
    assert_eq!(stop.parameter("InstanceId.2"), None, "it names itself only");
    assert!(stop.parameter("Force").is_none() && stop.parameter("SkipOsShutdown").is_none());
    let screen = agent.machine().on_screen(session.pts)?;
    assert!(screen.contains("hibernate") && screen.contains("agentctl hold"), "{screen}");
    assert_eq!(agent.status()?["last_action"]["power"], "hibernate");
    let seen = agent.world.imds.seen();
    assert_eq!((seen.tokenless, seen.doubled), (0, 0), "only version 2, with one token each");
    Ok(())
}

#[test]
fn the_predicted_time_is_right_within_one_tick() -> Done {
    let mut agent = agent(QUICK)?;
    agent.start_and_greet()?;
    let seen = agent.wait_for("a predicted time", |status| {
        status["outlook"]["in_seconds"].as_f64().is_some_and(|left| left < 4.0)
    })?;
    let looked = Instant::now();
    agent.wait_for_stops(1)?;
    let took = looked.elapsed().as_secs_f64();
    let said = seen["outlook"]["in_seconds"].as_f64().unwrap_or_default();
    // One tick is half a second; reading once more, the socket and a loaded machine need their time too.
    assert!((took - said).abs() < 2.0, "it said {said:.1} s and took {took:.1} s");
    Ok(())
}

#[test]
fn observing_makes_no_call_that_changes_anything() -> Done {
    let mut agent = agent(&quick_observing())?;
    agent.start_and_greet()?;
    let status = agent.wait_for_stage("would-act")?;
    assert_eq!(status["outlook"]["prospect"], "observed", "{status:#}");
    agent.stays("no write", Duration::from_secs(3), |agent| {
        agent.world.ec2.log().writes().is_empty()
    })?;
    assert_eq!(agent.instance_state(), State::Running);
    assert_eq!(agent.tag("agentd:state"), None);
    Ok(())
}

/// What keeps the machine up in one case, while the returned value lives.
type Use = fn(&Agent) -> Result<Box<dyn std::any::Any>, Box<dyn Error>>;

#[test]
fn a_machine_in_use_is_never_stopped_and_says_by_what() -> Done {
    let uses: [(&str, &str, Use); 4] = [
        ("a job under nohup", "cpu", |agent| {
            let job = agent.machine().start_job(1000, "train.py")?;
            Ok(Box::new(agent.machine().keep_busy(&job, 1.0)))
        }),
        ("a tenth of a core in a terminal", "cpu", |agent| {
            let session = agent.machine().log_in(1001)?;
            agent
                .machine()
                .press_key_at(session.pts, SystemTime::now() - Duration::from_hours(1))?;
            Ok(Box::new(agent.machine().keep_busy(&session.cgroup, 0.1)))
        }),
        ("a container", "cpu", |agent| {
            let cgroup = "system.slice/docker-0123456789abcdef.scope";
            agent.machine().cgroup(cgroup)?;
            Ok(Box::new(agent.machine().keep_busy(cgroup, 0.5)))
        }),
        ("somebody who types", "input", |agent| {
            let session = agent.machine().log_in(1000)?;
            let machine = agent.machine().clone();
            let (ended, rest) = std::sync::mpsc::channel::<()>();
            std::thread::spawn(move || {
                // A key each second until the case is over.
                while rest
                    .recv_timeout(Duration::from_secs(1))
                    .is_err_and(|end| end == std::sync::mpsc::RecvTimeoutError::Timeout)
                {
                    if machine.press_key(session.pts).is_err() {
                        return;
                    }
                }
            });
            Ok(Box::new(ended))
        }),
    ];
    table::each(uses.map(|(name, by, begin)| (name.to_owned(), (by, begin))), |(by, begin)| {
        let mut agent = agent(QUICK)?;
        let running = begin(&agent)?;
        agent.start_and_greet()?;
        agent.wait_for(&format!("{by} busy"), |status| source(status, by)["verdict"] == "busy")?;
        agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
        let status = agent.status()?;
        // Between two keys it is idle for a moment.
        let idle = status["idle"]["idle_seconds"].as_f64().unwrap_or(f64::MAX);
        assert!(idle < 4.0, "{status:#}");
        drop(running);
        agent.wait_for_stops(1)?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

/// A unit that keeps the machine and starts nobody's jobs.
const UPDATES: &str = "system.slice/unattended-upgrades.service";

#[test]
fn housekeeping_below_its_limit_does_not_keep_the_machine_up() -> Done {
    let mut agent = agent(QUICK)?;
    agent.machine().cgroup(UPDATES)?;
    let _updates = agent.machine().keep_busy(UPDATES, 0.08);
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    Ok(())
}

/// Housekeeping that works for real (a scan, an index) is nobody's rest: above its limit it counts.
#[test]
fn housekeeping_above_its_limit_keeps_the_machine_up() -> Done {
    let mut agent = agent(QUICK)?;
    agent.machine().cgroup(UPDATES)?;
    let _job = agent.machine().keep_busy(UPDATES, 0.8);
    agent.start_and_greet()?;
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    let status = agent.status()?;
    assert_eq!(source(&status, "cpu")["verdict"], "busy", "{status:#}");
    Ok(())
}

#[test]
fn a_key_press_calls_a_warned_action_off_and_the_window_starts_again() -> Done {
    let mut agent = agent(QUICK)?;
    let session = agent.machine().log_in(1000)?;
    agent.machine().press_key_at(session.pts, SystemTime::now() - Duration::from_hours(1))?;
    agent.start_and_greet()?;
    agent.wait_for_stage("warned")?;
    agent.machine().press_key(session.pts)?;
    let pressed = Instant::now();
    agent.wait_for("the call-off", |status| status["stage"] != "warned")?;
    agent.wait_for_stops(1)?;
    let later = pressed.elapsed();
    assert!(later >= Duration::from_secs(5), "it acted {later:?} after a key");
    Ok(())
}

#[test]
fn a_hold_keeps_the_machine_up_until_it_is_released() -> Done {
    let mut agent = agent(QUICK)?;
    agent.start_and_greet()?;
    let hold = agent.client().post("/v1/hold", &json!({"for_seconds": 600, "reason": "a demo"}))?;
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    let status = agent.status()?;
    assert_eq!(status["outlook"]["prospect"], "held", "{status:#}");
    assert_eq!(status["holds"][0]["reason"], "a demo", "{status:#}");
    agent.client().post("/v1/release", &json!({})).map_err(|why| format!("{why} after {hold}"))?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn a_hold_ends_by_itself_and_is_capped() -> Done {
    let mut agent = agent(&quick_with("[hold]\nuser_max = \"1m\"\nadmin_max = \"2m\""))?;
    agent.start_and_greet()?;
    agent.client().post("/v1/hold", &json!({"for_seconds": 999_999}))?;
    let left = agent.status()?["holds"][0]["left_seconds"].as_f64().unwrap_or(f64::MAX);
    assert!(left <= 120.0, "{left} s were given");
    agent.client().post("/v1/release", &json!({}))?;
    agent.client().post("/v1/hold", &json!({"for_seconds": 2}))?;
    agent.wait_for("the hold's end", |status| status["holds"] == json!([]))?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn what_must_not_be_interrupted_blocks_until_it_is_over() -> Done {
    let mut agent = agent(QUICK)?;
    agent.machine().remove("run/cloud-init/result.json")?;
    agent.start_and_greet()?;
    let status =
        agent.wait_for("the block", |status| source(status, "cloudinit")["verdict"] == "blocks")?;
    assert!(source(&status, "cloudinit")["detail"].is_string(), "{status:#}");
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    agent.machine().write("run/cloud-init/result.json", "{\"v1\": {\"errors\": []}}")?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn a_source_that_cannot_be_read_is_never_idle() -> Done {
    let mut agent = agent(QUICK)?;
    agent.start_and_greet()?;
    agent.wait_for_stage("quiet")?;
    let stat = "sys/fs/cgroup/user.slice/user-1000.slice/session-9.scope/cpu.stat";
    agent.machine().cgroup("user.slice/user-1000.slice")?;
    agent.machine().cgroup("user.slice/user-1000.slice/session-9.scope")?;
    agent.machine().write(stat, "usage_usec many\n")?;
    let status =
        agent.wait_for("blindness", |status| source(status, "cpu")["verdict"] == "blind")?;
    assert_eq!(status["blind"], json!(["cpu"]), "{status:#}");
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    agent.machine().write(stat, "usage_usec 0\nuser_usec 0\nsystem_usec 0\n")?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn hibernation_falls_back_to_a_stop_only_where_configured() -> Done {
    let plain = Instance { hibernation_configured: false, ..Instance::default() };
    let mut falls = Agent::on_idle_machine(plain.clone(), &quick_with("fallback = \"stop\""))?;
    let mut stays = Agent::on_idle_machine(plain, &quick_with("fallback = \"none\""))?;
    falls.start_and_greet()?;
    stays.start_and_greet()?;
    falls.wait_for_stops(1)?;
    assert!(!falls.world.ec2.log().stops()[0].hibernates());
    let status = stays.wait_for_stage("refused")?;
    assert_eq!(status["abilities"]["hibernate"]["can"], "cannot", "{status:#}");
    stays.stays("no stop", Duration::from_secs(3), |agent| agent.stops() == 0)?;
    Ok(())
}

#[test]
fn a_configured_stop_never_hibernates() -> Done {
    let mut agent = agent(&quick_with("action = \"stop\""))?;
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    assert!(!agent.world.ec2.log().stops()[0].hibernates());
    Ok(())
}

#[test]
fn a_policy_without_an_action_only_reports() -> Done {
    let mut agent = agent(&quick_with("action = \"none\""))?;
    agent.start_and_greet()?;
    let status = agent.wait_for_stage("quiet")?;
    assert!(status["outlook"]["at"].is_null(), "{status:#}");
    agent.stays("no stop", WHOLE_WINDOW, |agent| agent.stops() == 0)?;
    Ok(())
}

#[test]
fn the_compatible_tags_are_written_with_the_own_ones() -> Done {
    let mut agent = agent(&quick_with("[tags]\ncompat = [\"cloudworkstation\"]"))?;
    agent.start_and_greet()?;
    agent.wait_until("the compatible tag", || {
        (agent.tag("CloudWorkstation:IdleStatus").as_deref() == Some("idle")).then_some(())
    })?;
    agent.wait_for_stops(1)?;
    let tags = agent.world.ec2.log();
    assert!(
        tags.carried_out("CreateTags").len() <= 8,
        "tags are written on change only:\n{}",
        tags.lines()
    );
    Ok(())
}

#[test]
fn an_operator_can_ask_for_a_dry_run_and_for_the_real_thing() -> Done {
    let mut agent = agent(&quick_with("").replace("6s", "10m").replace("2s", "5m").replacen(
        "\"3s\", \"1s\"",
        "",
        1,
    ))?;
    agent.start_and_greet()?;
    agent.wait_for("what the instance can do", |status| {
        status["abilities"]["hibernate"]["can"] == "can"
    })?;
    agent.client().post("/v1/hibernate", &json!({"dry_run": true}))?;
    agent.stays("no stop", Duration::from_secs(2), |agent| agent.stops() == 0)?;
    let real = agent.client().ask("POST", "/v1/hibernate", "{}")?;
    if !nix::unistd::geteuid().is_root() {
        assert_eq!(real.status, 403, "only administrators may: {}", real.body_text());
        return Ok(());
    }
    agent.wait_for_stops(1)?;
    assert!(agent.world.ec2.log().stops()[0].hibernates());
    Ok(())
}
