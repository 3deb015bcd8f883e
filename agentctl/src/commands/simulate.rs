//! `simulate`: the daemon's program knows the policy and the recording, so it answers.

use std::path::Path;
use std::process::Command;

use super::Done;
use super::config::become_daemon;
use crate::cli::SimulateArgs;
use crate::screen::Screen;

/// `agentctl simulate`: becomes `agentd simulate`, with its output and its exit code.
pub(super) fn simulate(screen: &Screen, utc: bool, args: &SimulateArgs) -> Done {
    become_daemon(|daemon| command(daemon, args, screen.json, utc))
}

fn command(daemon: &Path, args: &SimulateArgs, json: bool, utc: bool) -> Command {
    let mut command = Command::new(daemon);
    command.arg("simulate");
    for (name, file) in
        [("--policy", &args.policy), ("--trace", &args.trace), ("--export", &args.export)]
    {
        if let Some(file) = file {
            command.arg(name).arg(file);
        }
    }
    if let Some(since) = args.since {
        command.arg("--since").arg(format!("{}ms", since.as_millis()));
    }
    if let Some(price) = args.price {
        command.arg("--price").arg(price.to_string());
    }
    let replays = args.export.is_none();
    let switches = [
        ("--all", args.all),
        ("--anonymise", args.anonymise),
        ("--json", json && replays),
        ("--utc", utc && replays),
    ];
    command.args(switches.into_iter().filter(|(_, on)| *on).map(|(name, _)| name));
    command
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn words(args: &SimulateArgs) -> Vec<String> {
        let command = command(Path::new("agentd"), args, true, true);
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_call_is_that_of_the_daemon() {
        let mut args = SimulateArgs {
            policy: Some("p.toml".into()),
            since: Some(Duration::from_hours(1)),
            trace: None,
            price: Some(0.42),
            all: true,
            export: None,
            anonymise: false,
        };
        assert_eq!(
            words(&args).join(" "),
            "simulate --policy p.toml --since 3600000ms --price 0.42 --all --json --utc"
        );
        args = SimulateArgs {
            policy: None,
            since: None,
            trace: Some("-".into()),
            price: None,
            all: false,
            export: Some("x.jsonl".into()),
            anonymise: true,
        };
        assert_eq!(words(&args).join(" "), "simulate --trace - --export x.jsonl --anonymise");
    }
}
