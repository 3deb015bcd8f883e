//! The engine in thousands of simulated days, with the invariants checked on every step, and proof that the checks find
//! faults. `AGENTD_SEED=N` replays one seed, `AGENTD_SECONDS=N` runs for longer.

#![expect(
    clippy::disallowed_methods,
    reason = "the test is timed and told a seed; the engine is not"
)]

use std::time::{Duration, Instant};

mod world;

use world::agent::{World, days_of};
use world::plant::{ALL, Plant};

fn seeds() -> Option<u64> {
    std::env::var("AGENTD_SEED").ok().and_then(|text| text.parse().ok())
}

#[test]
fn the_invariants_hold_in_every_world() {
    if let Some(seed) = seeds() {
        let story = World::new(seed, None).told().live(days_of(seed));
        println!("seed {seed}, {} days: {story:?}", days_of(seed));
        assert!(story.is_ok());
        return;
    }
    let seconds = std::env::var("AGENTD_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(15));
    let (mut days, mut calls, mut crashes, mut seed) = (0, 0, 0, 0);
    while Instant::now() < end {
        match World::new(seed, None).live(days_of(seed)) {
            Ok(story) => {
                days += days_of(seed);
                calls += story.calls;
                crashes += story.crashes;
            }
            Err(violation) => panic!("seed {seed} ({violation}); replay: AGENTD_SEED={seed}"),
        }
        seed += 1;
    }
    println!("{seed} worlds, {days} days, {calls} calls, {crashes} crashes, no violation");
    assert!(calls > 0 && crashes > 0, "a world in which nothing happens proves nothing");
}

/// The worlds that it takes to find a planted fault.
fn found_after(plant: Plant, most: u64) -> Option<(u64, String)> {
    (0..most).find_map(|seed| {
        World::new(seed, Some(plant)).live(days_of(seed)).err().map(|v| (seed, v.to_string()))
    })
}

#[test]
fn every_planted_fault_is_found() {
    let missed: Vec<Plant> = ALL
        .into_iter()
        .filter(|plant| {
            let found = found_after(*plant, 600);
            println!("{plant:?}: {found:?}");
            found.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn a_seed_is_one_world_for_ever() {
    let tell = |seed| format!("{:?}", World::new(seed, None).live(3));
    for seed in 0..20 {
        assert_eq!(tell(seed), tell(seed));
    }
}
