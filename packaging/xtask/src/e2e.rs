//! The outermost ring: the package in a booted Debian, by `tests/e2e/run`.

use std::process::ExitCode;

use crate::command::Tool;
use crate::steps::Trouble;
use crate::workspace::Workspace;

/// The exit code by which the harness says that it cannot run here.
const SKIPPED: i32 = 77;

/// Runs the harness with arguments of the caller; the package must have been built.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> ExitCode {
    match harness(workspace, args) {
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
    let mut tool = Tool::new(&workspace.root, "tests/e2e/run").arg("--deb").arg(&deb);
    for arg in args {
        tool = tool.arg(arg);
    }
    match tool.code()? {
        Some(0) => Ok(String::new()),
        Some(SKIPPED) => Err(Trouble::Skipped("it says above why it cannot run here".to_owned())),
        Some(code) => Err(Trouble::Failed(format!("tests/e2e/run ended with {code}"))),
        None => Err(Trouble::Failed("tests/e2e/run was ended by a signal".to_owned())),
    }
}
