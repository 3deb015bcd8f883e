//! Clocks and restarts move a stop by no more than they may.

use agent_accuracy::corpus;
use agent_accuracy::ours;
use agent_accuracy::scenario::{Scenario, scene};
use agent_accuracy::world::World;

const TICK: f64 = 10.0 / 60.0;

fn stopped(scenario: &Scenario) -> f64 {
    let policy = ours::policy(scenario.profile);
    ours::run(scenario, &World::plain(30), &policy).stopped.unwrap()
}

fn idle() -> f64 {
    stopped(&scene("R6", "idle", 200))
}

#[test]
fn steps_of_the_wall_clock_move_a_stop_by_less_than_a_tick() {
    for id in ["D06", "D16"] {
        let stop = stopped(&corpus::named(id).unwrap());
        assert!((stop - idle()).abs() < TICK, "{id}: {stop}");
    }
}

#[test]
fn an_agent_that_is_killed_every_ten_minutes_stops_an_idle_machine_within_a_tick_for_each() {
    let stop = stopped(&corpus::named("D05").unwrap());
    // In the minutes 10, 20 and 30, the last time while people were warned: they are warned again, two minutes before.
    assert!(stop >= idle() - 0.01, "{stop}");
    assert!(stop <= idle() + 2.0 + 3.0 * TICK, "{stop}");
}
