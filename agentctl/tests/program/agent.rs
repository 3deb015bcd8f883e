//! An agent that answers as a test says, and writes down what it was asked.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// The status of an idle machine.
pub(crate) const STATUS: &str = r#"{"schema":"agentd/status/v1","now":"2026-01-02T18:30:00Z","decided":"2026-01-02T18:29:58Z",
"agent":{"version":"0.1.0","pid":612,"boot_id":"x","started":"2026-01-02T16:30:00Z","up_seconds":7200.0},
"instance":{"instance_id":"i-0abc12345678def90","instance_type":"g5.2xlarge"},
"imds":{"ok":true,"detail":"answers","last_good":null},"config":{"files":[],"problem":null},
"mode":"enforce","profile":"research","stage":"quiet","stage_since":"2026-01-02T18:17:00Z","because":"nothing",
"idle":{"since":"2026-01-02T18:12:00Z","idle_seconds":1080.0,"act_after_seconds":1800.0},
"outlook":{"prospect":"will-act","power":"hibernate","at":"2026-01-02T18:42:00Z","in_seconds":720.0,"warn_at":[],
"because":"nothing has used it","remedy":"agentctl hold 2h"},
"sources":[{"source":"cpu","verdict":"idle","value":0.01,"busy_above":0.05,"unit":"core","since":"2026-01-02T18:08:00Z",
"for_seconds":1320.0,"last_activity":null,"last_activity_seconds":null,"read_seconds":1.0}],
"blind":[],"holds":[],"obstacles":[],
"abilities":{"hibernate":{"can":"can"},"stop":{"can":"can"}},"last_action":null,"from_a_newer_agent":1}"#;

/// The answer to a hold.
pub(crate) const HELD: &str =
    r#"{"schema":"agentd/hold/v1","id":7,"until":"2026-01-02T20:30:00Z","capped":false}"#;

/// One request: method and path, and the body.
pub(crate) type Asked = (String, String);

/// The agent.
pub(crate) struct Agent {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Agent {
    /// An agent that answers every request (its method and path) with a status and a body.
    pub(crate) fn start(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("a.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                serve(stream, &log, &answer);
            }
        });
        Self { folder, asked }
    }

    /// An agent that answers everything with one document.
    pub(crate) fn saying(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(move |_| (status, body.clone()))
    }

    /// An agent that holds and releases.
    pub(crate) fn holding() -> Self {
        Self::start(|request| {
            let body = if request.starts_with("DELETE") { r#"{"released":1}"# } else { HELD };
            (200, body.to_owned())
        })
    }

    /// What it was asked.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The method and path of everything that it was asked.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|(request, _)| request).collect()
    }

    /// `agentctl` that talks to it, without a terminal and without the environment's colours.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = agentctl();
        command.env("AGENTD_SOCKET", self.folder.path().join("a.sock")).args(arguments);
        command
    }

    /// Runs `agentctl` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(self.command(arguments).output().unwrap())
    }

    /// A file in the agent's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// The program under test.
pub(crate) fn agentctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentctl"));
    command.env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; none when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error.
    pub(crate) err: String,
}

impl Ran {
    /// Out of the output of a process.
    pub(crate) fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Standard output as the one JSON document that it must be.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {:?}", self.out))
    }
}

fn serve(mut stream: UnixStream, log: &Mutex<Vec<Asked>>, answer: &dyn Fn(&str) -> (u16, String)) {
    let mut text = String::new();
    let mut chunk = [0; 4096];
    let (head, body) = loop {
        let count = stream.read(&mut chunk).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&chunk[..count]));
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse::<usize>().unwrap());
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if body.len() >= length => break (head, body),
            _ if count == 0 => return,
            _ => {}
        }
    };
    let line = head.lines().next().unwrap_or_default();
    let request = line.trim_end_matches(" HTTP/1.0");
    log.lock().unwrap().push((request.to_owned(), body.to_owned()));
    let (status, reply) = answer(request);
    let head = format!("HTTP/1.0 {status} x\r\ncontent-length: {}\r\n\r\n", reply.len());
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(reply.as_bytes());
}
