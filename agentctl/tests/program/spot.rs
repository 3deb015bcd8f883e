//! `agentctl spot` and its drill: what is asked, what is said, and the exit codes.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::agent::{Agent, Ran, STATUS, agentctl};
use serde_json::{Value, json};

/// The document that the agent's own tests promise: an interruption whose hooks run.
const SPOT: &str = include_str!("../../../agentd/src/ipc/spot-v1.json");

const BEGUN: &str = r#"{"schema":"agentd/drill/v1","alert":"drill-spot-terminate","hooks":3,"deadline":"2026-01-02T12:02:00Z"}"#;

fn document() -> Value {
    serde_json::from_str(SPOT).unwrap()
}

/// The same machine with nothing announced.
fn calm() -> Value {
    let mut spot = document();
    spot["interruption"] = json!({"state": "none", "last_good": "2026-01-02T11:59:59Z"});
    spot["notices"] = json!([]);
    spot["last"] = json!([]);
    spot
}

/// A drill whose hooks are in these states.
fn drilling(state: &str, hooks: [&str; 3]) -> Value {
    let mut spot = calm();
    let mut notice = document()["notices"][0].clone();
    notice["id"] = "drill-spot-terminate".into();
    notice["drill"] = true.into();
    notice["state"] = state.into();
    notice["seen"] = "2026-01-02T12:00:00Z".into();
    let names = ["/opt/drain", "stop worker.service", "save.service"];
    let hooks: Vec<Value> = names
        .iter()
        .zip(hooks)
        .map(|(hook, state)| {
            let took = if state == "done" || state == "failed" { json!(1.5) } else { Value::Null };
            json!({"hook": hook, "state": state, "started": null, "took_seconds": took})
        })
        .collect();
    notice["hooks"] = hooks.into();
    notice["drain_seconds"] = if state == "drained" { json!(4.5) } else { Value::Null };
    spot["notices"] = json!([notice]);
    spot
}

/// An agent that begins a drill, and shows one document after the other; the last one stays.
fn agent(documents: Vec<Value>) -> Agent {
    let looks = AtomicUsize::new(0);
    Agent::start(move |request| {
        if request.starts_with("POST") {
            return (200, BEGUN.to_owned());
        }
        let look = looks.fetch_add(1, Ordering::Relaxed).min(documents.len() - 1);
        (200, documents[look].to_string())
    })
}

#[test]
fn what_goes_on_is_the_first_line() {
    let agent = Agent::saying(200, SPOT);
    let ran = agent.run(&["spot"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let first = "EC2 TERMINATES this instance in 1 min 43 s (at 12:01:43 UTC); the hooks run\n";
    assert!(ran.out.starts_with(first), "{}", ran.out);
    assert!(ran.out.contains("  hooks         /opt/drain: done in 3.2 s\n"), "{}", ran.out);
    assert_eq!(agent.paths(), ["GET /v1/spot"]);
    let ran = Agent::saying(200, &calm().to_string()).run(&["spot"]);
    let first = "No interruption is announced; the metadata service answered 1 s ago\n";
    assert!(ran.code == Some(0) && ran.out.starts_with(first), "{}", ran.out);
}

#[test]
fn json_is_the_document_with_what_this_version_does_not_know() {
    let mut newer = document();
    newer["from_a_newer_agent"] = json!([1]);
    newer["notices"][0]["state"] = "dreaming".into();
    let ran = Agent::saying(200, &newer.to_string()).run(&["spot", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(ran.json(), newer);
}

#[test]
fn blind_is_6_and_is_never_no_interruption() {
    let mut blind = calm();
    blind["interruption"]["state"] = "blind".into();
    blind["interruption"]["blind"] = json!(["spot"]);
    blind["interruption"]["blind_since"] = "2026-01-02T11:59:00Z".into();
    blind["monitors"][0]["state"] = "blind".into();
    let agent = Agent::saying(200, &blind.to_string());
    let ran = agent.run(&["spot"]);
    assert_eq!(ran.code, Some(6));
    let first = "BLIND: the metadata service cannot be read since 11:59:00 UTC;";
    assert!(ran.out.starts_with(first) && !ran.out.contains("No interruption"), "{}", ran.out);
    assert_eq!(agent.run(&["spot", "--json"]).code, Some(6));
}

#[test]
fn status_is_6_while_an_interruption_would_not_be_seen() {
    let blind = STATUS
        .replace(r#""last_good":null}"#, r#""last_good":null,"state":"blind"}"#)
        .replace(r#""mode":"#, r#""interruption":{"state":"blind","blind":["spot"]},"mode":"#);
    let agent = Agent::saying(200, &blind);
    let ran = agent.run(&["status"]);
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(ran.out.contains("would not be seen (spot)\n"), "{}", ran.out);
    assert_eq!(agent.run(&["status", "--json"]).json()["imds"]["state"], "blind");
    let announced = STATUS.replace(
        r#""mode":"#,
        r#""interruption":{"state":"announced","event":"spot-interruption","action":"stop","imminent":true,
        "deadline":"2026-01-02T18:31:43Z","seconds_left":103.0},"mode":"#,
    );
    let ran = Agent::saying(200, &announced).run(&["status"]);
    assert_eq!(ran.code, Some(0));
    let line = "\nEC2 STOPS this instance in 1 min 43 s (at 18:31:43 UTC)\n";
    assert!(ran.out.contains(line) && !ran.out.contains("Will HIBERNATE"), "{}", ran.out);
}

#[test]
fn names_and_output_of_hooks_cannot_rewrite_the_screen() {
    let evil = SPOT.replace("token=hunter2", "\\u001b[2Jred\\u0007");
    let ran = Agent::saying(200, &evil).run(&["spot"]);
    assert!(!ran.out.contains('\x1b') && !ran.out.contains('\x07'), "{:?}", ran.out);
    assert!(ran.out.contains('\u{fffd}'), "{}", ran.out);
}

#[test]
fn without_an_agent_or_with_garbage_it_says_so() {
    for arguments in [&["spot"][..], &["spot", "drill", "--yes"]] {
        let mut command = agentctl();
        command.args(arguments).args(["--socket", "/nowhere/agentd.sock"]);
        let ran = Ran::new(command.output().unwrap());
        assert_eq!(ran.code, Some(3), "{arguments:?}");
        assert!(ran.err.contains("  hint: sudo systemctl start agentd"), "{}", ran.err);
    }
    for body in ["{}", "[]", r#"{"schema":"agentd/spot/v1"}"#] {
        let ran = Agent::saying(200, body).run(&["spot"]);
        assert!(ran.code == Some(1) && ran.out.is_empty(), "{ran:?}");
    }
}

#[test]
fn a_drill_tells_first_what_runs_for_real_and_then_each_hook_as_it_ends() {
    let agent = agent(vec![
        calm(),
        drilling("draining", ["done", "started", "waiting"]),
        drilling("drained", ["done", "done", "done"]),
    ]);
    let ran = agent.run(&["spot", "drill", "--action", "stop", "--in", "90s", "--yes"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.err,
        "This is a DRILL, as if EC2 would stop this instance in 1 min 30 s. Nothing happens to the instance.\n\
         These hooks run FOR REAL, programs as alice:\n\
         \x20 1. /opt/drain\n\x20 2. stop worker.service\n\x20 3. save.service\n\
         \x20 1. /opt/drain: done in 1.5 s\n\
         \x20 2. stop worker.service: done in 1.5 s\n\
         \x20 3. save.service: done in 1.5 s\n"
    );
    assert_eq!(ran.out, "The drill is over: drained in 4.5 s: 3 of 3 hooks ended well.\n");
    let asked = agent.asked();
    assert_eq!(asked[1].0, "POST /v1/spot/drill");
    let body: Value = serde_json::from_str(&asked[1].1).unwrap();
    assert_eq!(body, json!({"action": "stop", "in_seconds": 90.0}));
}

#[test]
fn a_hook_that_fails_in_a_drill_is_1() {
    for state in ["failed", "lost", "skipped"] {
        let agent = agent(vec![calm(), drilling("drained", ["done", state, "done"])]);
        let ran = agent.run(&["spot", "drill", "--yes", "--json"]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let reply = ran.json();
        assert_eq!(reply["schema"], "agentd/drill/v1");
        assert_eq!(reply["result"]["hooks"][1]["state"], state);
    }
}

#[test]
fn a_drill_that_has_passed_between_two_looks_is_found() {
    let mut after = calm();
    let notice = drilling("drained", ["done", "done", "done"])["notices"][0].clone();
    after["last"] =
        json!([{"notice": notice, "closed": "2026-01-02T12:00:05Z", "end": "drill-over"}]);
    let ran = agent(vec![calm(), after]).run(&["spot", "drill", "--yes"]);
    assert!(ran.code == Some(0) && ran.out.contains("3 of 3 hooks ended well"), "{ran:?}");
}

#[test]
fn without_waiting_the_answer_of_the_agent_is_all() {
    let agent = agent(vec![calm()]);
    let ran = agent.run(&["spot", "drill", "--yes", "--no-wait", "--json"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.json(), serde_json::from_str::<Value>(BEGUN).unwrap());
    assert_eq!(agent.paths(), ["GET /v1/spot", "POST /v1/spot/drill"]);
}

#[test]
fn a_drill_without_a_terminal_needs_yes_and_begins_nothing() {
    let agent = agent(vec![calm()]);
    let ran = agent.run(&["spot", "drill"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.err.contains("hint: agentctl spot drill --action terminate --yes"), "{}", ran.err);
    assert_eq!(agent.run(&["spot", "drill", "--in", "4s", "--yes"]).code, Some(2));
    assert_eq!(agent.run(&["spot", "drill", "--action", "reboot", "--yes"]).code, Some(2));
    assert_eq!(agent.paths(), ["GET /v1/spot"], "and nothing was begun");
}

#[test]
fn what_the_agent_refuses_has_its_exit_code() {
    for (status, kind, code) in
        [(403, "not-permitted", 4), (409, "refused-by-policy", 5), (409, "blind", 6)]
    {
        let agent = Agent::start(move |request| {
            if request.starts_with("GET") {
                return (200, calm().to_string());
            }
            (status, format!(r#"{{"kind":"{kind}","detail":"begin a drill: no"}}"#))
        });
        let ran = agent.run(&["spot", "drill", "--yes"]);
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.err.contains("error: cannot begin a drill: no\n"), "{}", ran.err);
    }
}
