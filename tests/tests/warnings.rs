//! Warnings that can be answered, with the real binary: until the first byte of the request leaves the machine.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use agent_tests::agent::{Agent, QUICK};
use agent_tests::fault::{Fault, Times};
use agent_tests::instance::Instance;
use agent_tests::table;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use serde_json::json;

type Done = Result<(), Box<dyn Error>>;

/// What somebody does in one case; what it returns lives as long as the case.
type Answer = fn(&Agent, u32) -> Result<Box<dyn std::any::Any>, Box<dyn Error>>;

/// How long the identity takes while the call is prepared.
const PREPARATION: Duration = Duration::from_millis(600);

fn press(agent: &Agent, pts: u32) -> Result<Box<dyn std::any::Any>, Box<dyn Error>> {
    agent.machine().press_key(pts)?;
    Ok(Box::new(()))
}

fn log_in(agent: &Agent, _: u32) -> Result<Box<dyn std::any::Any>, Box<dyn Error>> {
    Ok(Box::new(agent.machine().log_in(1001)?))
}

fn hold(agent: &Agent, _: u32) -> Result<Box<dyn std::any::Any>, Box<dyn Error>> {
    agent.client().post("/v1/hold", &json!({"for_seconds": 600, "reason": "a demo"}))?;
    Ok(Box::new(()))
}

fn start_job(agent: &Agent, _: u32) -> Result<Box<dyn std::any::Any>, Box<dyn Error>> {
    let job = agent.machine().start_job(1000, "train.py")?;
    Ok(Box::new(agent.machine().keep_busy(&job, 1.0)))
}

/// An agent with a terminal that nobody has typed on for an hour.
fn agent() -> Result<(Agent, u32), Box<dyn Error>> {
    let agent = Agent::on_idle_machine(Instance::default(), QUICK)?;
    let session = agent.machine().log_in(1000)?;
    agent.machine().press_key_at(session.pts, SystemTime::now() - Duration::from_hours(1))?;
    agent.machine().write("run/motd.d/10-other", "welcome\n")?;
    Ok((agent, session.pts))
}

#[test]
fn within_the_warning_every_answer_calls_it_off() -> Done {
    let answers: [(&str, Answer); 4] =
        [("a key", press), ("a new session", log_in), ("a hold", hold), ("a job", start_job)];
    table::each(answers.map(|(name, answer)| (name.to_owned(), answer)), |answer| {
        let (mut agent, pts) = agent()?;
        agent.start_and_greet()?;
        agent.wait_for_stage("warned")?;
        let countdown = agent.machine().path("run/motd.d/50-agentd");
        agent.wait_until("the message of the day", || countdown.exists().then_some(()))?;
        let kept = answer(&agent, pts)?;
        agent.wait_for("the call-off", |status| status["stage"] != "warned")?;
        agent.wait_until("the end of the message", || (!countdown.exists()).then_some(()))?;
        agent.stays("no stop", Duration::from_secs(3), |agent| agent.stops() == 0)?;
        let screen = agent.machine().on_screen(pts)?;
        assert!(screen.contains("Called off, this machine stays up"), "{screen}");
        assert!(agent.log().contains("The warning went to"), "{}", agent.log());
        drop(kept);
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn while_the_call_is_prepared_every_answer_still_holds_it_back() -> Done {
    let answers: [(&str, Answer); 3] =
        [("a key", press), ("a new session", log_in), ("a hold", hold)];
    table::each(answers.map(|(name, answer)| (name.to_owned(), answer)), |answer| {
        let (mut agent, pts) = agent()?;
        agent.start_and_greet()?;
        agent.wait_for_stage("warned")?;
        // The last reading of the sources is over, and the request waits for the identity.
        let late = Fault::Late(u64::try_from(PREPARATION.as_millis())?);
        agent.world.imds.fault("/latest/dynamic/*", late, Times::Always);
        agent.wait_for_stage("acting")?;
        let kept = answer(&agent, pts)?;
        assert_eq!(agent.stops(), 0, "the test was too slow for the call");
        agent.stays("no stop", Duration::from_secs(4), |agent| agent.stops() == 0)?;
        let last = agent
            .wait_for("the result", |status| status["last_action"]["result"] == "called-off")?;
        assert_ne!(last["stage"], "acting", "{last:#}");
        drop(kept);
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(())
}

#[test]
fn the_last_look_is_less_than_a_tenth_of_a_second_before_the_request_arrives() -> Done {
    // A loaded machine lets the simulated EC2 wait for its turn, which is no fault of the agent's: one of some is quick.
    let mut gaps = Vec::new();
    while gaps.len() < 5 && gaps.iter().all(|gap| *gap >= Duration::from_millis(100)) {
        gaps.push(gap()?);
    }
    println!("the last look was seen so long before the request arrived: {gaps:?}");
    assert!(gaps.last().is_some_and(|gap| *gap < Duration::from_millis(100)), "{gaps:?}");
    Ok(())
}

/// How long before the arrival of the request the terminals were looked at for the last time.
fn gap() -> Result<Duration, Box<dyn Error>> {
    let (mut agent, _) = agent()?;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    inotify.add_watch(&agent.machine().path("dev/pts"), AddWatchFlags::IN_OPEN)?;
    agent.start_and_greet()?;
    agent.wait_for_stage("warned")?;
    let late = Fault::Late(u64::try_from(PREPARATION.as_millis())?);
    agent.world.imds.fault("/latest/dynamic/*", late, Times::Always);
    agent.wait_for_stage("acting")?;
    // Every look at the terminals opens their folder. It is waited for without a pause: a thread that sleeps learns of a
    // look after the request has arrived.
    let mut looks = Vec::new();
    let until = Instant::now() + Duration::from_secs(20);
    while agent.stops() == 0 && Instant::now() < until {
        let spin = Instant::now() + Duration::from_millis(5);
        while Instant::now() < spin {
            if inotify.read_events().is_ok() {
                looks.push(Instant::now());
            }
        }
    }
    let arrived = agent.world.ec2.log().stops().first().ok_or("nothing was asked for")?.at;
    // What this thread saw a moment after the arrival was before it: nothing is looked at again for half a second.
    let near = Duration::from_millis(50);
    let last = looks.iter().rev().find(|look| **look <= arrived + near);
    let last = *last.ok_or("nothing was looked at")?;
    Ok(arrived.saturating_duration_since(last))
}

#[test]
fn an_agent_that_starts_again_takes_a_stale_countdown_back() -> Done {
    let (mut agent, _) = agent()?;
    agent.start_and_greet()?;
    agent.wait_for_stage("warned")?;
    let countdown = agent.machine().path("run/motd.d/50-agentd");
    agent.wait_until("the message of the day", || countdown.exists().then_some(()))?;
    agent.kill();
    assert!(countdown.exists(), "a killed agent can take nothing back");
    agent.start_and_greet()?;
    agent.wait_until("the end of the stale message", || (!countdown.exists()).then_some(()))?;
    assert!(agent.machine().path("run/motd.d/10-other").exists(), "others' messages are others'");
    Ok(())
}
