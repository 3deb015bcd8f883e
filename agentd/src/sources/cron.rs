//! Jobs of cron and at that are due soon.
//!
//! The rules are those of the timers: an instance that is stopped cannot wake itself; a job that is due within `ahead` is waited
//! for, unless it runs again as soon or an hour later, and a later one is shown. Jobs that came with the system do not count: tables in
//! `/etc/cron.d` that belong to a package, and the lines that run the folders `/etc/cron.daily` and so on.
//!
//! A job that was waited for is waited for while it runs, too, with the same cap: a job of root's is housekeeping by its
//! control group, so nothing else would tell of it. It runs as long as the service that starts jobs has more processes
//! than its own.
//!
//! Only the times are read, never the commands. The tables of ordinary users are closed to a root without
//! privileges where cron keeps them with mode 0600 (Debian, Fedora), and so is the folder of at: they are shown as such,
//! and their jobs count once they run and use something. A line that makes no sense is shown; cron does not run it either.

mod at;
mod fields;
mod table;

use std::collections::BTreeSet;
use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;
use jiff::tz::TimeZone;

use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind, due};
use crate::host::cgroup::Hierarchy;
use crate::host::{HostError, HostRoot};
use table::{Kind, Line};

/// What is known of it.
pub const SPEC: SourceSpec = SourceSpec {
    name: "cron",
    about: "Jobs of cron and at that were made on this machine, not by a package, and are due soon.",
    unit: "min",
    scale: 1.0,
    combine: Combine::Sum,
    busy_above: 0.0,
    limits: None,
    average: Duration::from_mins(1),
    lane: Lane::Fast,
    deadline: Duration::from_millis(500),
    options: &[OptionSpec {
        key: "ahead",
        kind: OptionKind::Duration,
        default: "\"90m\"",
        about: "A job that is due within this long keeps the machine up, unless it runs again as soon.",
    }],
    open: |context| Opened::Blocking(Box::new(Cron::new(context))),
};

/// The most of a table that is read; cron's own limit is a thousand lines.
const LIMIT: usize = 1 << 20;
/// The most tables in one folder, and the most jobs in all.
const TABLES: usize = 512;
const JOBS: usize = 2000;
/// What was found stands for this long: the times are whole minutes.
const STANDS: Duration = Duration::from_secs(55);

/// The folders of tables: Debian's and everybody else's.
const FOLDERS: [(&str, Kind); 3] = [
    ("/etc/cron.d", Kind::System),
    ("/var/spool/cron/crontabs", Kind::Personal),
    ("/var/spool/cron", Kind::Personal),
];
/// The services that start the jobs, each of one process.
const SERVICES: [&str; 3] =
    ["system.slice/cron.service", "system.slice/crond.service", "system.slice/atd.service"];
/// The table of the system.
const SYSTEM: &str = "/etc/crontab";

#[derive(Debug)]
struct Cron {
    root: HostRoot,
    ahead: Duration,
    packaged: table::Packaged,
    found: Option<(Stamp, Reading)>,
    /// The jobs that were due soon at the last look at which some were.
    waited: Vec<Signal>,
    seen: bool,
}

impl Cron {
    fn new(context: &Context) -> Self {
        Self {
            root: context.host.clone(),
            ahead: due::ahead(context),
            packaged: table::Packaged::default(),
            found: None,
            waited: Vec::new(),
            seen: false,
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Reading, HostError> {
        let mut signals = Vec::new();
        let zone = zone(&self.root, "/etc/localtime")?.unwrap_or(TimeZone::UTC);
        let mut known = self.table(SYSTEM, Kind::System, &zone, now, &mut signals)?;
        for (folder, kind) in FOLDERS {
            known |= self.folder(folder, kind, &zone, now, &mut signals)?;
        }
        for folder in at::FOLDERS {
            known |= at::look(&self.root, folder, now, self.ahead, &mut signals)?;
        }
        if signals.len() > JOBS {
            return Err(HostError::malformed("/var/spool/cron", format!("more than {JOBS} jobs")));
        }
        self.seen |= known;
        self.wait_for_what_runs(&mut signals)?;
        if self.seen { Ok(Reading::Signals(signals)) } else { Ok(Reading::absent(NONE)) }
    }

    /// Keeps the jobs that were waited for as long as jobs run.
    fn wait_for_what_runs(&mut self, signals: &mut Vec<Signal>) -> Result<(), HostError> {
        let due = signals.iter().filter(|signal| matches!(signal.value, Value::Blocks { .. }));
        let due: Vec<Signal> = due.cloned().collect();
        if !due.is_empty() || self.waited.is_empty() || !self.runs_jobs()? {
            self.waited = due;
            return Ok(());
        }
        for waited in &self.waited {
            signals.retain(|signal| signal.subject != waited.subject);
            let owner = waited.owner.as_deref().and_then(|owner| owner.split(',').next());
            let owner = format!("{}, was due and runs now", owner.unwrap_or("root"));
            signals.push(waited.clone().owned_by(owner));
        }
        Ok(())
    }

    /// Whether one of the services that start jobs has a process beside its own.
    fn runs_jobs(&self) -> Result<bool, HostError> {
        let Some(hierarchy) = Hierarchy::find(&self.root)? else { return Ok(false) };
        for service in SERVICES {
            if hierarchy.pids(service)?.len() > 1 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Every table of a folder; whether there is such a folder.
    fn folder(
        &mut self,
        folder: &str,
        kind: Kind,
        zone: &TimeZone,
        now: Stamp,
        signals: &mut Vec<Signal>,
    ) -> Result<bool, HostError> {
        let names = match self.root.names(folder, TABLES) {
            Ok(names) => names,
            Err(error) if error.is_missing() => return Ok(false),
            Err(error) if error.is_denied() => {
                signals.push(closed(folder));
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let names: Vec<String> = names.into_iter().filter(|name| table::is_name(name)).collect();
        let tables: BTreeSet<String> = names.iter().map(|name| format!("{folder}/{name}")).collect();
        let packaged = match kind {
            Kind::System => self.packaged.of(&self.root, &tables)?,
            Kind::Personal => BTreeSet::new(),
        };
        for path in tables.difference(&packaged) {
            self.table(path, kind, zone, now, signals)?;
        }
        Ok(true)
    }

    /// One table; whether there is such a file.
    fn table(
        &self,
        path: &str,
        kind: Kind,
        zone: &TimeZone,
        now: Stamp,
        signals: &mut Vec<Signal>,
    ) -> Result<bool, HostError> {
        let Some(metadata) = self.root.inspect(path)? else { return Ok(false) };
        if metadata.is_dir() {
            return Ok(false);
        }
        let mut text = Vec::new();
        match self.root.read_into(path, LIMIT, &mut text) {
            Ok(()) => {}
            Err(error) if error.is_missing() => return Ok(false),
            Err(error) if error.is_denied() => {
                signals.push(closed(path));
                return Ok(true);
            }
            Err(error) => return Err(error),
        }
        let text = String::from_utf8_lossy(&text);
        for (number, line) in table::lines(&text, kind) {
            let subject = format!("{path} line {number}");
            match line {
                Line::Job { when, user, zone: other } => {
                    let user = user.or_else(|| path.rsplit('/').next());
                    let user = user.map(|user| user.chars().take(40).collect::<String>());
                    let other = match other {
                        Some(name) => self::zone(&self.root, &format!("{ZONES}/{name}"))?,
                        None => None,
                    };
                    let zone = other.as_ref().unwrap_or(zone);
                    let next = fields::next(&when, now, self.ahead, zone);
                    signals.extend(next.map(|next| {
                        let owner = user.as_deref();
                        due::signal(&subject, owner, next.wait, next.often, now, self.ahead)
                    }));
                }
                Line::Nonsense => signals.push(
                    Signal::new(subject, Value::Shown { value: 0.0 })
                        .owned_by("makes no sense, cron does not run it")
                        .ignored(),
                ),
            }
        }
        Ok(true)
    }
}

/// Why there are none.
const NONE: &str = "the machine has neither tables of cron nor jobs of at";
/// Where time zones are (tzfile(5)).
const ZONES: &str = "/usr/share/zoneinfo";

/// The time zone of a file; none if there is no such file.
fn zone(root: &HostRoot, path: &str) -> Result<Option<TimeZone>, HostError> {
    let mut bytes = Vec::new();
    match root.read_into(path, LIMIT, &mut bytes) {
        Ok(()) => {}
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(error),
    }
    let zone = TimeZone::tzif(path, &bytes);
    zone.map(Some).map_err(|error| HostError::malformed(path, error.to_string()))
}

/// What the agent may not look at.
fn closed(path: &str) -> Signal {
    Signal::new(path, Value::Shown { value: 0.0 })
        .owned_by("closed to the agent, its jobs count once they run")
        .ignored()
}

impl Source for Cron {
    fn read(&mut self, now: Stamp) -> Reading {
        match self.look(now) {
            Ok(reading) => {
                self.found = Some((now, reading.clone()));
                reading
            }
            Err(error) => {
                self.found = None;
                blind(&error)
            }
        }
    }

    fn standing(&mut self, now: Stamp) -> Option<Reading> {
        let (at, reading) = self.found.as_ref()?;
        (now.since(*at) < STANDS && now.boot_ms >= at.boot_ms).then(|| reading.clone())
    }

    fn refresh(&mut self) {
        self.found = None;
    }
}

#[cfg(test)]
mod tests;
