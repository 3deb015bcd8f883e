//! A: people at the machine, and people who left something open.

use crate::scenario::{Scenario, scene};
use crate::signals::{Desktop, Foreground, Jupyter};

/// The group.
pub fn all() -> Vec<Scenario> {
    let mut all = terminals();
    all.extend(terminals_without_a_person());
    all.extend(connections());
    all.extend(editors());
    all.extend(notebooks());
    all.extend(desktops());
    all
}

fn terminals() -> Vec<Scenario> {
    vec![
        scene("A01", "typing over ssh (bash/vim) 60 min, logout", 600)
            .during(0.0, 60.0, |s| {
                s.shell();
                s.net = 900.0;
            })
            .typing(0.0, 60.0, 0.4)
            .human(0.0, 60.0),
        scene("A02", "vim over mosh 90 min: UDP, no connection of ssh", 600)
            .during(0.0, 90.0, |s| {
                s.who = 1;
                s.pts = 1;
                s.user_cpu = 0.01;
                s.net = 800.0;
                s.fg = Foreground::Editor;
            })
            .typing(0.0, 90.0, 0.5)
            .human(0.0, 90.0),
        scene("A03", "thinking: ssh prompt, input every 25 min, 2 h, logout", 600)
            .during(0.0, 125.0, |s| {
                s.ssh();
                s.rx_client = 2.0;
            })
            .typing(0.0, 125.0, 25.0)
            .human(0.0, 125.0),
        scene("A08", "reading man pages in less, a key every 12 min, 2 h", 600)
            .during(0.0, 120.0, |s| {
                s.ssh();
                s.fg = Foreground::Display;
                s.rx_client = 2.0;
            })
            .typing(0.0, 120.0, 12.0)
            .human(0.0, 120.0),
        scene("A10", "typing in an SSM session 45 min, closed", 600)
            .during(0.0, 45.0, |s| {
                s.pts = 1;
                s.ssm = true;
                s.user_cpu = 0.02;
            })
            .typing(0.0, 45.0, 0.5)
            .human(0.0, 45.0),
        scene("A28", "two people: one forgot a prompt, one types for 2 h", 700)
            .during(0.0, 700.0, |s| {
                s.ssh();
                s.rx_client = 2.0;
            })
            .during(0.0, 120.0, |s| {
                s.who = 2;
                s.pts = 2;
                s.ssh_pts = 2;
                s.ssh_estab = 2;
                s.user_cpu = 0.03;
                s.rx_client = 40.0;
            })
            .typing(0.0, 120.0, 0.4)
            .human(0.0, 120.0),
        scene("A30", "on the phone for 50 min beside an open prompt, then typing again", 600)
            .during(0.0, 80.0, |s| {
                s.ssh();
                s.rx_client = 2.0;
            })
            .typing(0.0, 5.0, 0.4)
            .typing(55.0, 80.0, 0.4)
            .human(0.0, 80.0),
        scene("A32", "typing on the serial console 40 min", 500)
            .during(0.0, 40.0, |s| {
                s.who = 1;
                s.pts = 1;
                s.user_cpu = 0.01;
            })
            .typing(0.0, 40.0, 1.0)
            .human(0.0, 40.0),
    ]
}

fn terminals_without_a_person() -> Vec<Scenario> {
    vec![
        scene("A05", "abandoned ssh with htop/watch redrawing, 10 h", 610)
            .during(0.0, 10.0, |s| {
                s.ssh();
                s.user_cpu = 0.03;
            })
            .during(10.0, 610.0, |s| {
                s.ssh();
                s.user_cpu = 0.02;
                s.net = 1400.0;
                s.fg = Foreground::Display;
            })
            .typing(0.0, 9.6, 0.4)
            .human(0.0, 10.0),
        scene("A06", "vim left open over ssh after 15 min, 10 h (a choice)", 620)
            .during(0.0, 620.0, |s| {
                s.ssh();
                s.fg = Foreground::Editor;
                s.rx_client = 2.0;
            })
            .typing(0.0, 15.0, 0.5)
            .human(0.0, 15.0),
        scene("A07", "fg job in ssh, 0.4 core of 16, user away 3 h, then prompt left open", 700)
            .cpus(16)
            .during(0.0, 5.0, |s| s.ssh())
            .during(5.0, 185.0, |s| {
                s.ssh();
                s.user_cpu = 0.4;
                s.fg = Foreground::Job;
            })
            .during(185.0, 700.0, |s| s.ssh())
            .typing(0.0, 4.8, 0.4)
            .job(0.0, 185.0),
        scene("A44", "ssh: a silent job in the foreground waits 150 min for another machine", 700)
            .during(0.0, 5.0, |s| s.ssh())
            .during(5.0, 150.0, |s| {
                s.ssh();
                s.fg = Foreground::Job;
            })
            .typing(0.0, 5.0, 0.5)
            .job(0.0, 150.0),
        scene("A46", "ssh: a job in the foreground hangs: protected for 4 h (a choice)", 700)
            .during(0.0, 5.0, |s| s.ssh())
            .during(5.0, 700.0, |s| {
                s.ssh();
                s.fg = Foreground::Job;
            })
            .typing(0.0, 5.0, 0.5)
            .job(0.0, 240.0),
        scene("A09", "SSM session abandoned; service closes it after 20 min", 600)
            .during(0.0, 10.0, |s| {
                s.pts = 1;
                s.ssm = true;
                s.user_cpu = 0.02;
            })
            .during(10.0, 30.0, |s| {
                s.pts = 1;
                s.ssm = true;
            })
            .typing(0.0, 9.5, 0.5)
            .human(0.0, 10.0),
        scene(
            "A23",
            "attached tmux over ssh, typing 40 min, then network drop (detached), idle shells",
            650,
        )
        .during(0.0, 40.0, |s| {
            s.shell();
            s.pts = 3;
            s.tmux = true;
        })
        .during(40.0, 650.0, |s| {
            s.pts = 2;
            s.tmux = true;
        })
        .typing(0.0, 40.0, 0.4)
        .human(0.0, 40.0),
        scene("A34", "GNU screen detached after 30 min of typing, shells idle", 600)
            .during(0.0, 30.0, |s| {
                s.shell();
                s.pts = 2;
                s.tmux = true;
            })
            .during(30.0, 600.0, |s| {
                s.pts = 1;
                s.tmux = true;
            })
            .typing(0.0, 30.0, 0.5)
            .human(0.0, 30.0),
    ]
}

fn connections() -> Vec<Scenario> {
    vec![
        scene("A04", "ssh -T host job: no terminal, 0.3 core, 2 h", 600)
            .during(0.0, 120.0, |s| {
                s.ssh_notty = 1;
                s.ssh_estab = 1;
                s.user_cpu = 0.3;
                s.rx_client = 2.0;
            })
            .job(0.0, 120.0),
        scene("A19", "scp upload over ssh without PTY, 20 MB/s, 40 min", 500)
            .during(0.0, 40.0, |s| {
                s.ssh_notty = 1;
                s.ssh_estab = 1;
                s.user_cpu = 0.35;
                s.net = 2e7;
                s.net_user = 2e7;
                s.pkts = 14_000.0;
                s.disk = 2e7;
                s.disk_user = 2e7;
                s.rx_client = 2e7;
            })
            .job(0.0, 40.0),
        scene("A20", "scp download 15 MB/s, 45 min: the client sends nothing", 500)
            .during(0.0, 45.0, |s| {
                s.ssh_notty = 1;
                s.ssh_estab = 1;
                s.user_cpu = 0.25;
                s.net = 1.5e7;
                s.net_user = 1.5e7;
                s.pkts = 11_000.0;
                s.rx_client = 0.0;
            })
            .job(0.0, 45.0),
        scene("A21", "ssh -N tunnel left open, keepalive only, 10 h", 600).always(|s| {
            s.ssh_notty = 1;
            s.ssh_estab = 1;
            s.rx_client = 2.0;
        }),
        scene(
            "A22",
            "ControlMaster: a command every 4 min for 2 h, the master stays open for hours",
            700,
        )
        .during(0.0, 700.0, |s| {
            s.ssh_notty = 1;
            s.ssh_estab = 1;
            s.rx_client = 2.0;
        })
        .bursts(0.0, 120.0, 240, 20, |s| {
            s.user_cpu = 0.4;
            s.rx_client = 300.0;
            s.net = 9000.0;
        })
        .human(0.0, 120.0),
        scene("A24", "X11 forwarding: a plot window over ssh -X, mouse only, 60 min", 600)
            .during(0.0, 60.0, |s| {
                s.ssh();
                s.user_cpu = 0.08;
                s.rx_client = 160.0;
                s.net = 20_000.0;
                s.fg = Foreground::Job;
            })
            .typing(0.0, 1.0, 0.5)
            .human(0.0, 60.0),
        scene("A36", "tunnel to a database: queries every minute for 50 min", 600)
            .during(0.0, 50.0, |s| {
                s.ssh_notty = 1;
                s.ssh_estab = 1;
                s.rx_client = 2.0;
            })
            .bursts(0.0, 50.0, 60, 10, |s| {
                s.rx_client = 1200.0;
                s.net = 8000.0;
            })
            .human(0.0, 50.0),
    ]
}

fn editors() -> Vec<Scenario> {
    vec![
        scene("A11", "VS Code connected, user asleep 10 h (5 s keepalive)", 620)
            .during(0.0, 20.0, |s| s.vscode(0.06, 900.0, 6000.0))
            .during(20.0, 620.0, |s| s.vscode(0.01, 25.0, 600.0))
            .human(0.0, 20.0),
        scene("A12", "VS Code with a terminal, typing 50 min, lid closed, the server stays", 620)
            .during(0.0, 50.0, |s| {
                s.vscode(0.08, 700.0, 5000.0);
                s.pts = 2;
                s.user_cpu = 0.02;
            })
            .during(50.0, 620.0, |s| {
                s.vscode_srv = true;
                s.ide_cpu = 0.01;
                s.pts = 2;
            })
            .typing(0.0, 50.0, 1.0)
            .human(0.0, 50.0),
        scene(
            "A25",
            "VS Code connected, reading code 45 min (slow scrolling only), then editing 15 min, \
             disconnect",
            600,
        )
        .during(0.0, 45.0, |s| s.vscode(0.015, 55.0, 700.0))
        .during(45.0, 60.0, |s| s.vscode(0.06, 900.0, 6000.0))
        .human(0.0, 60.0),
        scene("A38", "JetBrains Gateway, editing 90 min, the indexer at 2 cores meanwhile", 650)
            .during(0.0, 90.0, |s| s.vscode(2.0, 1200.0, 9000.0))
            .during(90.0, 650.0, |s| {
                s.vscode_srv = true;
                s.ide_cpu = 0.03;
            })
            .human(0.0, 90.0),
        scene("A40", "tests run in the terminal of VS Code, 1.2 cores, 75 min, user watches", 600)
            .during(0.0, 75.0, |s| {
                s.vscode(0.03, 30.0, 3000.0);
                s.pts = 1;
                s.user_cpu = 1.2;
                s.fg = Foreground::Job;
            })
            .typing(0.0, 1.0, 0.5)
            .human(0.0, 75.0),
    ]
}

fn notebooks() -> Vec<Scenario> {
    vec![
        scene("A13", "Jupyter tab open overnight, kernel idle, ws ping 30 s", 620)
            .during(0.0, 20.0, |s| {
                s.estab_app = 2;
                s.user_cpu = 0.05;
                s.rx_client = 300.0;
                s.net = 3000.0;
                s.jup = Jupyter::Active;
            })
            .during(20.0, 620.0, |s| {
                s.estab_app = 2;
                s.rx_client = 8.0;
                s.net = 520.0;
                s.jup = Jupyter::Idle;
            })
            .human(0.0, 20.0),
        scene("A14", "Jupyter cell prints for 3 h, the browser was closed after 10 min", 700)
            .during(0.0, 10.0, |s| {
                s.estab_app = 2;
                s.user_cpu = 1.0;
                s.rx_client = 200.0;
                s.net = 3000.0;
                s.jup = Jupyter::Busy;
            })
            .during(10.0, 180.0, |s| {
                s.user_cpu = 1.0;
                s.jup = Jupyter::Busy;
            })
            .during(180.0, 700.0, |s| s.jup = Jupyter::Idle)
            .job(0.0, 180.0),
        scene("A15", "Jupyter kernel stuck busy (blocked in input()/sleep) 10 h", 600)
            .always(|s| s.jup = Jupyter::BusySilent),
        scene("A16", "Jupyter kernel computes 5 h on one core, prints nothing, no client", 900)
            .during(0.0, 300.0, |s| {
                s.user_cpu = 1.0;
                s.jup = Jupyter::BusySilent;
            })
            .during(300.0, 900.0, |s| s.jup = Jupyter::Idle)
            .job(0.0, 300.0),
        scene("A26", "RStudio: editing 50 min, the tab stays open overnight", 650)
            .during(0.0, 50.0, |s| {
                s.estab_app = 1;
                s.user_cpu = 0.04;
                s.rx_client = 150.0;
                s.net = 2200.0;
            })
            .during(50.0, 650.0, |s| {
                s.estab_app = 1;
                s.rx_client = 6.0;
                s.net = 500.0;
            })
            .human(0.0, 50.0),
    ]
}

fn desktops() -> Vec<Scenario> {
    vec![
        scene("A17", "DCV desktop in use (input every 2 min), 2 h", 700)
            .during(0.0, 120.0, |s| {
                s.dcv = Desktop::Active;
                s.user_cpu = 0.5;
                s.net = 90_000.0;
                s.pkts = 150.0;
            })
            .human(0.0, 120.0),
        scene("A18", "DCV desktop with an animation and nobody, profile \"desktop\", 10 h", 600)
            .under(crate::scenario::Profile::Desktop)
            .always(|s| {
                s.dcv = Desktop::Open;
                s.user_cpu = 0.2;
                s.net = 700.0;
            }),
        scene("A42", "VNC through an ssh tunnel, mouse and keys, 70 min", 600)
            .during(0.0, 70.0, |s| {
                s.ssh_notty = 1;
                s.ssh_estab = 1;
                s.user_cpu = 0.3;
                s.rx_client = 400.0;
                s.net = 60_000.0;
                s.pkts = 90.0;
            })
            .human(0.0, 70.0),
    ]
}
