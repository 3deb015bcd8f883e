//! What each command does.

mod config;
mod doctor;
mod events;
mod hold;
mod power;
mod run;
mod simulate;
mod spot;
mod status;
mod watch;

use std::io::{self, BufRead, IsTerminal, Read};
use std::process::ExitCode as ProcessCode;

use agent_proto::client::Client;
use agent_proto::exit::ExitCode;
use agent_proto::status::Power;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::{Cli, CompletionsArgs, SpotVerb, Verb};
use crate::failure::Failure;
use crate::render::text::defuse;
use crate::screen::Screen;

/// How a command ended when nothing failed.
type Done = Result<ProcessCode, Failure>;

/// Runs a command and gives the exit code of the process.
pub(crate) fn run(cli: Cli) -> ProcessCode {
    let screen = Screen::new(&cli.options);
    let client = Client::new(cli.options.socket.unwrap_or_else(agent_proto::socket_path));
    let done = match cli.verb {
        Verb::Status(args) if args.check => status::check(&client),
        Verb::Status(_) => status::status(&client, &screen),
        Verb::Why => status::why(&client, &screen),
        Verb::Watch => watch::watch(&client, &screen),
        Verb::Hold(args) => hold::hold(&client, &screen, &args),
        Verb::Release(args) => hold::release(&client, &screen, &args),
        Verb::Run(args) => run::run(&client, &screen, &args),
        Verb::Events(args) => events::events(&client, &screen, &args),
        Verb::Config(args) => config::config(&screen, &args),
        Verb::Simulate(args) => simulate::simulate(&screen, cli.options.utc, &args),
        Verb::Hibernate(args) => power::power(&client, &screen, Power::Hibernate, args),
        Verb::Stop(args) => power::power(&client, &screen, Power::Stop, args),
        Verb::Spot(args) => match args.verb {
            None => spot::spot(&client, &screen),
            Some(SpotVerb::Drill(args)) => spot::drill(&client, &screen, &args),
        },
        Verb::Doctor => doctor::doctor(&client, &screen),
        Verb::Completions(args) => completions(&screen, args),
    };
    done.unwrap_or_else(|failure| {
        screen.fail(&failure);
        failure.code.into()
    })
}

/// All went well.
fn fine() -> ProcessCode {
    ExitCode::Fine.into()
}

/// The longest answer to a question that is read.
const ANSWER: u64 = 64;

/// Asks at the terminal before something that cannot be undone. Where there is none, nobody can have meant it without
/// the option that says so, as in `command`.
fn confirm(screen: &Screen, doing: &str, what: &str, command: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage(format!(
            "cannot {doing}: there is no terminal to confirm it at"
        ))
        .with_hint(command));
    }
    screen.say(&format!("{what} Go on? [y/N] "));
    let mut answer = String::new();
    let read = io::stdin().lock().take(ANSWER).read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::local(format!("cannot {doing}: not confirmed")))
}

/// A document for the screen: what could harm a terminal is taken out of every string.
fn document<T: DeserializeOwned>(doing: &str, bytes: &[u8]) -> Result<T, Failure> {
    let parsed = serde_json::from_slice::<Value>(bytes).and_then(|mut value| {
        defuse(&mut value);
        serde_json::from_value(value)
    });
    parsed.map_err(|error| {
        Failure::local(format!("cannot {doing}: the agent's answer cannot be understood: {error}"))
            .with_hint("install the same version of agentd and agentctl")
    })
}

fn completions(screen: &Screen, args: CompletionsArgs) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "agentctl", &mut script);
    screen.print(script)?;
    Ok(fine())
}
