//! What a service on the network can do wrong, at will.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use crate::wire::Reply;

/// One way to answer badly. The request was received and understood; what goes out is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A reply with this status and a short text.
    Status(u16),
    /// Nothing is ever sent; the connection stays open until the client gives up.
    Hang,
    /// The connection is reset (TCP RST) without a reply.
    Reset,
    /// The connection is closed in order, without a reply.
    Close,
    /// The right reply, one byte each so many milliseconds.
    Drip(u64),
    /// The right reply, so many milliseconds late.
    Late(u64),
    /// Bytes that are not HTTP.
    Garbage,
    /// 200 with an empty body.
    Empty,
    /// 200 with a page of HTML, as a captive portal gives.
    Html,
    /// The right head, then half of the body, then the end of the connection.
    Truncated,
    /// 200 with an endless-looking body of this many bytes.
    Huge(u64),
    /// A redirect to this place.
    Redirect(String),
    /// The right reply with another content type.
    ContentType(String),
    /// The right reply without this header.
    Without(String),
    /// 200 with this body.
    Body(String),
}

impl Fault {
    /// Sends the faulty reply in place of `right`. Returns whether the connection can be used again.
    pub fn deliver(&self, right: Reply, stream: &TcpStream) -> io::Result<bool> {
        let mut out = stream;
        match self {
            Self::Hang => wait_for_end(stream),
            Self::Reset => reset(stream),
            Self::Close => Ok(false),
            Self::Garbage => {
                out.write_all(b"\x16\x03\x01\x00\xff\x00\r\n\xde\xad not a reply \x00\r\n\r\n")?;
                Ok(false)
            }
            Self::Drip(pause_ms) => drip(&right, *pause_ms, stream),
            Self::Truncated => {
                out.write_all(&right.head(right.body.len() as u64 + 1))?;
                out.write_all(right.body.get(..right.body.len() / 2).unwrap_or_default())?;
                Ok(false)
            }
            Self::Huge(length) => pour(&right, *length, stream),
            Self::Late(pause_ms) => {
                thread::sleep(Duration::from_millis(*pause_ms));
                send(&right, stream)
            }
            simple => send(&simple.replaced(right), stream),
        }
    }

    /// The faults that are whole, well-formed replies.
    fn replaced(&self, right: Reply) -> Reply {
        let close = right.close;
        let mut reply = match self {
            Self::Status(status) => Reply::text(*status, crate::wire::phrase(*status)),
            Self::Html => Reply::new(
                200,
                "text/html",
                "<!DOCTYPE html>\n<html><body>Please log in</body></html>",
            ),
            Self::Redirect(to) => Reply::text(302, "").with_header("Location", to),
            Self::Empty => Reply { body: Vec::new(), status: 200, ..right },
            Self::Body(body) => Reply { body: body.clone().into_bytes(), status: 200, ..right },
            Self::ContentType(kind) => {
                right.without_header("content-type").with_header("Content-Type", kind)
            }
            Self::Without(header) => right.without_header(header),
            _ => right,
        };
        reply.close = close;
        reply
    }
}

/// Sends a reply as it should be. Returns whether the connection can be used again.
pub fn send(reply: &Reply, mut stream: &TcpStream) -> io::Result<bool> {
    stream.write_all(&reply.encode())?;
    Ok(!reply.close)
}

/// Reads until the client, or the end of the server, closes the connection.
fn wait_for_end(mut stream: &TcpStream) -> io::Result<bool> {
    stream.set_read_timeout(None)?;
    let mut sink = [0_u8; 4096];
    while stream.read(&mut sink)? > 0 {}
    Ok(false)
}

/// Closes with a reset: `SO_LINGER` of zero seconds (socket(7)).
fn reset(stream: &TcpStream) -> io::Result<bool> {
    let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &now)?;
    Ok(false)
}

fn drip(right: &Reply, pause_ms: u64, mut stream: &TcpStream) -> io::Result<bool> {
    for byte in right.encode() {
        stream.write_all(&[byte])?;
        thread::sleep(Duration::from_millis(pause_ms));
    }
    Ok(!right.close)
}

fn pour(right: &Reply, length: u64, mut stream: &TcpStream) -> io::Result<bool> {
    stream.write_all(&right.head(length))?;
    let block = [b'a'; 16 * 1024];
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        stream.write_all(block.get(..part).unwrap_or_default())?;
        left -= part as u64;
    }
    stream.shutdown(Shutdown::Both)?;
    Ok(false)
}

/// The text is not a fault.
#[derive(Debug, thiserror::Error)]
#[error("read the fault {0:?}: expected one of {KNOWN}")]
pub struct UnknownFault(String);

/// The words that [`Fault`] is parsed from.
const KNOWN: &str = "status=CODE, hang, reset, close, drip=MS, late=MS, garbage, empty, html, truncated, \
                     huge=BYTES, redirect=URL, content-type=TYPE, without=HEADER, body=TEXT";

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault(text.to_owned());
        let (word, value) = text.split_once('=').unwrap_or((text, ""));
        let number = || value.parse::<u64>().map_err(|_| unknown());
        Ok(match word {
            "status" => Self::Status(value.parse().map_err(|_| unknown())?),
            "hang" => Self::Hang,
            "reset" => Self::Reset,
            "close" => Self::Close,
            "drip" => Self::Drip(number()?),
            "late" => Self::Late(number()?),
            "garbage" => Self::Garbage,
            "empty" => Self::Empty,
            "html" => Self::Html,
            "truncated" => Self::Truncated,
            "huge" => Self::Huge(number()?),
            "redirect" => Self::Redirect(value.to_owned()),
            "content-type" => Self::ContentType(value.to_owned()),
            "without" => Self::Without(value.to_owned()),
            "body" => Self::Body(value.to_owned()),
            _ => return Err(unknown()),
        })
    }
}

/// How often a scripted fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Until it is taken away.
    Always,
    /// For the next so many requests.
    Next(u32),
}

/// Faults by pattern. A pattern is a path or an action; a trailing `*` matches every continuation.
#[derive(Clone, Debug)]
pub struct Script<F> {
    entries: Vec<(String, F, Times)>,
}

impl<F> Default for Script<F> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<F: Clone> Script<F> {
    /// Adds a fault; where several match, the one added last strikes.
    pub fn add(&mut self, pattern: &str, fault: F, times: Times) {
        self.entries.push((pattern.to_owned(), fault, times));
    }

    /// Takes away every fault of a pattern.
    pub fn remove(&mut self, pattern: &str) {
        self.entries.retain(|(known, ..)| known != pattern);
    }

    /// Takes away every fault.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The fault that strikes `subject` now. A counted fault is used up by this.
    pub fn strike(&mut self, subject: &str) -> Option<F> {
        let found = self.entries.iter().rposition(|(pattern, ..)| matches(pattern, subject))?;
        let (_, fault, times) = self.entries.get_mut(found)?;
        let fault = fault.clone();
        match times {
            Times::Always => {}
            Times::Next(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.entries.remove(found);
                }
            }
        }
        Some(fault)
    }
}

fn matches(pattern: &str, subject: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => subject.starts_with(start),
        None => pattern == subject,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status={status}"),
            Self::Drip(ms) => write!(f, "drip={ms}"),
            Self::Late(ms) => write!(f, "late={ms}"),
            Self::Huge(bytes) => write!(f, "huge={bytes}"),
            Self::Redirect(to) => write!(f, "redirect={to}"),
            Self::ContentType(kind) => write!(f, "content-type={kind}"),
            Self::Without(header) => write!(f, "without={header}"),
            Self::Body(body) => write!(f, "body={body}"),
            Self::Hang => f.write_str("hang"),
            Self::Reset => f.write_str("reset"),
            Self::Close => f.write_str("close"),
            Self::Garbage => f.write_str("garbage"),
            Self::Empty => f.write_str("empty"),
            Self::Html => f.write_str("html"),
            Self::Truncated => f.write_str("truncated"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_back_from_its_own_text() {
        let all = [
            Fault::Status(503),
            Fault::Hang,
            Fault::Reset,
            Fault::Close,
            Fault::Drip(5),
            Fault::Late(7),
            Fault::Garbage,
            Fault::Empty,
            Fault::Html,
            Fault::Truncated,
            Fault::Huge(1 << 30),
            Fault::Redirect("http://127.0.0.1:1/".into()),
            Fault::ContentType("image/png".into()),
            Fault::Without("Date".into()),
            Fault::Body("{}".into()),
        ];
        for fault in all {
            assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
        }
        assert!("hnag".parse::<Fault>().is_err());
        assert!("status=many".parse::<Fault>().is_err());
    }

    #[test]
    fn the_last_matching_fault_strikes_and_counted_ones_are_used_up() {
        let mut script = Script::default();
        script.add("/latest/*", Fault::Empty, Times::Always);
        script.add("/latest/api/token", Fault::Hang, Times::Next(2));
        assert_eq!(script.strike("/latest/api/token"), Some(Fault::Hang));
        assert_eq!(script.strike("/latest/api/token"), Some(Fault::Hang));
        assert_eq!(script.strike("/latest/api/token"), Some(Fault::Empty));
        assert_eq!(script.strike("/other"), None);
        script.remove("/latest/*");
        assert_eq!(script.strike("/latest/api/token"), None);
    }
}
