//! Whose the services of the second corpus are, asked of the real program: a load between the limits of two roles tells which
//! of them it holds for.

use agent_accuracy::scenario::{Profile, Scenario, scene};
use agent_accuracy::second;
use agent_accuracy::signals::{Service, Signals};

use super::{config, course};

/// Changes signals.
type Load = fn(&mut Signals);

/// A load of a role's that is below its limit, and one that is above it and below the limit of the next role.
const LOADS: [(Service, Load, Load); 3] = [
    (
        Service::People,
        |s| (s.service, s.sys_cpu) = (Service::People, 0.02 + 0.035),
        |s| (s.service, s.sys_cpu) = (Service::People, 0.02 + 0.065),
    ),
    (
        Service::Local,
        |s| (s.service, s.sys_cpu) = (Service::Local, 0.02 + 0.065),
        |s| (s.service, s.sys_cpu) = (Service::Local, 0.02 + 0.1),
    ),
    (
        Service::Server,
        |s| (s.service, s.sys_cpu) = (Service::Server, 0.02 + 0.1),
        |s| (s.service, s.sys_cpu) = (Service::Server, 0.02 + 0.14),
    ),
];

/// Whether the program stops a machine with a load within so many minutes.
fn stops(scenario: &Scenario) -> bool {
    let outcome = course::run(scenario, &config(Profile::Research));
    outcome.unwrap_or_else(|error| panic!("{}: {error}", scenario.id)).stopped.is_some()
}

#[test]
fn the_program_finds_the_same_owner_of_a_service_as_the_table() {
    let mut asked = 0;
    for machine in second::all() {
        let service = machine.signals_at(0).service;
        let Some((_, below, above)) = LOADS.iter().find(|(of, ..)| *of == service) else {
            continue;
        };
        // A table of cron that is due blocks, and what was left running or is a command of Systems Manager is waited for
        // whatever it uses.
        let waits = ["S11", "X01", "X02", "X04", "X07"].contains(&machine.id);
        let group = second::group(machine.id).unwrap();
        let with = |load: Load| scene(machine.id, machine.title, 45).always(load);
        if !waits {
            assert!(stops(&with(*below)), "{}: {group} has a lower limit", machine.id);
        }
        assert!(!stops(&with(*above)), "{}: {group} has a higher limit", machine.id);
        asked += 1;
    }
    assert_eq!(asked, 13);
}
