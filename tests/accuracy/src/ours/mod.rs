//! agentd itself: the real engine over the raw readings of its sources.

mod machine;
mod policy;
mod run;

pub use machine::SOURCES;
pub use policy::{POLICY, policy};
pub use run::{Look, Run, run, run_with};

use crate::scenario::Scenario;
use crate::score::{self, Verdict};
use crate::world::World;

/// Scores the engine on a scenario in all phases; the worst counts.
pub fn score(scenario: &Scenario) -> Verdict {
    let policy = policy(scenario.profile);
    let verdicts = score::PHASES.map(|phase| {
        let run = run(scenario, &World::plain(phase), &policy);
        score::judge(scenario, run.stopped)
    });
    verdicts.into_iter().reduce(Verdict::worse).unwrap_or(Verdict::Missed)
}
