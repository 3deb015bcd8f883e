//! A deterministic world around the engine: sensors with blind spells, people, jobs, steps of the wall clock, stalls,
//! hibernations, boots, crashes between any two effects, full disks, lost answers, refusals and operators; and the
//! truth, which every decision is held against.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stdout,
    reason = "a test and an example each use their part"
)]

pub mod agent;
pub mod dice;
pub mod machine;
pub mod plant;
pub mod truth;

/// A package manager may block for this long.
pub const BLOCK_CAP: u64 = 2 * machine::HOUR;
