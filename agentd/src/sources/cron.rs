//! Jobs of cron and at that are due soon.
//!
//! The rules are those of the timers: an instance that is stopped cannot wake itself; a job that is due within `ahead` is waited
//! for, unless it runs again as soon or an hour later, and a later one is shown. Jobs that came with the system do not count: tables in
//! `/etc/cron.d` that are as a package brought them, and lines that run nothing but packages' scripts in `/etc/cron.daily` and so on. A
//! table of which anything was changed is somebody's as a whole.
//!
//! A job that was waited for is waited for while it runs, too, with the same cap: it may use little or wait for something, and
//! nothing else would tell of that. It runs as long as the service that starts jobs has more processes
//! than its own.
//!
//! Only the times are read, never the commands. The tables of ordinary users are closed to a root without
//! privileges where cron keeps them with mode 0600 (Debian, Fedora), and so is the folder of at: systemd starts the agent's
//! own program for a moment to read their times (`search`, decision 0015). Where it cannot they are shown as closed, and their jobs
//! count once they run and use something. A line that makes no sense is shown; cron does not run it either. What a user wrote can
//! ask for care and for nothing else: it never makes the source blind.

mod at;
mod closed;
mod fields;
mod search;
mod table;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use agent_core::policy::Combine;
use agent_core::reading::{Reading, Signal, Value};
use agent_core::stamp::Stamp;
use jiff::tz::TimeZone;
use nix::unistd::geteuid;

use super::{Context, Lane, Opened, OptionKind, OptionSpec, Source, SourceSpec, blind, due};
use crate::host::cgroup::Hierarchy;
use crate::host::units::Registry;
use crate::host::users::Users;
use crate::host::{HostError, HostRoot};
use closed::{Closed, Marks};
use fields::{Calendar, When};
use table::{Around, Kind, Line};

pub use search::print_schedules;

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
    deadline: Duration::from_secs(1),
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
/// The most tables, or jobs of at, of one folder, and the most jobs in all.
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
    registry: Registry,
    users: Users,
    closed: Closed,
    found: Option<(Stamp, Reading)>,
    /// The jobs that were due soon at the last look at which some were.
    waited: Vec<Signal>,
    seen: bool,
}

/// One look.
struct Look {
    now: Stamp,
    ahead: Duration,
    clocks: Clocks,
    signals: Vec<Signal>,
    /// Files and folders that are closed to the agent.
    closed: Marks,
}

impl Look {
    /// Notes when a job runs.
    fn job(&mut self, path: &str, line: usize, when: &When, user: Option<&str>, zone: Option<&str>) {
        let Some(next) = self.clocks.of(zone).next(when) else { return };
        let user = user.map(|user| user.chars().take(40).collect::<String>());
        let (now, ahead) = (self.now, self.ahead);
        let subject = format!("{path} line {line}");
        self.signals.push(due::signal(&subject, user.as_deref(), next.wait, next.often, now, ahead));
    }

    /// Shows a line that cron does not run.
    fn nonsense(&mut self, path: &str, line: usize) {
        let signal = Signal::new(format!("{path} line {line}"), Value::Shown { value: 0.0 });
        self.signals.push(signal.owned_by("makes no sense, cron does not run it").ignored());
    }

    /// Notes the jobs of a table without commands; its name is that of its user.
    fn table(&mut self, table: &search::Table) {
        let user = table.path.rsplit('/').next();
        for job in &table.jobs {
            self.job(&table.path, job.line, &job.when, user, job.zone.as_deref());
        }
        for line in &table.nonsense {
            self.nonsense(&table.path, *line);
        }
    }
}

impl Cron {
    fn new(context: &Context) -> Self {
        Self {
            root: context.host.clone(),
            ahead: due::ahead(context),
            registry: Registry::of(&context.host),
            users: Users::new(context.host.clone()),
            closed: Closed::new(&context.bus),
            found: None,
            waited: Vec::new(),
            seen: false,
        }
    }

    fn look(&mut self, now: Stamp) -> Result<Reading, HostError> {
        self.registry.look()?;
        let clocks = Clocks::new(&self.root, now, self.ahead)?;
        let (signals, closed) = (Vec::new(), Marks::new());
        let mut look = Look { now, ahead: self.ahead, clocks, signals, closed };
        let mut known = self.table(SYSTEM, Kind::System, &mut look)?;
        for (folder, kind) in FOLDERS {
            known |= self.folder(folder, kind, &mut look)?;
        }
        for folder in at::FOLDERS {
            known |= self.spool(folder, &mut look)?;
        }
        if look.signals.len() > JOBS {
            return Err(HostError::malformed("/etc/cron.d", format!("more than {JOBS} jobs")));
        }
        self.ask(&mut look);
        self.seen |= known;
        let mut signals = look.signals;
        self.wait_for_what_runs(&mut signals)?;
        if self.seen { Ok(Reading::Signals(signals)) } else { Ok(Reading::absent(NONE)) }
    }

    /// Has what is closed read, and notes what was told of it.
    fn ask(&mut self, look: &mut Look) {
        let closed = std::mem::take(&mut look.closed);
        self.closed.follow(closed.clone(), look.now);
        let found = match self.closed.found(look.now) {
            Ok(found) => found,
            Err(why) => {
                look.signals.extend(closed.keys().map(|path| due::closed(path, &why)));
                return;
            }
        };
        // A table is told by itself, or is one of a folder.
        let is_closed = |path: &str| {
            closed.contains_key(path) || path.rsplit_once('/').is_some_and(|(it, _)| closed.contains_key(it))
        };
        for table in found.tables.iter().filter(|table| is_closed(&table.path)) {
            look.table(table);
        }
        for job in found.jobs.iter().filter(|job| closed.contains_key(&job.folder)) {
            let owner = self.users.name(job.uid);
            let ahead = self.ahead;
            look.signals.extend(at::signal(&job.folder, &job.name, Some(&owner), look.now, ahead));
        }
        for unread in found.unread.iter().filter(|unread| is_closed(&unread.path)) {
            look.signals.push(due::closed(&unread.path, &format!(" ({})", unread.why)));
        }
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
    fn folder(&self, folder: &str, kind: Kind, look: &mut Look) -> Result<bool, HostError> {
        let debians = self.registry.is_debians();
        let names = self.names(folder, |name| table::is_name(name, kind, debians), look)?;
        let Some(names) = names else { return Ok(false) };
        for path in names.iter().map(|name| format!("{folder}/{name}")) {
            if kind == Kind::Personal || !self.registry.is_packaged(&path) {
                self.table(&path, kind, look)?;
            }
        }
        Ok(true)
    }

    /// Whether a script, or one of the scripts in a folder that run-parts(8) runs, was made on this machine.
    fn is_local(&self, path: &str) -> bool {
        let debians = self.registry.is_debians();
        let scripts = |name: &str| table::is_name(name, Kind::System, debians);
        match search::some(&self.root, path, TABLES, scripts) {
            Ok((names, _)) => names.iter().any(|name| self.is_own_script(&format!("{path}/{name}"))),
            Err(error) if error.is_missing() => self.is_own_script(path),
            // What cannot be read is what nobody knows.
            Err(_) => true,
        }
    }

    /// Whether a script does something and no package brought it so. One that was switched off is not executable, empty, or a link to
    /// `/dev/null`.
    fn is_own_script(&self, path: &str) -> bool {
        let runs = |it: std::fs::Metadata| it.is_file() && it.len() > 0 && it.mode() & 0o111 != 0;
        let there = self.root.inspect(path).map_or(true, |it| it.is_some_and(runs));
        there && !self.registry.is_packaged(path)
    }

    /// Every job of at in a folder; whether there is such a folder.
    fn spool(&self, folder: &str, look: &mut Look) -> Result<bool, HostError> {
        let Some(names) = self.names(folder, at::is_job, look)? else { return Ok(false) };
        let told = names.iter().filter_map(|name| at::signal(folder, name, None, look.now, look.ahead));
        look.signals.extend(told);
        Ok(true)
    }

    /// The names in a folder of tables or jobs; none if there is no such folder. One that is closed is noted, and has no names. Users
    /// fill these folders, so more than are looked at are shown, and no error.
    fn names(
        &self,
        folder: &str,
        wanted: impl Fn(&str) -> bool,
        look: &mut Look,
    ) -> Result<Option<Vec<String>>, HostError> {
        match search::some(&self.root, folder, TABLES, wanted) {
            Ok((names, whole)) => {
                if !whole {
                    let why = format!(" (more than {TABLES} are there, only those are looked at)");
                    look.signals.push(due::closed(folder, &why));
                }
                Ok(Some(names))
            }
            Err(error) if error.is_missing() => Ok(None),
            Err(error) if error.is_denied() => {
                self.close(folder, look)?;
                Ok(Some(Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    /// Notes what is closed.
    fn close(&self, path: &str, look: &mut Look) -> Result<(), HostError> {
        if let Some(mark) = closed::mark(&self.root, path)? {
            look.closed.insert(path.to_owned(), mark);
        }
        Ok(())
    }

    /// One table; whether there is such a file.
    fn table(&self, path: &str, kind: Kind, look: &mut Look) -> Result<bool, HostError> {
        let Some(metadata) = self.root.inspect(path)? else { return Ok(false) };
        if metadata.is_dir() {
            return Ok(false);
        }
        let trusted = [0, geteuid().as_raw()].contains(&metadata.uid());
        let read = if kind == Kind::Personal && !trusted {
            self.personal(path, look)
        } else {
            self.trusted(path, kind, look)
        };
        match read {
            Ok(()) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) if error.is_denied() => self.close(path, look).map(|()| true),
            Err(error) => Err(error),
        }
    }

    /// A table that somebody wrote who may not make the agent blind.
    fn personal(&self, path: &str, look: &mut Look) -> Result<(), HostError> {
        match search::cut(&self.root, path, search::JOBS_OF_ONE) {
            Ok(found) => found.iter().for_each(|(table, _)| look.table(table)),
            Err(error) if error.is_missing() || error.is_denied() => return Err(error),
            Err(error) => look.signals.push(due::closed(path, &format!(" (failed to {error})"))),
        }
        Ok(())
    }

    /// A table of root's.
    fn trusted(&self, path: &str, kind: Kind, look: &mut Look) -> Result<(), HostError> {
        let mut text = Vec::new();
        self.root.read_into(path, LIMIT, &mut text)?;
        let text = String::from_utf8_lossy(&text);
        let around = (kind == Kind::System).then(|| Around {
            local: |path: &str| self.is_local(path),
            anacron: self.root.exists("/usr/sbin/anacron").unwrap_or(false),
        });
        for (number, line) in table::lines(&text, around.as_ref()) {
            match line {
                Line::Job { when, user, zone } => {
                    let user = user.or_else(|| path.rsplit('/').next());
                    look.job(path, number, &when, user, zone);
                }
                Line::Nonsense => look.nonsense(path, number),
            }
        }
        Ok(())
    }
}

/// Why there are none.
const NONE: &str = "the machine has neither tables of cron nor jobs of at";
/// Where time zones are (tzfile(5)).
const ZONES: &str = "/usr/share/zoneinfo";
/// So many time zones are followed; the jobs of others are seen by the machine's.
const MOST_ZONES: usize = 32;

/// The clocks of the machine and of tables that name a time zone of their own.
#[derive(Debug)]
struct Clocks {
    root: HostRoot,
    now: Stamp,
    ahead: Duration,
    here: Calendar,
    elsewhere: BTreeMap<String, Option<Calendar>>,
}

impl Clocks {
    fn new(root: &HostRoot, now: Stamp, ahead: Duration) -> Result<Self, HostError> {
        let zone = zone(root, "/etc/localtime")?.unwrap_or(TimeZone::UTC);
        let here = Calendar::new(now, ahead, &zone);
        Ok(Self { root: root.clone(), now, ahead, here, elsewhere: BTreeMap::new() })
    }

    /// The clock of a zone; the machine's, if none is named or it cannot be read.
    fn of(&mut self, name: Option<&str>) -> &Calendar {
        let Some(name) = name.filter(|name| table::is_zone(name)) else { return &self.here };
        if !self.elsewhere.contains_key(name) && self.elsewhere.len() < MOST_ZONES {
            let zone = zone(&self.root, &format!("{ZONES}/{name}")).ok().flatten();
            let clock = zone.map(|zone| Calendar::new(self.now, self.ahead, &zone));
            self.elsewhere.insert(name.to_owned(), clock);
        }
        self.elsewhere.get(name).and_then(Option::as_ref).unwrap_or(&self.here)
    }
}

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
        if self.closed.is_asking() {
            return None;
        }
        let (at, reading) = self.found.as_ref()?;
        (now.since(*at) < STANDS && now.boot_ms >= at.boot_ms).then(|| reading.clone())
    }

    fn refresh(&mut self) {
        self.found = None;
        self.closed.refresh();
    }
}

#[cfg(test)]
mod tests;
