//! Where the programs of this workspace are, and how they are started.

use std::io;
use std::net::SocketAddr;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{AgentError, doing};
use crate::server;

/// Names the agent's binary when it is not beside the running program.
pub const BINARY_VARIABLE: &str = "AGENTD_BIN";
/// The same for `agentctl`.
pub const CTL_VARIABLE: &str = "AGENTCTL_BIN";
/// The command of a program that is killed when this one is, however it ends (`PR_SET_PDEATHSIG` of prctl(2)).
pub(crate) fn leashed(program: &Path) -> Command {
    const LEASH: &str = "/usr/bin/setpriv";
    if !Path::new(LEASH).is_file() {
        return Command::new(program);
    }
    let mut command = Command::new(LEASH);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A binary of this workspace: named by `variable`, or in the folder that the running program was built into.
pub fn binary(name: &str, variable: &str) -> Result<PathBuf, AgentError> {
    if let Some(named) = std::env::var_os(variable).map(PathBuf::from) {
        return if named.is_file() { Ok(named) } else { Err(AgentError::NoBinary(named)) };
    }
    let own = std::env::current_exe().map_err(doing("find this program"))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let beside = [folder, folder.parent().unwrap_or(folder)].map(|folder| folder.join(name));
    let [first, second] = beside;
    if first.is_file() {
        return Ok(first);
    }
    if second.is_file() { Ok(second) } else { Err(AgentError::NoBinary(second)) }
}

/// An address on loopback at which nobody listens for as long as this program runs.
pub fn dead_address() -> io::Result<SocketAddr> {
    let port = server::bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let addr = port.local_addr()?;
    // Never closed: nobody else is to be given the port.
    let _kept = port.into_raw_fd();
    Ok(addr)
}

/// A file that is built into the same folder as the agent, such as the library of `fake-nvml`.
pub fn beside_agent(name: &str) -> Result<PathBuf, AgentError> {
    let beside = binary("agentd", BINARY_VARIABLE)?.with_file_name(name);
    if beside.is_file() { Ok(beside) } else { Err(AgentError::NoBinary(beside)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_is_named_with_the_remedy() {
        let missing = binary("no-such-program", "NO_SUCH_VARIABLE").unwrap_err().to_string();
        assert!(
            missing.contains("no-such-program") && missing.contains("cargo build"),
            "{missing}"
        );
    }

    #[test]
    fn nobody_listens_at_a_dead_address() {
        assert!(std::net::TcpStream::connect(dead_address().unwrap()).is_err());
    }

    #[test]
    fn a_leashed_program_is_the_program_itself() {
        let mut command = leashed(Path::new("/bin/sh"));
        command.args(["-c", "read line < /proc/$$/comm; echo $line"]);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "sh");
    }
}
