//! What people read on their terminals.

use agent_core::interruption::{HookRun, Moment, Notification, RunState};

use crate::actuators::text::{escaped, rfc3339, spoken, time_of_day};

/// The longest text that came from elsewhere, characters.
const LONGEST: usize = 300;
/// So many hooks are named.
const NAMED: usize = 10;
/// From here on a time of day alone does not say which day.
const DAY_MS: u64 = 24 * 3_600_000;

/// The lines, of which none can steer a terminal.
pub(super) fn lines(told: &Notification) -> Vec<String> {
    let mut lines = match told.moment {
        Moment::Noticed => noticed(told),
        Moment::Drained => {
            let mut lines = vec![format!("agentd: the hooks have ended: {}.", hooks(&told.hooks))];
            lines.push(format!("{}.", ahead(told)));
            lines
        }
        Moment::Withdrawn => over(told, "is withdrawn"),
        Moment::CameBack => over(told, "is over and this machine is back"),
        Moment::NeverCame => over(told, "is over and nothing happened"),
    };
    if told.drill {
        if let Some(first) = lines.first_mut() {
            first.insert_str(0, "DRILL: ");
        }
        lines.push("This is a drill: nothing happens to this instance.".to_owned());
    }
    lines
}

fn noticed(told: &Notification) -> Vec<String> {
    let running = |run: &&HookRun| matches!(run.state, RunState::Waiting | RunState::Started);
    let hooks = match told.hooks.iter().filter(running).count() {
        0 => String::new(),
        1 => " 1 hook is running.".to_owned(),
        count => format!(" {count} hooks are running."),
    };
    let advice = if goes_down(told) { " Save your work." } else { "" };
    let mut lines = vec![format!("agentd: {}.{hooks}{advice}", ahead(told))];
    lines.extend(why(told));
    lines
}

fn over(told: &Notification, how: &str) -> Vec<String> {
    let mut lines = vec![format!("agentd: the announced {} {how}.", escaped(&told.what, LONGEST))];
    lines.extend(why(told));
    if !told.hooks.is_empty() {
        lines.push(format!("Hooks: {}.", hooks(&told.hooks)));
    }
    lines
}

fn why(told: &Notification) -> Option<String> {
    let because = escaped(&told.because, LONGEST);
    let stop = if because.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    (!because.is_empty()).then(|| format!("{because}{stop}"))
}

/// Whether what runs on the instance ends.
fn goes_down(told: &Notification) -> bool {
    matches!(told.action.as_str(), "terminate" | "stop" | "hibernate" | "reboot" | "retire")
}

/// What will happen and when, without a full stop.
fn ahead(told: &Notification) -> String {
    let who = if told.event == "autoscaling" { "Auto Scaling" } else { "EC2" };
    let action = escaped(&told.action, 64);
    let what = match (told.event.as_str(), action.as_str()) {
        ("rebalance-recommendation", _) => {
            return "EC2 expects to take this instance back soon".to_owned();
        }
        (_, "terminate" | "stop" | "hibernate" | "reboot") => {
            format!("{who} will {action} this instance")
        }
        (_, "retire") => "EC2 will retire this instance".to_owned(),
        (_, "maintenance") => "EC2 will work on the host of this instance".to_owned(),
        _ => format!("{who} announces: {}", escaped(&told.what, LONGEST)),
    };
    match (told.deadline_wall_ms, told.left_ms) {
        (Some(at), Some(left)) if left < DAY_MS => {
            format!("{what} at {}, in {}", time_of_day(at), spoken(left))
        }
        (Some(at), _) => format!("{what} at {}", rfc3339(at)),
        (None, _) => what,
    }
}

/// Each hook, how it ended and how long it took.
fn hooks(all: &[HookRun]) -> String {
    if all.is_empty() {
        return "none ran".to_owned();
    }
    let one = |run: &HookRun| {
        let (hook, state) = (escaped(&run.hook, LONGEST), run.state.as_str());
        match run.took_ms {
            // Tenths of a second matter for hooks that are quick.
            Some(ms) if ms < 10_000 => {
                format!("{hook} {state} after {}.{} s", ms / 1_000, ms / 100 % 10)
            }
            Some(ms) => format!("{hook} {state} after {}", spoken(ms)),
            None => format!("{hook} {state}"),
        }
    };
    let named: Vec<String> = all.iter().take(NAMED).map(one).collect();
    let rest = all.len() - named.len();
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    format!("{}{more}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notifiers::tests::{back, noticed, run};

    #[test]
    fn a_notice_says_what_happens_when_and_what_to_do() {
        assert_eq!(
            lines(&noticed(false)),
            [
                "agentd: EC2 will terminate this instance at 12:02:00 UTC, in 1 minute 58 seconds. 2 hooks are running. \
                 Save your work.",
                "The hooks run until 12:01:40 UTC.",
            ]
        );
        let mut far = noticed(false);
        (far.event, far.action) = ("scheduled-event".to_owned(), "maintenance".to_owned());
        (far.left_ms, far.hooks) = (Some(15 * DAY_MS), Vec::new());
        assert_eq!(
            lines(&far)[0],
            "agentd: EC2 will work on the host of this instance at 2026-11-21T12:02:00Z."
        );
        far.event = "rebalance-recommendation".to_owned();
        assert_eq!(lines(&far)[0], "agentd: EC2 expects to take this instance back soon.");
    }

    #[test]
    fn a_drill_says_so_first_and_last() {
        for told in [noticed(true), Notification { drill: true, ..back() }] {
            let lines = lines(&told);
            assert!(lines[0].starts_with("DRILL: agentd: "), "{lines:?}");
            assert!(lines.last().unwrap().contains("nothing happens to this instance"));
        }
        assert!(!lines(&noticed(false)).iter().any(|line| line.to_lowercase().contains("drill")));
    }

    #[test]
    fn whoever_comes_back_reads_what_happened_and_how_long_each_hook_took() {
        assert_eq!(
            lines(&back()),
            [
                "agentd: the announced spot interruption (terminate) is over and this machine is back.",
                "It was stopped at 12:02 and started at 13:00.",
                "Hooks: /opt/save done after 4.2 s, sync.service failed after 20 seconds.",
            ]
        );
    }

    #[test]
    fn a_hundred_hooks_are_not_all_named() {
        let mut told = back();
        told.hooks = vec![run("/opt/save", RunState::Done, 1_000); 100];
        assert!(lines(&told)[2].ends_with("and 90 more."), "{:?}", lines(&told)[2]);
    }

    #[test]
    fn nothing_in_it_can_steer_a_terminal() {
        let evil = "\x1b]0;owned\x07\r\n".to_owned();
        for moment in [Moment::Noticed, Moment::Drained, Moment::Withdrawn, Moment::NeverCame] {
            let mut told = noticed(false);
            (told.moment, told.what, told.because) = (moment, evil.clone(), evil.clone());
            told.action.clone_from(&evil);
            told.hooks = vec![run(&evil, RunState::Failed, 1)];
            for line in lines(&told) {
                assert!(!line.contains(char::is_control), "{line:?}");
            }
        }
    }
}
