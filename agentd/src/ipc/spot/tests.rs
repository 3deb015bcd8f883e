//! What the document says of each state, and what it keeps to itself.

use agent_core::interruption::{Drain, EventCode, SpotAction, TargetState};
use agent_proto::spot::WatchState as Word;

use super::*;
use crate::publish::Health;
use crate::publish::tests::{NOW, ago, ahead, quiet};

const SECRET: &str = "exit status 0: token=hunter2";

fn run(hook: &str, state: RunState, took_ms: Option<u64>) -> HookRun {
    HookRun {
        hook: hook.into(),
        state,
        started: (state != RunState::Waiting).then(|| ago(10)),
        took_ms,
        detail: if took_ms.is_some() { SECRET.into() } else { String::new() },
    }
}

fn alert(notice: Notice, due: Option<Stamp>) -> Alert {
    Alert {
        id: notice.id(),
        notice,
        drill: false,
        seen: ago(17),
        last_seen: ago(17),
        due,
        stale: false,
        drain: None,
        joined: None,
        completed: false,
    }
}

fn spot_notice() -> Alert {
    alert(Notice::Spot { action: SpotAction::Terminate }, Some(ahead(103)))
}

fn event(code: EventCode, due: Stamp) -> Alert {
    let notice = Notice::Maintenance {
        event: "instance-event-1".into(),
        code,
        description: "maintenance".into(),
        not_before_wall_ms: due.wall_ms,
    };
    alert(notice, Some(due))
}

fn draining() -> Alert {
    let runs = vec![
        run("/opt/drain", RunState::Done, Some(3_200)),
        run("stop worker.service", RunState::Started, None),
        run("save.service", RunState::Waiting, None),
    ];
    let drain = Drain { since: ago(16), end_at: ahead(83), kill_at: ahead(93), runs, ended: None };
    Alert { drain: Some(drain), ..spot_notice() }
}

fn with(alerts: Vec<Alert>) -> Published {
    let mut published = quiet();
    published.view.interruption.hooks =
        vec!["/opt/drain".into(), "stop worker.service".into(), "save.service".into()];
    published.view.interruption.maintenance = Reaction::Drain;
    published.view.interruptions.alerts = alerts;
    published
}

fn watching(name: &str, change: impl Fn(&mut PathWatch)) -> Published {
    let mut published = quiet();
    change(published.notices.paths.iter_mut().find(|path| path.name == name).unwrap());
    published
}

fn word(published: &Published) -> InterruptionState {
    interruption(published, NOW).state
}

/// The document of a machine of which everything is said, as committed. A difference is a change of the contract.
#[test]
fn the_document_is_the_one_that_was_promised() {
    let mut published = with(vec![draining(), event(EventCode::SystemReboot, ahead(90_000))]);
    published.view.interruptions.target = Some(TargetState::InService);
    published.config.hook_user = Some("alice".into());
    let mut past = draining();
    past.id = "spot-stop".into();
    past.notice = Notice::Spot { action: SpotAction::Stop };
    past.due = Some(Stamp::new(5_000_000, 0, 1_767_300_000_000));
    past.drain = past.drain.map(|drain| Drain { ended: Some(ago(2)), ..drain });
    let past = PastAlert { alert: past, closed: ago(1), end: AlertEnd::StartedAgain };
    published.view.interruptions.past = vec![past];
    let document = spot(&published, NOW, Reader::Admin);
    let mut text = serde_json::to_string_pretty(&document).unwrap();
    text.push('\n');
    assert_eq!(text, include_str!("../spot-v1.json"), "{text}");
}

#[test]
fn none_is_said_only_while_every_path_that_is_asked_says_so() {
    assert_eq!(word(&quiet()), InterruptionState::None);
    for name in ["spot", "rebalance", "maintenance", "autoscaling"] {
        let blind = watching(name, |path| {
            path.state = WatchState::Blind;
            path.since = ago(12);
        });
        let seen = interruption(&blind, NOW);
        assert_eq!((seen.state, seen.blind), (InterruptionState::Blind, vec![name.to_owned()]));
        assert_eq!(seen.blind_since.unwrap().to_string(), "2026-01-02T11:59:48Z");
        let pending = watching(name, |path| path.state = WatchState::Pending);
        assert_eq!(word(&pending), InterruptionState::Pending);
        let off = watching(name, |path| path.state = WatchState::Off);
        assert_eq!(word(&off), InterruptionState::None, "{name} is not asked");
    }
    let mut nothing = quiet();
    nothing.notices.paths.clear();
    assert_eq!(word(&nothing), InterruptionState::Pending, "nobody has looked");
    nothing.view.interruption.enabled = false;
    assert_eq!(word(&nothing), InterruptionState::Off);
}

#[test]
fn a_path_of_which_nothing_is_heard_any_more_is_blind_whatever_it_said_last() {
    let silent = watching("spot", |path| path.last_good = Some(ago(127)));
    assert_eq!(word(&silent), InterruptionState::Blind);
    let seen = spot(&silent, NOW, Reader::Anybody);
    assert_eq!(seen.monitors[0].state, Word::Blind);
    assert_eq!(seen.monitors[0].detail, "nothing was heard of it");
    let never = watching("spot", |path| path.last_good = None);
    assert_eq!(word(&never), InterruptionState::Blind);
    let slow = watching("maintenance", |path| path.last_good = Some(ago(290)));
    assert_eq!(word(&slow), InterruptionState::None, "it is asked once a minute");
}

#[test]
fn a_notice_that_is_known_is_told_even_when_its_path_is_blind() {
    let mut published = watching("spot", |path| path.state = WatchState::Blind);
    published.view.interruptions.alerts = vec![spot_notice()];
    let seen = interruption(&published, NOW);
    assert_eq!(seen.state, InterruptionState::Announced);
    assert_eq!(seen.blind, ["spot"]);
    assert_eq!(seen.seconds_left, Some(103.0));
    assert!(seen.imminent && !seen.drill);
    assert_eq!(seen.action.as_deref(), Some("terminate"));
}

#[test]
fn the_metadata_service_is_ok_only_while_everything_is_answered() {
    assert_eq!(imds(&quiet(), NOW).state, Some(ImdsState::Ok));
    assert_eq!(imds(&quiet(), NOW).last_good, Some(moment(NOW, ago(1))));
    let blind = watching("rebalance", |path| {
        path.state = WatchState::Blind;
        path.detail = "HTTP 503".into();
    });
    let seen = imds(&blind, NOW);
    assert_eq!(seen.state, Some(ImdsState::Blind));
    assert_eq!(seen.detail, "meta-data/events/recommendations/rebalance: HTTP 503");
    let mut identity = quiet();
    identity.imds.ok = false;
    assert_eq!(imds(&identity, NOW).state, Some(ImdsState::Blind));
    identity.imds.last_good = None;
    identity.notices.paths.clear();
    assert_eq!(imds(&identity, NOW).state, Some(ImdsState::Blind), "it never answered");
    identity.imds = Health::not_tried();
    assert_eq!(imds(&identity, NOW).state, Some(ImdsState::Pending), "not asked yet");
}

#[test]
fn the_notice_that_matters_most_is_a_real_one_and_the_earliest() {
    let mut drill = draining();
    drill.drill = true;
    let mut stale = spot_notice();
    stale.stale = true;
    let rebalance = alert(Notice::Rebalance { said_wall_ms: 1 }, None);
    let news = alert(Notice::AutoScaling { target: TargetState::InService }, None);
    let order = vec![
        drill.clone(),
        stale.clone(),
        rebalance,
        news.clone(),
        event(EventCode::InstanceStop, ahead(90)),
    ];
    let seen = interruption(&with(order), NOW);
    assert_eq!(seen.what.as_deref(), Some("scheduled event instance-event-1 (instance-stop)"));
    assert!(seen.imminent);
    let seen = interruption(&with(vec![drill]), NOW);
    assert!(seen.drill && !seen.imminent && seen.state == InterruptionState::Draining);
    assert_eq!(word(&with(vec![stale, news])), InterruptionState::None);
}

#[test]
fn what_is_scheduled_for_later_and_what_the_machine_survives_is_not_imminent() {
    for (alert, expected) in [
        (event(EventCode::SystemReboot, ahead(601)), false),
        (event(EventCode::SystemReboot, ahead(600)), true),
        (event(EventCode::SystemMaintenance, ahead(60)), false),
        (alert(Notice::Rebalance { said_wall_ms: 1 }, None), false),
        (alert(Notice::AutoScaling { target: TargetState::Terminated }, None), true),
    ] {
        assert_eq!(interruption(&with(vec![alert.clone()]), NOW).imminent, expected, "{alert:?}");
        let found = obstacle(&with(vec![alert]), NOW);
        assert_eq!(found.is_some_and(|found| found.code == "interrupted"), expected);
    }
}

#[test]
fn each_notice_has_the_state_that_its_reaction_has() {
    let seen = |alert: Alert, mode| {
        let mut published = with(vec![alert]);
        published.view.mode = mode;
        spot(&published, NOW, Reader::Anybody).notices[0].state
    };
    let joined = Alert { joined: Some("x".into()), ..spot_notice() };
    let stale = Alert { stale: true, ..spot_notice() };
    let drained = Alert {
        drain: draining().drain.map(|drain| Drain { ended: Some(NOW), ..drain }),
        ..spot_notice()
    };
    for (alert, mode, expected) in [
        (spot_notice(), Mode::Observe, NoticeState::Observing),
        (spot_notice(), Mode::Enforce, NoticeState::Notified),
        (draining(), Mode::Enforce, NoticeState::Draining),
        (drained, Mode::Enforce, NoticeState::Drained),
        (joined, Mode::Enforce, NoticeState::Joined),
        (stale, Mode::Enforce, NoticeState::Stale),
        (event(EventCode::SystemReboot, ahead(9_000)), Mode::Enforce, NoticeState::Waiting),
        (event(EventCode::SystemMaintenance, ahead(9_000)), Mode::Enforce, NoticeState::Notified),
        (event(EventCode::SystemReboot, ahead(9_000)), Mode::Observe, NoticeState::Observing),
    ] {
        assert_eq!(seen(alert.clone(), mode), expected, "{alert:?}");
    }
}

#[test]
fn what_hooks_print_is_for_administrators_only() {
    let mut published = with(vec![draining()]);
    let past = PastAlert { alert: draining(), closed: NOW, end: AlertEnd::Resumed };
    published.view.interruptions.past = vec![past];
    let all = serde_json::to_string(&spot(&published, NOW, Reader::Anybody)).unwrap();
    assert!(!all.contains("hunter2") && all.contains("\"output_hidden\":true"), "{all}");
    let seen = spot(&published, NOW, Reader::Admin);
    assert_eq!(seen.notices[0].hooks[0].detail.as_deref(), Some(SECRET));
    assert_eq!(seen.last[0].notice.hooks[0].detail.as_deref(), Some(SECRET));
    assert!(!seen.output_hidden);
}

#[test]
fn the_latest_of_the_past_is_first_and_counts_down_no_more() {
    let mut published = with(vec![]);
    let past = |end| PastAlert { alert: spot_notice(), closed: ago(1), end };
    published.view.interruptions.past = vec![past(AlertEnd::NeverCame), past(AlertEnd::Resumed)];
    let seen = spot(&published, NOW, Reader::Admin);
    let ends: Vec<_> = seen.last.iter().map(|past| past.end).collect();
    assert_eq!(ends, [wire::EndWord::Resumed, wire::EndWord::NeverCame]);
    assert_eq!(seen.last[0].notice.seconds_left, None);
    assert_eq!(seen.interruption.state, InterruptionState::None);
}
