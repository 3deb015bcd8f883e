//! The lines of `agentctl events`.

use agent_proto::event::EventLine;
use agent_proto::spot::HookState;

use super::Look;
use super::style::Ink;
use super::text::wrapped;
use super::times::stamp;

/// One event: when, and what happened.
pub(crate) fn event(line: &EventLine, look: &Look) -> String {
    let when = stamp(look, line.at);
    let text = if line.text.is_empty() { &line.event } else { &line.text };
    let out = wrapped(&format!("{when}  "), 21, text);
    let ink = match line.event.as_str() {
        "source-blind" | "refused" | "failed" | "cold-boot" | "never-stopped" | "unexpected" => {
            Ink::Alarm
        }
        "noticed" | "notice-moved" if !is_drill(line) => Ink::Alarm,
        "drain-hook-ended" | "drain-ended" if ended_badly(line) => Ink::Alarm,
        "warned" | "asking" | "accepted" | "fell-back" | "noticed" | "notice-moved"
        | "notice-stale" | "drain-started" | "would-drain" | "target-changed" => Ink::Notice,
        _ => return out,
    };
    let mut painted = look.style.paint(ink, out.trim_end());
    painted.push('\n');
    painted
}

fn is_drill(line: &EventLine) -> bool {
    line.fields.get("drill") == Some(&true.into())
}

/// Whether a hook, or one of a drain, did not end well.
fn ended_badly(line: &EventLine) -> bool {
    let run = line.fields.get("run").and_then(|run| run.get("state"));
    let hook = run.is_some_and(|state| state != HookState::Done.as_str());
    hook || line.fields.get("ok") == Some(&false.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn an_event_is_a_time_and_a_sentence() {
        let line = EventLine {
            schema: String::new(),
            seq: 3,
            at: "2026-01-02T12:00:00.5Z".parse().unwrap(),
            event: "warned".into(),
            text: "warned: will hibernate in 10 min: nobody has used it for 20 min, and nothing else either".into(),
            fields: [].into(),
        };
        assert_eq!(
            event(&line, &samples::look()),
            "2026-01-02 08:00:00  warned: will hibernate in 10 min: nobody has used it for 20\n\
             \x20                    min, and nothing else either\n"
        );
    }

    #[test]
    fn a_drill_and_a_hook_that_ended_well_are_no_alarm() {
        let look = Look { style: crate::render::style::Style::Colour, ..samples::look() };
        for (word, fields, alarm) in [
            ("noticed", r#"{"drill":false}"#, true),
            ("noticed", r#"{"drill":true}"#, false),
            ("drain-hook-ended", r#"{"run":{"state":"failed"}}"#, true),
            ("drain-hook-ended", r#"{"run":{"state":"done"}}"#, false),
            ("drain-ended", r#"{"ok":false}"#, true),
            ("drain-ended", r#"{"ok":true}"#, false),
        ] {
            let line = EventLine {
                schema: String::new(),
                seq: 3,
                at: samples::now(),
                event: word.into(),
                text: "x".into(),
                fields: serde_json::from_str(fields).unwrap(),
            };
            assert_eq!(event(&line, &look).contains("\x1b[1;31m"), alarm, "{word} {fields}");
        }
    }
}
