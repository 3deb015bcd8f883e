//! People who come over a relay: a program of theirs calls a server outside, and what they do comes back on that
//! connection. No sshd and no listener is part of it.
//!
//! Such programs are known by their command lines: the tunnel of VS Code (`code tunnel`), JetBrains' servers, Chrome Remote Desktop, and
//! programs that publish a local server (`cloudflared`, `ngrok`). A socket does not tell its process, but its control group: all
//! connections that a group with such a program has opened may be the relay's. The processes of a group are looked at when it has
//! such a connection, and once a minute after that.

use std::collections::HashMap;
use std::time::Duration;

use agent_core::stamp::Stamp;

use crate::host::cgroup::Hierarchy;
use crate::host::process::{self, Processes};
use crate::host::{HostError, HostRoot};
use crate::sources::ide;

/// A group is looked at once in this long.
const EVERY: Duration = Duration::from_mins(1);
/// The most groups that are looked at in one look.
const GROUPS: usize = 8;
/// The most processes of a group that are looked at.
const PROCESSES: usize = 256;
/// Programs that make a server of this machine reachable over one outside.
const PUBLISHERS: [&str; 9] =
    ["cloudflared", "ngrok", "frpc", "rathole", "bore", "chisel", "zrok", "devtunnel", "code-tunnel"];
/// Programs of Chrome Remote Desktop; the host is a script of Python.
const DESKTOPS: [&str; 3] =
    ["chrome-remote-desktop-host", "chrome-remote-desktop", "remoting_me2me_host"];
/// Where VS Code keeps the servers that it starts for a tunnel, as a part of the path of their programs.
const TUNNELS: [&str; 3] = ["/.vscode/cli/", "/.vscode-insiders/cli/", "/.cursor/cli/"];

/// Says whether a process keeps a connection with a relay by its arguments.
fn is_relay(arguments: &[&[u8]]) -> bool {
    let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word)).collect();
    let Some((program, rest)) = words.split_first() else { return false };
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let name = base(program);
    let script = rest.iter().find(|word| !word.starts_with('-')).map(|word| base(word));
    let is_one_of = |names: &[&str]| {
        names.contains(&name.as_str()) || script.as_deref().is_some_and(|it| name.starts_with("python") && names.contains(&it))
    };
    let editor = name.starts_with("code") || name.starts_with("cursor");
    let tool = ide::judge(arguments);
    is_one_of(&DESKTOPS)
        || PUBLISHERS.contains(&name.as_str())
        || TUNNELS.iter().any(|folder| program.contains(folder))
        || (editor && rest.iter().any(|word| word == "tunnel"))
        || tool.is_some_and(|tool| tool.product == "JetBrains")
}

/// What is known of groups.
#[derive(Debug)]
pub(super) struct Relays {
    processes: Processes,
    buffer: Vec<u8>,
    known: HashMap<u64, (bool, Stamp)>,
    looked: usize,
}

impl Relays {
    /// Nothing is known yet.
    pub(super) fn new(root: HostRoot) -> Self {
        Self { processes: Processes::new(root), buffer: Vec::new(), known: HashMap::new(), looked: 0 }
    }

    /// Begins a look.
    pub(super) fn begin(&mut self, now: Stamp) {
        self.looked = 0;
        self.known.retain(|_, (_, at)| now.since(*at) < EVERY * 10);
    }

    /// Whether a program in the group of this number and path keeps a connection with a relay.
    pub(super) fn is_one(
        &mut self,
        now: Stamp,
        group: u64,
        hierarchy: &Hierarchy,
        path: &str,
    ) -> Result<bool, HostError> {
        if let Some((relay, at)) = self.known.get(&group)
            && (now.since(*at) < EVERY || self.looked >= GROUPS)
        {
            return Ok(*relay);
        }
        if self.looked >= GROUPS {
            return Ok(false);
        }
        self.looked += 1;
        let mut relay = false;
        for pid in hierarchy.pids(path)?.into_iter().take(PROCESSES) {
            self.processes.arguments(pid, &mut self.buffer)?;
            relay = is_relay(&process::words(&self.buffer));
            if relay {
                break;
            }
        }
        self.known.insert(group, (relay, now));
        Ok(relay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_keep_a_relay_are_known() {
        for (line, relay) in [
            ("/usr/bin/code tunnel --accept-server-license-terms", true),
            ("/usr/local/bin/code-insiders tunnel service internal-run", true),
            ("/home/a/.vscode/cli/servers/Stable-17b/server/node out/server-main.js", true),
            ("/usr/bin/python3 /opt/google/chrome-remote-desktop/chrome-remote-desktop --start", true),
            ("/opt/google/chrome-remote-desktop/chrome-remote-desktop-host --type=x", true),
            ("/home/a/.cache/JetBrains/RemoteDev/dist/9a/jbr/bin/java -cp x", true),
            ("cloudflared tunnel run", true),
            ("/home/a/.vscode-server/bin/x/node out/server-main.js", false),
            ("python3 train.py --experiment tunnel", false),
            ("ssh -R 8080:localhost:80 host", false),
            ("vim code-tunnel", false),
            ("", false),
        ] {
            let words: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            assert_eq!(is_relay(&words), relay, "{line}");
        }
    }
}
