//! A policy without the sources that a scenario never touches.
//!
//! A source that is read and says nothing all the time changes no decision. Leaving it out makes many runs of the same
//! scenario possible; a test compares both.

use agent_core::policy::Policy;

use super::machine::app_clients;
use crate::scenario::{STEP, Scenario, Segment};
use crate::signals::{Desktop, Foreground, Signals};

/// The policy without what the scenario never touches.
#[must_use]
pub fn lean(policy: &Policy, scenario: &Scenario) -> Policy {
    let mut policy = policy.clone();
    policy.sources.retain(|name, _| name.as_str() == "cpu" || is_touched(name.as_str(), scenario));
    policy
}

/// Whether a scenario ever has something for a source.
pub fn is_touched(source: &str, scenario: &Scenario) -> bool {
    let begin = |segment: &Segment| segment.from + segment.cycle.map_or(0, |cycle| cycle.offset);
    let mut edges: Vec<u32> = scenario.segments.iter().map(begin).collect();
    // A segment that comes and goes may be away at another's beginning.
    edges.extend(scenario.segments.iter().map(|segment| segment.to));
    edges.extend([0, STEP]);
    edges.iter().any(|t| has(source, &scenario.signals_at(*t)))
}

fn has(source: &str, signals: &Signals) -> bool {
    if signals.blind.contains(&source) {
        return true;
    }
    match source {
        "batch" => signals.batch,
        "clients" => signals.rx_client > 0.0 || app_clients(signals) > 0,
        "cron" => signals.cron_until.is_some(),
        "exec" | "jupyter" => false,
        "cloudinit" => signals.cloudinit,
        "disk" => signals.disk > Signals::base().disk,
        "gpu" => !signals.gpus.is_empty(),
        "inhibitors" => signals.inhibit,
        "input" => signals.pts > 0,
        "network" => signals.net > Signals::base().net || signals.ssh_estab > 0,
        "packages" => signals.dpkg,
        "pressure" => signals.mem_full > 0.0,
        "sessions" => {
            let terminal = signals.ssh_pts + signals.ssh_notty + signals.who > 0;
            let desktop = signals.dcv != Desktop::Off;
            let others = signals.ssm || signals.vscode_srv || !signals.sess.is_empty();
            let job = signals.fg == Foreground::Job || signals.left.is_job();
            terminal || desktop || others || job
        }
        "steal" => signals.steal > 0.0,
        "timers" => signals.timer_at.is_some(),
        _ => true,
    }
}
