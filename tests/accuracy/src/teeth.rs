//! Whether the scenarios have teeth: every limit four times as high and a quarter as high, and what that breaks.

use core::time::Duration;

use agent_core::policy::Policy;
use agent_core::reading::SourceName;

use crate::ours;
use crate::scenario::Scenario;
use crate::score::Verdict;
use crate::world::World;

/// Sources with a limit.
const LIMITS: &[&str] = &["cpu", "disk", "network", "clients", "gpu", "pressure", "steal"];

/// Finds a span in a policy.
type Span = fn(&mut Policy) -> &mut Duration;

/// Spans of the idle policy. The graces are not among them: they are shorter than `act_after` and only show with a
/// shorter one.
const SPANS: &[(&str, Span)] = &[
    ("act_after", |policy| &mut policy.idle.act_after),
    ("connected_after", |policy| &mut policy.idle.connected_after),
    ("job_after", |policy| &mut policy.idle.job_after),
];

/// A changed limit and the scenarios whose verdict it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bite {
    /// What was changed.
    pub what: String,
    /// With the limit four times as high.
    pub higher: Vec<&'static str>,
    /// With a quarter of it.
    pub lower: Vec<&'static str>,
}

/// Changes every limit.
pub fn bites(scenarios: &[Scenario]) -> Vec<Bite> {
    let world = World::plain(30);
    let plain: Vec<Verdict> = scenarios
        .iter()
        .map(|scenario| {
            let policy = ours::policy(scenario.profile);
            ours::verdict(scenario, &world, &ours::lean(&policy, scenario))
        })
        .collect();
    let changed = |relevant: &dyn Fn(&Scenario) -> bool, change: &dyn Fn(&mut Policy)| {
        let mut ids = Vec::new();
        for (scenario, before) in scenarios.iter().zip(&plain) {
            if !relevant(scenario) {
                continue;
            }
            let mut policy = ours::lean(&ours::policy(scenario.profile), scenario);
            change(&mut policy);
            if ours::verdict(scenario, &world, &policy).class() != before.class() {
                ids.push(scenario.id);
            }
        }
        ids
    };
    let mut bites = Vec::new();
    for source in LIMITS {
        let scaled = |factor: f64| {
            changed(&|scenario| ours::is_touched(source, scenario), &|policy| {
                if let Some(source) = policy.sources.get_mut(&SourceName::new(source)) {
                    source.busy_above *= factor;
                }
            })
        };
        let what = format!("source.{source}.busy_above");
        bites.push(Bite { what, higher: scaled(4.0), lower: scaled(0.25) });
    }
    for (name, span) in SPANS {
        let scaled = |factor: f64| {
            changed(&|_| true, &|policy| {
                let span = span(policy);
                *span = span.mul_f64(factor);
            })
        };
        let what = format!("idle.{name}");
        bites.push(Bite { what, higher: scaled(4.0), lower: scaled(0.25) });
    }
    bites
}
