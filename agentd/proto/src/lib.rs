//! What agentd and its clients say to each other, over HTTP and JSON on a Unix socket.
//!
//! - [`status`], [`spot`], [`event`], [`command`], [`doctor`]: the documents; each carries its name and version in `schema`.
//! - [`problem`]: the error document, its kinds, and what each means for a program that calls `agentctl`.
//! - [`limits`]: what the agent accepts at most.
//! - [`client`]: a blocking client without a runtime.
//! - [`exit`]: the exit codes of the command line.
//! - [`span`]: spans of time in words.
//!
//! Rules of every document: times are RFC 3339 in UTC, durations are seconds as floating point in fields that end in
//! `_seconds`, a reader ignores fields and survives words that it does not know, and a change that would break a reader
//! gets a new version in `schema`. Requests are the opposite: a field that the agent does not know is an error, because a
//! misspelt `dry_run` must not stop a machine.

pub mod client;
pub mod command;
pub mod doctor;
pub mod event;
pub mod exit;
pub mod limits;
pub mod problem;
pub mod span;
pub mod spot;
pub mod status;

pub use jiff::Timestamp;

/// Where the agent listens unless `AGENTD_SOCKET` says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/agentd/agentd.sock";

/// The environment variable that moves the socket, for both programs.
pub const SOCKET_VARIABLE: &str = "AGENTD_SOCKET";

/// The group whose members may use the administrator's verbs, beside root.
pub const ADMIN_GROUP: &str = "agentd";

/// The path of the socket: `AGENTD_SOCKET` where it is set and not empty, else [`DEFAULT_SOCKET`].
pub fn socket_path() -> std::path::PathBuf {
    std::env::var_os(SOCKET_VARIABLE)
        .filter(|value| !value.is_empty())
        .map_or_else(|| DEFAULT_SOCKET.into(), Into::into)
}
