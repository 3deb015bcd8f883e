//! Programs that use a processor though nobody uses them: displays, editors' helpers; and processes that have ended.

use std::io;

use agent_cells::case::{Case, Right};
use agent_cells::cell::Cell;
use agent_cells::process::Process;

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case::new("forgotten-watch-in-tmux", Right::Stop, 0.15, |cell| {
        tmux(cell, "watch -n1 /tmp/look")
    }),
    Case::new("work-in-tmux", Right::Keep, 0.12, |cell| {
        tmux(cell, "while :; do /tmp/look; sleep 1; done")
    }),
    Case::new("zombie-of-a-runner", Right::Stop, 0.02, |cell| {
        cell.local_unit("runner.service", "/opt/runner")?;
        cell.run("system.slice/runner.service", "Runner.Listener", "zombie Runner.Worker")
    }),
    Case::new("zombie-below-a-runner", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("gitlab-runner", "gitlab-runner.service", "/usr/bin/gitlab-runner")?;
        cell.run("system.slice/gitlab-runner.service", "gitlab-runner", "zombie bash")
    }),
    Case::new("zombie-in-a-session", Right::Stop, 0.02, |cell| {
        cell.run_as(1000, SESSION, "ssh-agent", "zombie train")
    }),
    Case::new("code-server-without-a-client", Right::Stop, 0.1, |_| {
        editor(
            "/home/alice/.local/lib/code-server-4.96.2/lib/node",
            "/home/alice/.local/lib/code-server-4.96.2/lib/vscode/out/bootstrap-fork",
        )
    }),
    Case::new("code-tunnel-without-a-client", Right::Stop, 0.1, |_| {
        editor(
            "/home/alice/.vscode/cli/servers/Stable-cd4ee3/server/node",
            "/home/alice/.vscode/cli/servers/Stable-cd4ee3/server/out/bootstrap-fork",
        )
    }),
    Case::new("idea-without-a-client", Right::Stop, 0.1, |_| {
        java(&format!("{REMOTE_DEV}/lib/app.jar"), &["com.intellij.idea.Main", "cwmHostNoLobby"])
    }),
    Case::new("compiler-with-the-java-of-an-editor", Right::Keep, 0.1, |_| {
        java("kotlin-compiler.jar", &["org.jetbrains.kotlin.daemon.KotlinCompileDaemon"])
    }),
    Case::new("program-with-the-node-of-an-editor", Right::Keep, 0.12, |_| {
        editor("/home/alice/.vscode-server/bin/4849ca9/node", "/home/alice/train.js")
    }),
    Case::new("editor-in-a-unit-of-systemd-run", Right::Stop, 0.1, |_| {
        served("system.slice/run-u7.service", "cpu 0.1")
    }),
    Case::new("kernel-in-a-unit-of-systemd-run", Right::Keep, 0.1, |_| {
        served("system.slice/run-u7.service", "chain python3 cpu 0.1")
    }),
    Case::new("packaged-code-server-at-rest", Right::Stop, 0.1, |cell| {
        cell.packaged_unit("code-server", "code-server@.service", "/usr/bin/code-server")?;
        let group = "system.slice/system-code\\x2dserver.slice/code-server@alice.service";
        served(group, "cpu 0.1")
    }),
    Case::new("job-of-gitlab-beside-a-plugin", Right::Keep, 0.02, |cell| {
        cell.packaged_unit("gitlab-runner", "gitlab-runner.service", "/usr/bin/gitlab-runner")?;
        let group = "system.slice/gitlab-runner.service";
        cell.run(group, "gitlab-runner", "chain fleeting-plugin-aws sleep")?;
        cell.run(group, "gitlab-runner", "chain bash sleep")
    }),
    Case::new("session-beside-a-login-screen", Right::Keep, 0.08, |cell| {
        let text = "UID=42\nUSER=gdm\nSTATE=active\nTYPE=wayland\nCLASS=greeter\nSEAT=seat0\n";
        cell.file("/run/systemd/sessions/c1", text)?;
        cell.run_as(1000, SESSION, "gnome-shell", "cpu 0.07")
    }),
    Case::new("watch-that-works-in-session-manager", Right::Keep, 0.28, |cell| {
        let unit = "amazon-ssm-agent.service";
        cell.packaged_unit("amazon-ssm-agent", unit, "/usr/bin/amazon-ssm-agent")?;
        let group = "system.slice/amazon-ssm-agent.service";
        cell.run(group, "amazon-ssm-agent", "sleep")?;
        cell.file("/tmp/train", "#!/bin/sh\nCELL_PART='load burst 0.35' /opt/cell/part\n")?;
        cell.set_up("chmod 755 /tmp/train")?;
        let line = "TERM=xterm tmux -S /tmp/tmux new-session -d 'watch -n1 /tmp/train'";
        Process::shell(group, line).uid(1002).start()
    }),
    Case::new("node-that-is-no-editor", Right::Keep, 0.12, |_| {
        editor("/home/alice/.nvm/versions/node/v22.1.0/bin/node", "/home/alice/train.js")
    }),
    Case::new("job-below-an-editor", Right::Keep, 0.12, |_| {
        Process::new(
            SESSION,
            "/home/alice/.local/lib/code-server-4.96.2/lib/node",
            "chain bash,python3 cpu 0.07",
        )
        .uid(1000)
        .arguments(&["/home/alice/.local/lib/code-server-4.96.2/out/node/entry"])
        .start()
    }),
    Case::new("notebook-below-an-editor", Right::Keep, 0.08, |_| {
        Process::new(
            SESSION,
            "/home/alice/.vscode-server/bin/4849ca9/node",
            "chain python3 cpu 0.07",
        )
        .uid(1000)
        .arguments(&[
            "/home/alice/.vscode-server/bin/4849ca9/out/bootstrap-fork",
            "--type=extensionHost",
        ])
        .start()
    }),
    // Where nothing is said of a group it is that of root, in which the agent is: nothing is hidden from it.
    Case::new("hidepid-2-idle", Right::Stop, 0.02, |cell| {
        cell.set_up("mount -o remount,hidepid=2 /proc")?;
        cell.run_as(1000, SESSION, "python3", "cpu 0.01")
    }),
    Case::new("hidepid-2-in-use", Right::Keep, 0.1, |cell| {
        cell.set_up("mount -o remount,hidepid=2 /proc")?;
        // A job of cron's is found by its process alone.
        cell.packaged_unit("cron", "cron.service", "/usr/sbin/cron")?;
        cell.run("system.slice/cron.service", "/usr/sbin/cron", "chain cron,sh,backup cpu 0.07")
    }),
    Case::new("watch-that-works", Right::Keep, 0.28, |cell| {
        cell.file("/tmp/train", "#!/bin/sh\nCELL_PART='load burst 0.35' /opt/cell/part\n")?;
        Process::shell(SESSION, "chmod 755 /tmp/train").start()?;
        tmux(cell, "watch -n1 /tmp/train")
    }),
];

const REMOTE_DEV: &str = "/home/alice/.cache/JetBrains/RemoteDev/dist/9a";

/// The Java of an IDE of `JetBrains` with these words behind its class path.
fn java(classes: &str, words: &[&str]) -> io::Result<()> {
    Process::new(SESSION, &format!("{REMOTE_DEV}/jbr/bin/java"), "cpu 0.1")
        .uid(1000)
        .arguments(&[&["-classpath", classes], words].concat())
        .start()
}

/// A packaged code-server of alice's in a unit.
fn served(group: &str, load: &str) -> io::Result<()> {
    Process::new(group, "/usr/lib/code-server/lib/node", load)
        .uid(1000)
        .arguments(&["/usr/lib/code-server/out/node/entry"])
        .start()
}

fn editor(node: &str, script: &str) -> io::Result<()> {
    Process::new(SESSION, node, "cpu 0.1")
        .uid(1000)
        .arguments(&[script, "--type=extensionHost"])
        .start()
}

/// A detached tmux of alice with a program that takes a sixth of a second each second.
fn tmux(cell: &Cell, line: &str) -> io::Result<()> {
    cell.file("/tmp/look", "#!/bin/sh\nCELL_PART='load burst 0.12' /opt/cell/part\necho seen\n")?;
    let group = "user.slice/user-1000.slice/user@1000.service/tmux-spawn-1.scope";
    let line = format!("chmod 755 /tmp/look; TERM=xterm tmux -S /tmp/tmux new-session -d '{line}'");
    Process::shell(group, "chmod 755 /tmp/look").start()?;
    Process::shell(group, &line).uid(1000).start()
}
