//! The lines of configuration that correct a judgement: what is counted and should not be, what is not and should be.
//!
//! Each line is whole TOML with a dotted key, so that it can stand alone in a file of `/etc/agentd/config.d`. A list replaces
//! the list that is in force, so it names what stands there already, too.

use agent_core::engine::{of_limit, quantity};
use agent_core::reading::{Account as AccountSaid, Role};
use agent_core::stamp::Stamp;
use agent_core::verdict::{
    Judgement, KeptUpView, SignalView, SourceView, UncountedView, View, last_part,
};
use agent_proto::status::{Account, ConfigLine, Correction, KeptUp, Uncounted};

use super::convert::{Depth, moment};
use crate::publish::{ConfigInfo, Published};

/// So many corrections are shown in `status` …
const IN_STATUS: usize = 3;
/// … and in `why`.
const IN_WHY: usize = 16;
/// A limit that is proposed is above what runs now by this factor.
const ROOM: f64 = 1.5;

/// What runs and is not counted.
pub(super) fn uncounted(view: &UncountedView) -> Uncounted {
    Uncounted {
        source: view.source.to_string(),
        subject: view.subject.clone(),
        name: view.name().to_owned(),
        owner: view.owner.clone(),
        role: view.role.as_str().to_owned(),
        value: view.value,
        limit: view.limit,
        unit: view.unit.clone(),
    }
}

/// What keeps the machine up or is the largest that does not, with the lines that change that.
pub(super) fn corrections(published: &Published, depth: Depth) -> Vec<Correction> {
    let (view, config) = (&published.view, &published.config);
    let counted = view.sources.iter().filter(|source| has_limits(source.source.as_str()));
    let mut all: Vec<Correction> =
        counted.flat_map(|source| in_use(source, config)).collect();
    all.extend(largest_ignored(view, config));
    all.truncate(match depth {
        Depth::Sources => IN_STATUS,
        Depth::Signals => IN_WHY,
    });
    all
}

/// What has kept the machine up for hours by itself.
pub(super) fn kept_up(published: &Published, now: Stamp) -> Option<KeptUp> {
    let KeptUpView { source, subject, owner, role, since, last } = published.view.kept_up.as_ref()?;
    let shown = published.view.sources.iter().find(|view| view.source == *source);
    let signal = shown.and_then(|view| view.signals.iter().find(|it| it.subject == *subject));
    let value = signal.and_then(|signal| signal.value).or(shown.and_then(|view| view.value));
    let name = source.as_str();
    let lines = match (unit(subject), value) {
        (Some(unit), Some(value)) if has_limits(name) => {
            lines(*role, name, unit, value, &published.config)
                .into_iter()
                .filter(|line| !line.line.contains(".units = ") || line.line.starts_with("upkeep"))
                .collect()
        }
        (_, Some(value)) => vec![ConfigLine {
            when: "if all that is so small is idle on this machine".to_owned(),
            line: format!("source.{name}.busy_above = {}", proposed(value)),
        }],
        (_, None) => Vec::new(),
    };
    Some(KeptUp {
        source: name.to_owned(),
        subject: subject.clone(),
        name: last_part(subject).to_owned(),
        owner: owner.clone(),
        since: moment(now, *since),
        for_seconds: last.since(*since).as_secs_f64(),
        lines,
    })
}

/// What every source says of its account.
pub(crate) fn accounts(view: &View) -> Vec<Account> {
    let of = |source: &SourceView| {
        let said = source.signals.iter().filter_map(|signal| {
            let said = AccountSaid::of(&signal.subject, signal.owner.as_deref())?;
            Some(Account {
                source: source.source.to_string(),
                of: said.of.to_owned(),
                closed: said.closed,
                detail: said.detail.to_owned(),
                cure: said.cure.map(str::to_owned),
            })
        });
        said.collect::<Vec<_>>()
    };
    view.sources.iter().flat_map(of).collect()
}

/// Whether single units can have a limit of their own in a source.
fn has_limits(source: &str) -> bool {
    crate::sources::ALL.iter().any(|spec| spec.name == source && spec.limits.is_some())
}

/// The units of a source in use that make it so.
fn in_use(source: &SourceView, config: &ConfigInfo) -> Vec<Correction> {
    if source.judgement != Judgement::Busy {
        return Vec::new();
    }
    let by_itself = |signal: &&SignalView| signal.judgement == Judgement::Busy;
    let mut found: Vec<Correction> = source
        .signals
        .iter()
        .filter(by_itself)
        .filter_map(|signal| correction(source, signal, config))
        .collect();
    if found.is_empty() && !source.signals.iter().any(|signal| by_itself(&signal)) {
        // Many small parts are a use together: the largest of them.
        let share = |signal: &SignalView| signal.value.unwrap_or(0.0) / signal.limit.unwrap_or(1.0);
        let parts = source.signals.iter().filter(|signal| signal.limit.is_some());
        let largest = parts.max_by(|a, b| share(a).total_cmp(&share(b)));
        found.extend(largest.and_then(|signal| correction(source, signal, config)));
    }
    found
}

fn correction(source: &SourceView, signal: &SignalView, config: &ConfigInfo) -> Option<Correction> {
    let (unit, value) = (unit(&signal.subject)?, signal.value?);
    let amount = match signal.limit {
        Some(limit) => of_limit(value, limit, &source.unit),
        None => quantity(value, &source.unit),
    };
    let name = source.source.as_str();
    let how = match signal.role {
        Role::Workload => "counts as people's work",
        Role::Local => "counts as a unit that no package brought",
        Role::Server => "counts as a server of a package",
        Role::Upkeep => "keeps the machine, and does more than that takes",
        Role::Unexplained | Role::Ignored => return None,
    };
    Some(Correction {
        source: name.to_owned(),
        subject: signal.subject.clone(),
        about: format!("{unit} {how} ({name} {amount})"),
        lines: lines(signal.role, name, unit, value, config),
    })
}

/// The largest of what is not counted, where people's work of that size would be.
fn largest_ignored(view: &View, config: &ConfigInfo) -> Option<Correction> {
    let mut ignored = view.uncounted.iter();
    let largest = ignored.find(|one| {
        matches!(one.role, Role::Upkeep | Role::Ignored) && one.value >= one.work
    })?;
    let source = largest.source.as_str();
    let lines = unit(&largest.subject)
        .filter(|_| largest.role == Role::Upkeep)
        .and_then(|unit| counts_as_work(source, unit, config));
    let amount = quantity(largest.value, &largest.unit);
    let work = quantity(largest.work, &largest.unit);
    Some(Correction {
        source: source.to_owned(),
        subject: largest.subject.clone(),
        about: format!(
            "{} does not count ({source} {amount}; people's work counts from {work} on)",
            last_part(&largest.subject)
        ),
        lines: lines.into_iter().collect(),
    })
}

/// The unit that a subject names, if its name is one that lasts.
fn unit(subject: &str) -> Option<&str> {
    let unit = last_part(subject);
    let (stem, kind) = unit.rsplit_once('.')?;
    let named = matches!(kind, "service" | "scope" | "mount" | "socket") && !unit.contains(' ');
    // A session, a user's manager, a container by its id and a unit that systemd-run named have another name next time.
    let passing = ["session-", "user@", "docker-", "libpod-", "crio-", "cri-containerd-", "run-"];
    let lasts = !passing.iter().any(|prefix| stem.starts_with(prefix)) && unit != "init.scope";
    (named && lasts).then_some(unit)
}

fn lines(
    role: Role,
    source: &str,
    unit: &str,
    value: f64,
    config: &ConfigInfo,
) -> Vec<ConfigLine> {
    let own = ConfigLine {
        when: "a limit of its own".to_owned(),
        line: format!("source.{source}.unit.{}.busy_above = {}", quoted(unit), proposed(value)),
    };
    let upkeep = listed(&config.upkeep, unit).map(|list| ConfigLine {
        when: "if it only keeps the machine".to_owned(),
        line: format!("upkeep.units = {list}"),
    });
    let work = counts_as_work(source, unit, config);
    match role {
        Role::Local | Role::Server => upkeep.into_iter().chain(work).chain([own]).collect(),
        Role::Upkeep => [own].into_iter().chain(work).collect(),
        _ => vec![own],
    }
}

fn counts_as_work(source: &str, unit: &str, config: &ConfigInfo) -> Option<ConfigLine> {
    let work = config.work.get(source).map(Vec::as_slice).unwrap_or_default();
    listed(work, unit).map(|list| ConfigLine {
        when: "if it is work".to_owned(),
        line: format!("source.{source}.units = {list}"),
    })
}

/// The list with a unit more, as TOML; none where it is in it.
fn listed(list: &[String], unit: &str) -> Option<String> {
    let same = |name: &String| name == unit || Some(name.as_str()) == unit.strip_suffix(".service");
    if list.iter().any(same) {
        return None;
    }
    let names: Vec<String> = list.iter().map(String::as_str).chain([unit]).map(quoted).collect();
    Some(format!("[{}]", names.join(", ")))
}

/// A name as a string of TOML. A backslash of an escaped name (systemd-escape(1)) stands for itself in single quotes.
fn quoted(name: &str) -> String {
    if name.contains('\\') { format!("'{name}'") } else { format!("\"{name}\"") }
}

/// A limit with room above `value`, one digit that counts.
fn proposed(value: f64) -> String {
    let wanted = value * ROOM;
    if !wanted.is_finite() || wanted <= 0.0 {
        return "1.0".to_owned();
    }
    let step = 10_f64.powf(wanted.log10().floor());
    let rounded = (wanted / step).ceil() * step;
    if rounded >= 1.0 { format!("{rounded:.0}") } else { format!("{rounded:.3}").trim_end_matches('0').to_owned() }
}
