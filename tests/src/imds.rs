//! The instance metadata service, version 2 only, strict about every rule of its tokens.
//!
//! The rules and the shapes are those of the EC2 User Guide ("Use the Instance Metadata Service"): a token is made
//! by `PUT /latest/api/token` alone, with a lifetime of 1 to 21,600 seconds, and never for a request that was
//! forwarded; every other request carries exactly one token header with a token that was handed out, not revoked
//! and not expired. The real service answers with HTTP/1.0 and closes; so does this one unless told otherwise.

pub mod notice;
mod paths;
mod tokens;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

pub use paths::metadata;

use crate::bucket::Bucket;
use crate::fault::{Fault, Script, Times};
use crate::instance::{Instance, SharedInstance};
use crate::locked;
use crate::server::{Answer, Server, Service};
use crate::wire::{Reply, Request};
use tokens::{Refused, Tokens};

/// What the service saw, for assertions.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Every request: when, method, path and the status of the reply (0: a fault that is no reply).
    pub requests: Vec<SeenRequest>,
    /// Tokens handed out.
    pub tokens: u64,
    /// Requests for metadata without any token header: use of version 1.
    pub tokenless: u64,
    /// Requests with more than one token header.
    pub doubled: u64,
    /// Requests with a token that is wrong, expired or revoked.
    pub rejected: u64,
}

impl Seen {
    /// The requests of one path.
    pub fn of_path(&self, path: &str) -> Vec<&SeenRequest> {
        self.requests.iter().filter(|request| request.path == path).collect()
    }
}

/// One request as seen.
#[derive(Clone, Debug)]
pub struct SeenRequest {
    /// When it arrived.
    pub at: Instant,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The status that the service meant to answer with.
    pub status: u16,
    /// The fault that struck instead.
    pub fault: Option<Fault>,
}

/// How the service behaves apart from faults.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
struct Manner {
    /// HTTP/1.0 with a close after each reply, as the real service, or HTTP/1.1 that keeps the connection.
    one_shot: bool,
    /// What is added to the time in `Date`.
    clock_ahead: jiff::SignedDuration,
    /// The replies tell no time.
    undated: bool,
    /// The service is switched off: 403 to everything.
    disabled: bool,
    /// Tokens are made, and the replies that carry them never arrive.
    far: bool,
}

#[derive(Debug)]
struct Inner {
    tokens: Tokens,
    faults: Script<Fault>,
    seen: Seen,
    manner: Manner,
    most: Option<Bucket>,
}

#[derive(Debug)]
struct Metadata {
    instance: SharedInstance,
    inner: Mutex<Inner>,
}

/// A running metadata service. It ends with this value.
#[derive(Debug)]
pub struct Imds {
    server: Server,
    service: Arc<Metadata>,
}

impl Imds {
    /// Serves an instance of its own on `addr`; IPv4 or IPv6, port 0 for any free one.
    pub fn start(addr: SocketAddr, instance: Instance) -> io::Result<Self> {
        Self::of_shared(addr, SharedInstance::new(instance))
    }

    /// Serves an instance that others serve too.
    pub fn of_shared(addr: SocketAddr, instance: SharedInstance) -> io::Result<Self> {
        let manner = Manner {
            one_shot: true,
            clock_ahead: jiff::SignedDuration::ZERO,
            undated: false,
            disabled: false,
            far: false,
        };
        let inner = Inner {
            tokens: Tokens::default(),
            faults: Script::default(),
            seen: Seen::default(),
            manner,
            most: None,
        };
        let service = Arc::new(Metadata { instance, inner: Mutex::new(inner) });
        let server = Server::start(addr, Arc::clone(&service) as Arc<dyn Service>)?;
        Ok(Self { server, service })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The value of `AWS_EC2_METADATA_SERVICE_ENDPOINT` that leads here.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The instance that is served.
    pub fn instance(&self) -> &SharedInstance {
        &self.service.instance
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        locked(&self.service.inner).seen.clone()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> u64 {
        self.server.connections()
    }

    /// From now on answers requests whose path matches `pattern` badly; a trailing `*` matches what begins so.
    pub fn fault(&self, pattern: &str, fault: Fault, times: Times) {
        locked(&self.service.inner).faults.add(pattern, fault, times);
    }

    /// Draws the faults that strike by chance from this seed.
    pub fn seed(&self, seed: u64) {
        locked(&self.service.inner).faults.seed(seed);
    }

    /// Ends every fault, answers everybody and as often as asked, and opens the port again if it was closed. The clock, the
    /// tokens' life and the manner of connections stay.
    pub fn heal(&mut self) -> io::Result<()> {
        let mut inner = locked(&self.service.inner);
        inner.faults.clear();
        inner.manner.disabled = false;
        inner.manner.undated = false;
        inner.manner.far = false;
        inner.most = None;
        drop(inner);
        self.server.listen()
    }

    /// Closes the port: connections are refused until [`heal`](Self::heal).
    pub fn refuse(&mut self) {
        self.server.refuse();
    }

    /// Answers everything with 403, as with `HttpEndpoint=disabled`.
    pub fn disable(&self) {
        locked(&self.service.inner).manner.disabled = true;
    }

    /// Makes every token that was handed out so far invalid.
    pub fn revoke_tokens(&self) {
        locked(&self.service.inner).tokens.revoke();
    }

    /// Hands out tokens that live for at most so long, whatever is asked for.
    pub fn cap_token_life(&self, most: Duration) {
        locked(&self.service.inner).tokens.cap(most);
    }

    /// Speaks HTTP/1.1 and keeps connections open, unlike the real service.
    pub fn keep_alive(&self) {
        locked(&self.service.inner).manner.one_shot = false;
    }

    /// Speaks HTTP/1.0 and closes after each reply, as the real service does and this one from the start.
    pub fn close_each(&self) {
        locked(&self.service.inner).manner.one_shot = true;
    }

    /// Leaves out the `Date` of every reply.
    pub fn undate(&self) {
        locked(&self.service.inner).manner.undated = true;
    }

    /// Behaves as for a client behind a router where the hop limit is 1: the replies that carry tokens never arrive, and
    /// everything else does.
    pub fn hop_limit(&self) {
        locked(&self.service.inner).manner.far = true;
    }

    /// Answers with 429 what is more than so many requests at once and so many more each second.
    pub fn throttle(&self, burst: f64, per_second: f64) {
        let bucket = Bucket::new(burst, per_second, Instant::now());
        locked(&self.service.inner).most = Some(bucket);
    }

    /// The service's clock now.
    pub fn wall(&self) -> jiff::Timestamp {
        locked(&self.service.inner).manner.wall()
    }

    /// Shifts the service's clock, which only `Date` and expiry times tell.
    pub fn shift_clock(&self, ahead: jiff::SignedDuration) {
        locked(&self.service.inner).manner.clock_ahead = ahead;
    }
}

impl Service for Metadata {
    fn answer(&self, request: &Request) -> Answer {
        let mut inner = locked(&self.inner);
        let now = Instant::now();
        let reply = self.right_reply(request, &mut inner, now);
        let fault = inner.faults.strike(request.path());
        let lost = inner.manner.far && request.method == "PUT" && reply.status == 200;
        let fault = fault.or(lost.then_some(Fault::Hang));
        let reply = inner.manner.dress(reply);
        inner.seen.requests.push(SeenRequest {
            at: now,
            method: request.method.clone(),
            path: request.path().to_owned(),
            status: reply.status,
            fault: fault.clone(),
        });
        Answer { reply, fault }
    }
}

impl Metadata {
    fn right_reply(&self, request: &Request, inner: &mut Inner, now: Instant) -> Reply {
        if inner.manner.disabled {
            return Reply::text(403, "Forbidden");
        }
        if inner.most.as_mut().is_some_and(|bucket| !bucket.take(now)) {
            return Reply::text(429, "Too Many Requests");
        }
        let path = request.path();
        if path.ends_with("/api/token") {
            return make_token(request, inner, now);
        }
        if request.method != "GET" && request.method != "HEAD" {
            return Reply::text(405, "Method Not Allowed").with_header("Allow", "GET, HEAD");
        }
        let left = match inner.tokens.check(request, now) {
            Ok(left) => left,
            Err(refused) => {
                match refused {
                    Refused::Missing => inner.seen.tokenless += 1,
                    Refused::Doubled => inner.seen.doubled += 1,
                    Refused::Invalid => inner.seen.rejected += 1,
                }
                return Reply::text(401, "Unauthorized");
            }
        };
        let wall = inner.manner.wall();
        let found = self.instance.with(|instance| {
            instance.settle(now);
            metadata(instance, path, wall)
        });
        let mut reply = match found {
            Some(body) => Reply::text(200, &body),
            None => Reply::new(
                404,
                "text/html",
                "<html><head><title>404 - Not Found</title></head></html>",
            ),
        };
        reply.head_only = request.method == "HEAD";
        reply.with_header(tokens::TTL, &left.as_secs().to_string())
    }
}

fn make_token(request: &Request, inner: &mut Inner, now: Instant) -> Reply {
    if request.method != "PUT" {
        return Reply::text(405, "Method Not Allowed").with_header("Allow", "OPTIONS, PUT");
    }
    if request.path() != "/latest/api/token" || request.header("x-forwarded-for").is_some() {
        return Reply::text(403, "Forbidden");
    }
    match inner.tokens.make(request, now) {
        Some((token, life)) => {
            inner.seen.tokens += 1;
            Reply::text(200, &token).with_header(tokens::TTL, &life.as_secs().to_string())
        }
        None => Reply::text(400, "Bad Request"),
    }
}

impl Manner {
    fn wall(self) -> jiff::Timestamp {
        let now = jiff::Timestamp::now();
        now.saturating_add(self.clock_ahead).unwrap_or(now)
    }

    /// Adds what every reply of the real service carries.
    fn dress(self, mut reply: Reply) -> Reply {
        if self.one_shot {
            reply.minor = 0;
            reply.close = true;
        }
        if !self.undated {
            let date = self.wall().to_zoned(TimeZone::UTC);
            reply =
                reply.with_header("Date", &date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
        }
        reply.with_header("Server", "EC2ws").with_header("Accept-Ranges", "none")
    }
}

#[cfg(test)]
mod tests;
