//! Scenarios as traces: a trace of a scenario, read from its text, is decided as the scenario was.

use agent_accuracy::ours::{self, Watcher};
use agent_accuracy::scenario::History;
use agent_accuracy::world::World;
use agent_core::replay::{After, Replay};
use agent_core::trace::{Content, Record};

use super::scenarios;

/// One round of readings.
const TICK_MS: u64 = 10_000;

/// What a replay takes for granted and these scenarios take away: an agent that was not killed, and EC2's answers.
const BEYOND_A_TRACE: [&str; 4] = ["D05", "D10", "D18", "D22"];

#[derive(Default)]
struct Recorder(Vec<Record>);

impl Watcher for Recorder {
    fn records(&self) -> bool {
        true
    }

    fn recorded(&mut self, record: Record) {
        self.0.push(record);
    }
}

#[test]
fn a_trace_of_a_scenario_is_decided_as_the_scenario_was() {
    for scenario in scenarios().iter().filter(|s| !BEYOND_A_TRACE.contains(&s.id)) {
        let policy = ours::policy(scenario.profile);
        let mut recorder = Recorder::default();
        let run = ours::run_with(scenario, &World::plain(30), &policy, &mut recorder);
        let first = recorder.0.first().unwrap().at;
        let last = recorder.0.last().unwrap().at;
        let mut replay = Replay::new(policy, first).then(After::GoOn);
        for record in recorder.0 {
            replay.record(record);
        }
        replay.finish(last.after(core::time::Duration::from_secs(11)));
        // A machine that is resumed had stopped itself before.
        let before = usize::from(scenario.history == History::Resumed);
        let downs = replay.downs();
        assert_eq!(downs.len(), before + usize::from(run.stopped.is_some()), "{}", scenario.id);
        if let (Some(_), Some(down)) = (run.stopped, downs.last()) {
            let apart = down.from.boot_ms.abs_diff(last.boot_ms);
            assert!(apart <= TICK_MS, "{}: {apart} ms apart", scenario.id);
        }
    }
}

#[test]
fn a_trace_of_a_scenario_survives_its_text() {
    let scenario = agent_accuracy::corpus::named("A09").unwrap();
    let policy = ours::policy(scenario.profile);
    let mut recorder = Recorder::default();
    ours::run_with(&scenario, &World::plain(0), &policy, &mut recorder);
    assert!(recorder.0.iter().any(|record| matches!(record.content, Content::Inputs(_))));
    for record in &recorder.0 {
        let line = serde_json::to_string(record).unwrap();
        assert_eq!(&serde_json::from_str::<Record>(&line).unwrap(), record, "{line}");
    }
}
