//! The whole server over real sockets: what it answers, to whom, and what it survives.
//!
//! The user id of a test's client is the name of the address that it binds before it connects.

mod abuse;
mod verbs;

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use agent_core::input::{Command, Denial, Reply};
use agent_core::reason::Event;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixSocket, UnixStream};
use tokio::sync::mpsc;

use super::{Accounts, CommandRequest, DoctorRun, IpcContext, Limits, Listener};
use crate::host::tree::Tree;
use crate::publish::tests::{NOW, quiet};
use crate::publish::{Publisher, channel};

const ROOT: u32 = 0;
const ADMIN: u32 = 1000;
const USER: u32 = 1001;
const NOBODY: u32 = 65_534;

/// A running server.
struct Rig {
    folder: tempfile::TempDir,
    socket: PathBuf,
    publisher: Publisher,
    seen: Arc<Mutex<Vec<(u32, bool, Command)>>>,
    clients: AtomicU64,
    _accounts: Tree,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<()>,
}

/// Short enough for a test, long enough for a busy machine.
fn limits() -> Limits {
    Limits {
        io: Duration::from_millis(300),
        command: Duration::from_millis(500),
        ..Limits::default()
    }
}

impl Rig {
    fn start() -> Self {
        Self::with(limits(), |command| match command {
            Command::Hold { .. } | Command::Renew { .. } => {
                Some(Reply::Held { hold: 7, until_wall_ms: NOW.wall_ms, capped: true })
            }
            Command::Release { .. } => Some(Reply::Released(1)),
            Command::Act { power, dry_run } => {
                Some(Reply::Acting { power: *power, dry_run: *dry_run })
            }
            Command::Drill { .. } => Some(Reply::Drilling {
                alert: "drill".to_owned(),
                hooks: 2,
                deadline_wall_ms: NOW.wall_ms,
            }),
        })
    }

    /// A server whose engine answers with `engine`; on `None` it never answers.
    fn with(limits: Limits, engine: impl Fn(&Command) -> Option<Reply> + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("a.sock");
        let accounts = Tree::new();
        accounts.file("/etc/passwd", "alice:x:1000:1000::/:\nbob:x:1001:1001::/:\n");
        accounts.file("/etc/group", "agentd:x:990:alice\n");
        let (publisher, subscriber) = channel(quiet());
        let (commands, inbox) = mpsc::channel(8);
        let seen = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(run_engine(inbox, Arc::clone(&seen), engine));
        let doctor = DoctorRun::new(|| async { vec![] });
        let accounts_of = Accounts::new(accounts.root());
        let mut context =
            IpcContext::new(subscriber, commands, Arc::new(|| NOW), doctor, accounts_of);
        context.limits = limits;
        context.identify = Arc::new(|stream| {
            let address = stream.peer_addr()?;
            let name = address.as_pathname().and_then(Path::file_stem).unwrap_or_default();
            name.to_string_lossy().parse().map_err(std::io::Error::other)
        });
        let listener = Listener::bind(&socket).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let server = tokio::spawn(super::serve(listener, context, async {
            let _ = stopped.await;
        }));
        let clients = AtomicU64::new(0);
        Self {
            folder,
            socket,
            publisher,
            seen,
            clients,
            _accounts: accounts,
            stop: Some(stop),
            server,
        }
    }

    async fn connect(&self, uid: u32) -> UnixStream {
        let number = self.clients.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(folder.join(uid.to_string())).unwrap();
        socket.connect(&self.socket).await.unwrap()
    }

    /// One request on a connection of its own: the status and the body.
    async fn ask(&self, uid: u32, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = self.connect(uid).await;
        stream.write_all(request(method, path, body).as_bytes()).await.unwrap();
        answer(&mut stream).await
    }

    async fn status(&self, uid: u32) -> u16 {
        self.ask(uid, "GET", "/v1/status", "").await.0
    }

    fn commands(&self) -> Vec<(u32, bool, Command)> {
        self.seen.lock().unwrap().clone()
    }
}

async fn run_engine(
    mut inbox: mpsc::Receiver<CommandRequest>,
    seen: Arc<Mutex<Vec<(u32, bool, Command)>>>,
    engine: impl Fn(&Command) -> Option<Reply> + Send + 'static,
) {
    let mut unanswered = Vec::new();
    while let Some(request) = inbox.recv().await {
        let reply = engine(&request.command);
        seen.lock().unwrap().push((request.actor.uid, request.actor.admin, request.command));
        match reply {
            Some(reply) => {
                let _ = request.reply.send(reply);
            }
            None => unanswered.push(request.reply),
        }
    }
}

fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.0\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// Reads to the end: the status (0: no answer at all) and the body.
async fn answer(stream: &mut UnixStream) -> (u16, String) {
    let mut bytes = Vec::new();
    // A connection that is closed while we still write may be reset behind the answer.
    let _ = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

fn kind(body: &str) -> String {
    let problem: agent_proto::problem::Problem = serde_json::from_str(body).unwrap();
    assert!(!problem.detail.is_empty());
    serde_json::to_value(problem.kind).unwrap().as_str().unwrap().to_owned()
}
