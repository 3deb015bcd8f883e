//! A wrong configuration is refused with its place; at a reload the old one stays in force.

use std::error::Error;
use std::time::Duration;

use agent_tests::agent::{Agent, QUICK, quick_with};
use agent_tests::instance::Instance;
use agent_tests::table;
use nix::sys::signal::Signal;

type Done = Result<(), Box<dyn Error>>;

/// `ExitCode` of the agent's programs for a bad configuration.
const BAD_CONFIGURATION: i32 = 7;

#[test]
fn the_agent_does_not_start_with_a_wrong_configuration_and_says_where_it_is_wrong() -> Done {
    let cases = [
        (QUICK.replace("act_after", "act_atfer"), "act_after"),
        (QUICK.replace("\"6s\"", "\"6 parsecs\""), "parsecs"),
        (QUICK.replace("\"6s\"", "6"), "act_after"),
        (QUICK.replace("\"6s\"", "\"-6s\""), "act_after"),
        (QUICK.replace("\"6s\"", "\"400d\""), "act_after"),
        (QUICK.replace("\"3s\", \"1s\"", "\"1h\""), "warn_before"),
        (QUICK.replace("enforce", "enforced"), "enforce"),
        (quick_with("[sorce.cpu]\nenabled = true"), "source"),
        (quick_with("[source.cpu]\nbusy_abov = 1"), "busy_above"),
        (quick_with("[source.cpu]\nbusy_above = -1"), "busy_above"),
        (quick_with("pre_stop = \"relative/hook\""), "pre_stop"),
        (quick_with("not toml at all"), "toml"),
    ];
    table::each(cases.map(|(config, word)| (config.clone(), (config, word))), |(config, word)| {
        let mut agent = Agent::on_idle_machine(Instance::default(), &config)?;
        agent.start()?;
        let ended = agent.wait_for_exit(Duration::from_secs(20))?;
        let log = agent.log();
        assert_eq!(ended.and_then(|status| status.code()), Some(BAD_CONFIGURATION), "{log}");
        assert!(log.contains("agentd.toml:"), "no file and line in: {log}");
        assert!(log.contains(word), "'{word}' is not in: {log}");
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn a_missing_file_is_named() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    std::fs::remove_file(agent.config_file())?;
    agent.start()?;
    let ended = agent.wait_for_exit(Duration::from_secs(20))?;
    assert_eq!(ended.and_then(|status| status.code()), Some(BAD_CONFIGURATION), "{}", agent.log());
    assert!(agent.log().contains("agentd.toml"), "{}", agent.log());
    Ok(())
}

#[test]
fn a_wrong_configuration_at_a_reload_changes_nothing_and_is_shown() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.start_and_greet()?;
    agent.configure(&QUICK.replace("act_after", "act_atfer"))?;
    agent.signal(Signal::SIGHUP)?;
    let status = agent.wait_for("the problem", |status| status["config"]["problem"].is_string())?;
    let problem = status["config"]["problem"].as_str().unwrap_or_default();
    assert!(problem.contains("act_atfer"), "{problem}");
    assert_eq!(status["mode"], "enforce");
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn a_right_configuration_at_a_reload_is_in_force() -> Done {
    let mut agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    agent.start_and_greet()?;
    agent.configure(&quick_with("action = \"none\""))?;
    agent.signal(Signal::SIGHUP)?;
    agent.wait_for("the new policy", |status| status["outlook"]["prospect"] == "never")?;
    agent.stays("no stop", Duration::from_secs(9), |agent| agent.stops() == 0)?;
    agent.configure(QUICK)?;
    agent.signal(Signal::SIGHUP)?;
    agent.wait_for_stops(1)?;
    Ok(())
}
