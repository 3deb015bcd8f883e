//! Terminals that the agent itself may not write to: systemd starts the agent's own program once more, as a root that may.
//!
//! The program is handed the text on its standard input and the names as arguments, writes, prints the names that it
//! reached, and ends within seconds.

use core::time::Duration;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::write::write_all;
use super::{DEADLINE, of_people};
use crate::actuators::hook::program::{PATH, SYSTEMD_RUN};
use crate::host::HostRoot;

/// The verb of the program.
const VERB: &str = "write-terminals";
/// How long it may take with its start.
pub(super) const LIMIT: Duration = Duration::from_millis(3500);
/// More text than this is no message of the agent's, bytes.
const LONGEST: u64 = 4096;

/// Has systemd write the text to these terminals within `limit`; the names of those that took it.
pub(super) async fn write_as_root(names: &[&str], text: &str, limit: Duration) -> Vec<String> {
    timeout(limit, run(names, text)).await.ok().flatten().unwrap_or_default()
}

async fn run(names: &[&str], text: &str) -> Option<Vec<String>> {
    let program = std::env::current_exe().ok()?;
    let mut command = Command::new(SYSTEMD_RUN);
    command.env_clear().env("PATH", PATH);
    command.args(["--wait", "--pipe", "--quiet", "--collect", "--service-type=exec"]);
    command.args(["--unit=agentd-terminals", "--description=Warnings of agentd on terminals"]);
    command.args(["--property=RuntimeMaxSec=3s", "--property=TimeoutStopSec=1s"]);
    command.arg("--").arg(program).arg(VERB).args(names);
    command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().ok()?;
    let mut input = child.stdin.take()?;
    input.write_all(text.as_bytes()).await.ok()?;
    drop(input);
    let output = child.wait_with_output().await.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Writes what comes on standard input to those of the named terminals that are people's, and prints the names of those
/// that took it. The whole of the program that systemd starts.
pub fn write_from_stdin(host: &HostRoot, names: &[String]) -> ExitCode {
    let mut text = Vec::new();
    if std::io::stdin().lock().take(LONGEST).read_to_end(&mut text).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return ExitCode::FAILURE;
    };
    let Ok(mut terminals) = of_people(host) else { return ExitCode::FAILURE };
    terminals.retain(|terminal| names.contains(&terminal.name));
    let path = |name: &String| host.path(&format!("/dev/{name}"));
    let paths: Vec<PathBuf> = terminals.iter().map(|terminal| path(&terminal.name)).collect();
    let results = runtime.block_on(write_all(&paths, &text, DEADLINE));
    for (terminal, _) in terminals.iter().zip(results).filter(|(_, result)| result.is_ok()) {
        if writeln!(std::io::stdout(), "{}", terminal.name).is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
