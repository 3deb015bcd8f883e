//! All scores of one run: every scenario, every rule, and the random worlds.

use crate::ours;
use crate::peers::{PEERS, Peer};
use crate::scenario::Scenario;
use crate::score::{self, Count, TIMEOUT, Verdict, run_peer};
use crate::step::steps;
use crate::world::{Dice, World};

/// So many random worlds.
pub const WORLDS: u64 = 20;

/// The verdicts of one scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario.
    pub scenario: Scenario,
    /// The engine.
    pub ours: Verdict,
    /// The other tools, in the order of [`PEERS`].
    pub peers: Vec<Verdict>,
}

/// Scores every rule on every scenario, all with the same timeout.
pub fn score(scenarios: &[Scenario]) -> Vec<Row> {
    let row = |scenario: &Scenario| Row {
        scenario: scenario.clone(),
        ours: ours::score(scenario),
        peers: PEERS.iter().map(|peer| score::peer(peer, scenario, TIMEOUT)).collect(),
    };
    scenarios.iter().map(row).collect()
}

/// Scores a rule with its own timeout.
pub fn with_own_timeout(peer: &Peer, scenarios: &[Scenario]) -> Count {
    Count::of(scenarios.iter().map(|scenario| score::peer(peer, scenario, peer.own_timeout * 60)))
}

/// What became of every scenario in one random world.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The engine: scenarios that it got wrong.
    pub faults: Vec<(&'static str, Verdict)>,
    /// The engine.
    pub ours: Count,
    /// The other tools, in the order of [`PEERS`].
    pub peers: Vec<Count>,
}

/// Scores every rule in random worlds, one factor for every rate and one phase for every scenario. Scenarios whose label
/// is a choice are left out.
pub fn random_worlds(scenarios: &[Scenario]) -> Vec<Sample> {
    (0..WORLDS).map(|seed| sample(scenarios, seed)).collect()
}

fn sample(scenarios: &[Scenario], seed: u64) -> Sample {
    let mut dice = Dice::new(seed);
    let mut sample = Sample {
        faults: Vec::new(),
        ours: Count::default(),
        peers: vec![Count::default(); PEERS.len()],
    };
    for scenario in scenarios.iter().filter(|scenario| !scenario.choice) {
        let world = World::random(&mut dice);
        let policy = ours::lean(&ours::policy(scenario.profile), scenario);
        let verdict = ours::verdict(scenario, &world, &policy);
        sample.ours.add(verdict);
        if !matches!(verdict, Verdict::Right { .. }) {
            sample.faults.push((scenario.id, verdict));
        }
        let steps = steps(scenario, &world);
        for (peer, count) in PEERS.iter().zip(&mut sample.peers) {
            count.add(run_peer(peer, scenario, &steps, (TIMEOUT, world.phase)));
        }
    }
    sample
}
