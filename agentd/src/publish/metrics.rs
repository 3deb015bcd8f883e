//! The picture as Prometheus text (exposition format 0.0.4, <https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Label values come from closed sets and from the configured sources, never from users or processes, so the number of
//! series is bounded.

use core::fmt::{Display, Write};

use agent_core::interruption::{Alert, RunState};
use agent_core::policy::Mode;
use agent_core::stamp::Stamp;
use agent_core::verdict::{Judgement, SourceView, Stage};

use super::{PathWatch, Published, WatchState};

/// The media type.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Sources that get series of their own.
const SOURCES: usize = 64;

/// Hooks of a drain that get series of their own.
const HOOKS: usize = 32;

const STAGES: [Stage; 11] = [
    Stage::Grace,
    Stage::Active,
    Stage::Settling,
    Stage::Quiet,
    Stage::Warned,
    Stage::Rechecking,
    Stage::Draining,
    Stage::Acting,
    Stage::Verifying,
    Stage::WouldAct,
    Stage::Refused,
];

/// The text. `events` is the number of events since the agent was started.
pub fn render(published: &Published, now: Stamp, events: u64) -> String {
    let mut page = Page(String::with_capacity(4 * 1024));
    about(&mut page, published, now, events);
    idleness(&mut page, published);
    sources(&mut page, &published.view.sources, now);
    interruptions(&mut page, published, now);
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn line(&mut self, text: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }
}

fn about(page: &mut Page, published: &Published, now: Stamp, events: u64) {
    let view = &published.view;
    page.family("agentd_build_info", "gauge", "The running agent; always 1.");
    page.line(format_args!(
        "agentd_build_info{{version=\"{}\"}} 1",
        label(&published.agent.version)
    ));
    page.single(
        "agentd_enforce",
        "gauge",
        "1 if the agent acts, 0 if it only observes.",
        u8::from(view.mode == Mode::Enforce),
    );
    page.single(
        "agentd_start_timestamp_seconds",
        "gauge",
        "When the agent was started.",
        wall(published.agent.started),
    );
    page.single(
        "agentd_decision_age_seconds",
        "gauge",
        "Time since the agent last decided.",
        now.since(view.now).as_secs_f64(),
    );
    page.single("agentd_events_total", "counter", "Events since the agent was started.", events);
    page.single(
        "agentd_imds_up",
        "gauge",
        "1 if the instance metadata service answered when last asked.",
        u8::from(published.imds.ok),
    );
    page.single(
        "agentd_config_ok",
        "gauge",
        "1 if the newest configuration is in force.",
        u8::from(published.config.problem.is_none()),
    );
}

fn idleness(page: &mut Page, published: &Published) {
    let view = &published.view;
    page.family("agentd_stage", "gauge", "1 for the stage that the machine is in.");
    for stage in STAGES {
        let on = u8::from(view.stage == stage);
        page.line(format_args!("agentd_stage{{stage=\"{}\"}} {on}", stage.as_str()));
    }
    page.single(
        "agentd_idle_seconds",
        "gauge",
        "Known idleness, without the time that a source was blind.",
        seconds(view.idle_ms),
    );
    page.single(
        "agentd_act_after_seconds",
        "gauge",
        "Idleness that leads to the action.",
        seconds(view.act_after_ms),
    );
    let blind = view.sources.iter().filter(|source| source.judgement == Judgement::Blind).count();
    page.single(
        "agentd_blind_sources",
        "gauge",
        "Sources that cannot be read; the agent does not act while there is one.",
        blind,
    );
    // A machine with a blind source has no next action, so it must not look as if it had one.
    let next = view.act_at.filter(|_| blind == 0 && view.power.is_some());
    if let Some(at) = next {
        let wall = view.now.wall_ms.saturating_add(signed(at).saturating_sub(signed(view.now)));
        page.single(
            "agentd_next_action_timestamp_seconds",
            "gauge",
            "When the next action is due if nothing changes; absent when none is.",
            millis(wall),
        );
    }
    page.single("agentd_holds", "gauge", "Holds in force.", view.holds.len());
    page.single(
        "agentd_obstacles",
        "gauge",
        "Conditions that keep the agent from acting.",
        view.obstacles.len(),
    );
}

fn sources(page: &mut Page, sources: &[SourceView], now: Stamp) {
    let sources = sources.get(..SOURCES.min(sources.len())).unwrap_or_default();
    let mut each = |name: &str, help: &str, value: &dyn Fn(&SourceView) -> Option<f64>| {
        page.family(name, "gauge", help);
        for source in sources {
            if let Some(value) = value(source) {
                page.line(format_args!(
                    "{name}{{source=\"{}\"}} {value}",
                    label(source.source.as_str())
                ));
            }
        }
    };
    let is = |wanted: Judgement| {
        move |source: &SourceView| Some(f64::from(u8::from(source.judgement == wanted)))
    };
    each(
        "agentd_source_busy",
        "1 if the source says that the machine is used.",
        &is(Judgement::Busy),
    );
    each("agentd_source_blind", "1 if the source cannot be read.", &is(Judgement::Blind));
    each(
        "agentd_source_blocks",
        "1 if the source keeps the machine up without use.",
        &is(Judgement::Blocks),
    );
    each(
        "agentd_source_value",
        "The value that is compared with the limit, in the source's unit.",
        &|source| source.value.filter(|_| source.judgement != Judgement::Blind),
    );
    each("agentd_source_limit", "The limit, in the source's unit.", &|source| {
        (!source.unit.is_empty()).then_some(source.limit)
    });
    each("agentd_source_read_age_seconds", "Time since the source was last read.", &|source| {
        source.read_at.map(|at| now.since(at).as_secs_f64())
    });
}

/// The watch for notices, the announced interruption, and the last drain.
fn interruptions(page: &mut Page, published: &Published, now: Stamp) {
    let watched: Vec<&PathWatch> =
        published.notices.paths.iter().filter(|path| path.state != WatchState::Off).collect();
    page.family(
        "agentd_notice_watch_up",
        "gauge",
        "1 if the last answer said whether there is such a notice, 0 if one would not be seen; absent when not watched.",
    );
    for path in &watched {
        let up = u8::from(matches!(path.state, WatchState::NoNotice | WatchState::Notice));
        page.line(format_args!("agentd_notice_watch_up{{kind=\"{}\"}} {up}", label(path.name)));
    }
    page.family(
        "agentd_notice_last_good_timestamp_seconds",
        "gauge",
        "When the last good answer came: a notice, or the proof that there is none.",
    );
    for path in &watched {
        if let Some(at) = path.last_good {
            page.line(format_args!(
                "agentd_notice_last_good_timestamp_seconds{{kind=\"{}\"}} {}",
                label(path.name),
                millis(now.wall_ms.saturating_sub(span_ms(now, at)))
            ));
        }
    }
    let known = &published.view.interruptions;
    let real = |alert: &&Alert| !alert.drill && !alert.stale;
    page.single(
        "agentd_interruption_notices",
        "gauge",
        "What EC2 announces now, without drills and without what is long past.",
        known.alerts.iter().filter(real).count(),
    );
    let due = known.alerts.iter().filter(real).filter_map(|alert| alert.due);
    if let Some(due) = due.min_by_key(|due| due.boot_ms) {
        page.single(
            "agentd_interruption_deadline_timestamp_seconds",
            "gauge",
            "When EC2 acts on the earliest notice; absent when none has a time.",
            wall(due),
        );
    }
    last_drain(page, published);
}

/// How long the hooks of the drain that runs, or ran last, took. Drills count: they run the same hooks.
fn last_drain(page: &mut Page, published: &Published) {
    let known = &published.view.interruptions;
    let past = known.past.iter().map(|past| &past.alert);
    let drains = past.chain(&known.alerts).filter_map(|alert| alert.drain.as_ref());
    let Some(drain) = drains.max_by_key(|drain| drain.since.wall_ms) else { return };
    let runs = drain.runs.get(..HOOKS.min(drain.runs.len())).unwrap_or_default();
    page.family(
        "agentd_drain_hook_duration_seconds",
        "gauge",
        "How long each hook of the last drain took; absent while it runs.",
    );
    // The same hook may be configured twice, and a series may appear only once.
    for (n, run) in runs.iter().enumerate() {
        if let Some(ms) = run.took_ms {
            page.line(format_args!(
                "agentd_drain_hook_duration_seconds{{index=\"{n}\",hook=\"{}\"}} {}",
                label(&run.hook),
                seconds(ms)
            ));
        }
    }
    page.family(
        "agentd_drain_hook_ok",
        "gauge",
        "1 if the hook of the last drain ended well; absent until its end is known.",
    );
    for (n, run) in runs.iter().enumerate() {
        let ok = match run.state {
            RunState::Done => 1,
            RunState::Failed | RunState::Lost | RunState::Skipped => 0,
            RunState::Waiting | RunState::Started => continue,
        };
        page.line(format_args!(
            "agentd_drain_hook_ok{{index=\"{n}\",hook=\"{}\"}} {ok}",
            label(&run.hook)
        ));
    }
}

/// How long ago a moment of this boot was, milliseconds.
fn span_ms(now: Stamp, at: Stamp) -> i64 {
    i64::try_from(now.since(at).as_millis()).unwrap_or(i64::MAX)
}

fn seconds(ms: u64) -> f64 {
    core::time::Duration::from_millis(ms).as_secs_f64()
}

fn signed(stamp: Stamp) -> i64 {
    i64::try_from(stamp.boot_ms).unwrap_or(i64::MAX)
}

fn wall(stamp: Stamp) -> String {
    millis(stamp.wall_ms)
}

/// Milliseconds since 1970 as seconds with three decimals, without a detour over floating point. No machine of EC2 has
/// a clock before 1970.
fn millis(ms: i64) -> String {
    let ms = ms.max(0);
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// A label's value with what the format reserves escaped.
fn label(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars().take(100) {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use agent_core::interruption::{Drain, HookRun, Notice, SpotAction};

    use super::*;
    use crate::publish::tests::{NOW, ahead, quiet, source};

    fn value(text: &str, series: &str) -> Option<String> {
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
    }

    #[test]
    fn a_quiet_machine_has_its_figures() {
        let text = render(&quiet(), ahead(4), 17);
        for (series, expected) in [
            ("agentd_build_info{version=\"0.1.0\"}", "1"),
            ("agentd_enforce", "1"),
            ("agentd_stage{stage=\"quiet\"}", "1"),
            ("agentd_stage{stage=\"active\"}", "0"),
            ("agentd_idle_seconds", "1080"),
            ("agentd_act_after_seconds", "1800"),
            ("agentd_next_action_timestamp_seconds", "1767355920.000"),
            ("agentd_source_value{source=\"cpu\"}", "0.012"),
            ("agentd_source_limit{source=\"cpu\"}", "0.05"),
            ("agentd_source_read_age_seconds{source=\"cpu\"}", "7"),
            ("agentd_decision_age_seconds", "4"),
            ("agentd_events_total", "17"),
            ("agentd_blind_sources", "0"),
        ] {
            assert_eq!(value(&text, series).as_deref(), Some(expected), "{series}\n{text}");
        }
        assert_eq!(value(&text, "agentd_source_limit{source=\"input\"}"), None, "any use counts");
    }

    #[test]
    fn a_blind_source_has_no_value_and_there_is_no_next_action() {
        let mut published = quiet();
        published.view.sources.push(source("gpu", Judgement::Blind, Some(0.0), 5.0, "%"));
        let text = render(&published, NOW, 0);
        assert_eq!(value(&text, "agentd_source_blind{source=\"gpu\"}").as_deref(), Some("1"));
        assert_eq!(value(&text, "agentd_source_value{source=\"gpu\"}"), None);
        assert_eq!(value(&text, "agentd_next_action_timestamp_seconds"), None);
        assert_eq!(value(&text, "agentd_blind_sources").as_deref(), Some("1"));
    }

    #[test]
    fn the_watch_for_notices_has_its_figures_and_what_is_not_watched_has_none() {
        let mut published = quiet();
        published.notices.paths[1].state = WatchState::Blind;
        published.notices.paths[2].state = WatchState::Pending;
        published.notices.paths[2].last_good = None;
        published.notices.paths[3].state = WatchState::Off;
        let text = render(&published, NOW, 0);
        let up = |kind: &str| value(&text, &format!("agentd_notice_watch_up{{kind=\"{kind}\"}}"));
        assert_eq!(up("spot").as_deref(), Some("1"));
        assert_eq!(up("rebalance").as_deref(), Some("0"));
        assert_eq!(up("maintenance").as_deref(), Some("0"));
        assert_eq!(up("autoscaling"), None);
        let good = "agentd_notice_last_good_timestamp_seconds";
        assert_eq!(
            value(&text, &format!("{good}{{kind=\"spot\"}}")).as_deref(),
            Some("1767355199.000")
        );
        assert_eq!(value(&text, &format!("{good}{{kind=\"maintenance\"}}")), None);
        assert_eq!(value(&text, "agentd_interruption_notices").as_deref(), Some("0"));
        assert!(!text.contains("agentd_interruption_deadline"), "nothing is announced");
        assert!(!text.contains("agentd_drain"), "nothing was drained");
    }

    #[test]
    fn a_notice_has_its_deadline_and_its_hooks_have_their_durations() {
        let mut published = quiet();
        let run = |state, took_ms| HookRun {
            hook: "/opt/drain".into(),
            state,
            started: Some(NOW),
            took_ms,
            detail: "secret".into(),
        };
        let runs = vec![run(RunState::Done, Some(3_200)), run(RunState::Started, None)];
        let alert = Alert {
            id: "spot-stop".into(),
            notice: Notice::Spot { action: SpotAction::Stop },
            drill: false,
            seen: NOW,
            last_seen: NOW,
            due: Some(ahead(103)),
            stale: false,
            drain: Some(Drain { since: NOW, end_at: NOW, kill_at: NOW, runs, ended: None }),
            joined: None,
            completed: false,
        };
        let drill = Alert { drill: true, due: Some(ahead(5)), drain: None, ..alert.clone() };
        published.view.interruptions.alerts = vec![drill, alert];
        let text = render(&published, NOW, 0);
        for (series, expected) in [
            ("agentd_interruption_notices", Some("1")),
            ("agentd_interruption_deadline_timestamp_seconds", Some("1767355303.000")),
            ("agentd_drain_hook_duration_seconds{index=\"0\",hook=\"/opt/drain\"}", Some("3.2")),
            ("agentd_drain_hook_duration_seconds{index=\"1\",hook=\"/opt/drain\"}", None),
            ("agentd_drain_hook_ok{index=\"0\",hook=\"/opt/drain\"}", Some("1")),
            ("agentd_drain_hook_ok{index=\"1\",hook=\"/opt/drain\"}", None),
        ] {
            assert_eq!(value(&text, series).as_deref(), expected, "{series}\n{text}");
        }
        assert!(!text.contains("secret"));
    }

    #[test]
    fn every_series_belongs_to_a_family_that_is_declared_once_before_it() {
        let text = render(&quiet(), NOW, 0);
        let mut declared = BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                current = rest.split(' ').next().unwrap().to_owned();
                assert!(declared.insert(current.clone()), "{current} twice");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert_eq!(rest.split(' ').next().unwrap(), current);
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                assert_eq!(name, current, "{line}");
                line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
            }
        }
        assert!(declared.iter().all(|name| name.starts_with("agentd_")));
    }

    #[test]
    fn the_number_of_series_is_bounded_and_users_do_not_appear() {
        let mut published = quiet();
        published.view.sources = vec![source("cpu", Judgement::Busy, Some(1.0), 0.05, "core"); 500];
        let text = render(&published, NOW, 0);
        assert!(text.lines().count() < 64 * 6 + 80, "{}", text.lines().count());
        assert!(!text.contains("alice") && !text.contains("subject"));
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
        assert_eq!(millis(1_500), "1.500");
        assert_eq!(millis(-1), "0.000");
    }
}
