//! Behaviour of the ledger over crashes, full disks and rubbish.

use agent_core::action::{ActionKind, Key, Power};
use nix::errno::Errno;
use proptest::prelude::*;

use super::*;
use crate::durable::faulty::Faulty;

fn event(text: &str) -> Event {
    Event::BecameActive { because: text.to_owned() }
}

fn append<D: Disk>(ledger: &mut Ledger<D>, text: &str) -> Result<u64, LedgerError> {
    let events = [event(text)];
    let actions =
        [ActionRequest { key: Key(7), kind: ActionKind::Power { power: Power::Hibernate } }];
    let record = Record {
        at: Stamp::new(1, 2, 3),
        boot_id: "b",
        stage: Stage::Acting,
        events: &events,
        actions: &actions,
    };
    ledger.append(record, true)
}

fn open(folder: &Path) -> (Ledger, Option<Torn>) {
    Ledger::open(folder).unwrap()
}

fn texts(folder: &Path) -> Vec<(u64, String)> {
    let entries = tail(folder, 1_000).unwrap();
    let text = |entry: &Entry| match &entry.events[0] {
        Event::BecameActive { because } => (entry.seq, because.clone()),
        other => panic!("{other:?}"),
    };
    entries.iter().map(text).collect()
}

fn only_file(folder: &Path) -> PathBuf {
    files(folder).unwrap().pop().unwrap().1
}

#[test]
fn entries_are_read_back_as_they_were_written_and_numbers_go_on_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, torn) = open(folder.path());
    assert_eq!(torn, None);
    assert_eq!(append(&mut ledger, "a").unwrap(), 1);
    assert_eq!(append(&mut ledger, "b").unwrap(), 2);
    drop(ledger);
    let (mut ledger, torn) = open(folder.path());
    assert_eq!((torn, ledger.next_seq()), (None, 3));
    assert_eq!(append(&mut ledger, "c").unwrap(), 3);
    let entries = tail(folder.path(), 10).unwrap();
    assert_eq!(entries.len(), 3);
    let expected = Entry {
        seq: 2,
        at: Stamp::new(1, 2, 3),
        boot_id: "b".into(),
        stage: Stage::Acting,
        events: vec![event("b")],
        actions: vec![ActionRequest {
            key: Key(7),
            kind: ActionKind::Power { power: Power::Hibernate },
        }],
    };
    assert_eq!(entries[1], expected);
    assert_eq!(tail(folder.path(), 2).unwrap()[0], expected, "the last two, the oldest first");
    assert!(tail(folder.path(), 0).unwrap().is_empty());
}

#[test]
fn every_line_is_json_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    append(&mut ledger, "line\nbreak \"quoted\"").unwrap();
    let text = fs::read_to_string(only_file(folder.path())).unwrap();
    assert_eq!(text.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(json["entry"]["seq"], 1);
}

#[test]
fn a_crash_at_any_byte_of_the_last_line_loses_that_entry_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    append(&mut ledger, "whole").unwrap();
    let file = only_file(folder.path());
    let good = fs::metadata(&file).unwrap().len();
    append(&mut ledger, "torn").unwrap();
    let bytes = fs::read(&file).unwrap();
    for cut in (usize::try_from(good).unwrap() + 1)..bytes.len() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(file.file_name().unwrap()), &bytes[..cut]).unwrap();
        let (mut ledger, torn) = open(folder.path());
        let torn = torn.unwrap();
        assert_eq!(torn.bytes, u64::try_from(cut).unwrap() - good);
        assert_eq!(
            fs::read(torn.kept.unwrap()).unwrap(),
            bytes[usize::try_from(good).unwrap()..cut]
        );
        assert_eq!(append(&mut ledger, "next").unwrap(), 2);
        assert_eq!(texts(folder.path()), [(1, "whole".into()), (2, "next".into())]);
    }
}

#[test]
fn a_file_of_rubbish_alone_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{:020}.jsonl", 41));
    fs::write(&path, b"\0\0\0\0{}\n\xff\xff").unwrap();
    let (mut ledger, torn) = open(folder.path());
    assert_eq!(torn.unwrap().bytes, 9);
    assert_eq!(append(&mut ledger, "a").unwrap(), 41, "numbers never go back");
    assert_eq!(texts(folder.path()), [(41, "a".into())]);
}

#[test]
fn a_damaged_line_in_the_middle_is_passed_over_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    for text in ["a", "b", "c"] {
        append(&mut ledger, text).unwrap();
    }
    let file = only_file(folder.path());
    let text = fs::read_to_string(&file).unwrap().replace("\"b\"}", "\"x\"}");
    fs::write(&file, &text).unwrap();
    let (ledger, torn) = open(folder.path());
    assert_eq!((torn, ledger.next_seq()), (None, 4));
    assert_eq!(texts(folder.path()), [(1, "a".into()), (3, "c".into())]);
}

#[test]
fn files_are_rotated_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    let text = "x".repeat(100_000);
    for _ in 0..200 {
        append(&mut ledger, &text).unwrap();
    }
    let files = files(folder.path()).unwrap();
    assert_eq!(files.len(), MOST_FILES);
    for (first, path) in &files {
        assert!(fs::metadata(path).unwrap().len() <= MOST_FILE, "{first}");
    }
    let entries = tail(folder.path(), usize::MAX).unwrap();
    assert_eq!(entries.last().unwrap().seq, 200);
    assert_eq!(entries[0].seq, files[0].0);
    assert!(entries.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "no gap");
    let (ledger, _) = open(folder.path());
    assert_eq!(ledger.next_seq(), 201);
}

#[test]
fn an_entry_beyond_the_limit_is_refused_and_the_ledger_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(folder.path());
    let error = append(&mut ledger, &"x".repeat(MOST_LINE)).unwrap_err();
    assert!(matches!(error, LedgerError::TooLarge { .. }), "{error}");
    assert_eq!(append(&mut ledger, "small").unwrap(), 1);
}

#[test]
fn a_failure_at_any_step_is_an_error_and_the_next_entry_is_whole() {
    for (step, also) in [
        (Step::Create, None),
        (Step::Write, None),
        (Step::Write, Some(Step::Truncate)),
        (Step::Sync, None),
        (Step::SyncFolder, None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let disk = Faulty::at(step, Errno::ENOSPC);
        let (mut ledger, _) = Ledger::open_on(disk, folder.path()).unwrap();
        let error = append(&mut ledger, "lost").unwrap_err().to_string();
        assert!(error.starts_with("write the ledger: ") && error.contains("jsonl"), "{error}");
        if let Some(also) = also {
            // Half a line stays behind.
            let path = folder.path().join(format!("{:020}.jsonl", 1));
            fs::write(&path, b"{\"crc32\":\"0").unwrap();
            ledger.disk.fails.set(Some((also, 5)));
        } else {
            ledger.disk.fails.set(None);
        }
        let seq = append(&mut ledger, "next").unwrap();
        let texts = texts(folder.path());
        assert_eq!(texts, [(seq, "next".to_owned())], "{step:?}: what failed does not count");
    }
}

#[test]
fn a_full_disk_in_the_middle_leaves_no_half_line() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledger, _) = Ledger::open_on(Faulty::never(), folder.path()).unwrap();
    append(&mut ledger, "a").unwrap();
    ledger.disk.fails.set(Some((Step::Write, Errno::ENOSPC as i32)));
    assert!(append(&mut ledger, "b").is_err());
    ledger.disk.fails.set(None);
    assert_eq!(append(&mut ledger, "c").unwrap(), 2);
    assert_eq!(texts(folder.path()), [(1, "a".into()), (2, "c".into())]);
    let (_, torn) = open(folder.path());
    assert_eq!(torn, None);
}

#[test]
fn a_folder_that_cannot_be_made_or_read_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger");
    fs::write(&file, "").unwrap();
    let error = Ledger::open(&file).unwrap_err().to_string();
    assert!(error.contains("ledger: "), "{error}");
    assert!(tail(&folder.path().join("missing"), 5).unwrap().is_empty());
}

#[test]
fn a_foreign_giant_is_neither_read_whole_nor_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{:020}.jsonl", 1));
    let giant = File::create(&path).unwrap();
    giant.set_len(1 << 32).unwrap();
    let (mut ledger, torn) = open(folder.path());
    assert_eq!(torn, None);
    append(&mut ledger, "a").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 1 << 32);
    assert_eq!(texts(folder.path()).len(), 1);
}

proptest! {
    #[test]
    fn no_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = line::read(&bytes);
        prop_assert!(line::scan(&bytes).good <= bytes.len());
    }

    #[test]
    fn a_flipped_bit_is_noticed(position in any::<proptest::sample::Index>(), bit in 0..8_u32) {
        let json = r#"{"seq":1,"at":{"boot_ms":1,"asleep_ms":2,"wall_ms":3},"boot_id":"b","stage":"acting"}"#;
        let mut line = line::framed(json).into_bytes();
        line.pop();
        prop_assert!(line::read(&line).is_some());
        let at = position.index(line.len());
        line[at] ^= 1 << bit;
        prop_assert!(line::read(&line).is_none());
    }
}
