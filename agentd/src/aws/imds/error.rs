//! Why the metadata service could not be read.

use thiserror::Error;

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
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Garbled { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
}
