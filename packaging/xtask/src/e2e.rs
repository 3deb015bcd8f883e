//! The outermost ring: the package in a booted Debian, by `tests/e2e/run`; and the traces that are recorded in booted Debians,
//! by `tests/e2e/record`.

use std::process::ExitCode;

use crate::command::Tool;
use crate::steps::Trouble;
use crate::workspace::Workspace;

/// The exit code by which the harness says that it cannot run here.
const SKIPPED: i32 = 77;

/// Runs the harness with arguments of the caller; the package must have been built.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> ExitCode {
    said(harness(workspace, args))
}

/// Builds the programs and records traces with them, with arguments of the caller.
pub(crate) fn record(workspace: &Workspace, args: &[String]) -> ExitCode {
    said(recorder(workspace, args))
}

fn said(ended: Result<String, Trouble>) -> ExitCode {
    match ended {
        Ok(_) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("e2e: {trouble}");
            match trouble {
                Trouble::Failed(_) => ExitCode::FAILURE,
                Trouble::Skipped(_) => ExitCode::from(u8::try_from(SKIPPED).unwrap_or(1)),
            }
        }
    }
}

/// The step of `cargo ci`.
pub(crate) fn step(workspace: &Workspace) -> Result<String, Trouble> {
    harness(workspace, &[])
}

fn harness(workspace: &Workspace, args: &[String]) -> Result<String, Trouble> {
    let deb = crate::deb::file(workspace)?;
    program(
        "tests/e2e/run",
        Tool::new(&workspace.root, "tests/e2e/run").arg("--deb").arg(&deb),
        args,
    )
}

fn recorder(workspace: &Workspace, args: &[String]) -> Result<String, Trouble> {
    Tool::new(&workspace.root, "cargo build --package agentd --package agentctl").run()?;
    let binaries = workspace.target.join("debug");
    let tool = Tool::new(&workspace.root, "tests/e2e/record").arg("--binaries").arg(&binaries);
    program("tests/e2e/record", tool, args)
}

fn program(name: &str, mut tool: Tool, args: &[String]) -> Result<String, Trouble> {
    for arg in args {
        tool = tool.arg(arg);
    }
    match tool.code()? {
        Some(0) => Ok(String::new()),
        Some(SKIPPED) => Err(Trouble::Skipped("it says above why it cannot run here".to_owned())),
        Some(code) => Err(Trouble::Failed(format!("{name} ended with {code}"))),
        None => Err(Trouble::Failed(format!("{name} was ended by a signal"))),
    }
}
