//! A blocking client over the Unix socket: one connection a request, everything with a deadline and a size limit.

mod connect;
mod reply;
mod stream;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::command::{
    DrillReply, DrillRequest, HoldReply, HoldRequest, PowerReply, PowerRequest, ReleaseReply,
    RenewRequest,
};
use crate::doctor::Diagnosis;
use crate::exit::ExitCode;
use crate::limits;
use crate::problem::{ErrorKind, Problem};
use crate::spot::Spot;
use crate::status::{Power, Status};

pub use stream::Events;

/// Why a request got no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error("reach agentd at '{}': {source}", socket.display())]
    NotReachable {
        /// The socket's path.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection failed or timed out after it was made.
    #[error("hear from agentd at '{}': {source}", socket.display())]
    Interrupted {
        /// The socket's path.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What came back is not what the agent sends.
    #[error("understand the answer from '{}': {why}", socket.display())]
    Garbled {
        /// The socket's path.
        socket: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The agent answered with a problem.
    #[error("{}", .0.detail)]
    Denied(Box<Problem>),
}

impl ClientError {
    /// The exit code of a command that got it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotReachable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                ExitCode::NotPermitted
            }
            Self::NotReachable { .. } | Self::Interrupted { .. } => ExitCode::NotReachable,
            Self::Garbled { .. } => ExitCode::Failed,
            Self::Denied(problem) => problem.kind.exit_code(),
        }
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotReachable { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                Some("ls -l the socket: every local user should be able to connect".to_owned())
            }
            Self::NotReachable { .. } => Some(
                "sudo systemctl start agentd   (why it is not running: journalctl -u agentd -n 20)"
                    .to_owned(),
            ),
            Self::Interrupted { .. } => {
                Some("journalctl -u agentd -n 20   (or: sudo systemctl restart agentd)".to_owned())
            }
            Self::Garbled { .. } => {
                Some("install the same version of agentd and agentctl".to_owned())
            }
            Self::Denied(problem) => problem.hint.clone(),
        }
    }

    /// The same as a document, for `--json`.
    pub fn problem(&self) -> Problem {
        if let Self::Denied(problem) = self {
            return (**problem).clone();
        }
        let mut problem = Problem::new(ErrorKind::Unavailable, format!("failed to {self}"));
        problem.hint = self.hint();
        problem
    }
}

/// The methods that the agent knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes.
    Post,
    /// Ends.
    Delete,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Asks one agent.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
    starting: Duration,
}

impl Client {
    /// A client of the agent that listens at a path.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            deadline: limits::COMMAND_DEADLINE + Duration::from_secs(1),
            starting: limits::STARTING,
        }
    }

    /// A client of the agent of this machine: see [`crate::socket_path`].
    pub fn from_env() -> Self {
        Self::new(crate::socket_path())
    }

    /// The same client that waits at most this long for a whole answer.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same client that tries again for at most this long while the agent is starting.
    #[must_use]
    pub const fn with_patience(mut self, starting: Duration) -> Self {
        self.starting = starting;
        self
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /v1/status`.
    pub fn status(&self) -> Result<Status, ClientError> {
        self.parse(&self.get("/v1/status")?)
    }

    /// `GET /v1/why`.
    pub fn why(&self) -> Result<Status, ClientError> {
        self.parse(&self.get("/v1/why")?)
    }

    /// `GET /v1/spot`.
    pub fn spot(&self) -> Result<Spot, ClientError> {
        self.parse(&self.get("/v1/spot")?)
    }

    /// `POST /v1/spot/drill`. The answer comes when the drill has begun.
    pub fn drill(&self, request: DrillRequest) -> Result<DrillReply, ClientError> {
        self.parse(&self.post("/v1/spot/drill", &request)?)
    }

    /// `GET /v1/doctor`. The agent asks EC2, so it may take up to [`limits::DOCTOR_DEADLINE`].
    pub fn doctor(&self) -> Result<Diagnosis, ClientError> {
        self.parse(&self.doctor_document()?)
    }

    /// The document of `GET /v1/doctor` as it came.
    pub fn doctor_document(&self) -> Result<Vec<u8>, ClientError> {
        let deadline = limits::DOCTOR_DEADLINE + Duration::from_secs(2);
        self.clone().with_deadline(deadline.max(self.deadline)).get("/v1/doctor")
    }

    /// `POST /v1/hold`.
    pub fn hold(&self, request: &HoldRequest) -> Result<HoldReply, ClientError> {
        self.parse(&self.post("/v1/hold", request)?)
    }

    /// `POST /v1/hold/ID/renew`.
    pub fn renew(&self, hold: u64, request: RenewRequest) -> Result<HoldReply, ClientError> {
        self.parse(&self.post(&format!("/v1/hold/{hold}/renew"), &request)?)
    }

    /// `DELETE /v1/hold/ID`, or `POST /v1/release` for all of the caller's.
    pub fn release(&self, hold: Option<u64>) -> Result<ReleaseReply, ClientError> {
        let reply = match hold {
            Some(id) => self.request(Method::Delete, &format!("/v1/hold/{id}"), &[])?,
            None => self.request(Method::Post, "/v1/release", b"{}")?,
        };
        self.parse(&reply)
    }

    /// `POST /v1/hibernate` or `POST /v1/stop`.
    pub fn act(&self, power: Power, request: PowerRequest) -> Result<PowerReply, ClientError> {
        self.parse(&self.post(&format!("/v1/{}", power.as_str()), &request)?)
    }

    /// `GET /v1/events`: the events after `after` that are kept, then with `follow` every new one as it happens.
    pub fn events(&self, after: u64, follow: bool) -> Result<Events, ClientError> {
        let path = format!("/v1/events?after={after}{}", if follow { "&follow=1" } else { "" });
        let stream = self.send(Method::Get, &path, &[], Instant::now() + self.deadline)?;
        Events::open(stream, &self.socket, follow)
    }

    /// The document of a `GET` as it came, for a caller that hands it on.
    pub fn get(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.request(Method::Get, path, &[])
    }

    /// One request and its answer's body. An answer other than 2xx is [`ClientError::Denied`].
    ///
    /// A request that was turned away unread, because the caller asks too often or too many are connected, is sent
    /// again within [`limits::STARTING`].
    pub fn request(&self, method: Method, path: &str, body: &[u8]) -> Result<Vec<u8>, ClientError> {
        let deadline = Instant::now() + self.deadline;
        let patient_until = Instant::now() + self.starting;
        loop {
            let stream = self.send(method, path, body, deadline)?;
            match reply::whole(stream, &self.socket, deadline) {
                Err(ClientError::Denied(problem))
                    if problem.kind.was_turned_away() && Instant::now() < patient_until =>
                {
                    std::thread::sleep(connect::PAUSE);
                }
                other => return other,
            }
        }
    }

    fn post(&self, path: &str, document: &impl Serialize) -> Result<Vec<u8>, ClientError> {
        let body = serde_json::to_vec(document).map_err(|error| self.garbled(error.to_string()))?;
        self.request(Method::Post, path, &body)
    }

    fn parse<T: DeserializeOwned>(&self, document: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(document).map_err(|error| self.garbled(error.to_string()))
    }

    fn garbled(&self, why: String) -> ClientError {
        ClientError::Garbled { socket: self.socket.clone(), why }
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: &[u8],
        deadline: Instant,
    ) -> Result<std::os::unix::net::UnixStream, ClientError> {
        let unreachable =
            |source| ClientError::NotReachable { socket: self.socket.clone(), source };
        let mut stream =
            connect::connect(&self.socket, self.starting, deadline).map_err(unreachable)?;
        let mut message = format!(
            "{} {path} HTTP/1.0\r\nhost: agentd\r\nconnection: close\r\naccept: application/json\r\n",
            method.as_str()
        )
        .into_bytes();
        if method != Method::Get {
            message.extend_from_slice(
                format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
                    .as_bytes(),
            );
        }
        message.extend_from_slice(b"\r\n");
        message.extend_from_slice(body);
        match stream.write_all(&message) {
            Ok(()) => Ok(stream),
            // The agent may have answered and closed before it read us: the answer says why.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
                ) =>
            {
                Ok(stream)
            }
            Err(source) => Err(ClientError::Interrupted { socket: self.socket.clone(), source }),
        }
    }
}

#[cfg(test)]
mod tests;
