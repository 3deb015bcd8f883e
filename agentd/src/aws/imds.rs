//! The instance metadata service (IMDS), version 2 only.
//!
//! Every request is made directly to the link-local address: no proxy, no redirect, a deadline on the connection and on
//! the whole answer, and a limit on its size. A request without a token is never sent, so a service that hands out no
//! token is a service that cannot be read. (AWS: "Use the Instance Metadata Service to access instance metadata".)
//!
//! The answer of the service is trusted to be text and nothing more: whoever asks validates what it says. The content type
//! is never looked at, because the service labels JSON as `text/plain`.

mod error;
mod token;
mod wire;

use core::fmt;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use reqwest::Url;
use tokio::time::Instant;

use super::errors::chain;
pub use error::ImdsError;
use token::{Slot, Token};
use wire::{TOKEN_PATH, Wire, hint_at_hop_limit};

/// The IPv4 endpoint.
const IPV4: &str = "http://169.254.169.254";
/// The IPv6 endpoint, which only Nitro instances have and only when it is enabled.
const IPV6: &str = "http://[fd00:ec2::254]";
/// `CLOCK_BOOTTIME` as a function, so that tests own the time.
pub type BootClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The kernel's `CLOCK_BOOTTIME` (`clock_gettime(2)`). It goes on while the machine is hibernated, so a token that
/// expired in the meantime is not used after the resume.
pub fn boot_clock() -> BootClock {
    Arc::new(|| {
        let clock = nix::time::ClockId::CLOCK_BOOTTIME;
        // A clock that cannot be read makes every token look expired, which costs a request and risks nothing.
        nix::time::clock_gettime(clock).map_or(Duration::MAX, Duration::from)
    })
}

/// Where the metadata service listens: the link-local literal, or what an operator set explicitly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Reads the SDK's own variables: `AWS_EC2_METADATA_SERVICE_ENDPOINT` (a URL), else
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE` (`IPv4`, `IPv6`), else the IPv4 address.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ImdsError> {
        const URL: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
        const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
        let set = |name| variable(name).filter(|value| !value.trim().is_empty());
        if let Some(value) = set(URL) {
            return Self::parse(&value).map_err(|why| ImdsError::Endpoint {
                variable: URL,
                value,
                why,
            });
        }
        let literal = match set(MODE) {
            None => IPV4,
            Some(mode) if mode.eq_ignore_ascii_case("ipv4") => IPV4,
            Some(mode) if mode.eq_ignore_ascii_case("ipv6") => IPV6,
            Some(value) => {
                let why = "the mode is IPv4 or IPv6".to_owned();
                return Err(ImdsError::Endpoint { variable: MODE, value, why });
            }
        };
        Self::parse(literal).map_err(ImdsError::Client)
    }

    /// An explicit endpoint: `http://HOST[:PORT]` and nothing behind it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim()).map_err(|error| error.to_string())?;
        if url.scheme() != "http" {
            return Err("IMDS is served over http only".to_owned());
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err("only a host and a port may be given".to_owned());
        }
        Ok(Self(url))
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("/latest/{path}"));
        url
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// The limits of one request. IMDS answers from the same host within a millisecond, so they are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the TCP connection.
    pub connect: Duration,
    /// For one request with its whole answer.
    pub request: Duration,
    /// For one question with all its requests and pauses.
    pub question: Duration,
    /// The largest answer in bytes.
    pub body: usize,
    /// The pauses before the second and the third try of a passing failure.
    pub pauses: [Duration; 2],
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(500),
            request: Duration::from_secs(1),
            question: Duration::from_secs(4),
            body: 64 * 1024,
            pauses: [Duration::from_millis(200), Duration::from_millis(600)],
        }
    }
}

/// An answer with status 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body as text, without surrounding white space.
    pub text: String,
    /// The service's clock, from the `Date` header: milliseconds since 1970.
    pub date_ms: Option<i64>,
}

/// The IMDSv2 client. It keeps one token and makes a new one when that one is about to end.
pub struct Imds {
    wire: Arc<Wire>,
}

impl fmt::Debug for Imds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wire { endpoint, limits, .. } = &*self.wire;
        f.debug_struct("Imds")
            .field("endpoint", endpoint)
            .field("limits", limits)
            .finish_non_exhaustive()
    }
}

impl Imds {
    /// A client of this endpoint. Nothing is sent yet.
    pub fn new(endpoint: Endpoint, limits: Limits, clock: BootClock) -> Result<Self, ImdsError> {
        super::http::install_crypto();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            // The service closes its connections, and IMDS is plain http: no pool, and no root certificates to load.
            .pool_max_idle_per_host(0)
            .tls_certs_only([])
            .connect_timeout(limits.connect)
            .timeout(limits.request)
            .user_agent(concat!("agentd/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ImdsError::Client(chain(&error)))?;
        let wire = Wire { http, endpoint, limits, clock, token: Mutex::new(Slot::Empty) };
        Ok(Self { wire: Arc::new(wire) })
    }

    /// Where this client asks.
    pub fn endpoint(&self) -> &Endpoint {
        &self.wire.endpoint
    }

    /// The text at a path below `/latest/`; none when there is no such thing (404 to an accepted token).
    pub async fn get(&self, path: &str) -> Result<Option<String>, ImdsError> {
        Ok(self.ask(path).await?.map(|answer| answer.text))
    }

    /// Like [`get`](Self::get), with the service's clock.
    pub async fn ask(&self, path: &str) -> Result<Option<Answer>, ImdsError> {
        let timed_out = || ImdsError::TimedOut { path: path.to_owned(), hint: "" };
        tokio::time::timeout(self.wire.limits.question, self.ask_patiently(path))
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    async fn ask_patiently(&self, path: &str) -> Result<Option<Answer>, ImdsError> {
        for pause in self.wire.limits.pauses {
            match self.ask_once(path).await {
                Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
                settled => return settled,
            }
        }
        self.ask_once(path).await
    }

    /// One try within a hard limit, for who asks again by a schedule of its own. A failure says what used the time up.
    pub async fn try_within(
        &self,
        path: &str,
        limit: Duration,
    ) -> Result<Option<Answer>, ImdsError> {
        let end = Instant::now() + limit;
        let late = |path: &str| ImdsError::TimedOut { path: path.to_owned(), hint: "" };
        let token = || async {
            let token = tokio::time::timeout_at(end, self.usable_token()).await;
            token.unwrap_or_else(|_| Err(hint_at_hop_limit(late(TOKEN_PATH))))
        };
        let fetch = |token: Token| async move {
            let answer = tokio::time::timeout_at(end, self.wire.fetch(path, &token)).await;
            answer.unwrap_or_else(|_| Err(late(path)))
        };
        let first = token().await?;
        match fetch(first.clone()).await {
            Err(ImdsError::Unauthorized { .. }) => {
                self.discard(&first);
                fetch(token().await?).await
            }
            settled => settled,
        }
    }

    /// One question: a token that is refused is replaced once.
    async fn ask_once(&self, path: &str) -> Result<Option<Answer>, ImdsError> {
        let token = self.usable_token().await?;
        match self.wire.fetch(path, &token).await {
            Err(ImdsError::Unauthorized { .. }) => {
                self.discard(&token);
                let fresh = self.usable_token().await?;
                self.wire.fetch(path, &fresh).await
            }
            settled => settled,
        }
    }

    /// The cached token while it has time left, else a new one. There is never more than one request for a token: who
    /// comes while it is under way gets its result, good or bad. It goes on when who asked for it gives up.
    async fn usable_token(&self) -> Result<Token, ImdsError> {
        let mut made = match self.wire.token_or_attempt() {
            Ok(token) => return Ok(token),
            Err(attempt) => attempt,
        };
        let result = match made.wait_for(Option::is_some).await {
            Ok(result) => result.clone(),
            Err(_) => None,
        };
        result.unwrap_or_else(|| {
            let why = "the request for a token was given up".to_owned();
            Err(ImdsError::Unreachable { path: TOKEN_PATH.to_owned(), why })
        })
    }

    /// Forgets this token, unless somebody has already replaced it.
    fn discard(&self, refused: &Token) {
        let mut slot = self.wire.slot();
        if matches!(&*slot, Slot::Ready(token) if token == refused) {
            *slot = Slot::Empty;
        }
    }
}

#[cfg(test)]
mod tests;
