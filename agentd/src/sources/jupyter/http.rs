//! One HTTP request to a server on this machine, with a limit on time and on size.
//!
//! HTTP/1.0, so that the answer ends with the connection and is never in chunks.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The most of an answer that is read.
const LIMIT: usize = 1 << 20;

/// A server on a loopback address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    address: SocketAddr,
    /// The path without a slash at its end.
    base: String,
}

impl Server {
    /// Understands `http://HOST:PORT/BASE`. Only loopback addresses are asked, and only without TLS: the token is
    /// sent along.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| format!("'{url}' does not begin with http://"))?;
        let (host, base) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host.rsplit_once(':').unwrap_or((host, "80"));
        let ip = match host.trim_matches(['[', ']']) {
            "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
            name => name.parse(),
        };
        let ip = ip.ok().filter(IpAddr::is_loopback);
        let ip = ip.ok_or_else(|| format!("'{url}' is not on this machine"))?;
        let port = port.parse().map_err(|_| format!("'{url}' has no port"))?;
        if base.bytes().any(|byte| byte.is_ascii_control() || byte == b' ' || byte == b'?') {
            return Err(format!("'{url}' has no plain path"));
        }
        let base = base.trim_end_matches('/');
        let base = if base.is_empty() { String::new() } else { format!("/{base}") };
        Ok(Self { address: SocketAddr::new(ip, port), base })
    }

    /// The body of the answer to `GET BASE/path`, if its status is 200.
    pub(super) fn get(&self, path: &str, token: &str, within: Duration) -> Result<Vec<u8>, String> {
        let fail = |error: std::io::Error| format!("ask http://{}{}: {error}", self.address, self.base);
        let end = Instant::now() + within;
        let mut stream = TcpStream::connect_timeout(&self.address, within).map_err(fail)?;
        stream.set_write_timeout(Some(within)).map_err(fail)?;
        let authorization =
            if token.is_empty() { String::new() } else { format!("Authorization: token {token}\r\n") };
        let (base, address) = (&self.base, self.address);
        let request = format!("GET {base}{path} HTTP/1.0\r\nHost: {address}\r\n{authorization}Accept: application/json\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(fail)?;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(fail(std::io::ErrorKind::TimedOut.into()));
            }
            stream.set_read_timeout(Some(left)).map_err(fail)?;
            let count = stream.read(&mut buffer).map_err(fail)?;
            if count == 0 {
                break;
            }
            answer.extend(buffer.iter().take(count));
            if answer.len() > LIMIT {
                return Err(format!("ask http://{address}{base}: its answer is too long"));
            }
        }
        body(&answer).ok_or_else(|| {
            let line: String = String::from_utf8_lossy(&answer).lines().next().unwrap_or("").chars().take(80).collect();
            format!("ask http://{address}{base}: it answered {line:?}")
        })
    }
}

/// What is behind the headers of an answer whose status is 200.
fn body(answer: &[u8]) -> Option<Vec<u8>> {
    let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(1..5));
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    (status == Some(b" 200")).then(|| answer.get(end + 4..).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_loopback_servers_are_asked() {
        let server = Server::parse("http://127.0.0.1:8888/user/alice/").unwrap();
        assert_eq!((server.address.to_string().as_str(), server.base.as_str()), ("127.0.0.1:8888", "/user/alice"));
        assert_eq!(Server::parse("http://[::1]:8/").unwrap().address.to_string(), "[::1]:8");
        assert_eq!(Server::parse("http://localhost").unwrap().address.port(), 80);
        for url in [
            "https://127.0.0.1:8888/",
            "http://169.254.169.254/",
            "http://example.org:1/",
            "http://127.0.0.1:x/",
            "http://127.0.0.1:1/a b",
            "http://127.0.0.1:1/a\r\nX: y",
            "",
        ] {
            assert!(Server::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn only_an_answer_with_status_200_has_a_body() {
        assert_eq!(body(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n[]"), Some(b"[]".to_vec()));
        for answer in [&b""[..], b"HTTP/1.1 403 Forbidden\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"garbage\r\n\r\n"] {
            assert_eq!(body(answer), None);
        }
    }
}
