//! The machine as its kernel and its daemons present it: files under `/proc`, `/sys`, `/dev`, `/run` and `/var/lib`,
//! netlink sockets and logind.
//!
//! Only this module opens those files; [`sources`](crate::sources) turn what it returns into readings. Every read is
//! bounded, every parser refuses what it does not understand, and nothing here decides anything.

pub mod block;
pub mod cgroup;
pub mod counters;
pub mod lock;
pub mod logind;
pub mod logins;
pub mod namespace;
pub mod packages;
mod peer;
pub mod process;
pub mod program;
pub mod psi;
pub mod root;
pub mod stat;
pub mod swap;
pub mod systemd;
pub mod tcp;
pub mod terminal;
#[cfg(test)]
pub(crate) mod tree;
pub mod udp;
pub mod units;
pub mod users;
pub mod volume;

pub use root::{HostError, HostRoot};
