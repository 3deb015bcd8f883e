//! What the real agent records is what it decided by: simulated, it gives what the agent did.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use agent_tests::agent::{Agent, BINARY_VARIABLE, QUICK, binary, quick_observing};
use agent_tests::instance::Instance;
use serde_json::Value;

type Done = Result<(), Box<dyn Error>>;

fn simulate(agent: &Agent, arguments: &[&str]) -> Result<Output, Box<dyn Error>> {
    let mut command = Command::new(binary("agentd", BINARY_VARIABLE)?);
    command.arg("--config").arg(agent.config_file()).arg("--state-dir").arg(agent.state_dir());
    Ok(command.arg("simulate").args(arguments).output()?)
}

fn simulated(agent: &Agent, arguments: &[&str]) -> Result<Value, Box<dyn Error>> {
    let output = simulate(agent, &[&["--json"], arguments].concat())?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaint}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The inputs of an exported trace by their names.
fn inputs(trace: &str) -> Vec<String> {
    let lines = trace.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let inputs = lines.flat_map(|line| line["inputs"].as_array().cloned().unwrap_or_default());
    let name = |input: Value| match input {
        Value::String(name) => name,
        Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    inputs.map(name).collect()
}

#[test]
fn a_recording_simulates_to_what_the_agent_did() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    let status = agent.wait_for("the action in the status", |s| s["last_action"].is_object())?;
    agent.terminate()?;
    let document = simulated(&agent, &[])?;
    assert_eq!(document["sum"]["actions"], 1, "{document:#}");
    assert_eq!(document["downs"][0]["power"], "hibernate");
    let acted = document["downs"][0]["from"]["wall_ms"].as_i64().unwrap_or(0);
    let acted = jiff::Timestamp::from_millisecond(acted)?;
    let real: jiff::Timestamp = status["last_action"]["at"].as_str().unwrap_or("").parse()?;
    let off = acted.duration_since(real).unsigned_abs();
    assert!(off < Duration::from_secs(2), "simulated at {acted}, acted at {real}");
    Ok(())
}

#[test]
fn a_recording_survives_kill_9_and_goes_on() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), &quick_observing())?;
    agent.start_and_greet()?;
    agent.wait_for_stage("would-act")?;
    agent.terminate()?;
    agent.start_and_greet()?;
    agent.kill();
    // What was recorded before is there, and the next run goes on.
    agent.start_and_greet()?;
    agent.wait_for_stage("would-act")?;
    agent.terminate()?;
    let document = simulated(&agent, &[])?;
    assert!(document["sum"]["actions"].as_u64() >= Some(1), "{document:#}");
    assert_eq!(document["trace"]["boots"], 1);
    let exported = agent.folder().join("bug.jsonl");
    let to = exported.display().to_string();
    assert!(simulate(&agent, &["--export", &to, "--anonymise"])?.status.success());
    let again = simulated(&agent, &["--trace", &to])?;
    assert_eq!(again["downs"], document["downs"], "the exported trace decides the same");
    Ok(())
}

#[test]
fn reading_the_status_records_nothing() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), &quick_observing())?;
    agent.start_and_greet()?;
    for _ in 0..200 {
        let _too_often = agent.status();
    }
    agent.terminate()?;
    let to: PathBuf = agent.folder().join("trace.jsonl");
    assert!(simulate(&agent, &["--export", &to.display().to_string()])?.status.success());
    let inputs = inputs(&std::fs::read_to_string(&to)?);
    let others = inputs.iter().filter(|input| *input != "observed");
    assert!(inputs.len() > 8 && others.clone().count() < 20, "{:?}", others.collect::<Vec<_>>());
    Ok(())
}

#[test]
fn without_a_recording_or_a_trace_the_remedy_is_told() -> Done {
    let agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    let output = simulate(&agent, &[])?;
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("find a recording in") && told.contains("--trace FILE"), "{told}");
    let output = simulate(&agent, &["--trace", "/nonexistent"])?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.starts_with("error: failed to read the trace /nonexistent: "), "{told}");
    Ok(())
}
