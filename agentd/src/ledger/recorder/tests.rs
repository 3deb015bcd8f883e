//! The recording over rotations, crashes, full disks and rubbish.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use agent_core::engine::Engine;
use agent_core::interruption::InterruptionPolicy;
use agent_core::policy::{Combine, HoldPolicy, IdlePolicy, Mode, SourcePolicy, TagPolicy};
use agent_core::reading::{Observation, Reading, Signal, SourceName, Value};
use agent_core::trace::Content;
use nix::errno::Errno;

use super::folder::shelved;
use super::read::{Damage, Records, TraceError, recorded};
use super::*;
use crate::durable::Step;
use crate::durable::faulty::Faulty;

const WALL: i64 = 1_800_000_000_000;

fn settings() -> RecorderSettings {
    RecorderSettings { enabled: true, max_age: Duration::from_hours(14 * 24), max_size: 16 << 20 }
}

fn policy() -> Policy {
    let source = SourcePolicy {
        enabled: true,
        busy_above: 0.05,
        unit: "core".to_owned(),
        scale: 1e-6,
        average: Duration::from_mins(1),
        interval: Duration::from_secs(10),
        combine: Combine::Sum,
        limits: None,
    };
    Policy {
        mode: Mode::Observe,
        profile: "research".to_owned(),
        gap: Duration::from_mins(1),
        idle: IdlePolicy {
            enabled: true,
            quiet_after: Duration::from_mins(5),
            act_after: Duration::from_mins(30),
            connected_after: Duration::from_hours(1),
            job_after: Duration::from_hours(4),
            least_run: Duration::ZERO,
            action: Some(agent_core::action::Power::Stop),
            fallback_stop: false,
            warn_before: Vec::new(),
            boot_grace: Duration::ZERO,
            resume_grace: Duration::ZERO,
            hook: false,
            standby: false,
            verify_after: Duration::from_mins(5),
        },
        hold: HoldPolicy { user_max: Duration::from_hours(8), admin_max: Duration::from_hours(72) },
        tags: TagPolicy { enabled: false, interval: Duration::from_mins(1) },
        interruption: InterruptionPolicy::default(),
        sources: BTreeMap::from([(SourceName::new("cpu"), source)]),
    }
}

fn stamp(ms: u64) -> Stamp {
    Stamp::new(ms, 0, WALL.saturating_add_unsigned(ms))
}

/// A reading of many groups, of which one in three grew by some amount.
fn reading(round: u64) -> Input {
    let signal = |group: u64| {
        let grown = (round + 2 - group % 3) / 3;
        let scattered = (grown + group * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000_000;
        let total = grown * 1_000_000 + scattered;
        Signal::new(format!("user-{group}.slice"), Value::Counter { total }).owned_by("alice")
    };
    let reading = Reading::Signals((0..20).map(signal).collect());
    Input::Observed(Observation { source: SourceName::new("cpu"), reading })
}

fn recorder(state: &Path, start: Stamp) -> Recorder {
    Recorder::new(state, settings(), start, "boot", &policy(), &Recovery::default())
}

/// Records the rounds from `from` to `to`, ten seconds each; every write is waited for.
fn run(recorder: &mut Recorder, from: u64, to: u64) {
    for round in from..to {
        let now = stamp(round * 10_000);
        recorder.record(now, &reading(round));
        if round % 6 == 5 {
            recorder.close(now);
        }
    }
    recorder.close(stamp(to * 10_000));
}

fn read_all(state: &Path, damage: Damage) -> (Vec<Record>, Vec<String>) {
    let (mut records, mut notes) = (Vec::new(), Vec::new());
    for path in recorded(&folder(state), None, WALL).unwrap() {
        let mut from = Records::open(&path, damage).unwrap();
        records.extend(from.by_ref().map(Result::unwrap));
        notes.extend(from.notes().to_vec());
    }
    (records, notes)
}

fn inputs(records: Vec<Record>) -> Vec<(Stamp, Input)> {
    let each = records.into_iter().flat_map(|record| match record.content {
        Content::Inputs(inputs) => inputs.into_iter().map(|i| (record.at, i)).collect::<Vec<_>>(),
        Content::Boot(_) => Vec::new(),
    });
    each.collect()
}

fn rounds(from: u64, to: u64) -> Vec<(Stamp, Input)> {
    (from..to).map(|round| (stamp(round * 10_000), reading(round))).collect()
}

fn sizes(state: &Path) -> u64 {
    let files = shelved(&folder(state)).unwrap();
    files.iter().map(|file| fs::metadata(&file.path).unwrap().len()).sum()
}

#[test]
fn what_is_recorded_is_read_back_over_files_and_restarts() {
    let state = tempfile::tempdir().unwrap();
    let mut first = recorder(state.path(), stamp(0));
    run(&mut first, 0, 600);
    let files = shelved(&folder(state.path())).unwrap();
    assert!(files.len() > 1 && files.iter().rev().skip(1).all(|file| file.closed), "{files:?}");
    let mut second = recorder(state.path(), stamp(6_000_000));
    run(&mut second, 600, 650);
    let (records, notes) = read_all(state.path(), Damage::Refuse);
    assert!(notes.is_empty(), "{notes:?}");
    let boots = records.iter().filter(|record| matches!(record.content, Content::Boot(_)));
    assert_eq!(boots.count(), files.len() + 1, "every file says where it begins");
    assert!(inputs(records) == rounds(0, 650));
}

#[test]
fn an_engine_that_begins_where_the_recording_begins_decides_the_same() {
    let state = tempfile::tempdir().unwrap();
    let (recovery, start) = (Recovery::default(), stamp(5));
    let mut engine = Engine::new(policy(), recovery.clone(), start);
    let mut recorder = Recorder::new(state.path(), settings(), start, "boot", &policy(), &recovery);
    let mut decisions = Vec::new();
    for round in 1..600 {
        let now = stamp(round * 10_000);
        for input in [Input::Tick, reading(if round < 100 { round } else { 100 })] {
            recorder.record(now, &input);
            decisions.push(engine.step(now, input));
        }
        recorder.rest(now);
    }
    recorder.close(stamp(6_000_000));
    let (records, _) = read_all(state.path(), Damage::Refuse);
    let mut again = None;
    let mut decided = Vec::new();
    for Record { at, content } in records {
        match content {
            Content::Boot(boot) if again.is_none() => {
                let recovery = boot.recovery();
                again = Some(Engine::new(boot.policy.unwrap(), recovery, at));
            }
            Content::Boot(_) => {}
            Content::Inputs(inputs) => {
                let engine = again.as_mut().unwrap();
                decided.extend(inputs.into_iter().map(|input| engine.step(at, input)));
            }
        }
    }
    assert!(decided == decisions);
    assert!(again.unwrap() == engine);
    let would_act = |event: &agent_core::reason::Event| {
        matches!(event, agent_core::reason::Event::WouldAct { .. })
    };
    assert!(decisions.iter().flat_map(|decision| &decision.events).any(would_act));
}

#[test]
fn the_space_is_bounded_and_the_oldest_go_first() {
    let state = tempfile::tempdir().unwrap();
    let mut recorder = recorder(state.path(), stamp(0));
    recorder.configure(RecorderSettings { max_size: 100 * 1024, ..settings() });
    for part in 0..15 {
        run(&mut recorder, part * 200, part * 200 + 200);
        assert!(sizes(state.path()) <= 100 * 1024);
    }
    let (records, _) = read_all(state.path(), Damage::Refuse);
    let kept = inputs(records);
    let first = kept[0].0.boot_ms / 10_000;
    assert!(first > 0, "the oldest are gone");
    assert!(kept == rounds(first, 3000), "and nothing else");
}

#[test]
fn what_is_too_old_goes() {
    let state = tempfile::tempdir().unwrap();
    let mut recorder = recorder(state.path(), stamp(0));
    recorder.configure(RecorderSettings { max_age: Duration::from_hours(1), ..settings() });
    run(&mut recorder, 0, 1200);
    let (records, _) = read_all(state.path(), Damage::Refuse);
    let first = inputs(records)[0].0;
    let age = stamp(12_000_000).since(first);
    assert!(age >= Duration::from_hours(1) && age < Duration::from_hours(2), "{age:?}");
}

#[test]
fn a_torn_end_is_set_aside_and_what_is_before_it_counts() {
    let state = tempfile::tempdir().unwrap();
    let mut first = recorder(state.path(), stamp(0));
    run(&mut first, 0, 100);
    drop(first);
    let file = shelved(&folder(state.path())).unwrap().pop().unwrap().path;
    let mut torn = fs::OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(b"{\"crc32\":\"0123").unwrap();
    let (records, notes) = read_all(state.path(), Damage::Refuse);
    assert_eq!(inputs(records).len(), 100, "a reader passes it over");
    assert!(notes[0].contains("torn off"), "{notes:?}");
    run(&mut recorder(state.path(), stamp(1_000_000)), 100, 120);
    let (records, notes) = read_all(state.path(), Damage::Refuse);
    assert!(notes.is_empty(), "{notes:?}");
    assert!(inputs(records) == rounds(0, 120));
    let aside = crate::ledger::listed(&folder(state.path()), "torn").unwrap();
    assert_eq!(fs::read(&aside[0]).unwrap(), b"{\"crc32\":\"0123");
}

#[test]
fn after_damage_it_goes_on_with_the_next_line_that_begins_anew() {
    let state = tempfile::tempdir().unwrap();
    run(&mut recorder(state.path(), stamp(0)), 0, 200);
    let file = shelved(&folder(state.path())).unwrap().pop().unwrap().path;
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[72] = "{\"crc32\":\"00000000\",\"entry\":{}}";
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let (records, notes) = read_all(state.path(), Damage::PassOver);
    assert!(notes.len() == 1 && notes[0].contains(":73: its checksum is wrong"), "{notes:?}");
    // Lines: header, boot, a line a round; it begins anew every 60 rounds.
    let expected = [rounds(0, 70), rounds(120, 200)].concat();
    assert!(inputs(records) == expected);
    let error = Records::open(&file, Damage::Refuse).unwrap().find_map(Result::err).unwrap();
    let place = format!("read the trace {}:73: its checksum is wrong", file.display());
    assert!(error.to_string().starts_with(&place), "{error}");
}

#[test]
fn a_disk_that_fails_costs_the_recording_alone() {
    let folder_path = tempfile::tempdir().unwrap();
    let piece =
        |begins: bool, text: &str| Piece { begins: begins.then_some(WALL), text: text.to_owned() };
    for step in [Step::Create, Step::Write] {
        let disk = Faulty::at(step, Errno::ENOSPC);
        let mut folder = Folder::on(disk, folder_path.path());
        folder.write(&[piece(true, "a\n")], settings(), WALL);
        assert!(folder.failed(), "{step:?}");
        assert!(!folder.failed(), "it is told once");
        assert!(shelved(folder_path.path()).unwrap().is_empty(), "no rubbish");
    }
    // The whole recorder: a file stands where its folder should be, and goes away again.
    let state = tempfile::tempdir().unwrap();
    fs::write(folder(state.path()), "").unwrap();
    let mut recorder = recorder(state.path(), stamp(0));
    run(&mut recorder, 0, 60);
    fs::remove_file(folder(state.path())).unwrap();
    run(&mut recorder, 60, 120);
    let (records, _) = read_all(state.path(), Damage::Refuse);
    let kept = inputs(records);
    assert!(kept.len() >= 50 && kept == rounds(120 - kept.len() as u64, 120), "{}", kept.len());
}

#[test]
fn a_disk_that_hangs_costs_bounded_memory() {
    let state = tempfile::tempdir().unwrap();
    let mut recorder = recorder(state.path(), stamp(0));
    let (release, hang) = std::sync::mpsc::channel::<()>();
    recorder.writer = Writer::Away(thread::spawn(move || {
        let _ = hang.recv();
        Box::new(Folder::new(Path::new("/nonexistent")))
    }));
    for round in 0..3000 {
        recorder.record(stamp(round * 10_000), &reading(round));
        recorder.rest(stamp(round * 10_000));
        assert!(recorder.waiting_bytes() <= MOST_WAITING);
    }
    drop(release);
}

#[test]
fn nothing_is_recorded_when_it_is_switched_off() {
    let state = tempfile::tempdir().unwrap();
    let off = RecorderSettings { enabled: false, ..settings() };
    let mut recorder =
        Recorder::new(state.path(), off, stamp(0), "boot", &policy(), &Recovery::default());
    run(&mut recorder, 0, 50);
    assert!(!folder(state.path()).exists());
    recorder.configure(settings());
    run(&mut recorder, 50, 60);
    recorder.configure(off);
    run(&mut recorder, 60, 70);
    let (records, _) = read_all(state.path(), Damage::Refuse);
    let kept = inputs(records);
    assert!(
        kept == rounds(50, 60),
        "{:?}",
        kept.iter().map(|(at, _)| at.boot_ms / 10_000).collect::<Vec<_>>()
    );
}

#[test]
fn it_is_for_root_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let state = tempfile::tempdir().unwrap();
    run(&mut recorder(state.path(), stamp(0)), 0, 600);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder(state.path())), 0o700);
    for file in shelved(&folder(state.path())).unwrap() {
        assert_eq!(mode(&file.path), 0o600, "{file:?}");
    }
}

#[test]
fn only_the_files_of_the_wanted_time_are_read() {
    let state = tempfile::tempdir().unwrap();
    run(&mut recorder(state.path(), stamp(0)), 0, 1200);
    let now = stamp(12_000_000).wall_ms;
    let all = recorded(&folder(state.path()), None, now).unwrap();
    let last = recorded(&folder(state.path()), Some(Duration::from_mins(1)), now).unwrap();
    assert_eq!(last, all[all.len() - 1..]);
    let hours = recorded(&folder(state.path()), Some(Duration::from_mins(50)), now).unwrap();
    assert!(hours.len() > 1 && hours.len() < all.len(), "{} of {}", hours.len(), all.len());
    assert!(recorded(Path::new("/nonexistent/x"), None, now).unwrap().is_empty());
}

fn refusal(text: &[u8]) -> String {
    let records = Records::of("t.jsonl", std::io::Cursor::new(text.to_vec()), Damage::Refuse);
    records.unwrap().find_map(Result::err).map_or_else(String::new, |error| error.to_string())
}

#[test]
fn a_bad_line_is_named_with_file_line_and_key() {
    let header = "{\"trace\":\"agentd/trace/v1\"}\n";
    let at = "\"at\":{\"boot_ms\":1,\"asleep_ms\":0,\"wall_ms\":1}";
    for (text, expected) in [
        (String::new(), "read the trace t.jsonl:1: it is empty"),
        ("{\"trace\":\"x/v9\"}\n".to_owned(), "t.jsonl:1: `trace` is \"x/v9\""),
        (format!("{{{at},\"inputs\":[]}}\n"), "t.jsonl:1: the first line is no header"),
        (format!("{header}\nnonsense\n"), "t.jsonl:3: column 2: expected ident"),
        (
            format!("{header}{{{at},\"inputs\":[{{\"observed\":{{\"source\":\"cpu\"}}}}]}}\n"),
            "missing field `reading`",
        ),
        (format!("{header}{{{at},\"input\":[]}}\n"), "t.jsonl:2: column 53: unknown field `input`"),
        (
            format!("{header}{{\"after\":5,\"seen\":[]}}\n"),
            "t.jsonl:2: `after`: there is no record before it",
        ),
        (
            format!("{header}{{{at},\"inputs\":[]}}\n{{\"after\":5,\"seen\":[\"gpu\"]}}\n"),
            "t.jsonl:3: `seen`: source 'gpu'",
        ),
        (
            format!("{header}{}\n", "x".repeat(MOST_LINE + 5)),
            "t.jsonl:2: it is longer than 1024 KiB",
        ),
    ] {
        let error = refusal(text.as_bytes());
        assert!(error.contains(expected), "{error}");
    }
    assert!(
        refusal(b"{\"trace\":\"agentd/trace/v1\"}\n\xff\n").contains("t.jsonl:2: it is not UTF-8")
    );
    let torn = format!("{header}{{{at},\"inp");
    assert_eq!(refusal(torn.as_bytes()), "", "a torn last line is no reason to refuse the rest");
    assert!(matches!(
        Records::open(Path::new("/nonexistent"), Damage::Refuse),
        Err(TraceError::Io { .. })
    ));
}

#[test]
fn a_compressed_trace_that_was_cut_off_is_read_to_there() {
    let state = tempfile::tempdir().unwrap();
    run(&mut recorder(state.path(), stamp(0)), 0, 600);
    let file = shelved(&folder(state.path())).unwrap().remove(0);
    assert!(file.closed);
    let bytes = fs::read(&file.path).unwrap();
    let half = std::io::Cursor::new(bytes[..bytes.len() / 2].to_vec());
    let mut records = Records::of("half", half, Damage::Refuse).unwrap();
    let read = inputs(records.by_ref().map(Result::unwrap).collect());
    assert!(read.len() > 20 && read == rounds(0, read.len() as u64));
    assert!(records.notes()[0].contains("torn off"), "{:?}", records.notes());
}
