use super::*;
use crate::host::HostRoot;
use crate::sources::BusMode;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A folder that nobody else can write to along its whole path: the usual temporary folder can be.
fn folder() -> tempfile::TempDir {
    let place = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let folder = tempfile::Builder::new().prefix(".agentd-probe").tempdir_in(place).unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn script(folder: &Path, body: &str) -> String {
    let path = folder.join("probe");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn exec(command: &str, more: &str) -> Exec {
    let options = toml::from_str(&format!("command = {command:?}\n{more}")).unwrap();
    Exec::new(&Context { host: HostRoot::at("/nowhere"), options, bus: BusMode::None })
}

fn at(seconds: u64) -> Stamp {
    Stamp::new(1_000_000 + seconds * 1000, 0, 0)
}

fn shown(reading: Reading) -> (Value, Option<String>) {
    let Reading::Signals(mut signals) = reading else { panic!("{reading:?}") };
    let signal = signals.remove(0);
    (signal.value, signal.owner)
}

fn why(reading: Reading) -> String {
    let Reading::Blind { why } = reading else { panic!("{reading:?}") };
    why
}

#[tokio::test]
async fn without_a_command_there_is_none() {
    let reading = exec("", "").read(at(0)).await;
    assert!(matches!(reading, Reading::Absent { .. }), "{reading:?}");
}

#[tokio::test]
async fn the_exit_status_says_it() {
    let folder = folder();
    for (status, value) in [
        (0, Value::Level { value: 0.0 }),
        (1, Value::Level { value: 1.0 }),
        (2, Value::Blocks { cap_ms: 86_400_000 }),
    ] {
        let command = script(folder.path(), &format!("echo 'three jobs'; exit {status}"));
        let expected = (value, Some("three jobs".to_owned()));
        assert_eq!(shown(exec(&command, "").read(at(0)).await), expected);
    }
    for body in ["echo lost; exit 3", "exit 77", "kill -9 $$"] {
        let command = script(folder.path(), body);
        assert!(why(exec(&command, "").read(at(0)).await).contains("failed to tell"), "{body}");
    }
}

#[tokio::test]
async fn what_cannot_or_must_not_be_run_is_blind() {
    let folder = folder();
    for command in ["probe", "/nowhere/probe"] {
        assert!(why(exec(command, "").read(at(0)).await).contains(command));
    }
    let command = script(folder.path(), "exit 0");
    std::fs::set_permissions(&command, PermissionsExt::from_mode(0o777)).unwrap();
    assert!(why(exec(&command, "").read(at(0)).await).contains("can be written"));
    std::fs::set_permissions(&command, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(why(exec(&command, "").read(at(0)).await).contains("not an executable file"));
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_killed_with_its_children_and_blind() {
    let folder = folder();
    let command = script(folder.path(), "sleep 60 & wait");
    let reading = exec(&command, "timeout = '50ms'").read(at(0)).await;
    assert!(why(reading).contains("end within 0.05 s"));
}

#[tokio::test]
async fn it_runs_no_more_often_than_wanted_but_always_on_demand() {
    let folder = folder();
    let count = folder.path().join("count");
    let command = script(folder.path(), &format!("echo x >> {}", count.display()));
    let mut exec = exec(&command, "every = '60s'");
    for seconds in [0, 10, 50, 60, 70] {
        shown(exec.read(at(seconds)).await);
    }
    let runs = || std::fs::read_to_string(&count).unwrap().lines().count();
    assert_eq!(runs(), 2);
    exec.refresh();
    shown(exec.read(at(71)).await);
    assert_eq!(runs(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_stands_while_the_next_is_waited_for_and_not_longer() {
    let folder = folder();
    let gate = folder.path().join("gate");
    let body = format!("test -e {} || exec sleep 600", gate.display());
    let command = script(folder.path(), &body);
    std::fs::write(&gate, "").unwrap();
    let mut exec = exec(&command, "every = '60s'\ntimeout = '1h'");
    // Time is paused and jumps while the program runs, so its end is waited for in looks.
    let mut first = exec.read(at(0)).await;
    for _ in 0..1000 {
        if matches!(first, Reading::Signals(_)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
        first = exec.read(at(0)).await;
    }
    shown(first);
    std::fs::remove_file(&gate).unwrap();
    shown(exec.read(at(60)).await);
    shown(exec.read(at(3600)).await);
    assert!(why(exec.read(at(3700)).await).contains("has not answered yet"));
}
