//! Real processes in cells: what keeps a machine up, and what does not.
//!
//! `cargo test -p agent-cells --test cells -- NAME` runs the cells whose names contain NAME; with `CELL_STORIES=1` what
//! the agent said is shown for every one of them.

mod left;
mod networks;
mod schedules;
mod strangers;
mod tools;
mod work;

use std::io;

use agent_cells::case::Case;
use agent_cells::{parts, runner};

/// What does not come out right yet, each with the reason. A case on this list that comes out right fails, so that the
/// list is never longer than the truth.
const NOT_YET: &[runner::NotYet] = &[(
    "shipped-logs",
    "the kernel does not say who opened a connection that begins and ends between two looks",
)];

fn main() -> io::Result<()> {
    let strangers = [strangers::CASES, strangers::stopped::CASES, strangers::kept::CASES].concat();
    let cases: Vec<Case> =
        [work::CASES, networks::CASES, schedules::CASES, tools::CASES, left::CASES, &strangers]
            .concat();
    let not_yet = [NOT_YET, strangers::stopped::NOT_YET, strangers::kept::NOT_YET].concat();
    if parts::play(&cases)? {
        return Ok(());
    }
    let mut filters = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--list" => return runner::list(&cases),
            "--test-threads" => drop(words.next()),
            flag if flag.starts_with('-') => {}
            _ => filters.push(word),
        }
    }
    if runner::run(&cases, &not_yet, &filters)? {
        Ok(())
    } else {
        Err(io::Error::other("some cells came out wrong"))
    }
}
