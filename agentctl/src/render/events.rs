//! The lines of `agentctl events`.

use agent_proto::event::EventLine;

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
        "warned" | "asking" | "accepted" | "fell-back" => Ink::Notice,
        _ => return out,
    };
    let mut painted = look.style.paint(ink, out.trim_end());
    painted.push('\n');
    painted
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
}
