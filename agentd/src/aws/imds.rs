//! The instance metadata service (IMDS), version 2 only.
//!
//! Every request is made directly to the link-local address: no proxy, no redirect, a deadline on the connection and on
//! the whole answer, and a limit on its size. A request without a token is never sent, so a service that hands out no
//! token is a service that cannot be read. (AWS: "Use the Instance Metadata Service to access instance metadata".)
//!
//! The answer of the service is trusted to be text and nothing more: whoever asks validates what it says. The content type
//! is never looked at, because the service labels JSON as `text/plain`.

mod token;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use thiserror::Error;
use tokio::sync::Mutex;

use super::errors::{bottom, chain};
use token::Token;

/// The IPv4 endpoint.
const IPV4: &str = "http://169.254.169.254";
/// The IPv6 endpoint, which only Nitro instances have and only when it is enabled.
const IPV6: &str = "http://[fd00:ec2::254]";
/// Where tokens are made. Only the path `latest` serves it; a version path is answered with 403.
const TOKEN_PATH: &str = "api/token";
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TTL_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

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

/// Why the metadata service could not be read. The messages fit after "failed to".
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ImdsError {
    /// An endpoint variable makes no sense.
    #[error("use {variable}={value}: {why}")]
    Endpoint {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The HTTP client could not be made.
    #[error("prepare the IMDS client: {0}")]
    Client(String),
    /// No connection, or it broke.
    #[error("reach IMDS for {path}: {why}")]
    Unreachable {
        /// The path below `/latest/`.
        path: String,
        /// The cause.
        why: String,
    },
    /// No complete answer within the deadline.
    #[error("read {path} from IMDS in time{hint}")]
    TimedOut {
        /// The path below `/latest/`.
        path: String,
        /// A remedy, where one is likely.
        hint: &'static str,
    },
    /// 403.
    #[error(
        "read {path} from IMDS: forbidden (403); the metadata endpoint of the instance is switched off, or a proxy or \
         firewall stands in between"
    )]
    Forbidden {
        /// The path below `/latest/`.
        path: String,
    },
    /// 401 with a fresh token.
    #[error("read {path} from IMDS: a token that was made just now is not accepted (401)")]
    Unauthorized {
        /// The path below `/latest/`.
        path: String,
    },
    /// 429.
    #[error("read {path} from IMDS: too many requests from this instance (429)")]
    Throttled {
        /// The path below `/latest/`.
        path: String,
    },
    /// A redirect, which the real service never sends.
    #[error("read {path} from IMDS: it answered with a redirect ({status}), so it is not IMDS")]
    Redirected {
        /// The path below `/latest/`.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// Any other status.
    #[error("read {path} from IMDS: it answered with status {status}")]
    Status {
        /// The path below `/latest/`.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// More than the limit.
    #[error("read {path} from IMDS: the answer is larger than {limit} bytes")]
    TooLarge {
        /// The path below `/latest/`.
        path: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// An answer that cannot be one.
    #[error("understand what IMDS says for {path}: {why}")]
    Garbled {
        /// The path below `/latest/`.
        path: String,
        /// What is wrong.
        why: String,
    },
}

impl ImdsError {
    /// Whether asking again at once may help. A timeout is not asked again: the caller has waited long enough.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Garbled { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
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
    http: reqwest::Client,
    endpoint: Endpoint,
    limits: Limits,
    clock: BootClock,
    token: Mutex<Option<Token>>,
}

impl fmt::Debug for Imds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, limits, .. } = self;
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
        Ok(Self { http, endpoint, limits, clock, token: Mutex::new(None) })
    }

    /// Where this client asks.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The text at a path below `/latest/`; none when there is no such thing (404 to an accepted token).
    pub async fn get(&self, path: &str) -> Result<Option<String>, ImdsError> {
        Ok(self.ask(path).await?.map(|answer| answer.text))
    }

    /// Like [`get`](Self::get), with the service's clock.
    pub async fn ask(&self, path: &str) -> Result<Option<Answer>, ImdsError> {
        let timed_out = || ImdsError::TimedOut { path: path.to_owned(), hint: "" };
        tokio::time::timeout(self.limits.question, self.ask_patiently(path))
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    async fn ask_patiently(&self, path: &str) -> Result<Option<Answer>, ImdsError> {
        for pause in self.limits.pauses {
            match self.ask_once(path).await {
                Err(error) if error.is_passing() => tokio::time::sleep(pause).await,
                settled => return settled,
            }
        }
        self.ask_once(path).await
    }

    /// One question: a token that is refused is replaced once.
    async fn ask_once(&self, path: &str) -> Result<Option<Answer>, ImdsError> {
        let token = self.usable_token().await?;
        match self.fetch(path, &token).await {
            Err(ImdsError::Unauthorized { .. }) => {
                self.discard(&token).await;
                let fresh = self.usable_token().await?;
                self.fetch(path, &fresh).await
            }
            settled => settled,
        }
    }

    async fn fetch(&self, path: &str, token: &Token) -> Result<Option<Answer>, ImdsError> {
        let headers = HeaderMap::from_iter([(TOKEN_HEADER, token.header())]);
        let response = self.send(Method::GET, path, headers).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = accepted(path, response)?;
        let date_ms = response.headers().get(DATE).and_then(http_date_ms);
        let text = self.text(path, response).await?;
        Ok(Some(Answer { text, date_ms }))
    }

    /// The cached token while it has time left, else a new one. The lock is held while it is made, so there is never
    /// more than one such request.
    async fn usable_token(&self) -> Result<Token, ImdsError> {
        let mut cached = self.token.lock().await;
        if let Some(token) = cached.as_ref().filter(|token| token.is_usable((self.clock)())) {
            return Ok(token.clone());
        }
        *cached = None;
        let token = self.make_token().await.map_err(hint_at_hop_limit)?;
        Ok(cached.insert(token).clone())
    }

    /// Forgets this token, unless somebody has already replaced it.
    async fn discard(&self, refused: &Token) {
        let mut cached = self.token.lock().await;
        if cached.as_ref() == Some(refused) {
            *cached = None;
        }
    }

    async fn make_token(&self) -> Result<Token, ImdsError> {
        let asked_at = (self.clock)();
        let headers =
            HeaderMap::from_iter([(TTL_HEADER, HeaderValue::from_static(token::LONGEST_TTL))]);
        let response = accepted(TOKEN_PATH, self.send(Method::PUT, TOKEN_PATH, headers).await?)?;
        let garbled = |why: String| ImdsError::Garbled { path: TOKEN_PATH.to_owned(), why };
        let ttl = token::ttl(response.headers().get(TTL_HEADER)).map_err(garbled)?;
        let text = self.text(TOKEN_PATH, response).await?;
        Token::new(&text, asked_at, ttl).map_err(garbled)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<Response, ImdsError> {
        let url = self.endpoint.at(path);
        let request = self.http.request(method, url).headers(headers);
        request.send().await.map_err(|error| broken(path, &error))
    }

    /// The body, read in pieces so that an endless one costs no more than the limit.
    async fn text(&self, path: &str, mut response: Response) -> Result<String, ImdsError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| broken(path, &error))? {
            if body.len() + piece.len() > self.limits.body {
                return Err(ImdsError::TooLarge { path: path.to_owned(), limit: self.limits.body });
            }
            body.extend_from_slice(&piece);
        }
        let text = String::from_utf8(body).map_err(|_| ImdsError::Garbled {
            path: path.to_owned(),
            why: "the answer is not text".to_owned(),
        })?;
        Ok(text.trim().to_owned())
    }
}

/// The response when its status is 200, else what the status means.
fn accepted(path: &str, response: Response) -> Result<Response, ImdsError> {
    let path = path.to_owned();
    let status = response.status();
    Err(match status {
        StatusCode::OK => return Ok(response),
        StatusCode::UNAUTHORIZED => ImdsError::Unauthorized { path },
        StatusCode::FORBIDDEN => ImdsError::Forbidden { path },
        StatusCode::TOO_MANY_REQUESTS => ImdsError::Throttled { path },
        _ if status.is_redirection() => ImdsError::Redirected { path, status: status.as_u16() },
        _ => ImdsError::Status { path, status: status.as_u16() },
    })
}

fn broken(path: &str, error: &reqwest::Error) -> ImdsError {
    let path = path.to_owned();
    if error.is_timeout() {
        ImdsError::TimedOut { path, hint: "" }
    } else {
        ImdsError::Unreachable { path, why: bottom(error) }
    }
}

/// A token request that hangs while the connection works is the sign of the hop limit: its answer is sent with an IP
/// time-to-live of one by default and dies at the first bridge.
fn hint_at_hop_limit(error: ImdsError) -> ImdsError {
    match error {
        ImdsError::TimedOut { path, .. } => ImdsError::TimedOut {
            path,
            hint: "; in a container or another network namespace the metadata hop limit of the instance must be 2",
        },
        other => other,
    }
}

/// An HTTP date (RFC 9110 §5.6.7) as milliseconds since 1970.
fn http_date_ms(value: &HeaderValue) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let moment = parser.parse_timestamp(value.to_str().ok()?).ok()?;
    Some(moment.as_millisecond())
}

#[cfg(test)]
mod tests;
