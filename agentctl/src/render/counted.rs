//! What runs and is not counted, what keeps the machine up for hours, and the lines of configuration that correct it.

use agent_proto::span::long;
use agent_proto::status::{ConfigLine, Status, Uncounted};

use super::Look;
use super::amount::{amount, of_limit};
use super::text::{LABEL, labelled};
use super::times::moment;

/// So many loads that are not counted are named in `status` …
pub(super) const IN_STATUS: usize = 4;
/// … and in `why`.
pub(super) const IN_WHY: usize = 20;

/// `amazon-ssm-agent 0.02 core; postgresql 0.03 of 0.12 core`; nothing where nothing ran.
pub(super) fn uncounted(status: &Status, most: usize) -> String {
    let all = &status.uncounted;
    if all.is_empty() {
        return String::new();
    }
    let named: Vec<String> = all.iter().take(most).map(one).collect();
    let rest = all.len() - named.len();
    let more = if rest == 0 { String::new() } else { format!("; and {rest} more") };
    labelled("not counted", &format!("{}{more}", named.join("; ")))
}

fn one(it: &Uncounted) -> String {
    let limit = it.limit.filter(|_| it.role != "upkeep");
    let much = limit
        .map_or_else(|| amount(it.value, &it.unit), |limit| of_limit(it.value, limit, &it.unit));
    // Bytes a second are those of a network as well as those of a disk.
    let of = if it.unit == "B/s" { format!(" ({})", it.source) } else { String::new() };
    format!("{} {much}{of}", it.name)
}

/// What alone has kept the machine up for hours.
pub(super) fn kept_up(status: &Status, look: &Look) -> String {
    let Some(kept) = &status.kept_up else { return String::new() };
    let whose = kept.owner.as_ref().map(|owner| format!(" of {owner}")).unwrap_or_default();
    let ends = if kept.lines.is_empty() { "" } else { " If it only idles, this ends it:" };
    let text = format!(
        "{}{whose} alone ({}) for {}, since {}; nobody was seen in that time.{ends}",
        kept.name,
        kept.source,
        long(kept.for_seconds),
        moment(look, kept.since, status.now),
    );
    format!("{}{}", labelled("kept up by", &text), lines(&kept.lines))
}

/// How what keeps it up counts, and the lines that change that.
pub(super) fn corrections(status: &Status) -> String {
    let kept = status.kept_up.as_ref();
    let others: Vec<_> = status
        .corrections
        .iter()
        // What was said above is not said again.
        .filter(|it| kept.is_none_or(|kept| kept.subject != it.subject))
        .collect();
    let mut out = String::new();
    for (n, it) in others.iter().enumerate() {
        let end = if it.lines.is_empty() { "" } else { ":" };
        let label = if n == 0 { "judged" } else { "" };
        out.push_str(&labelled(label, &format!("{}{end}", it.about)));
        out.push_str(&lines(&it.lines));
    }
    let any =
        others.iter().any(|it| !it.lines.is_empty()) || kept.is_some_and(|it| !it.lines.is_empty());
    if any {
        out.push_str(&labelled("", HOW));
    }
    out
}

/// What is done with a line.
const HOW: &str = "Put the line that is right into a file of its own in /etc/agentd/config.d, such as 90-units.toml, then: \
systemctl reload agentd";

/// Each on a line of its own that can be copied, however long.
fn lines(all: &[ConfigLine]) -> String {
    let indent = " ".repeat(LABEL + 2);
    let line = |it: &ConfigLine| format!("{indent}{}:\n{indent}  {}\n", it.when, it.line);
    all.iter().map(line).collect()
}

/// The accounts that cannot be closed, in one line; nothing where all are.
pub(super) fn open_accounts(status: &Status) -> String {
    let open: Vec<&str> =
        status.accounts.iter().filter(|it| !it.closed).map(|it| it.of.as_str()).collect();
    if open.is_empty() {
        return String::new();
    }
    let text = format!(
        "of {}: what no unit or user is seen to do may be missed; see: agentctl doctor",
        open.join(", ")
    );
    labelled("no account", &text)
}

#[cfg(test)]
mod tests {
    use agent_proto::status::{Account, Correction, KeptUp};

    use super::*;
    use crate::render::samples::{at, look, quiet};

    fn load(name: &str, role: &str, value: f64, limit: Option<f64>, unit: &str) -> Uncounted {
        Uncounted {
            source: if unit == "core" { "cpu" } else { "network" }.into(),
            subject: format!("system.slice/{name}.service"),
            name: name.into(),
            owner: None,
            role: role.into(),
            value,
            limit,
            unit: unit.into(),
        }
    }

    /// The words, however they are wrapped.
    fn plain(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn line(when: &str, line: &str) -> ConfigLine {
        ConfigLine { when: when.into(), line: line.into() }
    }

    #[test]
    fn what_ran_and_was_not_counted_is_one_line() {
        let mut status = quiet();
        status.uncounted.clear();
        assert_eq!(uncounted(&status, IN_STATUS), "");
        status.uncounted = vec![
            load("postgresql", "server", 0.03, Some(0.12), "core"),
            load("amazon-ssm-agent", "upkeep", 0.02, Some(0.15), "core"),
            load("nginx", "server", 3_100.0, Some(16_000.0), "B/s"),
        ];
        assert_eq!(
            uncounted(&status, 2),
            "  not counted   postgresql 0.03 of 0.12 core; amazon-ssm-agent 0.02 core; and 1\n                more\n"
        );
        assert!(plain(&uncounted(&status, IN_WHY)).contains("nginx 3.1 of 16 kB/s (network)"));
    }

    #[test]
    fn what_kept_it_up_for_hours_is_told_with_the_line_that_ends_it() {
        let mut status = quiet();
        assert_eq!(kept_up(&status, &look()), "");
        status.kept_up = Some(KeptUp {
            source: "cpu".into(),
            subject: "system.slice/dask.service".into(),
            name: "dask.service".into(),
            owner: Some("alice".into()),
            since: at(-18_600),
            for_seconds: 18_600.0,
            lines: vec![line(
                "a limit of its own",
                "source.cpu.unit.\"dask.service\".busy_above = 0.5",
            )],
        });
        status.corrections = vec![Correction {
            source: "cpu".into(),
            subject: "system.slice/dask.service".into(),
            about: "the same".into(),
            lines: vec![line("if it is work", "x = 1")],
        }];
        let text = format!("{}{}", kept_up(&status, &look()), corrections(&status));
        insta::assert_snapshot!(text);
        assert!(!text.contains("the same"), "what was said is not said again");
    }

    #[test]
    fn a_line_of_configuration_is_never_broken() {
        let mut status = quiet();
        let long = format!("upkeep.units = [\"{}.service\"]", "x".repeat(90));
        status.corrections = vec![Correction {
            source: "cpu".into(),
            subject: "system.slice/postgresql.service".into(),
            about: "postgresql.service counts as a server of a package (cpu 0.20 of 0.12 core)"
                .into(),
            lines: vec![line("if it only keeps the machine", &long)],
        }];
        let text = corrections(&status);
        assert!(text.lines().any(|line| line.trim() == long), "{text}");
        assert!(plain(&text).contains("then: systemctl reload agentd"), "{text}");
    }

    #[test]
    fn an_account_that_is_open_is_one_line_and_a_closed_one_none() {
        let mut status = quiet();
        let account = |of: &str, closed| Account {
            source: "x".into(),
            of: of.into(),
            closed,
            detail: String::new(),
            cure: None,
        };
        status.accounts = vec![account("CPU time", true)];
        assert_eq!(open_accounts(&status), "");
        status.accounts.extend([account("network", false), account("disk traffic", false)]);
        let text = plain(&open_accounts(&status));
        assert!(text.starts_with("no account of network, disk traffic: "), "{text}");
    }
}
