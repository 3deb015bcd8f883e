//! C: the machine's own life, services, strangers, and things that must not be interrupted.

use crate::scenario::{Event, History, Kind, Profile, Scenario, scene};
use crate::signals::{Left, Place, Service, Signals};

/// The group.
pub(super) fn all() -> Vec<Scenario> {
    let mut all = boot_and_updates();
    all.extend(setups());
    all.extend(agents());
    all.extend(regular_noise());
    all.extend(services());
    all.extend(containers());
    all.extend(leftovers());
    all.extend(intent());
    all
}

fn boot_and_updates() -> Vec<Scenario> {
    vec![
        scene("C01", "untouched instance after boot", 600)
            .after(History::FreshBoot)
            .during(0.0, 1.2, |s| {
                s.sys_cpu = 1.2;
                s.disk = 2e7;
                s.net = 60_000.0;
            })
            .work(0.0, 10.0, Kind::Arrival),
        scene("C02", "boot; its user logs in after 20 min and works 30 min", 600)
            .after(History::FreshBoot)
            .during(0.0, 1.0, |s| {
                s.sys_cpu = 1.0;
                s.net = 50_000.0;
            })
            .during(20.0, 50.0, Signals::shell)
            .typing(20.0, 50.0, 0.4)
            .work(0.0, 20.0, Kind::Arrival)
            .human(20.0, 50.0),
        scene("C03", "long idle, then unattended-upgrades 12 min (dpkg) at idle minute 25-37", 600)
            .during(25.0, 37.0, |s| {
                s.sys_cpu = 0.9;
                s.dpkg = true;
                s.disk = 8e6;
                s.net = 4e5;
            })
            .work(25.0, 37.0, Kind::Hold),
    ]
}

fn setups() -> Vec<Scenario> {
    vec![
        scene("C04", "cloud-init installs for 50 min, now and then without a trace", 600)
            .after(History::FreshBoot)
            .during(0.0, 50.0, |s| s.cloudinit = true)
            .bursts(0.0, 50.0, 600, 60, |s| {
                s.cloudinit = true;
                s.sys_cpu = 0.8;
                s.net = 2e5;
            })
            .work(0.0, 50.0, Kind::Hold),
        scene("C10", "apt stuck with its lock for 8 h: protected for 2 h (a choice)", 700)
            .during(0.0, 480.0, |s| s.dpkg = true)
            .work(0.0, 120.0, Kind::Hold),
        scene("C18", "logrotate and man-db: 40 s of a core and 30 MB/s of the system", 500).bursts(
            20.0,
            500.0,
            7200,
            40,
            |s| {
                s.sys_cpu = 1.0;
                s.disk = 3e7;
            },
        ),
    ]
}

fn agents() -> Vec<Scenario> {
    vec![
        scene("C05", "WireGuard/Tailscale chatter 2 KB/s", 600).always(|s| {
            s.net = 2450.0;
            s.pkts = 12.0;
            s.sys_cpu = 0.03;
        }),
        scene("C08", "brute force on ssh: 6 KB/s, 25 packets/s, 10 h", 600).always(|s| {
            s.net = 6450.0;
            s.pkts = 25.0;
            s.sys_cpu = 0.05;
        }),
        scene("C09", "SSM+CloudWatch+Datadog agents: 0.04 core of 2, 3 KB/s", 600).cpus(2).always(
            |s| {
                s.net = 3450.0;
                s.pkts = 10.0;
                s.sys_cpu = 0.06;
            },
        ),
        scene("C12", "the system's cron every 5 min: a burst of 3 s", 600).bursts(
            0.0,
            600.0,
            300,
            10,
            |s| s.sys_cpu = 0.32,
        ),
    ]
}

fn regular_noise() -> Vec<Scenario> {
    vec![
        scene("C14", "Prometheus scrapes every 15 s, 2 KB/s, network card enp39s0", 600).always(
            |s| {
                s.net = 2450.0;
                s.pkts = 8.0;
                s.sys_cpu = 0.03;
                s.estab_app = 1;
                s.odd_card = true;
            },
        ),
        scene("C20", "CloudWatch agent: 10 s of 0.3 core every minute, 10 h", 600).bursts(
            0.0,
            600.0,
            60,
            10,
            |s| {
                s.sys_cpu = 0.3;
                s.net = 5000.0;
            },
        ),
        scene("C44", "monitoring logs in over ssh every 5 min for 10 s, 10 h", 600).bursts(
            0.0,
            600.0,
            300,
            10,
            |s| {
                s.ssh_notty = 1;
                s.ssh_estab = 1;
                s.user_cpu = 0.06;
            },
        ),
        scene("C22", "a user's crontab every 5 min: 1 s of a core", 600).bursts(
            0.0,
            600.0,
            300,
            10,
            |s| s.user_cpu = 0.1,
        ),
    ]
}

fn services() -> Vec<Scenario> {
    vec![
        scene("C06", "Postgres with a pool of idle connections, profile \"research\"", 600)
            .cpus(4)
            .always(|s| {
                s.net = 3450.0;
                s.pkts = 20.0;
                s.service = Service::Server;
                s.sys_cpu = 0.03;
                s.estab_app = 20;
                s.svc_req = 0.2;
            }),
        scene("C07", "same Postgres, profile \"service\": must stay up", 480)
            .cpus(4)
            .under(Profile::Service)
            .always(|s| {
                s.net = 3450.0;
                s.pkts = 20.0;
                s.service = Service::Server;
                s.sys_cpu = 0.03;
                s.estab_app = 20;
                s.svc_req = 0.2;
            })
            .keep(),
        scene("C15", "web service, 2 req/s, 0.05 core of 4, profile \"service\"", 480)
            .cpus(4)
            .under(Profile::Service)
            .always(|s| {
                s.net = 9000.0;
                s.pkts = 30.0;
                s.service = Service::Server;
                s.sys_cpu = 0.05;
                s.estab_app = 3;
                s.svc_req = 2.0;
            })
            .keep(),
    ]
}

fn containers() -> Vec<Scenario> {
    vec![
        scene("C16", "five idle containers with health checks, 0.012 core", 600).always(|s| {
            s.user_cpu = 0.012;
            s.place = Place::Container;
            s.net = 700.0;
        }),
        scene("C38", "an idle container writes its log at 100 KB/s", 600).always(|s| {
            s.user_cpu = 0.01;
            s.place = Place::Container;
            s.disk = 1.06e5;
            s.disk_user = 1e5;
        }),
        scene("C40", "an idle machine with a full memory: 4 % of the time waits for it", 600)
            .always(|s| {
                s.mem_full = 4.0;
                s.disk = 2e5;
            }),
        scene("C42", "idle containers, 0.015 core, and a neighbour that takes 0.1", 600)
            .cpus(2)
            .always(|s| {
                s.user_cpu = 0.015;
                s.place = Place::Container;
                s.steal = 0.1;
            }),
        scene("C24", "an idle service with dirty pages: the system writes 400 KB/s", 600).always(
            |s| {
                s.disk = 4e5;
                s.service = Service::Server;
                s.sys_cpu = 0.04;
            },
        ),
    ]
}

fn leftovers() -> Vec<Scenario> {
    vec![
        scene("C11", "ext4lazyinit/md resync by kernel threads 20 MB/s 40 min, nobody there", 600)
            .during(0.0, 40.0, |s| {
                s.kthr = 0.06;
                s.iowait = 0.3;
                s.disk = 2e7;
            }),
        scene("C13", "detached tmux, three idle shells, 10 h", 600).always(|s| {
            s.tmux = true;
            s.pts = 3;
        }),
        scene("C17", "runaway IDE helper (tsserver/rg) 1 core of 8, no client, 10 h", 600).always(
            |s| {
                s.vscode_srv = true;
                s.ide_cpu = 1.0;
            },
        ),
        scene("C36", "a noisy neighbour takes 0.5 core of a machine that nobody uses", 600)
            .cpus(2)
            .always(|s| s.steal = 0.5),
        scene("C26", "idle GPU machine, a desktop draws its clock: graphics only, 3 %", 600)
            .always(|s| {
                s.gfx = true;
                s.gpu(1, 3.0);
                s.user_cpu = 0.01;
            }),
    ]
}

fn intent() -> Vec<Scenario> {
    vec![
        scene("C28", "a backup holds an inhibitor for 3 h and waits", 600)
            .during(0.0, 180.0, |s| s.inhibit = true)
            .work(0.0, 180.0, Kind::Hold),
        scene("C30", "an inhibitor is forgotten: protected for 24 h (a choice)", 1700)
            .always(|s| s.inhibit = true)
            .work(0.0, 1440.0, Kind::Hold),
        scene("C32", "hold of 2 h by a user, nothing else", 500)
            .event(5.0, Event::Hold(7200))
            .work(0.0, 125.0, Kind::Hold),
        scene("C34", "a user's timer is due in 60 min and runs 15 min", 500)
            .during(0.0, 60.0, |s| s.timer_at = Some(3600))
            .during(60.0, 75.0, |s| {
                s.user_cpu = 2.0;
                s.place = Place::UserUnit;
                s.left = Left::SystemdRun;
            })
            .job(0.0, 75.0),
    ]
}
