//! The other tools' rules give the verdicts that were first published for the odd scenarios.

use agent_accuracy::corpus;
use agent_accuracy::peers::PEERS;
use agent_accuracy::score::{self, TIMEOUT};

const PUBLISHED: &str = include_str!("published.txt");

#[test]
fn every_rule_reproduces_its_published_verdicts() {
    let mut faults = Vec::new();
    let mut cells = 0;
    for line in PUBLISHED.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let id = words.next().unwrap();
        let scenario = corpus::named(id).unwrap_or_else(|| panic!("{id} is missing"));
        for (peer, published) in PEERS.iter().zip(words) {
            cells += 1;
            let verdict = score::peer(peer, &scenario, TIMEOUT);
            if !published.starts_with(verdict.class()) {
                faults.push(format!(
                    "{id} {}: {published} was published, got {}",
                    peer.name,
                    verdict.cell()
                ));
            }
        }
    }
    assert_eq!(cells, 40 * PEERS.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
