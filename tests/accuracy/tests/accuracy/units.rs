//! Units are absolute: what counts does not depend on the size of the machine.

use agent_accuracy::ours;
use agent_accuracy::scenario::{Scenario, scene};
use agent_accuracy::score::Verdict;
use agent_accuracy::signals::Signals;
use agent_accuracy::world::World;

const SIZES: [u32; 13] = [2, 3, 4, 6, 8, 12, 16, 21, 32, 48, 64, 96, 192];

fn verdict(scenario: &Scenario) -> Verdict {
    let policy = ours::policy(scenario.profile);
    ours::verdict(scenario, &World::plain(30), &policy)
}

#[test]
fn one_busy_thread_is_never_stopped_whatever_the_size() {
    for size in SIZES {
        let scenario = scene("R2", "one thread under nohup", 240)
            .cpus(size)
            .always(|s| s.user_cpu = 1.0)
            .keep();
        assert!(matches!(verdict(&scenario), Verdict::Right { .. }), "{size} processors");
    }
}

#[test]
fn housekeeping_never_keeps_a_machine_up_whatever_the_size() {
    for size in SIZES {
        let scenario = scene("R2", "agents", 240).cpus(size).always(|s| s.sys_cpu = 0.06);
        assert!(matches!(verdict(&scenario), Verdict::Right { .. }), "{size} processors");
    }
}

#[test]
fn the_agents_of_a_machine_may_work_up_to_their_ceiling_and_do_not_keep_it_up() {
    let scenario = scene("R3", "an agent at 14 % of a core, and its traffic", 240).always(|s| {
        s.sys_cpu = 0.02 + 0.14;
        s.net = 50_000.0;
        s.disk = 1e6;
    });
    assert!(matches!(verdict(&scenario), Verdict::Right { .. }));
}

#[test]
fn an_agent_above_its_ceiling_is_a_server_at_work_whatever_it_is_called() {
    for (what, work) in [
        ("processor", (|s| s.sys_cpu = 0.25) as fn(&mut Signals)),
        ("network", |s| s.net = 100_000.0),
        ("disk", |s| s.disk = 6e6),
    ] {
        let scenario = scene("R3", "an agent far above its ceiling", 240).always(work).keep();
        assert!(matches!(verdict(&scenario), Verdict::Right { .. }), "{what}");
    }
}
