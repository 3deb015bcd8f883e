//! The program as a person or a script meets it: output, exit codes, and what reaches the agent.

use std::process::{Command, Stdio};

use crate::agent::{Agent, HELD, Ran, STATUS, agentctl};

fn problem(kind: &str, detail: &str) -> String {
    format!(r#"{{"schema":"agentd/error/v1","kind":"{kind}","detail":"{detail}","hint":"do it"}}"#)
}

#[test]
fn status_is_for_people_by_default() {
    let agent = Agent::saying(200, STATUS);
    let ran = agent.run(&["status"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out.contains("Will HIBERNATE in 12 min (at 18:42:00 UTC) unless used\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("  to stop this  agentctl hold 2h\n"), "{}", ran.out);
    assert!(!ran.out.contains('\x1b') && ran.err.is_empty());
    assert_eq!(agent.paths(), ["GET /v1/status"]);
}

#[test]
fn json_is_the_document_of_the_agent_with_what_this_version_does_not_know() {
    let agent = Agent::saying(200, STATUS);
    for verb in ["status", "why"] {
        let ran = agent.run(&[verb, "--json"]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        assert_eq!(ran.json(), serde_json::from_str::<serde_json::Value>(STATUS).unwrap());
    }
}

#[test]
fn blind_is_exit_code_6_and_no_countdown() {
    let blind = STATUS
        .replace(r#""blind":[]"#, r#""blind":["cpu"]"#)
        .replace(r#""prospect":"will-act""#, r#""prospect":"blind""#)
        .replace(r#""verdict":"idle","value":0.01"#, r#""verdict":"blind","value":null"#);
    let agent = Agent::saying(200, &blind);
    let ran = agent.run(&["status"]);
    assert_eq!(ran.code, Some(6));
    assert!(ran.out.contains("Will NOT act") && !ran.out.contains("in 12 min"), "{}", ran.out);
    assert!(!ran.out.contains("idle  "), "{}", ran.out);
    assert_eq!(agent.run(&["status", "--check"]).code, Some(6));
    assert_eq!(agent.run(&["why", "--json"]).code, Some(6));
}

#[test]
fn check_prints_nothing_and_answers_by_exit_code() {
    let ran = Agent::saying(200, STATUS).run(&["status", "--check"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(10), "", ""));
}

#[test]
fn an_agent_that_is_not_there_is_3_with_the_way_to_start_it() {
    for arguments in
        [&["status"][..], &["why"], &["hold", "2h"], &["doctor"], &["events"], &["release"]]
    {
        let mut command = agentctl();
        command.args(arguments).args(["--socket", "/nowhere/agentd.sock"]);
        let ran = Ran::new(command.output().unwrap());
        assert_eq!(ran.code, Some(3), "{arguments:?}");
        assert!(ran.out.is_empty());
        assert!(ran.err.starts_with("error: cannot "), "{}", ran.err);
        assert!(ran.err.contains("'/nowhere/agentd.sock'"), "{}", ran.err);
        assert!(ran.err.contains("  hint: sudo systemctl start agentd"), "{}", ran.err);
    }
}

#[test]
fn a_failure_with_json_is_one_document_on_stdout() {
    let mut command = agentctl();
    command.args(["status", "--json", "--socket", "/nowhere/agentd.sock"]);
    let ran = Ran::new(command.output().unwrap());
    assert_eq!(ran.code, Some(3));
    assert_eq!(ran.json()["schema"], "agentd/error/v1");
    assert!(ran.json()["hint"].as_str().unwrap().contains("systemctl"));
    assert!(ran.err.starts_with("error: "));
}

#[test]
fn what_the_agent_refuses_has_its_exit_code_and_hint() {
    for (status, kind, code) in [
        (403, "not-permitted", 4),
        (409, "refused-by-policy", 5),
        (409, "blind", 6),
        (400, "invalid-request", 1),
        (503, "unavailable", 1),
    ] {
        let agent = Agent::saying(status, &problem(kind, "hibernate: because"));
        let ran = agent.run(&["hibernate", "--yes"]);
        assert_eq!(ran.code, Some(code), "{kind}");
        assert_eq!(ran.err, "error: cannot hibernate: because\n  hint: do it\n");
        let ran = agent.run(&["hibernate", "--yes", "--json"]);
        assert_eq!(ran.json()["kind"], kind);
    }
}

#[test]
fn no_machine_is_stopped_without_a_terminal_or_yes() {
    let agent = Agent::saying(200, r#"{"power":"stop","dry_run":false}"#);
    for verb in ["stop", "hibernate"] {
        let ran = agent.run(&[verb]);
        assert_eq!(ran.code, Some(2));
        assert!(ran.err.contains(&format!("hint: agentctl {verb} --yes")), "{}", ran.err);
    }
    assert!(agent.asked().is_empty(), "nothing may reach the agent");
    assert_eq!(agent.run(&["stop", "--yes"]).code, Some(0));
    assert_eq!(agent.asked()[0], ("POST /v1/stop".into(), r#"{"dry_run":false}"#.into()));
}

#[test]
fn a_dry_run_says_so_to_the_agent_and_to_people() {
    let agent = Agent::saying(200, r#"{"power":"hibernate","dry_run":true}"#);
    let ran = agent.run(&["hibernate", "--dry-run"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("Nothing was done"), "{}", ran.out);
    assert_eq!(agent.asked()[0], ("POST /v1/hibernate".into(), r#"{"dry_run":true}"#.into()));
}

#[test]
fn hold_and_release() {
    let agent = Agent::holding();
    let ran = agent.run(&["hold", "1h30m", "--reason", "demo"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("Held until "), "{}", ran.out);
    assert!(ran.out.ends_with("  to end it: agentctl release 7\n"), "{}", ran.out);
    assert_eq!(agent.asked()[0].1, r#"{"for_seconds":5400.0,"reason":"demo"}"#);
    assert_eq!(agent.run(&["release", "7"]).out, "Ended 1 hold.\n");
    assert_eq!(agent.paths()[1], "DELETE /v1/hold/7");

    let capped = Agent::saying(200, &HELD.replace("\"capped\":false", "\"capped\":true"));
    assert!(
        capped.run(&["hold", "9h"]).out.contains("less than the 9 h 00 min that you asked for")
    );
    let none = Agent::saying(200, r#"{"released":0}"#);
    assert_eq!(none.run(&["release"]).out, "You hold nothing.\n");
    assert_eq!(none.paths(), ["POST /v1/release"]);
}

#[test]
fn names_from_the_machine_cannot_rewrite_the_screen() {
    let evil = STATUS.replace("nothing has used it", "\\u001b[2J\\u001b]0;owned\\u0007 x");
    let agent = Agent::saying(200, &evil);
    for verb in ["status", "why"] {
        let ran = agent.run(&[verb]);
        assert!(!ran.out.contains('\x1b') && !ran.out.contains('\x07'), "{:?}", ran.out);
        assert!(ran.out.contains('\u{fffd}'));
    }
    let line = r#"{"seq":1,"at":"2026-01-02T18:30:00Z","event":"warned","text":"\u001b[31mred"}"#;
    let ran = Agent::saying(200, &format!("{line}\n")).run(&["events"]);
    assert!(ran.code == Some(0) && !ran.out.contains('\x1b'), "{ran:?}");
}

#[test]
fn an_answer_that_is_no_status_is_an_error() {
    for body in ["{}", "[]", "what", r#"{"schema":"agentd/status/v1"}"#] {
        let ran = Agent::saying(200, body).run(&["status"]);
        assert_eq!(ran.code, Some(1), "{body}");
        assert!(ran.err.contains("cannot be understood"), "{}", ran.err);
        assert!(ran.out.is_empty());
    }
}

fn event(seq: u64, at: &str) -> String {
    format!("{{\"seq\":{seq},\"at\":\"{at}\",\"event\":\"warned\",\"text\":\"number {seq}\"}}\n")
}

#[test]
fn events_are_lines_and_with_json_documents() {
    let body = event(1, "2026-01-02T18:30:00Z") + &event(2, "2026-01-02T18:31:00Z");
    let agent = Agent::saying(200, &body);
    let ran = agent.run(&["events", "--after", "0"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.out, "2026-01-02 18:30:00  number 1\n2026-01-02 18:31:00  number 2\n");
    assert_eq!(agent.paths(), ["GET /v1/events?after=0"]);
    let ran = agent.run(&["events", "--json"]);
    let documents: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents[1]["seq"], 2);
    assert!(agent.run(&["events", "--since", "1h"]).out.is_empty(), "that was long ago");
}

#[test]
fn a_stream_that_ends_is_told() {
    let agent = Agent::saying(200, &event(1, "2026-01-02T18:30:00Z"));
    let ran = agent.run(&["events", "--follow"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.out.contains("number 1") && ran.err.contains("closed the stream"), "{ran:?}");
    assert_eq!(agent.paths(), ["GET /v1/events?after=0&follow=1"]);
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let many: String = (1..20_000).map(|n| event(n, "2026-01-02T18:30:00Z")).collect();
    let agent = Agent::saying(200, &many);
    let mut child =
        agent.command(&["events"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn doctor_is_1_when_a_check_fails() {
    let body = r#"{"schema":"agentd/doctor/v1","ok":false,"checks":[{"name":"imds","status":"failed","detail":"403","remedy":"enable it"}]}"#;
    let ran = Agent::saying(200, body).run(&["doctor"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("FAILED   imds") && ran.out.contains("fix: enable it"), "{}", ran.out);
}

#[test]
fn config_is_answered_by_the_daemon_beside() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("agentctl");
    std::fs::copy(env!("CARGO_BIN_EXE_agentctl"), &own).unwrap();
    let daemon = folder.path().join("agentd");
    std::fs::write(&daemon, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    Command::new("chmod").args(["755"]).arg(&daemon).status().unwrap();
    let ran = Ran::new(
        Command::new(&own)
            .args(["config", "check", "--config", "new.toml", "--json"])
            .output()
            .unwrap(),
    );
    assert_eq!((ran.code, ran.out.as_str()), (Some(7), "--config new.toml config check --json\n"));
}

#[test]
fn watch_needs_a_terminal_and_usage_errors_are_2() {
    let agent = Agent::saying(200, STATUS);
    assert_eq!(agent.run(&["watch"]).code, Some(2));
    assert_eq!(agent.run(&["hold", "2"]).code, Some(2));
    assert_eq!(agent.run(&["frobnicate"]).code, Some(2));
    assert_eq!(agent.run(&["--help"]).code, Some(0));
    assert!(agent.asked().is_empty());
}

#[test]
fn completions_are_scripts() {
    for (shell, word) in
        [("bash", "complete"), ("zsh", "#compdef"), ("fish", "complete -c agentctl")]
    {
        let ran = Ran::new(agentctl().args(["completions", shell]).output().unwrap());
        assert_eq!(ran.code, Some(0));
        assert!(ran.out.contains(word), "{shell}");
    }
}

#[test]
fn colour_is_only_where_it_was_asked_for() {
    let agent = Agent::saying(200, STATUS);
    assert!(agent.run(&["status", "--color", "always"]).out.contains("\x1b["));
    let mut command = agent.command(&["status"]);
    let ran = Ran::new(command.env("TERM", "xterm").output().unwrap());
    assert!(!ran.out.contains("\x1b["));
}
