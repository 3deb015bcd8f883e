//! The pure decision engine of agentd.
//!
//! Readings go in, decisions come out. Nothing in this crate performs I/O, asks for the time, awaits, reads the
//! environment or panics; `clippy.toml` beside `src/` forbids the functions that would. So every decision can be
//! tested in microseconds, simulated for years and replayed from a recording.
//!
//! # Invariants
//!
//! - **Unknown is never idle**: while an enabled source is blind the idle clock stands still, and no action is taken.
//! - At most one destructive action is outstanding.
//! - Warnings precede an action; any use, hold or block before the call is accepted calls it off.
//! - Time is `CLOCK_BOOTTIME`; a resume, a reboot or a gap restarts every window.

pub mod action;
pub mod decision;
pub mod engine;
pub mod hold;
pub mod input;
pub mod interruption;
pub mod memory;
pub mod policy;
pub mod reading;
pub mod reason;
pub mod replay;
pub mod stamp;
pub mod trace;
mod track;
pub mod verdict;
mod window;
