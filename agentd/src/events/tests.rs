//! Every event has a sentence, an id and an entry in the catalog, and they agree.

use std::collections::{BTreeMap, BTreeSet};

use agent_core::action::{HookOutput, Power};
use agent_core::input::Wishes;
use agent_core::interruption::{AlertEnd, HookRun, Moment, Notification, RunState};
use agent_core::reason::Event;
use agent_core::stamp::Stamp;

use super::*;

const CATALOG: &str = include_str!("../../../packaging/catalog/agentd.catalog");

fn text(word: &str) -> String {
    word.to_owned()
}

/// One of each kind that the engine gives.
fn decided() -> Vec<Event> {
    let (power, because) = (Power::Hibernate, || text("cpu 0.01 of 0.05 core"));
    let beside = || Some(text("postgresql 0.03 of 0.12 core"));
    vec![
        Event::BecameActive { because: because() },
        Event::BecameQuiet { because: because(), act_at_wall_ms: Some(1_795_253_400_000) },
        Event::Warned { power, in_ms: 90_500, because: because(), not_counted: beside() },
        Event::CalledOff { power, because: because() },
        Event::HookStarted { power },
        Event::HookEnded { detail: text("exit status 0"), output: HookOutput::default(), ok: true },
        Event::HookEnded {
            detail: text("exit status 1"),
            output: HookOutput::split("\nno space").1,
            ok: false,
        },
        Event::HookNotRepeated,
        Event::Asking { power, because: because(), not_counted: beside() },
        Event::Accepted { power, detail: text("stopping") },
        Event::Refused { power, code: text("unauthorized"), detail: text("no ec2:StopInstances") },
        Event::Failed { power, error: text("throttled"), retry_ms: Some(2_000) },
        Event::Failed { power, error: text("timed out"), retry_ms: None },
        Event::FellBack { because: text("hibernation is not configured") },
        Event::WouldAct { power, because: because(), not_counted: None },
        Event::Hibernated { slept_ms: 3_600_000 },
        Event::ColdBoot { asked_wall_ms: 1_795_253_400_000 },
        Event::StoppedAndStarted { asked_wall_ms: 1_795_253_400_000 },
        Event::NeverStopped { power, waited_ms: 600_000 },
        Event::Resumed { away_ms: 7_200_000 },
        Event::Gap { away_ms: 61_000 },
        Event::SourceBlind { source: text("gpu"), why: text("driver reset") },
        Event::SourceBack { source: text("gpu"), blind_ms: 5_000 },
        Event::HoldMade {
            hold: 7,
            owner: text("alice"),
            until_wall_ms: 1_795_253_400_000,
            reason: text("train"),
        },
        Event::HoldEnded { hold: 7, owner: text("alice"), how: text("released") },
        Event::BlockExpired { source: text("packages"), subject: text("dpkg") },
        Event::Looping { act_after_ms: 3_600_000 },
        Event::Wished { wishes: Wishes { observe: true, ..Wishes::default() } },
        Event::PolicyChanged,
        Event::Unexpected { what: text("two answers") },
    ]
}

/// One of each kind that happens around the engine.
fn around() -> Vec<ShellEvent> {
    let error = || text("connection refused");
    let instance = || text("i-0123456789abcdef0");
    vec![
        ShellEvent::Started {
            version: text("0.1.0"),
            mode: text("observe"),
            profile: text("research"),
        },
        ShellEvent::Stopping { because: text("SIGTERM") },
        ShellEvent::ConfigLoaded { files: 2, changes: Some(text("idle.act_after")) },
        ShellEvent::ConfigLoaded { files: 0, changes: None },
        ShellEvent::ConfigWarning { problem: text("/etc/agentd/agentd.toml:2:1: …") },
        ShellEvent::ConfigRejected { error: error() },
        ShellEvent::IdentityKnown { instance: instance(), detail: text("m7i.large in eu-west-1") },
        ShellEvent::IdentityUnknown { error: error() },
        ShellEvent::PreflightResult {
            instance: instance(),
            detail: text("hibernate yes"),
            able: true,
        },
        ShellEvent::PreflightResult { instance: instance(), detail: text("stop no"), able: false },
        ShellEvent::PreflightFailed { error: error(), retry_ms: 60_000 },
        ShellEvent::StateRestored { detail: text("quiet for 4m") },
        ShellEvent::StateCorrupt { because: text("is cut short"), kept: Some(text("/x")) },
        ShellEvent::StateCorrupt { because: text("is cut short"), kept: None },
        ShellEvent::StateUnwritable { error: error() },
        ShellEvent::LedgerTorn { bytes: 17, kept: Some(text("/x")) },
        ShellEvent::SourceOpened { source: text("cpu"), detail: text("cgroup v2") },
        ShellEvent::SourceAbsent { source: text("gpu"), because: text("no device") },
        ShellEvent::BusUnavailable { error: error() },
        ShellEvent::SocketFailed { error: error() },
        ShellEvent::TagsWritten { state: text("quiet"), because: text("idle") },
        ShellEvent::TagsFailed { error: error() },
        ShellEvent::WarningDelivered { called_off: false, detail: text("alice on pts/0") },
        ShellEvent::NoticesBlind { kind: text("spot"), for_ms: 15_000, error: error() },
        ShellEvent::NoticesSeen { kind: text("spot"), blind_ms: 47_000 },
        ShellEvent::NoticeGarbled { what: text("its action is none that EC2 has") },
        ShellEvent::TagRejected { problem: text("agentd-policy:mode = \"off\"") },
        ShellEvent::ReportWritten { kind: text("hibernated"), file: text("/x") },
        ShellEvent::CommandGiven {
            owner: text("alice"),
            command: text("stop"),
            answer: text("denied"),
        },
        ShellEvent::AlreadyRunning { because: text("lock") },
        ShellEvent::Unexpected { what: text("x") },
    ]
}

/// One of each kind that the engine gives about interruptions.
fn interrupted() -> Vec<Event> {
    let (alert, what) = (|| text("spot-terminate"), || text("spot interruption (terminate)"));
    let at = 1_795_253_400_000;
    vec![
        noticed("spot-terminate", false),
        Event::NoticeMoved { alert: alert(), what: what(), deadline_wall_ms: at, left_ms: 60_000 },
        Event::NoticeStale { what: what(), deadline_wall_ms: at, because: text("an hour ago") },
        Event::AlertOver {
            alert: alert(),
            what: what(),
            end: AlertEnd::StartedAgain,
            because: text("it was terminated at 09:30"),
            drill: false,
            hooks: vec![hook(RunState::Done)],
        },
        Event::DrainStarted {
            alert: alert(),
            what: what(),
            hooks: 2,
            for_ms: 90_000,
            drill: false,
        },
        Event::DrainHookEnded { alert: alert(), run: hook(RunState::Failed), drill: true },
        Event::DrainEnded { alert: alert(), what: what(), took_ms: 4_000, ok: true, drill: false },
        Event::WouldDrain { alert: alert(), what: what(), hooks: 1 },
        Event::TargetChanged { target: text("Terminated") },
        Event::GroupAnswered { call: text("complete"), ok: false, detail: text("denied") },
    ]
}

fn noticed(alert: &str, drill: bool) -> Event {
    Event::Noticed {
        alert: text(alert),
        what: text("spot interruption (terminate)"),
        deadline_wall_ms: Some(1_795_253_400_000),
        left_ms: Some(118_000),
        drill,
        because: text("2 hooks run now"),
    }
}

fn hook(state: RunState) -> HookRun {
    HookRun {
        hook: text("/opt/save"),
        state,
        started: Some(Stamp::new(0, 0, 1_795_253_300_000)),
        took_ms: Some(4_200),
        detail: text("exit status 0: saved"),
    }
}

fn notification() -> Notification {
    Notification {
        moment: Moment::Noticed,
        alert: text("spot-terminate"),
        event: text("spot-interruption"),
        action: text("terminate"),
        what: text("spot interruption (terminate)"),
        deadline_wall_ms: None,
        left_ms: None,
        because: text("2 hooks run now"),
        drill: true,
        hooks: Vec::new(),
    }
}

fn lines() -> Vec<Line> {
    let notification = notification();
    let told = Delivered { notification: &notification, detail: "webhook: 204", missed: false };
    let all = decided().into_iter().chain(interrupted());
    let all = all.map(|event| Line::from(&event));
    all.chain(around().into_iter().map(Line::from)).chain([Line::from(&told)]).collect()
}

/// The entries of the catalog by id: header fields and text (systemd's `catalog.md`).
fn catalog() -> BTreeMap<&'static str, (BTreeMap<&'static str, &'static str>, String)> {
    let mut entries = BTreeMap::new();
    for entry in CATALOG.split("\n-- ").skip(1) {
        let (id, rest) = entry.split_once('\n').unwrap();
        let (head, body) = rest.split_once("\n\n").unwrap();
        let head = head.lines().map(|line| line.split_once(": ").unwrap()).collect();
        let body =
            body.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert!(entries.insert(id, (head, body)).is_none(), "{id} is there twice");
    }
    entries
}

#[test]
fn every_id_is_random_hex_and_used_once() {
    let mut seen = BTreeSet::new();
    let mut names = BTreeSet::new();
    for id in ids::ALL {
        assert_eq!(id.hex.len(), 32, "{}", id.name);
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(id.hex.chars().all(hex), "{}", id.hex);
        assert!(seen.insert(id.hex) && names.insert(id.name), "{} is there twice", id.name);
    }
}

#[test]
fn every_id_is_given_by_some_event() {
    let given: BTreeSet<&str> = lines().iter().map(|line| line.id.name).collect();
    for id in ids::ALL {
        assert!(given.contains(id.name), "no event has the id {}", id.name);
    }
}

#[test]
fn only_what_is_unexpected_has_the_id_for_it() {
    let all = decided().into_iter().chain(interrupted());
    for (line, event) in all.map(|event| (Line::from(&event), format!("{event:?}"))) {
        let unexpected = event.starts_with("Unexpected");
        assert_eq!(line.id == ids::UNEXPECTED, unexpected, "{event} has no sentence");
    }
    for event in around() {
        let unexpected = matches!(event, ShellEvent::Unexpected { .. });
        assert_eq!(
            Line::from(&event).id == ids::UNEXPECTED,
            unexpected,
            "{event:?} has no sentence"
        );
    }
}

#[test]
fn the_catalog_has_exactly_the_ids_that_events_have() {
    let catalog: BTreeSet<&str> = catalog().into_keys().collect();
    let ids: BTreeSet<&str> = ids::ALL.iter().map(|id| id.hex).collect();
    assert_eq!(catalog, ids);
}

#[test]
fn every_entry_of_the_catalog_is_complete_and_names_only_fields_that_its_event_has() {
    let catalog = catalog();
    for line in lines() {
        let (head, body) = &catalog[line.id.hex];
        for key in ["Subject", "Defined-By", "Support", "Documentation"] {
            assert!(head.contains_key(key), "{}: no {key}", line.id.name);
        }
        assert!(body.trim_end().ends_with('.'), "{}: {body}", line.id.name);
        let subject = head["Subject"];
        for named in format!("{subject}\n{body}").split('@').skip(1).step_by(2) {
            let field = Field::ALL.iter().find(|field| field.journal_name() == named);
            let field = field.unwrap_or_else(|| panic!("{}: no field {named}", line.id.name));
            assert!(
                line.field(*field).is_some(),
                "{}: {named} is not set in {line:?}",
                line.id.name
            );
        }
    }
}

#[test]
fn sentences_are_for_people() {
    for line in lines() {
        assert!(!line.text.contains("  ") && !line.text.ends_with('.'), "{}", line.text);
        assert!(line.text.is_ascii() || line.text.contains('…'), "{}", line.text);
    }
    let sentence = |event: Event| Line::from(&event).text;
    let because = || text("idle for 28m");
    assert_eq!(
        sentence(Event::Warned {
            power: Power::Stop,
            in_ms: 90_500,
            because: because(),
            not_counted: None
        }),
        "Will stop in 1m30s: idle for 28m"
    );
    let not_counted = Some(text("postgresql 0.03 of 0.12 core"));
    assert_eq!(
        sentence(Event::Asking { power: Power::Stop, because: because(), not_counted }),
        "Asking EC2 to stop this instance: idle for 28m; not counted: postgresql 0.03 of 0.12 core"
    );
    assert_eq!(
        sentence(Event::BecameQuiet {
            because: because(),
            act_at_wall_ms: Some(1_795_253_400_999)
        }),
        "The machine is quiet: idle for 28m; the action is due at 2026-11-21T09:30:00Z"
    );
    assert_eq!(
        sentence(Event::BecameQuiet { because: because(), act_at_wall_ms: None }),
        "The machine is quiet: idle for 28m"
    );
    assert_eq!(
        sentence(Event::Failed {
            power: Power::Hibernate,
            error: text("throttled"),
            retry_ms: None
        }),
        "Failed to hibernate this instance: throttled; not trying again in this idle period"
    );
}

#[test]
fn what_needs_a_person_is_an_error_and_what_is_lost_at_least_a_warning() {
    let priority = |event: Event| Line::from(&event).priority;
    assert_eq!(priority(Event::ColdBoot { asked_wall_ms: 0 }), Priority::Error);
    assert_eq!(priority(Event::NeverStopped { power: Power::Stop, waited_ms: 0 }), Priority::Error);
    assert_eq!(priority(Event::Gap { away_ms: 0 }), Priority::Warning);
    let ended = |ok| Event::HookEnded { detail: text(""), output: HookOutput::default(), ok };
    assert_eq!(priority(ended(false)), Priority::Warning);
    assert_eq!(priority(ended(true)), Priority::Info);
}

#[test]
fn texts_of_others_cannot_forge_lines_or_flood_the_journal() {
    let reason = format!("x\nMESSAGE_ID=0\u{1b}[2J\u{202e}{}", "y".repeat(100_000));
    let line =
        Line::from(&Event::HoldMade { hold: 1, owner: text("eve"), until_wall_ms: 0, reason });
    assert!(!line.text.chars().any(char::is_control), "{}", line.text);
    assert!(line.text.chars().count() <= MOST_TEXT + 1);
    for (field, value) in &line.fields {
        assert!(value.chars().count() <= MOST_FIELD + 1 && !value.contains('\n'), "{field:?}");
    }
}

#[test]
fn times_beyond_the_calendar_are_told_as_they_are() {
    assert_eq!(time(i64::MAX), format!("{} ms", i64::MAX));
    assert_eq!(seconds(1_005), "1.005");
    assert_eq!(spoken(999), "999ms");
    assert_eq!(spoken(61_999), "1m1s");
}

#[test]
fn a_notice_is_a_warning_unless_it_is_a_drill_or_a_recommendation() {
    let priority = |event: Event| Line::from(&event).priority;
    assert_eq!(priority(noticed("spot-terminate", false)), Priority::Warning);
    assert_eq!(priority(noticed("spot-terminate", true)), Priority::Info);
    assert_eq!(priority(noticed("rebalance-1", false)), Priority::Info);
    assert_eq!(
        Line::from(&noticed("spot-terminate", true)).text,
        "DRILL: EC2 announces: spot interruption (terminate), due at 2026-11-21T09:30:00Z, in 1m58s; 2 hooks run now"
    );
}

#[test]
fn the_end_of_a_notice_says_how_long_each_hook_took() {
    let over = &interrupted()[3];
    assert_eq!(
        Line::from(over).text,
        "Over: spot interruption (terminate), the instance went down and was started again: it was terminated at \
         09:30; hooks: /opt/save done in 4s"
    );
    let mut run = hook(RunState::Failed);
    run.detail = "x\n".repeat(1_024);
    let line = Line::from(&Event::DrainHookEnded { alert: text("a"), run, drill: false });
    assert_eq!(line.priority, Priority::Warning);
    let output = line.field(Field::Detail).unwrap();
    assert!(output.matches('x').count() == 1_024 && !output.contains('\n'), "all of its 2 KiB");
}
