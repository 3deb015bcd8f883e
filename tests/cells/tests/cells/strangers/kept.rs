//! Machines that nobody uses and that are kept.

use agent_cells::case::{Case, Right};
use agent_cells::process::Process;
use agent_cells::runner::NotYet;

use super::{BRIDGE, SESSION, container, hurry, tmux};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    // stop: it crashes and is started again, all day.
    Case::new("crash-loop", Right::StopAfter(40), 0.17, |cell| {
        let unit = "[Service]\nExecStart=/opt/broken\nRestart=always\n";
        cell.file("/etc/systemd/system/broken.service", unit)?;
        cell.run("init.scope", "systemd", "rerun system.slice/broken.service 0.8 0.1 0.14")
    }),
    // stop: it starts, dies at once and is started again after some seconds, as a broken program of Java does.
    Case::new("crash-loop-with-pauses", Right::StopAfter(40), 0.15, |cell| {
        let unit = "[Service]\nExecStart=/opt/broken\nRestart=always\nRestartSec=3\n";
        cell.file("/etc/systemd/system/broken.service", unit)?;
        cell.run("init.scope", "systemd", "rerun system.slice/broken.service 1 3 0.6")
    }),
    // stop: the plugin of an autoscaler lives as long as the runner, and no job is there.
    Case::new("gitlab-runner-with-a-plugin", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("gitlab-runner", "gitlab-runner.service", "/usr/bin/gitlab-runner")?;
        let load = "chain fleeting-plugin-aws sleep";
        cell.run("system.slice/gitlab-runner.service", "gitlab-runner", load)
    }),
    // stop: a shipper of logs, whose package makes an ordinary user.
    Case::new("splunk-forwarder-of-an-ordinary-uid", Right::Stop, 0.075, |cell| {
        cell.local_unit("SplunkForwarder.service", "/opt/splunkforwarder/bin/splunk")?;
        cell.owned("splunkforwarder", "/opt/splunkforwarder/bin/splunk\n")?;
        cell.run_as(1001, "system.slice/SplunkForwarder.service", "splunkd", "cpu 0.07")
    }),
    // stop: an agent of monitoring is one in a slice of its own, too.
    Case::new("agent-in-a-slice-of-its-own", Right::Stop, 0.075, |cell| {
        cell.packaged_unit("datadog-agent", "datadog-agent.service", "/opt/datadog-agent/agent")?;
        cell.run_as(998, "monitoring.slice/datadog-agent.service", "agent", "cpu 0.07")
    }),
    // stop: a package's server keeps house in a slice of its own.
    Case::new("server-in-a-slice-of-its-own", Right::Stop, 0.085, |cell| {
        cell.packaged_unit("postgresql-15", "postgresql@.service", "/usr/bin/pg_ctlcluster")?;
        cell.run_as(998, "db.slice/postgresql@15-main.service", "postgres", "cpu 0.08")
    }),
    // stop: a known agent of monitoring in a container.
    Case::new("cadvisor-in-a-container", Right::Stop, 0.085, |cell| {
        cell.run("system.slice/docker-4f1a0c.scope", "cadvisor", "cpu 0.08")
    }),
    // stop: sshd by socket, one unit for each stranger.
    Case::new("brute-force-on-sshd-by-socket", Right::Stop, 0.075, |cell| {
        cell.packaged_unit("openssh-server", "ssh@.service", "/usr/sbin/sshd")?;
        let unit = "ssh@7-198.51.100.1:22-198.51.100.2:51234.service";
        cell.run(&format!("system.slice/system-ssh.slice/{unit}"), "/usr/sbin/sshd", "cpu 0.07")
    }),
    // stop: strangers try passwords on the remote desktop.
    Case::new("brute-force-on-xrdp", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("xrdp", "xrdp.service", "/usr/sbin/xrdp")?;
        cell.run_as(998, "system.slice/xrdp.service", "xrdp", "serve 3389")
    })
    .outside(&["request 198.51.100.1:3389 800 1500 2000 new"]),
    // stop: the same on a data base.
    Case::new("brute-force-on-mysql", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("mysql-server", "mysql.service", "/usr/sbin/mysqld")?;
        cell.run_as(998, "system.slice/mysql.service", "mysqld", "serve 3306")
    })
    .outside(&["request 198.51.100.1:3306 240 160 200 new"]),
    // stop: nobody has logged in at the display.
    Case::new("login-screen", Right::Stop, 0.075, |cell| {
        let text = "UID=42\nUSER=gdm\nSTATE=active\nTYPE=wayland\nCLASS=greeter\nSEAT=seat0\n";
        cell.file("/run/systemd/sessions/c1", text)?;
        cell.run_as(42, "user.slice/user-42.slice/session-c1.scope", "gnome-shell", "cpu 0.07")
    }),
    // stop: a screen saver draws for nobody.
    Case::new("screen-saver", Right::Stop, 0.1, |cell| {
        cell.run_as(1000, SESSION, "xscreensaver", "chain xscreensaver-gfx,glmatrix cpu 0.1")
    }),
    // stop: displays that were left open in a detached tmux.
    Case::new("docker-stats-in-tmux", Right::Stop, 0.085, |cell| {
        tmux(cell, "docker", "stats", 0.08)
    }),
    // stop: another display.
    Case::new("glances-as-a-module-in-tmux", Right::Stop, 0.085, |cell| {
        tmux(cell, "python3", "-m glances", 0.08)
    }),
    // stop: and one that could do more.
    Case::new("k9s-in-tmux", Right::Stop, 0.085, |cell| tmux(cell, "k9s", "", 0.08)),
    // stop: a display that was left in tmux in a session of Session Manager.
    Case::new("watch-in-tmux-of-session-manager", Right::Stop, 0.15, |cell| {
        let unit = "amazon-ssm-agent.service";
        cell.packaged_unit("amazon-ssm-agent", unit, "/usr/bin/amazon-ssm-agent")?;
        let group = "system.slice/amazon-ssm-agent.service";
        cell.run(group, "amazon-ssm-agent", "sleep")?;
        cell.file("/tmp/look", "#!/bin/sh\nCELL_PART='load burst 0.12' /opt/cell/part\n")?;
        cell.set_up("chmod 755 /tmp/look")?;
        let line = "TERM=xterm tmux -S /tmp/tmux new-session -d 'watch -n1 /tmp/look'";
        Process::shell(group, line).uid(1002).start()?;
        hurry(group)
    }),
    // stop: containers of one machine that only talk to each other: a worker asks its queue.
    Case::new("compose-at-rest", Right::Stop, 0.03, |cell| {
        cell.set_up(BRIDGE)?;
        container(cell, "system.slice/docker-4f1a0c.scope", 2, "serve 6379")?;
        container(
            cell,
            "system.slice/docker-77be12.scope",
            3,
            "request 203.0.113.2:6379 400 3000 1000 kept",
        )
    }),
    // stop: the same without containers.
    Case::new("worker-asks-its-queue", Right::Stop, 0.03, |cell| {
        cell.packaged_unit("redis-server", "redis-server.service", "/usr/bin/redis-server")?;
        cell.run_as(998, "system.slice/redis-server.service", "redis-server", "serve 6379")?;
        cell.run_as(1000, SESSION, "celery", "request 127.0.0.1:6379 400 3000 1000 kept")
    }),
];

/// Why each comes out wrong.
pub(crate) const NOT_YET: &[NotYet] = &[
    ("cadvisor-in-a-container", "an agent in a container is people's work"),
    ("screen-saver", "a screen saver is work"),
];
