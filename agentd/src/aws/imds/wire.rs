//! The requests to the metadata service, one at a time for a token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::watch;

use super::token::{self, Attempt, Slot, Token};
use super::{Answer, BootClock, Endpoint, ImdsError, Limits};
use crate::aws::errors::bottom;

/// Where tokens are made. Only the path `latest` serves it; a version path is answered with 403.
pub(super) const TOKEN_PATH: &str = "api/token";
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TTL_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// What requests are made with.
pub(super) struct Wire {
    pub(super) http: reqwest::Client,
    pub(super) endpoint: Endpoint,
    pub(super) limits: Limits,
    pub(super) clock: BootClock,
    pub(super) token: Mutex<Slot>,
}

impl Wire {
    /// A token that may be used, else the attempt to make one, which begins now if none is under way.
    pub(super) fn token_or_attempt(self: &Arc<Self>) -> Result<Token, Attempt> {
        let mut slot = self.slot();
        match &*slot {
            Slot::Ready(token) if token.is_usable((self.clock)()) => return Ok(token.clone()),
            // An attempt whose task is gone tells nothing any more.
            Slot::Making(made) if made.has_changed().is_ok() => return Err(made.clone()),
            _ => {}
        }
        let (tell, made) = watch::channel(None);
        *slot = Slot::Making(made.clone());
        let wire = Arc::clone(self);
        tokio::spawn(async move {
            let result = wire.make_token().await.map_err(hint_at_hop_limit);
            *wire.slot() = result.clone().map_or(Slot::Empty, Slot::Ready);
            tell.send_replace(Some(result));
        });
        Err(made)
    }

    /// Nothing is left half done under the lock, so a poisoned one is as good as any.
    pub(super) fn slot(&self) -> MutexGuard<'_, Slot> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer at a path; none for 404, which only an accepted token gets.
    pub(super) async fn fetch(
        &self,
        path: &str,
        token: &Token,
    ) -> Result<Option<Answer>, ImdsError> {
        let headers = HeaderMap::from_iter([(TOKEN_HEADER, token.header())]);
        let response = self.send(Method::GET, path, headers).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = accepted(path, response)?;
        let date_ms = date_ms(response.headers());
        let text = self.text(path, response).await?;
        Ok(Some(Answer { text, date_ms }))
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
pub(super) fn hint_at_hop_limit(error: ImdsError) -> ImdsError {
    match error {
        ImdsError::TimedOut { path, .. } => ImdsError::TimedOut {
            path,
            hint: "; in a container or another network namespace the metadata hop limit of the instance must be 2",
        },
        other => other,
    }
}

/// The time of an answer; none where it tells none or two different ones.
fn date_ms(headers: &HeaderMap) -> Option<i64> {
    let mut all = headers.get_all(DATE).iter();
    let first = all.next()?;
    all.all(|other| other == first).then(|| http_date_ms(first)).flatten()
}

/// An HTTP date (RFC 9110 §5.6.7) as milliseconds since 1970.
fn http_date_ms(value: &HeaderValue) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let moment = parser.parse_timestamp(value.to_str().ok()?).ok()?;
    Some(moment.as_millisecond())
}
