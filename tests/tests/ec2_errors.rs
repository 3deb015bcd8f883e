//! Every row of EC2's error table: what is tried again, what never, what falls back, and what is looked up.

use std::error::Error;
use std::time::Duration;

use agent_tests::agent::{Agent, QUICK, quick_with};
use agent_tests::ec2::{CallFault, Refusal};
use agent_tests::fault::{Fault, Times};
use agent_tests::instance::{Instance, State};
use agent_tests::table;

type Done = Result<(), Box<dyn Error>>;

const ID: &str = "i-0a1b2c3d4e5f60718";
const STOP: &str = "StopInstances";

fn agent(config: &str) -> Result<Agent, Box<dyn Error>> {
    Ok(Agent::on_idle_machine(Instance::default(), config)?)
}

fn named(refusal: Refusal) -> (String, Refusal) {
    (format!("{} {}", refusal.code, refusal.message), refusal)
}

#[test]
fn passing_conditions_are_tried_again_until_it_works() -> Done {
    let codes = [
        "RequestLimitExceeded",
        "InternalError",
        "InternalFailure",
        "Unavailable",
        "ServiceUnavailable",
    ];
    let mut cases: Vec<(String, CallFault)> =
        codes.map(|code| (code.to_owned(), CallFault::Refuse(Refusal::usual(code)))).into();
    for fault in [Fault::Reset, Fault::Html, Fault::Status(502), Fault::Garbage, Fault::Truncated] {
        cases.push((format!("{fault}, not applied"), CallFault::Instead(fault)));
    }
    table::each(cases, |fault| {
        let mut agent = agent(QUICK)?;
        agent.world.ec2.fault(STOP, fault, Times::Next(1));
        agent.start_and_greet()?;
        agent.wait_until("the end", || (agent.instance_state() != State::Running).then_some(()))?;
        agent.stays("no further call", Duration::from_secs(3), |agent| agent.stops() == 2)?;
        assert!(agent.world.ec2.log().stops().iter().all(|stop| stop.hibernates()));
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn not_ready_to_hibernate_is_waited_for_and_never_becomes_a_stop() -> Done {
    let mut agent = agent(&quick_with("fallback = \"stop\""))?;
    let not_ready = CallFault::Refuse(Refusal::not_ready(ID));
    agent.world.ec2.fault(STOP, not_ready, Times::Next(1));
    agent.start_and_greet()?;
    agent.wait_for_stops(2)?;
    let log = agent.world.ec2.log();
    assert!(log.stops().iter().all(|stop| stop.hibernates()), "{}", log.lines());
    let pause = log.stops()[1].at.duration_since(log.stops()[0].at);
    assert!(pause >= Duration::from_secs(10), "it tried again after {pause:?}");
    Ok(())
}

#[test]
fn permanent_refusals_are_told_and_not_repeated() -> Done {
    let cases = [
        Refusal::one_time_spot(ID),
        Refusal::in_fleet(ID),
        Refusal::protected(ID),
        Refusal::usual("UnauthorizedOperation"),
    ];
    table::each(cases.map(named), |refusal| {
        let mut agent = agent(QUICK)?;
        let code = refusal.code.clone();
        agent.world.ec2.fault(STOP, CallFault::Refuse(refusal), Times::Always);
        agent.start_and_greet()?;
        agent.wait_for_stops(1)?;
        let status = agent.wait_for("the result", |status| {
            matches!(status["last_action"]["result"].as_str(), Some("refused" | "failed"))
        })?;
        let detail = status["last_action"]["detail"].as_str().unwrap_or_default();
        assert!(detail.len() > 10, "{code} is explained by '{detail}'");
        agent.stays("no second call", Duration::from_secs(8), |agent| agent.stops() == 1)?;
        assert_eq!(agent.instance_state(), State::Running);
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn what_heals_only_slowly_is_told_and_tried_again_slowly() -> Done {
    let cases = [Refusal::usual("AuthFailure"), Refusal::unknown(ID)];
    table::each(cases.map(named), |refusal| {
        let mut agent = agent(QUICK)?;
        let code = refusal.code.clone();
        agent.world.ec2.fault(STOP, CallFault::Refuse(refusal), Times::Always);
        agent.start_and_greet()?;
        agent.wait_for_stops(1)?;
        agent.wait_until("the code in the log", || agent.log().contains(&code).then_some(()))?;
        agent.stays("no second call", Duration::from_secs(10), |agent| agent.stops() == 1)?;
        assert_eq!(agent.instance_state(), State::Running);
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn an_impossible_hibernation_becomes_a_stop_only_where_configured() -> Done {
    for (fallback, want) in [("stop", 2), ("none", 1)] {
        let mut agent = agent(&quick_with(&format!("fallback = \"{fallback}\"")))?;
        let refusal = CallFault::Refuse(Refusal::not_configured(ID));
        agent.world.ec2.fault(STOP, refusal, Times::Next(1));
        agent.start_and_greet()?;
        agent.wait_for_stops(want)?;
        agent.stays("no further call", Duration::from_secs(4), |agent| agent.stops() == want)?;
        let log = agent.world.ec2.log();
        let hibernations = log.stops().iter().filter(|stop| stop.hibernates()).count();
        assert_eq!(hibernations, 1, "fallback {fallback}:\n{}", log.lines());
    }
    Ok(())
}

#[test]
fn a_call_whose_answer_was_lost_is_looked_up_and_not_repeated() -> Done {
    let lost =
        [Fault::Reset, Fault::Close, Fault::Hang, Fault::Status(500), Fault::Garbage, Fault::Html];
    table::each(lost.map(|fault| (format!("applied, then {fault}"), fault)), |fault| {
        let mut agent = agent(QUICK)?;
        agent.world.ec2.fault(STOP, CallFault::Applied(fault), Times::Next(1));
        agent.start_and_greet()?;
        agent.wait_for_stops(1)?;
        agent.wait_until("a look at the instance", || {
            let log = agent.world.ec2.log();
            let stop = log.stops().first().map(|stop| stop.at)?;
            log.of("DescribeInstances").iter().any(|look| look.at > stop).then_some(())
        })?;
        agent.stays("no second call", Duration::from_secs(8), |agent| agent.stops() == 1)?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn an_instance_that_is_stopping_already_is_a_success() -> Done {
    let mut agent = agent(QUICK)?;
    let wrong = CallFault::Refuse(Refusal::wrong_state(ID, "stopped"));
    agent.world.ec2.fault(STOP, wrong, Times::Always);
    agent.start_and_greet()?;
    agent.wait_for_stage("warned")?;
    agent.world.instance.with(|instance| instance.state = State::Stopping);
    agent.wait_for_stops(1)?;
    agent.stays("no second call", Duration::from_secs(8), |agent| agent.stops() == 1)?;
    let status = agent.status()?;
    assert_ne!(status["last_action"]["result"], "refused", "{status:#}");
    Ok(())
}

#[test]
fn ec2_out_of_reach_means_no_action_and_no_guess() -> Done {
    let mut agent = agent(QUICK)?;
    agent.world.ec2.refuse_connections();
    agent.start_and_greet()?;
    let status = agent.wait_for("that it is not known", |status| {
        status["abilities"]["hibernate"]["can"] == "unknown"
    })?;
    assert_ne!(status["outlook"]["prospect"], "will-act", "{status:#}");
    agent.stays("it runs on", Duration::from_secs(9), |agent| agent.status().is_ok())?;
    agent.world.ec2.heal()?;
    agent.wait_for_stops(1)?;
    Ok(())
}

#[test]
fn tags_that_are_refused_do_not_hinder_the_action() -> Done {
    let mut agent = agent(QUICK)?;
    agent.world.ec2.deny("CreateTags");
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    let tries = agent.world.ec2.log().of("CreateTags").len();
    assert!(tries <= 10, "{tries} calls although every one was refused");
    Ok(())
}

#[test]
fn tagging_that_hangs_does_not_hinder_the_action() -> Done {
    let mut agent = agent(QUICK)?;
    agent.world.ec2.fault("CreateTags", CallFault::Instead(Fault::Hang), Times::Always);
    agent.start_and_greet()?;
    agent.wait_for_stops(1)?;
    Ok(())
}
