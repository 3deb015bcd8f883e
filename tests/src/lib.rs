//! The simulated world of the agent, as a library.
//!
//! Everything outside the agent that it talks to or looks at exists here in a form that a test can drive: the
//! instance metadata service ([`imds`]), the EC2 API with its rules ([`ec2`]), and the kernel's view of a machine
//! ([`procfs`]). [`agent`] starts the real `agentd` binary in that world and looks at it from outside, as a user
//! does: over its socket, in its log, and by what it asked of EC2.
//!
//! The servers use plain threads and blocking sockets: a simulator that must hang, drip, truncate and reset wants
//! control over each byte. Every server ends with its handle, and all of them are bound to the address that the
//! caller names; nothing here connects to anything that it did not start itself.

pub mod agent;
mod bucket;
pub mod control;
pub mod ec2;
pub mod fault;
pub mod hook;
pub mod imds;
pub mod instance;
pub mod moto;
pub mod procfs;
pub mod scenario;
pub mod server;
pub mod socket;
pub mod step;
pub mod table;
pub mod timelapse;
pub mod wire;
pub mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose data stays valid whatever thread panicked while holding it.
pub(crate) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
