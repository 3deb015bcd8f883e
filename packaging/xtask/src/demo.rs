//! `cargo demo`: the real agent on this machine, in a simulated EC2, watched for a minute or two.
//!
//! Nothing real is touched: the agent reads this machine's own `/proc`, but its instance metadata and its EC2 API are
//! simulators on loopback. It needs no root, no AWS account and no network.

mod busy;
mod screen;
mod story;

use std::io::IsTerminal;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use agent_tests::agent::{Agent, AgentError};
use agent_tests::instance::{Instance, State};
use agent_tests::socket::Client;
use nix::unistd::geteuid;
use serde_json::Value;

use busy::BusyLoop;
use screen::Screen;
use story::Story;

/// One look a second.
const LOOK: Duration = Duration::from_secs(1);
/// A machine that is in use is watched for so long.
const WATCH_BUSY: Duration = Duration::from_secs(65);
/// It ends after so long in any case.
const WATCH_MOST: Duration = Duration::from_mins(2);
/// For as long the agent may take to answer for the first time.
const GREETING: Duration = Duration::from_secs(20);

/// The user of the agent when root starts the demonstration (`nobody` of Debian's base-passwd).
const NOBODY: u32 = 65_534;

/// The short profile: what takes half an hour in practice takes 45 seconds here. The background noise of a desktop
/// (a browser, a music player) counts as idle, so the limits are higher than in practice. The demonstration itself is a job
/// in the foreground of somebody's terminal, which the agent would wait for eight times as long.
const PROFILE: &str = r#"
mode = "enforce"

[idle]
quiet_after = "10s"
act_after = "45s"
connected_after = "45s"
job_after = "45s"
warn_before = ["20s", "10s"]
boot_grace = "0s"
resume_grace = "0s"
action = "hibernate"

[source.cpu]
busy_above = 0.3

[source.network]
busy_above = 65536
"#;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Show this machine as it is.
    AsItIs,
    /// Keep a core busy on purpose.
    Busy,
    /// Be the program that keeps the core busy.
    Burn,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The instance was hibernated.
    Hibernated,
    /// Something used the machine all the time.
    InUse,
    /// The time was over before either.
    OutOfTime,
}

/// Shows the agent at work. `--busy` keeps a core busy on purpose. Ends with 0 when the agent did its job, which on a
/// machine in use is to leave it alone.
pub(crate) fn run(args: &[String]) -> ExitCode {
    let wish = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Wish::AsItIs,
        ["--busy"] => Wish::Busy,
        [busy::BURN] => Wish::Burn,
        _ => {
            eprintln!("usage: cargo demo [-- --busy]");
            return ExitCode::from(2);
        }
    };
    if wish == Wish::Burn {
        busy::burn();
        return ExitCode::SUCCESS;
    }
    match build().and_then(|()| show(wish)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: failed to {why}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the agent; cargo shows the progress.
fn build() -> Result<(), String> {
    eprintln!("Building agentd. The first time this takes some minutes: the AWS SDK is large.");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "agentd", "--package", "agentctl"]).stdin(Stdio::null());
    let built = command.status().map_err(|cause| format!("run cargo: {cause}"))?;
    built.success().then_some(()).ok_or_else(|| "build agentd: see above".to_owned())
}

fn show(wish: Wish) -> Result<(), String> {
    let text = |why: AgentError| why.to_string();
    let mut agent = Agent::on_this_machine(Instance::default(), PROFILE).map_err(text)?;
    if geteuid().is_root() {
        // Nobody else's terminal shall be told that this machine goes down.
        agent.run_as(NOBODY).map_err(text)?;
    }
    agent.start().map_err(text)?;
    greet(&mut agent)?;
    let busy = match wish {
        Wish::Busy => Some(BusyLoop::start(agent.folder()).map_err(|cause| cause.to_string())?),
        _ => None,
    };
    let mut screen =
        Screen::new(std::io::stdout().is_terminal(), std::env::var_os("NO_COLOR").is_none());
    let setting = screen::setting(&agent.world, busy.as_ref().map(BusyLoop::pid));
    let (ending, last, story) = watch(&mut agent, &mut screen, &setting)?;
    drop(busy);
    agent.terminate().map_err(text)?;
    screen::say(&screen::farewell(ending, &last, &story, &agent.world.instance.snapshot()));
    Ok(())
}

/// Waits for the agent's first answer; an agent that ends instead tells why in its log.
fn greet(agent: &mut Agent) -> Result<(), String> {
    let start = Instant::now();
    while agent.status().is_err() {
        if !agent.is_running() || start.elapsed() > GREETING {
            return Err(format!("get an answer from agentd; its log:\n{}", agent.log()));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Looks once a second until the story has an end.
fn watch(
    agent: &mut Agent,
    screen: &mut Screen,
    setting: &[String],
) -> Result<(Ending, Value, Story), String> {
    let start = Instant::now();
    let client = agent.client();
    let mut story = Story::default();
    let mut last = Value::Null;
    loop {
        let elapsed = start.elapsed();
        match look(&client, &mut story, agent, elapsed) {
            Ok(now) => {
                story.witness(elapsed, &now);
                last = now;
            }
            Err(why) if !agent.is_running() => {
                return Err(format!("keep agentd running: {why}; its log:\n{}", agent.log()));
            }
            Err(why) => story.tell(elapsed, &format!("the agent did not answer: {why}")),
        }
        screen.draw(setting, elapsed, &last, &story);
        if let Some(ending) = ending(agent, elapsed, &last) {
            return Ok((ending, last, story));
        }
        thread::sleep(LOOK);
    }
}

fn look(
    client: &Client,
    story: &mut Story,
    agent: &Agent,
    elapsed: Duration,
) -> Result<Value, AgentError> {
    let now = client.get("/v1/why")?;
    story.hear(elapsed, client)?;
    story.overhear(elapsed, &agent.world.ec2.log());
    story.notice(elapsed, agent.world.instance.snapshot().state);
    Ok(now)
}

/// Whether the story has an end, and which. A machine that has calmed down gets the time for its whole countdown.
fn ending(agent: &Agent, elapsed: Duration, last: &Value) -> Option<Ending> {
    if agent.world.instance.snapshot().state == State::Stopped {
        return Some(Ending::Hibernated);
    }
    let counting_down =
        last["outlook"]["prospect"] == "will-act" || last["outlook"]["prospect"] == "acting";
    if elapsed >= WATCH_MOST || (elapsed >= WATCH_BUSY && !counting_down) {
        let in_use =
            matches!(last["outlook"]["prospect"].as_str(), Some("in-use" | "blocked" | "held"));
        return Some(if in_use { Ending::InUse } else { Ending::OutOfTime });
    }
    None
}
