//! The predicted time of action is right.

use agent_accuracy::ours::{self, Look, Watcher};
use agent_accuracy::world::World;
use agent_core::verdict::Judgement;

use super::scenarios;

/// One round of readings.
const TICK_MS: u64 = 10_000;
/// The longest time over which a source averages, and one round: so long an old use may be shown as going on.
const DECAY_MS: u64 = 130_000;

/// What was predicted after one round.
struct Prediction {
    at_ms: i64,
    boot_ms: u64,
    idle_ms: u64,
    act_after_ms: u64,
    act_at_ms: Option<u64>,
    /// Something of unknown length keeps the machine up, or a use is still shown.
    open: bool,
    holds: usize,
    able: bool,
}

#[derive(Default)]
struct Predictions {
    list: Vec<Prediction>,
    now_ms: u64,
}

impl Watcher for Predictions {
    fn looked(&mut self, look: &Look<'_>) {
        self.now_ms = look.now.boot_ms;
        if !look.round || look.at_ms < 0 {
            return;
        }
        let view = look.engine.view(look.now);
        let open =
            |judgement| matches!(judgement, Judgement::Busy | Judgement::Blocks | Judgement::Blind);
        self.list.push(Prediction {
            at_ms: look.at_ms,
            boot_ms: look.now.boot_ms,
            idle_ms: view.idle_ms,
            act_after_ms: view.act_after_ms,
            act_at_ms: view.act_at.map(|at| at.boot_ms),
            holds: view.holds.len(),
            able: view.power.is_some(),
            open: view.sources.iter().any(|source| open(source.judgement)),
        });
    }
}

impl Predictions {
    /// The first round after which nothing changes any more.
    fn settled(&self) -> usize {
        let changed = |pair: &[Prediction]| {
            let [before, after] = pair else { return false };
            let passed = after.boot_ms - before.boot_ms;
            after.act_after_ms != before.act_after_ms
                || after.idle_ms != before.idle_ms + passed
                || before.open != after.open
                || before.holds != after.holds
                || before.able != after.able
        };
        self.list.windows(2).rposition(changed).map_or(0, |last| last + 1)
    }
}

#[test]
fn from_any_moment_after_which_nothing_changes_the_prediction_is_right_within_a_tick() {
    let mut checked = 0;
    for scenario in scenarios() {
        let mut seen = Predictions::default();
        let world = World::plain(30);
        let policy = ours::policy(scenario.profile);
        let run = ours::run_with(scenario, &world, &policy, &mut seen);
        if run.stopped.is_none() {
            let last = seen.list.last().unwrap();
            assert!(policy.idle.action.is_some() || last.act_at_ms.is_none(), "{}", scenario.id);
            continue;
        }
        let acted = seen.now_ms;
        let settled = &seen.list[seen.settled()..];
        assert!(settled.len() > 10, "{}: nothing ever settled", scenario.id);
        for prediction in settled {
            let Some(act_at) = prediction.act_at_ms else {
                assert!(prediction.open, "{}: no prediction at {}", scenario.id, prediction.at_ms);
                continue;
            };
            checked += 1;
            assert!(
                act_at.abs_diff(acted) <= TICK_MS,
                "{}: at {} s it was to be in {} s and was in {} s",
                scenario.id,
                prediction.at_ms / 1000,
                (act_at - prediction.boot_ms) / 1000,
                (acted - prediction.boot_ms) / 1000
            );
        }
    }
    assert!(checked > 10_000, "only {checked} predictions were compared");
}

#[test]
fn what_changes_a_prediction_is_a_change_of_the_machine() {
    for scenario in scenarios() {
        let mut seen = Predictions::default();
        let policy = ours::policy(scenario.profile);
        let run = ours::run_with(scenario, &World::plain(30), &policy, &mut seen);
        // A source of noise that comes and goes is a change that goes on.
        let ends = scenario.segments.iter().any(|segment| segment.cycle.is_some());
        let Some(stopped) = run.stopped.filter(|_| !ends) else { continue };
        let settled = &seen.list[seen.settled()];
        let second = agent_accuracy::scenario::seconds(stopped);
        let last_change = u64::from(scenario.last_change(second)) * 1000;
        let at = u64::try_from(settled.at_ms).unwrap();
        // Blocks with a cap and holds end by themselves, and EC2 is asked again at growing intervals.
        let by_itself = ["C10", "C30", "C32", "D22"].contains(&scenario.id);
        assert!(
            by_itself || at <= last_change + DECAY_MS,
            "{}: settled at {} s, the last change was at {} s",
            scenario.id,
            at / 1000,
            last_change / 1000
        );
    }
}
