//! Reads an HTTP answer from a connection that is closed behind it.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use super::{ClientError, connect};
use crate::limits;
use crate::problem::{ErrorKind, Problem};

/// The part of an answer's head that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The HTTP status.
    pub(super) status: u16,
    /// `content-length`, where the agent knew it.
    pub(super) length: Option<usize>,
    /// Where the body begins.
    pub(super) body_at: usize,
}

/// Parses the head once all of it is there.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut headers = [httparse::EMPTY_HEADER; limits::HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| format!("not an HTTP answer: {error}"))?;
    let httparse::Status::Complete(body_at) = parsed else {
        if bytes.len() > limits::HEAD_BYTES {
            return Err("the head of the answer is too long".to_owned());
        }
        return Ok(None);
    };
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .map(|header| {
            std::str::from_utf8(header.value)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .ok_or_else(|| "its content-length is not a number".to_owned())
        })
        .transpose()?;
    Ok(Some(Head { status: response.code.unwrap_or(0), length, body_at }))
}

/// Reads one piece with what is left of the deadline.
pub(super) fn piece(
    stream: &mut UnixStream,
    buffer: &mut Vec<u8>,
    deadline: Instant,
) -> io::Result<usize> {
    stream.set_read_timeout(Some(connect::left(deadline)?))?;
    let mut chunk = [0; 16 * 1024];
    loop {
        match stream.read(&mut chunk) {
            Ok(count) => {
                buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => connect::left(deadline)?,
            // What a read time-out is called on Linux.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
            }
            Err(error) => return Err(error),
        };
    }
}

/// The body of a whole answer, or the problem that it is.
pub(super) fn whole(
    mut stream: UnixStream,
    socket: &Path,
    deadline: Instant,
) -> Result<Vec<u8>, ClientError> {
    let interrupted = |source| ClientError::Interrupted { socket: socket.to_owned(), source };
    let garbled = |why: String| ClientError::Garbled { socket: socket.to_owned(), why };
    let mut bytes = Vec::new();
    let mut seen: Option<Head> = None;
    loop {
        if seen.is_none() {
            seen = head(&bytes).map_err(garbled)?;
        }
        let complete = seen.is_some_and(|head| {
            head.length.is_some_and(|length| bytes.len() >= head.body_at.saturating_add(length))
        });
        if complete {
            break;
        }
        if bytes.len() > limits::REPLY_BYTES {
            return Err(garbled(format!("it is longer than {} bytes", limits::REPLY_BYTES)));
        }
        match piece(&mut stream, &mut bytes, deadline) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(interrupted(error)),
        }
    }
    let Some(head) = seen else {
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up without an answer");
        return Err(interrupted(error));
    };
    let body = bytes.split_off(head.body_at.min(bytes.len()));
    if head.length.is_some_and(|length| body.len() < length) {
        return Err(garbled("it ends early".to_owned()));
    }
    if (200..300).contains(&head.status) { Ok(body) } else { Err(denied(head.status, &body)) }
}

/// The problem that a body describes; a body that describes none still is one.
pub(super) fn denied(status: u16, body: &[u8]) -> ClientError {
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| {
        let kind = ErrorKind::ALL
            .into_iter()
            .find(|kind| kind.http_status() == status)
            .unwrap_or(ErrorKind::Other);
        Problem::new(kind, format!("the agent answered with HTTP status {status}"))
    });
    ClientError::Denied(Box::new(problem))
}
