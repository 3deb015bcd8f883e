//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use agent_proto::command::SpotAction;
use agent_proto::limits;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use jiff::{Span, SpanRelativeTo};

/// Every exit code, below the help of the whole program.
const EXIT_CODES: &str = "Exit codes:
  0  fine
  1  failed
  2  wrong usage
  3  the agent cannot be reached
  4  not permitted
  5  refused by policy
  6  a required source cannot be read
  7  bad configuration

Examples:
  agentctl status                 what will happen, when, and how to prevent it
  agentctl hold 2h --reason demo  keep the machine up for two hours
  agentctl run -- make test       keep it up while a command runs
  agentctl why                    every piece of evidence";

/// Shows and steers agentd, which hibernates or stops this EC2 instance when nobody uses it.
#[derive(Debug, Parser)]
#[command(name = "agentctl", version, arg_required_else_help = true, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Print one JSON document on stdout and nothing else.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Ask the agent at this socket instead of `AGENTD_SOCKET` or /run/agentd/agentd.sock.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Show times in UTC only.
    #[arg(long, global = true)]
    pub(crate) utc: bool,
    /// When to colour; `NO_COLOR` and TERM=dumb are respected.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Also into files and pipes.
    Always,
    /// Not at all.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show what will happen and when, because of what, and how to prevent it.
    #[command(
        after_long_help = "Exits with 6 when a source cannot be read, which is never idle, and when an interruption would not be seen.

With --check nothing is printed, for scripts: 0 in use, 10 idle, 20 warned, 30 acting, 6 a source cannot be read.

Examples:
  agentctl status
  agentctl status --json | jq .outlook
  agentctl status --check || echo \"not in use\""
    )]
    Status(StatusArgs),
    /// Show every piece of evidence, also what is ignored.
    #[command(
        after_long_help = "Examples:\n  agentctl why\n  agentctl why --json | jq '.sources[].signals'"
    )]
    Why,
    /// Show the status, drawn again every second.
    #[command(after_long_help = "Ends with Ctrl-C.\n\nExamples:\n  agentctl watch")]
    Watch,
    /// Keep the machine up for a while.
    #[command(
        after_long_help = "A hold always ends. Every local user may hold up to hold.user_max (2h by default), \
administrators up to hold.admin_max (72h).

Examples:
  agentctl hold 2h
  agentctl hold 90m --reason \"nightly evaluation\"
  sudo agentctl hold 2d"
    )]
    Hold(HoldArgs),
    /// End a hold, or all of yours.
    #[command(after_long_help = "Examples:\n  agentctl release\n  agentctl release 7")]
    Release(ReleaseArgs),
    /// Keep the machine up while a command runs.
    #[command(
        after_long_help = "Returns the command's exit code; 127 when it is not found, 126 when it cannot be run, 128 + N \
when signal N ended it. Signals are passed on to it.

Examples:
  agentctl run -- make test
  agentctl run --reason \"training run 12\" -- python train.py --epochs 40"
    )]
    Run(RunArgs),
    /// Show what happened.
    #[command(after_long_help = "With --json every line is one JSON document.

Examples:
  agentctl events --since 2h
  agentctl events --follow
  agentctl events --json | jq -r .text")]
    Events(EventsArgs),
    /// Check, show or explain the configuration.
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_long_help = "Exits with 7 when the configuration is wrong.

Examples:
  agentctl config check
  agentctl config explain idle.act_after")]
    Config(ConfigArgs),
    /// Replay what was recorded under another configuration: what would have happened, and what it would have saved.
    #[command(
        after_long_help = "Without --policy the configuration of this machine is replayed, as if its mode were \
enforce. The recording is for root alone; a trace file can be replayed by everybody.

With --export nothing is replayed; the trace is written as JSON lines, for a bug report or a test.

Examples:
  sudo agentctl simulate --since 7d --price 0.42
  sudo agentctl simulate --policy shorter.toml
  agentctl simulate --trace bug.jsonl --all
  sudo agentctl simulate --export bug.jsonl --anonymise"
    )]
    Simulate(SimulateArgs),
    /// Hibernate this instance now, through every gate (administrators).
    #[command(
        after_long_help = "Examples:\n  sudo agentctl hibernate --dry-run\n  sudo agentctl hibernate --yes"
    )]
    Hibernate(PowerArgs),
    /// Stop this instance now, through every gate (administrators).
    #[command(
        after_long_help = "What is in memory is lost.\n\nExamples:\n  sudo agentctl stop --dry-run\n  sudo agentctl stop --yes"
    )]
    Stop(PowerArgs),
    /// Show whether EC2 announces an interruption, whether it would be seen, and what is done then.
    #[command(
        after_long_help = "Exits with 6 when the metadata service cannot be read for a kind of interruption that this \
instance can get: it would not be seen.

What hooks printed is shown to administrators only.

Examples:
  agentctl spot
  agentctl spot --json | jq .interruption
  sudo agentctl spot drill"
    )]
    Spot(SpotArgs),
    /// Check whether the agent has what it needs: metadata, credentials, permissions, sources, clock.
    #[command(
        after_long_help = "Exits with 1 when a check fails.\n\nExamples:\n  agentctl doctor\n  agentctl doctor --json | jq '.checks[] | select(.status != \"ok\")'"
    )]
    Doctor,
    /// Print a completion script for a shell.
    #[command(
        after_long_help = "Examples:\n  agentctl completions bash > ~/.local/share/bash-completion/completions/agentctl"
    )]
    Completions(CompletionsArgs),
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print nothing and answer by exit code.
    #[arg(long, conflicts_with = "json")]
    pub(crate) check: bool,
}

/// `hold`.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// For how long: 45s, 90m, 2h, 1h30m, 2d.
    #[arg(value_parser = span)]
    pub(crate) duration: Duration,
    /// Why, for those who read the status.
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
}

/// `release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The hold's number, as `agentctl status` shows it; all of yours without it.
    pub(crate) id: Option<u64>,
}

/// `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Why, for those who read the status; the command itself without it.
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// The command and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "CMD"
    )]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Go on with what happens.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only what happened in this last while: 30m, 2h.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) since: Option<Duration>,
    /// Only what comes behind this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) after: u64,
}

/// `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// This file alone, instead of the files of this machine.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

/// `config …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Say what is wrong with the configuration, with file and line.
    #[command(
        after_long_help = "Exits with 7 when something is wrong.\n\nExamples:\n  agentctl config check\n  agentctl config check --config new.toml"
    )]
    Check,
    /// Show every value in force and where it comes from.
    #[command(after_long_help = "Examples:\n  agentctl config show")]
    Show,
    /// Explain one key: what it does, its type, its default, its value.
    #[command(after_long_help = "Examples:\n  agentctl config explain idle.act_after")]
    Explain {
        /// The key, as in `idle.act_after`.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        key: String,
    },
}

/// `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Lay this configuration over the one of this machine.
    #[arg(long, value_name = "FILE", conflicts_with = "export")]
    pub(crate) policy: Option<PathBuf>,
    /// Only this last while of the recording: 12h, 7d.
    #[arg(long, value_name = "SPAN", value_parser = span, conflicts_with = "trace")]
    pub(crate) since: Option<Duration>,
    /// Replay this trace instead of the recording; '-' is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Tell what is saved at this price, US dollars an hour.
    #[arg(long, value_name = "USD", conflicts_with = "export")]
    pub(crate) price: Option<f64>,
    /// Show everything that happens, also what leads to nothing.
    #[arg(long, conflicts_with = "export")]
    pub(crate) all: bool,
    /// Replay nothing; write the trace to this file as plain lines. '-' is standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    /// Replace the names of users and programs in what is written.
    #[arg(long, requires = "export")]
    pub(crate) anonymise: bool,
}

/// `hibernate` and `stop`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct PowerArgs {
    /// Only say whether it would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask; needed where there is no terminal to ask at.
    #[arg(long, short, action = ArgAction::SetTrue)]
    pub(crate) yes: bool,
}

/// `spot`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct SpotArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<SpotVerb>,
}

/// `spot …`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum SpotVerb {
    /// Go through an interruption without one: the hooks run for real (administrators).
    #[command(
        after_long_help = "Nothing happens to the instance, and everything that is told says that it is a drill. The \
hooks read AGENTD_DRILL=1.

Waits until the last hook has ended. Exits with 0 if all of them ended well, 1 if one did not, 5 if the agent refused.

Examples:
  sudo agentctl spot drill
  sudo agentctl spot drill --action hibernate --in 30s --yes
  sudo agentctl spot drill --yes --json | jq .result.hooks"
    )]
    Drill(DrillArgs),
}

/// `spot drill`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct DrillArgs {
    /// As if EC2 did this.
    #[arg(long, value_enum, default_value = "terminate")]
    pub(crate) action: DrillAction,
    /// As if it did it in this time: 5s to 1h.
    #[arg(long = "in", value_name = "SPAN", value_parser = drill_span, default_value = "2m")]
    pub(crate) within: Duration,
    /// Do not ask; needed where there is no terminal to ask at.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Do not wait for the end of the hooks.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// What a drill goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DrillAction {
    /// The instance is terminated.
    Terminate,
    /// It is stopped.
    Stop,
    /// It is hibernated at once: only the fast hooks run.
    Hibernate,
}

impl From<DrillAction> for SpotAction {
    fn from(action: DrillAction) -> Self {
        match action {
            DrillAction::Terminate => Self::Terminate,
            DrillAction::Stop => Self::Stop,
            DrillAction::Hibernate => Self::Hibernate,
        }
    }
}

/// `completions`.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// The longest span of the command line; the agent allows far less.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// Reads the time to the deadline of a drill.
fn drill_span(text: &str) -> Result<Duration, String> {
    let length = span(text)?;
    if (limits::DRILL_SHORTEST..=limits::DRILL_LONGEST).contains(&length) {
        return Ok(length);
    }
    Err("it must be at least 5s and at most 1h".to_owned())
}

/// Reads `2h`, `90m`, `1h30m`, `2d`. A day is 24 hours.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "write it like 45s, 90m, 2h, 1h30m or 2d".to_owned();
    if text.trim().parse::<f64>().is_ok() {
        return Err(format!("'{text}' has no unit; {}", wrong()));
    }
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    let length = Duration::try_from(length).map_err(|_| "it must not be negative".to_owned())?;
    if length.is_zero() {
        return Err("it must be longer than nothing".to_owned());
    }
    if length > LONGEST {
        return Err("it must be at most 366 days".to_owned());
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    /// The command, its path and everything below it.
    fn walk(command: &clap::Command, path: &str, visit: &mut dyn FnMut(&clap::Command, &str)) {
        let path = format!("{path}{}", command.get_name());
        visit(command, &path);
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            walk(below, &format!("{path} "), visit);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_is_described_and_has_an_example_that_parses() {
        let mut seen = 0;
        walk(&Cli::command(), "", &mut |command, path| {
            seen += 1;
            let about = command.get_about().unwrap_or_default().to_string();
            assert!(!about.is_empty() && !about.ends_with(".."), "{path}: {about}");
            let help = command.get_after_long_help().unwrap_or_default().to_string();
            let (_, examples) =
                help.split_once("Examples:\n").unwrap_or_else(|| panic!("{path} has no example"));
            for line in examples.lines().filter(|line| !line.trim().is_empty()) {
                let call = line.trim().trim_start_matches("sudo ");
                let call = call.split(['|', '>']).next().unwrap().trim();
                let call = call.split("  ").next().unwrap();
                let words: Vec<String> = split_quoted(call);
                assert!(words[0] == "agentctl", "{path}: {line}");
                Cli::try_parse_from(&words)
                    .unwrap_or_else(|error| panic!("{path}: {line}: {error}"));
            }
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
            }
        });
        assert!(seen > 14, "{seen}");
    }

    fn split_quoted(text: &str) -> Vec<String> {
        text.split('"')
            .enumerate()
            .flat_map(|(n, part)| {
                if n % 2 == 1 {
                    vec![part.to_owned()]
                } else {
                    part.split_whitespace().map(str::to_owned).collect()
                }
            })
            .collect()
    }

    #[test]
    fn the_exit_codes_in_the_help_are_those_of_the_contract() {
        for code in agent_proto::exit::ExitCode::ALL {
            let line = format!("  {}  {}\n", code.code(), code.meaning());
            assert!(EXIT_CODES.contains(&line), "{line}");
        }
    }

    #[test]
    fn the_deadline_of_a_drill_is_within_what_the_agent_takes() {
        assert_eq!(drill_span("2m"), Ok(limits::DRILL_DEFAULT));
        assert_eq!(drill_span("5s"), Ok(limits::DRILL_SHORTEST));
        assert_eq!(drill_span("1h"), Ok(limits::DRILL_LONGEST));
        for bad in ["4s", "61m", "30", ""] {
            assert!(drill_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_need_a_unit() {
        assert_eq!(span("2h"), Ok(Duration::from_hours(2)));
        assert_eq!(span("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(span("2d"), Ok(Duration::from_hours(48)));
        assert_eq!(span("45s"), Ok(Duration::from_secs(45)));
        for bad in ["", "2", "2.5", "-2h", "0s", "2 parsecs", "400d", "9999999999999h", "NaN", "1y"]
        {
            assert!(span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wrong_command_line_exits_with_2() {
        for line in [
            "agentctl frobnicate",
            "agentctl hold",
            "agentctl hold 2",
            "agentctl run",
            "agentctl config",
            "agentctl status --color sometimes",
            "agentctl status --check --json",
            "agentctl release seven",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
        assert_eq!(parse("agentctl --help").unwrap_err().kind(), ErrorKind::DisplayHelp);
    }

    #[test]
    fn options_of_the_command_of_run_are_its_own() {
        let cli = parse("agentctl run --reason x -- make --json -k").unwrap();
        assert!(!cli.options.json);
        let Verb::Run(run) = cli.verb else { panic!("not run") };
        assert_eq!(run.command, ["make", "--json", "-k"]);
    }

    #[test]
    fn global_options_are_taken_behind_the_verb() {
        let cli = parse("agentctl why --json --utc --socket /tmp/x --color never").unwrap();
        assert!(cli.options.json && cli.options.utc);
        assert_eq!(cli.options.color, Color::Never);
    }
}
