//! The command line of agentd.

use std::process::ExitCode;

fn main() -> ExitCode {
    agentctl::main(std::env::args_os())
}
