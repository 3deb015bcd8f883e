//! What a service on the network can do wrong, at will.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

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
    /// 200 with a body of so many bytes that are no text.
    Noise(u16),
    /// These characters and nothing else, then the end of the connection: heads that are no heads.
    Raw(String),
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
            Self::Raw(text) => {
                out.write_all(text.as_bytes())?;
                Ok(false)
            }
            Self::Drip(pause_ms) => drip(&right, *pause_ms, stream),
            Self::Truncated => {
                out.write_all(&right.head(right.body.len() as u64 + 1))?;
                out.write_all(right.body.get(..right.body.len() / 2).unwrap_or_default())?;
                Ok(false)
            }
            Self::Huge(length) => pour(&Reply { status: 200, ..right }, *length, stream),
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
            Self::Noise(length) => Reply { body: noise(*length), status: 200, ..right },
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

/// Bytes that are not UTF-8, always the same.
fn noise(length: u16) -> Vec<u8> {
    (0..length).map(|at| 0x80 | at.to_le_bytes()[0].wrapping_mul(37)).collect()
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
                     huge=BYTES, redirect=URL, content-type=TYPE, without=HEADER, body=TEXT, noise=BYTES, raw=TEXT";

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
            "noise" => Self::Noise(value.parse().map_err(|_| unknown())?),
            "raw" => Self::Raw(value.to_owned()),
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
    /// Until this moment.
    Until(Instant),
    /// So many of a hundred requests, drawn by the script's seed.
    Chance(u8),
}

/// What a script begins to draw with unless it is told otherwise.
const SEED: u64 = 0x5eed_0fa9_e47d;

/// Faults by pattern. A pattern is a path or an action; a trailing `*` matches every continuation.
#[derive(Clone, Debug)]
pub struct Script<F> {
    entries: Vec<(String, F, Times)>,
    drawn: u64,
}

impl<F> Default for Script<F> {
    fn default() -> Self {
        Self { entries: Vec::new(), drawn: SEED }
    }
}

impl<F: Clone> Script<F> {
    /// Draws from this seed from now on: the same requests in the same order are struck again.
    pub fn seed(&mut self, seed: u64) {
        self.drawn = seed;
    }

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

    /// The fault that strikes `subject` now. A counted fault is used up by this; one whose draw fails leaves the
    /// request to those that were added before it.
    pub fn strike(&mut self, subject: &str) -> Option<F> {
        let now = Instant::now();
        self.entries.retain(|(.., times)| !matches!(times, Times::Until(end) if *end <= now));
        let mut drawn = self.drawn;
        let struck = self.entries.iter().rposition(|(pattern, _, times)| {
            matches(pattern, subject)
                && match times {
                    Times::Chance(percent) => draw(&mut drawn) < *percent,
                    _ => true,
                }
        });
        self.drawn = drawn;
        let found = struck?;
        let (_, fault, times) = self.entries.get_mut(found)?;
        let fault = fault.clone();
        if let Times::Next(left) = times {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.entries.remove(found);
            }
        }
        Some(fault)
    }
}

/// A number below 100 and the next state (`SplitMix64`).
fn draw(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u8::try_from((mixed ^ (mixed >> 31)) % 100).unwrap_or(0)
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
            Self::Noise(bytes) => write!(f, "noise={bytes}"),
            Self::Raw(text) => write!(f, "raw={text}"),
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
            Fault::Noise(64),
            Fault::Raw("HTTP/1.1 99999 ?".into()),
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

    #[test]
    fn a_fault_with_a_chance_strikes_so_often_and_the_same_requests_again() {
        let strikes = |seed| {
            let mut script = Script::default();
            script.seed(seed);
            script.add("*", Fault::Reset, Times::Chance(30));
            (0..1_000).map(|_| script.strike("/x").is_some()).collect::<Vec<_>>()
        };
        let first = strikes(7);
        let count = first.iter().filter(|struck| **struck).count();
        assert!((250..350).contains(&count), "{count} of 1,000");
        assert_eq!(first, strikes(7));
        assert_ne!(first, strikes(8));
    }

    #[test]
    fn a_fault_ends_at_its_moment() {
        let mut script = Script::default();
        script.add("*", Fault::Hang, Times::Until(Instant::now() + Duration::from_hours(1)));
        assert_eq!(script.strike("/x"), Some(Fault::Hang));
        script.clear();
        script.add("*", Fault::Hang, Times::Until(Instant::now()));
        assert_eq!(script.strike("/x"), None);
    }
}
