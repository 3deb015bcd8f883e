//! Shows and steers agentd, the agent that hibernates or stops an idle EC2 instance.
//!
//! It talks to the agent over a Unix socket and holds no credentials of its own. It is meant to be quick enough for a
//! prompt, so it has no runtime, no threads, and reads no file but the time zone's.

mod cli;
mod commands;
mod failure;
mod render;
mod screen;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// The whole command line, for man pages and completions.
pub fn command() -> clap::Command {
    <cli::Cli as clap::CommandFactory>::command()
}

/// Runs one command line (with the program's name first) and gives its exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match cli::Cli::try_parse_from(arguments) {
        Ok(cli) => commands::run(cli),
        Err(error) => {
            // Help goes to stdout with 0, a usage error to stderr with 2; a closed pipe is nobody's fault.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
        }
    }
}
