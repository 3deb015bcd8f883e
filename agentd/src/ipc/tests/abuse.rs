//! Clients that are hostile, broken, slow or many.

use std::time::Instant;

use super::*;

#[tokio::test]
async fn a_line_that_never_ends_is_refused_after_a_few_kilobytes() {
    let rig = Rig::start();
    let mut stream = rig.connect(NOBODY).await;
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    // 256 MiB, if anybody would take them.
    for _ in 0..4096 {
        match stream.write(&chunk).await {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    assert!(sent < 2 * 1024 * 1024, "{sent} bytes were accepted");
    assert_eq!(rig.status(NOBODY).await, 200);
}

#[tokio::test]
async fn a_head_or_a_body_that_is_too_large_is_refused_by_name() {
    let rig = Rig::start();
    let mut stream = rig.connect(USER).await;
    let head = format!("GET /v1/status HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(9_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.0, 431);

    let (status, reply) = rig.ask(USER, "POST", "/v1/hold", &" ".repeat(5_000)).await;
    assert_eq!((status, kind(&reply).as_str()), (413, "too-large"));

    // Chunked, so that no length announces it.
    let mut stream = rig.connect(USER).await;
    let head = "POST /v1/hold HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..10 {
        let _ = stream.write_all(format!("400\r\n{}\r\n", " ".repeat(1024)).as_bytes()).await;
    }
    assert_eq!(answer(&mut stream).await.0, 413);

    // Announced and never sent: refused before it comes.
    let mut stream = rig.connect(USER).await;
    let head = "POST /v1/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 268435456\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(answer(&mut stream).await.0, 413);
}

#[tokio::test]
async fn many_headers_are_refused() {
    let rig = Rig::start();
    let mut stream = rig.connect(USER).await;
    let headers = "x: y\r\n".repeat(100);
    stream.write_all(format!("GET /v1/status HTTP/1.1\r\n{headers}\r\n").as_bytes()).await.unwrap();
    let status = answer(&mut stream).await.0;
    assert!((400..500).contains(&status), "{status}");
}

#[tokio::test]
async fn garbage_is_refused_and_the_next_client_is_served() {
    let rig = Rig::start();
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"{\"verb\":\"status\"}\n",
        b"GET\r\n\r\n",
        b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"GET /v1/status\xff HTTP/1.1\r\n\r\n",
        b"POST /v1/stop HTTP/1.1\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST /v1/stop HTTP/1.1\r\ncontent-length: -2\r\n\r\n{}",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0\0\0\0",
    ] {
        let mut stream = rig.connect(NOBODY).await;
        stream.write_all(garbage).await.unwrap();
        let (status, _) = answer(&mut stream).await;
        assert!(status == 0 || (400..500).contains(&status), "{garbage:?} gave {status}");
    }
    assert!(rig.commands().is_empty());
    assert_eq!(rig.status(NOBODY).await, 200);
}

#[tokio::test]
async fn a_head_that_dribbles_in_is_closed_in_time() {
    let rig = Rig::start();
    let started = Instant::now();
    let mut stream = rig.connect(USER).await;
    for byte in
        b"GET /v1/status HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter().cycle()
    {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(started.elapsed() < Duration::from_secs(10), "it is still served");
    }
}

#[tokio::test]
async fn a_body_that_dribbles_in_is_refused_in_time() {
    let rig = Rig::start();
    let mut stream = rig.connect(USER).await;
    let head =
        "POST /v1/hold HTTP/1.1\r\nhost: a\r\ncontent-length: 4000\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let dribble = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut text = Vec::new();
    let _ = reader.read_to_end(&mut text).await;
    assert!(String::from_utf8_lossy(&text).contains("too-slow"));
    dribble.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() {
    let rig = Rig::start();
    let mut silent = rig.connect(USER).await;
    assert_eq!(answer(&mut silent).await.0, 0);
    // Also one that was served before.
    let mut kept = rig.connect(USER).await;
    kept.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut kept).await.0, 200);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_given_up() {
    let rig =
        Rig::with(Limits { requests_per_second: 10_000, burst: 10_000, ..limits() }, |_| None);
    let mut stream = rig.connect(USER).await;
    let one = b"GET /v1/openapi.json HTTP/1.1\r\nhost: a\r\n\r\n";
    let started = Instant::now();
    // The answers fill the socket; then the server stops reading, and then it closes.
    loop {
        match tokio::time::timeout(Duration::from_secs(10), stream.write_all(one)).await {
            Ok(Ok(())) => assert!(started.elapsed() < Duration::from_secs(10)),
            Ok(Err(_)) => break,
            Err(waited) => panic!("the server waits for a reader that does not read: {waited}"),
        }
    }
    assert_eq!(rig.status(USER).await, 200);
}

#[tokio::test]
async fn a_thousand_idle_connections_hurt_nobody_else() {
    let rig = Rig::with(Limits { io: Duration::from_secs(30), ..limits() }, |_| None);
    let mut idle = Vec::new();
    for n in 0..1_000 {
        idle.push(rig.connect([NOBODY, USER, 2000, 2001, 2002][n % 5]).await);
    }
    for uid in [ROOT, ADMIN, NOBODY] {
        let started = Instant::now();
        assert_eq!(rig.status(uid).await, 200, "{uid}");
        assert!(started.elapsed() < Duration::from_secs(2));
    }
    let mut open = 0;
    let mut byte = [0];
    for stream in &idle {
        open += usize::from(matches!(
            stream.try_read(&mut byte),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock
        ));
    }
    assert!(open <= 64, "{open} connections are open");
}

#[tokio::test]
async fn a_thousand_idle_connections_of_root_do_not_shut_root_out() {
    let rig = Rig::with(Limits { io: Duration::from_secs(30), ..limits() }, |_| None);
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(rig.connect(ROOT).await);
    }
    assert_eq!(rig.status(ROOT).await, 200);
}

#[tokio::test]
async fn who_asks_too_often_is_told_so_and_others_are_served() {
    let rig = Rig::start();
    let mut refused = 0;
    for _ in 0..200 {
        let (status, reply) = rig.ask(USER, "GET", "/healthz", "").await;
        if status == 429 {
            assert_eq!(kind(&reply), "too-many-requests");
            refused += 1;
        }
    }
    assert!(refused > 50, "{refused}");
    assert_eq!(rig.status(NOBODY).await, 200);
    assert_eq!(rig.status(ROOT).await, 200);
}

#[tokio::test]
async fn streams_are_limited_and_do_not_take_the_place_of_status() {
    let rig = Rig::start();
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = rig.connect(USER).await;
        stream.write_all(request("GET", "/v1/events?follow=1", "").as_bytes()).await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first[9..], b"200");
        streams.push(stream);
    }
    let (status, reply) = rig.ask(USER, "GET", "/v1/events?follow=1", "").await;
    assert_eq!((status, kind(&reply).as_str()), (503, "overloaded"));
    assert_eq!(rig.status(USER).await, 200);
    drop(streams);
    // A stream whose reader has gone is noticed.
    let give_up = Instant::now() + Duration::from_secs(5);
    while rig.ask(USER, "GET", "/v1/events", "").await.0 != 200 {
        assert!(Instant::now() < give_up, "the streams are never given back");
        rig.publisher.record(NOW, Event::PolicyChanged);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

#[tokio::test]
async fn busy_seats_are_not_taken_away_and_the_newcomer_is_told() {
    let slow = Limits { command: Duration::from_secs(3), per_user: 2, ..limits() };
    let rig = Rig::with(slow, |_| None);
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut stream = rig.connect(USER).await;
        stream.write_all(request("POST", "/v1/release", "{}").as_bytes()).await.unwrap();
        busy.push(stream);
    }
    while rig.commands().len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut newcomer = rig.connect(USER).await;
    let (status, reply) = answer(&mut newcomer).await;
    assert_eq!((status, kind(&reply).as_str()), (503, "overloaded"));
    assert_eq!(rig.status(NOBODY).await, 200);
    assert_eq!(answer(&mut busy[0]).await.0, 503, "the engine did not answer, which is told");
}
