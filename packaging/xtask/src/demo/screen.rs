//! What a person sees: one picture that is drawn anew on a terminal, plain lines elsewhere.

use std::fmt::Write;
use std::time::Duration;

use agent_tests::instance::Instance;
use agent_tests::world::World;
use serde_json::Value;

use super::Ending;
use super::story::{Story, clock};

/// The story's last lines that fit on a screen.
const LINES_OF_STORY: usize = 9;
/// Use that is longer ago than so many seconds is not told in a plain line.
const JUST_NOW: f64 = 10.0;
/// Longer lines are cut, so that none wraps.
const WIDTH: usize = 110;

/// The output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    colour: bool,
    begun: bool,
    told: usize,
}

impl Screen {
    /// A screen on a terminal or for a pipe.
    pub(crate) fn new(terminal: bool, colour: bool) -> Self {
        Self { terminal, colour: terminal && colour, begun: false, told: 0 }
    }

    /// Shows what is so now.
    pub(crate) fn draw(
        &mut self,
        setting: &[String],
        elapsed: Duration,
        now: &Value,
        story: &Story,
    ) {
        if self.terminal {
            print!("{}", self.picture(setting, elapsed, now, story));
        } else {
            print!("{}", self.plain(setting, elapsed, now, story));
        }
        self.begun = true;
    }

    /// The whole picture, over the one before. (ECMA-48: CUP, EL, ED and SGR.)
    fn picture(&self, setting: &[String], elapsed: Duration, now: &Value, story: &Story) -> String {
        let mut lines: Vec<String> = setting.to_vec();
        lines.push(String::new());
        lines.push(self.strong(&format!("{}  {}", clock(elapsed), headline(now))));
        lines.push(format!("      {}", because(now)));
        lines.push(String::new());
        lines.push(format!("  {:<11} {:<16} {:<16} what it says", "signal", "now", "busy if"));
        lines.extend(sources(now).map(|source| format!("  {}", row(source))));
        lines.push(String::new());
        lines.push("  what happened so far".into());
        let left_out = story.lines().len().saturating_sub(LINES_OF_STORY);
        lines.extend(story.lines().skip(left_out).map(|line| format!("  {line}")));
        let start = if self.begun { "\x1b[H" } else { "\x1b[2J\x1b[H" };
        let mut out = start.to_owned();
        for line in lines {
            let _infallible = writeln!(out, "{}\x1b[K", cut(&line));
        }
        out.push_str("\x1b[J");
        out
    }

    fn strong(&self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{}\x1b[0m", cut(text)) } else { text.to_owned() }
    }

    /// One line for now, after what happened since the last one.
    fn plain(
        &mut self,
        setting: &[String],
        elapsed: Duration,
        now: &Value,
        story: &Story,
    ) -> String {
        let mut out = String::new();
        if !self.begun {
            out.extend(setting.iter().flat_map(|line| [line.as_str(), "\n"]));
        }
        for line in story.lines().skip(self.told) {
            let _infallible = writeln!(out, "   * {line}");
        }
        self.told = story.lines().len();
        let values: Vec<String> = sources(now).filter_map(short).collect();
        let _infallible =
            writeln!(out, "{}  {}  [{}]", clock(elapsed), headline(now), values.join(", "));
        out
    }
}

fn cut(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        line.to_owned()
    } else {
        line.chars().take(WIDTH - 1).chain(['…']).collect()
    }
}

/// Shows the last words, below everything else.
pub(crate) fn say(words: &[String]) {
    println!("\n{}", words.join("\n"));
}

/// What a stranger must know first.
pub(crate) fn setting(world: &World, busy_pid: Option<u32>) -> Vec<String> {
    let instance = world.instance.snapshot();
    let mut lines = vec![
        "agentd demo: the real agent reads THIS machine; only its EC2 is simulated. Nothing real will be stopped.".into(),
        format!("  It believes to be instance {} ({}, {}).", instance.id, instance.instance_type, instance.availability_zone()),
        "  Rules for this demo: idle for 10 s is quiet, for 45 s is hibernated; warnings 20 s and 10 s before.".into(),
        "  (In practice: 5 min, 30 min, and 10, 5 and 1 min.) Press a key or start some work: it counts as use.".into(),
    ];
    if let Some(pid) = busy_pid {
        lines.push(format!(
            "  On purpose, process {pid} (busy-loop) keeps one core busy: the agent must not act."
        ));
    }
    lines
}

/// What will happen, in one sentence.
fn headline(now: &Value) -> String {
    let outlook = &now["outlook"];
    let power = outlook["power"].as_str().unwrap_or("hibernate");
    let in_seconds =
        outlook["in_seconds"].as_f64().map(|left| format!(" in {left:.0} s")).unwrap_or_default();
    let idle = now["idle"]["idle_seconds"].as_f64().unwrap_or(0.0);
    match (now["stage"].as_str().unwrap_or("starting"), outlook["prospect"].as_str().unwrap_or(""))
    {
        (_, "blind") => "NOT KNOWN YET: something cannot be read, so nothing will be done".into(),
        (_, "held") => "HELD: somebody asked to keep the machine up".into(),
        (_, "blocked") => "BLOCKED: something must not be interrupted".into(),
        ("warned", _) => format!("WARNED: idle for {idle:.0} s, will {power}{in_seconds}"),
        ("quiet", _) => format!("QUIET: idle for {idle:.0} s, will {power}{in_seconds}"),
        ("settling", _) => {
            format!("IDLE for {idle:.0} s, not yet quiet; would {power}{in_seconds}")
        }
        ("rechecking", _) => "DUE: every signal is read once more before anything is done".into(),
        ("acting" | "draining", _) => format!("ACTING: EC2 is asked to {power} this instance"),
        ("verifying", _) => {
            format!("ACCEPTED: EC2 will {power} this instance; waiting for it to go down")
        }
        ("active", _) | (_, "in-use") => "IN USE: nothing will be done".into(),
        (stage, _) => format!("{}{in_seconds}", stage.to_uppercase()),
    }
}

fn because(now: &Value) -> String {
    let why = now["outlook"]["because"].as_str().filter(|why| !why.is_empty());
    let why = why.or_else(|| now["because"].as_str()).unwrap_or_default();
    if why.is_empty() { String::new() } else { format!("because: {why}") }
}

fn sources(now: &Value) -> impl Iterator<Item = &Value> {
    let shown = |source: &&Value| source["verdict"] != "disabled";
    now["sources"].as_array().into_iter().flatten().filter(shown)
}

/// One signal: its value, its limit, what follows, and who is behind it.
fn row(source: &Value) -> String {
    let name = source["source"].as_str().unwrap_or("?");
    let unit = source["unit"].as_str().unwrap_or_default();
    let amount = |value: &Value| value.as_f64().map(|value| quantity(value, unit));
    let value = amount(&source["value"]).unwrap_or_else(|| "-".into());
    let limit = amount(&source["busy_above"]).map_or("any".into(), |limit| format!(">= {limit}"));
    let verdict = source["verdict"].as_str().unwrap_or("?");
    let says = match (verdict, source["detail"].as_str()) {
        ("busy", _) => format!("BUSY{}", leader(source)),
        ("idle", _) => match source["last_activity_seconds"].as_f64() {
            Some(ago) => format!("idle, last used {ago:.0} s ago"),
            None => "idle".into(),
        },
        (verdict, Some(detail)) => format!("{verdict}: {detail}"),
        (verdict, None) => verdict.to_owned(),
    };
    format!("{name:<11} {value:<16} {limit:<16} {says}")
}

/// Whose the largest busy signal is.
fn leader(source: &Value) -> String {
    let busy = source["signals"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|signal| signal["verdict"] == "busy");
    let Some(subject) = busy.and_then(|signal| signal["subject"].as_str()) else {
        return String::new();
    };
    match busy.and_then(|signal| signal["owner"].as_str()) {
        Some(owner) => format!(": {subject} of {owner}"),
        None => format!(": {subject}"),
    }
}

/// A value with its unit, short.
fn quantity(value: f64, unit: &str) -> String {
    match unit {
        "core" => format!("{value:.2} core"),
        "%" => format!("{value:.0} %"),
        "B/s" if value >= 1e6 => format!("{:.1} MB/s", value / 1e6),
        "B/s" if value >= 1e3 => format!("{:.1} kB/s", value / 1e3),
        unit => format!("{value:.0} {unit}"),
    }
}

/// A source in a word or two, if it says something about use.
fn short(source: &Value) -> Option<String> {
    let name = source["source"].as_str()?;
    let unit = source["unit"].as_str().unwrap_or_default();
    let value = source["value"].as_f64().map(|value| format!(" {}", quantity(value, unit)));
    match source["verdict"].as_str()? {
        "busy" => Some(format!("{name}{} BUSY{}", value.unwrap_or_default(), leader(source))),
        "idle" => match source["last_activity_seconds"].as_f64() {
            Some(ago) if ago < JUST_NOW => Some(format!("{name} used {ago:.0} s ago")),
            _ => Some(format!("{name}{}", value.unwrap_or_else(|| " idle".into()))),
        },
        "absent" | "ignored" => None,
        other => Some(format!("{name} {other}")),
    }
}

/// The last words: what happened, in one sentence, and what it proves.
pub(crate) fn farewell(
    ending: Ending,
    last: &Value,
    story: &Story,
    instance: &Instance,
) -> Vec<String> {
    let mut words = vec!["what happened".to_owned()];
    words.extend(story.lines().map(|line| format!("  {line}")));
    words.push(String::new());
    words.push(format!("tags of {} (the instance is {})", instance.id, instance.state.name()));
    words.extend(instance.tags.iter().map(|(key, value)| format!("  {key} = {}", or_none(value))));
    words.push(String::new());
    words.push(match ending {
        Ending::Hibernated => format!(
            "Nothing used this machine for 45 seconds, so the agent warned, asked EC2 once to hibernate {}, and EC2 did.",
            instance.id
        ),
        Ending::InUse => format!(
            "This machine was in use, so the agent left it alone: {}. That is its job; EC2 was never asked to stop it.",
            keeping_awake(last, story)
        ),
        Ending::OutOfTime => format!(
            "The time was over before this machine was idle for 45 seconds on end, so nothing was stopped: {}.",
            keeping_awake(last, story)
        ),
    });
    if ending != Ending::Hibernated {
        words.push(
            "On a calmer machine, with nobody typing, the same demo ends with a hibernation."
                .into(),
        );
    }
    words
}

fn or_none(value: &str) -> &str {
    if value.is_empty() { "(none)" } else { value }
}

/// What keeps the machine up, as the agent saw it of late.
fn keeping_awake(last: &Value, story: &Story) -> String {
    let seen = story.witnessed();
    if seen.is_empty() {
        last["because"].as_str().unwrap_or("the agent gave no reason").to_owned()
    } else {
        seen.join("; ")
    }
}

/// What keeps the machine up now: the source and its words.
pub(crate) fn witnesses(now: &Value) -> impl Iterator<Item = (String, String)> {
    let awake =
        |source: &&Value| matches!(source["verdict"].as_str(), Some("busy" | "blocks" | "blind"));
    sources(now).filter(awake).filter_map(|source| {
        let name = source["source"].as_str()?.to_owned();
        let words = match source["detail"].as_str() {
            Some(detail) if source["verdict"] != "busy" => format!("{name} {detail}"),
            _ => short(source)?,
        };
        Some((name, words))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn busy() -> Value {
        json!({
            "stage": "active", "because": "cpu is busy",
            "outlook": {"prospect": "in-use", "because": "cpu is busy"},
            "idle": {"idle_seconds": 0.0},
            "sources": [
                {"source": "cpu", "verdict": "busy", "value": 1.02, "busy_above": 0.3, "unit": "core",
                 "signals": [{"subject": "pid 7 busy-loop", "owner": "ada", "verdict": "busy", "value": 1.0}]},
                {"source": "gpu", "verdict": "absent", "detail": "no /dev/nvidia*", "unit": "%"},
                {"source": "disk", "verdict": "disabled"},
            ],
        })
    }

    fn warned() -> Value {
        json!({
            "stage": "warned", "because": "nothing used it",
            "outlook": {"prospect": "will-act", "power": "hibernate", "in_seconds": 11.6},
            "idle": {"idle_seconds": 33.4},
            "sources": [{"source": "input", "verdict": "idle", "last_activity_seconds": 33.4, "unit": ""}],
        })
    }

    #[test]
    fn the_headline_says_what_will_happen_and_when() {
        assert_eq!(headline(&warned()), "WARNED: idle for 33 s, will hibernate in 12 s");
        assert_eq!(headline(&busy()), "IN USE: nothing will be done");
        assert_eq!(headline(&Value::Null), "STARTING");
    }

    #[test]
    fn a_row_names_value_limit_and_who_is_behind_it() {
        let busy = busy();
        let rows: Vec<String> = sources(&busy).map(row).collect();
        assert_eq!(rows.len(), 2, "what is switched off is not shown");
        assert!(rows[0].contains("1.02 core") && rows[0].contains(">= 0.30 core"), "{}", rows[0]);
        assert!(rows[0].ends_with("BUSY: pid 7 busy-loop of ada"), "{}", rows[0]);
        assert!(rows[1].ends_with("absent: no /dev/nvidia*"), "{}", rows[1]);
    }

    #[test]
    fn plain_lines_tell_each_event_once() {
        let mut screen = Screen::new(false, true);
        let mut story = Story::default();
        story.tell(Duration::from_secs(1), "A");
        let first = screen.plain(&["about".into()], Duration::from_secs(1), &warned(), &story);
        assert_eq!(
            first,
            "about\n   * 0:01 A\n0:01  WARNED: idle for 33 s, will hibernate in 12 s  [input idle]\n"
        );
        screen.begun = true;
        let second = screen.plain(&["about".into()], Duration::from_secs(2), &busy(), &story);
        assert!(!second.contains("0:01") && !second.contains("about"), "{second}");
        assert!(second.contains("cpu 1.02 core BUSY: pid 7 busy-loop of ada"), "{second}");
    }

    #[test]
    fn the_picture_fits_and_clears_what_was_there() {
        let screen = Screen::new(true, false);
        let picture =
            screen.picture(&["x".repeat(500)], Duration::ZERO, &busy(), &Story::default());
        assert!(picture.starts_with("\x1b[2J\x1b[H") && picture.ends_with("\x1b[J"));
        assert!(picture.lines().all(|line| line.chars().count() <= WIDTH + 12));
    }

    #[test]
    fn the_last_words_say_what_happened() {
        let instance = Instance::default();
        let story = Story::default();
        let done = farewell(Ending::Hibernated, &warned(), &story, &instance).join("\n");
        assert!(done.contains("Name = research-01") && done.contains("EC2 did."), "{done}");
        let mut story = story;
        story.witness(Duration::from_secs(9), &busy());
        let left = farewell(Ending::InUse, &busy(), &story, &instance).join("\n");
        assert!(
            left.contains("left it alone: cpu 1.02 core BUSY: pid 7 busy-loop of ada."),
            "{left}"
        );
    }

    #[test]
    fn amounts_are_short() {
        assert_eq!(quantity(0.256, "core"), "0.26 core");
        assert_eq!(quantity(65_536.0, "B/s"), "65.5 kB/s");
        assert_eq!(quantity(2_500_000.0, "B/s"), "2.5 MB/s");
        assert_eq!(quantity(12.0, "B/s"), "12 B/s");
    }

    #[test]
    fn use_of_a_moment_ago_is_told_rather_than_a_value_of_now() {
        let source = |ago: f64| json!({"source": "cpu", "verdict": "idle", "value": 0.0, "unit": "core", "last_activity_seconds": ago});
        assert_eq!(short(&source(2.4)).unwrap(), "cpu used 2 s ago");
        assert_eq!(short(&source(20.0)).unwrap(), "cpu 0.00 core");
    }
}
