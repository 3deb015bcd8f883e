//! The imperative shell of agentd: everything around the pure engine of `agent-core`.
//!
//! [`run`] puts the parts together; [`shell`] is the loop. See ARCHITECTURE.md.

pub mod actuators;
pub mod aws;
pub mod bus;
pub mod clock;
pub mod config;
pub mod config_command;
mod cures;
mod daemon;
pub mod doctor;
pub mod durable;
pub mod events;
pub mod hands;
pub mod host;
pub mod instance;
pub mod ipc;
pub mod ledger;
pub mod notices;
pub mod notifiers;
pub mod processes;
pub mod publish;
pub mod run;
pub mod sampling;
pub mod shell;
pub mod simulate;
pub mod sources;
pub mod store;
pub mod timer;
pub mod virtual_time;
pub mod wishes;
