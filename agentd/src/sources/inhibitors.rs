//! Inhibitors: programs that asked logind to keep the machine from shutting down, sleeping or idling
//! (systemd-inhibit(1), org.freedesktop.login1(5)).
//!
//! EC2 stops an instance without asking logind, so the agent has to honour them itself.

use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;

use super::{AsyncSource, Context, Lane, Opened, Pending, SourceSpec, blind};
use crate::host::logind::{Inhibitor, Logind, LogindError};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "inhibitors",
    about: "Programs that asked systemd to block shutdown, sleep or idling.",
    unit: "",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 0.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Async,
    deadline: Duration::from_secs(1),
    options: &[],
    open: |context| Opened::Async(Box::new(Inhibitors::new(context))),
};

/// An inhibitor that is held for longer was forgotten: 24 hours, in milliseconds.
const CAP_MS: u64 = 24 * 60 * 60 * 1000;

#[derive(Debug)]
struct Inhibitors {
    logind: Logind,
}

impl Inhibitors {
    fn new(context: &Context) -> Self {
        Self { logind: Logind::new(context.bus.clone(), context.host.clone()) }
    }
}

impl AsyncSource for Inhibitors {
    fn read(&mut self, _now: Stamp) -> Pending<'_> {
        Box::pin(async move { judge(self.logind.inhibitors().await) })
    }
}

fn judge(answer: Result<Vec<Inhibitor>, LogindError>) -> Reading {
    match answer {
        Ok(list) => {
            Reading::Signals(list.iter().filter(|entry| blocks(entry)).map(signal).collect())
        }
        Err(error @ (LogindError::NoBus(_) | LogindError::NoLogind(_))) => {
            Reading::absent(format!("cannot {error}"))
        }
        Err(error) => blind(&error),
    }
}

/// The modes that forbid it: `block-weak` (systemd 257 and later, systemd-inhibit(1)) binds everybody but root and who
/// holds the lock, and the agent is neither a user nor in the know.
const FORBIDS: [&str; 2] = ["block", "block-weak"];

/// Delay locks only ask for a moment, and `handle-…` is about keys and lids.
fn blocks(entry: &Inhibitor) -> bool {
    let wide = entry.what.split(':').any(|what| ["shutdown", "sleep", "idle"].contains(&what));
    wide && FORBIDS.contains(&entry.mode.as_str())
}

fn signal(entry: &Inhibitor) -> Signal {
    let subject = format!("{} ({}, pid {})", plain(&entry.who), entry.what, entry.pid);
    Signal::new(subject, Value::Blocks { cap_ms: CAP_MS }).owned_by(plain(&entry.why))
}

/// Any user may choose these texts: no control characters, and not too long.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tree::Tree;
    use crate::sources::BusMode;

    fn entry(what: &str, mode: &str) -> Inhibitor {
        Inhibitor {
            what: what.to_owned(),
            who: "backup".to_owned(),
            why: "copying".to_owned(),
            mode: mode.to_owned(),
            uid: 1000,
            pid: 812,
        }
    }

    #[test]
    fn only_block_locks_against_going_down_count() {
        for (what, mode, expected) in [
            ("shutdown", "block", true),
            ("sleep", "block", true),
            ("idle", "block", true),
            ("handle-lid-switch:idle", "block", true),
            ("idle:sleep", "block-weak", true),
            ("handle-lid-switch", "block-weak", false),
            ("sleep:shutdown", "delay", false),
            ("handle-power-key:handle-lid-switch", "block", false),
            ("sleepy", "block", false),
            ("", "block", false),
        ] {
            assert_eq!(blocks(&entry(what, mode)), expected, "{what} {mode}");
        }
    }

    #[test]
    fn who_and_why_are_told() {
        let Reading::Signals(signals) = judge(Ok(vec![entry("sleep", "block")])) else {
            panic!("no signals");
        };
        assert_eq!(signals[0].subject, "backup (sleep, pid 812)");
        assert_eq!(signals[0].owner.as_deref(), Some("copying"));
        assert_eq!(signals[0].value, Value::Blocks { cap_ms: 86_400_000 });
    }

    #[test]
    fn texts_of_users_are_made_harmless() {
        let text = plain(&format!("a\n\u{1b}[31mb{}", "x".repeat(500)));
        assert!(text.starts_with("a  [31mb") && text.chars().count() == 80, "{text}");
    }

    #[tokio::test]
    async fn without_a_bus_there_are_none() {
        let context =
            Context { host: Tree::new().root(), options: toml::Table::new(), bus: BusMode::None };
        let reading = Inhibitors::new(&context).read(Stamp::default()).await;
        assert!(matches!(reading, Reading::Absent { .. }), "{reading:?}");
    }

    #[tokio::test]
    async fn a_bus_that_fails_is_blind() {
        let tree = Tree::new();
        let address = format!("unix:path={}", tree.path("/nobody").display());
        let bus = BusMode::Address(address);
        let context = Context { host: tree.root(), options: toml::Table::new(), bus };
        let reading = Inhibitors::new(&context).read(Stamp::default()).await;
        assert!(matches!(reading, Reading::Blind { .. }), "{reading:?}");
    }
}
