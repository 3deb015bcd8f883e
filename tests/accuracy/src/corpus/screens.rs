//! A, second part: people without a terminal, at editors, notebooks and desktops.

use crate::scenario::{Profile, Scenario, scene};
use crate::signals::{Desktop, Foreground, Jupyter};

/// The group.
pub(super) fn all() -> Vec<Scenario> {
    let mut all = editors();
    all.extend(notebooks());
    all.extend(desktops());
    all
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
            .under(Profile::Desktop)
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
