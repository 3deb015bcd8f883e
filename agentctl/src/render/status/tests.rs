//! Whole screens.

use agent_proto::spot::{Interruption, InterruptionState};
use agent_proto::status::{ImdsState, Mode, Prospect, Stage, Verdict};

use super::*;
use crate::render::samples::{self, at, look};
use crate::render::style::Style;

fn screen(status: &Status) -> String {
    let text = super::status(status, &look());
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    text
}

#[test]
fn quiet_with_a_countdown() {
    insta::assert_snapshot!(screen(&samples::quiet()));
}

#[test]
fn active() {
    let mut status =
        samples::with(Prospect::InUse, Stage::Active, "cpu: 1.26 core, of python (alice)", None);
    status.sources[0] = samples::source("cpu", Verdict::Busy, Some(1.256), Some(0.05), "core");
    status.sources[0].detail = Some("user-1000.slice/session-3.scope of alice".into());
    status.idle.since = None;
    status.idle.idle_seconds = 0.0;
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn warned() {
    let mut status = samples::quiet();
    status.stage = Stage::Warned;
    status.outlook.in_seconds = Some(95.0);
    status.outlook.at = Some(at(95));
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn held() {
    let mut status = samples::with(
        Prospect::Held,
        Stage::Quiet,
        "bob holds it for another 1 h 30 min: nightly eval",
        Some("agentctl release 3"),
    );
    status.holds = vec![samples::hold(3), samples::hold(4)];
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn blind() {
    let mut status = samples::with(
        Prospect::Blind,
        Stage::Quiet,
        "source \"gpu\" is UNKNOWN for 2 min (NVML: driver not loaded)",
        Some("agentctl doctor"),
    );
    status.sources[3] = samples::source("gpu", Verdict::Blind, None, Some(5.0), "%");
    status.sources[3].for_seconds = 120.0;
    status.sources[3].detail =
        Some("initialise NVML: driver not loaded; is the NVIDIA kernel module there?".into());
    status.blind = vec!["gpu".into()];
    let text = screen(&status);
    assert!(!text.contains("in 12 min") && !text.contains(" UTC"), "no countdown: {text}");
    insta::assert_snapshot!(text);
}

#[test]
fn observing_with_a_countdown() {
    let mut status = samples::quiet();
    status.mode = Mode::Observe;
    status.outlook.remedy = None;
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn observing_and_due() {
    let mut status = samples::with(
        Prospect::Observed,
        Stage::WouldAct,
        "nothing has used it for 30 min",
        Some("set mode = \"enforce\" in /etc/agentd/agentd.toml"),
    );
    status.mode = Mode::Observe;
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn refused() {
    let mut status = samples::with(
        Prospect::Refused,
        Stage::Refused,
        "it was launched without hibernation; launch a new one with it, or set fallback = \"stop\"",
        Some("agentctl doctor"),
    );
    status.obstacles = vec![Obstacle {
        code: "refused".into(),
        detail: status.outlook.because.clone(),
        until: None,
        left_seconds: None,
    }];
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn verifying() {
    let status =
        samples::with(Prospect::Acting, Stage::Verifying, "nothing has used it for 30 min", None);
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn nobody_knows_who_this_is() {
    let mut status = samples::with(
        Prospect::Blind,
        Stage::Grace,
        "the identity of this instance is UNKNOWN: HTTP 403",
        Some("agentctl doctor"),
    );
    status.instance = None;
    status.imds.ok = false;
    status.imds.state = Some(ImdsState::Blind);
    status.interruption = Some(samples::interruption(InterruptionState::Pending));
    status.imds.detail = "HTTP 403".into();
    status.abilities.hibernate.can = AbilityWord::Unknown;
    status.abilities.stop.can = AbilityWord::Unknown;
    status.obstacles = vec![Obstacle {
        code: "boot-grace".into(),
        detail: "the machine was just booted".into(),
        until: Some(at(300)),
        left_seconds: Some(300.0),
    }];
    status.config.problem = Some("/etc/agentd/agentd.toml:3: unknown key 'idel'".into());
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn a_past_action_is_told() {
    let mut status = samples::quiet();
    status.last_action = Some(LastAction {
        power: agent_proto::status::Power::Hibernate,
        at: at(-30_000),
        result: "hibernated".into(),
        detail: "slept for 7 h 40 min".into(),
        not_counted: None,
    });
    assert!(screen(&status).ends_with(
        "  last action   hibernate at 2026-01-02 06:10:00: hibernated; slept for 7 h 40\n                min\n"
    ));
}

#[test]
fn interrupted() {
    for state in
        [InterruptionState::Announced, InterruptionState::Draining, InterruptionState::Drained]
    {
        let mut status = samples::quiet();
        status.interruption = Some(samples::terminates(state));
        let text = screen(&status);
        assert!(!text.contains("Will HIBERNATE"), "{text}");
        assert!(text.contains("\nEC2 TERMINATES this instance in 1 min 43 s"), "{text}");
    }
    let mut status = samples::quiet();
    status.interruption = Some(samples::terminates(InterruptionState::Draining));
    status.obstacles = vec![Obstacle {
        code: "interrupted".into(),
        detail: "spot interruption (terminate): the interruption comes first".into(),
        until: Some(at(103)),
        left_seconds: Some(103.0),
    }];
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn a_drill_and_what_is_scheduled_for_later_do_not_take_the_headline() {
    let mut status = samples::quiet();
    let found = samples::terminates(InterruptionState::Draining);
    status.interruption = Some(Interruption { drill: true, imminent: false, ..found });
    let text = screen(&status);
    assert!(text.contains("\nWill HIBERNATE in 12 min"), "{text}");
    assert!(text.contains("  interruption  DRILL: as if EC2 terminates"), "{text}");
}

#[test]
fn blind_to_interruptions() {
    let mut status = samples::quiet();
    let mut found = samples::interruption(InterruptionState::Blind);
    found.blind = vec!["spot".into()];
    found.blind_since = Some(at(-65));
    status.interruption = Some(found);
    status.imds.state = Some(ImdsState::Blind);
    insta::assert_snapshot!(screen(&status));
}

#[test]
fn an_older_agent_that_does_not_tell_is_not_taken_for_none() {
    let mut status = samples::quiet();
    status.interruption = None;
    assert!(!screen(&status).contains("interruption"));
}

#[test]
fn every_prospect_but_one_is_without_a_time() {
    for prospect in Prospect::ALL {
        let mut status = samples::quiet();
        status.outlook.prospect = *prospect;
        let text = super::status(&status, &look());
        assert_eq!(
            text.contains("in 12 min"),
            *prospect == Prospect::WillAct,
            "{prospect:?}\n{text}"
        );
    }
}

#[test]
fn colour_only_repeats_what_the_words_say() {
    let coloured = Look { style: Style::Colour, ..look() };
    let mut status = samples::quiet();
    status.sources[0].verdict = Verdict::Blind;
    let text = super::status(&status, &coloured);
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert!(text.contains("\x1b[1;31m"));
    assert_eq!(plain, super::status(&status, &look()));
}
