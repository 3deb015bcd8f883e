//! What somebody left running: real nohup(1), setsid(1), servers and agents.

use agent_cells::case::{Case, Right};
use agent_cells::process::Process;

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";
const QUIET: &str = ">/dev/null 2>&1 </dev/null &";

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case::new("left-by-nohup", Right::Keep, 0.02, |_| alice("nohup sleep 3000")).longer(),
    Case::new("left-by-setsid", Right::Keep, 0.02, |_| alice("setsid sleep 3000")).longer(),
    Case::new("left-script-that-sleeps", Right::Keep, 0.02, |_| {
        alice("nohup sh -c 'while sleep 5; do :; done'")
    })
    .longer(),
    Case::new("left-by-user-data", Right::Keep, 0.02, |cell| {
        cell.packaged_unit("cloud-init", "cloud-final.service", "/usr/bin/cloud-init")?;
        cell.run("system.slice/cloud-final.service", "part-001", "orphan train sleep")
    })
    .longer(),
    Case::new("left-by-systemd-run", Right::Keep, 0.02, |cell| {
        cell.run("system.slice/run-u12.service", "train", "sleep")
    })
    .longer(),
    Case::new("left-server-by-its-name", Right::Stop, 0.02, |_| {
        alice("nohup python3 -m http.server 8077")
    })
    .longer(),
    Case::new("left-server-by-its-port", Right::Stop, 0.02, |cell| {
        let text = "import http.server as h\n\
                    h.HTTPServer(('', 8077), h.SimpleHTTPRequestHandler).serve_forever()\n";
        cell.file("/home/alice/app.py", text)?;
        alice("nohup python3 /home/alice/app.py")
    })
    .longer(),
    Case::new("left-agent-of-a-login", Right::Stop, 0.02, |_| {
        Process::shell(SESSION, "ssh-agent -a /tmp/agent.alice >/dev/null").uid(1000).start()
    })
    .longer(),
];

/// A line of alice's shell, which goes into the background and stays there when the shell ends.
fn alice(line: &str) -> std::io::Result<()> {
    Process::shell(SESSION, &format!("cd /; {line} {QUIET}")).uid(1000).start()
}
