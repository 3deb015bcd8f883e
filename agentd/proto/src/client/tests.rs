//! The client against small servers that answer well, badly, slowly or not at all.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use super::*;

/// Serves one connection after the other with `answer`, which gets the request and the stream.
fn server(
    answers: Vec<Box<dyn FnOnce(String, UnixStream) + Send>>,
) -> (tempfile::TempDir, Client, JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read_request(&mut stream);
            answer(request, stream);
        }
    });
    let client = Client::new(path)
        .with_deadline(Duration::from_millis(400))
        .with_patience(Duration::from_millis(200));
    (folder, client, thread)
}

fn read_request(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).unwrap();
        text.extend_from_slice(&chunk[..count]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let wanted = so_far
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        match so_far.split_once("\r\n\r\n") {
            Some((_, body)) if body.len() >= wanted => return so_far,
            _ if count == 0 => return so_far,
            _ => {}
        }
    }
}

/// An answer that is sent as it is.
fn says(text: impl Into<Vec<u8>>) -> Box<dyn FnOnce(String, UnixStream) + Send> {
    let text = text.into();
    Box::new(move |_, mut stream| {
        let _ = stream.write_all(&text);
    })
}

const HELD: &str =
    r#"{"schema":"agentd/hold/v1","id":7,"until":"2026-01-02T03:04:05Z","capped":true}"#;

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn a_hold_goes_out_as_json_and_comes_back_parsed() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (_folder, client, thread) = server(vec![Box::new(move |request, mut stream| {
        sender.send(request).unwrap();
        stream.write_all(&ok(HELD)).unwrap();
    })]);
    let request = HoldRequest { for_seconds: 60.0, reason: "demo".into(), pid: None };
    let reply = client.hold(&request).unwrap();
    assert_eq!((reply.id, reply.capped), (7, true));
    let sent = receiver.recv().unwrap();
    assert!(sent.starts_with("POST /v1/hold HTTP/1.0\r\n"), "{sent}");
    assert!(sent.contains("connection: close\r\n"), "{sent}");
    assert!(sent.ends_with(r#"{"for_seconds":60.0,"reason":"demo"}"#), "{sent}");
    thread.join().unwrap();
}

#[test]
fn every_verb_has_its_path() {
    let paths = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let answer = |body: &'static str| -> Box<dyn FnOnce(String, UnixStream) + Send> {
        let paths = std::sync::Arc::clone(&paths);
        Box::new(move |request: String, mut stream: UnixStream| {
            paths.lock().unwrap().push(request.lines().next().unwrap().to_owned());
            stream.write_all(&ok(body)).unwrap();
        })
    };
    let (_folder, client, thread) = server(vec![
        answer(HELD),
        answer(r#"{"released":1}"#),
        answer(r#"{"released":2}"#),
        answer(r#"{"power":"hibernate","dry_run":true}"#),
    ]);
    client.renew(9, RenewRequest { for_seconds: 60.0 }).unwrap();
    assert_eq!(client.release(Some(9)).unwrap().released, 1);
    assert_eq!(client.release(None).unwrap().released, 2);
    let reply = client.act(Power::Hibernate, PowerRequest { dry_run: true }).unwrap();
    assert!(reply.dry_run);
    thread.join().unwrap();
    assert_eq!(
        *paths.lock().unwrap(),
        [
            "POST /v1/hold/9/renew HTTP/1.0",
            "DELETE /v1/hold/9 HTTP/1.0",
            "POST /v1/release HTTP/1.0",
            "POST /v1/hibernate HTTP/1.0",
        ]
    );
}

#[test]
fn a_problem_becomes_its_exit_code_and_hint() {
    let body = serde_json::to_string(
        &Problem::new(ErrorKind::NotPermitted, "hibernate: user bob may not").with_hint("sudo it"),
    )
    .unwrap();
    let (_folder, client, thread) =
        server(vec![says(format!("HTTP/1.1 403 Forbidden\r\n\r\n{body}"))]);
    let error = client.get("/v1/status").unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::NotPermitted);
    assert_eq!(error.hint().as_deref(), Some("sudo it"));
    assert_eq!(error.to_string(), "hibernate: user bob may not");
    thread.join().unwrap();
}

#[test]
fn nobody_listening_is_not_reachable_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let error = Client::new(folder.path().join("none.sock")).get("/v1/status").unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::NotReachable);
    assert!(error.hint().unwrap().contains("systemctl start agentd"));
    assert!(started.elapsed() < Duration::from_secs(1), "a missing socket is not waited for");
}

#[test]
fn an_agent_that_is_starting_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.sock");
    drop(UnixListener::bind(&path).unwrap());
    let client = Client::new(&path).with_patience(Duration::from_millis(60));
    assert_eq!(client.get("/v1/status").unwrap_err().exit_code(), ExitCode::NotReachable);

    let later = path.clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(60));
        std::fs::remove_file(&later).unwrap();
        let next = later.with_extension("next");
        let listener = UnixListener::bind(&next).unwrap();
        std::fs::rename(&next, &later).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        stream.write_all(&ok("{}")).unwrap();
    });
    // The moment between the two sockets is "does not exist", which is not waited for; so ask until it is answered.
    let patient = Client::new(&path);
    let give_up = Instant::now() + Duration::from_secs(5);
    loop {
        match patient.get("/v1/status") {
            Ok(body) => break assert_eq!(body, b"{}"),
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
    }
    thread.join().unwrap();
}

#[test]
fn being_turned_away_is_tried_again_but_a_refusal_is_not() {
    let busy = "HTTP/1.0 503 x\r\n\r\n{\"kind\":\"overloaded\",\"detail\":\"full\"}";
    let (_folder, client, thread) = server(vec![says(busy), says(busy), says(ok("{}"))]);
    assert_eq!(client.get("/v1/status").unwrap(), b"{}");
    thread.join().unwrap();

    let refused = "HTTP/1.0 409 x\r\n\r\n{\"kind\":\"refused-by-policy\",\"detail\":\"held\"}";
    let (_folder, client, thread) = server(vec![says(refused)]);
    assert_eq!(client.get("/v1/status").unwrap_err().exit_code(), ExitCode::Refused);
    thread.join().unwrap();
}

#[test]
fn an_agent_that_hangs_is_given_up_after_the_deadline() {
    let (hold_open, wait) = std::sync::mpsc::channel::<()>();
    let (_folder, client, thread) = server(vec![Box::new(move |_, stream| {
        let _ = wait.recv();
        drop(stream);
    })]);
    let started = Instant::now();
    let error = client.get("/v1/status").unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::NotReachable);
    assert!(matches!(error, ClientError::Interrupted { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(3));
    drop(hold_open);
    thread.join().unwrap();
}

#[test]
fn a_drip_does_not_outlive_the_deadline() {
    let (_folder, client, thread) = server(vec![Box::new(|_, mut stream| {
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    })]);
    let started = Instant::now();
    assert!(client.get("/v1/status").is_err());
    assert!(started.elapsed() < Duration::from_secs(3));
    thread.join().unwrap();
}

#[test]
fn garbage_is_an_error_that_says_so() {
    for (answer, expected) in [
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "not an HTTP answer"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 50\r\n\r\n{}", "ends early"),
        ("HTTP/1.0 200 OK\r\ncontent-length: -1\r\n\r\n{}", "not a number"),
        ("HTTP/1.0 200 OK\r\n", "hung up"),
        ("", "hung up"),
    ] {
        let (_folder, client, thread) = server(vec![says(answer)]);
        let error = client.get("/v1/status").unwrap_err().to_string();
        assert!(error.contains(expected), "{answer:?} gave {error:?}");
        thread.join().unwrap();
    }
    let (_folder, client, thread) = server(vec![says(ok("[1,2"))]);
    assert_eq!(client.status().unwrap_err().exit_code(), ExitCode::Failed);
    thread.join().unwrap();
}

#[test]
fn an_endless_answer_is_cut_off() {
    let (_folder, client, thread) = server(vec![Box::new(|_, mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    })]);
    let client = client.with_deadline(Duration::from_secs(20));
    let error = client.get("/v1/status").unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    thread.join().unwrap();
}

fn event(seq: u64) -> String {
    format!(
        "{{\"seq\":{seq},\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"warned\",\"text\":\"t\"}}\n"
    )
}

#[test]
fn events_come_one_by_one_without_the_heartbeats() {
    let (_folder, client, thread) = server(vec![Box::new(|request, mut stream| {
        assert!(request.starts_with("GET /v1/events?after=4&follow=1 "), "{request}");
        let text = format!("HTTP/1.0 200 OK\r\n\r\n\n{}\n\n{}", event(5), event(6));
        for byte in text.as_bytes() {
            stream.write_all(&[*byte]).unwrap();
        }
    })]);
    let events: Vec<u64> =
        client.events(4, true).unwrap().map(|event| event.unwrap().seq).collect();
    assert_eq!(events, [5, 6]);
    thread.join().unwrap();
}

#[test]
fn a_stream_that_is_cut_or_garbled_ends_with_one_error() {
    for text in [format!("{}{{\"seq\":", event(1)), format!("{}what\n{}", event(1), event(2))] {
        let (_folder, client, thread) =
            server(vec![says(format!("HTTP/1.0 200 OK\r\n\r\n{text}"))]);
        let mut events = client.events(0, false).unwrap();
        assert_eq!(events.next().unwrap().unwrap().seq, 1);
        assert!(events.next().unwrap().is_err());
        assert!(events.next().is_none());
        thread.join().unwrap();
    }
}

#[test]
fn an_event_without_an_end_is_cut_off() {
    let (_folder, client, thread) = server(vec![Box::new(|_, mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    })]);
    let error = client.events(0, true).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    thread.join().unwrap();
}
