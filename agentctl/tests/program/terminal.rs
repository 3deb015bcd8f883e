//! The program at a terminal: questions, colour, the drawn screen, Ctrl-C.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::pty::openpty;

use crate::agent::{Agent, STATUS};

/// A program whose three streams are a terminal.
struct Terminal {
    person: File,
    child: Child,
    seen: String,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Terminal {
    fn run(mut command: Command) -> Self {
        let pty = openpty(None, None).unwrap();
        let slave = || pty.slave.try_clone().unwrap();
        command.env("TERM", "xterm").stdin(slave()).stdout(slave()).stderr(slave());
        // A group of its own, so that a signal for it does not reach the test.
        let child = command.process_group(0).spawn().unwrap();
        Self { person: File::from(pty.master), child, seen: String::new() }
    }

    /// Reads until `text` was shown. A terminal whose other end has gone reads as an error.
    fn shows(&mut self, text: &str) {
        let give_up = Instant::now() + PATIENCE;
        let mut chunk = [0; 4096];
        while !self.seen.contains(text) {
            assert!(Instant::now() < give_up, "{text:?} is not in {:?}", self.seen);
            match self.person.read(&mut chunk) {
                Ok(count) if count > 0 => {
                    self.seen.push_str(&String::from_utf8_lossy(&chunk[..count]));
                }
                _ => panic!("it ended without {text:?}: {:?}", self.seen),
            }
        }
    }

    fn types(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).unwrap();
    }

    fn ends(&mut self) -> ExitStatus {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > give_up {
                self.child.kill().unwrap();
                panic!("it does not end: {:?}", self.seen);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

const STOPPING: &str = r#"{"power":"stop","dry_run":false}"#;

#[test]
fn a_person_who_says_yes_is_obeyed() {
    for answer in ["y\n", "yes\n", "Y\n"] {
        let agent = Agent::saying(200, STOPPING);
        let mut terminal = Terminal::run(agent.command(&["stop"]));
        terminal.shows("This machine will stop. Go on? [y/N] ");
        assert!(agent.asked().is_empty(), "not before the answer");
        terminal.types(answer);
        terminal.shows("It will stop.");
        assert_eq!(terminal.ends().code(), Some(0));
        assert_eq!(agent.paths(), ["POST /v1/stop"]);
    }
}

#[test]
fn anything_else_is_no() {
    for answer in ["\n", "n\n", "yesterday\n", "\u{4}", "why?\n"] {
        let agent = Agent::saying(200, STOPPING);
        let mut terminal = Terminal::run(agent.command(&["stop"]));
        terminal.shows("[y/N] ");
        terminal.types(answer);
        terminal.shows("not confirmed");
        assert_eq!(terminal.ends().code(), Some(1), "{answer:?}");
        assert!(agent.asked().is_empty(), "{answer:?}");
    }
}

#[test]
fn a_dry_run_asks_nothing() {
    let agent = Agent::saying(200, r#"{"power":"stop","dry_run":true}"#);
    let mut terminal = Terminal::run(agent.command(&["stop", "--dry-run"]));
    terminal.shows("Nothing was done");
    assert_eq!(terminal.ends().code(), Some(0));
    assert!(!terminal.seen.contains("[y/N]"));
}

#[test]
fn status_is_coloured_at_a_terminal_unless_no_color_is_set() {
    let agent = Agent::saying(200, STATUS);
    let mut coloured = Terminal::run(agent.command(&["status"]));
    coloured.shows("  holds         none");
    assert!(coloured.seen.contains("\x1b[33mWill HIBERNATE"), "{:?}", coloured.seen);
    coloured.ends();
    let mut command = agent.command(&["status"]);
    command.env("NO_COLOR", "1");
    let mut plain = Terminal::run(command);
    plain.shows("  holds         none");
    assert!(!plain.seen.contains('\x1b'), "{:?}", plain.seen);
    plain.ends();
}

#[test]
fn watch_draws_again_and_survives_an_agent_that_goes_away() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let agent =
        Agent::start(move |_| match count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => (200, STATUS.to_owned()),
            1 => (503, r#"{"kind":"unavailable","detail":"the agent is stopping"}"#.to_owned()),
            _ => (200, STATUS.replace("nothing has used it", "it came back")),
        });
    let mut terminal = Terminal::run(agent.command(&["watch"]));
    terminal.shows("nothing has used it");
    terminal.shows("error: cannot show the status: the agent is stopping");
    terminal.shows("it came back");
    assert!(terminal.seen.starts_with("\x1b[H\x1b[J"), "{:?}", terminal.seen);
    terminal.child.kill().unwrap();
    terminal.ends();
}

#[test]
fn a_drill_is_confirmed_like_a_stop_and_counts_down_on_one_line() {
    const SPOT: &str = include_str!("../../../agentd/src/ipc/spot-v1.json");
    const BEGUN: &str = r#"{"alert":"spot-terminate","hooks":3,"deadline":"2026-01-02T12:02:00Z"}"#;
    let drill = SPOT.replace(r#""drill": false"#, r#""drill": true"#);
    let drained = drill
        .replace(r#""state": "draining""#, r#""state": "drained""#)
        .replace(r#""state": "started""#, r#""state": "done""#)
        .replace(r#""state": "waiting""#, r#""state": "done""#);
    let looks = std::sync::atomic::AtomicUsize::new(0);
    let agent = Agent::start(move |request| {
        if request.starts_with("POST") {
            return (200, BEGUN.to_owned());
        }
        match looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => (200, SPOT.to_owned()),
            1 => (200, drill.clone()),
            _ => (200, drained.clone()),
        }
    });
    let mut terminal = Terminal::run(agent.command(&["spot", "drill"]));
    terminal.shows("The hooks run for real. Go on? [y/N] ");
    assert_eq!(agent.paths(), ["GET /v1/spot"], "not before the answer");
    terminal.types("y\n");
    terminal.shows("\r\x1b[K  2. stop worker.service: runs, 1 min 43 s to the deadline");
    terminal.shows("The drill is over");
    assert_eq!(terminal.ends().code(), Some(0));
    let agent = Agent::saying(200, SPOT);
    let mut terminal = Terminal::run(agent.command(&["spot", "drill"]));
    terminal.shows("[y/N] ");
    terminal.types("n\n");
    terminal.shows("cannot begin a drill: not confirmed");
    assert_eq!(terminal.ends().code(), Some(1));
    assert_eq!(agent.paths(), ["GET /v1/spot"]);
}
