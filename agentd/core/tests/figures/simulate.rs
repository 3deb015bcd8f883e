//! How many days a minute the simulated world lives, with every invariant checked on every step.
//! `cargo run --release -p agent-core --example simulate [SECONDS]`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures and prints a figure"
)]

#[path = "../simulation/world/mod.rs"]
mod world;

use std::time::{Duration, Instant};

use world::agent::{Story, World, days_of};

fn main() -> std::process::ExitCode {
    let seconds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20);
    let begun = Instant::now();
    let mut sum = Story::default();
    let (mut days, mut seed) = (0, 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        match World::new(seed, None).live(days_of(seed)) {
            Ok(story) => sum.add(&story),
            Err(violation) => {
                println!("seed {seed}: {violation}");
                return std::process::ExitCode::FAILURE;
            }
        }
        days += days_of(seed);
        seed += 1;
    }
    let spent = begun.elapsed();
    let a_minute = u128::from(days) * 60_000 / spent.as_millis().max(1);
    println!("{seed} worlds: {sum:?}");
    println!("{days} days in {:.1} s: {a_minute} days a minute", spent.as_secs_f64());
    std::process::ExitCode::SUCCESS
}
