//! The self-examination behind `agentctl doctor`: everything that must be right before the agent can do its work, one
//! check a line, each with what to do when it is not.
//!
//! It looks and asks, and changes nothing but a file of its own in the state folder, which it removes again.

mod machine;
mod service;

use std::path::PathBuf;
use std::sync::Arc;

use agent_core::stamp::Stamp;
use serde::Serialize;

use crate::aws::Cloud;
use crate::cures;
use crate::host::HostRoot;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Pass,
    /// It works, but something should be looked at.
    Warn,
    /// The agent cannot do its work like this.
    Fail,
    /// Not looked at, because something else failed or because it does not apply.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at: `imds`, `ec2:StopInstances`, `source:cpu` …
    pub name: String,
    /// How it ended.
    pub status: Status,
    /// What was found, one line.
    pub detail: String,
    /// What to do, one line.
    pub remedy: Option<String>,
}

impl Check {
    fn new(name: impl Into<String>, status: Status, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status, detail: detail.into(), remedy: None }
    }

    fn pass(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Pass, detail)
    }

    fn skipped(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Skipped, detail)
    }

    fn warn(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(name, Status::Warn, detail) }
    }

    fn fail(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..Self::new(name, Status::Fail, detail) }
    }
}

/// What a source saw when it was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It was read.
    Sees,
    /// It could not be read.
    Blind,
    /// The machine has no such thing.
    Absent,
    /// It is switched off.
    Disabled,
    /// It has not been read yet.
    Pending,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// What it saw.
    pub sight: Sight,
    /// Why it is blind or absent.
    pub detail: Option<String>,
    /// What of it is closed to the agent, and why.
    pub closed: Vec<String>,
}

/// The account of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountReport {
    /// Of what: `CPU time`, `network`, `disk`.
    pub of: String,
    /// Whether it can be closed.
    pub closed: bool,
    /// The total that is used, or why it cannot be closed.
    pub detail: String,
    /// What would close it.
    pub cure: Option<String>,
}

/// What the configuration in force asks of the machine and of AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Whether the configured action is to hibernate, so that its readiness matters.
    pub hibernation: bool,
    /// Whether a member of an Auto Scaling group is put on standby before it is stopped.
    pub standby: bool,
    /// Whether the instance may be stopped while an instance-store volume is mounted.
    pub instance_store: bool,
    /// The keys of the tags that are to be written; none when tags are off.
    pub tag_keys: Vec<String>,
    /// The programs that are to be run, by the key that names them.
    pub programs: Vec<(&'static str, PathBuf)>,
}

/// What is to be examined.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The AWS side.
    pub cloud: Arc<Cloud>,
    /// The machine.
    pub host: HostRoot,
    /// The state folder.
    pub state_dir: PathBuf,
    /// What the configuration in force needs.
    pub needs: Needs,
    /// The sources as they were last read.
    pub sources: Vec<SourceReport>,
    /// Whether the sources' totals hold everything that ran.
    pub accounts: Vec<AccountReport>,
    /// The clock.
    pub clock: fn() -> Stamp,
}

/// Examines everything. It takes as long as the deadlines of the metadata service and of EC2 allow, so whoever calls
/// it sets a limit of his own.
pub async fn examine(examination: &Examination) -> Vec<Check> {
    let mut checks = service::checks(examination).await;
    if examination.needs.hibernation {
        checks.extend(machine::hibernation(&examination.host));
    }
    checks.extend(examination.needs.programs.iter().map(|(key, path)| machine::hook(key, path)));
    checks.push(machine::instance_store(&examination.host, examination.needs.instance_store));
    checks.push(machine::processes(&examination.host));
    checks.push(machine::state_folder(&examination.state_dir));
    checks.extend(machine::services(&examination.host));
    checks.extend(examination.sources.iter().map(source));
    checks.extend(accounts(&examination.accounts));
    checks
}

/// Whether what runs is seen whole, so that what nothing explains counts as use: one check for all accounts that close,
/// and one for each that does not.
fn accounts(reports: &[AccountReport]) -> Vec<Check> {
    let name = "accounts";
    let (closed, open): (Vec<_>, Vec<_>) = reports.iter().partition(|report| report.closed);
    let mut checks = Vec::new();
    if reports.is_empty() {
        checks.push(Check::skipped(
            name,
            "no source has said yet whether its total holds everything",
        ));
    } else if !closed.is_empty() {
        let each = closed.iter().map(|report| match report.detail.as_str() {
            "" => report.of.clone(),
            detail => format!("{} ({detail})", report.of),
        });
        let each: Vec<String> = each.collect();
        checks.push(Check::pass(
            name,
            format!("everything that runs is booked: {}", each.join("; ")),
        ));
    }
    checks.extend(open.into_iter().map(|report| {
        let detail = format!("the account of {} cannot be closed: {}", report.of, report.detail);
        let remedy = report.cure.clone().unwrap_or_else(|| NO_CURE.to_owned());
        Check::warn(name, detail, remedy)
    }));
    checks
}

/// Where a machine has nothing that would close an account.
const NO_CURE: &str = "nothing on this machine closes it: work that no unit or user is seen to do may be missed; name such units in [source.NAME] units, or hold the machine up while they work (agentctl hold)";

/// What to do where systemd does not start the agent's program to read the times of users' jobs.
const OF_CLOSED: &str = "their jobs are not waited for before they run: put what must run into a timer of the system or a table in /etc/cron.d, or hold the machine up (agentctl hold); why systemd does not read the times for the agent: journalctl -u 'agentd-schedules-*' -u 'agentd-timers-*'";

fn source(report: &SourceReport) -> Check {
    let name = format!("source:{}", report.name);
    let detail = |otherwise: &str| report.detail.clone().unwrap_or_else(|| otherwise.to_owned());
    match report.sight {
        Sight::Sees if report.closed.is_empty() => Check::pass(name, detail("can be read")),
        Sight::Sees => Check::warn(name, report.closed.join("; "), OF_CLOSED),
        Sight::Absent => Check::skipped(name, detail("this machine has no such thing")),
        Sight::Disabled => Check::skipped(name, "switched off"),
        Sight::Pending => Check::skipped(name, "not read yet"),
        Sight::Blind => {
            let found = detail("cannot be read");
            let cure = cures::of_fault(&found).map(|cure| format!("{cure}; "));
            let remedy = format!(
                "{}while it is blind no action is taken; if this machine does not need it, set [source.{}] enabled = false",
                cure.unwrap_or_default(),
                report.name
            );
            Check::fail(name, found, remedy)
        }
    }
}

#[cfg(test)]
mod tests;
