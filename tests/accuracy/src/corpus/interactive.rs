//! A, first part: people at terminals, connections of ssh, and what people left open.

use crate::scenario::{Scenario, scene};
use crate::signals::{Foreground, Signals};

/// The group.
pub(super) fn all() -> Vec<Scenario> {
    let mut all = terminals();
    all.extend(sessions());
    all.extend(terminals_without_a_person());
    all.extend(jobs_in_the_foreground());
    all.extend(sessions_left_open());
    all.extend(connections());
    all.extend(tunnels());
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
    ]
}

fn sessions() -> Vec<Scenario> {
    vec![
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
            .during(0.0, 5.0, Signals::ssh)
            .during(5.0, 185.0, |s| {
                s.ssh();
                s.user_cpu = 0.4;
                s.fg = Foreground::Job;
            })
            .during(185.0, 700.0, Signals::ssh)
            .typing(0.0, 4.8, 0.4)
            .job(0.0, 185.0),
    ]
}

fn jobs_in_the_foreground() -> Vec<Scenario> {
    vec![
        scene("A48", "abandoned ssh with a wide htop that redraws 6 KB/s, 10 h", 610)
            .during(0.0, 10.0, Signals::shell)
            .during(10.0, 610.0, |s| {
                s.ssh();
                s.user_cpu = 0.02;
                s.net = 6450.0;
                s.pkts = 8.0;
                s.fg = Foreground::Display;
            })
            .typing(0.0, 9.6, 0.4)
            .human(0.0, 10.0),
        scene("A44", "ssh: a silent job in the foreground waits 150 min for another machine", 700)
            .during(0.0, 5.0, Signals::ssh)
            .during(5.0, 150.0, |s| {
                s.ssh();
                s.fg = Foreground::Job;
            })
            .typing(0.0, 5.0, 0.5)
            .job(0.0, 150.0),
        scene("A46", "ssh: a job in the foreground hangs: protected for 4 h (a choice)", 700)
            .during(0.0, 5.0, Signals::ssh)
            .during(5.0, 700.0, |s| {
                s.ssh();
                s.fg = Foreground::Job;
            })
            .typing(0.0, 5.0, 0.5)
            .job(0.0, 240.0),
    ]
}

fn sessions_left_open() -> Vec<Scenario> {
    vec![
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
                s.fg = Foreground::Job;
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
    ]
}

fn tunnels() -> Vec<Scenario> {
    vec![
        scene("A50", "a sleeping laptop connects again for 30 s every 20 min, 10 h", 620)
            .during(0.0, 15.0, |s| s.vscode(0.06, 900.0, 6000.0))
            .bursts(15.0, 620.0, 1200, 30, |s| {
                s.ssh_notty = 1;
                s.ssh_estab = 1;
            })
            .during(0.0, 620.0, |s| s.vscode_srv = true)
            .human(0.0, 15.0),
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
