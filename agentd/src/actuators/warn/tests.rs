//! All channels together: who is told, and that none waits for another.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use agent_core::action::Power;

use super::*;
use crate::host::tree::Tree;

fn warning() -> Warning {
    Warning {
        power: Power::Hibernate,
        in_ms: 600_000,
        at_wall_ms: 1_795_263_000_000,
        because: "no use for 20m\n\x1b[2J".to_owned(),
        not_counted: Some("nginx 0.03 of 0.12 core\x1b[2J".to_owned()),
    }
}

fn now() -> Stamp {
    Stamp::new(0, 0, 1_795_262_400_000)
}

fn warner(tree: &Tree, command: Option<&Path>) -> Warner {
    Warner::new(&WarnSettings {
        host: tree.root(),
        hostname: "box".to_owned(),
        bus: BusMode::None,
        voice: Voice::default(),
        command: command.map(|path| path.to_str().unwrap().to_owned()),
    })
}

async fn detail(warner: &Warner, word: &Word<'_>) -> String {
    let Outcome::Done { detail } = warner.tell(now(), word).await else { panic!() };
    detail
}

/// A program where the guard accepts one.
fn program(body: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let home = std::env::var_os("HOME").map_or_else(|| "/root".into(), std::path::PathBuf::from);
    let home = fs::canonicalize(home).unwrap();
    let folder = tempfile::Builder::new().prefix(".agentd-warn-").tempdir_in(home).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("warn");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    (folder, path)
}

#[test]
fn every_channel_is_described_and_fits_into_the_deadline_of_all() {
    let names: Vec<&str> = CHANNELS.iter().map(|channel| channel.name).collect();
    assert_eq!(names, ["terminals", "motd", "signal", "command"]);
    for channel in CHANNELS {
        assert!(!channel.about.is_empty(), "{}", channel.name);
        assert!(channel.deadline < SPEC.deadline, "{}", channel.name);
    }
}

#[tokio::test]
async fn a_machine_without_anybody_and_anything_is_fine() {
    let told = detail(&warner(&Tree::new(), None), &Word::Warned(&warning())).await;
    assert_eq!(told, "nobody");
}

#[tokio::test]
async fn the_message_of_the_day_stands_while_the_countdown_runs() {
    let tree = Tree::new();
    tree.folder("/run/motd.d");
    let warner = warner(&tree, None);
    assert_eq!(detail(&warner, &Word::Warned(&warning())).await, "the message of the day");
    let file = tree.path("/run/motd.d/50-agentd");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("it is to hibernate at 2026-11-21T12:10:00Z"), "{text}");
    assert!(text.contains("\nNot counted as use: nginx 0.03 of 0.12 core\\u{1b}[2J\n"), "{text}");
    assert!(text.contains("agentctl hold 2h") && !text.contains('\x1b'), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let off = Word::CalledOff { because: "ada typed" };
    assert_eq!(detail(&warner, &off).await, "the message of the day");
    assert_eq!(fs::read_dir(tree.path("/run/motd.d")).unwrap().count(), 0);
    assert_eq!(detail(&warner, &off).await, "nobody", "there is nothing to take back");
}

#[tokio::test]
async fn after_a_hibernation_the_next_login_reads_of_it_and_of_no_countdown() {
    let tree = Tree::new();
    tree.folder("/run/motd.d");
    let warner = warner(&tree, None);
    detail(&warner, &Word::Warned(&warning())).await;
    warner.came_back(now(), 3 * 3_600_000).unwrap();
    let names = || {
        let entries = fs::read_dir(tree.path("/run/motd.d")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(), ["40-agentd-back"]);
    let text = fs::read_to_string(tree.path("/run/motd.d/40-agentd-back")).unwrap();
    assert!(text.contains("hibernation at 2026-11-21T12:00:00Z, after 3 hours"), "{text}");
    // An agent that starts again takes a stale countdown back, and not this.
    tree.file("/run/motd.d/50-agentd", "stale");
    warner.clear();
    assert_eq!(names(), ["40-agentd-back"]);
}

#[tokio::test]
async fn a_message_of_the_day_that_cannot_be_written_is_told() {
    let tree = Tree::new();
    tree.folder("/run/motd.d/.50-agentd.new");
    let told = detail(&warner(&tree, None), &Word::Warned(&warning())).await;
    assert!(told.starts_with("nobody; not reached: the message of the day ("), "{told}");
}

#[tokio::test]
async fn the_command_learns_what_happens_and_what_was_called_off() {
    let tree = Tree::new();
    let (folder, path) = program("env | grep AGENTD_ > \"$0.$AGENTD_EVENT\"");
    let warner = warner(&tree, Some(&path));
    let read = |event: &str| {
        let text = fs::read_to_string(folder.path().join(format!("warn.{event}"))).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(detail(&warner, &Word::Warned(&warning())).await, path.to_str().unwrap());
    assert_eq!(
        read("warned"),
        [
            "AGENTD_ACTION=hibernate",
            "AGENTD_AT=2026-11-21T12:10:00Z",
            "AGENTD_BECAUSE=no use for 20m\\n\\u{1b}[2J",
            "AGENTD_EVENT=warned",
            "AGENTD_NOT_COUNTED=nginx 0.03 of 0.12 core\\u{1b}[2J",
            "AGENTD_SECONDS_LEFT=600",
        ]
    );
    detail(&warner, &Word::CalledOff { because: "ada typed" }).await;
    assert_eq!(read("called-off"), ["AGENTD_BECAUSE=ada typed", "AGENTD_EVENT=called-off"]);
}

#[tokio::test]
async fn a_command_that_fails_or_may_not_be_run_is_told_and_changes_nothing() {
    let tree = Tree::new();
    tree.folder("/run/motd.d");
    let (_folder, path) = program("echo no gateway >&2; exit 3");
    let told = detail(&warner(&tree, Some(&path)), &Word::Warned(&warning())).await;
    assert!(told.starts_with("the message of the day; not reached: "), "{told}");
    assert!(told.contains("exit status: 3") && !told.contains("no gateway"), "{told}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let told = detail(&warner(&tree, Some(&path)), &Word::Warned(&warning())).await;
    assert!(told.contains("can be written by its group or by everybody"), "{told}");
}

#[tokio::test]
async fn a_command_that_hangs_delays_no_other_channel() {
    let tree = Tree::new();
    tree.folder("/run/motd.d");
    let (_folder, path) = program("sleep 60");
    let mut warner = warner(&tree, Some(&path));
    warner.command.set_limit(Duration::from_millis(300));
    let begun = Instant::now();
    let written = async {
        while !tree.path("/run/motd.d/50-agentd").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    };
    let warning = warning();
    let word = Word::Warned(&warning);
    let (told, other) = tokio::join!(detail(&warner, &word), written);
    assert!(other < Duration::from_millis(300), "{other:?}");
    assert!(told.contains("within 0.3 s"), "{told}");
}
