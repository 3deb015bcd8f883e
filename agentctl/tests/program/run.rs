//! `agentctl run`: what the command sees, what the agent sees, and what the caller gets.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::agent::{Agent, Ran, agentctl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn the_exit_code_is_that_of_the_command() {
    let agent = Agent::holding();
    for (script, expected) in
        [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
    {
        assert_eq!(agent.run(&["run", "--", "sh", "-c", script]).code, Some(expected), "{script}");
    }
}

#[test]
fn the_command_has_the_terminal_s_place_and_its_output_is_untouched() {
    let agent = Agent::holding();
    let ran = agent.run(&["run", "--", "sh", "-c", "echo out; echo err >&2; cat"]);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("out\n", "err\n"));
}

#[test]
fn the_machine_is_held_before_and_released_after() {
    let agent = Agent::holding();
    let ran = agent.run(&["run", "--reason", "demo", "--", "sh", "-c", "echo $$"]);
    let child: u32 = ran.out.trim().parse().unwrap();
    let asked = agent.asked();
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["POST /v1/hold", "POST /v1/hold", "DELETE /v1/hold/7", "DELETE /v1/hold/7"]);
    let held: Vec<serde_json::Value> =
        asked[..2].iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(held[0]["reason"], "demo");
    assert_ne!(held[0]["pid"], child, "the first hold is this program's");
    assert_eq!(held[1]["pid"], child, "the second is the command's");
}

#[test]
fn a_command_that_cannot_be_started_is_126_or_127_and_nothing_stays_held() {
    let agent = Agent::holding();
    let ran = agent.run(&["run", "--", "/nonexistent/command"]);
    assert_eq!(ran.code, Some(127), "{ran:?}");
    assert!(ran.err.contains("'/nonexistent/command'"));
    assert_eq!(agent.paths(), ["POST /v1/hold", "DELETE /v1/hold/7"]);
    let file = agent.file("data");
    std::fs::write(&file, "not a program").unwrap();
    assert_eq!(agent.run(&["run", "--", file.to_str().unwrap()]).code, Some(126));
}

#[test]
fn without_an_agent_the_command_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let mut command = agentctl();
    command.args(["run", "--socket", "/nowhere/a.sock", "--", "touch"]).arg(&mark);
    let ran = Ran::new(command.output().unwrap());
    assert_eq!(ran.code, Some(3));
    assert!(!mark.exists());
}

#[test]
fn an_agent_that_goes_away_does_not_disturb_the_command() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let agent = Agent::start(move |_| {
        let first = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        if first {
            (200, crate::agent::HELD.to_owned())
        } else {
            (503, r#"{"kind":"unavailable","detail":"stopping"}"#.to_owned())
        }
    });
    let ran = agent.run(&["run", "--", "sh", "-c", "echo done; exit 5"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(5), "done\n"));
    assert!(ran.err.contains("warning: hold 7 ends by itself"), "{}", ran.err);
}

/// Waits until the child has printed its first line.
fn first_line(child: &mut Child) -> String {
    let mut out = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        out.push(char::from(byte[0]));
    }
    out
}

#[test]
fn signals_are_passed_on() {
    let agent = Agent::holding();
    for (signal, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGUSR1, "USR1"),
    ] {
        let script = format!("trap 'exit 42' {name}; echo ready; while :; do sleep 0.02; done");
        let mut child = agent
            .command(&["run", "--", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(first_line(&mut child), "ready");
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let give_up = Instant::now() + Duration::from_secs(10);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > give_up {
                child.kill().unwrap();
                panic!("{name} was not passed on");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(42), "{name}");
    }
    assert!(agent.paths().iter().filter(|path| path.starts_with("DELETE")).count() >= 8);
}

#[test]
fn the_command_starts_with_no_signal_blocked() {
    let agent = Agent::holding();
    let ran = agent.run(&["run", "--", "grep", "SigBlk", "/proc/self/status"]);
    assert_eq!(ran.out, "SigBlk:\t0000000000000000\n");
}
