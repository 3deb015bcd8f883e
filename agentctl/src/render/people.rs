//! Who is at the machine, what makes the agent wait longer, and what was used last.

use agent_proto::span::{long, short};
use agent_proto::status::{LastUse, Source, Status, Stretch, Verdict};

use super::Look;
use super::amount::amount;
use super::text::labelled;
use super::times::moment;

/// So many ignored loads are named.
const IGNORED: usize = 5;

/// "waits 1 h, so much longer because alice is connected (pts/3)"; nothing when nothing stretches the time. What to do about
/// a job for which nobody waits stands below it.
pub(super) fn stretch(status: &Status) -> String {
    let Some(stretch) = &status.idle.stretch else { return String::new() };
    let needed = long(status.idle.act_after_seconds);
    let said = labelled("waits", &format!("{needed}, so much longer because {}", reason(stretch)));
    if stretch.by != "job" {
        return said;
    }
    said + &labelled("", "if nobody waits for it, end it or set a shorter idle.job_after")
}

fn reason(stretch: &Stretch) -> String {
    let owner = stretch.owner.as_deref();
    match stretch.by.as_str() {
        "job" => format!("{} runs ({})", owned("a job", owner), stretch.subject),
        "connected" => {
            format!("{} is connected ({})", owner.unwrap_or("somebody"), stretch.subject)
        }
        other => format!("of {} ({})", owned(other, owner), stretch.subject),
    }
}

fn owned(what: &str, owner: Option<&str>) -> String {
    owner.map_or_else(|| what.to_owned(), |owner| format!("{what} of {owner}"))
}

/// Everybody, who used the machine last first: when, and what of theirs keeps it up now.
pub(super) fn people(status: &Status) -> String {
    if status.users.is_empty() {
        return labelled("people", "nobody was seen");
    }
    let each = status.users.iter().enumerate().map(|(n, user)| {
        let used = match user.last_activity_seconds {
            Some(age) => format!("used it {} ago", short(age)),
            None => "did not use it".to_owned(),
        };
        let keeps = match user.keeps_up.as_slice() {
            [] => String::new(),
            some => format!("; keeps it up: {}", some.join(", ")),
        };
        labelled(if n == 0 { "people" } else { "" }, &format!("{}: {used}{keeps}", user.user))
    });
    each.collect()
}

/// Why it is not idle for longer: what was used last, how much of it, whose, and until when.
pub(super) fn last_use(status: &Status, look: &Look) -> String {
    let Some(last) = &status.idle.last_use else { return String::new() };
    let text = format!(
        "{} until {} ({} ago)",
        used(last),
        moment(look, last.at, status.now),
        short(last.age_seconds)
    );
    labelled("not sooner", &text)
}

fn used(last: &LastUse) -> String {
    if last.text.is_empty() { last.source.clone() } else { last.text.clone() }
}

/// The loads that do not count, the largest of each source first.
pub(super) fn ignored(sources: &[Source]) -> String {
    let of = |source: &Source| {
        let signals = source.signals.iter().filter(|signal| {
            signal.verdict == Verdict::Ignored
                && !signal.subject.starts_with(super::why::ACCOUNT_OF)
        });
        let unit = source.unit.clone();
        let shown = signals.map(|signal| match signal.value {
            Some(value) => format!("{} {}", signal.subject, amount(value, &unit)),
            None => signal.subject.clone(),
        });
        shown.map(|text| format!("{} {text}", source.source)).collect::<Vec<_>>()
    };
    let all: Vec<String> = sources.iter().flat_map(of).collect();
    let (named, rest) = all.split_at(all.len().min(IGNORED));
    let more = if rest.is_empty() { String::new() } else { format!("; and {} more", rest.len()) };
    if all.is_empty() {
        return labelled("ignored", "nothing");
    }
    labelled("ignored", &format!("{}{more}", named.join("; ")))
}

/// When people will be told, or were.
pub(super) fn warnings(status: &Status, look: &Look) -> String {
    let outlook = &status.outlook;
    if outlook.warn_at.is_empty() {
        return String::new();
    }
    let each = outlook.warn_at.iter().map(|at| moment(look, *at, status.now));
    labelled("warnings", &each.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use agent_proto::status::User;

    use super::*;
    use crate::render::samples::{self, at, look, quiet};

    fn connected(by: &str) -> Status {
        let mut status = quiet();
        status.idle.act_after_seconds = 3_600.0;
        status.idle.stretch = Some(Stretch {
            by: by.into(),
            source: "sessions".into(),
            subject: "pts/3".into(),
            owner: Some("alice".into()),
        });
        status
    }

    #[test]
    fn what_makes_it_wait_longer_is_named_with_its_owner() {
        assert_eq!(stretch(&quiet()), "");
        let text = stretch(&connected("connected"));
        assert!(
            text.contains("1 h 00 min, so much longer because alice is connected (pts/3)"),
            "{text}"
        );
        let text = stretch(&connected("job"));
        assert!(text.contains("because a job of alice runs (pts/3)"), "{text}");
        assert!(
            text.contains("if nobody waits for it, end it or set a shorter idle.job_after"),
            "{text}"
        );
        let text = stretch(&connected("reading"));
        assert!(text.contains("because of reading of alice (pts/3)"), "{text}");
    }

    #[test]
    fn everybody_is_listed_with_what_keeps_the_machine_up() {
        let mut status = quiet();
        assert!(people(&status).contains("nobody was seen"));
        let user = |name: &str, age: Option<f64>, keeps: &[&str]| User {
            user: name.into(),
            last_activity_seconds: age,
            keeps_up: keeps.iter().map(|one| (*one).to_owned()).collect(),
        };
        status.users = vec![
            user("alice", Some(2_460.0), &["cpu user.slice", "hold 3"]),
            user("bob", None, &[]),
        ];
        let text = people(&status);
        assert!(
            text.contains("alice: used it 41m ago; keeps it up: cpu user.slice, hold 3"),
            "{text}"
        );
        assert!(text.contains("bob: did not use it\n"), "{text}");
    }

    #[test]
    fn the_last_use_says_what_how_much_whose_and_until_when() {
        let mut status = quiet();
        assert_eq!(last_use(&status, &look()), "");
        status.idle.last_use = Some(LastUse {
            text: "cpu 0.97 core, limit 0.05 (session-11.scope, alice)".into(),
            source: "cpu".into(),
            subject: Some("session-11.scope".into()),
            owner: Some("alice".into()),
            value: Some(0.97),
            limit: Some(0.05),
            unit: "core".into(),
            at: at(-1_080),
            age_seconds: 1_080.0,
        });
        let text = last_use(&status, &look()).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            text,
            "not sooner cpu 0.97 core, limit 0.05 (session-11.scope, alice) until 18:12:00 UTC, 14:12:00 your time (18m ago)"
        );
        let older = LastUse { text: String::new(), ..status.idle.last_use.unwrap() };
        assert_eq!(used(&older), "cpu");
    }

    #[test]
    fn what_does_not_count_is_told_and_not_without_end() {
        assert!(ignored(&quiet().sources).contains("nothing"));
        let text = ignored(&samples::why().sources);
        assert!(text.contains("cpu helpers of an editor 0.06 core"), "{text}");
        let mut many = samples::why();
        let one = many.sources[0].signals[1].clone();
        many.sources[0].signals.extend(std::iter::repeat_n(one, 9));
        assert!(ignored(&many.sources).contains("; and 5 more"));
    }
}
