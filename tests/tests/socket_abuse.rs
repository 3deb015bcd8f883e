//! Whatever a local client does to the socket: memory stays flat, and others are still answered.

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use agent_tests::agent::{Agent, quick_with};
use agent_tests::instance::Instance;
use serde_json::json;

type Done = Result<(), Box<dyn Error>>;

/// What the agent may grow by under abuse, kibibytes.
const GROWTH: u64 = 8 * 1024;

fn agent() -> Result<Agent, Box<dyn Error>> {
    let mut agent = Agent::on_idle_machine(Instance::default(), &quick_with("action = \"none\""))?;
    agent.start_and_greet()?;
    Ok(agent)
}

fn resident(agent: &Agent) -> u64 {
    agent.resident_kib().unwrap_or(u64::MAX)
}

#[test]
fn a_line_of_256_mib_is_cut_off_early() -> Done {
    let agent = agent()?;
    let before = resident(&agent);
    let mut stream = agent.client().connect()?;
    let block = vec![b'a'; 64 * 1024];
    let mut sent = 0_usize;
    while sent < 256 * 1024 * 1024 {
        match stream.write(&block) {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    assert!(sent < 4 * 1024 * 1024, "{sent} bytes were taken");
    assert!(resident(&agent) < before + GROWTH, "{before} -> {} KiB", resident(&agent));
    agent.status()?;
    Ok(())
}

#[test]
fn a_body_that_is_announced_as_enormous_is_refused() -> Done {
    let agent = agent()?;
    let mut stream = agent.client().connect()?;
    stream.write_all(b"POST /v1/hold HTTP/1.1\r\nHost: x\r\nContent-Length: 268435456\r\n\r\n")?;
    let mut reply = String::new();
    let _reset_is_fine = stream.read_to_string(&mut reply);
    assert!(reply.starts_with("HTTP/1.1 4"), "{reply}");
    Ok(())
}

#[test]
fn a_thousand_idle_connections_are_shed_and_the_agent_answers() -> Done {
    let agent = agent()?;
    let before = resident(&agent);
    let idle: Vec<UnixStream> =
        (0..1_000).filter_map(|_| UnixStream::connect(agent.socket_path()).ok()).collect();
    assert!(resident(&agent) < before + GROWTH, "{before} -> {} KiB", resident(&agent));
    // The idle ones are of the same user, so an answer may have to wait until the agent has shed them.
    agent.wait_for("an answer under 1,000 idle connections", |_| true)?;
    drop(idle);
    let start = Instant::now();
    agent.status()?;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    Ok(())
}

#[test]
fn a_client_that_sends_a_byte_at_a_time_is_cut_off() -> Done {
    let agent = agent()?;
    let mut stream = agent.client().connect()?;
    let start = Instant::now();
    let request = b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for byte in request {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(300));
    }
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "it was listened to for {:?}",
        start.elapsed()
    );
    agent.status()?;
    Ok(())
}

#[test]
fn garbage_gets_an_error_or_nothing_and_never_an_action() -> Done {
    let agent = agent()?;
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{{{{{",
        b"POST /v1/hold HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"\r\n\r\n\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = agent.client().connect()?;
        stream.write_all(bytes)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut reply = Vec::new();
        let _reset_is_fine = stream.read_to_end(&mut reply);
        let text = String::from_utf8_lossy(&reply).into_owned();
        assert!(!text.starts_with("HTTP/1.1 2"), "{:?} got {text}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(agent.stops(), 0);
    agent.status()?;
    Ok(())
}

#[test]
fn absurd_holds_are_refused() -> Done {
    let agent = agent()?;
    for body in [
        json!({"for_seconds": -5}),
        json!({"for_seconds": 0}),
        json!({"for_seconds": "long"}),
        json!({"for_seconds": 1e300}),
        json!({"for": "2h"}),
        json!([]),
    ] {
        let reply = agent.client().ask("POST", "/v1/hold", &body.to_string())?;
        let capped = body["for_seconds"] == json!(1e300) && reply.status == 200;
        assert!(
            capped || (400..500).contains(&reply.status),
            "{body}: {} {}",
            reply.status,
            reply.body_text()
        );
    }
    Ok(())
}

#[test]
fn unknown_paths_and_methods_are_told_as_problems() -> Done {
    let agent = agent()?;
    for (method, path, want) in
        [("GET", "/v1/nothing", 404), ("DELETE", "/v1/status", 405), ("GET", "/", 404)]
    {
        let reply = agent.client().ask(method, path, "")?;
        assert_eq!(reply.status, want, "{method} {path}: {}", reply.body_text());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
    Ok(())
}

#[test]
fn asking_very_often_is_throttled_and_harms_nobody() -> Done {
    let agent = agent()?;
    let before = resident(&agent);
    let start = Instant::now();
    let turned_away: usize = thread::scope(|scope| {
        let hammer = || {
            let mut turned_away = 0;
            while start.elapsed() < Duration::from_secs(3) {
                let reply = agent.client().ask("GET", "/v1/status", "");
                turned_away += usize::from(reply.is_ok_and(|reply| reply.status == 429));
            }
            turned_away
        };
        let hammers: Vec<_> = (0..8).map(|_| scope.spawn(hammer)).collect();
        hammers.into_iter().filter_map(|hammer| hammer.join().ok()).sum()
    });
    // An administrator may ask more often than a small machine can answer.
    assert!(nix::unistd::geteuid().is_root() || turned_away > 0, "nothing was turned away");
    assert!(resident(&agent) < before + GROWTH, "{before} -> {} KiB", resident(&agent));
    let status = agent.wait_for("an answer after the storm", |_| true)?;
    let read = status["sources"][0]["read_seconds"].as_f64().unwrap_or(f64::MAX);
    assert!(read < 5.0, "the sources were last read {read} s ago");
    Ok(())
}
