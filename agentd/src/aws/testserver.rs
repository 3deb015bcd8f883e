//! A scripted HTTP server on the loopback address, for tests: it records every request and answers as told, also as
//! no decent server would.

use core::fmt::Write;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    /// Every value of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// A parameter of an EC2 query request.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = reqwest::Url::parse(&format!("http://x/?{}", self.body)).unwrap();
        url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A decent answer.
    Http { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// Nothing, for ever.
    Hang,
    /// The end of the connection after the request was read.
    Drop,
    /// A body without an end.
    Endless,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::status(200, body)
    }

    pub(crate) fn status(status: u16, body: impl Into<String>) -> Self {
        Self::Http { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let Self::Http { status, headers, body } = self else {
            let Self::Raw(bytes) = self else { return Vec::new() };
            return bytes.clone();
        };
        let mut text = format!(
            "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        format!("{text}\r\n{body}").into_bytes()
    }
}

type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// A running server; it ends with the test's runtime.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), script).await
    }

    pub(crate) async fn start_at(
        ip: IpAddr,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (record, script): (_, Script) = (seen.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, record.clone(), script.clone()));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests had this method and a path that ends so.
    pub(crate) fn count(&self, method: &str, path_end: &str) -> usize {
        self.seen()
            .iter()
            .filter(|seen| seen.method == method && seen.path.ends_with(path_end))
            .count()
    }

    /// How many EC2 calls of this action came.
    pub(crate) fn calls(&self, action: &str) -> usize {
        self.seen()
            .iter()
            .filter(|seen| seen.parameter("Action").as_deref() == Some(action))
            .count()
    }
}

/// An address that nobody listens on.
pub(crate) async fn refusing_url() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn serve(mut stream: TcpStream, record: Arc<Mutex<Vec<Seen>>>, script: Script) -> Option<()> {
    let seen = read_request(&mut stream).await?;
    record.lock().unwrap().push(seen.clone());
    match script(&seen) {
        Reply::Hang => tokio::time::sleep(Duration::from_hours(1)).await,
        Reply::Drop => {}
        Reply::Endless => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
                .await
                .ok()?;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
        reply => stream.write_all(&reply.bytes()).await.ok()?,
    }
    stream.shutdown().await.ok()
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8_lossy(&bytes[head_end..]).into_owned();
    Some(Seen { method, path, headers, body })
}

/// A decent IMDS with these documents: tokens are made, counted and checked, exactly one header each.
pub(crate) fn imds_script(
    documents: &[(&str, &str)],
) -> impl Fn(&Seen) -> Reply + Send + Sync + 'static {
    let documents: BTreeMap<String, String> = documents
        .iter()
        .map(|(path, text)| (format!("/latest/{path}"), (*text).to_owned()))
        .collect();
    move |seen| {
        if seen.method == "PUT" && seen.path == "/latest/api/token" {
            return Reply::ok("TOKEN").with("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "21600");
        }
        if seen.header("x-aws-ec2-metadata-token") != ["TOKEN"] {
            return Reply::status(401, "");
        }
        let date = "Sat, 21 Nov 2026 12:00:00 GMT";
        match documents.get(&seen.path) {
            Some(text) => Reply::ok(text).with("Date", date).with("Content-Type", "text/plain"),
            None => Reply::status(404, "<html>no such thing</html>").with("Date", date),
        }
    }
}
