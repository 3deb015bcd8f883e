//! Machines in use that are stopped.

use std::io;

use agent_cells::case::{Case, Right};
use agent_cells::cell::Cell;
use agent_cells::process::Process;
use agent_cells::runner::NotYet;

use super::{BRIDGE, SESSION, churn, container, cron, due, script};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    // keep: cloud-init from 24.3 on runs user-data from cloud-init-main.service.
    Case::new("user-data-in-one-process", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("cloud-init", "cloud-init-main.service", "/usr/bin/cloud-init")?;
        cell.run("system.slice/cloud-init-main.service", "part-001", "orphan train cpu 0.1")
    }),
    // keep: a boothook or bootcmd of user-data runs in the first stages, and what it leaves is the user's.
    Case::new("boothook-left-a-daemon", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("cloud-init", "cloud-init.service", "/usr/bin/cloud-init")?;
        cell.run("system.slice/cloud-init.service", "boothook", "orphan train cpu 0.1")
    }),
    // keep: a hook of a deployment started the application; it stays in the agent's group.
    Case::new("codedeploy-left-a-server", Right::Keep, 0.1, |cell| {
        let unit = "codedeploy-agent.service";
        cell.packaged_unit("codedeploy-agent", unit, "/opt/codedeploy-agent/bin/agent")?;
        cell.run("system.slice/codedeploy-agent.service", "ruby", "sleep")?;
        cell.run("system.slice/codedeploy-agent.service", "start.sh", "orphan node cpu 0.1")
    }),
    // keep: `salt '*' cmd.run ./train` is Run Command by another name.
    Case::new("salt-cmd-run", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("salt-minion", "salt-minion.service", "/usr/bin/salt-minion")?;
        let load = "chain salt-minion,sh,train cpu 0.1";
        cell.run("system.slice/salt-minion.service", "salt-minion", load)
    }),
    // keep: monit starts the programs that somebody told it to look after.
    Case::new("monit-started-a-program", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("monit", "monit.service", "/usr/bin/monit")?;
        cell.run("system.slice/monit.service", "monit", "sleep")?;
        cell.run("system.slice/monit.service", "sh", "orphan trainer cpu 0.1")
    }),
    // keep: programs of supervisord are somebody's, also root's.
    Case::new("supervisord-program", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("supervisor", "supervisor.service", "/usr/bin/supervisord")?;
        cell.run("system.slice/supervisor.service", "supervisord", "chain trainer cpu 0.1")
    }),
    // keep: fcron's jobs are as much somebody's as cron's.
    Case::new("fcron-job", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("fcron", "fcron.service", "/usr/sbin/fcron")?;
        cell.run("system.slice/fcron.service", "fcron", "chain fcron,sh,backup cpu 0.1")
    }),
    // keep: the package's table has only comments; somebody took the signs away, so the backup is wanted.
    Case::new("edited-table-of-rsnapshot", Right::Keep, 0.1, |cell| {
        script(cell, "/usr/bin/rsnapshot", "cpu 0.1")?;
        cell.file("/etc/cron.d/rsnapshot", "0 */4 * * * root /usr/bin/rsnapshot alpha\n")?;
        rsnapshot(cell)?;
        cron(cell)?;
        let load = "chain cron shell /usr/bin/rsnapshot alpha";
        cell.run("system.slice/cron.service", "/usr/sbin/cron", load)
    }),
    // keep: a line in a package's table that somebody made.
    Case::new("due-in-an-edited-table", Right::Keep, 0.02, |cell| {
        rsnapshot(cell)?;
        due(cell, "", "/etc/cron.d/rsnapshot", "root /usr/bin/rsnapshot alpha")
    }),
    // keep: the folder of daily scripts has one that was made here, and it is run in twenty minutes.
    Case::new("due-in-a-folder-of-scripts", Right::Keep, 0.02, |cell| {
        script(cell, "/etc/cron.daily/backup", "burst 1")?;
        due(cell, "", "/etc/crontab", "root cd / && run-parts --report /etc/cron.daily")
    }),
    // keep: a timer that no package brought starts work at the people's limit.
    Case::new("job-of-a-local-timer", Right::Keep, 0.07, |cell| {
        cell.local_unit("backup.service", "/usr/local/bin/backup")?;
        cell.file("/etc/systemd/system/backup.timer", "[Timer]\nOnCalendar=hourly\n")?;
        cell.run("system.slice/backup.service", "backup", "cpu 0.065")
    }),
    // keep: Gradle's daemon does the work of a build and has left its parent.
    Case::new("gradle-daemon-of-jenkins", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("jenkins", "jenkins.service", "/usr/bin/jenkins")?;
        cell.run_as(114, "system.slice/jenkins.service", "java", "sleep")?;
        cell.run_as(114, "system.slice/jenkins.service", "sh", "orphan java cpu 0.1")
    }),
    // keep: a build of GoCD's packaged agent.
    Case::new("gocd-build", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("go-agent", "go-agent.service", "/usr/share/go-agent/bin/go-agent")?;
        cell.run_as(998, "system.slice/go-agent.service", "java", "chain sh,make,cc1 cpu 0.1")
    }),
    // keep: a build of CircleCI's packaged runner.
    Case::new("circleci-build", Right::Keep, 0.1, |cell| {
        cell.packaged_unit(
            "circleci-runner",
            "circleci-runner.service",
            "/usr/bin/circleci-runner",
        )?;
        let load = "chain task-agent,bash,cc1 cpu 0.1";
        cell.run_as(998, "system.slice/circleci-runner.service", "circleci-runner", load)
    }),
    // keep: `systemctl enable --now code-server@alice`, and a notebook computes in it.
    Case::new("kernel-in-a-packaged-code-server", Right::Keep, 0.1, |cell| {
        let unit = "code-server@.service";
        cell.packaged_unit("code-server", unit, "/usr/bin/code-server")?;
        let group = "system.slice/system-code\\x2dserver.slice/code-server@alice.service";
        Process::new(group, "/usr/lib/code-server/lib/node", "chain python3 cpu 0.1")
            .uid(1000)
            .arguments(&["/usr/lib/code-server/out/node/entry"])
            .start()
    }),
    // keep: a build in an IDE on a remote desktop; it is the user's, who started it.
    Case::new("build-by-an-ide-on-a-desktop", Right::Keep, 0.1, |_| {
        let java = "/home/alice/.local/share/JetBrains/Toolbox/apps/intellij-idea/jbr/bin/java";
        Process::new(SESSION, java, "cpu 0.1")
            .uid(1000)
            .arguments(&["-classpath", "jps-launcher.jar", "org.jetbrains.jps.cmdline.BuildMain"])
            .start()
    }),
    // keep: who works on code-server's own source has a folder of that name.
    Case::new("job-in-a-folder-named-as-an-editor", Right::Keep, 0.1, |_| {
        Process::new(SESSION, "/home/alice/src/code-server/venv/bin/python3", "cpu 0.1")
            .uid(1000)
            .arguments(&["train.py"])
            .start()
    }),
    // keep: the machine of LXD and Incus is a process in the daemon's group.
    Case::new("virtual-machine-of-incus", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("incus", "incus.service", "/usr/bin/incusd")?;
        cell.run("system.slice/incus.service", "incusd", "sleep")?;
        cell.run_as(998, "system.slice/incus.service", "qemu-system-x86_64", "cpu 0.1")
    }),
    // keep: `podman --remote build --isolation chroot` runs its steps in the group of Podman's service.
    Case::new("build-by-podmans-service", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("podman", "podman.service", "/usr/bin/podman")?;
        let load = "chain buildah-chroot-r,sh,cc1 cpu 0.1";
        cell.run("system.slice/podman.service", "podman", load)
    }),
    // keep: somebody's own unit with a name that an agent has, too.
    Case::new("own-unit-called-datacollector", Right::Keep, 0.1, |cell| {
        cell.local_unit("datacollector.service", "/opt/lab/collect.py")?;
        cell.run("system.slice/datacollector.service", "collect.py", "cpu 0.1")
    }),
    // keep: somebody's own program with a name that an agent has, too.
    Case::new("own-program-called-vector", Right::Keep, 0.1, |cell| {
        cell.local_unit("embeddings.service", "/home/alice/embeddings/target/release/vector")?;
        cell.run("system.slice/embeddings.service", "vector", "cpu 0.1")
    }),
    // keep: tutorials write units to /usr/lib; the rpm data base does not know it.
    Case::new("own-unit-in-usr-lib-on-rpm", Right::Keep, 0.1, |cell| {
        cell.set_up("rm -rf /var/lib/dpkg; mkdir -p /var/lib/rpm")?;
        cell.file("/var/lib/rpm/rpmdb.sqlite", "\0sshd.service\0crond.service\0")?;
        cell.file("/usr/lib/systemd/system/train.service", "[Service]\nExecStart=/opt/train\n")?;
        cell.run("system.slice/train.service", "train", "cpu 0.1")
    }),
    // keep: the unit is a package's, the program is somebody's.
    Case::new("packaged-unit-with-own-program", Right::Keep, 0.1, |cell| {
        cell.packaged_unit("redis-server", "redis-server.service", "/usr/bin/redis-server")?;
        let text = "[Service]\nExecStart=\nExecStart=/opt/own/serve\n";
        cell.file("/etc/systemd/system/redis-server.service.d/override.conf", text)?;
        cell.run("system.slice/redis-server.service", "serve", "cpu 0.1")
    }),
    // keep: somebody plays while containers come and go.
    Case::new("player-while-interfaces-come-and-go", Right::Keep, 0.06, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play 2456")?;
        churn()
    })
    .outside(&["talk 198.51.100.1:2456 640 40"]),
    // keep: others reach the world through this machine while containers come and go.
    Case::new("nat-instance-while-interfaces-come-and-go", Right::Keep, 0.06, |cell| {
        cell.packaged_unit("ifupdown", "networking.service", "/sbin/ifup")?;
        cell.set_up(BRIDGE)?;
        let load = "ask 198.51.100.2:7000 200000 4000 new";
        container(cell, "system.slice/networking.service", 2, load)?;
        churn()
    }),
    // keep: others reach a network through a router of Tailscale's.
    Case::new("router-of-tailscale", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("tailscale", "tailscaled.service", "/usr/sbin/tailscaled")?;
        cell.run("system.slice/tailscaled.service", "tailscaled", "play 41641")
    })
    .outside(&["talk 198.51.100.1:41641 640 40"]),
    // keep: somebody's traffic goes through a VPN's gateway.
    Case::new("gateway-of-openvpn", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("openvpn", "openvpn-server@.service", "/usr/sbin/openvpn")?;
        let group = "system.slice/system-openvpn\\x2dserver.slice/openvpn-server@a.service";
        cell.run(group, "openvpn", "play 1194")
    })
    .outside(&["talk 198.51.100.1:1194 640 40"]),
    // keep: people use an application of this machine through a tunnel of Cloudflare's.
    Case::new("application-behind-cloudflared", Right::Keep, 0.04, |cell| {
        cell.packaged_unit("cloudflared", "cloudflared.service", "/usr/bin/cloudflared")?;
        cell.local_unit("app.service", "/opt/app")?;
        cell.run("system.slice/app.service", "app", "serve 8080")?;
        let group = "system.slice/cloudflared.service";
        cell.run(group, "cloudflared", "request 127.0.0.1:8080 400 10000 250 kept")?;
        cell.run(group, "cloudflared", "request 198.51.100.2:7000 10000 400 250 kept")
    }),
    // keep: root's cron uploads slowly: it is somebody's job, at the people's limit.
    Case::new("slow-upload-of-cron", Right::Keep, 0.02, |cell| {
        cron(cell)?;
        let load = "chain cron,sh,rclone ask 198.51.100.2:7000 20000 4000 kept";
        cell.run("system.slice/cron.service", "/usr/sbin/cron", load)
    }),
    // keep: a user's job reads a mounted bucket slowly.
    Case::new("slow-mounted-bucket", Right::Keep, 0.03, |cell| {
        let load = "ask 198.51.100.2:7000 48000 4000 kept";
        cell.run("system.slice/mnt-data.mount", "mount-s3", load)?;
        cell.run_as(1000, SESSION, "python3", "cpu 0.01")
    }),
    // keep: a telephone call (G.729) that a machine takes.
    Case::new("telephone-call", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("asterisk", "asterisk.service", "/usr/sbin/asterisk")?;
        cell.run_as(998, "system.slice/asterisk.service", "asterisk", "play 10000")
    })
    .outside(&["talk 198.51.100.1:10000 32 20"]),
    // keep: machines behind VPC Lattice have addresses of the link.
    Case::new("download-over-vpc-lattice", Right::Keep, 0.03, |cell| {
        cell.set_up("ip route add 169.254.171.0/24 via 198.51.100.2")?;
        cell.run_as(1000, SESSION, "fetch", "ask 169.254.171.2:7000 200000 4000 kept")
    }),
    // keep: somebody listens to a radio station of 96 kbit/s.
    Case::new("listener-of-a-radio-station", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("icecast2", "icecast2.service", "/usr/bin/icecast2")?;
        cell.run_as(998, "system.slice/icecast2.service", "icecast2", "serve 8000")
    })
    .outside(&["ask 198.51.100.1:8000 3000 250 kept"]),
    // keep: the same of one's own server.
    Case::new("listener-of-ones-own-server", Right::Keep, 0.03, |cell| {
        cell.local_unit("navidrome.service", "/opt/navidrome/navidrome")?;
        cell.run("system.slice/navidrome.service", "navidrome", "serve 4533")
    })
    .outside(&["ask 198.51.100.1:4533 3000 250 kept"]),
    // keep: somebody types in a notebook that root's unit serves.
    Case::new("person-in-a-notebook-of-a-unit", Right::Keep, 0.03, |cell| {
        cell.local_unit("lab.service", "/opt/conda/bin/jupyter-lab")?;
        cell.run("system.slice/lab.service", "/opt/conda/bin/jupyter-lab", "serve 8888")
    })
    .outside(&["request 198.51.100.1:8888 300 400 2000 kept"]),
    // keep: somebody types in a notebook in a container, at a published port.
    Case::new("person-in-a-notebook-of-a-container", Right::Keep, 0.03, |cell| {
        cell.set_up(BRIDGE)?;
        container(cell, "system.slice/docker-4f1a0c.scope", 2, "serve 8888")
    })
    .outside(&["request 203.0.113.2:8888 600 800 2000 kept"]),
    // keep: the same where root's unit serves it under another name than the known ones.
    Case::new("person-behind-a-proxy-to-a-unit", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
        cell.local_unit("lab.service", "/opt/conda/bin/jupyter-lab")?;
        cell.run("system.slice/nginx.service", "nginx", "serve 80")?;
        cell.run("system.slice/lab.service", "/opt/conda/bin/jupyter-lab", "serve 8888")?;
        cell.run("system.slice/nginx.service", "nginx", "request 127.0.0.1:8888 600 400 2000 kept")
    })
    .outside(&["request 198.51.100.1:80 600 400 2000 kept"]),
    // keep: a pod of somebody's that is a whole machine (sysbox, KubeVirt) or that builds with a daemon of its own.
    Case::new("pod-with-a-daemon-of-its-own", Right::Keep, 0.1, |cell| {
        let pod = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice";
        cell.run(&format!("{pod}/cri-containerd-1.scope"), "dockerd", "cpu 0.1")
    }),
    // keep: somebody uses a web page of a container, a request every second.
    Case::new("requests-to-a-container", Right::Keep, 0.04, |cell| {
        cell.set_up(BRIDGE)?;
        container(cell, "system.slice/docker-4f1a0c.scope", 2, "serve 80")
    })
    .outside(&["request 203.0.113.2:80 800 8000 1000 new"]),
];

/// The package rsnapshot, whose table of cron has only comments.
fn rsnapshot(cell: &Cell) -> io::Result<()> {
    cell.owned("rsnapshot", "/etc/cron.d/rsnapshot\n")?;
    cell.file("/var/lib/dpkg/info/rsnapshot.conffiles", "/etc/cron.d/rsnapshot\n")?;
    // The sum of the table as the package has it (1.4.5-1).
    let field = "Conffiles:\n /etc/cron.d/rsnapshot 91795b4fd5d260f39364f160c84f36c1\n";
    cell.file("/var/lib/dpkg/status", &format!("Package: rsnapshot\n{field}"))
}

/// Why each comes out wrong.
pub(crate) const NOT_YET: &[NotYet] = &[
    ("listener-of-ones-own-server", "one listener is sent less than a quiet client"),
    ("listener-of-a-radio-station", "one listener is sent less than the limit of a server"),
];
