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

use agent_accuracy::results::{self, Row, Sample};
use agent_accuracy::scenario::Scenario;
use agent_accuracy::teeth::{self, Bite};
use agent_accuracy::{corpus, second};

/// Every scenario of the first corpus.
fn scenarios() -> &'static [Scenario] {
    static ALL: OnceLock<Vec<Scenario>> = OnceLock::new();
    ALL.get_or_init(corpus::all)
}

/// Every machine of the second corpus.
fn others() -> &'static [Scenario] {
    static ALL: OnceLock<Vec<Scenario>> = OnceLock::new();
    ALL.get_or_init(second::all)
}

/// The scores of the second corpus.
fn other_rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| results::score(others()))
}

/// The scores of the second corpus in random worlds.
fn other_worlds() -> &'static [Sample] {
    static WORLDS: OnceLock<Vec<Sample>> = OnceLock::new();
    WORLDS.get_or_init(|| results::random_worlds(others()))
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
    let all = || scenarios().iter().chain(others()).cloned().collect::<Vec<_>>();
    BITES.get_or_init(|| teeth::bites(&all()))
}
