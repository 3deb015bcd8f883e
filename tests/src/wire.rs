//! HTTP/1 messages on plain streams (RFC 9112): just enough to serve a simulated service and to call one.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest request or reply head that is read, bytes.
const HEAD_LIMIT: u64 = 64 * 1024;
/// The longest body that is read, bytes.
const BODY_LIMIT: u64 = 4 * 1024 * 1024;

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket failed.
    #[error("use the connection: {0}")]
    Io(#[from] io::Error),
    /// The bytes are not an HTTP/1 message.
    #[error("parse an HTTP/1 message: {0}")]
    Malformed(&'static str),
    /// The message is longer than this program reads.
    #[error("read a message within its limit: the {0} is too long")]
    TooLong(&'static str),
}

/// A request as it arrived: header names and values are kept byte for byte and in order.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `PUT`, `POST` …
    pub method: String,
    /// The request target: path and query.
    pub target: String,
    /// The minor version of HTTP/1: 0 or 1.
    pub minor: u8,
    /// Names and values in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body, with a chunked transfer coding removed.
    pub body: Vec<u8>,
}

impl Request {
    /// A request to send.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.into(), target: target.into(), minor: 1, ..Self::default() }
    }

    /// The same request with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same request with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query without its question mark; empty when there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Every value of a header, in the order of arrival.
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).first().copied()
    }

    /// Whether the client lets the connection be used again after this request.
    pub fn keeps_alive(&self) -> bool {
        let connection = self.header("connection").unwrap_or_default().to_ascii_lowercase();
        self.minor >= 1 && connection != "close"
    }

    fn encode(&self, host: &str) -> Vec<u8> {
        let first = format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.target);
        let length = self.body.len();
        let last = format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
        let mut bytes = (first + &lines(&self.headers) + &last).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The minor version of HTTP/1 in the status line.
    pub minor: u8,
    /// Headers besides `Content-Length` and `Connection`, which are made when it is sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the connection ends with this reply.
    pub close: bool,
    /// The reply has no body although it says how long it would be (an answer to HEAD).
    pub head_only: bool,
}

impl Reply {
    /// A reply with a body of a content type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            minor: 1,
            headers: vec![("Content-Type".into(), content_type.into())],
            body: body.into(),
            close: false,
            head_only: false,
        }
    }

    /// A reply of plain text.
    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, "text/plain", body)
    }

    /// The same reply with one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same reply without a header.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        values(&self.headers, name).first().copied()
    }

    /// The body as text, with what is not UTF-8 replaced.
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status line and the headers, saying that `length` bytes follow.
    pub fn head(&self, length: u64) -> Vec<u8> {
        let Self { status, minor, .. } = self;
        let first = format!("HTTP/1.{minor} {status} {}\r\n", phrase(*status));
        let connection = if self.close { "close" } else { "keep-alive" };
        let last = format!("Content-Length: {length}\r\nConnection: {connection}\r\n\r\n");
        (first + &lines(&self.headers) + &last).into_bytes()
    }

    /// The whole reply as it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.head(self.body.len() as u64);
        if !self.head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// Headers as they go over the wire.
fn lines(headers: &[(String, String)]) -> String {
    headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect()
}

fn values<'h>(headers: &'h [(String, String)], name: &str) -> Vec<&'h str> {
    let wanted = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    wanted.map(|(_, value)| value.as_str()).collect()
}

/// The reason phrase of a status code (RFC 9110 §15), for people who read a trace.
pub fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

/// Reads one request. None: the client closed the connection before it began one.
pub fn read_request(stream: &mut impl BufRead) -> Result<Option<Request>, WireError> {
    let Some((first, headers)) = read_head(stream)? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(WireError::Malformed("the request line has not three words"));
    };
    let minor = minor_version(version)?;
    let body = read_body(stream, &headers, false)?;
    Ok(Some(Request { method: method.into(), target: target.into(), minor, headers, body }))
}

/// Sends a request on a connection of its own and reads the whole reply. `limit` bounds each read and write.
pub fn call(to: SocketAddr, request: &Request, limit: Duration) -> Result<Reply, WireError> {
    let mut stream = TcpStream::connect_timeout(&to, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.write_all(&request.encode(&to.to_string()))?;
    read_reply(&mut BufReader::new(stream))
}

/// Reads one reply; a body without a length lasts until the end of the stream.
pub fn read_reply(stream: &mut impl BufRead) -> Result<Reply, WireError> {
    let Some((first, headers)) = read_head(stream)? else {
        return Err(WireError::Malformed("the connection ended before a reply began"));
    };
    let (version, rest) = first.split_once(' ').ok_or(WireError::Malformed("no status"))?;
    let minor = minor_version(version)?;
    let status = rest.get(..3).and_then(|code| code.parse().ok());
    let status = status.ok_or(WireError::Malformed("the status is not a number"))?;
    let body = read_body(stream, &headers, true)?;
    Ok(Reply { status, minor, headers, body, close: true, head_only: false })
}

fn minor_version(text: &str) -> Result<u8, WireError> {
    match text {
        "HTTP/1.1" => Ok(1),
        "HTTP/1.0" => Ok(0),
        _ => Err(WireError::Malformed("it is not HTTP/1")),
    }
}

/// A start line and its headers.
type Head = (String, Vec<(String, String)>);

fn read_head(stream: &mut impl BufRead) -> Result<Option<Head>, WireError> {
    let mut limited = stream.take(HEAD_LIMIT);
    let Some(first) = read_line(&mut limited)? else { return Ok(None) };
    let mut headers = Vec::new();
    loop {
        let line = read_line(&mut limited)?.ok_or(WireError::Malformed("the head has no end"))?;
        if line.is_empty() {
            return Ok(Some((first, headers)));
        }
        let (name, value) =
            line.split_once(':').ok_or(WireError::Malformed("a header has no colon"))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_line(limited: &mut io::Take<&mut impl BufRead>) -> Result<Option<String>, WireError> {
    let mut line = Vec::new();
    limited.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return if limited.limit() == 0 { Err(WireError::TooLong("head")) } else { Ok(None) };
    }
    if line.pop() != Some(b'\n') {
        let long = limited.limit() == 0;
        let cut = WireError::Malformed("a line has no end");
        return Err(if long { WireError::TooLong("head") } else { cut });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

fn read_body(
    stream: &mut impl BufRead,
    headers: &[(String, String)],
    to_end: bool,
) -> Result<Vec<u8>, WireError> {
    let mut body = Vec::new();
    let coding = values(headers, "transfer-encoding").first().copied().unwrap_or_default();
    if coding.eq_ignore_ascii_case("chunked") {
        read_chunks(stream, &mut body)?;
    } else if let Some(length) = values(headers, "content-length").first() {
        let length = length.parse().map_err(|_| WireError::Malformed("the length is no number"))?;
        if length > BODY_LIMIT {
            return Err(WireError::TooLong("body"));
        }
        let got = stream.take(length).read_to_end(&mut body)?;
        if (got as u64) < length {
            return Err(WireError::Malformed("the body is shorter than its length"));
        }
    } else if to_end {
        stream.take(BODY_LIMIT).read_to_end(&mut body)?;
    }
    Ok(body)
}

fn read_chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> Result<(), WireError> {
    loop {
        let line = read_line(&mut stream.take(HEAD_LIMIT))?;
        let line = line.ok_or(WireError::Malformed("a chunk is missing"))?;
        let digits = line.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(digits.trim(), 16)
            .map_err(|_| WireError::Malformed("a chunk's size is no number"))?;
        if body.len() as u64 + size > BODY_LIMIT {
            return Err(WireError::TooLong("body"));
        }
        stream.take(size).read_to_end(body)?;
        read_line(&mut stream.take(HEAD_LIMIT))?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Request>, WireError> {
        read_request(&mut BufReader::new(text.as_bytes()))
    }

    #[test]
    fn a_request_keeps_every_header_in_order() {
        let request =
            parse("GET /a?b=1 HTTP/1.1\r\nX: 1\r\nY: z\r\nx: 2\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.path(), request.query(), request.minor), ("/a", "b=1", 1));
        assert_eq!(request.header_values("X"), ["1", "2"]);
        assert!(request.keeps_alive());
    }

    #[test]
    fn http_1_0_and_close_end_the_connection() {
        assert!(!parse("GET / HTTP/1.0\r\n\r\n").unwrap().unwrap().keeps_alive());
        let close = parse("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap().unwrap();
        assert!(!close.keeps_alive());
    }

    #[test]
    fn bodies_are_read_by_length_and_by_chunks() {
        let sized = parse("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcdef").unwrap().unwrap();
        assert_eq!(sized.body, b"abc");
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().unwrap().body, b"abcde");
    }

    #[test]
    fn what_is_not_a_request_is_an_error_and_the_end_is_none() {
        assert!(parse("").unwrap().is_none());
        for bad in ["GET /\r\n\r\n", "GET / SPDY/3\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"] {
            assert!(parse(bad).is_err(), "{bad:?} was accepted");
        }
        let cut = parse("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc");
        assert!(matches!(cut, Err(WireError::Malformed(_))), "{cut:?}");
    }

    #[test]
    fn an_endless_head_and_an_enormous_body_are_refused() {
        let head = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(100_000));
        assert!(matches!(parse(&head), Err(WireError::TooLong("head"))));
        let body = parse("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n");
        assert!(matches!(body, Err(WireError::TooLong("body"))));
    }

    #[test]
    fn a_reply_survives_the_wire() {
        let reply = Reply::text(503, "wait").with_header("Retry-After", "3");
        let read = read_reply(&mut BufReader::new(reply.encode().as_slice())).unwrap();
        assert_eq!((read.status, read.body_text().as_str()), (503, "wait"));
        assert_eq!(read.header("retry-after"), Some("3"));
        let head = Reply { head_only: true, ..reply };
        assert!(head.encode().ends_with(b"\r\n\r\n"));
    }
}
