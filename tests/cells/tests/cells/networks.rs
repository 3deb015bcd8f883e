//! Whose bytes they are: connections long and short, datagrams, servers of packages, of people and of containers.

use agent_cells::case::{Case, Right};

const SESSION: &str = "user.slice/user-1000.slice/session-3.scope";

/// The cases. The address of a cell is 198.51.100.1, and a server outside is at 198.51.100.2:7000.
pub(crate) const CASES: &[Case] = &[
    Case::new("kept-connection", Right::Keep, 0.03, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask 198.51.100.2:7000 200000 4000 kept")
    }),
    Case::new("short-connections", Right::Keep, 0.03, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask 198.51.100.2:7000 200000 4000 new")
    }),
    Case::new("shorter-connections", Right::Keep, 0.05, |cell| {
        cell.run_as(1000, SESSION, "crawler", "ask 198.51.100.2:7000 20000 400 new")
    }),
    Case::new("short-connections-of-a-unit-of-root", Right::Keep, 0.03, |cell| {
        cell.local_unit("crawl.service", "/opt/crawl")?;
        cell.run("system.slice/crawl.service", "crawl", "ask 198.51.100.2:7000 200000 4000 new")
    }),
    Case::new("plex-streams", Right::Keep, 0.06, |cell| {
        let unit = "plexmediaserver.service";
        cell.packaged_unit("plexmediaserver", unit, "/usr/lib/plexmediaserver/plex")?;
        cell.run_as(998, "system.slice/plexmediaserver.service", "Plex", "serve 32400")
    })
    .outside(&["ask 198.51.100.1:32400 250000 250 kept"]),
    Case::new("smbd-serves", Right::Keep, 0.06, |cell| {
        cell.packaged_unit("samba", "smbd.service", "/usr/sbin/smbd")?;
        cell.run("system.slice/smbd.service", "smbd", "serve 445")
    })
    .outside(&["ask 198.51.100.1:445 250000 250 kept"]),
    Case::new("web-server-with-short-connections", Right::Keep, 0.05, |cell| {
        cell.packaged_unit("nginx", "nginx.service", "/usr/sbin/nginx")?;
        cell.run("system.slice/nginx.service", "nginx", "serve 80")
    })
    .outside(&["ask 198.51.100.1:80 200000 2000 new"]),
    Case::new("mounted-bucket", Right::Keep, 0.07, |cell| {
        cell.run(
            "system.slice/mnt-data.mount",
            "mount-s3",
            "ask 198.51.100.2:7000 250000 250 kept",
        )?;
        cell.run_as(1000, SESSION, "python3", "cpu 0.01")
    }),
    Case::new("exporter-of-a-made-user", Right::Stop, 0.03, |cell| {
        cell.local_unit("node_exporter.service", "/usr/local/bin/node_exporter")?;
        let group = "system.slice/node_exporter.service";
        cell.run_as(1001, group, "/usr/local/bin/node_exporter", "serve 9100")
    })
    .outside(&["ask 198.51.100.1:9100 64000 15000 kept"]),
    Case::new("exporter-of-a-system-user", Right::Stop, 0.03, |cell| {
        cell.packaged_unit("node-exporter", "node_exporter.service", "/usr/bin/node_exporter")?;
        cell.run_as(998, "system.slice/node_exporter.service", "node_exporter", "serve 9100")
    })
    .outside(&["ask 198.51.100.1:9100 64000 15000 kept"]),
    Case::new("logins-by-brute-force", Right::Stop, 0.05, |cell| {
        cell.packaged_unit("openssh-server", "ssh.service", "/usr/sbin/sshd")?;
        cell.run("system.slice/ssh.service", "/usr/sbin/sshd", "serve 22")
    })
    .outside(&["ask 198.51.100.1:22 3000 500 new"]),
    Case::new("tab-that-refreshes-kept", Right::Keep, 0.03, |cell| {
        cell.run_as(1000, SESSION, "streamlit", "serve 8501")
    })
    .outside(&["ask 198.51.100.1:8501 50000 5000 kept"]),
    Case::new("tab-that-refreshes-anew", Right::Keep, 0.03, |cell| {
        cell.run_as(1000, SESSION, "streamlit", "serve 8501")
    })
    .outside(&["ask 198.51.100.1:8501 50000 5000 new"]),
    Case::new("game-with-a-player", Right::Keep, 0.05, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play 2456")
    })
    .outside(&["talk 198.51.100.1:2456 640 40"]),
    Case::new("game-of-root-with-a-player", Right::Keep, 0.05, |cell| {
        cell.local_unit("valheim.service", "/opt/valheim/start")?;
        cell.run("system.slice/valheim.service", "valheim_server", "play 2456")
    })
    .outside(&["talk 198.51.100.1:2456 640 40"]),
    Case::new("game-without-a-player", Right::Stop, 0.03, |cell| {
        cell.local_unit("valheim.service", "/home/valheim/start")?;
        cell.run_as(1002, "system.slice/valheim.service", "valheim_server", "play 2456")
    }),
    Case::new("download-by-quic", Right::Keep, 0.05, |cell| {
        cell.run_as(1000, SESSION, "firefox", "talk 198.51.100.2:7000 1200 30")
    }),
    Case::new("telemetry-sent-by-datagrams", Right::Keep, 0.05, |cell| {
        cell.run_as(1000, SESSION, "streamer", "shout 198.51.100.2:9 1200 30")
    }),
    Case::new("name-and-time-look-ups", Right::Stop, 0.03, |cell| {
        cell.packaged_unit("chrony", "chrony.service", "/usr/sbin/chronyd")?;
        cell.run_as(115, "system.slice/chrony.service", "chronyd", "talk 198.51.100.2:7000 48 1000")
    }),
    Case::new("scans-of-closed-ports", Right::Stop, 0.03, |_| Ok(()))
        .outside(&["shout 198.51.100.1:5353 60 200", "ask 198.51.100.1:23 10 500 new"]),
];
