//! Whole screens, one a state.

use agent_proto::spot::EndWord;

use super::*;
use crate::render::samples::{self, at, look};
use crate::render::style::Style;

fn screen(document: &Spot) -> String {
    let text = spot(document, &look());
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert_eq!(line.trim_end(), line);
    }
    assert!(text.ends_with('\n') && !text.contains('\x1b'));
    text
}

fn first(document: &Spot) -> String {
    screen(document).lines().next().unwrap().to_owned()
}

#[test]
fn none() {
    insta::assert_snapshot!(screen(&samples::spot()));
}

#[test]
fn announced_while_observing() {
    let mut document = samples::noticed(InterruptionState::Announced, NoticeState::Observing);
    document.plan.mode = Mode::Observe;
    document.notices[0].hooks.clear();
    insta::assert_snapshot!(screen(&document));
}

#[test]
fn draining() {
    insta::assert_snapshot!(screen(&samples::draining()));
}

#[test]
fn drained_with_a_failed_hook() {
    let mut document = samples::noticed(InterruptionState::Drained, NoticeState::Drained);
    document.notices[0].drain_seconds = Some(14.6);
    document.notices[0].hooks = vec![
        samples::hook("/opt/drain", HookState::Done, Some(3.2), Some("exit status 0")),
        samples::hook(
            "save.service",
            HookState::Failed,
            Some(11.4),
            Some("exit status 1\nno space left on device"),
        ),
        samples::hook("/opt/late", HookState::Skipped, None, None),
    ];
    document.output_hidden = false;
    insta::assert_snapshot!(screen(&document));
}

#[test]
fn blind() {
    let mut document = samples::spot();
    document.interruption.state = InterruptionState::Blind;
    document.interruption.blind = vec!["spot".into(), "rebalance".into()];
    document.interruption.blind_since = Some(at(-65));
    document.interruption.last_good = Some(at(-66));
    for monitor in &mut document.monitors[..2] {
        monitor.state = WatchState::Blind;
        monitor.last_good_seconds = Some(66.0);
        monitor.for_seconds = 65.0;
        monitor.detail = "HTTP 403: is the metadata service switched off?".into();
    }
    let text = screen(&document);
    assert!(!text.contains("No interruption"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn off() {
    let mut document = samples::spot();
    document.interruption = samples::interruption(InterruptionState::Off);
    document.plan.enabled = false;
    document.monitors.iter_mut().for_each(|monitor| monitor.state = WatchState::Off);
    insta::assert_snapshot!(screen(&document));
}

#[test]
fn a_drill_never_reads_as_if_it_were_real() {
    let mut document = samples::draining();
    document.interruption.drill = true;
    document.interruption.imminent = false;
    document.notices[0].drill = true;
    let text = screen(&document);
    assert!(!text.contains("EC2 TERMINATES"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_past_with_durations() {
    let mut document = samples::spot();
    let mut notice = samples::draining().notices.remove(0);
    notice.state = NoticeState::Drained;
    notice.drain_seconds = Some(8.4);
    notice.hooks.iter_mut().for_each(|hook| {
        hook.state = HookState::Done;
        hook.took_seconds = Some(2.8);
    });
    let drill = Notice { drill: true, hooks: vec![], ..notice.clone() };
    let one = |notice, end, because: &str| PastNotice {
        notice,
        closed: at(-3_000),
        end,
        because: because.into(),
    };
    document.last = vec![
        one(notice, EndWord::StartedAgain, "the instance went down and was started again"),
        one(drill, EndWord::DrillOver, "the drill is over"),
    ];
    insta::assert_snapshot!(screen(&document));
}

#[test]
fn the_first_line_says_what_happens_and_when() {
    let mut document = samples::noticed(InterruptionState::Announced, NoticeState::Notified);
    assert_eq!(
        first(&document),
        "EC2 TERMINATES this instance in 1 min 43 s (at 18:31:43 UTC, 14:31:43 your time)"
    );
    document.interruption.event = Some("autoscaling".into());
    document.interruption.deadline = None;
    document.interruption.seconds_left = None;
    assert_eq!(first(&document), "Auto Scaling TERMINATES this instance");
    document.interruption.event = Some("rebalance-recommendation".into());
    document.interruption.action = Some("rebalance".into());
    assert_eq!(first(&document), "EC2 expects to take this instance back soon");
    document.interruption.action = Some("teleport".into());
    assert_eq!(first(&document), "EC2 announces \"teleport\" for this instance");
}

#[test]
fn a_state_that_is_not_known_is_never_shown_as_none() {
    for state in InterruptionState::ALL.iter().copied().chain([InterruptionState::Other]) {
        let mut document = samples::spot();
        document.interruption.state = state;
        let none = screen(&document).contains("No interruption is announced");
        assert_eq!(none, state == InterruptionState::None, "{state:?}");
    }
    for state in WatchState::ALL.iter().copied().chain([WatchState::Other]) {
        let mut document = samples::spot();
        document.monitors.truncate(1);
        document.monitors[0].state = state;
        let text = screen(&document);
        assert_eq!(text.contains("no notice"), state == WatchState::NoNotice, "{state:?}");
    }
}

#[test]
fn colour_only_repeats_what_the_words_say() {
    let coloured = Look { style: Style::Colour, ..look() };
    let document = samples::draining();
    let text = spot(&document, &coloured);
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert!(text.contains("\x1b[1;31m"));
    assert_eq!(plain, screen(&document));
}

#[test]
fn absurd_numbers_and_texts_do_not_break_a_screen() {
    for value in [f64::MAX, f64::MIN, f64::NAN, f64::INFINITY, -0.0] {
        let mut document = samples::draining();
        document.interruption.seconds_left = Some(value);
        document.notices[0].seconds_left = Some(value);
        document.notices[0].hooks[0].took_seconds = Some(value);
        document.monitors[0].every_seconds = value;
        document.plan.maintenance_lead_seconds = value;
        spot(&document, &look());
    }
    for text in ["", " ", &"word ".repeat(400), &"x".repeat(3_000)] {
        let mut document = samples::draining();
        document.notices[0].what = text.to_owned();
        document.notices[0].hooks[0].detail = Some(text.to_owned());
        document.monitors[0].name = text.to_owned();
        document.plan.hooks = vec![text.to_owned()];
        spot(&document, &look());
    }
}
