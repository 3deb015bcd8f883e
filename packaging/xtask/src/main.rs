//! The project's own commands, called as `cargo xtask VERB` (and `cargo ci`, `cargo demo`: see `.cargo/config.toml`).

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's program: what it prints is its purpose"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod command;
mod config_page;
mod deb;
mod demo;
mod e2e;
mod generate;
mod graph;
#[cfg(test)]
mod licence;
mod rings;
mod scripts;
mod setup;
mod sim;
mod steps;
#[cfg(test)]
mod tidy;
mod units;
mod workspace;

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Line {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The quick loop: format, lints, every test but the end-to-end ring.
    CheckAll,
    /// Everything: set-up, format, lints, builds, all test rings, package, units, end to end. Ends with a summary.
    Ci,
    /// Show the agent at work on this machine with a simulated EC2. No root, no account, no network.
    Demo {
        /// Arguments of the demonstration, such as `--busy`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Start the simulated IMDS and EC2 and print the variables that lead the agent to them.
    Sim(sim::Options),
    /// Write man pages, completions and the list of crates anew.
    Gen,
    /// Build the Debian package into target/deb and check it.
    Deb,
    /// Install the package in a booted Debian and use it there.
    E2e {
        /// Arguments of `tests/e2e/run`, such as `--keep`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Play scenes in booted Debians and record the traces of tests/traces; takes about half an hour.
    Record {
        /// Arguments of `tests/e2e/record`, such as the name of a scene.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Check the systemd units: syntax and exposure.
    Units,
    /// Measure the figures of SPECIFICATION.md with the release programs; takes about five minutes.
    Bench {
        #[command(subcommand)]
        only: Option<Figures>,
    },
    /// Install the Debian packages that `ci` needs, or name them.
    Setup,
}

/// What is measured on its own.
#[derive(Debug, Subcommand)]
enum Figures {
    /// How soon an interruption is seen and its hook runs, and what the watch costs; takes about twenty minutes.
    Interruptions(bench::interruptions::Options),
}

fn main() -> ExitCode {
    if bench::interruptions::hook::is_meant() {
        return ExitCode::SUCCESS;
    }
    let line = Line::parse();
    let workspace = match workspace::Workspace::find() {
        Ok(workspace) => workspace,
        Err(error) => {
            eprintln!("error: failed to {error}");
            return ExitCode::FAILURE;
        }
    };
    let step = |name: &'static str, run: steps::Run| {
        steps::run_all(&[steps::Step::new(name, &[], run)], &workspace)
    };
    match line.verb {
        Verb::CheckAll => steps::run_all(&ci::quick(), &workspace),
        Verb::Ci => steps::run_all(&ci::everything(), &workspace),
        Verb::Demo { args } => demo::run(&args),
        Verb::Sim(options) => sim::run(&workspace, &options),
        Verb::Gen => step("generate", generate::write),
        Verb::Deb => steps::run_all(&ci::package(), &workspace),
        Verb::E2e { args } => e2e::run(&workspace, &args),
        Verb::Record { args } => e2e::record(&workspace, &args),
        Verb::Units => step("units", units::check),
        Verb::Bench { only: None } => steps::run_all(&ci::figures(), &workspace),
        Verb::Bench { only: Some(Figures::Interruptions(options)) } => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            bench::interruptions::run(&workspace, &options, &words)
        }
        Verb::Setup => step("set-up", setup::install),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parsed(words: &[&str]) -> Verb {
        Line::try_parse_from([&["xtask"], words].concat()).unwrap().verb
    }

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn arguments_of_the_demonstration_pass_with_and_without_two_dashes() {
        for words in [&["demo", "--", "--busy"][..], &["demo", "--busy"]] {
            assert!(
                matches!(parsed(words), Verb::Demo { args } if args == ["--busy"]),
                "{words:?}"
            );
        }
        assert!(
            matches!(parsed(&["e2e", "--only", "why"]), Verb::E2e { args } if args == ["--only", "why"])
        );
        assert!(
            matches!(parsed(&["record", "scp", "--jobs", "2"]), Verb::Record { args } if args == ["scp", "--jobs", "2"])
        );
    }

    #[test]
    fn the_figures_of_interruptions_are_measured_on_their_own() {
        assert!(matches!(parsed(&["bench"]), Verb::Bench { only: None }));
        let words = ["bench", "interruptions", "--quick", "--programs", "target/debug"];
        assert!(matches!(parsed(&words), Verb::Bench { only: Some(Figures::Interruptions(_)) }));
    }

    #[test]
    fn unknown_verbs_are_refused() {
        assert!(Line::try_parse_from(["xtask", "deploy"]).is_err());
    }
}
