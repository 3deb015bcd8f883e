//! The engine's own verdicts: the gate of every change.

use agent_accuracy::classes::{self, CLASSES};
use agent_accuracy::ours;
use agent_accuracy::peers::PEERS;
use agent_accuracy::score::{Count, Verdict};
use agent_accuracy::world::World;

use super::{other_rows, other_worlds, others, rows, scenarios, worlds};

/// So many of the 58 machines without a choice are right…
const RIGHT_OF_58: usize = 53;
/// …and so many whatever the rates.
const RIGHT_IN_ANY_WORLD: usize = 51;

/// The scenarios that cannot be told from an idle machine.
const UNDECIDABLE: [&str; 1] = ["B17"];

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
fn what_is_wrong_on_the_second_corpus_belongs_to_a_documented_class() {
    let faults: Vec<_> = other_rows()
        .iter()
        .filter(|row| !row.scenario.choice && !classes::allows(row.scenario.id, row.ours))
        .map(|row| format!("{} {} {}", row.scenario.id, row.ours.cell(), row.scenario.title))
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn other_rates_and_other_phases_do_not_change_that_on_the_second_corpus() {
    let mut faults = Vec::new();
    for (seed, sample) in other_worlds().iter().enumerate() {
        let beyond = sample.faults.iter().filter(|(id, verdict)| !classes::allows(id, *verdict));
        faults.extend(beyond.map(|(id, verdict)| format!("world {seed}: {id} {}", verdict.cell())));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_second_corpus_is_not_worse_than_it_was_said_to_be() {
    let clear = other_rows().iter().filter(|row| !row.scenario.choice);
    let count = Count::of(clear.map(|row| row.ours));
    assert!(count.right >= RIGHT_OF_58, "{count:?}");
    assert_eq!(count.right + count.wrong + count.missed, 58);
    for sample in other_worlds() {
        assert!(sample.ours.right >= RIGHT_IN_ANY_WORLD, "{:?}", sample.ours);
    }
}

#[test]
fn root_and_system_users_at_work_in_services_are_never_stopped() {
    let services = other_rows().iter().filter(|row| row.scenario.id.starts_with('X'));
    let count = Count::of(services.map(|row| row.ours));
    assert_eq!(count.right, 8, "{count:?}");
    for sample in other_worlds() {
        assert!(sample.faults.iter().all(|(id, _)| !id.starts_with('X')), "{:?}", sample.faults);
    }
}

#[test]
fn no_documented_class_names_a_scenario_that_is_always_right() {
    for class in CLASSES {
        for id in class.stopped.iter().chain(class.kept) {
            let wrong = |verdict: Verdict| verdict.class() != '✓';
            let plain = rows().iter().chain(other_rows());
            let plain = plain.filter(|row| row.scenario.id == *id).any(|row| wrong(row.ours));
            let samples = worlds().iter().chain(other_worlds());
            let sometimes = samples.flat_map(|it| &it.faults).any(|(known, _)| known == id);
            assert!(plain || sometimes, "{id} is always right: '{}' need not name it", class.name);
        }
    }
}

#[test]
fn no_other_rule_is_as_accurate() {
    for rows in [rows(), other_rows()] {
        let rows: Vec<_> = rows.iter().filter(|row| !row.scenario.choice).collect();
        let ours = Count::of(rows.iter().map(|row| row.ours));
        for (number, peer) in PEERS.iter().enumerate() {
            let count = Count::of(rows.iter().map(|row| row.peers[number]));
            assert!(count.right < ours.right, "{peer:?}: {count:?}");
            assert!(count.wrong > ours.wrong, "{peer:?}: {count:?}");
        }
    }
}

#[test]
fn sources_that_a_scenario_never_touches_change_nothing() {
    for scenario in scenarios().iter().chain(others()) {
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
