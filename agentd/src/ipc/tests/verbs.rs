//! What each request does, and for whom.

use agent_core::action::Power;
use agent_core::interruption::{Alert, Drain, HookRun, Notice, RunState, SpotAction};
use agent_proto::client::{Client, Method};
use agent_proto::spot::Spot;
use agent_proto::status::{Prospect, Status};

use super::*;

#[tokio::test]
async fn status_and_why_are_for_everybody() {
    let rig = Rig::start();
    for uid in [ROOT, ADMIN, USER, NOBODY] {
        let (code, body) = rig.ask(uid, "GET", "/v1/status", "").await;
        assert_eq!(code, 200);
        let status: Status = serde_json::from_str(&body).unwrap();
        assert_eq!(status.outlook.prospect, Prospect::WillAct);
        let (code, body) = rig.ask(uid, "GET", "/v1/why", "").await;
        assert_eq!(code, 200);
        let why: Status = serde_json::from_str(&body).unwrap();
        assert_eq!(why.sources[0].signals[0].subject, "cpu-subject");
        assert_eq!(rig.ask(uid, "GET", "/healthz", "").await, (200, "ok\n".to_owned()));
    }
    assert!(rig.commands().is_empty(), "looking must not reach the engine");
}

#[tokio::test]
async fn metrics_and_the_description_have_their_types() {
    let rig = Rig::start();
    let (code, text) = rig.ask(USER, "GET", "/metrics", "").await;
    assert!(code == 200 && text.contains("agentd_stage{stage=\"quiet\"} 1"), "{text}");
    let (code, text) = rig.ask(USER, "GET", "/v1/openapi.json", "").await;
    assert_eq!(code, 200);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_description_knows_every_field_of_the_picture() {
    let rig = Rig::start();
    let (_, text) = rig.ask(USER, "GET", "/v1/openapi.json", "").await;
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (_, text) = rig.ask(USER, "GET", "/v1/why", "").await;
    let why: serde_json::Value = serde_json::from_str(&text).unwrap();
    let spot: serde_json::Value = serde_json::from_str(include_str!("../spot-v1.json")).unwrap();
    let schemas = &document["components"]["schemas"];
    for (name, value) in [
        ("Status", &why),
        ("Outlook", &why["outlook"]),
        ("Source", &why["sources"][0]),
        ("Signal", &why["sources"][0]["signals"][0]),
        ("Interruption", &why["interruption"]),
        ("Spot", &spot),
        ("Monitor", &spot["monitors"][0]),
        ("Notice", &spot["notices"][0]),
        ("Hook", &spot["notices"][0]["hooks"][0]),
        ("Plan", &spot["plan"]),
        ("PastNotice", &spot["last"][0]),
    ] {
        let described = schemas[name]["properties"].as_object().unwrap();
        for field in value.as_object().unwrap().keys() {
            assert!(described.contains_key(field), "{name}.{field} is not described");
        }
        for field in schemas[name]["required"].as_array().unwrap() {
            assert!(value.get(field.as_str().unwrap()).is_some(), "{name}.{field} is missing");
        }
    }
}

#[tokio::test]
async fn spot_is_for_everybody_and_what_hooks_print_is_not() {
    let rig = Rig::start();
    rig.publisher.publish(hooked("token=hunter2"));
    rig.publisher.record(NOW, hook_ended("token=hunter2"));
    for (uid, sees) in [(ROOT, true), (ADMIN, true), (USER, false), (NOBODY, false)] {
        let (code, body) = rig.ask(uid, "GET", "/v1/spot", "").await;
        assert_eq!(code, 200);
        let spot: Spot = serde_json::from_str(&body).unwrap();
        assert_eq!(spot.notices[0].hooks[0].hook, "/opt/drain");
        assert_eq!(body.contains("hunter2"), sees, "{uid}: {body}");
        assert_eq!(spot.output_hidden, !sees);
        for path in ["/v1/status", "/v1/why", "/metrics"] {
            let (_, body) = rig.ask(uid, "GET", path, "").await;
            assert!(!body.contains("hunter2"), "{path}");
        }
        let (_, body) = rig.ask(uid, "GET", "/v1/events", "").await;
        assert!(body.contains("drain-hook-ended"), "{body}");
        assert_eq!(body.contains("hunter2"), sees, "{uid}: {body}");
    }
    assert!(rig.commands().is_empty(), "looking must not reach the engine");
}

fn hook_run(detail: &str) -> HookRun {
    HookRun {
        hook: "/opt/drain".into(),
        state: RunState::Done,
        started: Some(NOW),
        took_ms: Some(3_200),
        detail: detail.into(),
    }
}

fn hook_ended(detail: &str) -> Event {
    Event::DrainHookEnded { alert: "spot-stop".into(), run: hook_run(detail), drill: false }
}

/// A machine whose hook has printed something.
fn hooked(detail: &str) -> crate::publish::Published {
    let mut published = quiet();
    let runs = vec![hook_run(detail)];
    published.view.interruptions.alerts = vec![Alert {
        id: "spot-stop".into(),
        notice: Notice::Spot { action: SpotAction::Stop },
        drill: false,
        seen: NOW,
        last_seen: NOW,
        due: Some(NOW),
        stale: false,
        drain: Some(Drain { since: NOW, end_at: NOW, kill_at: NOW, runs, ended: Some(NOW) }),
        joined: None,
        completed: false,
    }];
    published
}

/// Verbs × callers: who may, and what reaches the engine.
#[tokio::test]
async fn the_matrix_of_verbs_and_callers() {
    const REFUSED: u16 = 403;
    let hold = r#"{"for_seconds":60,"reason":"demo"}"#;
    for (method, path, body, allowed) in [
        ("POST", "/v1/hold", hold, [200, 200, 200, 200]),
        ("POST", "/v1/hold/7/renew", r#"{"for_seconds":60}"#, [200, 200, 200, 200]),
        ("DELETE", "/v1/hold/7", "", [200, 200, 200, 200]),
        ("POST", "/v1/release", "", [200, 200, 200, 200]),
        ("POST", "/v1/stop", "{}", [200, 200, REFUSED, REFUSED]),
        ("POST", "/v1/stop", r#"{"dry_run":true}"#, [200, 200, REFUSED, REFUSED]),
        ("POST", "/v1/hibernate", "{}", [200, 200, REFUSED, REFUSED]),
        ("POST", "/v1/hibernate", r#"{"dry_run":true}"#, [200, 200, REFUSED, REFUSED]),
        ("POST", "/v1/spot/drill", "", [200, 200, REFUSED, REFUSED]),
        ("POST", "/v1/spot/drill", r#"{"action":"stop"}"#, [200, 200, REFUSED, REFUSED]),
    ] {
        for (uid, expected) in [ROOT, ADMIN, USER, NOBODY].into_iter().zip(allowed) {
            let rig = Rig::start();
            let (code, reply) = rig.ask(uid, method, path, body).await;
            assert_eq!(code, expected, "{method} {path} by {uid}: {reply}");
            let commands = rig.commands();
            if expected == REFUSED {
                assert_eq!(kind(&reply), "not-permitted");
                assert!(commands.is_empty(), "{commands:?}");
            } else {
                assert_eq!(commands.len(), 1);
                let (actor, admin, _) = &commands[0];
                assert_eq!((*actor, *admin), (uid, uid == ROOT || uid == ADMIN));
            }
        }
    }
}

#[tokio::test]
async fn commands_arrive_as_they_were_meant() {
    let rig = Rig::start();
    for (method, path, body, command) in [
        (
            "POST",
            "/v1/hold",
            r#"{"for_seconds":1.5,"reason":" demo ","pid":42}"#,
            Command::Hold { for_ms: 1_500, reason: "demo".into(), pid: Some(42) },
        ),
        (
            "POST",
            "/v1/hold/9/renew",
            r#"{"for_seconds":60}"#,
            Command::Renew { hold: 9, for_ms: 60_000 },
        ),
        ("DELETE", "/v1/hold/9", "", Command::Release { hold: Some(9) }),
        ("POST", "/v1/release", "{}", Command::Release { hold: None }),
        ("POST", "/v1/stop", "", Command::Act { power: Power::Stop, dry_run: false }),
        (
            "POST",
            "/v1/hibernate",
            r#"{"dry_run":true}"#,
            Command::Act { power: Power::Hibernate, dry_run: true },
        ),
        (
            "POST",
            "/v1/spot/drill",
            "",
            Command::Drill { action: SpotAction::Terminate, in_ms: 120_000 },
        ),
        (
            "POST",
            "/v1/spot/drill",
            r#"{"action":"hibernate","in_seconds":5}"#,
            Command::Drill { action: SpotAction::Hibernate, in_ms: 5_000 },
        ),
        (
            "POST",
            "/v1/spot/drill",
            r#"{"action":"stop","in_seconds":3600}"#,
            Command::Drill { action: SpotAction::Stop, in_ms: 3_600_000 },
        ),
    ] {
        assert_eq!(rig.ask(ROOT, method, path, body).await.0, 200, "{path}");
        assert_eq!(rig.commands().last().unwrap().2, command);
    }
}

#[tokio::test]
async fn a_bad_request_is_refused_with_a_reason_and_reaches_nobody() {
    let rig = Rig::start();
    let long = format!(r#"{{"for_seconds":60,"reason":"{}"}}"#, "x".repeat(201));
    for (path, body) in [
        ("/v1/hold", "not json"),
        ("/v1/hold", ""),
        ("/v1/hold", "{}"),
        ("/v1/hold", r#"{"for_seconds":0}"#),
        ("/v1/hold", r#"{"for_seconds":-5}"#),
        ("/v1/hold", r#"{"for_seconds":1e300}"#),
        ("/v1/hold", r#"{"for_seconds":1e9}"#),
        ("/v1/hold", r#"{"for_seconds":0.0000001}"#),
        ("/v1/hold", r#"{"for_seconds":"2h"}"#),
        ("/v1/hold", r#"{"for_seconds":60,"for_ever":true}"#),
        ("/v1/hold", "{\"for_seconds\":60,\"reason\":\"a\\nb\"}"),
        ("/v1/hold", r#"{"for_seconds":60,"pid":0}"#),
        ("/v1/hold", r#"{"for_seconds":60,"pid":4294967295}"#),
        ("/v1/hold", &long),
        ("/v1/stop", r#"{"dryrun":true}"#),
        ("/v1/stop", "[]"),
        ("/v1/stop", "[true]"),
        ("/v1/stop", "null"),
        ("/v1/stop", r#"{"dry_run":true,"dry_run":false}"#),
        ("/v1/spot/drill", r#"{"in_seconds":4.9}"#),
        ("/v1/spot/drill", r#"{"in_seconds":3600.1}"#),
        ("/v1/spot/drill", r#"{"in_seconds":-5}"#),
        ("/v1/spot/drill", r#"{"in_seconds":1e300}"#),
        ("/v1/spot/drill", r#"{"in_seconds":"2m"}"#),
        ("/v1/spot/drill", r#"{"action":"reboot"}"#),
        ("/v1/spot/drill", r#"{"acton":"stop"}"#),
        ("/v1/spot/drill", "[]"),
        ("/v1/hold/x/renew", r#"{"for_seconds":60}"#),
    ] {
        let (code, reply) = rig.ask(ROOT, "POST", path, body).await;
        assert_eq!(code, 400, "{path} {body}: {reply}");
        assert_eq!(kind(&reply), "invalid-request");
    }
    assert!(rig.commands().is_empty());
    assert_eq!(rig.ask(ROOT, "GET", "/v1/nothing", "").await.0, 404);
    assert_eq!(rig.ask(ROOT, "PUT", "/v1/status", "").await.0, 405);
}

#[tokio::test]
async fn what_the_engine_denies_has_its_kind() {
    for (denial, code, word) in [
        (Denial::NotPermitted("release: it is not yours".into()), 403, "not-permitted"),
        (Denial::Policy("hibernate: bob holds it".into()), 409, "refused-by-policy"),
        (Denial::Blind("hibernate: gpu is unknown".into()), 409, "blind"),
        (Denial::Invalid("release: there is no hold 9".into()), 400, "invalid-request"),
    ] {
        let rig = Rig::with(limits(), move |_| Some(Reply::Denied(denial.clone())));
        let (status, reply) = rig.ask(ROOT, "POST", "/v1/hibernate", "").await;
        assert_eq!((status, kind(&reply).as_str()), (code, word));
    }
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_reported_and_does_not_block_looking() {
    let rig = Rig::with(limits(), |_| None);
    let (status, reply) = rig.ask(ROOT, "POST", "/v1/hold", r#"{"for_seconds":9}"#).await;
    assert_eq!((status, kind(&reply).as_str()), (503, "unavailable"));
    let waiting = (0..9).map(|_| rig.ask(ROOT, "POST", "/v1/release", ""));
    let (replies, seen) = tokio::join!(futures_util::future::join_all(waiting), rig.status(USER));
    assert_eq!(seen, 200);
    assert!(replies.iter().all(|(status, _)| *status == 503));
}

#[tokio::test]
async fn the_real_client_understands_the_real_server() {
    let rig = Rig::start();
    rig.publisher.record(NOW, Event::PolicyChanged);
    let folder = rig.folder.path().join("real");
    std::fs::create_dir(&folder).unwrap();
    // The client binds no address, so the kernel's word is all there is; the rig then knows nobody.
    let client = Client::new(&rig.socket).with_patience(Duration::ZERO);
    let turned_away = tokio::task::spawn_blocking(move || client.status()).await.unwrap();
    assert!(turned_away.is_err(), "without an identity nothing is served");
    drop(rig);

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let (publisher, subscriber) = channel(quiet());
    let (commands, inbox) = mpsc::channel(8);
    tokio::spawn(run_engine(inbox, Arc::default(), |_| {
        Some(Reply::Held { hold: 7, until_wall_ms: NOW.wall_ms, capped: false })
    }));
    publisher.record(NOW, Event::PolicyChanged);
    let accounts = Accounts::new(Tree::new().root());
    let doctor = DoctorRun::new(|| async { vec![] });
    let context = IpcContext::new(subscriber, commands, Arc::new(|| NOW), doctor, accounts);
    let listener = Listener::bind(&socket).unwrap();
    tokio::spawn(crate::ipc::serve(listener, context, std::future::pending()));
    let asked = tokio::task::spawn_blocking(move || {
        let client = Client::new(socket);
        let request = agent_proto::command::HoldRequest {
            for_seconds: 60.0,
            reason: String::new(),
            pid: None,
        };
        let hold = client.hold(&request).unwrap();
        assert_eq!(hold.id, 7);
        assert_eq!(client.status().unwrap().agent.pid, 612);
        assert!(client.doctor().unwrap().ok);
        let events: Vec<_> = client.events(0, false).unwrap().map(Result::unwrap).collect();
        assert_eq!(events[0].event, "policy-changed");
        let error = client.request(Method::Post, "/v1/status", b"{}").unwrap_err();
        assert_eq!(error.exit_code().code(), 1);
        let mut following = client.events(0, true).unwrap();
        following.next().unwrap().unwrap().seq
    });
    assert_eq!(asked.await.unwrap(), 1);
}

#[tokio::test]
async fn a_stream_follows_what_happens() {
    let rig = Rig::start();
    let mut stream = rig.connect(USER).await;
    stream.write_all(request("GET", "/v1/events?follow=1", "").as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut chunk = [0; 4096];
    for number in 1..=3 {
        rig.publisher.record(NOW, Event::HookNotRepeated);
        while !text.contains(&format!("\"seq\":{number},")) {
            let count = stream.read(&mut chunk).await.unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        }
    }
    assert!(text.contains("application/x-ndjson"), "{text}");
}

#[tokio::test]
async fn stopping_closes_every_connection_and_removes_the_socket() {
    let mut rig = Rig::start();
    let mut idle = rig.connect(USER).await;
    assert_eq!(rig.status(USER).await, 200);
    rig.stop.take().unwrap().send(()).unwrap();
    (&mut rig.server).await.unwrap();
    assert_eq!(answer(&mut idle).await.0, 0);
    assert!(!rig.socket.exists());
}

#[tokio::test]
async fn a_kept_connection_answers_one_request_after_the_other() {
    let rig = Rig::start();
    let mut stream = rig.connect(USER).await;
    let mut text = String::new();
    let mut chunk = [0; 8192];
    for number in 1..=5 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        while text.matches("ok\n").count() < number {
            let count = stream.read(&mut chunk).await.unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
        }
    }
    // Also when they come in one piece.
    stream.write_all(&b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3)).await.unwrap();
    text.push_str(&answer(&mut stream).await.1);
    assert_eq!(text.matches("ok\n").count(), 5 + 3, "{text}");
}

#[tokio::test]
async fn a_request_may_arrive_byte_by_byte_and_its_sender_may_stop_sending() {
    let rig = Rig::start();
    let mut stream = rig.connect(USER).await;
    for byte in request("POST", "/v1/hold", r#"{"for_seconds":60}"#).as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (status, body) = answer(&mut stream).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(rig.commands().len(), 1);
}

#[tokio::test]
async fn a_sender_that_goes_away_in_the_middle_changes_nothing() {
    let rig = Rig::start();
    let whole = request("POST", "/v1/hibernate", r#"{"dry_run":false}"#);
    for length in 1..whole.len() {
        let mut stream = rig.connect(ROOT).await;
        stream.write_all(&whole.as_bytes()[..length]).await.unwrap();
        drop(stream);
    }
    assert_eq!(rig.status(ROOT).await, 200);
    assert!(rig.commands().is_empty(), "half a request must never be carried out");
}

#[tokio::test]
async fn the_picture_is_the_newest_and_its_age_is_that_of_the_moment() {
    let rig = Rig::start();
    let mut next = quiet();
    next.view.stage = agent_core::verdict::Stage::Warned;
    next.view.now = NOW.before(Duration::from_secs(9));
    rig.publisher.publish(next);
    let (_, body) = rig.ask(USER, "GET", "/v1/status", "").await;
    let status: Status = serde_json::from_str(&body).unwrap();
    assert_eq!(status.stage.as_str(), "warned");
    assert_eq!(status.now.as_second() - status.decided.as_second(), 9);
}
