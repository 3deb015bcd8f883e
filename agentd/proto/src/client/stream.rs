//! The event stream: one JSON document a line, for as long as both sides like.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{ClientError, reply};
use crate::event::EventLine;
use crate::limits;

/// The events as they come. Ends when the agent closes the stream, or after the first error.
#[derive(Debug)]
pub struct Events {
    stream: UnixStream,
    socket: PathBuf,
    buffer: Vec<u8>,
    patience: Duration,
    over: bool,
}

impl Events {
    /// Reads the head of the answer.
    pub(super) fn open(
        mut stream: UnixStream,
        socket: &Path,
        follow: bool,
    ) -> Result<Self, ClientError> {
        let interrupted = |source| ClientError::Interrupted { socket: socket.to_owned(), source };
        let deadline = Instant::now() + limits::IO_DEADLINE;
        let mut buffer = Vec::new();
        let head = loop {
            let parsed = reply::head(&buffer)
                .map_err(|why| ClientError::Garbled { socket: socket.to_owned(), why })?;
            if let Some(head) = parsed {
                break head;
            }
            if reply::piece(&mut stream, &mut buffer, deadline).map_err(interrupted)? == 0 {
                return Err(interrupted(io::ErrorKind::UnexpectedEof.into()));
            }
        };
        let body = buffer.split_off(head.body_at.min(buffer.len()));
        if !(200..300).contains(&head.status) {
            return Err(reply::denied(head.status, &rest(stream, body, deadline)));
        }
        // A stream that lives sends heartbeats; three missing ones mean that the agent hangs.
        let patience = if follow { limits::HEARTBEAT * 3 } else { limits::IO_DEADLINE };
        Ok(Self { stream, socket: socket.to_owned(), buffer: body, patience, over: false })
    }

    /// The next line without its end, or `None` at the end of the stream. Empty lines are heartbeats and left out.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        let deadline = || Instant::now() + self.patience;
        let mut give_up = deadline();
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let tail = self.buffer.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.buffer, tail);
                line.truncate(end);
                give_up = give_up.max(Instant::now() + self.patience);
                if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.buffer.len() > limits::EVENT_BYTES {
                return Err(self.garbled("an event is too long"));
            }
            match reply::piece(&mut self.stream, &mut self.buffer, give_up) {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => return Err(self.garbled("the last event is cut off")),
                Ok(_) => {}
                Err(source) => {
                    return Err(ClientError::Interrupted { socket: self.socket.clone(), source });
                }
            }
        }
    }

    fn garbled(&self, why: impl Into<String>) -> ClientError {
        ClientError::Garbled { socket: self.socket.clone(), why: why.into() }
    }
}

impl Iterator for Events {
    type Item = Result<EventLine, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = match self.next_line() {
            Ok(None) => None,
            Ok(Some(line)) => Some(
                serde_json::from_slice(&line)
                    .map_err(|error| self.garbled(format!("not an event: {error}"))),
            ),
            Err(error) => Some(Err(error)),
        };
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The rest of a short body, as far as it comes.
fn rest(mut stream: UnixStream, mut body: Vec<u8>, deadline: Instant) -> Vec<u8> {
    while body.len() < limits::EVENT_BYTES
        && reply::piece(&mut stream, &mut body, deadline).is_ok_and(|count| count > 0)
    {}
    body
}
