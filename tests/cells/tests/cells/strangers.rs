//! Ways of work and kinds of rest that were thought of by somebody who had not written the rules. Each was labelled before
//! it was run, with the reason in its comment.

pub(crate) mod kept;
pub(crate) mod stopped;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::Duration;

use agent_cells::case::{Case, Right};
use agent_cells::cell::Cell;
use agent_cells::process::Process;

pub(crate) const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";

/// Those that came out right and are least like the others.
pub(crate) const CASES: &[Case] = &[
    // stop: what a package's own table runs is its upkeep, however the shell runs it.
    Case::new("job-of-a-packages-table", Right::Stop, 0.075, |cell| {
        script(cell, "/usr/share/awstats/update.sh", "cpu 0.07")?;
        let command = "[ -x /usr/share/awstats/update.sh ] && /usr/share/awstats/update.sh";
        cell.file("/etc/cron.d/awstats", &format!("*/10 * * * * root {command}\n"))?;
        cell.owned("awstats", "/etc/cron.d/awstats\n")?;
        cron(cell)?;
        let load = format!("chain cron shell {command}");
        cell.run("system.slice/cron.service", "/usr/sbin/cron", &load)
    }),
    // keep: a script in /etc/cron.daily that no package brought, by anacron's own unit.
    Case::new("anacron-script-made-here", Right::Keep, 0.075, |cell| {
        script(cell, "/etc/cron.daily/backup", "cpu 0.07")?;
        cell.packaged_unit("anacron", "anacron.service", "/usr/sbin/anacron")?;
        let load = "chain anacron shell run-parts /etc/cron.daily";
        cell.run("system.slice/anacron.service", "/usr/sbin/anacron", load)
    }),
    // stop: a package's data base whose user happens to be an ordinary one.
    Case::new("packaged-server-of-an-ordinary-uid", Right::Stop, 0.1, |cell| {
        cell.packaged_unit("postgresql-15", "postgresql@.service", "/usr/bin/pg_ctlcluster")?;
        let group = "system.slice/system-postgresql.slice/postgresql@15-main.service";
        cell.run_as(1003, group, "postgres", "cpu 0.1")
    }),
    // keep: the kernel of a user below a hub of root's.
    Case::new("kernel-below-jupyterhub", Right::Keep, 0.075, |cell| {
        cell.local_unit("jupyterhub.service", "/opt/hub/bin/jupyterhub")?;
        cell.run("system.slice/jupyterhub.service", "jupyterhub", "sleep")?;
        let load = "chain python3 cpu 0.07";
        cell.run_as(1000, "system.slice/jupyterhub.service", "jupyterhub-singleuser", load)
    }),
    // keep: a pod where containerd was not told that the groups are systemd's.
    Case::new("pod-below-containerd", Right::Keep, 0.075, |cell| {
        cell.packaged_unit("containerd", "containerd.service", "/usr/bin/containerd")?;
        let pod = "kubepods-burstable-pod1f.slice:cri-containerd:77";
        cell.run(&format!("system.slice/containerd.service/{pod}"), "etl", "cpu 0.07")
    }),
    // stop: a node of EKS without anybody's pod; its units have a slice of their own.
    Case::new("node-of-eks-at-rest", Right::Stop, 0.1, |cell| {
        cell.local_unit("kubelet.service", "/usr/bin/kubelet")?;
        cell.packaged_unit("containerd", "containerd.service", "/usr/bin/containerd")?;
        cell.run("runtime.slice/kubelet.service", "kubelet", "cpu 0.04")?;
        cell.run("runtime.slice/containerd.service", "containerd", "cpu 0.03")?;
        let pod = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice";
        cell.run(&format!("{pod}/cri-containerd-1.scope"), "aws-k8s-agent", "cpu 0.01")?;
        cell.run(&format!("{pod}/cri-containerd-2.scope"), "kube-proxy", "cpu 0.01")
    }),
    // keep: others reach the world through this machine.
    Case::new("nat-instance", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("ifupdown", "networking.service", "/sbin/ifup")?;
        cell.set_up(BRIDGE)?;
        container(
            cell,
            "system.slice/networking.service",
            2,
            "ask 198.51.100.2:7000 200000 4000 new",
        )
    }),
    // keep: thirty users with a little each.
    Case::new("thirty-users-share-a-download", Right::Keep, 0.05, |cell| {
        for uid in 2000..2030 {
            let group = format!("user.slice/user-{uid}.slice/session-{uid}.scope");
            cell.run_as(uid, &group, "fetch", "ask 198.51.100.2:7000 500 4000 kept")?;
        }
        Ok(())
    }),
    // keep: the same with a download.
    Case::new("download-over-a-cable-that-flaps", Right::Keep, 0.05, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask 198.51.100.2:7000 200000 2000 new")?;
        flap()
    }),
    // keep: the same game with a player by IPv6.
    Case::new("player-by-ipv6", Right::Keep, 0.03, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play 2456")
    })
    .outside(&["talk [2001:db8::1]:2456 640 40"]),
    // stop: a fast scan.
    Case::new("fast-scan", Right::Stop, 0.03, |_| Ok(())).outside(&[
        "ask 198.51.100.1:23 10 20 new",
        "ask 198.51.100.1:445 10 20 new",
        "shout 198.51.100.1:5353 200 20",
    ]),
    // stop: an idle agent of Buildkite, an idle data base with a pool of twenty connections that are pinged.
    Case::new("pool-of-a-data-base", Right::Stop, 0.05, |cell| {
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
    // keep: somebody types in a web IDE of alice's behind nginx.
    Case::new("person-behind-a-proxy", Right::Keep, 0.03, |cell| {
        cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
        cell.run("system.slice/nginx.service", "nginx", "serve 80")?;
        cell.run_as(1000, SESSION, "streamlit", "serve 8080")?;
        cell.run("system.slice/nginx.service", "nginx", "request 127.0.0.1:8080 300 400 2000 kept")
    })
    .outside(&["request 198.51.100.1:80 300 400 2000 kept"]),
    // keep: a container for each download, as builds have them.
    Case::new("containers-that-download-and-end", Right::Keep, 0.06, |cell| {
        cell.set_up(BRIDGE)?;
        short_containers()
    }),
    // keep: ten small requests a second to somebody's own server.
    Case::new("many-small-requests", Right::Keep, 0.03, |cell| {
        cell.local_unit("api.service", "/opt/api")?;
        cell.run("system.slice/api.service", "api", "serve 8080")
    })
    .outside(&["request 198.51.100.1:8080 400 3000 100 new"]),
];

/// A table with a daily job in twenty minutes by the clock of a zone.
pub(crate) fn due(cell: &Cell, zone: &str, table: &str, command: &str) -> io::Result<()> {
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
pub(crate) fn script(cell: &Cell, path: &str, load: &str) -> io::Result<()> {
    cell.file(path, &format!("#!/bin/sh\nCELL_PART='load {load}' /opt/cell/part\n:\n"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

pub(crate) fn cron(cell: &Cell) -> io::Result<()> {
    cell.packaged_unit("cron", "cron.service", "/usr/sbin/cron")
}

/// A detached tmux of alice with a program of this name.
pub(crate) fn tmux(cell: &Cell, name: &str, arguments: &str, cores: f64) -> io::Result<()> {
    cell.set_up(&format!("ln -sf ../part /opt/cell/as/{name}"))?;
    let group = "user.slice/user-1000.slice/user@1000.service/tmux-spawn-1.scope";
    let line = format!("CELL_PART=\"load cpu {cores}\" exec /opt/cell/as/{name} {arguments}");
    let line = format!("TERM=xterm tmux -S /tmp/tmux new-session -d '{line}'");
    Process::shell(group, &line).uid(1000).start()?;
    hurry(group)
}

/// The server of tmux has a session of its own, which is scheduled by itself; loads must get what they are to use.
pub(crate) fn hurry(group: &str) -> io::Result<()> {
    let line = format!(
        "sleep 3; for n in 1 2 3; do for p in $(cat /sys/fs/cgroup/{group}/cgroup.procs); do \
         echo -15 > /proc/$p/autogroup 2>/dev/null; done; sleep 1; done"
    );
    Process::shell("init.scope", &line).start()
}

/// Containers that live for a download of 300 kB each.
pub(crate) fn short_containers() -> io::Result<()> {
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
pub(crate) fn churn() -> io::Result<()> {
    let line = "n=0; while :; do n=$((n+1)); ip link add churn$n type veth peer name peer$n; sleep 1.3; ip link del churn$n; done";
    Process::shell("system.slice/docker.service", line).start()
}

pub(crate) fn flap() -> io::Result<()> {
    let line = "while :; do sleep 5; ip link set eth0 down; sleep 1; ip link set eth0 up; ip address add 198.51.100.1/24 dev eth0 2>/dev/null; ip route add default via 198.51.100.2; done";
    Process::shell("system.slice/networking.service", line).start()
}

/// A bridge for containers, through which they reach the world.
pub(crate) const BRIDGE: &str = "echo 1 > /proc/sys/net/ipv4/ip_forward; ip link add docker0 type bridge; \
                      ip address add 203.0.113.1/24 dev docker0; ip link set docker0 up";

/// Starts a load in a network namespace of its own, once it has an interface `eth1`; its process.
pub(crate) fn apart(
    group: &str,
    address: &str,
    gateway: &str,
    load: &str,
    file: &str,
) -> io::Result<String> {
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

pub(crate) fn container(cell: &Cell, group: &str, number: u8, load: &str) -> io::Result<()> {
    let address = format!("203.0.113.{number}");
    let pid = apart(group, &address, "203.0.113.1", load, &format!("/tmp/container{number}"))?;
    cell.set_up(&format!(
        "set -e; ip link add veth{number} type veth peer name eth1 netns {pid}; \
         ip link set veth{number} master docker0; ip link set veth{number} up"
    ))
}
