//! The watch against a service that follows a script.

use agent_core::input::Input;
use agent_core::interruption::Notice;

use super::scripted::{DATE_MS, Play, Rig, at, lines, locally, refused, stamp, status, until};
use super::*;
use crate::publish::WatchState;

const TERMINATE: &str = r#"{"action":"terminate","time":"2026-11-21T12:02:00Z"}"#;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60_000;

fn nothing(_: Kind, _: u64) -> Play {
    Play::Nothing
}

/// A script for spot notices; there is nothing else.
fn spot(mut script: impl FnMut(u64) -> Play + 'static) -> impl FnMut(Kind, u64) -> Play + 'static {
    move |kind, at| if kind == Kind::Spot { script(at) } else { Play::Nothing }
}

fn every(period: u64, end: u64) -> Vec<u64> {
    (0..end).step_by(usize::try_from(period).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_kind_has_its_schedule_which_does_not_drift() {
    locally(async {
        let rig = Rig::start(LifeCycle::Spot, |kind, _| match kind {
            Kind::Spot => Play::Slowly(Duration::from_millis(733), TERMINATE.to_owned()),
            _ => Play::Nothing,
        });
        until(10 * MINUTE - 1).await;
        assert_eq!(rig.service.polls(Kind::Spot), every(2 * SECOND, 10 * MINUTE));
        assert_eq!(rig.service.polls(Kind::Rebalance), every(5 * SECOND, 10 * MINUTE));
        assert_eq!(rig.service.polls(Kind::AutoScaling), every(5 * SECOND, 10 * MINUTE));
        assert_eq!(rig.service.polls(Kind::Maintenance), every(MINUTE, 10 * MINUTE));
        assert_eq!(rig.service.times(kind::HISTORY), [0], "no event is known");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_delays_neither_the_next_poll_nor_another_kind() {
    locally(async {
        let rig = Rig::start(LifeCycle::Spot, spot(|_| Play::Hangs));
        until(MINUTE - 1).await;
        assert_eq!(rig.service.polls(Kind::Spot), every(2 * SECOND, MINUTE));
        assert_eq!(rig.service.polls(Kind::AutoScaling), every(5 * SECOND, MINUTE));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_polls_of_each_hostile_reply_are_no_notice_and_are_blindness() {
    const POLLS: usize = 1_000;
    locally(async {
        let kinds: Vec<String> = read::corpus::hostile_about_spot();
        let failures: [fn() -> Play; 8] = [
            || status(401),
            || status(403),
            || status(429),
            || status(500),
            || status(503),
            || status(302),
            refused,
            || Play::Hangs,
        ];
        let all = kinds.len() + failures.len();
        let period = 2 * SECOND * u64::try_from(POLLS).unwrap();
        let end = period * u64::try_from(all).unwrap();
        let mut rig = Rig::start(
            LifeCycle::Spot,
            spot(move |at| {
                let turn = usize::try_from(at / period).unwrap();
                match kinds.get(turn) {
                    Some(body) => Play::Says(body.clone()),
                    None => failures.get(turn - kinds.len()).map_or(Play::Nothing, |play| play()),
                }
            }),
        );
        for turn in 0..all {
            until(period * u64::try_from(turn + 1).unwrap() - 1).await;
            assert_eq!(rig.taken().0, [], "kind {turn} led to something");
            assert_eq!(rig.path(Kind::Spot).state, WatchState::Blind, "kind {turn}");
        }
        let polls = rig.service.polls(Kind::Spot).len();
        assert!(all >= 70 && polls >= POLLS * all, "{all} kinds, {polls} requests");
        until(end + 5 * SECOND).await;
        assert_eq!(rig.path(Kind::Spot).state, WatchState::NoNotice, "it is over");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_answer_with_a_wrong_clock_does_not_hide_an_interruption() {
    locally(async {
        let day_ms = 24 * 3_600_000;
        let mut rig = Rig::start(
            LifeCycle::Spot,
            spot(move |at| match at {
                0 => Play::Dated(DATE_MS - day_ms, TERMINATE.to_owned()),
                _ => Play::Says(TERMINATE.to_owned()),
            }),
        );
        until(MINUTE).await;
        let left = |input: &Input| match input {
            Input::Noticed(noticed) => noticed.due.map(|due| due.left_ms),
            other => panic!("{other:?}"),
        };
        let told: Vec<Option<i64>> = rig.taken().0.iter().map(left).collect();
        assert_eq!(told, [Some(day_ms + 120_000), Some(120_000)]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_passing_failure_is_overcome_within_the_period() {
    locally(async {
        let rig = Rig::start(
            LifeCycle::Spot,
            spot(|at| match at % 2_000 {
                0 => status(503),
                200 => refused(),
                _ => Play::Nothing,
            }),
        );
        until(6 * SECOND - 1).await;
        let polls = rig.service.polls(Kind::Spot);
        assert_eq!(polls, [0, 200, 800, 2_000, 2_200, 2_800, 4_000, 4_200, 4_800]);
        assert_eq!(rig.path(Kind::Spot).state, WatchState::NoNotice);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn other_kinds_are_asked_once_more_after_a_second() {
    locally(async {
        let rig = Rig::start(LifeCycle::Spot, |kind, _| match kind {
            Kind::Rebalance => status(500),
            _ => Play::Nothing,
        });
        until(12 * SECOND).await;
        assert_eq!(rig.service.polls(Kind::Rebalance), [0, 1_000, 5_000, 6_000, 10_000, 11_000]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_at_once_is_not_asked_at_once() {
    let path = || "p".to_owned();
    for (error, polls) in [
        (ImdsError::TimedOut { path: path(), hint: "" }, 6),
        (ImdsError::Throttled { path: path() }, 6),
        (ImdsError::Unauthorized { path: path() }, 6),
        (ImdsError::Redirected { path: path(), status: 302 }, 6),
        (ImdsError::TooLarge { path: path(), limit: 1 }, 6),
        (ImdsError::Forbidden { path: path() }, 6),
    ] {
        locally(async {
            let begin = at();
            let failing = error.clone();
            let rig = Rig::start(LifeCycle::Spot, spot(move |_| Play::Fails(failing.clone())));
            until(begin + 12 * SECOND - 1).await;
            assert_eq!(rig.service.polls(Kind::Spot).len(), polls, "{error}");
            assert_eq!(rig.path(Kind::Spot).state, WatchState::Blind);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_it_is_forbidden_one_kind_asks_on_and_the_others_every_30_seconds() {
    locally(async {
        let rig = Rig::start(LifeCycle::OnDemand, |_, _| {
            Play::Fails(ImdsError::Forbidden { path: "p".to_owned() })
        });
        until(MINUTE - 1).await;
        let leading = rig.service.polls(Kind::AutoScaling);
        assert!(leading.len() >= 12, "{leading:?}");
        assert_eq!(rig.service.polls(Kind::Maintenance), [0, 30_000]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_each_poll_becomes_one_request() {
    locally(async {
        let rig = Rig::start(LifeCycle::Spot, |_, _| refused());
        until(10 * MINUTE - 1).await;
        let polls = rig.service.polls(Kind::Spot);
        assert_eq!(polls.iter().filter(|at| **at < 10_000).count(), 15);
        assert_eq!(polls.iter().filter(|at| **at >= 10_000).count(), 295, "one every 2 s");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_what_is_promised() {
    let events =
        r#"[{"EventId":"e-1","Code":"system-reboot","NotBefore":"1 Dec 2026 00:00:00 GMT"}]"#;
    for (life_cycle, most) in [(LifeCycle::Spot, 0.94), (LifeCycle::OnDemand, 0.24)] {
        locally(async {
            let begin = at();
            let rig = Rig::start(life_cycle, move |kind, _| match kind {
                Kind::Maintenance => Play::Says(events.to_owned()),
                _ => Play::Nothing,
            });
            until(begin + 60 * MINUTE).await;
            let count = u32::try_from(rig.service.asked.borrow().len()).unwrap();
            let rate = f64::from(count) / 3_600.0;
            assert!(rate <= most, "{life_cycle:?}: {rate} requests a second");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_any_length_a_notice_is_seen_within_two_seconds() {
    for failure in [refused as fn() -> Play, || status(500), || Play::Hangs] {
        for seconds in [10, 60, 600] {
            locally(async {
                let begin = at();
                // It ends at an odd moment.
                let end = begin + seconds * SECOND + 777;
                let mut rig = Rig::start(LifeCycle::Spot, move |kind, at| match kind {
                    _ if at < end => failure(),
                    Kind::Spot => Play::Says(TERMINATE.to_owned()),
                    _ => Play::Nothing,
                });
                until(end).await;
                assert_eq!(rig.taken().0, []);
                until(end + 2 * SECOND).await;
                assert_eq!(rig.taken().0.len(), 1);
                for kind in Kind::ALL {
                    assert_ne!(rig.path(kind).state, WatchState::Blind, "{kind:?} asked at once");
                }
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_health_of_the_service_follows_within_three_seconds() {
    for (failure, name) in [(refused as fn() -> Play, "refused"), (|| Play::Hangs, "hangs")] {
        for phase in (0..2 * SECOND).step_by(250) {
            locally(async {
                let begin = at();
                let (from, to) = (begin + 20 * SECOND + phase, begin + 50 * SECOND + phase);
                let rig = Rig::start(LifeCycle::Spot, move |_, at| match at {
                    at if (from..to).contains(&at) => failure(),
                    _ => Play::Nothing,
                });
                // The identity was read.
                rig.shown.borrow_mut().pretend_identity();
                let ok = || rig.shown.borrow().imds.ok;
                until(from).await;
                assert!(ok(), "{name} {phase}");
                until(from + 3 * SECOND).await;
                assert!(!ok(), "{name} {phase}");
                until(to).await;
                assert!(!ok(), "{name} {phase}");
                until(to + 3 * SECOND).await;
                assert!(ok(), "{name} {phase}");
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn blindness_is_told_after_15_seconds_once_and_its_end_at_once() {
    locally(async {
        let mut rig = Rig::start(
            LifeCycle::Spot,
            spot(|at| if (10_500..70_000).contains(&at) { Play::Hangs } else { Play::Nothing }),
        );
        until(2 * MINUTE).await;
        let lines = lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            matches!(&lines[0], (25_000..26_000, ShellEvent::NoticesBlind { kind, for_ms: 15_000.., error })
                if kind == "spot" && error.contains("in time")),
            "{lines:?}"
        );
        assert!(
            matches!(&lines[1], (70_000, ShellEvent::NoticesSeen { blind_ms: 60_000, .. })),
            "{lines:?}"
        );
        assert_eq!(rig.taken().0, []);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_comes_and_goes_makes_one_line_of_blindness_a_minute() {
    locally(async {
        // Twenty seconds away, two seconds back.
        let _rig = Rig::start(
            LifeCycle::Spot,
            spot(|at| if at % 22_000 < 20_000 { Play::Hangs } else { Play::Nothing }),
        );
        until(10 * MINUTE).await;
        let blind = |line: &&(u64, ShellEvent)| matches!(line.1, ShellEvent::NoticesBlind { .. });
        let times: Vec<u64> = lines().iter().filter(blind).map(|(at, _)| *at).collect();
        assert!(times.len() >= 5 && times.windows(2).all(|t| t[1] - t[0] >= MINUTE), "{times:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_a_404_is_no_notice_and_only_a_change_wakes_the_loop() {
    locally(async {
        let mut rig = Rig::start(LifeCycle::Spot, nothing);
        until(SECOND).await;
        assert_eq!(rig.path(Kind::Spot).state, WatchState::NoNotice);
        let (_, woken) = rig.taken();
        assert!((1..=6).contains(&woken), "{woken}");
        let seen = rig.path(Kind::Spot).last_good;
        until(10 * MINUTE).await;
        assert_eq!(rig.taken().1, 0, "300 polls that say the same");
        let fresh = rig.path(Kind::Spot).last_good.unwrap();
        assert!(stamp().since(fresh) <= Duration::from_secs(2));
        assert!(Some(fresh) > seen);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_notice_is_told_once_and_again_when_its_time_moves() {
    locally(async {
        let mut rig = Rig::start(
            LifeCycle::Spot,
            spot(|at| match at {
                10_000..20_000 => Play::Nothing,
                0..30_000 => Play::Says(TERMINATE.to_owned()),
                30_000..40_000 => Play::Says(TERMINATE.replace("12:02:00", "12:01:30")),
                _ => Play::Says(TERMINATE.replace("terminate", "stop")),
            }),
        );
        let mut told = Vec::new();
        for end in [1, 29, 39, 60] {
            until(end * SECOND).await;
            told.push(rig.taken().0.len());
        }
        assert_eq!(told, [1, 0, 1, 1]);
        // An agent that was started again tells everything once.
        rig.spawn();
        until(120 * SECOND).await;
        let (inputs, _) = rig.taken();
        assert_eq!(inputs.len(), 1);
        let Input::Noticed(noticed) = &inputs[0] else { panic!("{inputs:?}") };
        let due = noticed.due.unwrap();
        assert_eq!((noticed.notice.id().as_str(), noticed.own_clock), ("spot-stop", false));
        assert_eq!((due.wall_ms, due.left_ms), (DATE_MS + 120_000, 120_000));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_date_our_own_clock_counts_until_there_is_one() {
    locally(async {
        let mut rig = Rig::start(
            LifeCycle::Spot,
            spot(|at| match at / 2_000 {
                0 | 2 => Play::Undated(TERMINATE.to_owned()),
                _ => Play::Says(TERMINATE.to_owned()),
            }),
        );
        until(20 * SECOND).await;
        let own: Vec<bool> = rig
            .taken()
            .0
            .iter()
            .map(|input| matches!(input, Input::Noticed(noticed) if noticed.own_clock))
            .collect();
        assert_eq!(own, [true, false], "told again once EC2's clock is known, and no more");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_blindness_and_told_after_three_times() {
    locally(async {
        let mut rig = Rig::start(
            LifeCycle::Spot,
            spot(|_| Play::Says(r#"{"action":"explode","time":"2026-11-21T12:02:00Z"}"#.into())),
        );
        until(MINUTE).await;
        assert_eq!(rig.taken().0, []);
        assert_eq!(rig.path(Kind::Spot).state, WatchState::Blind);
        let lines = lines();
        let garbled: Vec<_> = lines
            .iter()
            .filter(|line| matches!(&line.1, ShellEvent::NoticeGarbled { what } if what.contains("explode")))
            .collect();
        assert_eq!(garbled.len(), 1, "{lines:?}");
        assert_eq!(garbled[0].0, 800, "its third answer");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_life_cycle_is_taken_for_spot_until_it_can_be_read() {
    locally(async {
        let rig = Rig::start(LifeCycle::Unknown, nothing);
        until(35 * SECOND).await;
        assert_eq!(rig.service.polls(Kind::Spot).len(), 18);
        assert_eq!(rig.service.times("life-cycle"), [0, 10_000, 20_000, 30_000]);
        assert_eq!(rig.shown.borrow().notices.life_cycle, "unknown");
        rig.is_really(LifeCycle::OnDemand);
        until(MINUTE).await;
        let polls = rig.service.polls(Kind::Spot).len();
        assert_eq!(rig.path(Kind::Spot).state, WatchState::Off);
        assert_eq!(rig.path(Kind::Rebalance).state, WatchState::Off);
        assert_eq!(rig.shown.borrow().notices.life_cycle, "on-demand");
        until(2 * MINUTE).await;
        assert_eq!(rig.service.polls(Kind::Spot).len(), polls);
        assert_eq!(rig.service.times("life-cycle").len(), 5, "it is known");
        // The identity is confirmed, and says otherwise.
        learn(&rig.setting, LifeCycle::Spot);
        until(3 * MINUTE).await;
        assert!(rig.service.polls(Kind::Spot).len() > polls + 25);
        learn(&rig.setting, LifeCycle::Unknown);
        assert_eq!(rig.setting.borrow().life_cycle, LifeCycle::Spot, "it stays known");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn switched_off_nothing_is_asked_and_a_reload_switches_it_on_again() {
    locally(async {
        let mut rig = Rig::start(LifeCycle::Spot, spot(|_| Play::Says(TERMINATE.to_owned())));
        until(SECOND).await;
        assert_eq!(rig.taken().0.len(), 1);
        switch(&rig.setting, false);
        until(2 * SECOND).await;
        let asked = rig.service.asked.borrow().len();
        until(10 * MINUTE).await;
        assert_eq!(rig.service.asked.borrow().len(), asked);
        for kind in Kind::ALL {
            assert_eq!(rig.path(kind).state, WatchState::Off);
        }
        switch(&rig.setting, true);
        until(10 * MINUTE + SECOND).await;
        assert_eq!(rig.taken().0.len(), 1, "what stands is told to who may have forgotten it");
        assert!(lines().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn scheduled_events_are_followed_into_the_history() {
    const EVENT: &str = r#"[{"EventId":"e-1","Code":"system-reboot","NotBefore":"1 Dec 2026 00:00:00 GMT"},{"Code":"x"}]"#;
    locally(async {
        let mut rig = Rig::start(LifeCycle::OnDemand, |kind, at| match (kind, at) {
            (Kind::Maintenance, ..90_000) => Play::Says(EVENT.to_owned()),
            (Kind::Maintenance, 120_000..) => Play::Says("[]".to_owned()),
            _ => Play::Nothing,
        });
        until(SECOND).await;
        let (inputs, _) = rig.taken();
        assert!(
            matches!(&inputs[..], [Input::Noticed(noticed)]
                if matches!(noticed.notice, Notice::Maintenance { .. })),
            "{inputs:?}"
        );
        let path = rig.path(Kind::Maintenance);
        assert_eq!(path.state, WatchState::Notice);
        assert!(path.detail.contains("e-1") && path.detail.contains("EventId"), "{}", path.detail);
        until(5 * MINUTE + SECOND).await;
        assert_eq!(rig.path(Kind::Maintenance).state, WatchState::NoNotice);
        assert_eq!(rig.taken().0, [], "it is merely gone");
        assert_eq!(rig.service.times(kind::HISTORY).len(), 5, "once, and since it has left");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_once_the_loop_has_ended() {
    locally(async {
        let rig = Rig::start(LifeCycle::Spot, |_, _| Play::Nothing);
        until(SECOND).await;
        let Rig { service, to, inbox, .. } = rig;
        drop((to, inbox));
        until(2 * MINUTE).await;
        let asked = service.asked.borrow().len();
        until(10 * MINUTE).await;
        assert_eq!(service.asked.borrow().len(), asked);
    })
    .await;
}
