//! An operator at work with the real `agentctl`: what it shows, what it does, and its exit codes.

use std::error::Error;
use std::process::Output;
use std::thread;
use std::time::Duration;

use agent_tests::agent::{Agent, QUICK, quick_observing, quick_with};
use agent_tests::instance::Instance;
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

/// Windows so long that nothing happens during a test.
const CALM: &str =
    "mode = \"enforce\"\n[idle]\nboot_grace = \"0s\"\n[sampling]\ninterval = \"1s\"\n";

fn agent(config: &str) -> Result<Agent, Box<dyn Error>> {
    let mut agent = Agent::on_idle_machine(Instance::default(), config)?;
    agent.start_and_greet()?;
    Ok(agent)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn code(output: &Output, want: i32) {
    let shown = format!("{}\n{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(want), "{shown}");
}

#[test]
fn status_says_who_what_when_why_and_how_to_prevent_it() -> Done {
    let agent = agent(CALM)?;
    agent.wait_for("the identity", |status| status["outlook"]["prospect"] == "will-act")?;
    let shown = agent.ctl(&["status"])?;
    code(&shown, 0);
    let shown = text(&shown.stdout).to_lowercase();
    for word in ["i-0a1b2c3d4e5f60718", "hibernate", "agentctl hold", "cpu", "input"] {
        assert!(shown.contains(word), "'{word}' is not in:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "colours went into a pipe: {shown:?}");
    Ok(())
}

#[test]
fn json_is_one_document_and_nothing_else() -> Done {
    let agent = agent(CALM)?;
    for verb in ["status", "why"] {
        let shown = agent.ctl(&[verb, "--json"])?;
        let document: Value = serde_json::from_slice(&shown.stdout)?;
        assert_eq!(document["schema"], format!("agentd/{verb}/v1"), "{document:#}");
    }
    let doctor = agent.ctl(&["doctor", "--json"])?;
    let doctor: Value = serde_json::from_slice(&doctor.stdout)?;
    assert!(doctor["checks"].as_array().is_some_and(|checks| checks.len() >= 5), "{doctor:#}");
    Ok(())
}

#[test]
fn exit_codes_tell_what_is_wrong() -> Done {
    let mut agent = agent(CALM)?;
    code(&agent.ctl(&["no-such-verb"])?, 2);
    code(&agent.ctl(&["hold", "2"])?, 2);
    agent.kill();
    let gone = agent.ctl(&["status"])?;
    code(&gone, 3);
    assert!(text(&gone.stderr).contains("agentd"), "{}", text(&gone.stderr));
    let wrong = agent.folder().join("wrong.toml");
    std::fs::write(&wrong, "[idle]\nact_atfer = \"5m\"\n")?;
    let check = agent.ctl(&["config", "check", "--config", &wrong.to_string_lossy()])?;
    code(&check, 7);
    let told = text(&check.stdout) + &text(&check.stderr);
    assert!(told.contains("wrong.toml:2") && told.contains("act_after"), "{told}");
    Ok(())
}

#[test]
fn a_hold_is_made_shown_and_released() -> Done {
    let agent = agent(CALM)?;
    code(&agent.ctl(&["hold", "30m", "--reason", "overnight"])?, 0);
    let shown = text(&agent.ctl(&["status"])?.stdout);
    assert!(shown.contains("overnight"), "{shown}");
    code(&agent.ctl(&["release"])?, 0);
    let shown = text(&agent.ctl(&["status"])?.stdout);
    assert!(!shown.contains("overnight"), "{shown}");
    Ok(())
}

#[test]
fn a_command_under_run_is_a_hold_for_as_long_as_it_runs_and_keeps_its_exit_code() -> Done {
    // The hold ends with the process, which lives on this machine and not on a simulated one.
    let mut agent = Agent::on_this_machine(Instance::default(), CALM)?;
    agent.start_and_greet()?;
    let holds = |count: usize| {
        move |status: &Value| status["holds"].as_array().is_some_and(|all| all.len() == count)
    };
    thread::scope(|scope| -> Done {
        let run = scope.spawn(|| agent.ctl(&["run", "--", "sh", "-c", "sleep 3; exit 41"]));
        let seen = agent.wait_for("the hold of the command", holds(1));
        let ended = run.join().map_err(|_| "the thread that runs the command panicked")??;
        let status = seen?;
        assert!(status["holds"][0]["reason"].to_string().contains("sleep 3"), "{status:#}");
        code(&ended, 41);
        Ok(())
    })?;
    agent.wait_for("the hold's end", holds(0))?;
    code(&agent.ctl(&["run", "--", "/no/such/program"])?, 127);
    Ok(())
}

#[test]
fn why_lists_every_source_also_those_that_are_calm() -> Done {
    let agent = agent(CALM)?;
    let session = agent.machine().log_in(1000)?;
    let _work = agent.machine().keep_busy(&session.cgroup, 1.0);
    let why = agent.wait_until("the session as evidence", || {
        let shown = text(&agent.ctl(&["why"]).ok()?.stdout);
        let scope = session.cgroup.rsplit('/').next().unwrap_or_default();
        shown.contains(scope).then_some(shown)
    })?;
    for source in ["cpu", "input", "gpu", "network", "disk", "inhibitors", "packages", "cloudinit"]
    {
        assert!(why.contains(source), "'{source}' is not in:\n{why}");
    }
    Ok(())
}

#[test]
fn events_tell_the_story_in_order() -> Done {
    let agent = agent(QUICK)?;
    agent.wait_for_stops(1)?;
    let shown = agent.wait_until("the accepted call as an event", || {
        let shown = text(&agent.ctl(&["events", "--json"]).ok()?.stdout);
        shown.contains("\"accepted\"").then_some(shown)
    })?;
    let events: Vec<Value> =
        shown.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let position = |name: &str| events.iter().position(|event| event["event"] == name);
    let order = ["became-quiet", "warned", "asking", "accepted"].map(position);
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?} in {shown}");
    Ok(())
}

#[test]
fn observing_is_refused_power_by_policy() -> Done {
    let agent = agent(&quick_observing())?;
    agent.wait_for("what the instance can do", |status| status["instance"].is_object())?;
    let stop = agent.ctl(&["stop", "--yes"])?;
    let want = if nix::unistd::geteuid().is_root() { 5 } else { 4 };
    code(&stop, want);
    assert_eq!(agent.stops(), 0);
    Ok(())
}

#[test]
fn stop_without_a_terminal_wants_a_yes() -> Done {
    let agent = agent(&quick_with("action = \"none\""))?;
    let stop = agent.ctl(&["stop"])?;
    assert_ne!(stop.status.code(), Some(0), "{}", text(&stop.stdout));
    agent.stays("no stop", Duration::from_secs(2), |agent| agent.stops() == 0)?;
    Ok(())
}

#[test]
fn a_blind_source_is_an_exit_code_of_its_own() -> Done {
    let agent = agent(CALM)?;
    agent.machine().remove("sys/fs/cgroup/user.slice/cpu.stat")?;
    agent.machine().write("sys/fs/cgroup/user.slice/cpu.stat", "garbage\n")?;
    agent.machine().cgroup("user.slice/user-1000.slice")?;
    agent.machine().cgroup("user.slice/user-1000.slice/session-7.scope")?;
    let stat = "sys/fs/cgroup/user.slice/user-1000.slice/session-7.scope/cpu.stat";
    agent.machine().write(stat, "garbage\n")?;
    agent.wait_for("blindness", |status| {
        status["blind"].as_array().is_some_and(|all| !all.is_empty())
    })?;
    code(&agent.ctl(&["status"])?, 6);
    Ok(())
}
