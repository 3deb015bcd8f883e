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
use crate::cures;
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
    let mut all: Vec<Correction> = counted.flat_map(|source| in_use(source, config)).collect();
    all.truncate(match depth {
        Depth::Sources => IN_STATUS,
        Depth::Signals => IN_WHY,
    });
    all.extend(largest_ignored(view, config));
    all
}

/// What has kept the machine up for hours by itself.
pub(super) fn kept_up(published: &Published, now: Stamp) -> Option<KeptUp> {
    let KeptUpView { source, subject, owner, role, since, last } =
        published.view.kept_up.as_ref()?;
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
        (_, Some(value)) if has_limit(name) => vec![ConfigLine {
            when: "if all that is so small is idle on this machine".to_owned(),
            line: format!("source.{name}.busy_above = {}", proposed(value)),
        }],
        _ => Vec::new(),
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
            let closed = said.closed?;
            let cure = if closed { None } else { cures::of_account(said.of, said.detail) };
            Some(Account {
                source: source.source.to_string(),
                of: said.of.to_owned(),
                closed,
                detail: said.detail.to_owned(),
                cure: cure.map(str::to_owned),
            })
        });
        said.collect::<Vec<_>>()
    };
    view.sources.iter().flat_map(of).collect()
}

/// Whether a source is judged by a limit.
fn has_limit(source: &str) -> bool {
    crate::sources::ALL.iter().any(|spec| spec.name == source && spec.busy_above > 0.0)
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
    let largest = ignored
        .find(|one| matches!(one.role, Role::Upkeep | Role::Ignored) && one.value >= one.work)?;
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

fn lines(role: Role, source: &str, unit: &str, value: f64, config: &ConfigInfo) -> Vec<ConfigLine> {
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
    // What is a whole number of steps but for the last bit is not rounded up.
    let rounded = (wanted / step - 1e-9).ceil() * step;
    if rounded >= 1.0 {
        format!("{rounded:.0}")
    } else {
        format!("{rounded:.3}").trim_end_matches('0').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use agent_core::reading::SourceName;

    use super::*;
    use crate::publish::tests::{NOW, ago, quiet, source};

    /// A machine whose CPU source is in use by one unit.
    fn used_by(subject: &str, role: Role, value: f64, limit: f64) -> Published {
        let mut published = quiet();
        let mut cpu = source("cpu", Judgement::Busy, Some(value), 0.05, "core");
        cpu.signals[0].subject = subject.into();
        cpu.signals[0].role = role;
        cpu.signals[0].limit = Some(limit);
        published.view.sources = vec![cpu];
        published
    }

    fn told(published: &Published) -> Vec<String> {
        let all = corrections(published, Depth::Sources).into_iter();
        let lines = |it: Correction| {
            let lines = it.lines.into_iter().map(|line| format!("{}: {}", line.when, line.line));
            [it.about].into_iter().chain(lines).collect::<Vec<_>>()
        };
        all.flat_map(lines).collect()
    }

    #[test]
    fn what_keeps_it_up_is_told_with_the_exact_lines_that_correct_it() {
        let server = used_by("system.slice/postgresql@15-main.service", Role::Server, 0.2, 0.12);
        assert_eq!(
            told(&server),
            [
                "postgresql@15-main.service counts as a server of a package (cpu 0.20 of 0.12 core)",
                "if it only keeps the machine: upkeep.units = [\"postgresql@15-main.service\"]",
                "if it is work: source.cpu.units = [\"postgresql@15-main.service\"]",
                "a limit of its own: source.cpu.unit.\"postgresql@15-main.service\".busy_above = 0.3",
            ]
        );
        let upkeep = used_by("system.slice/tailscaled.service", Role::Upkeep, 0.31, 0.15);
        assert_eq!(
            told(&upkeep),
            [
                "tailscaled.service keeps the machine, and does more than that takes (cpu 0.31 of 0.15 core)",
                "a limit of its own: source.cpu.unit.\"tailscaled.service\".busy_above = 0.5",
                "if it is work: source.cpu.units = [\"tailscaled.service\"]",
            ]
        );
    }

    #[test]
    fn every_line_is_configuration_that_this_agent_takes() {
        let known = crate::config_command::known_sources();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("90-units.toml");
        for (subject, value) in
            [("system.slice/a\\x2db.service", 0.2), ("system.slice/x.service", 1_234.5)]
        {
            for role in [Role::Workload, Role::Local, Role::Server, Role::Upkeep] {
                let found = corrections(&used_by(subject, role, value, 0.1), Depth::Signals);
                let lines = found.iter().flat_map(|it| &it.lines);
                assert!(lines.clone().count() > 0, "{role:?}");
                for line in lines {
                    std::fs::write(&file, format!("{}\n", line.line)).unwrap();
                    let from = crate::config::LoadFrom::File(file.clone());
                    let loaded = crate::config::load(&from, &known);
                    assert!(loaded.is_ok(), "{}: {:?}", line.line, loaded.err());
                }
            }
        }
    }

    #[test]
    fn a_list_keeps_what_stands_in_it() {
        let mut published = used_by("system.slice/game.service", Role::Local, 0.2, 0.08);
        published.config.upkeep = vec!["backup".into()];
        published.config.work.insert("cpu".into(), vec!["game".into()]);
        let told = told(&published);
        assert!(told[1].ends_with("upkeep.units = [\"backup\", \"game.service\"]"), "{told:?}");
        assert!(
            !told.iter().any(|line| line.contains("source.cpu.units")),
            "it is in it: {told:?}"
        );
    }

    #[test]
    fn what_has_another_name_next_time_gets_no_line() {
        for subject in [
            "user.slice/user-1000.slice/session-3.scope",
            "user.slice/user-1000.slice/user@1000.service",
            "system.slice/docker-0123456789abcdef.scope",
            "system.slice/run-r0123.service",
            "user.slice",
            "system.slice/amazon-ssm-agent.service (Run Command)",
            "CPU time that no account explains",
        ] {
            assert_eq!(told(&used_by(subject, Role::Workload, 1.0, 0.05)), Vec::<String>::new());
        }
    }

    #[test]
    fn where_many_small_parts_are_a_use_the_largest_is_named() {
        let mut published = used_by("system.slice/a.service", Role::Server, 0.07, 0.12);
        let cpu = &mut published.view.sources[0];
        cpu.signals[0].judgement = Judgement::Idle;
        let mut other = cpu.signals[0].clone();
        other.subject = "system.slice/b.service".into();
        other.value = Some(0.09);
        cpu.signals.push(other);
        assert!(told(&published)[0].starts_with("b.service counts as a server"));
    }

    fn uncounted_at(value: f64, role: Role) -> Published {
        let mut published = quiet();
        published.view.uncounted = vec![UncountedView {
            source: SourceName::new("cpu"),
            subject: "system.slice/falcon-sensor.service".into(),
            owner: None,
            role,
            value,
            limit: Some(0.15),
            work: 0.05,
            unit: "core".into(),
        }];
        published
    }

    #[test]
    fn the_largest_ignored_is_told_when_people_s_work_of_that_size_would_count() {
        assert_eq!(
            told(&uncounted_at(0.09, Role::Upkeep)),
            [
                "falcon-sensor.service does not count (cpu 0.09 core; people's work counts from 0.05 core on)",
                "if it is work: source.cpu.units = [\"falcon-sensor.service\"]",
            ]
        );
        assert_eq!(told(&uncounted_at(0.04, Role::Upkeep)), Vec::<String>::new());
        assert_eq!(
            told(&uncounted_at(0.09, Role::Server)),
            Vec::<String>::new(),
            "below its limit"
        );
        assert_eq!(told(&uncounted_at(0.09, Role::Ignored)).len(), 1, "no line would count it");
    }

    #[test]
    fn what_kept_it_up_for_hours_is_told_with_what_would_end_it() {
        let subject = "system.slice/dask.service";
        let mut published = used_by(subject, Role::Local, 0.28, 0.08);
        let kept = KeptUpView {
            source: SourceName::new("cpu"),
            subject: subject.into(),
            owner: None,
            role: Role::Local,
            since: ago(10_800),
            last: ago(0),
        };
        published.view.kept_up = Some(kept.clone());
        let told = kept_up(&published, NOW).unwrap();
        assert_eq!((told.name.as_str(), told.for_seconds), ("dask.service", 10_800.0));
        let lines: Vec<&str> = told.lines.iter().map(|line| line.line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "upkeep.units = [\"dask.service\"]",
                "source.cpu.unit.\"dask.service\".busy_above = 0.5"
            ]
        );
        let session = "user.slice/user-1000.slice/session-3.scope";
        published = used_by(session, Role::Workload, 0.28, 0.05);
        published.view.kept_up = Some(KeptUpView { subject: session.into(), ..kept });
        let told = kept_up(&published, NOW).unwrap();
        assert_eq!(told.lines[0].line, "source.cpu.busy_above = 0.5");
    }

    #[test]
    fn the_description_knows_every_field_of_what_is_advised() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("openapi.json")).unwrap();
        let mut published = uncounted_at(0.09, Role::Upkeep);
        published.view.uncounted[0].owner = Some("root".into());
        let correction = corrections(&published, Depth::Sources).remove(0);
        published.view.sources[0].signals[0].subject = "account of CPU time".into();
        published.view.sources[0].signals[0].owner = Some("cannot be kept: hidepid".into());
        published.view.kept_up = Some(KeptUpView {
            source: SourceName::new("cpu"),
            subject: "x".into(),
            owner: Some("root".into()),
            role: Role::Local,
            since: ago(10_800),
            last: ago(0),
        });
        let account = accounts(&published.view).remove(0);
        assert!(!account.closed && account.cure.is_some());
        for (name, value) in [
            ("Uncounted", serde_json::to_value(uncounted(&published.view.uncounted[0])).unwrap()),
            ("ConfigLine", serde_json::to_value(&correction.lines[0]).unwrap()),
            ("Correction", serde_json::to_value(&correction).unwrap()),
            ("KeptUp", serde_json::to_value(kept_up(&published, NOW).unwrap()).unwrap()),
            ("Account", serde_json::to_value(&account).unwrap()),
        ] {
            let described =
                document["components"]["schemas"][name]["properties"].as_object().unwrap();
            for field in value.as_object().unwrap().keys() {
                assert!(described.contains_key(field), "{name}.{field} is not described");
            }
        }
    }
}
