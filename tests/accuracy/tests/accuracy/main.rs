//! The scores, and what they must be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clocks;
mod document;
mod faults;
mod peers;
mod prediction;
mod purity;
mod replays;
mod units;
mod verdicts;

use std::sync::OnceLock;

use agent_accuracy::corpus;
use agent_accuracy::results::{self, Row, Sample};
use agent_accuracy::scenario::Scenario;
use agent_accuracy::teeth::{self, Bite};

/// Every scenario.
fn scenarios() -> &'static [Scenario] {
    static ALL: OnceLock<Vec<Scenario>> = OnceLock::new();
    ALL.get_or_init(corpus::all)
}

/// The scores of all.
fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| results::score(scenarios()))
}

/// The scores of all in random worlds.
fn worlds() -> &'static [Sample] {
    static WORLDS: OnceLock<Vec<Sample>> = OnceLock::new();
    WORLDS.get_or_init(|| results::random_worlds(scenarios()))
}

/// What changed limits break.
fn bites() -> &'static [Bite] {
    static BITES: OnceLock<Vec<Bite>> = OnceLock::new();
    BITES.get_or_init(|| teeth::bites(scenarios()))
}
