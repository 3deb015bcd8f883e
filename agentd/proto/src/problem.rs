//! The error document (RFC 9457, `application/problem+json`) and the kinds of error.

use serde::{Deserialize, Serialize};

use crate::exit::ExitCode;

/// The media type of a [`Problem`].
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The schema of a [`Problem`].
pub const SCHEMA: &str = "agentd/error/v1";

/// What kind of error it is. Programs decide by this word, people read the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request cannot be understood, or a value is out of range.
    InvalidRequest,
    /// No such path, or no such hold.
    NotFound,
    /// The path exists, not with this method.
    MethodNotAllowed,
    /// The caller may not do this.
    NotPermitted,
    /// Local policy or a guard forbids it now.
    RefusedByPolicy,
    /// Something required is unknown, and unknown is never idle.
    Blind,
    /// The head or the body is too large.
    TooLarge,
    /// The request took too long to arrive.
    TooSlow,
    /// The caller asks too often.
    TooManyRequests,
    /// Too many connections or streams are open, or the agent has too much to do.
    Overloaded,
    /// The agent did not answer in time or is stopping.
    Unavailable,
    /// A kind that this reader does not know.
    #[serde(other)]
    Other,
}

impl ErrorKind {
    /// Every kind that the agent sends.
    pub const ALL: [Self; 11] = [
        Self::InvalidRequest,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotPermitted,
        Self::RefusedByPolicy,
        Self::Blind,
        Self::TooLarge,
        Self::TooSlow,
        Self::TooManyRequests,
        Self::Overloaded,
        Self::Unavailable,
    ];

    /// The HTTP status (RFC 9110 §15, RFC 6585 for 429).
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::NotPermitted => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TooSlow => 408,
            Self::RefusedByPolicy | Self::Blind => 409,
            Self::TooLarge => 413,
            Self::TooManyRequests => 429,
            Self::Overloaded | Self::Unavailable => 503,
            Self::Other => 500,
        }
    }

    /// The title: the kind in words, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid request",
            Self::NotFound => "not found",
            Self::MethodNotAllowed => "method not allowed",
            Self::NotPermitted => "not permitted",
            Self::RefusedByPolicy => "refused by policy",
            Self::Blind => "a required source is unknown",
            Self::TooLarge => "too large",
            Self::TooSlow => "too slow",
            Self::TooManyRequests => "too many requests",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Other => "error",
        }
    }

    /// The exit code of a command that got it.
    pub const fn exit_code(self) -> ExitCode {
        match self {
            Self::NotPermitted => ExitCode::NotPermitted,
            Self::RefusedByPolicy => ExitCode::Refused,
            Self::Blind => ExitCode::Blind,
            Self::InvalidRequest
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::TooLarge
            | Self::TooSlow
            | Self::TooManyRequests
            | Self::Overloaded
            | Self::Unavailable
            | Self::Other => ExitCode::Failed,
        }
    }

    /// Whether the request was turned away before anything was looked at, so that it can be sent again.
    pub const fn was_turned_away(self) -> bool {
        matches!(self, Self::TooManyRequests | Self::Overloaded)
    }
}

/// An error as the agent reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// [`SCHEMA`].
    #[serde(default)]
    pub schema: String,
    /// The kind.
    pub kind: ErrorKind,
    /// [`ErrorKind::title`].
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What failed and on which object, a lower-case fragment.
    #[serde(default)]
    pub detail: String,
    /// What the caller can do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            kind,
            title: kind.title().to_owned(),
            status: kind.http_status(),
            detail: detail.into(),
            hint: None,
        }
    }

    /// The same problem with what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_word_and_survives_the_wire() {
        for kind in ErrorKind::ALL {
            let text = serde_json::to_string(&Problem::new(kind, "x")).unwrap();
            let back: Problem = serde_json::from_str(&text).unwrap();
            assert_eq!(back.kind, kind);
            assert_eq!(back.status, kind.http_status());
            assert_ne!(kind, ErrorKind::Other);
        }
    }

    #[test]
    fn an_unknown_kind_is_read_as_a_failure_not_as_an_error_of_the_reader() {
        let text = r#"{"kind":"solar-flare","detail":"the sun","colour":"red"}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!(problem.kind, ErrorKind::Other);
        assert_eq!(problem.kind.exit_code(), ExitCode::Failed);
        assert_eq!(problem.detail, "the sun");
    }

    #[test]
    fn only_what_never_reached_the_engine_may_be_sent_again() {
        let again: Vec<_> =
            ErrorKind::ALL.into_iter().filter(|kind| kind.was_turned_away()).collect();
        assert_eq!(again, [ErrorKind::TooManyRequests, ErrorKind::Overloaded]);
    }

    #[test]
    fn exit_codes_follow_the_contract() {
        assert_eq!(ErrorKind::NotPermitted.exit_code().code(), 4);
        assert_eq!(ErrorKind::RefusedByPolicy.exit_code().code(), 5);
        assert_eq!(ErrorKind::Blind.exit_code().code(), 6);
    }
}
