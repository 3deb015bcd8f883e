//! Reading the state changes nothing.

use core::fmt::Write as _;

use agent_accuracy::corpus;
use agent_accuracy::ours::{self, Look, Watcher};
use agent_accuracy::world::World;

/// Writes down every decision, and reads the view so many times after each.
struct Reader {
    reads: usize,
    trace: String,
}

impl Watcher for Reader {
    fn looked(&mut self, look: &Look<'_>) {
        // The transfer, its end and the countdown.
        let minute = look.at_ms / 60_000;
        let busy = [10, 119, 120, 139, 149].contains(&minute);
        for _ in 0..if look.round && busy { self.reads } else { self.reads.min(1) } {
            std::hint::black_box(look.engine.view(look.now));
        }
        let decision = serde_json::to_string(look.decision).unwrap();
        writeln!(self.trace, "{} {decision}", look.at_ms).unwrap();
    }
}

fn trace(reads: usize) -> String {
    let scenario = corpus::named("D09").unwrap();
    let mut reader = Reader { reads, trace: String::new() };
    let policy = ours::policy(scenario.profile);
    ours::run_with(&scenario, &World::plain(0), &policy, &mut reader);
    reader.trace
}

#[test]
fn a_thousand_reads_between_two_steps_leave_every_decision_byte_for_byte_the_same() {
    let unread = trace(0);
    assert!(unread.lines().count() > 10_000);
    assert!(unread == trace(1000), "reading changed a decision");
}
