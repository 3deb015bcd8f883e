//! The agent's socket as any program may use it: HTTP/1.1 over a Unix socket, one request a connection.

use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::wire::{self, Reply, WireError};

/// For as long a reply is waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// Why a request to the agent gave no document.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The socket failed: the agent is not there, or hung up.
    #[error("use the socket '{path}': {cause}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The reply is not HTTP.
    #[error("read the agent's reply: {0}")]
    Wire(#[from] WireError),
    /// The reply is not JSON.
    #[error("read the reply to {request} as JSON: {cause}: {body}")]
    Json {
        /// What was asked for.
        request: String,
        /// Why.
        cause: serde_json::Error,
        /// What came.
        body: String,
    },
    /// The agent said no.
    #[error("have {request} carried out: {status}: {body}")]
    Refused {
        /// What was asked for.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The problem document.
        body: String,
    },
}

/// A client of one socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// A client of the socket at `path`; nothing is opened yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// A connection of one's own, for clients that do not behave.
    pub fn connect(&self) -> Result<UnixStream, SocketError> {
        let stream = UnixStream::connect(&self.path).map_err(|cause| self.io(cause))?;
        stream.set_read_timeout(Some(LIMIT)).map_err(|cause| self.io(cause))?;
        stream.set_write_timeout(Some(LIMIT)).map_err(|cause| self.io(cause))?;
        Ok(stream)
    }

    fn io(&self, cause: io::Error) -> SocketError {
        SocketError::Io { path: self.path.clone(), cause }
    }

    /// Sends one request and returns the reply, whatever its status.
    pub fn ask(&self, method: &str, target: &str, body: &str) -> Result<Reply, SocketError> {
        let mut stream = self.connect()?;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: agentd\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).map_err(|cause| self.io(cause))?;
        Ok(wire::read_reply(&mut BufReader::new(stream))?)
    }

    /// Gets a document.
    pub fn get(&self, target: &str) -> Result<Value, SocketError> {
        document("GET", target, &self.ask("GET", target, "")?)
    }

    /// Posts a document and gets another.
    pub fn post(&self, target: &str, body: &Value) -> Result<Value, SocketError> {
        document("POST", target, &self.ask("POST", target, &body.to_string())?)
    }
}

fn document(method: &str, target: &str, reply: &Reply) -> Result<Value, SocketError> {
    let request = format!("{method} {target}");
    let body = reply.body_text();
    if !(200..300).contains(&reply.status) {
        return Err(SocketError::Refused { request, status: reply.status, body });
    }
    serde_json::from_str(&body).map_err(|cause| SocketError::Json { request, cause, body })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read};
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// A socket that gives each of these replies once and returns the first lines it read.
    fn serve(
        folder: &Path,
        replies: Vec<&'static str>,
    ) -> (Client, thread::JoinHandle<Vec<String>>) {
        let path = folder.join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let answer = |reply: &str| {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(&stream);
                let mut first = String::new();
                reader.read_line(&mut first).unwrap();
                (&stream).write_all(reply.as_bytes()).unwrap();
                first.trim().to_owned()
            };
            replies.into_iter().map(answer).collect()
        });
        (Client::new(&path), server)
    }

    #[test]
    fn documents_and_refusals_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (client, server) = serve(
            folder.path(),
            vec![
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
                "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<a>",
            ],
        );
        assert_eq!(client.get("/v1/status").unwrap()["a"], 1);
        let refused = client.post("/v1/stop", &Value::Null);
        assert!(matches!(refused, Err(SocketError::Refused { status: 403, .. })), "{refused:?}");
        assert!(matches!(client.get("/x"), Err(SocketError::Json { .. })));
        let asked = server.join().unwrap();
        assert_eq!(asked, ["GET /v1/status HTTP/1.1", "POST /v1/stop HTTP/1.1", "GET /x HTTP/1.1"]);
    }

    #[test]
    fn an_absent_socket_is_named() {
        let missing = Client::new(Path::new("/nonexistent/agentd.sock")).get("/v1/status");
        assert!(missing.unwrap_err().to_string().contains("/nonexistent/agentd.sock"));
    }

    #[test]
    fn a_raw_connection_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let (client, server) = serve(folder.path(), vec!["bye"]);
        let mut stream = client.connect().unwrap();
        stream.write_all(b"x\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), server.join().unwrap().len()), ("bye", 1));
    }
}
