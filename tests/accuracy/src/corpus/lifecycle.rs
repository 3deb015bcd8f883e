//! D: starts and resumes, clocks, restarts of the agent, and sources that fail.

use crate::scenario::{Event, History, Kind, Scenario, scene};
use crate::signals::Signals;

/// The group.
pub(super) fn all() -> Vec<Scenario> {
    let mut all = coming_back();
    all.extend(clocks());
    all.extend(restarts());
    all.extend(faults());
    all
}

fn coming_back() -> Vec<Scenario> {
    vec![
        scene(
            "D01",
            "resumed from 14 h hibernation; user logs in 6 min after resume, works 30 min",
            500,
        )
        .cpus(2)
        .after(History::Resumed)
        .during(0.0, 1.0, |s| s.sys_cpu = 0.6)
        .during(6.0, 36.0, Signals::shell)
        .typing(6.0, 36.0, 0.4)
        .human(0.0, 36.0),
        scene(
            "D02",
            "started 14 h after an idle stop; user logs in 5 min later, works 40 min",
            600,
        )
        .cpus(2)
        .after(History::Started)
        .during(0.0, 1.0, |s| s.sys_cpu = 1.1)
        .during(5.0, 45.0, Signals::shell)
        .typing(5.0, 45.0, 0.4)
        .human(0.0, 45.0),
        scene("D04", "resumed by mistake: nobody comes", 600)
            .after(History::Resumed)
            .during(0.0, 1.0, |s| s.sys_cpu = 0.6)
            .work(0.0, 10.0, Kind::Arrival),
        scene("D12", "suspended for 14 h at minute 20; its user is back 8 min later", 600)
            .during(0.0, 5.0, Signals::shell)
            .typing(0.0, 5.0, 0.5)
            .event(20.0, Event::Sleep(14 * 3600))
            .during(28.0, 48.0, Signals::shell)
            .typing(28.0, 48.0, 0.5)
            .human(0.0, 48.0),
        scene("D14", "resumed in the middle of a computation that goes on for 2 h", 600)
            .after(History::Resumed)
            .during(0.0, 120.0, |s| s.user_cpu = 1.0)
            .job(0.0, 120.0),
    ]
}

fn clocks() -> Vec<Scenario> {
    vec![
        scene(
            "D03",
            "clock steps +3 h 5 min after logout; user returns 8 min later and types 30 min",
            600,
        )
        .during(0.0, 10.0, |s| {
            s.ssh();
            s.user_cpu = 0.03;
        })
        .during(18.0, 48.0, Signals::shell)
        .typing(0.0, 10.0, 0.4)
        .typing(18.0, 48.0, 0.4)
        .event(15.0, Event::ClockStep(10_800))
        .human(0.0, 48.0),
        scene("D06", "clock steps back 3 h on an idle machine", 600)
            .event(15.0, Event::ClockStep(-10_800)),
        scene("D16", "clock of an idle machine with a tmux steps by ten years, and back", 600)
            .always(|s| {
                s.tmux = true;
                s.pts = 1;
            })
            .event(10.0, Event::ClockStep(315_360_000))
            .event(12.0, Event::ClockStep(-630_720_000)),
        scene("D08", "every counter of the kernel begins anew at minute 20, idle", 600)
            .event(20.0, Event::CountersReset),
    ]
}

fn restarts() -> Vec<Scenario> {
    vec![
        scene("D05", "agent killed and restarted every 10 min (OOM loop), machine idle", 600)
            .events_every(10.0, Event::Restart),
        scene("D10", "agent restarted twice in the middle of a transfer of 90 min", 600)
            .during(0.0, 90.0, |s| {
                s.net = 8e6;
                s.net_user = 8e6;
                s.pkts = 6000.0;
                s.user_cpu = 0.03;
            })
            .event(35.0, Event::Restart)
            .event(50.0, Event::Restart)
            .job(0.0, 90.0),
        scene("D18", "agent restarted every 10 min while a prompt is typed at every 25 min", 600)
            .during(0.0, 125.0, |s| {
                s.ssh();
                s.rx_client = 2.0;
            })
            .typing(0.0, 125.0, 25.0)
            .events_every(10.0, Event::Restart)
            .human(0.0, 125.0),
    ]
}

fn faults() -> Vec<Scenario> {
    vec![
        scene("D07", "DescribeTags/CreateTags denied (missing IAM), machine idle", 600)
            .always(|s| s.tag_denied = true),
        scene("D09", "status/metrics polled every 15 s during a 4 KB/s transfer, 2 h", 600)
            .always(|s| s.poll = Some(15))
            .during(0.0, 120.0, |s| {
                s.poll = Some(15);
                s.net = 4450.0;
                s.net_user = 4000.0;
                s.pkts = 12.0;
                s.user_cpu = 0.02;
            })
            .job(0.0, 120.0),
        scene("D20", "processor time unreadable for 90 min while a job computes", 600)
            .during(0.0, 90.0, |s| {
                s.user_cpu = 1.0;
                s.blind = vec!["cpu"];
            })
            .job(0.0, 90.0),
        scene("D22", "metadata service down for 60 min, machine idle", 600).during(
            0.0,
            60.0,
            |s| s.imds_down = true,
        ),
        scene("D24", "GPU driver lost for 40 min, nothing computes", 600)
            .always(|s| s.gpu(1, 0.0))
            .during(0.0, 40.0, |s| {
                s.gpu_err = true;
                s.cw_gap = true;
            }),
        scene("D26", "logind does not answer for 45 min, then nobody holds anything", 600).during(
            0.0,
            45.0,
            |s| s.blind = vec!["inhibitors"],
        ),
    ]
}
