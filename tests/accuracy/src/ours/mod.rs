//! agentd itself: the real engine over the raw readings of its sources.

mod lean;
mod machine;
mod policy;
mod run;

pub use lean::{is_touched, lean};
pub use machine::SOURCES;
pub use policy::{POLICY, policy};
pub use run::{Look, Run, Watcher, run, run_with};

use agent_core::policy::Policy;

use crate::scenario::Scenario;
use crate::score::{self, Verdict};
use crate::world::World;

/// Scores the engine on a scenario in all phases under its policy; the worst counts.
pub fn score(scenario: &Scenario) -> Verdict {
    let policy = policy(scenario.profile);
    let verdicts = score::PHASES.map(|phase| verdict(scenario, &World::plain(phase), &policy));
    verdicts.into_iter().reduce(Verdict::worse).unwrap_or(Verdict::Missed)
}

/// Scores the engine on one run.
pub fn verdict(scenario: &Scenario, world: &World, policy: &Policy) -> Verdict {
    score::judge(scenario, run(scenario, world, policy).stopped)
}
