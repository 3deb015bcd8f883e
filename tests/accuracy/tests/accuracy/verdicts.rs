//! The engine's own verdicts: the gate of every change.

use agent_accuracy::ours;
use agent_accuracy::peers::PEERS;
use agent_accuracy::score::{Count, Verdict};
use agent_accuracy::world::World;

use super::{rows, scenarios, worlds};

/// The scenarios that cannot be told from an idle machine.
const UNDECIDABLE: [&str; 2] = ["B17", "B25"];

/// The ids with a wrong stop, and the ids that were missed.
fn faults(verdicts: &[(&'static str, Verdict)]) -> (Vec<&'static str>, Vec<&'static str>) {
    let of = |class: char| {
        let faults = verdicts.iter().filter(move |(_, verdict)| verdict.class() == class);
        faults.map(|(id, _)| *id).collect()
    };
    (of('W'), of('N'))
}

#[test]
fn only_the_undecidable_are_stopped_wrongly_and_at_most_one_is_missed() {
    let verdicts: Vec<_> = rows().iter().map(|row| (row.scenario.id, row.ours)).collect();
    let (wrong, missed) = faults(&verdicts);
    assert_eq!(wrong, UNDECIDABLE);
    assert!(missed.len() <= 1, "missed: {missed:?}");
}

#[test]
fn other_rates_and_other_phases_do_not_change_that() {
    for (seed, sample) in worlds().iter().enumerate() {
        let (wrong, missed) = faults(&sample.faults);
        let beyond: Vec<_> = wrong.iter().filter(|id| !UNDECIDABLE.contains(id)).collect();
        assert!(beyond.is_empty(), "world {seed}: stopped wrongly: {beyond:?}");
        assert!(missed.len() <= 1, "world {seed}: missed: {missed:?}");
    }
}

#[test]
fn no_other_rule_is_as_accurate() {
    let ours = Count::of(rows().iter().map(|row| row.ours));
    for (number, peer) in PEERS.iter().enumerate() {
        let count = Count::of(rows().iter().map(|row| row.peers[number]));
        assert!(count.right < ours.right, "{peer:?}: {count:?}");
        assert!(count.wrong > ours.wrong, "{peer:?}: {count:?}");
    }
}

#[test]
fn sources_that_a_scenario_never_touches_change_nothing() {
    for scenario in scenarios() {
        let world = World::plain(60);
        let policy = ours::policy(scenario.profile);
        let full = ours::run(scenario, &world, &policy);
        let lean = ours::run(scenario, &world, &ours::lean(&policy, scenario));
        assert_eq!(full, lean, "{}", scenario.id);
    }
}

#[test]
fn readings_are_made_for_every_source_of_the_policy() {
    let policy = ours::policy(agent_accuracy::scenario::Profile::Research);
    for source in policy.sources.keys() {
        assert!(ours::SOURCES.contains(&source.as_str()), "'{source}' has no readings");
    }
}
