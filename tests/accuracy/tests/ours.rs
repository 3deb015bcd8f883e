//! The engine's own verdicts.

use agent_accuracy::{corpus, ours};

#[test]
fn show() {
    for scenario in corpus::all() {
        let verdict = ours::score(&scenario);
        println!("{} {:?} {} [{}]", scenario.id, verdict, scenario.title, scenario.right());
    }
}
