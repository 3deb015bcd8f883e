//! The lines of what EC2 announces, of the hooks that run for it, and of how it ended.

use agent_core::interruption::{AlertEnd, HookRun, RunState};
use agent_core::reason::Event;

use super::{Field, Line, ids, seconds, spoken, time};

/// The line of an event about an interruption.
pub(super) fn line(event: &Event) -> Option<Line> {
    notices(event).or_else(|| drains(event)).or_else(|| group(event))
}

/// How every sentence about a drill begins.
fn marked(drill: bool) -> &'static str {
    if drill { "DRILL: " } else { "" }
}

trait OfAlert {
    fn alert(self, alert: &str, what: &str) -> Self;
    fn drill(self, drill: bool) -> Self;
}

impl OfAlert for Line {
    fn alert(self, alert: &str, what: &str) -> Self {
        self.with(Field::Alert, alert).with(Field::Notice, what)
    }

    fn drill(self, drill: bool) -> Self {
        self.with(Field::Drill, if drill { "1" } else { "0" })
    }
}

/// From the notice to its end.
fn notices(event: &Event) -> Option<Line> {
    let line = match event {
        Event::Noticed { alert, what, deadline_wall_ms, left_ms, drill, because } => {
            let due = deadline_wall_ms.map(time);
            let when = match (&due, left_ms) {
                (Some(at), Some(left)) => format!(", due at {at}, in {}", spoken(*left)),
                (Some(at), None) => format!(", due at {at}"),
                (None, _) => String::new(),
            };
            let text = format!("{}EC2 announces: {what}{when}; {because}", marked(*drill));
            // A recommendation threatens nothing yet, and a drill threatens nothing at all.
            let threat = !drill && !alert.starts_with("rebalance-");
            let line = if threat { Line::warning } else { Line::info };
            line(ids::NOTICED, text)
                .alert(alert, what)
                .drill(*drill)
                .with(Field::Because, because)
                .with(Field::Deadline, due.as_deref().unwrap_or("none"))
                .maybe(Field::Seconds, left_ms.map(seconds))
        }
        Event::NoticeMoved { alert, what, deadline_wall_ms, left_ms } => {
            let due = time(*deadline_wall_ms);
            let left = spoken(*left_ms);
            let text = format!("EC2 acts earlier than announced: {what}, now at {due}, in {left}");
            Line::warning(ids::NOTICE_MOVED, text)
                .alert(alert, what)
                .with(Field::Deadline, due)
                .with(Field::Seconds, seconds(*left_ms))
        }
        Event::NoticeStale { what, deadline_wall_ms, because } => {
            let due = time(*deadline_wall_ms);
            let text = format!("Not acting on an announced {what} for {due}: {because}");
            Line::info(ids::NOTICE_STALE, text)
                .with(Field::Notice, what)
                .with(Field::Deadline, due)
                .with(Field::Because, because)
        }
        Event::AlertOver { alert, what, end, because, drill, hooks } => {
            let did = told(hooks);
            let text = format!(
                "{}Over: {what}, {}: {because}; hooks: {did}",
                marked(*drill),
                end.as_str()
            );
            Line::info(ids::ALERT_OVER, text)
                .alert(alert, what)
                .drill(*drill)
                .with(Field::Code, code(*end))
                .with(Field::Because, because)
                .with(Field::Detail, did)
        }
        _ => return None,
    };
    Some(line)
}

/// The word for programs.
fn code(end: AlertEnd) -> &'static str {
    match end {
        AlertEnd::StartedAgain => "started-again",
        AlertEnd::Resumed => "resumed",
        AlertEnd::NeverCame => "never-came",
        AlertEnd::Withdrawn => "withdrawn",
        AlertEnd::Expired => "expired",
        AlertEnd::DrillOver => "drill-over",
    }
}

/// What each hook did and how long it took: `/opt/save done in 4s, sync.service failed after 20s`.
fn told(hooks: &[HookRun]) -> String {
    let one = |run: &HookRun| {
        let state = run.state.as_str();
        match (run.state, run.took_ms) {
            (RunState::Done, Some(ms)) => format!("{} {state} in {}", run.hook, spoken(ms)),
            (_, Some(ms)) => format!("{} {state} after {}", run.hook, spoken(ms)),
            (_, None) => format!("{} {state}", run.hook),
        }
    };
    let all: Vec<String> = hooks.iter().map(one).collect();
    if all.is_empty() { "none ran".to_owned() } else { all.join(", ") }
}

/// The hooks.
fn drains(event: &Event) -> Option<Line> {
    let line = match event {
        Event::DrainStarted { alert, what, hooks, for_ms, drill } => {
            let (some, most) = (counted(*hooks), spoken(*for_ms));
            let text = format!("{}Running {some} for {what}, for at most {most}", marked(*drill));
            Line::info(ids::DRAIN_STARTED, text)
                .alert(alert, what)
                .drill(*drill)
                .with(Field::Seconds, seconds(*for_ms))
        }
        Event::DrainHookEnded { alert, run, drill } => hook_ended(alert, run, *drill),
        Event::DrainEnded { alert, what, took_ms, ok, drill } => {
            let how = if *ok { "ended well" } else { "ended, not all of them well," };
            let text =
                format!("{}The hooks for {what} {how} after {}", marked(*drill), spoken(*took_ms));
            let line = if *ok { Line::info } else { Line::warning };
            line(ids::DRAIN_ENDED, text)
                .alert(alert, what)
                .drill(*drill)
                .with(Field::Seconds, seconds(*took_ms))
        }
        Event::WouldDrain { alert, what, hooks } => {
            let text = format!("Would run {} for {what} now, only observing", counted(*hooks));
            Line::info(ids::WOULD_DRAIN, text).alert(alert, what)
        }
        _ => return None,
    };
    Some(line)
}

fn counted(hooks: u32) -> String {
    if hooks == 1 { "1 hook".to_owned() } else { format!("{hooks} hooks") }
}

fn hook_ended(alert: &str, run: &HookRun, drill: bool) -> Line {
    let took = run.took_ms.map(|ms| format!(" after {}", spoken(ms))).unwrap_or_default();
    let how = match run.state {
        RunState::Done => "ended well",
        RunState::Failed => "failed",
        RunState::Lost => "was started by an earlier run of agentd, and nobody saw its end",
        RunState::Skipped => "did not run",
        RunState::Waiting => "has not begun",
        RunState::Started => "still runs",
    };
    let said = match run.detail.as_str() {
        "" => String::new(),
        // Its ending and what it printed, which begins on a line of its own.
        detail => format!(": {}", detail.trim_end().replacen('\n', ": ", 1)),
    };
    let text = format!("{}The hook {} {how}{took}{said}", marked(drill), run.hook);
    let well = matches!(run.state, RunState::Done | RunState::Waiting | RunState::Started);
    let line = if well { Line::info } else { Line::warning };
    line(ids::DRAIN_HOOK_ENDED, text)
        .with(Field::Alert, alert)
        .drill(drill)
        .with(Field::Hook, &run.hook)
        .with(Field::Code, run.state.as_str())
        .maybe(Field::Seconds, run.took_ms.map(seconds))
        .with_output(Field::Detail, &run.detail)
}

/// The Auto Scaling group.
fn group(event: &Event) -> Option<Line> {
    let line = match event {
        Event::TargetChanged { target } => {
            let text = format!("The Auto Scaling group brings this instance to {target}");
            Line::info(ids::TARGET_CHANGED, text).with(Field::Target, target)
        }
        Event::GroupAnswered { call, ok, detail } => {
            let (line, how): (fn(_, String) -> _, _) = if *ok {
                (Line::info, "carried out")
            } else {
                (Line::warning, "did not carry out")
            };
            let text = format!("Auto Scaling {how} {call}: {detail}");
            line(ids::GROUP_ANSWERED, text).with(Field::Call, call).with(Field::Detail, detail)
        }
        _ => return None,
    };
    Some(line)
}
