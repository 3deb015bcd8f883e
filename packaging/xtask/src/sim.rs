//! The simulated IMDS, EC2, Auto Scaling and SNS, to play with: start the agent or any AWS tool with the variables that are
//! printed, and steer the world with words at the terminal, over HTTP, or by a scenario file.

use std::io::{BufRead as _, stdin};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use agent_tests::control::Control;
use agent_tests::instance::Instance;
use agent_tests::moto::{self, Moto};
use agent_tests::scenario::{self, Scenario};
use agent_tests::step::{HELP, Step};
use agent_tests::world::World;
use clap::Args;

use crate::workspace::Workspace;

/// How often it looks for new calls to print.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is simulated.
#[derive(Debug, Default, Args)]
#[command(after_help = format!("Steps, at the terminal, in scenario files and as POST /do?step=...:\n{HELP}"))]
pub(crate) struct Options {
    /// Play a scenario: its name as in --list, or a file.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// List the scenarios that are shipped, and end.
    #[arg(long)]
    list: bool,
    /// Let a moto hold the instance, behind EC2's own rules: the URL of one that runs, or auto to start one.
    #[arg(long, value_name = "URL|auto")]
    moto: Option<String>,
    /// The address of the metadata service, such as `[::1]:0` for IPv6.
    #[arg(long, value_name = "ADDR")]
    imds: Option<SocketAddr>,
}

/// Serves until it is interrupted, and prints each call of the APIs.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> ExitCode {
    let folder = workspace.root.join("tests/scenarios");
    let done = if options.list { list(&folder) } else { serve(&folder, options) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: failed to {error}");
            ExitCode::FAILURE
        }
    }
}

fn list(folder: &Path) -> Result<(), String> {
    for (name, scenario) in scenario::all(folder).map_err(|why| why.to_string())? {
        println!("{name:<28} {}", scenario.title);
    }
    Ok(())
}

fn serve(folder: &Path, options: &Options) -> Result<(), String> {
    let scenario = options.scenario.as_deref().map(|named| read(folder, named)).transpose()?;
    let mut instance = Instance::default();
    let (own_moto, upstream) = behind(options.moto.as_deref())?;
    if let Some(upstream) = upstream {
        instance.id = moto::launch(upstream, &instance.region).map_err(|why| why.to_string())?;
    }
    let free = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let started = World::at(options.imds.unwrap_or(free), free, upstream, instance)
        .and_then(|world| Control::start(free, world));
    let control =
        started.map_err(|why| format!("start the simulators on the loopback address: {why}"))?;
    let control = Arc::new(control);
    for step in scenario.iter().flat_map(|scenario| &scenario.first) {
        control.apply(step).map_err(|why| why.to_string())?;
    }
    greet(&control, own_moto.is_some() || upstream.is_some());
    listen(Arc::clone(&control));
    if let Some(scenario) = scenario {
        play(Arc::clone(&control), scenario);
    }
    follow(&control)
}

/// A scenario by its name or its file.
fn read(folder: &Path, named: &Path) -> Result<Scenario, String> {
    let shipped = folder.join(named).with_extension("toml");
    let path = if named.is_file() { named } else { &shipped };
    let hint = "; cargo sim --list names those that are shipped";
    Scenario::read(path).map_err(|why| {
        let told = why.to_string();
        if path.is_file() { told } else { format!("read the scenario {}{hint}", named.display()) }
    })
}

/// The moto that holds the instance, if one was asked for, and where it is.
fn behind(asked: Option<&str>) -> Result<(Option<Moto>, Option<SocketAddr>), String> {
    match asked {
        None => Ok((None, None)),
        Some("auto") => {
            let started = Moto::start().map_err(|why| why.to_string())?;
            let addr = started.addr();
            Ok((Some(started), Some(addr)))
        }
        Some(url) => {
            let place = url.trim_start_matches("http://").trim_end_matches('/');
            let found = place.to_socket_addrs().ok().and_then(|mut found| found.next());
            let wrong = || format!("use --moto {url}: expected auto or http://HOST:PORT");
            found.map(|addr| (None, Some(addr))).ok_or_else(wrong)
        }
    }
}

fn greet(control: &Control, moto: bool) {
    let shown = control.look(|world| world.instance.snapshot());
    println!("{}", exports(&control.environment(), &shown.region));
    println!("# instance {} ({}, {})", shown.id, shown.instance_type, shown.life_cycle);
    if moto {
        println!("# EC2 is moto behind EC2's own rules");
    }
    println!("# steer it: type a step, such as 'spot terminate in 120s', 'help' for all of them,");
    println!(
        "#           or curl -X POST --data-urlencode 'step=rebalance' http://{}/do",
        control.addr()
    );
    println!("#           scenarios: cargo sim --list; cargo sim --scenario NAME");
    println!("# calls of the APIs follow, Ctrl-C ends");
}

/// Does what is typed, for as long as there is a terminal or a pipe.
fn listen(control: Arc<Control>) {
    thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            match line.trim() {
                "" => {}
                "help" => println!("{HELP}"),
                text => match text.parse::<Step>().and_then(|step| control.apply(&step)) {
                    Ok(()) => println!("# done: {text}"),
                    Err(why) => println!("# error: failed to {why}"),
                },
            }
        }
    });
}

fn play(control: Arc<Control>, scenario: Scenario) {
    println!("# scenario: {}", scenario.title);
    thread::spawn(move || {
        let played = scenario.play(|scheduled| {
            let said = scheduled.say.as_deref().map(|say| format!("  ({say})"));
            println!(
                "# {:>6.1} s  {}{}",
                scheduled.at.as_secs_f64(),
                scheduled.step,
                said.unwrap_or_default()
            );
            control.apply(&scheduled.step)
        });
        match played {
            Ok(()) => println!("# the scenario has been played; the world goes on"),
            Err(why) => println!("# error: failed to {why}"),
        }
    });
}

/// Prints each new call for ever.
fn follow(control: &Control) -> Result<(), String> {
    let mut told = 0;
    loop {
        thread::sleep(LOOK_EVERY);
        let lines = control.look(|world| world.ec2.log().lines());
        for call in lines.lines().skip(told) {
            println!("# {call}");
        }
        told = lines.lines().count();
    }
}

/// Lines for a shell.
fn exports(world: &[(String, String)], region: &str) -> String {
    let own = [
        ("AWS_REGION", region),
        ("AWS_ACCESS_KEY_ID", "simulated"),
        ("AWS_SECRET_ACCESS_KEY", "simulated"),
    ];
    let world = world.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let lines = world.chain(own).map(|(name, value)| format!("export {name}={value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_can_be_pasted_into_a_shell() {
        let world = World::start(Instance::default()).unwrap().environment();
        let lines = exports(&world, "eu-central-1");
        assert!(lines.starts_with("export AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:"));
        assert!(lines.lines().all(|line| line.starts_with("export AWS_")));
    }

    #[test]
    fn scenarios_are_found_by_name_and_by_file_and_missing_ones_are_named() {
        let folder = Workspace::find().unwrap().root.join("tests/scenarios");
        assert!(read(&folder, Path::new("spot-terminate")).is_ok());
        assert!(read(&folder, &folder.join("hop-limit.toml")).is_ok());
        let missing = read(&folder, Path::new("spot-explode")).unwrap_err();
        assert!(missing.contains("spot-explode") && missing.contains("--list"), "{missing}");
    }

    #[test]
    fn a_moto_is_given_by_its_url() {
        let (own, addr) = behind(Some("http://127.0.0.1:5000/")).unwrap();
        assert!(own.is_none() && addr.unwrap().port() == 5_000);
        assert!(behind(Some("yes")).unwrap_err().contains("expected auto or http://HOST:PORT"));
        assert!(behind(None).unwrap().1.is_none());
    }
}
