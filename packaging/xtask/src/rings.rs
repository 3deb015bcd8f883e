//! Format, lints, builds and the test rings that cargo runs.

use crate::command::{Tally, Tool};
use crate::steps::Trouble;
use crate::workspace::Workspace;

fn cargo(workspace: &Workspace, line: &str) -> Tool {
    Tool::new(&workspace.root, &format!("cargo {line}"))
}

/// Every file is formatted as `rustfmt.toml` says.
pub(crate) fn format(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "fmt --all --check").run()?;
    Ok(String::new())
}

/// No lint of the workspace's table fires, and no documentation link is broken.
pub(crate) fn lint(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "clippy --workspace --all-targets --locked -- -D warnings").run()?;
    Ok(String::new())
}

/// The documentation builds without a warning.
pub(crate) fn docs(workspace: &Workspace) -> Result<String, Trouble> {
    let documented = "doc --no-deps --locked --document-private-items -p agent-core -p agent-proto -p agentctl -p agentd";
    cargo(workspace, documented).env("RUSTDOCFLAGS", "-D warnings").run()?;
    Ok(String::new())
}

/// The programs and test objects of the development profile, which the tests of the outer rings start.
pub(crate) fn build(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "build --workspace --locked").run()?;
    Ok(String::new())
}

/// Ring 1: the pure engine and the wire types. A property that ran with few seeds is not proven: one of the engine's failed in one of
/// some thousand.
pub(crate) fn core(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "test --locked -p agent-core -p agent-proto")
        .env("PROPTEST_CASES", "20000")
        .tests()
}

/// Ring 2: the shell around the engine, and the client.
pub(crate) fn shell(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "test --locked -p agentd -p agentctl").tests()
}

/// Ring 3: the real programs in the simulated world.
///
/// Its tests wait for the agent's seconds rather than compute, so many of them run side by side.
pub(crate) fn world(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "test --locked -p agent-tests -p fake-nvml -- --test-threads 8")
        .env("AGENTD_BIN", workspace.target.join("debug/agentd"))
        .env("AGENTCTL_BIN", workspace.target.join("debug/agentctl"))
        .tests()
}

/// How right the verdict is: scenarios and recorded traces through the engine, and the scenarios through the program.
pub(crate) fn accuracy(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "test --locked -p agent-accuracy")
        .env("AGENTD_BIN", workspace.target.join("debug/agentd"))
        .tests()
}

/// The real agent among real processes, each case in namespaces of its own. Skipped where none can be made.
pub(crate) fn cells(workspace: &Workspace) -> Result<String, Trouble> {
    let text = cargo(workspace, "test --locked -p agent-cells")
        .env("AGENTD_BIN", workspace.target.join("debug/agentd"))
        .env("AGENTCTL_BIN", workspace.target.join("debug/agentctl"))
        .tee()?;
    match text.lines().find_map(|line| line.strip_prefix("skipped: ")) {
        Some(why) => Err(Trouble::Skipped(why.to_owned())),
        None => Ok(Tally::of(&text).to_string()),
    }
}

/// The rules of the repository itself.
pub(crate) fn tidy(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "test --locked -p xtask").tests()
}

/// What is shipped.
pub(crate) fn release(workspace: &Workspace) -> Result<String, Trouble> {
    cargo(workspace, "build --release --locked -p agentd -p agentctl").run()?;
    let size = |name: &str| {
        std::fs::metadata(workspace.target.join("release").join(name))
            .map(|file| file.len())
            .map_err(|error| Trouble::Failed(format!("{name}: {error}")))
    };
    let (agentd, agentctl) = (size("agentd")?, size("agentctl")?);
    let text = format!("agentd {} KiB, agentctl {} KiB", agentd / 1024, agentctl / 1024);
    if agentd > MAX_PROGRAM {
        Err(Trouble::Failed(format!("{text}: agentd is above 8.5 MB")))
    } else {
        Ok(text)
    }
}

/// The largest daemon that may be shipped, in bytes. It was 7,000,000 before the flight recorder, the simulation, the D-Bus
/// service and nine more sources, and 7,500,000 before the watch for interruptions, the notifiers, and the clients of Auto
/// Scaling and SNS.
const MAX_PROGRAM: u64 = 8_500_000;
