use super::*;
use crate::host::tree::{Process, Tree};
use crate::sources::BusMode;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

fn now() -> Stamp {
    // 2026-11-26T12:00:00Z.
    Stamp::new(1_000_000, 0, 1_795_694_400_000)
}

fn open(tree: &Tree, options: &str) -> Jupyter {
    let options = toml::from_str(options).unwrap();
    Jupyter::new(&Context { host: tree.root(), options, bus: BusMode::None })
}

/// A server that answers once; its port, and what it was asked.
fn server(answer: &'static str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            request.extend(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (port, thread)
}

const KERNELS: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[{\"id\": \"1b2c3d4e-aa\", \"name\": \"python3\", \"last_activity\": \"2026-11-26T11:58:30.5Z\", \"execution_state\": \"busy\", \"connections\": 1}, {\"id\": \"ffff0000-bb\", \"name\": \"ir\", \"last_activity\": \"2026-11-26T09:00:00Z\", \"execution_state\": \"idle\", \"connections\": 0}]";

/// A machine on which a kernel runs.
fn with_kernel() -> Tree {
    let tree = Tree::new();
    tree.process(&Process::new(1, "systemd"));
    tree.process(&Process::new(70, "python3").with(|p| p.ppid = 60));
    tree.file("/proc/70/cmdline", "python3\0-m\0ipykernel_launcher\0-f\0x.json\0");
    tree
}

#[test]
fn a_machine_without_a_server_has_none_and_is_asked_once_a_minute() {
    let mut jupyter = open(&Tree::new(), "");
    assert!(jupyter.standing(now()).is_none());
    assert!(matches!(jupyter.read(now()), Reading::Absent { .. }));
    assert!(jupyter.standing(now().after(Duration::from_secs(59))).is_some());
    assert!(jupyter.standing(now().after(Duration::from_mins(1))).is_none());
    jupyter.refresh();
    assert!(jupyter.standing(now()).is_none());
}

#[test]
fn kernels_are_marked_with_their_last_activity_and_clients_make_it_wait_longer() {
    let (port, asked) = server(KERNELS);
    let tree = Tree::new();
    tree.file("/etc/agentd/jupyter.token", "secret\n");
    let options =
        format!("url = 'http://127.0.0.1:{port}/base/'\ntoken_file = '/etc/agentd/jupyter.token'");
    let Reading::Signals(signals) = open(&tree, &options).read(now()) else { panic!("not read") };
    let request = asked.join().unwrap();
    assert!(request.starts_with("GET /base/api/kernels?no_track_activity=1 HTTP/1.0\r\n"), "{request}");
    assert!(request.contains("\r\nAuthorization: token secret\r\n"), "{request}");
    let mark = |ms: u64, age: u64| Value::Mark { mark: 1_795_694_400_000 - ms, age_ms: Some(age) };
    let expected = [
        Signal::new("kernel 1b2c3d4e", mark(89_500, 89_500)).owned_by("python3, busy"),
        Signal::new("client of kernel 1b2c3d4e", Value::Stretches { by: Stretch::Connected })
            .owned_by("python3"),
        Signal::new("kernel ffff0000", mark(10_800_000, 10_800_000)).owned_by("ir, idle"),
    ];
    assert_eq!(signals, expected);
}

#[test]
fn the_servers_of_root_are_found_by_their_files_while_they_live() {
    let (port, asked) = server(KERNELS);
    let tree = Tree::new();
    let file = format!("{{\"base_url\": \"/x/\", \"pid\": 60, \"port\": {port}, \"secure\": false, \"token\": \"t\", \"url\": \"http://ip-10-0-0-1:{port}/x/\"}}");
    tree.file("/root/.local/share/jupyter/runtime/jpserver-60.json", &file);
    tree.file("/root/.local/share/jupyter/runtime/jpserver-60-open.html", "");
    tree.file("/root/.local/share/jupyter/runtime/kernel-1.json", "{}");
    assert!(matches!(open(&tree, "").read(now()), Reading::Absent { .. }), "it ended");
    tree.process(&Process::new(60, "jupyter-lab"));
    let reading = open(&tree, "").read(now());
    assert!(matches!(&reading, Reading::Signals(signals) if signals.len() == 3), "{reading:?}");
    assert!(asked.join().unwrap().starts_with("GET /x/api/kernels"));
    tree.file("/root/.local/share/jupyter/runtime/jpserver-60.json", "garbage");
    let Reading::Blind { why } = open(&tree, "").read(now()) else { panic!("not blind") };
    assert!(why.contains("jpserver-60.json"), "{why}");
}

#[test]
fn an_answer_that_cannot_be_used_is_blind_only_while_kernels_run() {
    for answer in [
        "HTTP/1.1 403 Forbidden\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\n\r\n[{\"id\": 5}]",
        "garbage",
        "",
    ] {
        let (port, asked) = server(answer);
        let options = format!("url = 'http://127.0.0.1:{port}'");
        let Reading::Blind { why } = open(&with_kernel(), &options).read(now()) else {
            panic!("{answer:?} is believed");
        };
        assert!(why.contains(&port.to_string()), "{why}");
        asked.join().unwrap();
        let (port, asked) = server(answer);
        let none = Tree::new();
        let reading = open(&none, &format!("url = 'http://127.0.0.1:{port}'")).read(now());
        assert_eq!(reading, Reading::Signals(Vec::new()), "{answer:?}");
        asked.join().unwrap();
    }
    // Nobody listens there any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reading = open(&with_kernel(), &format!("url = 'http://127.0.0.1:{port}'")).read(now());
    assert!(matches!(reading, Reading::Blind { .. }), "{reading:?}");
    let reading = open(&with_kernel(), "url = 'http://example.org/'").read(now());
    assert!(matches!(reading, Reading::Blind { .. }), "{reading:?}");
}

#[test]
fn a_token_that_cannot_be_read_is_blind() {
    let options = "url = 'http://127.0.0.1:9'\ntoken_file = '/none'";
    let Reading::Blind { why } = open(&Tree::new(), options).read(now()) else { panic!("not blind") };
    assert!(why.contains("/none"), "{why}");
}
