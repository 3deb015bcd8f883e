//! Whose bytes they are: connections long and short, datagrams, servers of packages, of people and of containers.

use std::fs;
use std::io;
use std::thread;
use std::time::Duration;

use agent_cells::case::{Case, Right};
use agent_cells::cell::Cell;
use agent_cells::process::Process;

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";

/// The cases. The address of a cell is 198.51.100.1, and a server outside is at 198.51.100.2:7000.
pub(crate) const CASES: &[Case] = &[
    Case::new("kept-connection", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask 198.51.100.2:7000 200000 4000 kept")
    }),
    Case::new("short-connections", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask 198.51.100.2:7000 200000 4000 new")
    }),
    Case::new("shorter-connections", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask 198.51.100.2:7000 20000 400 new")
    }),
    Case::new("short-connections-of-a-unit-of-root", Right::Keep, 0.02, |cell| {
        cell.local_unit("crawl.service", "/opt/crawl")?;
        cell.run("system.slice/crawl.service", "crawl", "ask 198.51.100.2:7000 200000 4000 new")
    }),
    Case::new("session-in-a-packages-server", Right::Keep, 0.02, |cell| {
        cell.packaged_unit("rstudio", "rstudio-server.service", "/usr/lib/rstudio/rserver")?;
        let group = "system.slice/rstudio-server.service";
        cell.run(group, "rserver", "sleep")?;
        cell.run_as(1000, group, "rsession", "ask 198.51.100.2:7000 40000 5000 kept")
    }),
    Case::new("packages-server-with-a-user-of-its-own", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("valheim", "valheim.service", "/usr/games/valheim")?;
        let group = "system.slice/valheim.service";
        cell.run_as(1002, group, "valheim_server", "ask 198.51.100.2:7000 40000 5000 kept")
    }),
    Case::new("download-by-roots-cron", Right::Keep, 0.02, |cell| {
        cell.packaged_unit("cron", "cron.service", "/usr/sbin/cron")?;
        let load = "chain cron,sh,wget ask 198.51.100.2:7000 25000 5000 kept";
        cell.run("system.slice/cron.service", "/usr/sbin/cron", load)
    }),
    Case::new("plex-streams", Right::Keep, 0.04, |cell| {
        let unit = "plexmediaserver.service";
        cell.packaged_unit("plexmediaserver", unit, "/usr/lib/plexmediaserver/plex")?;
        cell.run_as(998, "system.slice/plexmediaserver.service", "Plex", "serve 32400")
    })
    .outside(&["ask 198.51.100.1:32400 250000 250 kept"]),
    Case::new("smbd-serves", Right::Keep, 0.04, |cell| {
        cell.packaged_unit("samba", "smbd.service", "/usr/sbin/smbd")?;
        cell.run("system.slice/smbd.service", "smbd", "serve 445")
    })
    .outside(&["ask 198.51.100.1:445 250000 250 kept"]),
    Case::new("web-server-with-short-connections", Right::Keep, 0.02, |cell| {
        cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
        cell.run("system.slice/nginx.service", "nginx", "serve 80")
    })
    .outside(&["ask 198.51.100.1:80 200000 2000 new"]),
    Case::new("mounted-bucket", Right::Keep, 0.04, |cell| {
        cell.run(
            "system.slice/mnt-data.mount",
            "mount-s3",
            "ask 198.51.100.2:7000 250000 250 kept",
        )?;
        cell.run_as(1000, SESSION, "python3", "cpu 0.01")
    }),
    Case::new("exporter-of-a-made-user", Right::Stop, 0.02, |cell| {
        cell.local_unit("node_exporter.service", "/usr/local/bin/node_exporter")?;
        let group = "system.slice/node_exporter.service";
        cell.run_as(1001, group, "/usr/local/bin/node_exporter", "serve 9100")
    })
    .outside(&["ask 198.51.100.1:9100 64000 15000 kept"]),
    Case::new("exporter-of-a-system-user", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("node-exporter", "node_exporter.service", "/usr/bin/node_exporter")?;
        cell.run_as(998, "system.slice/node_exporter.service", "node_exporter", "serve 9100")
    })
    .outside(&["ask 198.51.100.1:9100 64000 15000 kept"]),
    Case::new("logins-by-brute-force", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("openssh-server", "ssh.service", "/usr/sbin/sshd")?;
        cell.run("system.slice/ssh.service", "/usr/sbin/sshd", "serve 22")
    })
    .outside(&["ask 198.51.100.1:22 3000 500 new"]),
    Case::new("tab-that-refreshes-kept", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "streamlit", "serve 8501")
    })
    .outside(&["ask 198.51.100.1:8501 50000 5000 kept"])
    .longer(),
    Case::new("tab-that-refreshes-anew", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "streamlit", "serve 8501")
    })
    .outside(&["ask 198.51.100.1:8501 50000 5000 new"])
    .longer(),
    Case::new("game-with-a-player", Right::Keep, 0.02, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play 2456")
    })
    .outside(&["talk 198.51.100.1:2456 640 40"]),
    Case::new("game-of-root-with-a-player", Right::Keep, 0.02, |cell| {
        cell.local_unit("valheim.service", "/opt/valheim/start")?;
        cell.run("system.slice/valheim.service", "valheim_server", "play 2456")
    })
    .outside(&["talk 198.51.100.1:2456 640 40"]),
    Case::new("game-without-a-player", Right::Stop, 0.02, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play 2456")
    }),
    Case::new("download-by-quic", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "firefox", "talk 198.51.100.2:7000 1200 30")
    }),
    Case::new("telemetry-sent-by-datagrams", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "streamer", "shout 198.51.100.2:9 1200 30")
    }),
    Case::new("name-and-time-look-ups", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("chrony", "chrony.service", "/usr/sbin/chronyd")?;
        cell.run_as(115, "system.slice/chrony.service", "chronyd", "talk 198.51.100.2:7000 48 1000")
    }),
    Case::new("scans-of-closed-ports", Right::Stop, 0.02, |_| Ok(()))
        .outside(&["shout 198.51.100.1:5353 60 200", "ask 198.51.100.1:23 10 500 new"]),
    Case::new("short-connections-by-ipv6", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask [2001:db8::2]:7000 200000 4000 new")
    }),
    Case::new("kept-connection-by-ipv6", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask [2001:db8::2]:7000 200000 4000 kept")
    }),
    Case::new("container-with-a-network-of-its-own", Right::Keep, 0.02, |cell| {
        let line = "ask 198.51.100.2:7000 200000 4000 new";
        container(cell, line)
    }),
    Case::new("container-that-serves", Right::Keep, 0.02, |cell| container(cell, "serve 80"))
        .outside(&["ask 203.0.113.2:80 200000 4000 new"]),
    Case::new("container-that-is-idle", Right::Stop, 0.02, |cell| container(cell, "serve 80"))
        .outside(&["ask 203.0.113.2:80 100 5000 new"]),
    Case::new("container-with-a-player", Right::Keep, 0.02, |cell| container(cell, "play 2456"))
        .outside(&["talk 203.0.113.2:2456 640 40"]),
    Case::new("jump-host", Right::Keep, 0.02, |_| {
        Process::new(SESSION, "sshd", "ask 198.51.100.2:7000 200000 4000 kept")
            .uid(1000)
            .arguments(&["alice@notty"])
            .start()
    }),
    Case::new("stream-that-is-taken-in", Right::Keep, 0.02, |cell| {
        cell.run_as(1000, SESSION, "ffmpeg", "hear 5004")
    })
    .outside(&["shout 198.51.100.1:5004 1200 30"]),
    Case::new("exporter-asked-on-new-connections", Right::Stop, 0.02, |cell| {
        cell.local_unit("node_exporter.service", "/usr/local/bin/node_exporter")?;
        let group = "system.slice/node_exporter.service";
        cell.run_as(1001, group, "/usr/local/bin/node_exporter", "serve 9100")
    })
    .outside(&["ask 198.51.100.1:9100 64000 15000 new"]),
    Case::new("health-checks", Right::Stop, 0.02, |cell| {
        cell.local_unit("app.service", "/opt/app")?;
        cell.run("system.slice/app.service", "app", "serve 8080")
    })
    .outside(&["ask 198.51.100.1:8080 500 2500 new", "ask 198.51.100.1:8080 500 2500 new"]),
    Case::new("shipped-logs", Right::Stop, 0.02, |cell| {
        cell.packaged_unit("fluent-bit", "fluent-bit.service", "/opt/fluent-bit/bin/fluent-bit")?;
        let group = "system.slice/fluent-bit.service";
        cell.run(group, "fluent-bit", "ask 198.51.100.2:7000 60000 10000 new")
    }),
];

/// A container behind a bridge, with a network of its own that is reached through the machine.
fn container(cell: &Cell, load: &str) -> io::Result<()> {
    const GROUP: &str = "system.slice/docker-4f1a0c.scope";
    let line = format!(
        "exec unshare --net sh -c 'echo $$ > /tmp/container; while \
         ! ip link show eth1 >/dev/null 2>&1; do sleep 0.1; done; ip address add 203.0.113.2/24 dev eth1; \
         ip link set eth1 up; ip link set lo up; ip route add default via 203.0.113.1; \
         CELL_PART=\"load {load}\" exec /opt/cell/part'"
    );
    Process::shell(GROUP, &line).start()?;
    let mut pid = String::new();
    for _ in 0..100 {
        pid = fs::read_to_string("/tmp/container").unwrap_or_default();
        if pid.ends_with('\n') {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let line = format!(
        "set -e; echo 1 > /proc/sys/net/ipv4/ip_forward; ip link add docker0 type bridge; \
         ip link add veth0 type veth peer name eth1 netns {}; ip link set veth0 master docker0; \
         ip address add 203.0.113.1/24 dev docker0; ip link set veth0 up; ip link set docker0 up",
        pid.trim()
    );
    cell.set_up(&line)
}
