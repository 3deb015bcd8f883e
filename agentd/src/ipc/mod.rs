//! The local API: HTTP/1.1 and JSON on a Unix socket.
//!
//! Looking is for every local user and changes nothing: it reads what [`publish`](crate::publish) holds. What changes
//! something goes to the engine as a [`CommandRequest`] with the caller's user id as the kernel tells it
//! (`SO_PEERCRED`, unix(7)). Only this module knows the wire types of `agent-proto`.
//!
//! Everything that a client controls has a limit ([`agent_proto::limits`]): bytes, connections, streams, rate, time.

pub mod convert;
pub mod doctor;
pub mod event_line;
pub mod outlook;
pub mod peer;
pub mod server;
pub mod socket;
pub mod spot;

pub(crate) mod advice;
mod answer;
mod deadline;
mod follow;
mod gate;
mod payload;
mod rate;
mod route;

#[cfg(test)]
mod tests;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use agent_core::input::{Actor, Command, Reply};
use agent_core::stamp::Stamp;
use agent_proto::limits;
use tokio::sync::{mpsc, oneshot};

use crate::publish::Subscriber;

pub use doctor::{CheckStatus, DoctorCheck, DoctorRun};
pub use peer::{Accounts, Identify};
pub use server::serve;
pub use socket::{Listener, SocketError};

/// A command on its way to the engine. Dropping `reply` tells the caller that the agent is stopping.
#[derive(Debug)]
pub struct CommandRequest {
    /// Who asks.
    pub actor: Actor,
    /// What for.
    pub command: Command,
    /// Where the engine's answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// What time it is.
pub type ClockFn = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// What the server works with.
#[derive(Clone)]
pub struct IpcContext {
    /// The picture and the events.
    pub subscriber: Subscriber,
    /// The way to the engine.
    pub commands: mpsc::Sender<CommandRequest>,
    /// The time, to say how old the picture is.
    pub clock: ClockFn,
    /// The doctor's checks.
    pub doctor: DoctorRun,
    /// Who is an administrator.
    pub accounts: Accounts,
    /// Who is at the other end.
    pub identify: Identify,
    /// The limits that depend on time, and the number of connections.
    pub limits: Limits,
}

impl fmt::Debug for IpcContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpcContext").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl IpcContext {
    /// A context with the limits of [`agent_proto::limits`] and the kernel's word on who is at the other end.
    pub fn new(
        subscriber: Subscriber,
        commands: mpsc::Sender<CommandRequest>,
        clock: ClockFn,
        doctor: DoctorRun,
        accounts: Accounts,
    ) -> Self {
        Self {
            subscriber,
            commands,
            clock,
            doctor,
            accounts,
            identify: peer::by_kernel(),
            limits: Limits::default(),
        }
    }
}

/// The limits that tests shorten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a head, a body, a blocked write, and a connection without a request.
    pub io: Duration,
    /// For the engine's answer.
    pub command: Duration,
    /// For the doctor.
    pub doctor: Duration,
    /// Between two signs of life of an event stream.
    pub heartbeat: Duration,
    /// Connections in all.
    pub connections: usize,
    /// Connections of all that are kept for root.
    pub root_reserve: usize,
    /// Connections of one user other than root.
    pub per_user: usize,
    /// Requests of one user a second.
    pub requests_per_second: u32,
    /// Requests of one user at once.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            io: limits::IO_DEADLINE,
            command: limits::COMMAND_DEADLINE,
            doctor: limits::DOCTOR_DEADLINE,
            heartbeat: limits::HEARTBEAT,
            connections: limits::CONNECTIONS,
            root_reserve: limits::ROOT_RESERVE,
            per_user: limits::CONNECTIONS_PER_USER,
            requests_per_second: limits::REQUESTS_PER_SECOND,
            burst: limits::REQUEST_BURST,
        }
    }
}
