//! Kernels of Jupyter servers: when each was used last, and whether a client is connected to it.
//!
//! A server is asked for its kernels over loopback. The time of a kernel's last activity is a mark: it changes when
//! somebody runs a cell or a running cell prints, and neither an open tab nor a question of the agent's moves it
//! (`no_track_activity`). A kernel that is busy and silent is no use by itself; what it computes is seen as CPU. A
//! connected client makes the machine wait longer.
//!
//! Servers are found by the files that they leave for their own user (`jpserver-PID.json`), which the agent can read for
//! servers of root only: the homes and the runtime folders of other users are closed to a root without privileges. For
//! those, `url` and `token_file` name a server; without them their kernels are seen by their CPU and their connections.

mod http;

use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Stretch, Value};
use agent_core::stamp::Stamp;
use serde::Deserialize;

use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec};
use crate::actuators::text;
use crate::host::process::Processes;
use crate::host::{HostError, HostRoot};
use http::Server;

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "jupyter",
    about: "Kernels of Jupyter servers: when each ran something last, asked over loopback.",
    unit: "",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 0.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Slow,
    deadline: Duration::from_secs(2),
    options: &[
        OptionSpec {
            key: "url",
            kind: OptionKind::Text,
            default: "\"\"",
            about: "A server on this machine, such as \"http://127.0.0.1:8888/\", besides those that are found.",
        },
        OptionSpec {
            key: "token_file",
            kind: OptionKind::Text,
            default: "\"\"",
            about: "A file that root can read and that holds the token of that server.",
        },
    ],
    open: |context| Opened::Blocking(Box::new(Jupyter::new(context))),
};

/// One answer of a server takes no longer.
const DEADLINE: Duration = Duration::from_secs(1);
/// All answers together take no longer, so that a look ends before its deadline.
const SERVERS: usize = 8;
/// The most kernels of a server.
const KERNELS: usize = 500;
/// Without a server, files are looked for this often.
const SELDOM: Duration = Duration::from_mins(1);
/// The most of a small file that is read, and the most files in a folder.
const SMALL: usize = 64 << 10;
const FILES: usize = 4096;
/// Where the servers of root leave their files, by the rules of `jupyter_core.paths.jupyter_runtime_dir`.
const RUNTIME: [&str; 2] = ["/root/.local/share/jupyter/runtime", "/run/user/0/jupyter"];
/// What a kernel has in its command line.
const KERNEL: [&str; 2] = ["ipykernel", "/kernel-"];
/// Why there is none.
const NONE: &str = "no server is configured or found";

#[derive(Debug)]
struct Jupyter {
    root: HostRoot,
    url: String,
    token_file: String,
    processes: Processes,
    next: Option<Stamp>,
}

/// A server that is to be asked.
#[derive(Debug)]
struct Asked {
    url: String,
    token: String,
}

/// A file of a server's (`jupyter_server.serverapp`, `server_info`).
#[derive(Debug, Deserialize)]
struct Info {
    url: String,
    #[serde(default)]
    token: String,
    pid: u32,
    port: u16,
    #[serde(default)]
    base_url: String,
    #[serde(default)]
    secure: bool,
}

/// A kernel as `/api/kernels` tells it.
#[derive(Debug, Deserialize)]
struct Kernel {
    id: String,
    #[serde(default)]
    name: String,
    last_activity: jiff::Timestamp,
    #[serde(default)]
    execution_state: String,
    #[serde(default)]
    connections: i64,
}

impl Jupyter {
    fn new(context: &Context) -> Self {
        let root = context.host.clone();
        Self {
            processes: Processes::new(root.clone()),
            root,
            url: context.text("url").to_owned(),
            token_file: context.text("token_file").to_owned(),
            next: None,
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Reading, String> {
        let servers = self.servers()?;
        if servers.is_empty() {
            self.next = Some(now.after(SELDOM));
            return Ok(Reading::absent(NONE));
        }
        self.next = None;
        let within = DEADLINE / u32::try_from(servers.len()).unwrap_or(u32::MAX);
        let mut signals = Vec::new();
        for server in &servers {
            match ask(server, now, within) {
                Ok(found) => signals.extend(found),
                // A server that is gone with all its kernels cannot be in use.
                Err(why) if self.has_kernels().map_err(|error| error.to_string())? => return Err(why),
                Err(_) => {}
            }
        }
        Ok(Reading::Signals(signals))
    }

    fn servers(&self) -> Result<Vec<Asked>, String> {
        let mut servers = Vec::new();
        if !self.url.is_empty() {
            let token = if self.token_file.is_empty() {
                String::new()
            } else {
                let text = self.root.read_text(&self.token_file, SMALL);
                text.map_err(|error| error.to_string())?.trim().to_owned()
            };
            servers.push(Asked { url: self.url.clone(), token });
        }
        for folder in RUNTIME {
            servers.extend(self.found(folder).map_err(|error| error.to_string())?);
        }
        servers.truncate(SERVERS);
        Ok(servers)
    }

    /// The servers of a folder that still live.
    fn found(&self, folder: &str) -> Result<Vec<Asked>, HostError> {
        let names = match self.root.names(folder, FILES) {
            Ok(names) => names,
            Err(error) if error.is_missing() || error.is_denied() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let wanted = |name: &&String| {
            (name.starts_with("jpserver-") || name.starts_with("nbserver-"))
                && name.strip_suffix(".json").is_some()
        };
        let mut servers = Vec::new();
        for name in names.iter().filter(wanted) {
            let path = format!("{folder}/{name}");
            let text = match self.root.read_text(&path, SMALL) {
                Ok(text) => text,
                Err(error) if error.is_missing() || error.is_denied() => continue,
                Err(error) => return Err(error),
            };
            let info: Info = serde_json::from_str(&text)
                .map_err(|error| HostError::malformed(path, error.to_string()))?;
            if !info.secure && self.root.exists(&format!("/proc/{}", info.pid))? {
                // A server that listens on every address listens on loopback too, whatever it calls itself.
                let url = match Server::parse(&info.url) {
                    Ok(_) => info.url,
                    Err(_) => format!("http://127.0.0.1:{}{}", info.port, info.base_url),
                };
                servers.push(Asked { url, token: info.token });
            }
        }
        Ok(servers)
    }

    /// Whether any process of the machine looks like a kernel.
    fn has_kernels(&mut self) -> Result<bool, HostError> {
        let mut candidates = Vec::new();
        self.processes.walk(&mut |stat| {
            // Kernels are children of a server, never of pid 1, and seldom without threads of a language.
            if stat.ppid > 1 {
                candidates.push(stat.pid);
            }
        })?;
        let proc = self.processes.open()?;
        for pid in candidates {
            let line = self.processes.command_line(&proc, pid)?;
            if line.is_some_and(|line| KERNEL.iter().any(|word| line.contains(word))) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn ask(server: &Asked, now: Stamp, within: Duration) -> Result<Vec<Signal>, String> {
    let place = Server::parse(&server.url)?;
    if server.token.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(format!("use the token of '{}': it has control characters", server.url));
    }
    let body = place.get("/api/kernels?no_track_activity=1", &server.token, within)?;
    let kernels: Vec<Kernel> = serde_json::from_slice(&body)
        .map_err(|error| format!("understand the kernels of '{}': {error}", server.url))?;
    if kernels.len() > KERNELS {
        return Err(format!("follow the kernels of '{}': more than {KERNELS}", server.url));
    }
    let mut signals = Vec::new();
    for kernel in &kernels {
        signals.extend(kernel_signals(kernel, now));
    }
    Ok(signals)
}

fn kernel_signals(kernel: &Kernel, now: Stamp) -> impl Iterator<Item = Signal> {
    let id: String = kernel.id.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    let (name, state) =
        (text::stripped(&kernel.name, 30), text::stripped(&kernel.execution_state, 20));
    let at = kernel.last_activity.as_millisecond();
    let age_ms = u64::try_from(now.wall_ms.saturating_sub(at)).ok();
    let mark = Value::Mark { mark: u64::try_from(at).unwrap_or(0), age_ms };
    let used = Signal::new(format!("kernel {id}"), mark).owned_by(format!("{name}, {state}"));
    let connected = (kernel.connections > 0).then(|| {
        let value = Value::Stretches { by: Stretch::Connected };
        Signal::new(format!("client of kernel {id}"), value).owned_by(name)
    });
    std::iter::once(used).chain(connected)
}

impl Source for Jupyter {
    fn read(&mut self, now: Stamp) -> Reading {
        self.look(now).unwrap_or_else(|why| Reading::blind(format!("failed to {why}")))
    }

    fn standing(&mut self, now: Stamp) -> Option<Reading> {
        let stands = self.next.is_some_and(|next| now.boot_ms < next.boot_ms);
        stands.then(|| Reading::absent(NONE))
    }

    fn refresh(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests;
