//! Ways of work and kinds of rest that were thought of by somebody who had not written the rules. Each was labelled before it was
//! run.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::Duration;

use agent_cells::case::{Case, Right};
use agent_cells::cell::Cell;
use agent_cells::process::Process;

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";

pub(crate) const CASES: &[Case] = &[
    // --- ways of starting work
    // keep: cloud-init from 24.3 on runs user-data from cloud-init-main.service.
    Case::new("x-user-data-in-one-process", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("cloud-init", "cloud-init-main.service", "/usr/bin/cloud-init")?;
        cell.run("system.slice/cloud-init-main.service", "part-001", "orphan train cpu 0.1")
    }),
    // keep: a boothook or bootcmd of user-data runs in the first stages, and what it leaves is the user's.
    Case::new("x-boothook-left-a-daemon", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("cloud-init", "cloud-init.service", "/usr/bin/cloud-init")?;
        cell.run("system.slice/cloud-init.service", "boothook", "orphan train cpu 0.1")
    }),
    // keep: a hook of a deployment started the application; it stays in the agent's group.
    Case::new("x-codedeploy-left-a-server", Right::Keep, 0.1, |cell| {
        let unit = "codedeploy-agent.service";
        cell.packaged_unit("codedeploy-agent", unit, "/opt/codedeploy-agent/bin/agent")?;
        cell.run("system.slice/codedeploy-agent.service", "ruby", "sleep")?;
        cell.run("system.slice/codedeploy-agent.service", "start.sh", "orphan node cpu 0.1")
    }),
    // keep: `salt '*' cmd.run ./train` is Run Command by another name.
    Case::new("x-salt-cmd-run", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("salt-minion", "salt-minion.service", "/usr/bin/salt-minion")?;
        let load = "chain salt-minion,sh,train cpu 0.1";
        cell.run("system.slice/salt-minion.service", "salt-minion", load)
    }),
    // keep: monit starts the programs that somebody told it to look after.
    Case::new("x-monit-started-a-program", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("monit", "monit.service", "/usr/bin/monit")?;
        cell.run("system.slice/monit.service", "monit", "sleep")?;
        cell.run("system.slice/monit.service", "sh", "orphan trainer cpu 0.1")
    }),
    // keep: programs of supervisord are somebody's, also root's.
    Case::new("x-supervisord-program", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("supervisor", "supervisor.service", "/usr/bin/supervisord")?;
        cell.run("system.slice/supervisor.service", "supervisord", "chain trainer cpu 0.1")
    }),
    // keep: the same of runit.
    Case::new("x-runit-tree", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("runit-systemd", "runit.service", "/usr/bin/runsvdir")?;
        cell.run("system.slice/runit.service", "runsvdir", "chain runsv,trainer cpu 0.1")
    }),
    // keep: `pm2 startup` writes a unit for the user.
    Case::new("x-pm2-of-alice", Right::Keep, 0.075, |cell| {
        cell.local_unit("pm2-alice.service", "/usr/lib/node_modules/pm2/bin/pm2 resurrect")?;
        cell.run_as(1000, "system.slice/pm2-alice.service", "PM2", "chain node cpu 0.07")
    }),
    // keep: fcron's jobs are as much somebody's as cron's.
    Case::new("x-fcron-job", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("fcron", "fcron.service", "/usr/sbin/fcron")?;
        cell.run("system.slice/fcron.service", "fcron", "chain fcron,sh,backup cpu 0.1")
    }),
    // keep: a script in /etc/cron.daily that no package brought, by anacron's own unit.
    Case::new("x-anacron-script-made-here", Right::Keep, 0.075, |cell| {
        script(cell, "/etc/cron.daily/backup", "cpu 0.07")?;
        cell.packaged_unit("anacron", "anacron.service", "/usr/sbin/anacron")?;
        let load = "chain anacron shell run-parts /etc/cron.daily";
        cell.run("system.slice/anacron.service", "/usr/sbin/anacron", load)
    }),
    // keep: the package's table has only comments; somebody took the signs away, so the backup is wanted.
    Case::new("x-edited-table-of-rsnapshot", Right::Keep, 0.1, |cell| {
        script(cell, "/usr/bin/rsnapshot", "cpu 0.1")?;
        cell.file("/etc/cron.d/rsnapshot", "0 */4 * * * root /usr/bin/rsnapshot alpha\n")?;
        cell.owned("rsnapshot", "/etc/cron.d/rsnapshot\n")?;
        cron(cell)?;
        let load = "chain cron shell /usr/bin/rsnapshot alpha";
        cell.run("system.slice/cron.service", "/usr/sbin/cron", load)
    }),
    // stop: what a package's own table runs is its upkeep, however the shell runs it.
    Case::new("x-job-of-a-packages-table", Right::Stop, 0.075, |cell| {
        script(cell, "/usr/share/awstats/update.sh", "cpu 0.07")?;
        let command = "[ -x /usr/share/awstats/update.sh ] && /usr/share/awstats/update.sh";
        cell.file("/etc/cron.d/awstats", &format!("*/10 * * * * root {command}\n"))?;
        cell.owned("awstats", "/etc/cron.d/awstats\n")?;
        cron(cell)?;
        let load = format!("chain cron shell {command}");
        cell.run("system.slice/cron.service", "/usr/sbin/cron", &load)
    }),
    // keep: a timer that no package brought starts work at the people's limit.
    Case::new("x-job-of-a-local-timer", Right::Keep, 0.07, |cell| {
        cell.local_unit("backup.service", "/usr/local/bin/backup")?;
        cell.file("/etc/systemd/system/backup.timer", "[Timer]\nOnCalendar=hourly\n")?;
        cell.run("system.slice/backup.service", "backup", "cpu 0.065")
    }),
    // keep: a queue is worked off by a unit that systemd starts for each job; it does not fail.
    Case::new("x-oneshot-again-and-again", Right::StopAfter(130), 0.17, |cell| {
        let unit = "[Service]\nType=oneshot\nExecStart=/opt/work-one\n";
        cell.file("/etc/systemd/system/work-one.service", unit)?;
        cell.file("/etc/systemd/system/work-one.timer", "[Timer]\nOnUnitInactiveSec=0\n")?;
        cell.run("init.scope", "systemd", "rerun system.slice/work-one.service 0 0.8 0.13 135")
    }),
    // stop: it crashes and is started again, all day.
    Case::new("x-crash-loop", Right::StopAfter(40), 0.17, |cell| {
        let unit = "[Service]\nExecStart=/opt/broken\nRestart=always\n";
        cell.file("/etc/systemd/system/broken.service", unit)?;
        cell.run("init.scope", "systemd", "rerun system.slice/broken.service 0 0.8 0.13 1000")
    }),
    // keep: Gradle's daemon does the work of a build and has left its parent.
    Case::new("x-gradle-daemon-of-jenkins", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("jenkins", "jenkins.service", "/usr/bin/jenkins")?;
        cell.run_as(114, "system.slice/jenkins.service", "java", "sleep")?;
        cell.run_as(114, "system.slice/jenkins.service", "sh", "orphan java cpu 0.1")
    }),
    // keep: a build of GoCD's packaged agent.
    Case::new("x-gocd-build", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("go-agent", "go-agent.service", "/usr/share/go-agent/bin/go-agent")?;
        cell.run_as(998, "system.slice/go-agent.service", "java", "chain sh,make,cc1 cpu 0.1")
    }),
    // keep: a build of CircleCI's packaged runner.
    Case::new("x-circleci-build", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("circleci-runner", "circleci-runner.service", "/usr/bin/circleci-runner")?;
        let load = "chain task-agent,bash,cc1 cpu 0.1";
        cell.run_as(998, "system.slice/circleci-runner.service", "circleci-runner", load)
    }),
    // stop: the plugin of an autoscaler lives as long as the runner, and no job is there.
    Case::new("x-gitlab-runner-with-a-plugin", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("gitlab-runner", "gitlab-runner.service", "/usr/bin/gitlab-runner")?;
        let load = "chain fleeting-plugin-aws sleep";
        cell.run("system.slice/gitlab-runner.service", "gitlab-runner", load)
    }),
    // keep: `systemctl enable --now code-server@alice`, and a notebook computes in it.
    Case::new("x-kernel-in-a-packaged-code-server", Right::Keep, 0.1, |cell| {
        let unit = "code-server@.service";
        cell.packaged_unit("code-server", unit, "/usr/bin/code-server")?;
        let group = "system.slice/system-code\\x2dserver.slice/code-server@alice.service";
        Process::new(group, "/usr/lib/code-server/lib/node", "chain python3 cpu 0.1")
            .uid(1000)
            .arguments(&["/usr/lib/code-server/out/node/entry"])
            .start()
    }),
    // keep: a build in an IDE on a remote desktop; it is the user's, who started it.
    Case::new("x-build-by-an-ide-on-a-desktop", Right::Keep, 0.1, |_| {
        let java = "/home/alice/.local/share/JetBrains/Toolbox/apps/intellij-idea/jbr/bin/java";
        Process::new(SESSION, java, "cpu 0.1")
            .uid(1000)
            .arguments(&["-classpath", "jps-launcher.jar", "org.jetbrains.jps.cmdline.BuildMain"])
            .start()
    }),
    // keep: who works on code-server's own source has a folder of that name.
    Case::new("x-job-in-a-folder-named-as-an-editor", Right::Keep, 0.1, |_| {
        Process::new(SESSION, "/home/alice/src/code-server/venv/bin/python3", "cpu 0.1")
            .uid(1000)
            .arguments(&["train.py"])
            .start()
    }),
    // keep: the machine of LXD and Incus is a process in the daemon's group.
    Case::new("x-virtual-machine-of-incus", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("incus", "incus.service", "/usr/bin/incusd")?;
        cell.run("system.slice/incus.service", "incusd", "sleep")?;
        cell.run_as(998, "system.slice/incus.service", "qemu-system-x86_64", "cpu 0.1")
    }),
    // keep: a task of ECS or AWS Batch.
    Case::new("x-task-of-ecs", Right::Keep, 0.075, |cell| {
        cell.run("ecstasks.slice/ecstasks-7f.slice/docker-aa.scope", "python3", "cpu 0.07")
    }),
    // stop: ECS' agent polls, no task is there.
    Case::new("x-agent-of-ecs-at-rest", Right::Stop, 0.03, |cell| {
        cell.run("system.slice/docker-4f1a0c.scope", "agent", "cpu 0.02")?;
        let load = "request 198.51.100.2:7000 200 200 1000 kept";
        cell.run("system.slice/docker-4f1a0c.scope", "agent", load)
    }),
    // keep: a pod where containerd was not told that the groups are systemd's.
    Case::new("x-pod-below-containerd", Right::Keep, 0.075, |cell| {
        cell.packaged_unit("containerd", "containerd.service", "/usr/bin/containerd")?;
        let pod = "kubepods-burstable-pod1f.slice:cri-containerd:77";
        cell.run(&format!("system.slice/containerd.service/{pod}"), "etl", "cpu 0.07")
    }),
    // keep: a container of alice's without root.
    Case::new("x-rootless-podman", Right::Keep, 0.075, |cell| {
        let group = "user.slice/user-1000.slice/user@1000.service/user.slice/libpod-1f.scope";
        cell.run_as(1000, group, "etl", "cpu 0.07")
    }),
    // keep: `podman --remote build --isolation chroot` runs its steps in the group of Podman's service.
    Case::new("x-build-by-podmans-service", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("podman", "podman.service", "/usr/bin/podman")?;
        let load = "chain buildah-chroot-r,sh,cc1 cpu 0.1";
        cell.run("system.slice/podman.service", "podman", load)
    }),
    // keep: a command over Teleport.
    Case::new("x-command-over-teleport", Right::Keep, 0.075, |cell| {
        cell.packaged_unit("teleport", "teleport.service", "/usr/local/bin/teleport")?;
        cell.run("system.slice/teleport.service", "teleport", "chain teleport,bash,train cpu 0.07")
    }),
    // keep: the kernel of a user below a hub of root's.
    Case::new("x-kernel-below-jupyterhub", Right::Keep, 0.075, |cell| {
        cell.local_unit("jupyterhub.service", "/opt/hub/bin/jupyterhub")?;
        cell.run("system.slice/jupyterhub.service", "jupyterhub", "sleep")?;
        let load = "chain python3 cpu 0.07";
        cell.run_as(1000, "system.slice/jupyterhub.service", "jupyterhub-singleuser", load)
    }),
    // keep: somebody's own unit with a name that an agent has, too.
    Case::new("x-own-unit-called-datacollector", Right::Keep, 0.1, |cell| {
        cell.local_unit("datacollector.service", "/opt/lab/collect.py")?;
        cell.run("system.slice/datacollector.service", "collect.py", "cpu 0.1")
    }),
    // keep: somebody's own program with a name that an agent has, too.
    Case::new("x-own-program-called-vector", Right::Keep, 0.1, |cell| {
        cell.local_unit("embeddings.service", "/home/alice/embeddings/target/release/vector")?;
        cell.run("system.slice/embeddings.service", "vector", "cpu 0.1")
    }),
    // keep: tutorials write units to /usr/lib; the rpm data base does not know it.
    Case::new("x-own-unit-in-usr-lib-on-rpm", Right::Keep, 0.1, |cell| {
        cell.set_up("rm -rf /var/lib/dpkg; mkdir -p /usr/lib/sysimage/rpm /var/lib/rpm")?;
        cell.file("/usr/lib/systemd/system/train.service", "[Service]\nExecStart=/opt/train\n")?;
        cell.run("system.slice/train.service", "train", "cpu 0.1")
    }),
    // keep: the unit is a package's, the program is somebody's.
    Case::new("x-packaged-unit-with-own-program", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("redis-server", "redis-server.service", "/usr/bin/redis-server")?;
        let text = "[Service]\nExecStart=\nExecStart=/opt/own/serve\n";
        cell.file("/etc/systemd/system/redis-server.service.d/override.conf", text)?;
        cell.run("system.slice/redis-server.service", "serve", "cpu 0.1")
    }),
    // keep: systemd-run --scope by root.
    Case::new("x-systemd-run-scope", Right::Keep, 0.075, |cell| {
        cell.run("system.slice/run-r5fa1.scope", "train", "cpu 0.07")
    }),
    // keep: a unit that a program wrote to /run.
    Case::new("x-unit-in-run", Right::Keep, 0.105, |cell| {
        cell.file("/run/systemd/system/render.service", "[Service]\nExecStart=/opt/render\n")?;
        cell.run("system.slice/render.service", "render", "cpu 0.1")
    }),
    // keep: a unit two slices down.
    Case::new("x-unit-in-nested-slices", Right::Keep, 0.105, |cell| {
        cell.local_unit("render.service", "/opt/render")?;
        cell.run("system.slice/system-a.slice/system-a-b.slice/render.service", "r", "cpu 0.1")
    }),
    // keep: a job of HTCondor that waits for a licence.
    Case::new("x-condor-job-that-waits", Right::Keep, 0.02, |cell| {
        cell.packaged_unit("condor", "condor.service", "/usr/sbin/condor_master")?;
        let load = "chain condor_startd,condor_starter,sim sleep";
        cell.run("system.slice/condor.service", "condor_master", load)
    }),
    // keep: works six seconds of forty.
    Case::new("x-unit-once-in-a-while", Right::Keep, 0.17, |cell| {
        cell.local_unit("poll.service", "/opt/poll")?;
        cell.run("system.slice/poll.service", "poll", "pulse 6 36")
    }),
    // --- what is nobody
    // stop: a package's data base whose user happens to be an ordinary one.
    Case::new("x-packaged-server-of-an-ordinary-uid", Right::Stop, 0.1, |cell| {
        cell.packaged_unit("postgresql-15", "postgresql@.service", "/usr/bin/pg_ctlcluster")?;
        let group = "system.slice/system-postgresql.slice/postgresql@15-main.service";
        cell.run_as(1003, group, "postgres", "cpu 0.1")
    }),
    // stop: a shipper of logs, whose package makes an ordinary user.
    Case::new("x-splunk-forwarder-of-an-ordinary-uid", Right::Stop, 0.075, |cell| {
        cell.local_unit("SplunkForwarder.service", "/opt/splunkforwarder/bin/splunk")?;
        cell.owned("splunkforwarder", "/opt/splunkforwarder/bin/splunk\n")?;
        cell.run_as(1001, "system.slice/SplunkForwarder.service", "splunkd", "cpu 0.07")
    }),
    // stop: an agent of monitoring is one in a slice of its own, too.
    Case::new("x-agent-in-a-slice-of-its-own", Right::Stop, 0.075, |cell| {
        cell.packaged_unit("datadog-agent", "datadog-agent.service", "/opt/datadog-agent/agent")?;
        cell.run_as(998, "monitoring.slice/datadog-agent.service", "agent", "cpu 0.07")
    }),
    // stop: a package's server keeps house in a slice of its own.
    Case::new("x-server-in-a-slice-of-its-own", Right::Stop, 0.085, |cell| {
        cell.packaged_unit("postgresql-15", "postgresql@.service", "/usr/bin/pg_ctlcluster")?;
        cell.run_as(998, "db.slice/postgresql@15-main.service", "postgres", "cpu 0.08")
    }),
    // stop: a known agent of monitoring in a container.
    Case::new("x-cadvisor-in-a-container", Right::Stop, 0.085, |cell| {
        cell.run("system.slice/docker-4f1a0c.scope", "cadvisor", "cpu 0.08")
    }),
    // stop: an exporter in a container that has the host's network, scraped every five seconds.
    Case::new("x-exporter-in-a-container-of-the-hosts-network", Right::Stop, 0.02, |cell| {
        cell.run("system.slice/docker-4f1a0c.scope", "node_exporter", "serve 9100")
    })
    .outside(&["request 198.51.100.1:9100 400 30000 5000 kept"]),
    // stop: sshd by socket, one unit for each stranger.
    Case::new("x-brute-force-on-sshd-by-socket", Right::Stop, 0.075, |cell| {
        cell.packaged_unit("openssh-server", "ssh@.service", "/usr/sbin/sshd")?;
        let unit = "ssh@7-198.51.100.1:22-198.51.100.2:51234.service";
        cell.run(&format!("system.slice/system-ssh.slice/{unit}"), "/usr/sbin/sshd", "cpu 0.07")
    }),
    // stop: sshd's own work at refusing strangers.
    Case::new("x-brute-force-takes-processor-time", Right::Stop, 0.12, |cell| {
        cell.packaged_unit("openssh-server", "ssh.service", "/usr/sbin/sshd")?;
        cell.run("system.slice/ssh.service", "/usr/sbin/sshd", "chain sshd cpu 0.11")
    }),
    // stop: strangers try passwords on the remote desktop.
    Case::new("x-brute-force-on-xrdp", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("xrdp", "xrdp.service", "/usr/sbin/xrdp")?;
        cell.run_as(998, "system.slice/xrdp.service", "xrdp", "serve 3389")
    })
    .outside(&["request 198.51.100.1:3389 800 1500 2000 new"]),
    // stop: the same on a data base.
    Case::new("x-brute-force-on-mysql", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("mysql-server", "mysql.service", "/usr/sbin/mysqld")?;
        cell.run_as(998, "system.slice/mysql.service", "mysqld", "serve 3306")
    })
    .outside(&["request 198.51.100.1:3306 240 160 200 new"]),
    // stop: a robot asks a web server for what is not there.
    Case::new("x-robot-at-a-web-server", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
        cell.run("system.slice/nginx.service", "nginx", "serve 80")
    })
    .outside(&["request 198.51.100.1:80 240 600 1000 new"]),
    // stop: nobody has logged in at the display.
    Case::new("x-login-screen", Right::Stop, 0.075, |cell| {
        let text = "UID=42\nUSER=gdm\nSTATE=active\nTYPE=wayland\nCLASS=greeter\nSEAT=seat0\n";
        cell.file("/run/systemd/sessions/c1", text)?;
        cell.run_as(42, "user.slice/user-42.slice/session-c1.scope", "gnome-shell", "cpu 0.07")
    }),
    // stop: a screen saver draws for nobody.
    Case::new("x-screen-saver", Right::Stop, 0.1, |cell| {
        cell.run_as(1000, SESSION, "xscreensaver", "chain xscreensaver-gfx,glmatrix cpu 0.1")
    }),
    // stop: displays that were left open in a detached tmux.
    Case::new("x-docker-stats-in-tmux", Right::Stop, 0.085, |cell| {
        tmux(cell, "docker", "stats", 0.08)
    }),
    Case::new("x-k9s-in-tmux", Right::Stop, 0.085, |cell| tmux(cell, "k9s", "", 0.08)),
    Case::new("x-glances-as-a-module-in-tmux", Right::Stop, 0.085, |cell| {
        tmux(cell, "python3", "-m glances", 0.08)
    }),
    // stop: the check of a monitoring agent.
    Case::new("x-check-of-nrpe", Right::Stop, 0.065, |cell| {
        cell.packaged_unit("nagios-nrpe-server", "nagios-nrpe-server.service", "/usr/sbin/nrpe")?;
        cell.run_as(998, "system.slice/nagios-nrpe-server.service", "nrpe", "chain check_disk cpu 0.06")
    }),
    // stop: k3s without anybody's pod.
    Case::new("x-k3s-at-rest", Right::Stop, 0.17, |cell| {
        cell.local_unit("k3s.service", "/usr/local/bin/k3s")?;
        cell.run("system.slice/k3s.service", "k3s-server", "cpu 0.12")?;
        cell.run("kubepods/besteffort/pod1/a", "coredns", "cpu 0.01")?;
        cell.run("kubepods/besteffort/pod2/b", "traefik", "cpu 0.01")?;
        cell.run("kubepods/besteffort/pod3/c", "metrics-server", "cpu 0.02")
    }),
    // stop: a node of EKS without anybody's pod; its units have a slice of their own.
    Case::new("x-node-of-eks-at-rest", Right::Stop, 0.1, |cell| {
        cell.local_unit("kubelet.service", "/usr/bin/kubelet")?;
        cell.packaged_unit("containerd", "containerd.service", "/usr/bin/containerd")?;
        cell.run("runtime.slice/kubelet.service", "kubelet", "cpu 0.04")?;
        cell.run("runtime.slice/containerd.service", "containerd", "cpu 0.03")?;
        let pod = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice";
        cell.run(&format!("{pod}/cri-containerd-1.scope"), "aws-k8s-agent", "cpu 0.01")?;
        cell.run(&format!("{pod}/cri-containerd-2.scope"), "kube-proxy", "cpu 0.01")
    }),
    // stop: a package's server that came as a snap.
    Case::new("x-server-of-a-snap-keeps-house", Right::Stop, 0.1, |cell| {
        cell.local_unit("snap.nextcloud.apache.service", "/usr/bin/snap run nextcloud.apache")?;
        cell.file("/snap/nextcloud/current/meta", "")?;
        cell.run("system.slice/snap.nextcloud.apache.service", "httpd", "cpu 0.1")
    }),
    // --- networks
    // keep: somebody plays while containers come and go.
    Case::new("x-player-while-interfaces-come-and-go", Right::Keep, 0.06, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play 2456")?;
        churn()
    })
    .outside(&["talk 198.51.100.1:2456 640 40"]),
    // stop: they come and go, and nobody is there.
    Case::new("x-interfaces-come-and-go", Right::Stop, 0.05, |_| churn()),
    // keep: somebody's traffic goes through a VPN's gateway.
    Case::new("x-gateway-of-openvpn", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("openvpn", "openvpn-server@.service", "/usr/sbin/openvpn")?;
        let group = "system.slice/system-openvpn\\x2dserver.slice/openvpn-server@a.service";
        cell.run(group, "openvpn", "play 1194")
    })
    .outside(&["talk 198.51.100.1:1194 640 40"]),
    // keep: people use an application of this machine through a tunnel of Cloudflare's.
    Case::new("x-application-behind-cloudflared", Right::Keep, 0.04, |cell| {
        cell.packaged_unit("cloudflared", "cloudflared.service", "/usr/bin/cloudflared")?;
        cell.local_unit("app.service", "/opt/app")?;
        cell.run("system.slice/app.service", "app", "serve 8080")?;
        let group = "system.slice/cloudflared.service";
        cell.run(group, "cloudflared", "request 127.0.0.1:8080 400 10000 250 kept")?;
        cell.run(group, "cloudflared", "request 198.51.100.2:7000 10000 400 250 kept")
    }),
    // keep: ten small requests a second to somebody's own server.
    Case::new("x-many-small-requests", Right::Keep, 0.03, |cell| {
        cell.local_unit("api.service", "/opt/api")?;
        cell.run("system.slice/api.service", "api", "serve 8080")
    })
    .outside(&["request 198.51.100.1:8080 400 3000 100 new"]),
    // stop: containers of one machine that only talk to each other: a worker asks its queue.
    Case::new("x-compose-at-rest", Right::Stop, 0.03, |cell| {
        cell.set_up(BRIDGE)?;
        container(cell, "system.slice/docker-4f1a0c.scope", 2, "serve 6379")?;
        container(cell, "system.slice/docker-77be12.scope", 3, "request 203.0.113.2:6379 400 3000 1000 kept")
    }),
    // stop: the same without containers.
    Case::new("x-worker-asks-its-queue", Right::Stop, 0.03, |cell| {
        cell.packaged_unit("redis-server", "redis-server.service", "/usr/bin/redis-server")?;
        cell.run_as(998, "system.slice/redis-server.service", "redis-server", "serve 6379")?;
        cell.run_as(1000, SESSION, "celery", "request 127.0.0.1:6379 400 3000 1000 kept")
    }),
    // keep: others reach the world through this machine.
    Case::new("x-nat-instance", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("ifupdown", "networking.service", "/sbin/ifup")?;
        cell.set_up(BRIDGE)?;
        container(cell, "system.slice/networking.service", 2, "ask 198.51.100.2:7000 200000 4000 new")
    }),
    // keep: a container with an address of its own in the network outside.
    Case::new("x-container-on-macvlan", Right::Keep, 0.03, |cell| {
        container_on_macvlan(cell, "ask 198.51.100.2:7000 200000 4000 new")
    }),
    // keep: a telephone call (G.729) that a machine takes.
    Case::new("x-telephone-call", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("asterisk", "asterisk.service", "/usr/sbin/asterisk")?;
        cell.run_as(998, "system.slice/asterisk.service", "asterisk", "play 10000")
    })
    .outside(&["talk 198.51.100.1:10000 32 20"]),
    // keep: a name server that others ask forty times a second.
    Case::new("x-name-server", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("bind9", "named.service", "/usr/sbin/named")?;
        cell.run("system.slice/named.service", "named", "play 53")
    })
    .outside(&["talk 198.51.100.1:53 60 12"]),
    // stop: lists of servers ask an empty game.
    Case::new("x-game-that-lists-ask", Right::Stop, 0.02, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play 2457")
    })
    .outside(&["talk 198.51.100.1:2457 25 200"]),
    // keep: the same game with a player by IPv6.
    Case::new("x-player-by-ipv6", Right::Keep, 0.03, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play6 2456")
    })
    .outside(&["talk [2001:db8::1]:2456 640 40"]),
    // stop: a fast scan.
    Case::new("x-fast-scan", Right::Stop, 0.03, |_| Ok(())).outside(&[
        "ask 198.51.100.1:23 10 20 new",
        "ask 198.51.100.1:445 10 20 new",
        "shout 198.51.100.1:5353 200 20",
    ]),
    // stop: a cable that comes and goes.
    Case::new("x-cable-that-flaps", Right::Stop, 0.04, |_| flap()),
    // keep: the same with a download.
    Case::new("x-download-over-a-cable-that-flaps", Right::Keep, 0.05, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask 198.51.100.2:7000 200000 2000 new")?;
        flap()
    }),
    // keep: one short process for each object.
    Case::new("x-sync-by-short-processes", Right::Keep, 0.06, |_| {
        let one = "exec 3<>/dev/tcp/198.51.100.2/7000; printf \"\\0\\0\\x4e\\x20\" >&3; head -c 20000 <&3 >/dev/null";
        Process::shell(SESSION, &format!("while :; do bash -c '{one}'; sleep 0.4; done"))
            .uid(1000)
            .start()
    }),
    // keep: root's cron uploads slowly: it is somebody's job, at the people's limit.
    Case::new("x-slow-upload-of-cron", Right::Keep, 0.02, |cell| {
        cron(cell)?;
        let load = "chain cron,sh,rclone ask 198.51.100.2:7000 20000 4000 kept";
        cell.run("system.slice/cron.service", "/usr/sbin/cron", load)
    }),
    // keep: a user's job reads a mounted bucket slowly.
    Case::new("x-slow-mounted-bucket", Right::Keep, 0.03, |cell| {
        let load = "ask 198.51.100.2:7000 48000 4000 kept";
        cell.run("system.slice/mnt-data.mount", "mount-s3", load)?;
        cell.run_as(1000, SESSION, "python3", "cpu 0.01")
    }),
    // keep: thirty users with a little each.
    Case::new("x-thirty-users-share-a-download", Right::Keep, 0.05, |cell| {
        for uid in 2000..2030 {
            let group = format!("user.slice/user-{uid}.slice/session-{uid}.scope");
            cell.run_as(uid, &group, "fetch", "ask 198.51.100.2:7000 500 4000 kept")?;
        }
        Ok(())
    }),
    // keep: machines behind VPC Lattice have addresses of the link.
    Case::new("y-download-over-vpc-lattice", Right::Keep, 0.03, |cell| {
        cell.set_up("ip route add 169.254.171.0/24 via 198.51.100.2")?;
        cell.run_as(1000, SESSION, "fetch", "ask 169.254.171.2:7000 200000 4000 kept")
    }),
    // keep: a container for each download, as builds have them.
    Case::new("y-containers-that-download-and-end", Right::Keep, 0.06, |cell| {
        cell.set_up(BRIDGE)?;
        short_containers()
    }),
    // stop: a display that was left in tmux in a session of Session Manager.
    Case::new("y-watch-in-tmux-of-session-manager", Right::Stop, 0.15, |cell| {
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
    // keep: somebody listens to a radio station of 96 kbit/s.
    Case::new("y-listener-of-a-radio-station", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("icecast2", "icecast2.service", "/usr/bin/icecast2")?;
        cell.run_as(998, "system.slice/icecast2.service", "icecast2", "serve 8000")
    })
    .outside(&["ask 198.51.100.1:8000 3000 250 kept"]),
    // keep: the same of one's own server.
    Case::new("y-listener-of-ones-own-server", Right::Keep, 0.03, |cell| {
        cell.local_unit("navidrome.service", "/opt/navidrome/navidrome")?;
        cell.run("system.slice/navidrome.service", "navidrome", "serve 4533")
    })
    .outside(&["ask 198.51.100.1:4533 3000 250 kept"]),
    // keep: a player of Minecraft, by TCP.
    Case::new("y-player-of-minecraft", Right::Keep, 0.03, |cell| {
        cell.local_unit("minecraft.service", "/opt/minecraft/start")?;
        cell.run_as(1002, "system.slice/minecraft.service", "java", "serve 25565")
    })
    .outside(&["request 198.51.100.1:25565 100 800 100 kept"]),
    // stop after: a download of a session that ends.
    Case::new("y-download-that-ends", Right::StopAfter(25), 0.03, |_| {
        let line = "CELL_PART='load ask 198.51.100.2:7000 200000 2000 new' timeout 30 /opt/cell/part; sleep 1000";
        Process::shell(SESSION, line).uid(1000).start()
    }),
    // keep: a job of a systemd-run'ed unit that another package's name hides: run in a transient unit called cron-….
    Case::new("y-transient-unit-with-an-agents-name", Right::Keep, 0.075, |cell| {
        cell.file("/run/systemd/transient/telegraf.service", "[Service]\nExecStart=/opt/train\n")?;
        cell.run("system.slice/telegraf.service", "train", "cpu 0.07")
    }),
    // keep: a build by a TeamCity agent in a unit made by hand.
    Case::new("y-teamcity-build", Right::Keep, 0.105, |cell| {
        cell.local_unit("teamcity-agent.service", "/opt/buildAgent/bin/agent.sh run")?;
        cell.run("system.slice/teamcity-agent.service", "java", "chain java,sh,cc1 cpu 0.1")
    }),
    // keep: a job of root's step in a packaged Slurm.
    Case::new("y-roots-step-of-slurm", Right::Keep, 0.105, |cell| {
        cell.packaged_unit("slurmd", "slurmd.service", "/usr/sbin/slurmd")?;
        cell.run("system.slice/slurmd.service", "slurmd", "chain slurmstepd,python3 cpu 0.1")
    }),
    // keep: a job that puppet's exec left is the administrator's; cfn-hup's hook started the application.
    Case::new("y-hook-of-cfn-hup", Right::Keep, 0.1, |cell| {
        cell.local_unit("cfn-hup.service", "/opt/aws/bin/cfn-hup")?;
        cell.run("system.slice/cfn-hup.service", "cfn-hup", "chain sh,deploy cpu 0.1")
    }),
    // keep: a boot-time script of systemd's rc-local in another unit name (AL2: rc-local by SysV).
    Case::new("y-script-of-sysv", Right::Keep, 0.105, |cell| {
        let unit = "[Unit]\nSourcePath=/etc/init.d/farm\n[Service]\nExecStart=/etc/init.d/farm start\n";
        cell.file("/run/systemd/generator.late/farm.service", unit)?;
        cell.file("/etc/init.d/farm", "#!/bin/sh\n")?;
        cell.run("system.slice/farm.service", "sh", "orphan farm cpu 0.1")
    }),
    // keep: forty of alice's short-lived containers a minute, each by its own scope.
    Case::new("y-runs-of-docker-one-after-the-other", Right::Keep, 0.1, |cell| {
        let load = "groups system.slice/docker-a .scope 0 1.5 0.09";
        cell.run("init.scope", "systemd", load)
    }),
    // keep: the same container is started again and again for a job.
    Case::new("y-start-of-one-container-again-and-again", Right::StopAfter(130), 0.1, |cell| {
        cell.run("init.scope", "systemd", "rerun system.slice/docker-a.scope 0 2.5 0.09 135")
    }),
    // keep: half by people, half by a container, half by a unit: none is a use by itself.
    Case::new("y-container-and-session-share-a-load", Right::Keep, 0.1, |cell| {
        cell.run_as(1000, SESSION, "R", "cpu 0.035")?;
        cell.run("system.slice/docker-4f1a0c.scope", "sh", "cpu 0.035")
    }),
    // stop: an idle runner of GitHub that asks for work.
    Case::new("y-runner-of-github-at-rest", Right::Stop, 0.03, |cell| {
        let unit = "actions.runner.acme-app.host.service";
        cell.local_unit(unit, "/home/alice/actions-runner/runsvc.sh")?;
        let group = format!("system.slice/{unit}");
        cell.run_as(1000, &group, "Runner.Listener", "cpu 0.01")?;
        let load = "request 198.51.100.2:7000 800 600 5000 kept";
        cell.run_as(1000, &group, "Runner.Listener", load)
    }),
    // stop: an idle agent of Buildkite, an idle data base with a pool of twenty connections that are pinged.
    Case::new("y-pool-of-a-data-base", Right::Stop, 0.05, |cell| {
        cell.packaged_unit("postgresql-15", "postgresql@.service", "/usr/bin/pg_ctlcluster")?;
        let group = "system.slice/system-postgresql.slice/postgresql@15-main.service";
        cell.run_as(998, group, "postgres", "serve 5432")
    })
    .outside(&[
        "request 198.51.100.1:5432 40 60 1000 kept",
        "request 198.51.100.1:5432 40 60 1000 kept",
        "request 198.51.100.1:5432 40 60 1000 kept",
        "request 198.51.100.1:5432 40 60 1000 kept",
        "request 198.51.100.1:5432 40 60 1000 kept",
        "request 198.51.100.1:5432 40 60 1000 kept",
        "request 198.51.100.1:5432 40 60 1000 kept",
        "request 198.51.100.1:5432 40 60 1000 kept",
    ]),
    // stop: health checks of three zones with the bytes that a load balancer sends, at a container of the host's network.
    Case::new("y-health-checks-of-a-container", Right::Stop, 0.03, |cell| {
        cell.run("system.slice/docker-4f1a0c.scope", "app", "serve 8080")
    })
    .outside(&["request 198.51.100.1:8080 132 300 5000 new"]),
    // keep: somebody types in a notebook that root's unit serves.
    Case::new("z-person-in-a-notebook-of-a-unit", Right::Keep, 0.03, |cell| {
        cell.local_unit("lab.service", "/opt/conda/bin/jupyter-lab")?;
        cell.run("system.slice/lab.service", "/opt/conda/bin/jupyter-lab", "serve 8888")
    })
    .outside(&["request 198.51.100.1:8888 300 400 2000 kept"]),
    // keep: somebody types in a notebook in a container, at a published port.
    Case::new("z-person-in-a-notebook-of-a-container", Right::Keep, 0.03, |cell| {
        cell.set_up(BRIDGE)?;
        container(cell, "system.slice/docker-4f1a0c.scope", 2, "serve 8888")
    })
    .outside(&["request 203.0.113.2:8888 600 800 2000 kept"]),
    // keep: somebody types in a web IDE of alice's behind nginx.
    Case::new("z-person-behind-a-proxy", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
        cell.run("system.slice/nginx.service", "nginx", "serve 80")?;
        cell.run_as(1000, SESSION, "streamlit", "serve 8080")?;
        cell.run("system.slice/nginx.service", "nginx", "request 127.0.0.1:8080 300 400 2000 kept")
    })
    .outside(&["request 198.51.100.1:80 300 400 2000 kept"]),
    // keep: the same where root's unit serves it under another name than the known ones.
    Case::new("z-person-behind-a-proxy-to-a-unit", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
        cell.local_unit("lab.service", "/opt/conda/bin/jupyter-lab")?;
        cell.run("system.slice/nginx.service", "nginx", "serve 80")?;
        cell.run("system.slice/lab.service", "/opt/conda/bin/jupyter-lab", "serve 8888")?;
        cell.run("system.slice/nginx.service", "nginx", "request 127.0.0.1:8888 600 400 2000 kept")
    })
    .outside(&["request 198.51.100.1:80 600 400 2000 kept"]),
    // keep: a telephone call by G.711, 64 kbit/s each way.
    Case::new("z-telephone-call-of-64-kbit", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("asterisk", "asterisk.service", "/usr/sbin/asterisk")?;
        cell.run_as(998, "system.slice/asterisk.service", "asterisk", "play 10000")
    })
    .outside(&["talk 198.51.100.1:10000 172 20"]),
    // keep: a subnet router of Tailscale carries somebody's traffic.
    Case::new("z-router-of-tailscale", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("tailscale", "tailscaled.service", "/usr/sbin/tailscaled")?;
        cell.run("system.slice/tailscaled.service", "tailscaled", "play 41641")
    })
    .outside(&["talk 198.51.100.1:41641 640 40"]),
    // keep: a web server in a container while others come and go.
    Case::new("z-server-in-a-container-while-others-come-and-go", Right::Keep, 0.06, |cell| {
        cell.set_up(BRIDGE)?;
        container(cell, "system.slice/docker-4f1a0c.scope", 2, "serve 80")?;
        churn()
    })
    .outside(&["ask 203.0.113.2:80 200000 4000 new"]),
    // keep: others reach the world through this machine, while containers come and go.
    Case::new("z-nat-instance-while-interfaces-come-and-go", Right::Keep, 0.06, |cell| {
        cell.packaged_unit("ifupdown", "networking.service", "/sbin/ifup")?;
        cell.set_up(BRIDGE)?;
        container(cell, "system.slice/networking.service", 2, "ask 198.51.100.2:7000 200000 4000 new")?;
        churn()
    }),
    // stop: a job in a session that was stopped with Ctrl-Z.
    Case::new("z-stopped-job", Right::Stop, 0.02, |_| {
        Process::shell(SESSION, "(while :; do :; done) & kill -STOP $!; sleep 1000").uid(1000).start()
    }),
    // stop: a display of root's in a container's terminal: `docker exec -it … top`, left in tmux.
    Case::new("z-nrpe-as-an-ordinary-uid", Right::Stop, 0.07, |cell| {
        cell.packaged_unit("datadog-agent", "datadog-agent.service", "/opt/datadog-agent/agent")?;
        cell.run_as(1005, "system.slice/datadog-agent.service", "agent", "cpu 0.065")
    }),
    // keep: the same user's job in the group of that agent's unit is none of the agent's.
    Case::new("z-work-of-a-user-in-a-slice-by-hand", Right::Keep, 0.075, |cell| {
        cell.run_as(1000, "batch.slice/run-77.scope", "solver", "cpu 0.07")
    }),
    // keep: root's own table has a daily job in twenty minutes.
    Case::new("w-due-in-roots-own-table", Right::Keep, 0.02, |cell| {
        due(cell, "", "/var/spool/cron/crontabs/root", "/root/nightly")?;
        cell.set_up("chmod 600 /var/spool/cron/crontabs/root; chmod 1730 /var/spool/cron/crontabs")
    }),
    // keep: the same by the clock of another zone, as cronie reads it.
    Case::new("w-due-by-another-clock", Right::Keep, 0.02, |cell| {
        due(cell, "Asia/Tokyo", "/etc/cron.d/nightly", "root /root/nightly")
    }),
    // keep: a line in a package's table that somebody made.
    Case::new("w-due-in-an-edited-table", Right::Keep, 0.02, |cell| {
        cell.owned("rsnapshot", "/etc/cron.d/rsnapshot\n")?;
        due(cell, "", "/etc/cron.d/rsnapshot", "root /usr/bin/rsnapshot alpha")
    }),
    // keep: the folder of daily scripts has one that was made here, and it is run in twenty minutes.
    Case::new("w-due-in-a-folder-of-scripts", Right::Keep, 0.02, |cell| {
        script(cell, "/etc/cron.daily/backup", "burst 1")?;
        due(cell, "", "/etc/crontab", "root cd / && run-parts --report /etc/cron.daily")
    }),
    // stop: the same folder with a package's script only.
    Case::new("w-folder-of-packaged-scripts", Right::Stop, 0.02, |cell| {
        script(cell, "/etc/cron.daily/plocate", "burst 1")?;
        cell.owned("plocate", "/etc/cron.daily/plocate\n")?;
        due(cell, "", "/etc/crontab", "root cd / && run-parts --report /etc/cron.daily")
    }),
    // stop: it starts, dies at once and is started again after some seconds, as a broken program of Java does.
    Case::new("w-crash-loop-with-pauses", Right::StopAfter(40), 0.1, |cell| {
        let unit = "[Service]\nExecStart=/opt/broken\nRestart=always\nRestartSec=3\n";
        cell.file("/etc/systemd/system/broken.service", unit)?;
        cell.run("init.scope", "systemd", "crash system.slice/broken.service 1 3 0.3")
    }),
];

/// A table with a daily job in twenty minutes by the clock of a zone.
fn due(cell: &Cell, zone: &str, table: &str, command: &str) -> io::Result<()> {
    cron(cell)?;
    cell.run("system.slice/cron.service", "/usr/sbin/cron", "sleep")?;
    let (tz, line) = match zone {
        "" => (String::new(), String::new()),
        zone => (format!("TZ={zone}"), format!("CRON_TZ={zone}\n")),
    };
    cell.file(table, &line)?;
    cell.set_up(&format!(
        "echo \"$({tz} date -d '+20 minutes' '+%-M %-H') * * * {command}\" >> {table}"
    ))
}

/// A script that has a load in a child.
fn script(cell: &Cell, path: &str, load: &str) -> io::Result<()> {
    cell.file(path, &format!("#!/bin/sh\nCELL_PART='load {load}' /opt/cell/part\n:\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn cron(cell: &Cell) -> io::Result<()> {
    cell.packaged_unit("cron", "cron.service", "/usr/sbin/cron")
}

/// A detached tmux of alice with a program of this name.
fn tmux(cell: &Cell, name: &str, arguments: &str, cores: f64) -> io::Result<()> {
    cell.set_up(&format!("ln -sf ../part /opt/cell/as/{name}"))?;
    let group = "user.slice/user-1000.slice/user@1000.service/tmux-spawn-1.scope";
    let line = format!("CELL_PART=\"load cpu {cores}\" exec /opt/cell/as/{name} {arguments}");
    let line = format!("TERM=xterm tmux -S /tmp/tmux new-session -d '{line}'");
    Process::shell(group, &line).uid(1000).start()?;
    hurry(group)
}

/// The server of tmux has a session of its own, which is scheduled by itself; loads must get what they are to use.
fn hurry(group: &str) -> io::Result<()> {
    let line = format!(
        "sleep 3; for n in 1 2 3; do for p in $(cat /sys/fs/cgroup/{group}/cgroup.procs); do \
         echo -15 > /proc/$p/autogroup 2>/dev/null; done; sleep 1; done"
    );
    Process::shell("init.scope", &line).start()
}

/// Containers that live for a download of 300 kB each.
fn short_containers() -> io::Result<()> {
    let script = r#"
n=0
while :; do
  n=$((n+1))
  g=/sys/fs/cgroup/system.slice/docker-$n.scope
  mkdir -p $g
  ( echo 0 > $g/cgroup.procs; exec unshare --net bash -c '
      echo $$ > /tmp/c'$n'
      while ! [ -e /proc/self/net/dev ] || ! grep -q eth1 /proc/self/net/dev; do sleep 0.05; done
      ip address add 203.0.113.2/24 dev eth1; ip link set eth1 up; ip route add default via 203.0.113.1
      sleep 0.2
      exec 3<>/dev/tcp/198.51.100.2/7000; printf "\0\4\x93\xe0" >&3; head -c 300000 <&3 >/dev/null; sleep 1' ) &
  job=$!
  while ! [ -s /tmp/c$n ]; do sleep 0.05; done
  ip link add veth$n type veth peer name eth1 netns $(cat /tmp/c$n)
  ip link set veth$n master docker0; ip link set veth$n up
  wait $job
  ip link del veth$n 2>/dev/null
  rmdir $g
  sleep 1
done"#;
    Process::shell("system.slice/docker.service", script).start()
}

/// What a container's start and end do to the interfaces, every second.
fn churn() -> io::Result<()> {
    let line = "n=0; while :; do n=$((n+1)); ip link add churn$n type veth peer name peer$n; sleep 1.3; ip link del churn$n; done";
    Process::shell("system.slice/docker.service", line).start()
}

fn flap() -> io::Result<()> {
    let line = "while :; do sleep 5; ip link set eth0 down; sleep 1; ip link set eth0 up; ip address add 198.51.100.1/24 dev eth0 2>/dev/null; ip route add default via 198.51.100.2; done";
    Process::shell("system.slice/networking.service", line).start()
}

const BRIDGE: &str = "echo 1 > /proc/sys/net/ipv4/ip_forward; ip link add docker0 type bridge; \
                      ip address add 203.0.113.1/24 dev docker0; ip link set docker0 up";

/// Starts a load in a network namespace of its own, once it has an interface `eth1`; its process.
fn apart(group: &str, address: &str, gateway: &str, load: &str, file: &str) -> io::Result<String> {
    let line = format!(
        "exec unshare --net sh -c 'echo $$ > {file}; while \
         ! ip link show eth1 >/dev/null 2>&1; do sleep 0.1; done; ip address add {address}/24 dev eth1; \
         ip link set eth1 up; ip link set lo up; ip route add default via {gateway}; \
         CELL_PART=\"load {load}\" exec /opt/cell/part'"
    );
    Process::shell(group, &line).start()?;
    for _ in 0..100 {
        let pid = fs::read_to_string(file).unwrap_or_default();
        if pid.ends_with('\n') {
            return Ok(pid.trim().to_owned());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(io::Error::other("the container did not start"))
}

fn container(cell: &Cell, group: &str, number: u8, load: &str) -> io::Result<()> {
    let address = format!("203.0.113.{number}");
    let pid = apart(group, &address, "203.0.113.1", load, &format!("/tmp/container{number}"))?;
    cell.set_up(&format!(
        "set -e; ip link add veth{number} type veth peer name eth1 netns {pid}; \
         ip link set veth{number} master docker0; ip link set veth{number} up"
    ))
}

fn container_on_macvlan(cell: &Cell, load: &str) -> io::Result<()> {
    let group = "system.slice/docker-4f1a0c.scope";
    let pid = apart(group, "198.51.100.3", "198.51.100.2", load, "/tmp/container")?;
    cell.set_up(&format!("ip link add eth1 link eth0 netns {pid} type macvlan mode bridge"))
}
